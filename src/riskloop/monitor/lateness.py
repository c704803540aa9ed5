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
    "Mann & Whitney (1947) on the delay of good and of bad customers' reports, within windows (van Elteren, 1960)",
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
    International Statistical Institute 37 (1960) 351-361), so that a delay which changes for both says nothing.
    """
    from scipy.stats import norm

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
    late, sizes = np.zeros(0), np.zeros(0)
    for one in windows:
        delay, day = _delay(one, outcome_window), one.decided // DAY
        order = np.lexsort((delay, day))
        delay = delay[order]
        _, first, size = np.unique(day[order], return_index=True, return_counts=True)
        if size.size:
            behind = delay > np.repeat(delay[first + (size - 1) // 4], size) + BEHIND
            found = np.add.reduceat(behind, first, dtype=np.float64)
            late, sizes = np.append(late, found[size >= A_DAY]), np.append(sizes, size[size >= A_DAY])
    return late, sizes


def _delay(reports: Reports, outcome_window: int) -> Ints:
    """Whole days between the end of the outcome window and the report; 0 for earlier ones."""
    days: Ints = np.maximum(0, (reports.reported - reports.decided - outcome_window) // DAY)
    return days
