"""Is anybody reported later than the others: good customers than defaults, or some long after their neighbours?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from riskloop.core.findings import WINDOW, DeclaredCheck
from riskloop.core.types import Bools, Finding, Floats, Ints, Severity
from riskloop.monitor.reports import DAY, Reports

LATE: Final = DeclaredCheck(
    "labels_late",
    "good and bad customers are reported equally late",
    "Mann & Whitney (1947) on the delay of good and of bad customers' reports, within windows (van Elteren, 1960); the "
    "class of those that come long after their neighbours, day by day (Mantel & Haenszel, 1959)",
)
STRAGGLERS: Final = DeclaredCheck(
    "labels_stragglers",
    "no more reports than usual come long after those on other customers of the same day",
    "Two-sample z test of proportions with days as clusters (Cochran, 1977), and a practical band",
    "Whose reports come later than those of their neighbours",
)

LEAST: Final = 10  # reports of either class
RARE: Final = 1e-6  # as for faults of features
LATER: Final = 0.15  # probability beyond a half that one class is reported after the other
A_DAY: Final = 4  # reports on customers of a day: of fewer none is early or late
BEHIND: Final = 3  # days after the first quarter of the reports on customers of the same day
MORE: Final = 0.05  # of the reports
SURE: Final = 3.0  # standard errors, beside that practical band


@dataclass(frozen=True, slots=True)
class _Delays:
    """One window's delays, good customers' against defaults': Wilcoxon's U less its mean, and its variance."""

    excess: float
    variance: float
    pairs: float
    rarer: int  # reports of the rarer class

    @classmethod
    def of(cls, delay: Floats, bad: Bools) -> "_Delays":
        from scipy.stats import rankdata

        m, n = int(np.count_nonzero(bad)), int(np.count_nonzero(~bad))
        if not m or not n:
            return cls(0.0, 0.0, 0.0, 0)
        _, ties = np.unique(delay, return_counts=True)
        tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / ((m + n) * (m + n - 1.0))
        u = float(rankdata(delay)[~bad].sum()) - n * (n + 1) / 2.0
        weight = 1.0 / (m + n + 1.0)
        variance = m * n / 12.0 * (m + n + 1.0 - tied)
        return cls(weight * (u - m * n / 2.0), weight**2 * variance, weight * m * n, min(m, n))


def late_finding(windows: Sequence[Reports], outcome_window: int) -> Finding:
    """Of the latest window, with as many of the windows before as show it best; ``windows`` are latest first.

    Where few default one window never shows it. Each is compared within itself (van Elteren, Bulletin of the
    International Statistical Institute 37 (1960) 351-361), so that a delay which changes for both says nothing. A few
    of one class that come much later hardly move ranks; that all who come much later are of one class shows them.
    """
    from scipy.stats import norm

    one_class = _late_ones(windows, outcome_window)
    if one_class is not None:
        return one_class

    parts = []
    for one in windows:
        parts.append((_delay(one, outcome_window).astype(np.float64), one.outcomes == 1.0))
    tests = [_Delays.of(delay, bad) for delay, bad in parts]
    excess, variance, pairs = (np.cumsum([getattr(t, name) for t in tests]) for name in ("excess", "variance", "pairs"))
    enough = (np.cumsum([t.rarer for t in tests]) >= LEAST) & (variance > 0.0)
    z = np.where(enough, np.abs(excess) / np.sqrt(np.where(variance > 0.0, variance, 1.0)), 0.0)
    best = int(np.argmax(z))
    ahead = 0.5 + (float(excess[best] / pairs[best]) if pairs[best] else 0.0)
    p_value = min(1.0, 2.0 * float(norm.sf(z[best])) * int(enough.sum() or 1))  # Bonferroni over the looks
    moved = abs(ahead - 0.5) > LATER / 2.0 and p_value < RARE
    delay, bad = (np.concatenate(column) for column in zip(*parts[: best + 1], strict=True))
    means = [float(delay[part].mean()) if part.any() else 0.0 for part in (~bad, bad)]
    over = f" In {best + 1} windows together." if best else ""
    return LATE.finding(
        WINDOW,
        Severity.DRIFTED if moved else Severity.OK,
        (delay.size, 0),
        f"Good customers are reported {means[0]:.0f} days after their outcome is final, defaults {means[1]:.0f} days."
        f"{over}",
        statistic=ahead,
        critical=0.5 + LATER / 2.0,
        details={"p_value": p_value, "late": float((delay > 7.0).mean()) if delay.size else 0.0, "windows": best + 1},
    )


def _late_ones(windows: Sequence[Reports], outcome_window: int) -> Finding | None:
    """That those who come long after their neighbours are of one class; None where they are not, or are few of it.

    Within a day the late ones are drawn from good and bad customers alike (Mantel & Haenszel, 1959). Their number of a
    class is held against the Poisson distribution, whose tail is heavier than that of a sum of hypergeometric ones.
    """
    from scipy.special import gammainc

    days = [_by_day(one, outcome_window) for one in windows]
    best = None
    for looked in range(1, len(days) + 1):
        size, late, bad, late_bad = np.concatenate(days[:looked], axis=1)
        for name, of, seen in (("Defaults", bad, late_bad), ("Good customers", size - bad, late - late_bad)):
            expected, rest = float((late * of / size).sum()), float((size - of).sum())
            if seen.sum() == 0 or not rest:
                continue
            share, others = seen.sum() / of.sum(), (late - seen).sum() / rest
            p_value = min(1.0, float(gammainc(seen.sum(), expected)) * len(windows) * 2.0)
            if share - others > MORE and p_value < RARE and (best is None or p_value < best[0]):
                best = p_value, name, share, others, looked, int(size.sum())
    if best is None:
        return None
    p_value, name, share, others, looked, rows = best
    over = f" In {looked} windows together." if looked > 1 else ""
    return LATE.finding(
        WINDOW,
        Severity.DRIFTED,
        (rows, 0),
        f"{name} are reported later: {share:.0%} of them come over {BEHIND} days after their neighbours, of the others "
        f"{others:.0%}.{over}",
        statistic=float(share - others),
        critical=MORE,
        details={"p_value": p_value, "late": float(share), "windows": looked},
    )


def straggler_finding(reports: Reports, earlier: Sequence[Reports], outcome_window: int) -> Finding:
    """Whether more reports than in the ``earlier`` windows come long after their neighbours'.

    A feed hands in the customers of one day together, whatever its files are like. That some come much later shows
    where so few default that nothing can be said of the classes.
    """
    (late, of), (late_before, of_before) = (_stragglers(some, outcome_window) for some in ([reports], earlier))
    n, m = int(of.sum()), int(of_before.sum())
    now, usual, both = late.sum() / max(1, n), late_before.sum() / max(1, m), np.append(late, late_before)
    # Days are exchangeable where nothing changed: their spread over all windows is that of chance.
    spread = float(np.square(both - both.sum() / max(1, n + m) * np.append(of, of_before)).mean()) if both.size else 0.0
    error = float(np.sqrt(spread * (of.size / max(1, n) ** 2 + of_before.size / max(1, m) ** 2)))
    moved = n > 0 and m > 0 and now - usual > max(MORE, SURE * error)
    return STRAGGLERS.finding(
        WINDOW,
        Severity.DRIFTED if moved else Severity.OK,
        (n, m),
        f"{now:.0%} of the reports come over {BEHIND} days after the first quarter of those on customers of the same "
        + (f"day; before it were {usual:.0%}." if m else "day."),
        statistic=float(now),
        critical=float(usual) + MORE if m else None,
    )


def _stragglers(windows: Sequence[Reports], outcome_window: int) -> tuple[Floats, Floats]:
    """Of the reports on customers of each day, how many are late, and how many there are; each (days,)."""
    days = [_by_day(one, outcome_window) for one in windows]
    size, late, _, _ = np.concatenate(days, axis=1) if days else np.zeros((4, 0))
    return late, size


def _by_day(reports: Reports, outcome_window: int) -> Floats:
    """Of the reports on customers of each day: all, the late ones, the defaults, the late defaults; (4, days)."""
    if not len(reports):
        return np.zeros((4, 0))
    delay, day = _delay(reports, outcome_window), reports.decided // DAY
    order = np.lexsort((delay, day))
    delay, bad = delay[order], reports.outcomes[order] == 1.0
    _, first, size = np.unique(day[order], return_index=True, return_counts=True)
    late = delay > np.repeat(delay[first + (size - 1) // 4], size) + BEHIND
    counts = [np.add.reduceat(which, first, dtype=np.float64) for which in (late, bad, late & bad)]
    return np.vstack([size.astype(np.float64), *counts])[:, size >= A_DAY]


def _delay(reports: Reports, outcome_window: int) -> Ints:
    """Whole days between the end of the outcome window and the report; 0 for earlier ones."""
    days: Ints = np.maximum(0, (reports.reported - reports.decided - outcome_window) // DAY)
    return days
