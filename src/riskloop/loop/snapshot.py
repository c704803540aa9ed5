"""What was known at one moment, in a few numbers, so that the same rows can be read again at any later one.

Decisions and outcomes are append-only, so a highest id each says what was there; a correction of an outcome, or a
late file with old dates, comes after it and changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from msgspec.structs import replace

from riskloop.core.manifest import Snapshot
from riskloop.core.schema import Schema
from riskloop.core.span import Span
from riskloop.core.types import DecisionFrame, Severity, to_micros
from riskloop.store.decisions import DecisionLog
from riskloop.store.maturity import OutcomeFeed
from riskloop.store.outcomes import Outcomes
from riskloop.store.windows import Window, Windows

EARLIER: Final = 12  # windows, the last of which may be empty


def take(feed: OutcomeFeed, windows: Windows, now: datetime, start: int | None = None) -> Snapshot:
    """The state at ``now``, for whoever reads the decisions from the time ``start`` on.

    Where these are more than `retrain.max_rows` it is a share of them.
    """
    known = feed.maturity(now)
    last = feed.decisions.last_id()
    return Snapshot(
        decisions=last,
        outcomes=known.outcomes,
        matured_by=known.until,
        quarantined=_quarantined(windows),
        silence=known.silence,
        silent_declined=known.silent_declined,
        held=known.held,
        share=share_of(feed.decisions, Span(last_id=last, start=start), feed.settings.retrain.max_rows),
    )


def share_of(decisions: DecisionLog, span: Span, most: int) -> float:
    """The share of a span's decisions that is at most so many."""
    if (span.last_id or decisions.last_id()) <= most:
        return 1.0
    inside = decisions.extent(span)
    return 1.0 if inside is None else min(1.0, most / inside.rows)


def take_judged(feed: OutcomeFeed, windows: Windows, now: datetime, start: int | None = None) -> Snapshot:
    """The state at ``now``, without what no closed window holds: nobody has looked yet whether the feed was sound.

    Outcomes may mature before their window closes, and rows may come late with old dates.
    """
    taken = take(feed, windows, now, start)
    latest = windows.latest(EARLIER)
    open_spans = [Span(first_id=1 + max((window.last_id for window in latest), default=0))]
    if latest and not latest[-1].counted:
        open_spans.append(Span(start=to_micros(latest[-1].end_time)))
    return replace(taken, quarantined=(*taken.quarantined, *open_spans))


def count_matured(outcomes: Outcomes, known: Snapshot, start: int) -> int:
    """How many decisions from the time ``start`` on can be learned from."""
    return outcomes.matured(start, known.maturity, known.quarantined)


def read(
    decisions: DecisionLog, known: Snapshot, schema: Schema | None = None, *, start: int | None = None
) -> DecisionFrame:
    """The decisions (from the time ``start`` on) that are not quarantined, with their outcomes where these are final.

    Every one of them, or the snapshot's share; with a ``schema`` those that its model can read, coded by it.
    """
    span = Span(last_id=known.decisions, start=start)
    frame = decisions.frame(span, known.maturity, known.share, schema)
    return _outside(frame, known.quarantined)


def without_quarantine(windows: Windows, frame: DecisionFrame) -> DecisionFrame:
    """The decisions that are not quarantined now."""
    return _outside(frame, _quarantined(windows))


def _quarantined(windows: Windows) -> tuple[Span, ...]:
    return tuple(span for window in windows.quarantined() for span in _spans(windows, window))


def _outside(frame: DecisionFrame, spans: Sequence[Span]) -> DecisionFrame:
    sound = np.ones(len(frame), dtype=np.bool_)
    for span in spans:
        sound &= ~span.mask(frame.times, frame.ids)
    return frame if sound.all() else frame.take(np.flatnonzero(sound))


def _spans(windows: Windows, window: Window) -> list[Span]:
    """The decisions of a quarantined window."""
    # The ids of a period go beyond its time only where rows came with dates before it.
    dated_back = any(f.check == "dates" and f.severity is Severity.FAULT for f in windows.findings(window.id))
    if window.counted or not dated_back:
        return [window.span]
    return [window.span, Span(window.first_id, window.last_id, end=window.span.start)]
