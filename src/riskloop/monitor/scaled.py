"""Amounts that are ten, a hundred or a thousand times too large or too small in a part of the rows.

A source, a branch or a batch delivers cents. The pool of the column hardly shows it where the amounts are spread as
widely as the factor. What shows it, the most telling first: the rows of one level of another column, all of them; rows
that are no multiples any more of what all amounts were multiples of; the column by itself, or beside its relatives,
as a mixture of the history and the history times a factor; the same beside alike rows, where it has no near relative.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from riskloop.core.findings import DeclaredCheck
from riskloop.core.stats import psi, psi_critical
from riskloop.core.types import Bools, Finding, Floats, Json
from riskloop.monitor.compared import BAND, LEAST_ROWS, Compared, LevelRows

RELATIVE: Final = 0.8  # rank correlation from which on two columns are held against each other row by row
PART: Final = 0.03  # of the rows, at least
OFTEN: Final = 3.0  # times as often as in the history, from which on a level counts as one that was not there
UNITS: Final = (10.0, 100.0, 1000.0)  # factors of a part of the rows
NEAR: Final = 0.7  # in logarithms: so near is a step of medians to a factor; few rows of wide amounts tell it no better
WIDTH: Final = 0.25  # of the bins, in quartile distances; at least in logarithms
REACH: Final = math.log(2000.0)  # beyond the history's ends
GAIN: Final = 20.0  # log-likelihood
CHANCE: Final = 1e-6  # p-value below which no chance is left
NEARLY_ALL: Final = 0.8  # of the gain of a perfect fit
FITS: Final = 1e-4  # p-value above which a mixture explains the window
STILL: Final = 3.0  # times as far the rows in question moved as the others
ON_GRID: Final = 0.98  # of the history's values are multiples
GRID: Final = tuple(10.0**k for k in range(6, -1, -1))

PART_SCALE: Final = DeclaredCheck(
    "part_scale",
    "no part of the rows has a column in another unit",
    "Mixture of the history and the history times a factor (Dempster, Laird & Rubin, 1977), of the column, beside its "
    "relatives, or beside alike rows (Breiman et al., 1984); distance of distributions after a step back (Kolmogorov "
    "& Smirnov)",
)


def part_scaled(compared: Compared) -> list[Finding]:
    """Columns that are times or by a round factor in some rows, which no level of another column holds."""
    found: dict[str, Finding] = {}
    checks: tuple[Callable[[Compared], list[Finding]], ...] = (_by_digits, _by_mixture)
    for check in checks:
        for finding in check(compared):
            found.setdefault(finding.subject, finding)
    return list(found.values()) or _beside_alike_rows(compared)


def _told(
    compared: Compared, j: int, factor: float, share: float, rows: Bools | None, segment: LevelRows | None = None
) -> Finding:
    name = compared.reference.schema.names[j]
    times = f"{factor:g} times larger" if factor > 1.0 else f"{1.0 / factor:g} times smaller"
    sentence = f"{name} is {times} in about {share:.0%} of the rows."
    details: Json = {"factor": factor, "share": share}
    if segment is not None:
        details |= {"where": segment.name, "segment": compared.reference.schema.names[segment.column]}
        sentence = f"{name} is {times} in about {share:.0%} of the rows, all of them where {segment.name}."
    return compared.finding(PART_SCALE, j, share, PART, sentence, details, rows)


# --------------------------------------------------------------------------- all rows of a part


def in_a_segment(compared: Compared) -> list[Finding]:
    """Every row of one level of another column, and no others, beside the history's rows of that level."""
    found: dict[int, Finding] = {}
    segments = [s for s in compared.segments() if s.rows.sum() >= PART * len(compared.sample)]
    for j in amounts_of(compared):
        for segment in segments:
            factor = None if segment.column == j else _factor_of(compared, j, segment)
            share = float(segment.rows.mean())
            if factor is not None and (j not in found or share > (found[j].statistic or 0.0)):
                found[j] = _told(compared, j, factor, share, None, segment)
    return list(found.values())


def _factor_of(compared: Compared, j: int, segment: LevelRows) -> float | None:
    """The round factor that parts a level's rows from its own past, when the others kept theirs."""
    before, known = logs(compared.reference.rows[segment.before, j]), True
    if before.size < LEAST_ROWS:  # a level that was not there may have customers of its own, not a hundred times richer
        if segment.before.mean() > segment.rows.mean() / OFTEN:
            return None  # it was there, with too few amounts to compare: a small reference's level is no new one
        before, known = logs(compared.reference.rows[:, j]), False
    now = logs(compared.sample[segment.rows, j])
    if min(now.size, before.size) < LEAST_ROWS:
        return None
    step = float(np.median(now) - np.median(before))
    factor = _round(step, UNITS if known else UNITS[1:])
    if factor is None or abs(_others_moved(compared, j, segment)) > abs(step) / STILL:
        return None
    if not _brought_back(now, before, factor):
        return None
    alone = not known or (_otherwise_alike(compared, segment, factor) and not _towards_all(compared, j, segment))
    return factor if alone else None


def _towards_all(compared: Compared, j: int, segment: LevelRows) -> bool:
    """Whether the level's rows moved to where the others are, as values of other customers would."""
    now, own, everyone = (
        float(np.median(logs(values)))
        for values in (
            compared.sample[segment.rows, j],
            compared.reference.rows[segment.before, j],
            compared.reference.rows[:, j],
        )
    )
    return min(own, everyone) - NEAR <= now <= max(own, everyone) + NEAR


def _otherwise_alike(compared: Compared, segment: LevelRows, factor: float) -> bool:
    """Whether the level's rows are what they were, but for amounts times the same factor.

    Else other customers have the level, or other rows: a column of a wrong join brings its levels to anybody.
    """
    amounts = amounts_of(compared)
    for c in set(range(compared.sample.shape[1])) - compared.reference.context - {segment.column}:
        now, before = compared.sample[segment.rows, c], compared.reference.rows[segment.before, c]
        bins = compared.reference.bins[c]
        if psi(bins.count(before), bins.count(now)) > max(BAND, psi_critical(len(now), len(before), len(bins), CHANCE)):
            step = float(np.median(logs(now)) - np.median(logs(before))) if c in amounts else 0.0
            if _round(step, UNITS) != factor:
                return False
    return True


def _others_moved(compared: Compared, j: int, segment: LevelRows) -> float:
    """By how much the median of the other rows moved, in logarithms; without bound where there are too few."""
    others, usual = logs(compared.sample[~segment.rows, j]), logs(compared.reference.rows[~segment.before, j])
    return float(np.median(others) - np.median(usual)) if min(others.size, usual.size) >= LEAST_ROWS else math.inf


def _round(step: float, units: tuple[float, ...]) -> float | None:
    """The factor whose logarithm is near ``step``."""
    factors = [f for unit in units for f in (unit, 1.0 / unit) if abs(step - math.log(f)) < NEAR]
    return factors[0] if factors else None


def _brought_back(now: Floats, before: Floats, factor: float) -> bool:
    """Whether the step back makes logarithms look like the history's, that did not without it."""
    from scipy.stats import ks_2samp

    in_place = ks_2samp(now, before, method="asymp")
    back = ks_2samp(now - math.log(factor), before, method="asymp")
    return bool(in_place.pvalue < CHANCE and back.pvalue > FITS and back.statistic < in_place.statistic / 2.0)


def _by_digits(compared: Compared) -> list[Finding]:
    """Rows that are no multiples of what the history's amounts are multiples of, and smaller by a round factor.

    Finer amounts alone are no fault: a source may report cents of the same money.
    """
    found = []
    for j in amounts_of(compared):
        grid = grid_of(compared, j)
        if grid is None:
            continue
        values, rows = compared.sample[:, j], compared.reference.rows
        off = (np.mod(values, grid) != 0.0) & (values > 0.0)
        share = float(off.sum() / max(1, np.count_nonzero(values > 0.0)))
        now, before = logs(values[off]), logs(rows[:, j])
        if share < PART or min(now.size, before.size) < LEAST_ROWS:
            continue
        factor = _round(float(np.median(now) - np.median(before)), UNITS)
        others = logs(values[~off])
        still = others.size >= LEAST_ROWS and abs(np.median(others) - np.median(before)) < math.log(UNITS[0]) / STILL
        if factor is not None and factor < 1.0 and still and _brought_back(now, before, factor):
            found.append(_told(compared, j, factor, float(off.mean()), off))
    return found


def grid_of(compared: Compared, j: int) -> float | None:
    """The largest power of ten that nearly all of the history's values are multiples of."""
    before = compared.reference.rows[:, j]
    before = before[np.isfinite(before) & (before != 0.0)]
    if before.size < 2 * LEAST_ROWS:
        return None
    return next((g for g in GRID if np.mean(np.mod(before, g) == 0.0) >= ON_GRID), None)


# --------------------------------------------------------------------------- a share of the rows, whichever they are


class Beside(NamedTuple):
    """A column in logarithms, by itself or beside another: in the window (n,) and in the history (m,)."""

    now: Floats
    before: Floats
    relative: int | None


def _by_mixture(compared: Compared) -> list[Finding]:
    """By itself, or beside most of its relatives: one of them may be the broken one itself, two are not."""
    found = []
    for j in amounts_of(compared):
        alone, *others = [_part(b) for b in beside(compared, j)]
        agreed = [part for part in others if part is not None]
        parts = [alone] if alone else []
        parts += agreed if len(agreed) > 1 and 2 * len(agreed) >= len(others) else []
        if parts:
            _, share, factor = max(parts)  # beside a relative a factor is told more sharply than in the pool
            found.append(_told(compared, j, factor, share, _nearer(compared, j, factor) if alone else None))
    return found


def _beside_alike_rows(compared: Compared) -> list[Finding]:
    """Beside what alike rows have; the column that gains most, as its neighbours look wrong beside it.

    Where a column does not look like the history by itself, it is the broken one, and its neighbours are not.
    """
    found = []
    for j in set(amounts_of(compared)).intersection(compared.moved) if compared.moved else amounts_of(compared):
        apart = compared.reference.plausible.apart(j, compared.sample)
        part = None if apart is None else _part(Beside(*apart, None))
        if part is not None:
            found.append((*part, j))
    if not found:
        return []
    _, share, factor, j = max(found)
    return [_told(compared, j, factor, share, None)]


def beside(compared: Compared, j: int) -> Iterator[Beside]:
    """Column ``j`` by itself, and beside each near relative among the amounts."""
    window, history = compared.sample, compared.reference.rows
    yield Beside(logs(window[:, j]), logs(history[:, j]), None)
    for c in relatives_of(compared, j):
        yield Beside(log_ratio(window, j, c), log_ratio(history, j, c), c)


def relatives_of(compared: Compared, j: int) -> list[int]:
    """The four amounts that hardly ever part from ``j``, the nearest first."""
    near = set(compared.partners(j, RELATIVE).tolist()) - {j}
    return sorted(near.intersection(amounts_of(compared)), key=lambda c: -abs(compared.reference.structure.z[j, c]))[:4]


def amounts_of(compared: Compared) -> tuple[int, ...]:
    """Columns of many different numbers, most of which are positive."""
    return compared.reference.amounts


def logs(values: Floats) -> Floats:
    """Logarithms of the positive ones."""
    found: Floats = np.log(values[values > 0.0])
    return found


def log_ratio(rows: Floats, j: int, c: int) -> Floats:
    """Logarithms of the ratio of two columns, where both are positive."""
    both = (rows[:, j] > 0.0) & (rows[:, c] > 0.0)
    ratio: Floats = np.log(rows[both, j] / rows[both, c])
    return ratio


def _nearer(compared: Compared, j: int, factor: float) -> Bools:
    """The rows whose value is nearer to the history's median after the step back."""
    middle = float(np.median(logs(compared.reference.rows[:, j])))
    values = np.log(np.where(compared.sample[:, j] > 0.0, compared.sample[:, j], 1.0))
    near: Bools = np.abs(values - middle - math.log(factor)) < np.abs(values - middle)
    return near & (compared.sample[:, j] > 0.0)


def _part(beside: Beside) -> tuple[float, float, float] | None:
    """Gain, share and factor of a mixture of history and history times a factor, if it explains the window."""
    if min(beside.now.size, beside.before.size) < 2 * LEAST_ROWS:
        return None
    width = WIDTH * max(1.0, float(np.ptp(np.quantile(beside.before, [0.25, 0.75]))))
    edges = np.arange(beside.before.min() - REACH, beside.before.max() + REACH + width, width)
    seen = np.histogram(beside.now, edges)[0].astype(np.float64)
    usual = _shares(beside.before, edges)
    if _misfit(seen, usual) > CHANCE:
        return None
    whole = float(np.median(beside.now) - np.median(beside.before))
    if _misfit(seen, _shares(beside.before + whole, edges)) > CHANCE:
        return None  # all rows moved alike
    low, high = np.quantile(beside.before, [0.05, 0.95])
    steps = [sign * math.log(f) for f in UNITS if math.log(f) > high - low for sign in (-1.0, 1.0)]
    fits = [(*_mixed_in(seen, usual, _shares(beside.before + step, edges)), step) for step in steps]
    gain, share, left, step = max(fits, default=(0.0, 0.0, 0.0, 0.0))
    # The rows of one segment are no random part: then the mixture explains nearly all of the change, and not the rest.
    explains = left > FITS or gain > NEARLY_ALL * _most_gained(seen, usual)
    return (gain, share, math.exp(step)) if gain > GAIN and share >= PART and explains else None


def _most_gained(seen: Floats, usual: Floats) -> float:
    """The log-likelihood that shares of the window's own would gain."""
    there = seen > 0.0
    return float(seen[there] @ np.log(seen[there] / seen.sum() / usual[there]))


def _mixed_in(seen: Floats, usual: Floats, other: Floats) -> tuple[float, float, float]:
    """Log-likelihood gained by the best share of ``other``, that share, and how well the mixture fits: a p-value."""
    share = 0.1
    for _ in range(30):  # expectation and maximisation, Dempster, Laird & Rubin (1977)
        mixture = (1.0 - share) * usual + share * other
        share = float(seen @ (share * other / mixture)) / float(seen.sum())
    mixture = (1.0 - share) * usual + share * other
    return float(seen @ np.log(mixture / usual)), share, _misfit(seen, mixture)


def _shares(values: Floats, edges: Floats) -> Floats:
    counts = np.histogram(values, edges)[0] + 0.5
    shares: Floats = counts / counts.sum()
    return shares


def _misfit(seen: Floats, shares: Floats) -> float:
    """p-value of a χ² of counts against shares, bins of fewer than five expected put together."""
    from scipy.special import chdtrc

    expected = shares * seen.sum()
    rare = expected < 5.0
    observed = np.append(seen[~rare], seen[rare].sum())
    wanted = np.append(expected[~rare], max(expected[rare].sum(), 1e-9))
    return float(chdtrc(max(1, observed.size - 1), float((np.square(observed - wanted) / wanted).sum())))
