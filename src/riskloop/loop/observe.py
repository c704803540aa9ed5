"""From logged decisions to a diagnosed window: once when it closes, once more when its outcomes are final."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from riskloop.core.periods import periods_between
from riskloop.core.types import (
    DecisionFrame,
    Diagnosis,
    Finding,
    Floats,
    Severity,
    from_micros,
    to_micros,
)
from riskloop.decide.diagnosis import diagnose
from riskloop.decide.policy import Context, decide
from riskloop.loop.champion import Served
from riskloop.monitor.drift import evidently_findings, profile_findings
from riskloop.monitor.estimate import estimate_findings, expected_performance
from riskloop.monitor.impact import impact_findings
from riskloop.monitor.performance import performance_findings
from riskloop.monitor.profile import Profile
from riskloop.monitor.quality import quality_findings
from riskloop.store.home import Home
from riskloop.store.refusals import refusal_counts
from riskloop.store.windows import Window

IMPACT_ROWS = 5_000  # contributions are means; more rows change the third digit
EARLIER = 12  # windows that volumes are compared with


@dataclass(frozen=True)
class Due:
    """A span of decisions that is complete and not yet monitored."""

    name: str
    first: datetime
    end: datetime
    frame: DecisionFrame


def due(home: Home, now: datetime) -> Iterator[Due]:
    """The windows that can be closed, oldest first."""
    latest = home.windows.latest(1)
    last = latest[-1] if latest else None
    windows = home.settings.windows
    if windows.by == "count":
        yield from _full_counts(home, 0 if last is None else last.last_id, home.windows.count())
        return
    span = home.decisions.span()
    if last is None and span is None:
        return
    start = last.end_time if last is not None else from_micros(span[1]) if span is not None else now
    for period in periods_between(start, now, windows.by):
        frame = home.decisions.frame(start=to_micros(period.first), end=to_micros(period.end))
        yield Due(period.name, period.first, period.end, frame)


def _full_counts(home: Home, last_id: int, closed: int) -> Iterator[Due]:
    size = home.settings.windows.size
    newest = home.decisions.last_id()
    while last_id + size <= newest:
        frame = home.decisions.frame(first_id=last_id + 1, last_id=last_id + size)
        closed += 1
        first, end = from_micros(int(frame.times.min())), from_micros(int(frame.times.max()) + 1)
        yield Due(f"#{closed}", first, end, frame)
        last_id += size


def close(home: Home, served: Served, window: Due, now: datetime) -> tuple[Window, list[Finding]]:
    """Profile, check, compare, diagnose: what can be said before any outcome is known."""
    number = home.windows.count() + 1
    frame = window.frame
    features = frame.features if len(frame) else np.empty((0, len(served.scorer.schema)))
    scores = served.scorer.probabilities(features) if len(frame) else np.empty(0)
    profile = served.reference.profile(features, scores, frame.times)
    page = home.reports / f"window-{number}.html"
    findings = quality_findings(
        served.reference,
        profile,
        min_rows=home.settings.windows.min_rows,
        refusals=_refusals(home, window),
        previous=_earlier_profiles(home, number),
        period=None if home.settings.windows.by == "count" else (window.first, window.end),
    )
    if 0 < len(frame) <= home.settings.drift.evidently_rows:
        findings += evidently_findings(
            served.reference,
            served.features,
            served.reference_scores,
            features,
            scores,
            home.settings.drift,
            importance=served.importance,
            report_path=page,
        )
    else:
        findings += profile_findings(served.reference, profile, home.settings.drift, importance=served.importance)
    if len(frame) >= home.settings.windows.min_rows:
        findings += _consequences(home, served, features, scores)
    answer = diagnose(findings, earlier_findings(home, served.version, number), home.settings.drift)
    drifted = any(f.severity in {Severity.DRIFTED, Severity.SEVERE, Severity.FAULT} for f in findings)
    if not drifted:
        page.unlink(missing_ok=True)  # a page is evidence of a change, not of every month
    action = decide(answer, home.settings.policy, _context(home, served, findings))
    return (
        Window(
            id=number,
            name=window.name,
            first_time=window.first,
            end_time=window.end,
            first_id=int(frame.ids[0]) if len(frame) else 0,
            last_id=int(frame.ids[-1]) if len(frame) else 0,
            rows=len(frame),
            model_version=served.version,
            closed_at=now,
            matured_at=None,
            diagnosis=answer.diagnosis,
            confirmed=answer.confirmed,
            action=action,
            sentence=answer.sentence,
            rungs=answer.rungs,
            profile=profile.to_bytes(),
            report=page.name if page.exists() else None,
            quarantined=answer.diagnosis is Diagnosis.DATA_FAULT,
            case_id=None,
        ),
        findings,
    )


def mature(home: Home, served: Served, window: Window, now: datetime) -> tuple[Window, list[Finding]]:
    """Judge a closed window again with its final outcomes; a quarantined one stays what it was."""
    matured = replace(window, matured_at=now)
    known = home.windows.findings(window.id)
    if window.diagnosis is Diagnosis.DATA_FAULT:
        return matured, known
    frame = home.decisions.frame(
        start=to_micros(window.first_time), end=to_micros(window.end_time), matured_by=_mature_until(home, now)
    )
    inputs = list(served.scorer.schema.model_columns)
    scores = served.scorer.probabilities(frame.features)
    realised = performance_findings(
        scores,
        frame.outcomes,
        served.probabilities,
        served.outcomes,
        alpha=home.settings.drift.alpha,
        levels=home.settings.risk_levels,
        expected=lambda: expected_performance(
            served.features[:, inputs], served.probabilities, served.outcomes, frame.features[:, inputs], scores
        ),
    )
    findings = [*known, *realised]
    answer = diagnose(findings, earlier_findings(home, served.version, window.id), home.settings.drift)
    action = decide(answer, home.settings.policy, _context(home, served, findings))
    return matured.judged(answer, action), findings


def matured_frame(home: Home, now: datetime) -> DecisionFrame:
    """Every decision that is not quarantined, with its outcome where that is known and final."""
    frame = home.decisions.frame(matured_by=_mature_until(home, now))
    sound = np.ones(len(frame), dtype=np.bool_)
    for first, end in home.windows.quarantined():
        sound &= (frame.times < to_micros(first)) | (frame.times >= to_micros(end))
    return frame if sound.all() else frame.take(np.flatnonzero(sound))


def earlier_findings(home: Home, version: int, before: int) -> list[list[Finding]]:
    """The findings of the windows before, as far as they were compared with the same model, oldest first."""
    latest = home.windows.latest(home.settings.drift.among + EARLIER)
    same = [window for window in latest if window.model_version == version and window.id < before]
    return [home.windows.findings(window.id) for window in same[-home.settings.drift.among :]]


def _refusals(home: Home, window: Due) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for refusal, count in refusal_counts(home.database, to_micros(window.first), to_micros(window.end)).items():
        key = (refusal.field, refusal.code)
        counts[key] = counts.get(key, 0) + count
    return counts


def _earlier_profiles(home: Home, before: int) -> list[Profile]:
    latest = home.windows.latest(EARLIER)
    sound = [w for w in latest if w.id < before and w.diagnosis is not Diagnosis.DATA_FAULT]
    return [Profile.from_bytes(window.profile) for window in sound]


def _consequences(home: Home, served: Served, features: Floats, scores: Floats) -> list[Finding]:
    """What the change does to the PD, and how good the champion probably still is."""
    inputs = list(served.scorer.schema.model_columns)
    then, today = _some(served.features), _some(features)
    found = impact_findings(
        served.scorer.schema.names,
        served.scorer.contributions(served.features[then]),
        served.scorer.contributions(features[today]),
        served.reference_scores[then],
        scores[today],
        served.scorer.threshold,
    )
    return found + estimate_findings(
        served.features[:, inputs],
        served.probabilities,
        served.outcomes,
        features[:, inputs],
        scores,
        harm_auc=home.settings.policy.harm_auc,
    )


def _some(rows: Floats) -> slice:
    return slice(None, None, max(1, len(rows) // IMPACT_ROWS))


def _context(home: Home, served: Served, findings: Sequence[Finding]) -> Context:
    closed = sum(window.model_version == served.version for window in home.windows.latest(1000))
    return Context(windows_since_training=closed + 1, auc_loss=_auc_loss(findings))


def _auc_loss(findings: Sequence[Finding]) -> float | None:
    """By outcomes where there are any, else by the density-weighted estimate."""
    for check, subject in (("auc", None), ("estimated_auc", "pape")):
        for finding in findings:
            if finding.check == check and subject in (None, finding.subject) and finding.statistic is not None:
                return float(finding.details["reference"]) - finding.statistic
    return None


def _mature_until(home: Home, now: datetime) -> int:
    return to_micros(now - home.settings.portfolio.outcome_window)
