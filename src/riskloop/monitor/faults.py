"""Mechanical faults of single columns: what one step back undoes.

A column multiplied by a constant, with the wrong sign, exchanged with another or with its levels recoded looks like
history again after that step. A population that changed does not: there is no such step, and its correlated columns
move together. Everything is computed from the profiles' row samples.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from riskloop.core.findings import DeclaredCheck
from riskloop.core.types import Finding, Floats, Ints
from riskloop.monitor.compared import LEAST_ROWS, ROUND_FACTORS, Compared
from riskloop.monitor.partial import growing, partial_findings
from riskloop.monitor.profile import Profile, Reference
from riskloop.monitor.scaled import in_a_segment
from riskloop.monitor.structure import Structure, distances
from riskloop.monitor.stuck import stuck_findings

NULL_MARGIN: Final = 2.0  # times what parts of the history show by themselves

LEAST_FACTOR: Final = 2.0  # no population's amounts double from one window to the next
NEAR_ROUND: Final = 0.4  # in logarithms
ROUNDED_REST: Final = 0.15  # of the PSI may be left after undoing a round factor
PARTNER: Final = 0.5  # rank correlation from which on columns move together

EXCHANGE_GAIN: Final = 60.0  # squared standard errors, where correlated terms are worth as little as in …
USUAL_COPIES: Final = 5.0  # … a portfolio of which five columns say the same; where more do, more is needed
EXCHANGE_REST: Final = 0.6  # of the misfit may be left after exchanging back

DETACHED: Final = 0.2  # of a column's correlations are left
DETACHED_ERRORS: Final = 6.0  # standard errors by which they fell, and …
DETACHED_USUAL: Final = 3.0  # … times as many as they usually fall in parts of the history

RECODE_EVIDENCE: Final = 5.0  # log-likelihood of the other columns, given the levels
LEAST_OF_LEVEL: Final = 10.0  # rows

_TEST: Final = (
    "the column changed as populations do, together with those that it is correlated with",
    "A mechanical change is one that a mechanical step undoes (after arXiv 2604.11561)",
)
SCALE: Final = DeclaredCheck("scale", *_TEST)
SIGN: Final = DeclaredCheck("sign", *_TEST)
SWAPPED: Final = DeclaredCheck("swapped", *_TEST)
DETACHED_COLUMN: Final = DeclaredCheck("detached", *_TEST)
RECODED: Final = DeclaredCheck("recoded", *_TEST)


def mechanical_findings(reference: Reference, window: Profile) -> list[Finding]:
    """What one step back explains, column by column; empty when there is nothing.

    Of a wide table the reference's foremost columns are looked at, because each is held against all others.
    """
    if reference.foremost:
        window, reference = window.of(np.array(reference.foremost)), reference.narrowed
    sample = window.sample.expanded
    if len(sample) < LEAST_ROWS:
        return []
    compared = Compared(reference, window, sample)
    found = in_a_segment(compared)  # of all faults it is told most surely, and bends what the others look at
    told = {name for finding in found for name in (finding.subject, finding.details["segment"])}
    checks: tuple[Callable[[Compared], list[Finding]], ...] = (_scaled, _negated, _swapped, _recoded, stuck_findings)
    found += [finding for check in checks for finding in check(compared) if finding.subject not in told]
    # A column that another check explains is torn from its partners, too, and so may be its partners.
    known = told | {finding.subject for finding in found}
    found += [finding for finding in _detached(compared) if finding.subject not in known]
    return found or partial_findings(compared)


# --------------------------------------------------------------------------- scale and sign


def _scaled(compared: Compared) -> list[Finding]:
    found = []
    for j in compared.moved_numbers():
        best = _best_factor(compared, j)
        if best is not None:
            factor, before, after = best
            name = compared.reference.schema.names[j]
            times = f"{factor:.4g} times larger" if factor > 1.0 else f"{1.0 / factor:.4g} times smaller"
            sentence = f"{name} is {times} in all rows."
            details = {"factor": factor, "psi_after": after}
            found.append(compared.finding(SCALE, j, before, compared.critical(j), sentence, details))
    return found


def _best_factor(compared: Compared, j: int) -> tuple[float, float, float] | None:
    """The constant that undoes the change of column ``j``, with the PSI before and after; None if there is none."""
    column = compared.sample[:, j]
    old, new = (np.abs(x[np.isfinite(x) & (x != 0.0)]) for x in (compared.reference.rows[:, j], column))
    if min(old.size, new.size) < LEAST_ROWS:
        return None
    ratio = float(np.median(new) / np.median(old))
    if max(ratio, 1.0 / ratio) < LEAST_FACTOR:
        return None
    before = compared.psi(j, column)
    near = [f for r in ROUND_FACTORS for f in (r, 1.0 / r) if abs(math.log(ratio / f)) < NEAR_ROUND]
    tried = [(compared.psi(j, column / factor), factor) for factor in (*near, ratio)]
    after, factor = min(tried)
    # A round factor is proof enough of itself to allow for what rounding to the new unit has cost.
    rounded = [(a, f) for a, f in tried if f in near and a < before * ROUNDED_REST]
    if rounded:
        after, factor = min(rounded)
    elif after > min(compared.critical(j), before / 4.0):
        return None
    elif (
        set(compared.partners(j, PARTNER).tolist()) & set(compared.moved)
        or len(growing(compared, j, math.log(ratio))) > 1
    ):
        return None  # amounts that grow together by some factor may be inflation
    return factor, before, after


def _negated(compared: Compared) -> list[Finding]:
    found = []
    for j in compared.moved_numbers():
        undone = compared.undoes(j, -compared.sample[:, j])
        if undone is not None:
            sentence = f"{compared.reference.schema.names[j]} has the opposite sign in all rows."
            details = {"psi_after": undone[1]}
            found.append(compared.finding(SIGN, j, undone[0], compared.critical(j), sentence, details))
    return found


# --------------------------------------------------------------------------- columns in each other's place


def _swapped(compared: Compared) -> list[Finding]:
    """Pair by pair, the one that gains most first: exchanged back, their correlations are those of history."""
    found: list[Finding] = []
    names, kinds = compared.reference.schema.names, [f.kind for f in compared.reference.schema.features]
    varies = compared.structure.varies > 0.0
    varies[list(compared.reference.context)] = False
    allowed = np.equal.outer(kinds, kinds) & np.outer(varies, varies)
    window, least = compared.structure, exchange_needed(compared.reference.structure, compared.reference.gained)
    for _ in range(len(names) // 2):
        placed, exchanged = compared.reference.structure.misfits(window)
        gain = np.where(allowed, placed - exchanged, 0.0)
        i, j = sorted(int(x) for x in np.unravel_index(np.argmax(gain), gain.shape))
        if gain[i, j] < least or exchanged[i, j] > EXCHANGE_REST * placed[i, j]:
            break
        places = ((i, compared.sample[:, j]), (j, compared.sample[:, i]))
        if any(compared.psi(to, column) > compared.critical(to) for to, column in places):
            break
        sentence = f"{names[i]} and {names[j]} have changed places."
        details = {"misfit_after": float(exchanged[i, j])}
        gained = float(gain[i, j])
        found += [compared.finding(SWAPPED, c, gained, least, sentence, details) for c in (i, j)]
        window = window.exchanged(i, j)
        allowed[[i, j], :] = allowed[:, [i, j]] = False
    return found


def exchange_needed(structure: Structure, null: float) -> float:
    """The gain from which on an exchange is no chance; ``null`` is the largest that parts of the history show."""
    return max(EXCHANGE_GAIN * max(1.0, structure.copies / USUAL_COPIES), NULL_MARGIN * null)


def _detached(compared: Compared) -> list[Finding]:
    """A column that no longer moves with those it used to move with: rows of other customers, noise, a wrong join."""
    found = []
    kept, errors = compared.reference.structure.kept(compared.structure)
    least = np.maximum(DETACHED_ERRORS, DETACHED_USUAL * compared.reference.unsteady)
    torn = np.flatnonzero((compared.structure.varies > 0.0) & (kept < DETACHED) & (errors > least))
    for j in sorted(set(torn.tolist()) - compared.reference.context):
        names = compared.reference.schema.names
        closest = names[np.argmax(np.abs(compared.reference.structure.z[j]))]
        sentence = f"{names[j]} no longer moves with {closest} and all columns that it used to move with."
        statistic = float(kept[j])
        found.append(compared.finding(DETACHED_COLUMN, j, statistic, DETACHED, sentence))
    return found


# --------------------------------------------------------------------------- levels


def _recoded(compared: Compared) -> list[Finding]:
    """Levels that exchanged their codes, while no other column moved."""
    found = []
    for j, bins in enumerate(compared.reference.bins):
        if bins.kind != "values" or j in compared.reference.context or set(compared.moved) - {j}:
            continue
        recoding = _best_recoding(compared, j)
        if recoding is None:
            continue
        to, evidence = recoding
        if evidence < NULL_MARGIN * _null_evidence(compared, j):
            continue
        points, column = np.asarray(bins.points), compared.sample[:, j]
        where = np.minimum(np.searchsorted(points, column), len(points) - 1)
        before = compared.psi(j, column)
        after = compared.psi(j, np.where(points[where] == column, points[to[where]], column))
        if after < min(compared.critical(j), before / 2.0):
            sentence = f"The levels of {compared.reference.schema.names[j]} have changed their codes: "
            sentence += f"{_pairs(compared, j, to)}."
            details = {"psi_after": after, "evidence": evidence}
            found.append(compared.finding(RECODED, j, before, compared.critical(j), sentence, details))
    return found


def _pairs(compared: Compared, j: int, to: Ints) -> str:
    feature, points = compared.reference.schema.features[j], compared.reference.bins[j].points
    arrived = compared.reference.bins[j].count(compared.sample[:, j])
    return ", ".join(
        f"{feature.text(points[level])} arrives as {feature.text(points[code])}"
        for code, level in enumerate(to)
        if code != level and arrived[code]
    )


def _best_recoding(compared: Compared, j: int) -> tuple[Ints, float] | None:
    """For every code that arrives, the level that it stands for; and how much the other columns speak for it.

    The likeliest assignment, by the levels' shares in the history and by what the other columns look like, level by
    level: more women among the customers is a change of shares, but if those who are called women have the limits of
    men, the codes have changed. None when every code keeps its level, or the other columns speak for that.
    """
    from scipy.optimize import linear_sum_assignment

    levels = len(compared.reference.bins[j].points)
    old = compared.reference.own.counts[j][:levels] + 0.5
    arrived = compared.reference.bins[j].count(compared.sample[:, j])[:levels]
    # A level that hardly comes, before and now, keeps its code: nothing could be said of it.
    expected = old / old.sum() * len(compared.sample)
    common = np.flatnonzero(np.maximum(arrived, expected) >= min(LEAST_OF_LEVEL, np.sort(expected)[-min(levels, 3)]))
    by_share = -np.outer(arrived[common], np.log(old / old.sum())[common])
    by_others = _misfit_by_level(compared, j, common)
    _, best = linear_sum_assignment(by_share + by_others)
    to = np.arange(levels)
    to[common] = common[best]
    changed = int(np.count_nonzero(to != np.arange(levels)))
    evidence = float(np.trace(by_others) - by_others[np.arange(common.size), best].sum())
    # Of many levels some assignment fits noise: as many choices as there are cost as much evidence.
    needed = (RECODE_EVIDENCE if j in compared.moved else 4.0 * RECODE_EVIDENCE) + changed * math.log(common.size)
    # Silent columns leave the shares alone as evidence; three levels do not take each other's shares by chance.
    silent = abs(evidence) <= needed and changed > 2 and j in compared.moved and j not in compared.numbers()
    return (to, evidence) if changed and (evidence > needed or silent) else None


def _null_evidence(compared: Compared, j: int) -> float:
    """The most evidence for a recoding of column ``j`` that parts of the history show: many levels find some by chance.

    Computed only where a window seems to be recoded, which is rare.
    """
    parts = np.array_split(
        compared.reference.rows, max(2, min(8, len(compared.reference.rows) // len(compared.sample)))
    )
    found = [_best_recoding(replace(compared, sample=rows), j) for rows in parts]
    return max((evidence for _, evidence in (one for one in found if one is not None)), default=0.0)


def _misfit_by_level(compared: Compared, j: int, common: Ints) -> Floats:
    """Half the squared Mahalanobis distance of mean ranks: rows with code a now, rows with level b in the history.

    For the levels at ``common``.
    """
    levels = np.asarray(compared.reference.bins[j].points)[common][:, None]
    now, before = ((rows[:, j] == levels).astype(np.float64) for rows in (compared.sample, compared.reference.rows))
    arrived, known = now.sum(axis=1), before.sum(axis=1)
    others = np.delete(np.arange(compared.sample.shape[1]), j)
    mean_now = now @ compared.ranks[:, others] / np.maximum(arrived, 1.0)[:, None]
    mean_before = before @ compared.reference.ranks[:, others] / np.maximum(known, 1.0)[:, None]
    # A rank from 0 to 1 has the variance 1/12. The ridge keeps columns that are nearly one from dominating.
    together = compared.reference.structure.correlations[np.ix_(others, others)] + 1.1 * np.eye(others.size)
    distance = 12.0 * distances(mean_now, mean_before, together)
    weight = arrived[:, None] * known[None, :] / np.maximum(arrived[:, None] + known[None, :], 1.0)
    half: Floats = 0.5 * weight * distance
    return half
