"""Is the outcome feed sound, and is enough of it there to judge by?

An outcome feed breaks as every feed does: labels are exchanged, a file names defaults only, another definition of
default comes into force, one class is reported later than the other. Nothing of that is a change of the world.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from riskloop.core.findings import DESCRIBES, WINDOW, DeclaredCheck
from riskloop.core.stats.correlated import rate_variance
from riskloop.core.types import Bools, Finding, Floats, Ints, Severity

OUTCOMES: Final = DeclaredCheck(
    "outcomes",
    DESCRIBES,
    "Worst-case bounds for missing outcomes (Manski, 1989): all good, and all bad",
    "Who defaults",
)
INVERTED: Final = DeclaredCheck(
    "labels_inverted",
    "the customers with the higher PD default more often",
    "Likelihood ratio of the reports as they are and exchanged, under the decisions' PDs; two-sample z of log-odds",
)
ONE_CLASS: Final = DeclaredCheck(
    "labels_one_class",
    "both good and bad customers are reported",
    "Probability that all are of one class under the PDs of the decisions",
)
CORRECTED: Final = DeclaredCheck(
    "labels_corrected",
    "few reports have to be corrected",
    "Share of known outcomes that a delivery changes; this project",
)
LATE: Final = DeclaredCheck(
    "labels_late",
    "good and bad customers are reported equally late",
    "Mann & Whitney (1947) on the delay of good and of bad customers' reports, within windows (van Elteren, 1960)",
)
COVERAGE: Final = DeclaredCheck(
    "labels_coverage",
    "as many of the approved have an outcome as usual",
    "Two-sample z test of proportions, and a practical band",
)
DEFINITION: Final = DeclaredCheck(
    "labels_definition",
    "the level of default changes at a decision date, not at a report date",
    "Largest score statistic of a step in the log-odds (Rao, 1948), over report days and over decision days",
)

BOUNDS: Final = (0.0, 1.0)  # what a missing outcome may turn out to be
CALM: Final = (Severity.OK, Severity.NOISE)
DAY: Final = 86_400_000_000  # microseconds
MONTH: Final = 30  # days whose defaults move together
LEAST: Final = 10  # reports of either class
SURE: Final = 4.0  # standard errors beyond which chance is no explanation
UPSIDE_DOWN: Final = 2.0  # standard errors of the ranking, beside a likelihood ratio of exp(10)
RARE: Final = 1e-6  # as for faults of features
STEP: Final = 20.0  # a score statistic that no step of chance reaches, whichever day is the best
APART: Final = 10.0  # of two score statistics, from which one date explains better than the other
MOST_CORRECTED: Final = 0.10  # of what is known about these customers
FEW_CORRECTED: Final = 20  # are no sign of anything
FEW: Final = 50  # reports of the rarer class: with fewer the windows before are looked at, too
LATER: Final = 0.15  # probability beyond a half that one class is reported after the other
GAP: Final = 0.10  # of the approved


@dataclass(frozen=True, slots=True)
class Reports:
    """Outcomes as they were handed in, each array (n,); of several on one decision, all."""

    ids: Ints  # of the outcomes, ascending
    decisions: Ints
    outcomes: Floats  # 1 or 0
    probabilities: Floats  # of the decisions, as logged
    decided: Ints  # microseconds
    reported: Ints  # microseconds: when they were handed in

    def __len__(self) -> int:
        return int(self.ids.size)

    def take(self, chosen: Ints | Bools) -> "Reports":
        """The reports at ``chosen``."""
        columns = (self.ids, self.decisions, self.outcomes, self.probabilities, self.decided, self.reported)
        return Reports(*(column[chosen] for column in columns))  # type: ignore[arg-type]

    @property
    def latest(self) -> "Reports":
        """The last report on each decision, dated by the first: what is corrected came when it first came."""
        numbers, first = np.unique(self.decisions, return_index=True)
        _, last = np.unique(self.decisions[::-1], return_index=True)
        found = self.take(len(self) - 1 - last if len(self) else last)
        return replace(found, reported=self.reported[first]) if numbers.size else found

    @property
    def log_odds(self) -> Floats:
        """Of the PDs, finite."""
        p = np.clip(self.probabilities, 1e-9, 1.0 - 1e-9)
        return np.asarray(np.log(p / (1.0 - p)), dtype=np.float64)

    @property
    def fewest(self) -> int:
        """How many there are of the rarer class."""
        bad = int(self.outcomes.sum())
        return min(bad, len(self) - bad)


# --------------------------------------------------------------------------- is there enough


def not_judged(known: int, reference: int, because: str) -> Finding:
    """That a window cannot be judged by its outcomes yet: ``known`` of its decisions have one."""
    return OUTCOMES.unknown(WINDOW, (known, reference), because)


def agreed(found: Sequence[Finding], bounds: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Findings on the known outcomes, as far as they hold however the missing ones turn out.

    ``bounds`` are the findings with all missing outcomes good, and with all bad. What moved only without them is not
    found; what is calm only without them is not known.
    """
    others = [{(f.check, f.subject): f for f in bound} for bound in bounds]
    keys = [(f.check, f.subject) for f in found]
    return [_bounded(f, [o[key] for o in others if key in o]) for f, key in zip(found, keys, strict=True)]


def _bounded(finding: Finding, bounds: Sequence[Finding]) -> Finding:
    said = [one.severity for one in (finding, *bounds)]
    details = {**finding.details, "bounds": [one.statistic for one in bounds]}
    if finding.severity is Severity.UNKNOWN or len({severity in CALM for severity in said}) == 1:
        mildest = min((s for s in said), key=list(Severity).index)
        return replace(finding, severity=mildest, details=details)
    because = f"the missing outcomes decide. {finding.sentence}"
    return replace(
        OUTCOMES.unknown(finding.subject, (finding.n, finding.m), because), check=finding.check, details=details
    )


# --------------------------------------------------------------------------- what a delivery says


def delivery_findings(reports: Reports, corrected: int, known: int) -> list[Finding]:
    """What is wrong with deliveries that came together; a fault is not learned from.

    ``corrected`` of the ``known`` outcomes of customers of the same time are changed by them.
    """
    found = [] if reports.fewest < LEAST else [_inverted(reports)]
    if corrected:
        share = corrected / max(1, known)
        fault = corrected >= FEW_CORRECTED and share > MOST_CORRECTED
        found.append(
            CORRECTED.finding(
                WINDOW,
                Severity.FAULT if fault else Severity.OK,
                (len(reports), known),
                f"{corrected:,} of {known:,} known outcomes of these customers are corrected at once.",
                statistic=share,
                critical=MOST_CORRECTED,
            )
        )
    return found


def _inverted(reports: Reports) -> Finding:
    """Exchanged labels are far likelier under the PDs than the reports are, and the ranking is upside down."""
    log_odds = reports.log_odds
    bad = reports.outcomes == 1.0
    likelier = -float(((2.0 * reports.outcomes - 1.0) * log_odds).sum())
    ones, others = log_odds[bad], log_odds[~bad]
    error = float(np.sqrt(ones.var(ddof=1) / ones.size + others.var(ddof=1) / others.size))
    apart = float(ones.mean() - others.mean())
    fault = likelier > APART and apart < -UPSIDE_DOWN * error
    return INVERTED.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (len(reports), 0),
        f"Of {len(reports):,} reports {ones.size:,} are defaults; "
        + (
            "the customers with the lower PDs default, and the reports fit the PDs with good and bad exchanged."
            if fault
            else "the customers with the higher PDs default more often."
            if apart > 0
            else "the PDs do not tell them apart."
        ),
        statistic=apart / error if error else 0.0,
        critical=-UPSIDE_DOWN,
        details={"log_likelihood_ratio": likelier},
    )


# --------------------------------------------------------------------------- what a window's outcomes say


def window_findings(
    reports: Reports,
    outcome_window: int,
    covered: tuple[int, int],
    usual: tuple[int, int],
    earlier: Sequence[Reports] = (),
) -> list[Finding]:
    """Delay, coverage and classes of a settled window's outcomes, the last report on each decision.

    ``outcome_window`` in microseconds. ``covered`` and ``usual`` are how many approved customers have an outcome, and
    how many were approved, in this window and in those before. ``earlier`` are the reports of those windows, latest
    first, which a window with few of one class needs.
    """
    found = [_one_class(reports), _coverage(covered, usual)]
    if reports.fewest >= LEAST:
        found.append(_inverted(reports))
    if sum(one.fewest for one in (reports, *earlier)) >= LEAST:
        found.append(_late((reports, *earlier), outcome_window))
    return found


def _one_class(reports: Reports) -> Finding:
    bad = reports.outcomes == 1.0
    chance = 1.0
    if len(reports) and (bad.all() or not bad.any()):
        p = reports.probabilities if bad.all() else 1.0 - reports.probabilities
        chance = float(np.exp(np.log(p).sum()))
    fault = chance < RARE
    what = "defaults" if bad.all() else "good"
    return ONE_CLASS.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (len(reports), 0),
        f"All {len(reports):,} outcomes are {what}; where only defaults are reported, set outcomes.reported."
        if fault
        else f"{int(bad.sum()):,} of {len(reports):,} outcomes are defaults.",
        statistic=chance,
        critical=RARE,
    )


def _coverage(covered: tuple[int, int], usual: tuple[int, int]) -> Finding:
    (k, n), (before, m) = covered, usual
    now, then = k / max(1, n), before / max(1, m)
    pooled = (k + before) / max(1, n + m)
    error = float(np.sqrt(max(pooled * (1.0 - pooled), 1e-12) * (1.0 / max(1, n) + 1.0 / max(1, m))))
    moved = n > 0 and m > 0 and then - now > GAP and (then - now) / error > SURE
    return COVERAGE.finding(
        WINDOW,
        Severity.DRIFTED if moved else Severity.OK,
        (n, m),
        f"{now:.0%} of the approved have an outcome" + (f"; before it were {then:.0%}." if m else "."),
        statistic=now,
        critical=then - GAP if m else None,
    )


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


def _late(windows: Sequence[Reports], outcome_window: int) -> Finding:
    """Of the latest window, with as many of the windows before as show it best; ``windows`` are latest first.

    Where few default one window never shows it. Each is compared within itself (van Elteren, Bulletin of the
    International Statistical Institute 37 (1960) 351-361), so that a delay which changes for both says nothing.
    """
    from scipy.stats import norm

    parts = []
    for one in windows:
        delay = np.maximum(0, (one.reported - one.decided - outcome_window) // DAY).astype(np.float64)
        parts.append((delay, one.outcomes == 1.0))
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
        details={"p_value": p_value, "late": float((delay > 7.0).mean()), "windows": best + 1},
    )


# --------------------------------------------------------------------------- another definition of default?


def definition_finding(reports: Reports, *, moved: bool = True, correlation: float = 0.0) -> tuple[Finding, int | None]:
    """Whether the level of default changed at a report date, and at which (microseconds).

    ``moved``: the level of the window alone is known to have changed; else a step over all the windows has to show it,
    beyond what defaults of one month that move together by the asset ``correlation`` give.

    ``reports`` are the last ones on each decision, of the window that moved and of those before. A real change of level
    begins with customers of a day, a change of definition with reports of a day. Where each report comes a fixed time
    after its decision the two cannot be told apart: then a person has to know. Returns the day only where it is sure.
    """
    level = _recalibrated(reports)
    months = (reports.decided - reports.decided.min()) // (MONTH * DAY)
    residual, together = reports.outcomes - level, rate_variance(level, correlation)
    (by_report, step, cut), (by_decision, begun_by, begun) = (
        _largest_step(at // DAY, residual, level * (1.0 - level), months, together)
        for at in (reports.reported, reports.decided)
    )
    gap = by_report - by_decision
    severity = Severity.FAULT if gap > APART else Severity.DRIFTED if gap > -APART else Severity.OK
    if not moved and step < STEP:
        severity = Severity.OK
    day = _day(cut) if severity is not Severity.OK else _day(begun)
    words = {
        Severity.FAULT: f"The level of default changes for all reports since {day}, about customers of any date. The "
        "definition of default has changed, or the feed is broken.",
        Severity.DRIFTED: f"The level of default changes since {day}. The outcomes do not show whether the customers "
        "changed or the reports: it may be another definition of default.",
        Severity.OK: f"The level of default changes for customers since {day}, in reports of any date."
        if moved or begun_by >= STEP
        else "The level of default shows no step at any report date.",
    }
    finding = DEFINITION.finding(
        WINDOW,
        severity,
        (len(reports), 0),
        words[severity],
        statistic=gap,
        critical=APART,
        details={"by_report": by_report, "by_decision": by_decision, "step": step, "asset_correlation": correlation},
    )
    return finding, cut * DAY if severity is Severity.FAULT else None


def _recalibrated(reports: Reports) -> Floats:
    """The PDs with the log-odds moved so that they sum to the defaults: what is left of a level is a step in time."""
    log_odds, shift = reports.log_odds, 0.0
    for _ in range(60):
        p = 1.0 / (1.0 + np.exp(-(log_odds + shift)))
        step = float((reports.outcomes - p).sum() / max((p * (1.0 - p)).sum(), 1e-9))
        # Where few default and labels are inverted, whole steps of Newton's overshoot and never come back.
        shift += min(max(step, -1.0), 1.0)
    p = 1.0 / (1.0 + np.exp(-(log_odds + shift)))
    return np.asarray(np.clip(p, 1e-9, 1.0 - 1e-9), dtype=np.float64)


def _largest_step(
    days: Ints, residual: Floats, variance: Floats, months: Ints, together: float
) -> tuple[float, float, int]:
    """The largest score statistic of a step that begins on a day, and the day; 0 where all are of one day.

    Between them the same statistic where the rate of each of the ``months`` (n,) has the variance ``together`` beside
    that of chance.
    """
    order = np.argsort(days, kind="stable")
    days, before = days[order], np.cumsum(residual[order])
    spread = np.cumsum(variance[order])
    ends = np.flatnonzero(np.diff(days))
    inside = ends[(ends + 1 >= 0.05 * days.size) & (ends + 1 <= 0.95 * days.size)]
    if not inside.size:
        return 0.0, 0.0, int(days[-1]) if days.size else 0
    share = spread[inside] / spread[-1]
    chance = spread[-1] * share * (1.0 - share)
    statistic = before[inside] ** 2 / chance
    best = int(np.argmax(statistic))
    # Each month's rows before the step, beyond the share that all rows have there: what its factor adds to the sum.
    earlier = np.bincount(months[order][: inside[best] + 1], minlength=int(months.max()) + 1)
    beyond = earlier - share[best] * np.bincount(months)
    allowed = statistic[best] * chance[best] / (chance[best] + together * float(np.square(beyond).sum()))
    return float(statistic[best]), float(allowed), int(days[inside[best] + 1])


def _day(number: int) -> str:
    moment = np.datetime64(int(number), "D").astype(object)
    return f"{moment.day} {moment:%B %Y}"
