"""A column that is stuck: one value in every row, or in many rows of a column that hardly had it.

A cap, a default, a feed half-way. Any value of any column may be the one, so the chance of what is seen is taken times
the number of values that were looked at (Bonferroni): in a month of eighty rows five customers with one score are many
for that score, and usual for some score of some column.
"""

from typing import Final

import numpy as np

from riskloop.core.findings import DeclaredCheck
from riskloop.core.types import Finding, Floats, Ints
from riskloop.monitor.compared import LEAST_ROWS, Compared

CHANCE: Final = 1e-6  # for all values of all columns together
FILLED_SHARE: Final = 0.05
RARE: Final = 0.01
BURST_ROWS: Final = 20  # in a period
LEAST_PERIODS: Final = 3
BURST_MARGIN: Final = 2.0  # times what one value reaches in the history's own periods
SELECTED_EVIDENCE: Final = 10.0  # log-likelihood of the other columns, added up as if they were independent

STUCK: Final = DeclaredCheck(
    "stuck",
    "no column has one value in rows that had others",
    "Beta-binomial prediction from the history's share (Gelman et al., 2013, section 2.4), times the values looked at "
    "(Bonferroni)",
)


def stuck_findings(compared: Compared) -> list[Finding]:
    """Columns with one value wherever they are filled, or with a rare value in a part of the rows."""
    found, columns = [], [j for j in range(compared.sample.shape[1]) if j not in compared.reference.context]
    there = {j: np.unique(compared.sample[:, j], return_counts=True, equal_nan=True) for j in columns}
    present = {j: (values[~np.isnan(values)], counts[~np.isnan(values)]) for j, (values, counts) in there.items()}
    looked = sum(values.size for values, _ in present.values())
    for j, (values, counts) in present.items():
        if values.size == 1:
            found += _stuck(compared, j, float(values[0]), int(counts[0]), len(columns))
        elif compared.reference.bins[j].kind == "intervals":
            found += _filled(compared, j, values, counts, looked)
    return found


def _stuck(compared: Compared, j: int, value: float, count: int, looked: int) -> list[Finding]:
    """One value wherever column ``j`` is filled, ``count`` times: it may be Y or nothing."""
    if _unseen(compared, j, value):
        return []
    before = compared.reference.rows[:, j]
    same, filled = int(np.count_nonzero(before == value)), int(np.count_nonzero(~np.isnan(before)))
    chance = max(tail(count, count, same, filled), _usual_share(compared, j, value) ** count)
    if looked * chance >= CHANCE or compared.together(j) or _selected(compared, j, value):
        return []
    where = "in every row" if count == len(compared.sample) else "wherever it is filled"
    return [_told(compared, j, value, count, (same + 0.5) / (filled + 1.0), where)]


def _unseen(compared: Compared, j: int, value: float) -> bool:
    """Levels that nobody has seen have one code: of thousands of postcodes each may be another new one.

    How many are new is judged by `monitor.quality`, beside the levels that came once in the history.
    """
    feature = compared.reference.schema.features[j]
    return feature.kind == "category" and value >= len(feature.categories)


def _filled(compared: Compared, j: int, values: Floats, counts: Ints, looked: int) -> list[Finding]:
    """One value took the place of others in some rows, and the rest of the column is as in the history.

    A column that is another one altogether has other common values, too; and a rate or a vintage of the month, which
    many customers of a month share, has them in the history's months.
    """
    rows = len(compared.sample)
    before = compared.reference.rows[:, j]
    for place in np.argsort(-counts, kind="stable"):
        value, count = float(values[place]), int(counts[place])
        if count <= FILLED_SHARE * rows:
            break
        same = int(np.count_nonzero(before == value))
        usual = (same + 0.5) / (before.size + 1.0)
        if usual >= RARE or looked * tail(count, rows, same, before.size) >= CHANCE or compared.together(j):
            continue
        rest = compared.sample[compared.sample[:, j] != value, j]
        if compared.psi(j, rest) <= compared.critical(j) and count > BURST_MARGIN * _burst(compared, j) * rows:
            return [_told(compared, j, value, count, usual, f"in {count / rows:.0%} of the rows")]
    return []


def _told(compared: Compared, j: int, value: float, count: int, usual: float, where: str) -> Finding:
    feature, share = compared.reference.schema.features[j], count / len(compared.sample)
    sentence = f"{feature.name} is {feature.text(value)} {where}; in the history in {usual:.1%}."
    rows = compared.sample[:, j] == value
    part = bool((~rows & ~np.isnan(compared.sample[:, j])).any())
    return compared.finding(STUCK, j, share, max(FILLED_SHARE, usual), sentence, rows=rows if part else None)


def tail(count: int, rows: int, same: int, before: int) -> float:
    """The chance of at least ``count`` of ``rows`` where ``same`` of ``before`` had the value.

    As `core.stats.rates.rate_jump`, but exact where it is far below one over the values looked at: one minus a sum of
    probabilities ends at about 10⁻¹³.
    """
    from scipy.special import logsumexp
    from scipy.stats import betabinom

    tried = np.arange(count, rows + 1)
    return float(np.exp(logsumexp(betabinom.logpmf(tried, rows, same + 0.5, before - same + 0.5))))


def _burst(compared: Compared, j: int) -> float:
    """The largest share of one value in one of the history's periods that the other periods hardly have."""
    column, days, length = compared.reference.rows[:, j], compared.reference.dated, compared.window.length
    if days is None or not length:
        return 0.0
    _, period = np.unique((days - days.min()) // length, return_inverse=True)
    values, member = np.unique(column, return_inverse=True, equal_nan=True)
    total, rows = np.bincount(member), np.bincount(period)
    if np.count_nonzero(rows >= BURST_ROWS) < LEAST_PERIODS:
        return 0.0
    most = 0.0
    for p in np.flatnonzero(rows >= BURST_ROWS).tolist():
        counts, n = np.bincount(member[period == p], minlength=values.size), int(rows[p])
        rare = (total - counts + 0.5 < RARE * (column.size - n + 1.0)) & ~np.isnan(values)
        most = max(most, float(counts[rare].max(initial=0)) / n)
    return most


def _usual_share(compared: Compared, j: int, value: float) -> float:
    """The largest share of ``value`` in one of the history's periods of the window's length."""
    course, bins, length = compared.reference.course, compared.reference.bins[j], compared.window.length
    if course is None or not length or bins.kind != "values":
        return 0.0
    return course.share(j, int(bins.assign(np.array([value]))[0]), length)


def _selected(compared: Compared, j: int, value: float) -> bool:
    """Whether customers with this value came, and no others: then the other columns look like theirs."""
    theirs = compared.reference.rows[compared.reference.rows[:, j] == value]
    if len(theirs) < LEAST_ROWS:
        return False
    evidence = 0.0
    for c, bins in enumerate(compared.reference.bins):
        if c != j:
            arrived = bins.count(compared.sample[:, c])
            among, all_rows = (counts + 0.5 for counts in (bins.count(theirs[:, c]), compared.reference.own.counts[c]))
            evidence += float(arrived @ (np.log(among / among.sum()) - np.log(all_rows / all_rows.sum())))
    return evidence > SELECTED_EVIDENCE
