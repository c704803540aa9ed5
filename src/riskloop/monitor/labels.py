"""Is the outcome feed sound, and is enough of it there to judge by?

An outcome feed breaks as every feed does: labels are exchanged, a file names defaults only, another definition of
default comes into force, one class is reported later than the other. Nothing of that is a change of the world.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import numpy as np

from riskloop.core.english import counted
from riskloop.core.findings import WINDOW, DeclaredCheck
from riskloop.core.grades import RATE_GAP
from riskloop.core.stats.correlated import level_p_value, rate_variance
from riskloop.core.types import Finding, Floats, Ints, Severity
from riskloop.monitor.corrections import Corrections, corrected_finding
from riskloop.monitor.lateness import LEAST, RARE, late_finding, straggler_finding
from riskloop.monitor.miscounted import miscounted
from riskloop.monitor.reports import DAY, Reports

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

MONTH: Final = 30  # days whose defaults move together
MANY: Final = 200  # reports, of which the level tells exchanged labels
SURE: Final = 4.0  # standard errors beyond which chance is no explanation
UPSIDE_DOWN: Final = 2.0  # standard errors of the ranking, beside a likelihood ratio of exp(10)
STEP: Final = 20.0  # a score statistic that no step of chance reaches, whichever day is the best
BESIDE: Final = 3e-4  # p-value of the level beside the champion's, below which a person is asked
UNSURE: Final = 0.01  # the same, below which a person sees a promotion though nothing is called
OWN: Final = 0.05  # p-value of a window's own level, of a step that it adds to
TINY: Final = 1e-9
RANKED: Final = ("auc", "ranking_over_time", "features_over_time")  # checks by which the customers rank otherwise
APART: Final = 10.0  # of two score statistics, from which one date explains better than the other
GAP: Final = 0.02  # of the approved


# --------------------------------------------------------------------------- what a delivery says


def delivery_findings(
    reports: Reports, corrected: int, known: int, classes: Corrections | None = None
) -> list[Finding]:
    """What is wrong with deliveries that came together; a fault is not learned from.

    ``corrected`` of the ``known`` outcomes of customers of the same time are changed by them: which, say ``classes``.
    """
    found = [_inverted(reports)] if reports.fewest else []
    if corrected:
        found.append(corrected_finding(len(reports), corrected, known, classes))
    return found


def enough(rows: int, defaults: int) -> bool:
    """Whether so many reports tell sound labels from exchanged ones: by their ranking, or where few default, by level.

    A file of defaults alone is no feed with exchanged labels, so that both classes have to be there.
    """
    fewest = min(defaults, rows - defaults)
    return fewest >= LEAST or (fewest > 0 and rows >= MANY)


def _inverted(reports: Reports) -> Finding:
    """Exchanged labels are far likelier under the PDs than the reports are, and ranking or level is upside down.

    A world gets worse, and no world turns half a percent of defaults into all but half a percent. Where there are too
    few of one class to rank, that tells the two apart.
    """
    log_odds = reports.log_odds
    bad = reports.outcomes == 1.0
    likelier = -float(((2.0 * reports.outcomes - 1.0) * log_odds).sum())
    ones, others = log_odds[bad], log_odds[~bad]
    apart = float(ones.mean() - others.mean())
    if reports.fewest >= LEAST:
        error = float(np.sqrt(ones.var(ddof=1) / ones.size + others.var(ddof=1) / others.size))
        upside_down, how = apart < -UPSIDE_DOWN * error, "the customers with the lower PDs default, and "
    else:
        good = 1.0 - reports.probabilities
        gap = abs(float(bad.sum() - good.sum())) / float(np.sqrt(max((good * (1.0 - good)).sum(), 1.0)))
        error, upside_down, how = 0.0, len(reports) >= MANY and gap < SURE, ""
    fault = likelier > APART and upside_down
    return INVERTED.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (len(reports), 0),
        f"Of {len(reports):,} reports {ones.size:,} are defaults; "
        + (
            f"{how}the reports fit the PDs with good and bad exchanged."
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
    *,
    silent: bool = False,
) -> list[Finding]:
    """Delay, coverage and classes of a settled window's outcomes, the last report on each decision.

    Where the good are ``silent`` nobody is missing, and nobody knows when their outcome was known.

    ``outcome_window`` in microseconds. ``covered`` and ``usual`` are how many approved customers have an outcome, and
    how many were approved, in this window and in those before. ``earlier`` are the reports of those windows, latest
    first, which lateness is told by.
    """
    found = [_one_class(reports, silent)]
    if reports.fewest:
        found.append(_inverted(reports))
    if silent:
        return found
    found.append(_coverage(covered, usual))
    if sum(one.fewest for one in (reports, *earlier)) >= LEAST:
        found.append(late_finding((reports, *earlier), outcome_window))
    return [*found, straggler_finding(reports, earlier, outcome_window)]


def _one_class(reports: Reports, silent: bool) -> Finding:
    bad = reports.outcomes == 1.0
    chance = 1.0
    if len(reports) and (bad.all() or not bad.any()):
        p = reports.probabilities if bad.all() else 1.0 - reports.probabilities
        chance = float(np.exp(np.log(p).sum()))
    fault = chance < RARE
    what = "defaults" if bad.all() else "good"
    about = "nobody is reported as a default" if silent else "where only defaults are reported, set outcomes.reported"
    return ONE_CLASS.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (len(reports), 0),
        f"All {len(reports):,} outcomes are {what}; {about}."
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


# --------------------------------------------------------------------------- another definition of default?


def definition_finding(
    reports: Reports,
    *,
    moved: bool = True,
    correlation: float = 0.0,
    learned: float | None = None,
    in_order: bool = True,
    begins: int | None = None,
    doubt: str = "",
) -> tuple[Finding, int | None]:
    """Whether the level of default changed at a report date, and at which (microseconds).

    ``moved``: the level of the window alone is known to have changed; else the windows together have to show it, by a
    step or beside the champion's level, whose standard error in log-odds is ``learned``: beyond what defaults of one
    month that move together by the asset ``correlation`` give. Where reports no longer come ``in_order``, the day of a
    report says nothing. Decisions from ``begins`` on are the window's own: whether they add to what those before them
    showed is told (`adds`), because a month must not be its own witness in the next window. A ``doubt`` is a sentence
    that makes a person be asked, too (`definition_doubt`).

    ``reports`` are the last ones on each decision, of the window that moved and of those before. A real change of level
    begins with customers of a day, a change of definition with reports of a day. Where each report comes a fixed time
    after its decision the two cannot be told apart: then a person has to know. Returns the day only where it is sure.
    """
    by_report, by_decision, beside = _level_moved(reports, correlation, learned, in_order)
    gap = by_report.beyond_chance - by_decision.beyond_chance
    step = by_report.allowed
    asks = moved or bool(doubt) or step >= STEP or (beside is not None and beside.matters)
    # A step of the customers is the business of the window's own test; where that does not show it, the months do.
    severity = Severity.FAULT if gap > APART else Severity.DRIFTED if gap > -APART or not moved else Severity.OK
    if not asks:
        severity = Severity.OK
    day = _day(by_report.day) if severity is not Severity.OK else _day(by_decision.day)
    since = f"The level of default changes since {day}."
    if beside is not None and not moved and step < STEP:
        since = beside.sentence
    since = doubt or since
    words = {
        Severity.FAULT: f"The level of default changes for all reports since {day}, about customers of any date. The "
        "definition of default has changed, or the feed is broken.",
        Severity.DRIFTED: f"{since} The outcomes do not show whether the customers changed or the reports: it may be "
        "another definition of default."
        if gap > -APART
        else f"{since} It changed for customers since {_day(by_decision.day)}, in reports of any date.",
        Severity.OK: f"The level of default changes for customers since {day}, in reports of any date."
        if moved or by_decision.allowed >= STEP
        else "The level of default shows no step at any report date.",
    }
    adds = True
    if begins is not None and severity is not Severity.OK and not moved:
        before, own = (reports.take(part) for part in (reports.decided < begins, reports.decided >= begins))
        earlier = _level_moved(before, correlation, learned, in_order) if len(before) else None
        off = None if learned is None else _beside_the_champion(own, correlation, learned)
        adds = earlier is None or _adds(by_report, beside, earlier, off)
    finding = DEFINITION.finding(
        WINDOW,
        severity,
        (len(reports), 0),
        words[severity],
        statistic=gap,
        critical=APART,
        details={
            "by_report": by_report.beyond_chance,
            "by_decision": by_decision.beyond_chance,
            "step": step,
            "asset_correlation": correlation,
            "adds": adds,
        }
        | ({} if beside is None else beside._asdict()),
    )
    return finding, by_report.day * DAY if severity is Severity.FAULT else None


def definition_doubt(own: Reports, moved: Collection[str]) -> str | None:
    """What makes a person be asked beside the level of the window itself, as a sentence; None: nobody is to be asked.

    ``own`` are the window's reports, ``moved`` the checks that moved. Where the ranking moved it is no other
    definition, unless one that counts fewer defaults explains that: then the good hold customers of high PDs.
    """
    thinned = miscounted(own) if not {"auc", "calibration_slope"}.isdisjoint(moved) else None
    if "auc" in moved:
        return thinned.sentence if thinned is not None and thinned.fewer else None
    if thinned is not None:
        return thinned.sentence
    many = "level_over_time" in moved and "calibration" not in moved
    return "Many windows together speak against the level of default." if many else ""


def promotion_doubt(findings: Sequence[Finding]) -> str | None:
    """Why a person has to see a promotion though nothing is called: a sentence about the latest judged window's level.

    A false call starts a case, a question at a promotion costs a look: less evidence suffices. Where the ranking moved
    it is no matter of definitions.
    """
    moved = {f.check for f in findings if f.severity in (Severity.DRIFTED, Severity.SEVERE)}
    said = next((f for f in findings if f.check == DEFINITION.name), None)
    if said is None or "p_value" not in said.details or not moved.isdisjoint(RANKED):
        return None
    beside = _Beside(*(said.details[name] for name in _Beside._fields))
    if beside.p_value >= UNSURE or not beside.is_more_than_a_tenth:
        return None
    return (
        f"{beside.sentence} That may be chance (p = {beside.p_value:.2g}), another level of the customers, or another "
        "definition of default, and a challenger learns it."
    )


def ranked_otherwise(windows: Sequence[Sequence[Finding]]) -> bool:
    """Whether customers rank otherwise than before: by the latest judged window's findings, or by two of the windows.

    ``windows`` are oldest first. A definition that flattens the scores is called before (`miscounted`).
    """
    said = [any(f.check in RANKED and f.severity in (Severity.DRIFTED, Severity.SEVERE) for f in w) for w in windows]
    return bool(said) and (said[-1] or sum(said) > 1)


class _Step(NamedTuple):
    """The largest step of the level over the days of something."""

    beyond_chance: float  # score statistic
    allowed: float  # the same, allowing for months whose defaults move together
    day: int  # first one after it


class _Beside(NamedTuple):
    """The level of the latest ``months``, beside what the champion expected of them."""

    p_value: float
    observed: int  # defaults
    expected: float
    months: int

    @property
    def matters(self) -> bool:
        """Whether it is neither chance nor too little to matter."""
        return self.p_value < BESIDE and self.is_more_than_a_tenth

    @property
    def is_more_than_a_tenth(self) -> bool:
        return abs(self.observed - self.expected) > RATE_GAP * self.expected

    @property
    def sentence(self) -> str:
        return (
            f"The reports on the latest {counted(self.months, 'month')} of customers hold "
            f"{counted(self.observed, 'default')}, where the champion expected {self.expected:,.0f}."
        )


_Moved = tuple[_Step, _Step, _Beside | None]  # by report days, by decision days, and beside the champion


def _level_moved(reports: Reports, correlation: float, learned: float | None, in_order: bool) -> _Moved:
    """The largest step over report days and over decision days, and the level beside the champion's."""
    level = _recalibrated(reports)
    months = (reports.decided - reports.decided.min()) // (MONTH * DAY)
    residual, together = reports.outcomes - level, rate_variance(level, correlation)
    by_report, by_decision = (
        _largest_step(at // DAY, residual, level * (1.0 - level), months, together)
        for at in (reports.reported if in_order else reports.decided, reports.decided)
    )
    return by_report, by_decision, None if learned is None else _beside_the_champion(reports, correlation, learned)


def _adds(step: _Step, beside: _Beside | None, before: _Moved, own: _Beside | None) -> bool:
    """Whether what asks is stronger than it was ``before`` the window, and a step because the window itself is off.

    An odd month is a step back, too, which the usual months after it show ever better.
    """
    was, _, beside_was = before
    if step.allowed >= max(STEP, was.allowed) and (own is None or own.p_value < OWN):
        return True
    if beside is None or beside_was is None or not beside.matters:
        return False
    return beside.p_value <= beside_was.p_value


def _beside_the_champion(reports: Reports, correlation: float, learned: float) -> _Beside:
    """Of the latest months, as many as show it best.

    A champion was taught its level by a whole history: beside that, a change shows sooner than beside a few windows.
    Months have factors of their own, so that k of them together move by about 1/k of what one does.
    """
    ago = (reports.decided.max() - reports.decided) // (MONTH * DAY)
    found = []
    for last in range(int(ago.max()) + 1):
        there = ago <= last
        sizes = np.bincount(ago[there]).astype(np.float64)
        alike = correlation * float(np.square(sizes).sum()) / sizes.sum() ** 2
        p, defaults = np.clip(reports.probabilities[there], TINY, 1.0 - TINY), int(reports.outcomes[there].sum())
        found.append(_Beside(level_p_value(defaults, p, alike, learned), defaults, float(p.sum()), last + 1))
    return min(found)


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


def _largest_step(days: Ints, residual: Floats, variance: Floats, months: Ints, together: float) -> _Step:
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
        return _Step(0.0, 0.0, int(days[-1]) if days.size else 0)
    # A handful of defaults are a step of any size; as for χ², five have to be expected on either side.
    inside = inside[np.minimum(spread[inside], spread[-1] - spread[inside]) >= LEAST / 2]
    if not inside.size:
        return _Step(0.0, 0.0, int(days[-1]))
    share = spread[inside] / spread[-1]
    chance = spread[-1] * share * (1.0 - share)
    statistic = before[inside] ** 2 / chance
    best = int(np.argmax(statistic))
    # Each month's rows before the step, beyond the share that all rows have there: what its factor adds to the sum.
    earlier = np.bincount(months[order][: inside[best] + 1], minlength=int(months.max()) + 1)
    beyond = earlier - share[best] * np.bincount(months)
    allowed = statistic[best] * chance[best] / (chance[best] + together * float(np.square(beyond).sum()))
    return _Step(float(statistic[best]), float(allowed), int(days[inside[best] + 1]))


def _day(number: int) -> str:
    moment = np.datetime64(int(number), "D").astype(object)
    return f"{moment.day} {moment:%B %Y}"
