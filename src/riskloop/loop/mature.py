"""A closed window judged with its outcomes: when they are complete, and again whenever more or corrected ones come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from riskloop.core.maturity import Maturity
from riskloop.core.settings import OutcomeSettings, Settings
from riskloop.core.stats import customer_codes
from riskloop.core.types import Bools, DecisionFrame, Diagnosis, Finding, Floats, Severity, to_micros
from riskloop.decide.diagnosis import POPULATION, diagnose
from riskloop.decide.policy import decide
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.examine import when_matured
from riskloop.loop.labels import LearnedLevel, Suspect, of_window, suspect_of
from riskloop.loop.observe import earlier_findings, policy_context
from riskloop.loop.snapshot import share_of
from riskloop.monitor.bounds import OUTCOMES, agreed, completions, judged_in_part, not_judged
from riskloop.monitor.labels import DEFINITION
from riskloop.monitor.onset import CHANGED
from riskloop.monitor.overtime import LEVEL_OVER_TIME, RANKING_OVER_TIME
from riskloop.monitor.residual import FEATURES_OVER_TIME
from riskloop.retrain.dataset import applicants
from riskloop.store.decisions import Covered, DecisionLog
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcomes
from riskloop.store.windows import Window, Windows, set_judged

BY: Final = "by_outcomes"  # detail of the findings that a later judgement replaces
# Findings by outcomes of riskloop's first version do not say what they are.
UNMARKED: Final = frozenset(
    (
        *("auc", "gini", "ks", "brier", "log_loss", "calibration", "calibration_slope", "jeffreys", "segment"),
        *("auc_explained", "calibration_explained", "slope_explained"),
    )
)
CARRIED: Final = LEVEL_OVER_TIME.name  # what a judged window hands on to the next one
RANKED: Final = (RANKING_OVER_TIME.name, FEATURES_OVER_TIME.name)  # … and what goes on after a recalibration
INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A window with what its outcomes say, or that they cannot say it yet."""

    window: Window
    findings: list[Finding]
    suspect: Suspect | None = None  # outcomes that are to be quarantined before the window can be judged

    @property
    def judged(self) -> bool:
        """Whether its outcomes were there."""
        return self.window.matured_at is not None


def to_judge(
    windows: Windows,
    outcomes: Outcomes,
    outcome_window: timedelta,
    known: Maturity,
    now: datetime,
    horizon: int = 0,
) -> list[Window]:
    """Windows whose outcomes are final by now and not judged, and those about which more is known, oldest first.

    More is known, too, of one that was judged in part, when its outcomes are complete: those that lack will not come.
    Less is known of one whose watermark went back, as a person took it back or its delivery is in quarantine.

    Of decisions up to the id ``horizon`` what they were made on was taken out: their windows stay as they were judged.
    """
    until = to_micros(now - outcome_window)
    in_part = windows.judged_with_check(OUTCOMES.name)
    whole = [window for window in in_part if _complete(window, known)]
    found = [*windows.unjudged(until), *_told_more(windows, outcomes, known.outcomes), *whole]
    if known.given:
        found += [window for window in windows.judged_after(known.until) if window not in in_part]
    once = {window.id: window for window in found if window.first_id > horizon}
    return [once[number] for number in sorted(once)]


def _complete(window: Window, known: Maturity) -> bool:
    return to_micros(window.end_time - INSTANT) <= known.until


def _told_more(windows: Windows, outcomes: Outcomes, last: int) -> Iterator[Window]:
    """Judged windows with outcomes that came, or were corrected, since."""
    judged = windows.judged_before(last)
    if not judged:
        return
    numbers, ids, times = outcomes.reported_for(min(window.judged_with or 0 for window in judged))
    untouched = []
    for window in judged:
        if (window.span.mask(times, ids) & (numbers > (window.judged_with or 0))).any():
            yield window
        else:
            untouched.append(window.id)
    with windows.database.write() as connection:
        set_judged(connection, untouched, last)


def mature(home: Home, champion: ReferenceModel, window: Window, known: Maturity, now: datetime) -> Judgement:
    """Judge a closed window with the outcomes that count by ``known``; a quarantined one stays what it was.

    Where they are not there, the window is not judged, and says why.
    """
    closing = [finding for finding in home.windows.findings(window.id) if not _by_outcomes(finding)]
    matured = replace(window, matured_at=now, judged_with=known.outcomes)
    if window.diagnosis is Diagnosis.DATA_FAULT:
        return Judgement(matured, closing)
    over = replace(known, until=to_micros(now - home.settings.portfolio.outcome_window))
    covered = home.decisions.coverage(window.span, over)
    complete = _complete(window, known)
    because = _why_not(home.settings.outcomes, covered, known, complete=complete)
    if because is not None:
        return _unjudged(
            home.windows,
            home.settings,
            champion,
            window,
            [*closing, _marked(not_judged(covered.known, len(champion.outcomes), because))],
        )
    counts = known if complete else over
    earlier = earlier_findings(home.windows, home.settings, champion.version, window.id)
    carried = handed_on(home.windows, home.settings, champion, window.id, earlier)
    drifted = any(f.check in POPULATION and f.severity in CHANGED for f in closing)
    realised = _realised(
        home.decisions, home.settings, champion, window, counts, carried, bounded=not complete, drifted=drifted
    )
    found = of_window(
        home.feed,
        home.windows,
        window,
        counts,
        realised,
        LearnedLevel.from_champion(champion, home.settings, drifted=drifted),
    )
    if not complete:
        realised = [
            *realised,
            _marked(judged_in_part(covered.approved_known, covered.approved, len(champion.outcomes))),
        ]
        found = [finding for finding in found if finding.check != DEFINITION.name]  # a level that is not known yet
    feed = [_marked(finding) for finding in found]
    suspect = suspect_of(home.feed, window, counts, feed)
    if suspect is not None:
        waits = not_judged(covered.known, len(champion.outcomes), "its outcomes are quarantined")
        return replace(
            _unjudged(home.windows, home.settings, champion, window, [*closing, _marked(waits)]), suspect=suspect
        )
    # What a person has released is said, and is no fault of the customers' data.
    feed = [replace(f, severity=Severity.DRIFTED) if f.severity is Severity.FAULT else f for f in feed]
    findings = [*closing, *realised, *feed]
    answer = diagnose(findings, earlier, home.settings.drift)
    action = decide(answer, home.settings.policy, policy_context(home.windows, champion, findings))
    return Judgement(matured.judged(answer, action), findings)


def handed_on(
    windows: Windows, settings: Settings, champion: ReferenceModel, before: int, earlier: Sequence[list[Finding]]
) -> Sequence[Finding]:
    """The findings whose evidence over time goes on: of the last window judged by outcomes before window ``before``.

    ``earlier`` are the findings of the champion's own windows, oldest first. A recalibrated champion ranks as its
    parent did, so that the parent's evidence on the ranking is its own; of the level it begins anew.
    """
    own = next((found for found in reversed(earlier) if any(one.check == CARRIED for one in found)), None)
    parent = champion.manifest.parent
    if own is not None or champion.manifest.origin != "recalibrate" or parent is None:
        return own or ()
    ranked = [
        [one for one in found if one.check in RANKED] for found in earlier_findings(windows, settings, parent, before)
    ]
    return next((found for found in reversed(ranked) if found), [])


def _why_not(settings: OutcomeSettings, covered: Covered, known: Maturity, *, complete: bool) -> str | None:
    """Why the outcomes of a window cannot be judged, as a clause; None where they can."""
    whose = f"{covered.approved_known:,} of {covered.approved:,} approved customers"
    if complete and (covered.known or known.silence == "good"):
        return None
    if complete:
        return f"none of its {covered.approved + covered.declined:,} customers has an outcome"
    if settings.share < 1.0 and covered.approved_known >= settings.share * max(1, covered.approved):
        return None
    if known.given:
        return f"the outcome feed is not complete for it: {whose} have an outcome"
    return f"the outcome of only {whose} has arrived"


def _unjudged(
    windows: Windows, settings: Settings, champion: ReferenceModel, window: Window, findings: list[Finding]
) -> Judgement:
    answer = diagnose(findings, earlier_findings(windows, settings, champion.version, window.id), settings.drift)
    waiting = replace(window, matured_at=None, judged_with=None)
    if answer.diagnosis is window.diagnosis:
        return Judgement(replace(waiting, sentence=answer.sentence, rungs=answer.rungs), findings)
    action = decide(answer, settings.policy, policy_context(windows, champion, findings))
    return Judgement(waiting.judged(answer, action), findings)


def _realised(
    decisions: DecisionLog,
    settings: Settings,
    champion: ReferenceModel,
    window: Window,
    known: Maturity,
    carried: Sequence[Finding],
    *,
    bounded: bool,
    drifted: bool,
) -> list[Finding]:
    """What the outcomes say; of an incomplete window only what they say however the missing ones turn out."""
    share = share_of(decisions, window.span, settings.retrain.max_rows)
    frame = decisions.frame(window.span, known, share, champion.model.schema)
    scores = champion.model.probabilities(frame.features)
    stands_for = applicants(frame)
    codes = customer_codes(frame.customer_ids)
    customers = codes if np.unique(codes).size < codes.size else None

    def said(outcomes: Floats) -> list[Finding]:
        return when_matured(
            champion, settings, frame.features, scores, outcomes, stands_for, carried, drifted, customers
        )

    found = said(frame.outcomes)
    if bounded:
        missing = np.isnan(frame.outcomes) & _expected(frame)
        found = agreed(found, [said(filled) for filled in completions(frame.outcomes, scores, missing)])
        # Evidence over time goes on from whole windows only: what is added to it stays.
        found = [finding for finding in found if finding.check not in (CARRIED, *RANKED)]
    since = f"{window.first_time:%Y-%m-%d}"
    drawn = {} if share >= 1.0 else {"share": f"{share:.2%} of the window's decisions, drawn at random"}
    return [_marked(f, **drawn, **({"since": since} if f.severity in CHANGED else {})) for f in found]


def _marked(finding: Finding, **details: str) -> Finding:
    return replace(finding, details={**finding.details, **details, BY: True})


def _by_outcomes(finding: Finding) -> bool:
    return finding.check in UNMARKED or BY in finding.details


def _expected(frame: DecisionFrame) -> Bools:
    """Who got a loan, so that an outcome is expected."""
    nobody = np.zeros(len(frame), dtype=np.bool_)
    declined = nobody if frame.declined is None else frame.declined
    explored = nobody if frame.exploration is None else frame.exploration > 0.0
    return ~declined | explored
