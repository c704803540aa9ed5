"""Faults in a part of the rows, stale columns, and factors that are not round: what pools of a column hide.

Each column is looked at beside its relatives, row by row: those that it hardly ever parts from in the history. A part
of the rows in cents, a currency, or values of other customers break that bond and leave the pool nearly as it was.
Amounts that all grow by one factor keep it: that is inflation, no fault.
"""

import math
import re
from itertools import combinations, pairwise
from typing import Final

import numpy as np

from riskloop.core.findings import DeclaredCheck
from riskloop.core.types import Finding, Floats
from riskloop.monitor.compared import LEAST_ROWS, Compared
from riskloop.monitor.plausible import Excess
from riskloop.monitor.scaled import PART, amounts_of, beside, grid_of, log_ratio, logs, part_scaled, relatives_of

ALIKE: Final = 0.06  # distance of distributions up to which undone values are the history's
LEAST_FACTOR: Final = math.log(1.1)
MIXED: Final = 0.8  # of a column's correlations are left, at most
HELD: Final = 0.9  # of those of the others are left, at least
MIXED_ERRORS: Final = 6.0  # standard errors, and …
MIXED_USUAL: Final = 4.0  # … times as many as they usually fall in parts of the history
ENDS_ERRORS: Final = 7.0  # standard errors
BOND: Final = 0.3  # rank correlation from which on one column may be filled from another
SAME: Final = 0.995  # of the rows, in which a copy agrees with what it was copied from …
DIFFERED: Final = 0.9  # … and did at most in the history
CHANCE: Final = 1e-6
RUN_ERRORS: Final = 3.0  # standard errors from which on the history itself runs with time
OFF_GRID: Final = 0.5  # of the window's values are no multiples

_ROW_BY_ROW: Final = (
    "each column keeps its bond with its relatives, row by row",
    "Conditional distribution of a column given its relatives: the distance of distributions (Kolmogorov & Smirnov) "
    "after a step back",
)
FACTOR: Final = DeclaredCheck("factor", *_ROW_BY_ROW)
MIXED_ROWS: Final = DeclaredCheck("mixed", *_ROW_BY_ROW)
GRANULARITY: Final = DeclaredCheck(
    "granularity", "amounts are multiples of what they were multiples of", "Share of the values on the history's grid"
)
IMPLAUSIBLE: Final = DeclaredCheck(
    "implausible",
    "each value lies among those of alike rows of the history",
    "Conditional distribution by a regression tree (Breiman et al., 1984) over the nearest columns; excess at its ends",
)
STALE: Final = DeclaredCheck(
    "stale",
    "each column of a series is as fresh as in the history",
    "PSI of a series of columns in place, and one step older",
)
COPIED: Final = DeclaredCheck(
    "copied",
    "two columns differ as often as in the history",
    "Share of rows in which they agree, and the probability that chance gives as many (binomial)",
)


def partial_findings(compared: Compared) -> list[Finding]:
    """What is wrong in a part of the rows, or by a factor that is not round."""
    found: dict[str, Finding] = {}
    for check in (_old, part_scaled, _factors, _off_grid, _mixed):
        for finding in check(compared):
            found.setdefault(finding.subject, finding)
    # That values do not belong to their rows says less than what was done to them.
    found = found or {finding.subject: finding for finding in _implausible(compared)}
    if not found:
        return []
    # Other customers bend bonds, too; but they come with more than one column. A stale series is several by itself.
    # What runs on with time, as ages, terms and balances of a book in run-off do together, is no other customers.
    names, then = compared.reference.schema.names, _set_back(compared)
    moved = {j for j in compared.moved if compared.psi(j, then[:, j]) > compared.critical(j)}
    alone = [f for f in found.values() if len(moved - {names.index(f.subject)}) <= 1]
    return [f for f in found.values() if f in alone or f.check in (STALE.name, COPIED.name)]


# --------------------------------------------------------------------------- one factor for all rows


def _factors(compared: Compared) -> list[Finding]:
    """One factor for a whole column that its relatives do not share, such as another currency."""
    found = []
    for j in amounts_of(compared):
        relatives = [b for b in beside(compared, j) if b.relative is not None]
        if len(relatives) < 2 or min(min(b.now.size, b.before.size) for b in relatives) < 2 * LEAST_ROWS:
            continue
        steps = [float(np.median(b.now) - np.median(b.before)) for b in relatives]
        step = float(np.median(steps))
        if abs(step) < LEAST_FACTOR or max(abs(s - step) for s in steps) > abs(step) / 3.0:
            continue
        # What stayed while its relatives moved, as heads do beside amounts of a weaker money, is not what broke.
        if _stayed(compared, j, int(relatives[0].relative or 0)):
            continue
        if _shared(compared, j, step) or not _odd(compared, j, step):
            continue
        fits = [_distance(b.now - s, b.before) for b, s in zip(relatives, steps, strict=True)]
        apart = [_distance(b.now, b.before) for b in relatives]
        if min(fits) < ALIKE and min(fits) < min(apart) / 3.0:
            name, closest = (compared.reference.schema.names[c] for c in (j, int(relatives[0].relative or 0)))
            factor = math.exp(step)
            sentence = (
                f"{name} is {factor:.3g} times what it was beside {closest} in all rows, and its relatives are not."
            )
            found.append(compared.finding(FACTOR, j, factor, math.exp(LEAST_FACTOR), sentence, {"factor": factor}))
    return found


def _distance(one: Floats, other: Floats) -> float:
    from scipy.stats import ks_2samp

    return float(ks_2samp(one, other, method="asymp").statistic)


def _odd(compared: Compared, j: int, step: float) -> bool:
    """Whether the relatives of ``j`` kept their bonds among themselves, so that ``j`` is the one that moved."""
    relatives = relatives_of(compared, j)
    window, history = compared.sample, compared.reference.rows
    moves = [
        abs(float(np.median(log_ratio(window, a, b)) - np.median(log_ratio(history, a, b))))
        for i, a in enumerate(relatives)
        for b in relatives[i + 1 :]
    ]
    return bool(moves) and max(moves) < abs(step) / 3.0


def _shared(compared: Compared, j: int, step: float) -> bool:
    """Whether other amounts grew by about the same factor: inflation, or a mix of customers with more of everything."""
    return len(growing(compared, j, step)) >= 2


def growing(compared: Compared, j: int, step: float) -> list[int]:
    """Other amounts whose median moved by about ``step`` in logarithms."""
    alike = []
    for c in set(amounts_of(compared)) - {j}:
        now, before = logs(compared.sample[:, c]), logs(compared.reference.rows[:, c])
        if (
            min(now.size, before.size) >= LEAST_ROWS
            and abs(np.median(now) - np.median(before) - step) < abs(step) / 2.0
        ):
            alike.append(c)
    return alike


def _off_grid(compared: Compared) -> list[Finding]:
    """Amounts that were all multiples of something and are not any more: another currency, or a broken conversion."""
    found = []
    for j in amounts_of(compared):
        grid, now = grid_of(compared, j), compared.sample[:, j]
        now = now[np.isfinite(now) & (now != 0.0)]
        if grid is None or now.size < 2 * LEAST_ROWS:
            continue
        off = float(np.mean(np.mod(now, grid) != 0.0))
        if off > OFF_GRID and not _inflated(compared, j):
            name = compared.reference.schema.names[j]
            sentence = (
                f"{name} is no multiple of {grid:,.0f} in {off:.0%} of the rows; in the history it is in nearly all."
            )
            found.append(compared.finding(GRANULARITY, j, off, OFF_GRID, sentence, {"grid": grid}))
    return found


# --------------------------------------------------------------------------- other customers' values, old values


def _mixed(compared: Compared) -> list[Finding]:
    """A column that keeps its distribution and loses a part of all its bonds, while the others keep theirs."""
    structure, window = compared.reference.structure, compared.structure
    kept, errors = structure.kept(window)
    least = np.maximum(MIXED_ERRORS, MIXED_USUAL * compared.reference.unsteady)
    found = []
    for j in np.flatnonzero((window.varies > 0.0) & (kept < MIXED) & (errors > least)).tolist():
        if j in compared.reference.context or j in compared.moved:
            continue
        if _telling(compared.sample[:, j]) < LEAST_ROWS:  # a handful of rows carry all its bonds: no normal errors
            continue
        rest, _ = structure.without(j).kept(window.without(j))
        others = np.delete(rest, j)[np.delete(np.abs(structure.z).max(axis=1) > 0.3, j)]
        if others.size and float(np.quantile(others, 0.1)) < HELD:
            continue
        names = compared.reference.schema.names
        closest, share = names[int(np.argmax(np.abs(structure.z[j])))], 1.0 - max(0.0, float(kept[j]))
        sentence = f"{names[j]} does not belong to {closest} and its other relatives in about {share:.0%} of the rows."
        found.append(compared.finding(MIXED_ROWS, j, float(kept[j]), MIXED, sentence, {"share": share}))
    return found


def _implausible(compared: Compared) -> list[Finding]:
    """Values that alike rows do not have, of the column that has most of them: a fill-in, a unit, an older copy."""
    found = {}
    for j in compared.numbers():
        excess = compared.reference.plausible.excess(j, compared.sample)
        if excess is None or not _is_beyond(excess):
            continue
        if not _stayed(compared, j, excess.beside) and not _ran_on(compared, j, excess):
            found[j] = excess
    if found:
        then = _set_back(compared)
        found = {j: excess for j, excess in found.items() if _is_beyond(compared.reference.plausible.excess(j, then))}
    if not found or any(_inflated(compared, j) for j in found):
        return []
    # A bill of 0 makes its payment look too large; the one that does not look like the history is the broken one.
    broken = set(found).intersection(compared.moved) or set(found)
    j = max(broken, key=lambda column: found[column].errors)
    excess, names = found[j], compared.reference.schema.names
    size = "small" if excess.low else "large"
    sentence = f"{names[j]} is too {size} beside {names[excess.beside]} in about {excess.share:.0%} of the rows."
    details = {"share": excess.share, "errors": excess.errors}
    return [compared.finding(IMPLAUSIBLE, j, excess.errors, ENDS_ERRORS, sentence, details, excess.rows)]


def _ran_on(compared: Compared, j: int, excess: Excess) -> bool:
    """Whether the latest quarter of the history lies at the same end, and the window only as much more as it is later.

    Balances of a book in run-off fall month by month beside what was granted: they move, and nothing broke.
    """
    days = compared.reference.dated
    if days is None or not compared.window.length:
        return False
    latest = days >= np.quantile(days, 0.75)
    if latest.all():  # most of the history came on its first day
        return False
    found = compared.reference.plausible.excess(j, compared.reference.rows[latest])
    if found is None or found.low is not excess.low or found.errors < RUN_ERRORS:
        return False
    later = _ahead(compared) / float(days[latest].mean() - days.mean())
    return excess.share < 2.0 * later * found.share  # the ends of what moves fill faster than its middle


def _ahead(compared: Compared) -> float:
    """Days from the middle of the history to the middle of the window."""
    window, days = compared.window, compared.reference.dated
    return 0.0 if days is None else float(window.days[0, 0] + window.days[-1, 0]) / 2.0 - float(days.mean())


def _set_back(compared: Compared) -> Floats:
    """The window's rows, shape (n, k), with every number that runs with time as it was in the middle of the history.

    What runs is known by its correlation with time, and how fast by least squares: the oldest loan of a book in run-off
    is older than any was.
    """
    days = compared.reference.dated
    if days is None or not compared.window.length:
        return compared.sample
    rows, ahead = compared.sample.copy(), _ahead(compared)
    for j in compared.numbers():
        there = ~np.isnan(compared.reference.rows[:, j])
        values, when = compared.reference.rows[there, j], days[there].astype(np.float64)
        if values.size < LEAST_ROWS or values.std() == 0.0 or when.std() == 0.0:
            continue
        together = float(np.corrcoef(values, when)[0, 1])
        if abs(together) > RUN_ERRORS / math.sqrt(values.size):
            step = together * float(values.std() / when.std()) * ahead
            rows[:, j] -= round(step) if (values == np.round(values)).all() else step
    return rows


def _is_beyond(excess: Excess | None) -> bool:
    return excess is not None and excess.share >= PART and excess.errors > ENDS_ERRORS


def _inflated(compared: Compared, j: int) -> bool:
    """Whether the amounts together moved as ``j`` did: that changes what is usual beside columns without a unit."""
    steps = {c: _step(compared, c) for c in amounts_of(compared)}
    overall = float(np.median(list(steps.values()))) if len(steps) > 2 else 0.0
    mine = steps.get(j, overall)
    return abs(overall) > LEAST_FACTOR and abs(mine - overall) < abs(mine) / 2.0


def _stayed(compared: Compared, j: int, c: int) -> bool:
    """Whether column ``j`` stayed where it was while ``c`` moved: then ``j`` did not break."""
    now, before = logs(compared.sample[:, j]), logs(compared.reference.rows[:, j])
    if min(now.size, before.size) < LEAST_ROWS:
        return False
    # Of few whole numbers, such as heads, the median moves by one or not at all.
    own, other = abs(float(now.mean() - before.mean())), abs(_step(compared, c))
    return other > LEAST_FACTOR and own < other / 2.0


def _step(compared: Compared, j: int) -> float:
    """By how much the median of an amount moved, in logarithms."""
    now, before = logs(compared.sample[:, j]), logs(compared.reference.rows[:, j])
    enough = min(now.size, before.size) >= LEAST_ROWS
    return float(np.median(now) - np.median(before)) if enough else 0.0


def _old(compared: Compared) -> list[Finding]:
    """A series that is one step old; where all its steps look alike, that its last two columns are the same."""
    return _stale(compared) or _copied(compared)


def _stale(compared: Compared) -> list[Finding]:
    """A series of columns, newest first, whose every column looks like the next older one of the history."""
    found = []
    for series in _series(compared.reference.schema.names):
        if not set(series) <= set(compared.numbers()):
            continue
        steps = list(pairwise(series))
        places = [(compared.psi(j, compared.sample[:, j]), compared.psi(k, compared.sample[:, j])) for j, k in steps]
        moved = [(j, place, older) for (j, _), (place, older) in zip(steps, places, strict=True) if j in compared.moved]
        fresh = any(older > compared.critical(k) for (_, k), (_, older) in zip(steps, places, strict=True))
        if moved and not fresh and all(older < place / 4.0 for _, place, older in moved):
            j, place, _ = moved[0]
            first, last = (compared.reference.schema.names[c] for c in (series[0], series[-1]))
            sentence = f"{first} to {last} are one step old: each looks like the one after it did in the history."
            found.append(compared.finding(STALE, j, place, compared.critical(j), sentence))
    return found


def _copied(compared: Compared) -> list[Finding]:
    """A column that holds another one's values, as the newest of a series that was filled from the one before it."""
    from scipy.stats import binom

    names, window, history = compared.reference.schema.names, compared.sample, compared.reference.rows
    bonds, found = np.abs(compared.reference.structure.correlations), []
    for j, c in combinations(compared.numbers(), 2):
        if bonds[j, c] < BOND or _telling(window[:, j]) < LEAST_ROWS:
            continue
        now, before = (float(np.mean(rows[:, j] == rows[:, c])) for rows in (window, history))
        same = round(now * len(window))
        if now >= SAME and before <= DIFFERED and binom.sf(same - 1, len(window), before) < CHANCE:
            sentence = f"{names[j]} and {names[c]} are equal in {now:.0%} of the rows; in the history in {before:.0%}."
            found.append(compared.finding(COPIED, j, now, SAME, sentence, {"of": names[c]}))
    return found


def _telling(column: Floats) -> int:
    """Rows that do not have the commonest value: two columns that are mostly 0 agree where nothing was copied."""
    _, counts = np.unique(column, return_counts=True)
    return int(counts.sum() - counts.max(initial=0))


def _series(names: tuple[str, ...]) -> list[list[int]]:
    """Columns whose names differ by a number at the end, in its order: PAY_0, PAY_2, PAY_3."""
    families: dict[str, list[tuple[int, int]]] = {}
    for j, name in enumerate(names):
        match = re.fullmatch(r"(.*?\D)_?(\d{1,3})", name)
        if match is not None:
            families.setdefault(match[1].rstrip("_"), []).append((int(match[2]), j))
    return [[j for _, j in sorted(members)] for members in families.values() if len(members) >= 3]
