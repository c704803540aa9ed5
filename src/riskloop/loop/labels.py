"""The outcome feed is watched like that of the features: what is broken is kept, and counted nowhere.

Deliveries are looked at together when they come, windows when their outcomes are settled. A fault quarantines the
deliveries that brought it, until a person releases them; whatever a person has released is not held again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from riskloop.cases import CaseState, Signal, move
from riskloop.core.errors import DataError
from riskloop.core.maturity import LATEST, Maturity
from riskloop.core.settings import OutcomeSettings, Settings
from riskloop.core.span import Span
from riskloop.core.types import Diagnosis, Finding, Floats, Severity, to_micros
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.examine import correlation
from riskloop.loop.snapshot import share_of
from riskloop.monitor.corrections import LEAST_CORRECTED, Corrections
from riskloop.monitor.labels import (
    DEFINITION,
    definition_doubt,
    definition_finding,
    delivery_findings,
    enough,
    promotion_doubt,
    ranked_otherwise,
    window_findings,
)
from riskloop.monitor.lateness import LATE, STRAGGLERS
from riskloop.monitor.matured import Matured
from riskloop.monitor.performance import level_errors
from riskloop.monitor.reports import Reports, joined
from riskloop.monitor.steps import LevelStep, level_steps, step_doubt
from riskloop.store.cases import Cases, move_case, open_case
from riskloop.store.decisions import DecisionLog
from riskloop.store.deliveries import Delivery, examined, hold
from riskloop.store.maturity import OutcomeFeed
from riskloop.store.outcomes import Outcomes, Report
from riskloop.store.windows import Window, Windows

EARLIER: Final = 6  # windows that a changed level is looked for in
NO_WINDOW: Final = 0  # of a case about outcomes
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE)


@dataclass(frozen=True, slots=True)
class LearnedLevel:
    """A champion's level of default."""

    of: Callable[[Floats], Floats]  # the best estimate of logged probabilities: without a margin of conservatism
    correlation: float  # asset correlation of the defaults of a month
    error: float | None  # standard error in log-odds; None: nothing is known of it

    @classmethod
    def from_champion(
        cls, champion: ReferenceModel, settings: Settings, *, drifted: bool = False, sure: bool = False
    ) -> "LearnedLevel":
        """What the champion's level is worth; nothing for customers who ``drifted`` from those that taught it.

        Where a person is asked, defaults are allowed to move together as they likely do; where it has to be ``sure``
        that nobody need be asked, as much as the history's bound leaves open.
        """
        allowed = correlation(champion, settings)
        together = allowed.asset if sure else allowed.likely
        history = Matured.of(champion.best_estimate(champion.probabilities), champion.outcomes)
        error = None
        if not drifted:
            with suppress(DataError):
                _, error = level_errors(history.probabilities, history, together, allowed.periods)
        return cls(champion.best_estimate, together, error)


@dataclass(frozen=True, slots=True)
class Suspect:
    """What is wrong with outcomes, and the deliveries that brought them."""

    finding: Finding
    deliveries: tuple[Delivery, ...]


def examine(feed: OutcomeFeed, cases: Cases, champion: int, now: datetime) -> list[str]:
    """Look at the deliveries that nobody has looked at; sentences about those that are quarantined now.

    They are looked at in groups that hold enough of good and bad customers to say something. What does not make a group
    waits for more, as long as outcomes are waited for at all.
    """
    said = []
    new = feed.deliveries.unexamined()
    everything = _reports_in(feed.outcomes, new)
    for group in _groups(everything, feed.settings.outcomes, new, now):
        first = min((delivery.first_id for delivery in group if delivery.first_id is not None), default=None)
        found: list[Finding] = []
        if first is not None:
            reports, corrected = _brought(everything, group), sum(delivery.corrected for delivery in group)
            known = _known_before(feed.decisions, reports, first) if corrected else 0
            classes = _corrected_lately(feed, group) if corrected else None
            found = delivery_findings(reports, corrected, known, classes)
        faults = [finding for finding in found if finding.severity is Severity.FAULT]
        if faults:
            said.append(quarantine(cases, champion, Suspect(faults[0], tuple(group)), now, found))
            continue
        with cases.database.write() as connection:
            examined(connection, [delivery.id for delivery in group], found)
    return said


def _groups(
    reports: Reports, settings: OutcomeSettings, new: Sequence[Delivery], now: datetime
) -> Iterator[list[Delivery]]:
    """Consecutive deliveries that say enough of both classes; at the end those that were not enough for too long."""
    group: list[Delivery] = []
    bad = rows = 0
    for delivery in new:
        group.append(delivery)
        labels = _brought(reports, [delivery]).outcomes
        bad, rows = bad + int(labels.sum()), rows + labels.size
        if enough(rows, bad) or delivery.corrected >= LEAST_CORRECTED:
            yield group
            group, bad, rows = [], 0, 0
    old = now - settings.patience
    if group and (group[0].at < old or settings.reported == "defaults"):
        yield group


def _reports_in(outcomes: Outcomes, group: Sequence[Delivery]) -> Reports:
    """All reports that consecutive deliveries brought, read at once."""
    ids = [number for d in group for number in (d.first_id, d.last_id) if number is not None]
    if not ids:
        return reports_of([])
    return reports_of(outcomes.reports(Maturity(LATEST, outcomes=max(ids)), after=min(ids) - 1))


def _brought(reports: Reports, group: Sequence[Delivery]) -> Reports:
    """Those of ``reports`` that the deliveries of a group brought."""
    ids = [number for d in group for number in (d.first_id, d.last_id) if number is not None]
    first, last = np.searchsorted(reports.ids, [min(ids, default=0), max(ids, default=-1) + 1])
    return reports.take(np.arange(first, last))


def _known_before(decisions: DecisionLog, reports: Reports, first: int) -> int:
    """How many customers of the same time had an outcome before."""
    span = Span(start=int(reports.decided.min()), end=int(reports.decided.max()) + 1)
    return decisions.coverage(span, Maturity(LATEST, outcomes=first - 1)).known


def _corrected_lately(feed: OutcomeFeed, group: Sequence[Delivery]) -> Corrections | None:
    """What a group of deliveries corrects together with those that came shortly before: a few at a time are many, too.

    What is in quarantine, or was released by a person, is settled, and so is all before it.
    """
    lately: list[Delivery] = []
    for delivery in feed.deliveries.since(to_micros(group[0].at - feed.settings.outcomes.patience)):
        if delivery.id <= group[-1].id:
            lately = [] if delivery.held or delivery.released else [*lately, delivery]
    if sum(delivery.corrected for delivery in lately) < LEAST_CORRECTED:
        return None
    reports = _reports_in(feed.outcomes, lately)
    return _corrections(feed, reports, int(reports.ids[0]))


def _corrections(feed: OutcomeFeed, reports: Reports, first: int) -> Corrections | None:
    """What the reports change about what was known before the outcome with the id ``first``, and about one another.

    Of customers who were decided on when those were whose outcome is changed: the others of a file are no measure of
    it. None where nothing is changed.
    """
    silent = feed.settings.outcomes.reported == "defaults"
    span = Span(start=int(reports.decided.min()), end=int(reports.decided.max()) + 1)
    frame = feed.decisions.frame(span, Maturity(LATEST, outcomes=first - 1), bare=True)
    decisions, here = np.unique(reports.decisions, return_index=True)  # the first report on each
    last = len(reports) - 1 - np.unique(reports.decisions[::-1], return_index=True)[1]
    places = np.searchsorted(frame.ids, decisions)
    there = (places < len(frame.ids)) & (frame.ids[np.minimum(places, len(frame.ids) - 1)] == decisions)
    decisions, here, last, places = (values[there] for values in (decisions, here, last, places))
    before = frame.outcomes.copy()
    before[places] = np.where(np.isnan(before[places]), reports.outcomes[here], before[places])
    after = before.copy()
    after[places] = reports.outcomes[last]
    changed = frame.times[(before != after) & ~np.isnan(before)]
    if not changed.size:
        return None
    same = (frame.times >= changed.min()) & (frame.times <= changed.max())
    reported = same & ~np.isnan(before)
    asked = reported
    if silent:  # of the others nobody hears anything, and they are good
        asked = same & (reported if frame.declined is None else ~frame.declined | reported)
    return Corrections(
        defaults=int((before[reported] == 1.0).sum()),
        goods=int(asked.sum() - (before[reported] == 1.0).sum()),
        withdrawn=int(((before == 1.0) & (after == 0.0) & reported).sum()),
        turned=int(((before == 0.0) & (after == 1.0) & reported).sum()),
        expected=float(frame.probabilities[asked].sum()),
    )


def of_window(
    feed: OutcomeFeed,
    windows: Windows,
    window: Window,
    known: Maturity,
    realised: Sequence[Finding],
    level: LearnedLevel,
) -> list[Finding]:
    """What the settled outcomes of a window say about their feed."""
    before = _judged_before(windows, window)
    reports, *earlier = (_settled(feed, one, known) for one in (window, *reversed(before)))
    silent = known.silence == "good"
    covered, *usual = (feed.decisions.coverage(one.span, known) for one in (window, *before))
    approved = sum(one.approved_known for one in usual), sum(one.approved for one in usual)
    length = feed.settings.portfolio.outcome_window // timedelta(microseconds=1)
    found = window_findings(
        reports, length, (covered.approved_known, covered.approved), approved, earlier, silent=silent
    )
    moved = {finding.check for finding in (*realised, *found) if finding.severity in MOVED}
    together = joined([reports, *earlier])
    own = replace(reports, probabilities=level.of(reports.probabilities))
    doubt = definition_doubt(own, moved)
    if doubt is None or not len(reports):
        return found
    finding, day = definition_finding(
        replace(together, probabilities=level.of(together.probabilities)),
        moved="calibration" in moved,
        correlation=level.correlation,
        learned=level.error,
        in_order=not silent and moved.isdisjoint((LATE.name, STRAGGLERS.name)),
        begins=int(reports.decided.min()),
        doubt=doubt,
    )
    return [*found, replace(finding, details={**finding.details, "report_day": day})]


def _settled(feed: OutcomeFeed, window: Window, known: Maturity) -> Reports:
    """What became of a window's customers: the last report on each.

    Where only defaults are reported, the others are good, and their outcome has no date but the decision's.
    """
    if known.silence == "unknown":
        return reports_of(feed.outcomes.reports(known, span=window.span)).latest
    share = share_of(feed.decisions, window.span, feed.settings.retrain.max_rows)
    frame = feed.decisions.frame(window.span, known, share, bare=True)
    there = ~np.isnan(frame.outcomes)
    ids, times = frame.ids[there], frame.times[there]
    return Reports(ids, ids, frame.outcomes[there], frame.probabilities[there], times, times)


def _judged_before(windows: Windows, window: Window) -> list[Window]:
    """The sound windows before, of the same champion, that were judged by their outcomes."""
    earlier = windows.of_model(window.model_version, EARLIER, window.id)
    return [one for one in earlier if one.matured_at is not None and one.diagnosis is not Diagnosis.DATA_FAULT]


def suspect_of(feed: OutcomeFeed, window: Window, known: Maturity, found: Sequence[Finding]) -> Suspect | None:
    """The deliveries that brought a fault of the labels; None where a person has released some of them."""
    fault = next((finding for finding in found if finding.severity is Severity.FAULT), None)
    if fault is None:
        return None
    day = fault.details.get("report_day")
    if day is None:
        deliveries = feed.deliveries.containing([one.id for one in feed.outcomes.reports(known, span=window.span)])
    else:
        deliveries = feed.deliveries.since(day)
    if not deliveries or any(delivery.released for delivery in deliveries):
        return None
    return Suspect(fault, tuple(deliveries))


def doubts(feed: OutcomeFeed, windows: Windows, champion: ReferenceModel, known: Maturity) -> tuple[str, ...]:
    """What a person has to know before a challenger of this champion is promoted: sentences about the labels.

    The challenger learned the outcomes that are ``known``, those of windows among them that nobody has judged yet.
    """
    learned, definition = champion.manifest.training.definition, feed.settings.outcomes.definition
    found = level_doubts(
        windows, champion.version, _steps(feed, windows, champion, known), feed.settings.gate.max_level_step
    )
    if learned != definition:
        found.append(
            f"Version {champion.version} learned definition '{learned}' of default, and outcomes follow definition "
            f"'{definition}'."
        )
    return tuple(found)


def level_doubts(windows: Windows, version: int, steps: Sequence[LevelStep], share: float) -> list[str]:
    """Whether outcomes of a champion's windows may follow another definition: what was called, else what may be so.

    Of that a difference from the champion's level comes first, then a step by the ``share`` that is not excluded.
    """
    called = [finding.sentence for finding in windows.moved(version, DEFINITION.name)[-1:]]
    if called:
        return called
    judged = [windows.findings(one.id) for one in windows.of_model(version, EARLIER + 1) if one.matured_at is not None]
    said = promotion_doubt(judged[-1]) if judged else None
    if said is None:
        said = step_doubt(steps, share, ranked=ranked_otherwise(judged))
    return [] if said is None else [said]


def _steps(feed: OutcomeFeed, windows: Windows, champion: ReferenceModel, known: Maturity) -> list[LevelStep]:
    """What the ``known`` outcomes of a champion's latest windows leave open of its level."""
    sound = [
        one for one in windows.of_model(champion.version, EARLIER + 1) if one.diagnosis is not Diagnosis.DATA_FAULT
    ]
    if not sound:
        return []
    level = LearnedLevel.from_champion(champion, feed.settings, sure=True)
    reports = joined([_settled(feed, one, known) for one in sound])
    return level_steps(replace(reports, probabilities=level.of(reports.probabilities)), level.correlation, level.error)


def quarantine(cases: Cases, champion: int, suspect: Suspect, now: datetime, found: Sequence[Finding] = ()) -> str:
    """Hold deliveries in the open case about labels, or in a new one; what is said of it.

    ``found`` is what was found in them, where they are looked at for the first time: seen and held in one transaction.
    """
    names = ", ".join(delivery.name for delivery in suspect.deliveries[:3])
    more = f" and {len(suspect.deliveries) - 3} more" if len(suspect.deliveries) > 3 else ""
    sentence = f"The outcomes of {names}{more} are quarantined. {suspect.finding.sentence}"
    opened = [case for case in cases.latest(only_open=True) if case.diagnosis is Diagnosis.LABEL_FAULT]
    case = next((case for case in opened if case.state is CaseState.QUARANTINED), None)
    step = move(case, Signal.FAULT, sentence)
    with cases.database.write() as connection:
        if case is None:
            case = open_case(
                connection,
                step,
                at=now,
                diagnosis=Diagnosis.LABEL_FAULT,
                window_id=NO_WINDOW,
                champion=champion,
            )
        else:
            move_case(connection, case, step, at=now)
        numbers = [delivery.id for delivery in suspect.deliveries]
        if found:
            examined(connection, numbers, found)
        hold(connection, numbers, case.id)
    return f"Case {case.id} (quarantined): {sentence}"


def reports_of(rows: Sequence[Report]) -> Reports:
    """The reports as columns."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(Report._fields)
    ids, decisions, outcomes, probabilities, decided, reported = columns
    return Reports(
        ids=np.array(ids, dtype=np.int64),
        decisions=np.array(decisions, dtype=np.int64),
        outcomes=np.array(outcomes, dtype=np.float64),
        probabilities=np.array(probabilities, dtype=np.float64),
        decided=np.array(decided, dtype=np.int64),
        reported=np.array(reported, dtype=np.int64),
    )
