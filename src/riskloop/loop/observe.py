"""From logged decisions to a diagnosed window: once when it closes, once more when its outcomes are final."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Final

import numpy as np

from riskloop.batch.scorer import Summarizer
from riskloop.core.findings import WINDOW, DeclaredCheck
from riskloop.core.periods import Period, periods_between
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings
from riskloop.core.span import Span
from riskloop.core.types import DecisionFrame, Diagnosis, Finding, Severity, from_micros, to_micros
from riskloop.decide.diagnosis import diagnose
from riskloop.decide.policy import Situation, decide
from riskloop.loop.arrivals import Feed, covered_by
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.examine import Arrived, at_closing
from riskloop.monitor.onset import CHANGED
from riskloop.monitor.profile import Profile
from riskloop.store.artefacts import Packed
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog, Stored, Times
from riskloop.store.home import Home
from riskloop.store.refusals import refusal_counts
from riskloop.store.windows import Window, Windows

UNREAD: Final = DeclaredCheck(
    "unread", "the champion reads every decision", "The features of the versions that decided"
)
FRAME_ROWS: Final = 200_000  # decisions in memory at once
EARLIER: Final = 12  # windows that volumes are compared with
NOTHING: Final = (0, 0)  # ids of a span in which nothing was logged


@dataclass(frozen=True, slots=True)
class Due:
    """A window that is complete and not yet monitored."""

    name: str
    span: Span  # its decisions
    first: datetime
    end: datetime
    rows: int
    ids: tuple[int, int]  # first and last, or NOTHING
    late: int = 0  # rows that arrived in it with dates before it
    covered: tuple[datetime, datetime] | None = None  # the part of the period that an old file has rows for

    @property
    def counted(self) -> bool:
        """Whether it is a fixed number of consecutive decisions, not a calendar period."""
        return self.span.start is None


def due(decisions: DecisionLog, windows: Windows, settings: Settings, now: datetime) -> Iterator[Due]:
    """The windows that can be closed, oldest first."""
    latest = windows.latest(1)
    last = latest[-1] if latest else None
    if settings.windows.by == "count":
        yield from _full_counts(decisions, settings, 0 if last is None else last.last_id, windows.count())
        return
    logged = decisions.times()
    if last is None and logged is None:
        return
    start = last.end_time if last is not None else from_micros(logged.earliest) if logged is not None else now
    silent = last is not None and last.rows == 0
    seen = max((window.last_id for window in windows.latest(EARLIER)), default=0)
    scored_at = cache(decisions.scored_at)
    quiet = 0  # until then nothing is dated, nor comes late: thousands of periods after one wrong date
    for period in periods_between(start, now, settings.windows.by, settings.windows.numbered):
        feed = Feed(scored_at, settings.windows, period, seen, now)
        if logged is not None and to_micros(period.first) > logged.latest and feed.came_later:
            continue  # nothing is dated so late, and no silence is: most periods after an old file
        if to_micros(period.end) <= quiet:
            window = Due(period.name, period.span, period.first, period.end, 0, NOTHING)
        else:
            window = _period(decisions, settings, period, seen, logged)
            if window.rows == 0 and not window.late:
                following = decisions.next_time(to_micros(period.end))
                quiet = to_micros(now) if following is None else following
        if window.rows == 0:
            if feed.is_awaited:
                return
            if feed.is_silent and silent and not window.late:
                continue  # a silence is one finding, not one a period; what still comes for this one makes it a window
            if not feed.is_silent and not (window.late and feed.came_in_time):
                continue  # the feed delivers, and nothing of it is dated in this period
        silent = window.rows == 0
        seen = max(seen, window.ids[1])
        yield window


def _period(decisions: DecisionLog, settings: Settings, period: Period, seen: int, logged: Times | None) -> Due:
    inside = decisions.extent(period.span)
    # What was logged after all that the windows before hold, and yet is dated before this one.
    late = decisions.extent(Span(first_id=seen + 1, end=period.span.start)) if seen else None
    extents = [extent for extent in (inside, late) if extent is not None]
    due = Due(period.name, period.span, period.first, period.end, 0, NOTHING)
    if not extents:
        return due
    ids = min(extent.first for extent in extents), max(extent.last for extent in extents)
    covered = None if inside is None or logged is None else covered_by(decisions, settings, period, inside, logged)
    return replace(due, rows=inside.rows if inside else 0, ids=ids, late=late.rows if late else 0, covered=covered)


def _full_counts(decisions: DecisionLog, settings: Settings, last_id: int, closed: int) -> Iterator[Due]:
    size = settings.windows.size
    newest = decisions.last_id()
    while last_id + size <= newest:
        span = Span(last_id + 1, last_id + size)
        inside = decisions.extent(span)
        closed += 1
        if inside is not None:
            first, end = from_micros(inside.earliest), from_micros(inside.latest + 1)
            yield Due(f"#{closed}", span, first, end, size, (inside.first, inside.last))
        last_id += size


def close(home: Home, champion: ReferenceModel, window: Due, now: datetime) -> tuple[Window, list[Finding], bytes]:
    """Profile, check, compare, diagnose: what can be said before any outcome is known. The bytes are the profile."""
    number = home.windows.count() + 1
    arrived = _arrived(home.decisions, home.settings.train.threads, champion, window, home.packed)
    page = home.reports / f"window-{number}.html"
    findings = at_closing(
        champion,
        home.settings,
        arrived,
        previous=_earlier_profiles(home.windows, number),
        period=None if window.counted else (window.first, window.end),
        covered=window.covered,
        refusals=_refusals(home.database, window),
        late=window.late,
        page=page if window.rows <= home.settings.drift.evidently_rows else None,
    )
    findings += _unread(home.decisions, {p.version for p in home.ledger.promotions()}, champion, window)
    answer = diagnose(
        findings, earlier_findings(home.windows, home.settings, champion.version, number), home.settings.drift
    )
    if not any(f.severity in CHANGED for f in findings):
        page.unlink(missing_ok=True)  # a page is evidence of a change, not of every month
    action = decide(answer, home.settings.policy, policy_context(home.windows, champion, findings))
    return (
        Window(
            id=number,
            name=window.name,
            first_time=window.first,
            end_time=window.end,
            first_id=window.ids[0],
            last_id=window.ids[1],
            rows=window.rows,
            model_version=champion.version,
            closed_at=now,
            matured_at=None,
            diagnosis=answer.diagnosis,
            confirmed=answer.confirmed,
            action=action,
            sentence=answer.sentence,
            rungs=answer.rungs,
            report=page.name if page.exists() else None,
            quarantined=answer.diagnosis is Diagnosis.DATA_FAULT,
            case_id=None,
            counted=window.counted,
        ),
        findings,
        arrived.profile.to_bytes(),
    )


def _unread(decisions: DecisionLog, served: set[int], champion: ReferenceModel, window: Due) -> list[Finding]:
    """The decisions of the window that the champion cannot read: versions ``served`` that lack some of its features."""
    schema = champion.model.schema
    if decisions.schema_of is None or not window.rows:
        return []
    lacking = {version: schema.lacking(decisions.schema_of(version)) for version in served}
    if not any(lacking.values()):
        return []
    made = decisions.by_version(window.span._replace(first_id=window.ids[0], last_id=window.ids[1]))
    return [
        UNREAD.finding(
            WINDOW,
            Severity.UNKNOWN,
            (window.rows, 0),
            f"{count:,} of {window.rows:,} decisions cannot be compared: version {version} made them without "
            f"{', '.join(lacking[version])}.",
            statistic=count / window.rows,
            details={"version": version, "lacking": lacking[version]},
        )
        for version, count in sorted(made.items())
        if lacking.get(version)
    ]


def _arrived(
    decisions: DecisionLog, threads: int, champion: ReferenceModel, window: Due, packed: Callable[[int], Packed]
) -> Arrived:
    """Every row of the window is read once; of more than fit into a frame, the profile and its sample are kept.

    Of those the rows of segments are not read that were profiled by this very champion when it decided on them; those
    of other segments are profiled where segments are read.
    """
    threads = threads or os.cpu_count() or 1
    if 0 < window.rows <= FRAME_ROWS:
        frame = decisions.frame(
            window.span._replace(first_id=window.ids[0], last_id=window.ids[1]), schema=champion.model.schema
        )
        scores = champion.model.probabilities(frame.features)
        profile = champion.reference.profile(frame.features, scores, frame.times, threads)
        return Arrived(profile, frame.features, scores, frame.times)
    stored, others = _stored(decisions, champion, window, packed)
    profile = sum(stored, champion.reference.empty)
    for first, last in others:
        for frame in frames_between(decisions, window.span, first, last, champion.model.schema):
            scores = champion.model.probabilities(frame.features)
            profile += champion.reference.profile(frame.features, scores, frame.times, threads)
    sample = profile.sample.expanded
    scores = champion.model.probabilities(sample) if len(sample) else np.empty(0)
    return Arrived(profile, sample, scores, np.empty(0, dtype=np.int64))


def _stored(
    decisions: DecisionLog, champion: ReferenceModel, window: Due, packed: Callable[[int], Packed]
) -> tuple[list[Profile], list[tuple[int, int]]]:
    """The profiles of whole segments, and the first and last ids of what lies before, between and behind."""
    if not window.rows:
        return [], []

    def usable(stored: Stored) -> bool:
        same = stored.model_version == champion.version
        return same and Profile.from_bytes(stored.profile).reference == champion.reference.fingerprint

    make = Summarizer(packed(champion.version), champion.version, champion.reference.profiler)
    profiles, gaps, (following, last) = [], [], window.ids
    for stored in decisions.profiles(
        window.span._replace(first_id=following, last_id=last), usable, make, champion.model.schema
    ):
        profiles.append(Profile.from_bytes(stored.profile))
        gaps.append((following, stored.first_id - 1))
        following = stored.last_id + 1
    return profiles, [*gaps, (following, last)]


def frames_between(
    decisions: DecisionLog, span: Span, first: int, last: int, schema: Schema
) -> Iterator[DecisionFrame]:
    """The decisions of a span with ids from ``first`` to ``last``, in parts that fit into the memory."""
    for start in range(first, last + 1, FRAME_ROWS):
        frame = decisions.frame(span._replace(first_id=start, last_id=min(start + FRAME_ROWS - 1, last)), schema=schema)
        if len(frame):  # among these ids there may be other times only
            yield frame


def earlier_findings(windows: Windows, settings: Settings, version: int, before: int) -> list[list[Finding]]:
    """The findings of the windows before, as far as they were compared with the same model, oldest first."""
    same = windows.of_model(version, settings.drift.among, before)
    return [windows.findings(window.id) for window in same]


def _refusals(database: Database, window: Due) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for refusal, count in refusal_counts(database, to_micros(window.first), to_micros(window.end)).items():
        key = (refusal.field, refusal.code)
        counts[key] = counts.get(key, 0) + count
    return counts


def _earlier_profiles(windows: Windows, before: int) -> list[Profile]:
    latest = windows.latest(EARLIER, before - 1)
    sound = [window.id for window in latest if window.diagnosis is not Diagnosis.DATA_FAULT]
    return [Profile.from_bytes(profile) for profile in windows.profiles(sound)]


def policy_context(windows: Windows, champion: ReferenceModel, findings: Sequence[Finding]) -> Situation:
    closed = windows.count(champion.version)
    return Situation(windows_since_training=closed + 1, auc_loss=_auc_loss(findings))


def _auc_loss(findings: Sequence[Finding]) -> float | None:
    """By outcomes where there are any, else by the density-weighted estimate."""
    for check, subject in (("auc", None), ("estimated_auc", "pape")):
        for finding in findings:
            if finding.check == check and subject in (None, finding.subject) and finding.statistic is not None:
                return float(finding.details["reference"]) - finding.statistic
    return None
