"""What was known at one moment, in a few numbers, so that the same rows can be read again at any later one.

Decisions and outcomes are append-only, so a highest id each says what was there; a correction of an outcome, or a
late file with old dates, comes after it and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from riskloop.core.span import Span
from riskloop.core.types import DecisionFrame, Json, Severity, to_micros
from riskloop.store.home import Home
from riskloop.store.windows import Window

EARLIER: Final = 12  # windows, the last of which may be empty


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the decision log, as far as it may be learned from."""

    decisions: int  # highest decision id
    outcomes: int  # highest outcome id
    matured_by: int  # microseconds: the latest decision time whose outcome window was over
    quarantined: tuple[Span, ...]  # what stays out, also because it was not judged yet

    @classmethod
    def take(cls, home: Home, now: datetime) -> "Snapshot":
        """The state at ``now``."""
        return cls(
            decisions=home.decisions.last_id(),
            outcomes=home.outcomes.last_id(),
            matured_by=to_micros(now - home.settings.portfolio.outcome_window),
            quarantined=_quarantined(home),
        )

    @classmethod
    def judged(cls, home: Home, now: datetime) -> "Snapshot":
        """The state at ``now``, without what no closed window holds: nobody has looked yet whether the feed was sound.

        Outcomes may mature before their window closes, and rows may come late with old dates.
        """
        taken = cls.take(home, now)
        windows = home.windows.latest(EARLIER)
        open_spans = [Span(first_id=1 + max((window.last_id for window in windows), default=0))]
        if windows and not windows[-1].counted:
            open_spans.append(Span(start=to_micros(windows[-1].end_time)))
        return replace(taken, quarantined=(*taken.quarantined, *open_spans))

    @classmethod
    def from_json(cls, document: Json) -> "Snapshot":
        """The inverse of :meth:`to_json`."""
        return cls(**{**document, "quarantined": tuple(Span(*limits) for limits in document["quarantined"])})

    def to_json(self) -> Json:
        """For the manifest of what was trained on it."""
        return {**asdict(self), "quarantined": [list(span) for span in self.quarantined]}

    def matured(self, home: Home, start: int) -> int:
        """How many decisions from the time ``start`` on can be learned from."""
        return home.outcomes.matured(start, self.matured_by, self.quarantined)

    def frame(self, home: Home, *, start: int | None = None) -> DecisionFrame:
        """Every decision (from the time ``start`` on) that is not quarantined, with its outcome where that is final."""
        known = Span(last_id=self.decisions, start=start)
        frame = home.decisions.frame(known, matured_by=self.matured_by, outcomes_until=self.outcomes)
        return _outside(frame, self.quarantined)


def without_quarantine(home: Home, frame: DecisionFrame) -> DecisionFrame:
    """The decisions that are not quarantined now."""
    return _outside(frame, _quarantined(home))


def _quarantined(home: Home) -> tuple[Span, ...]:
    return tuple(span for window in home.windows.quarantined() for span in _spans(home, window))


def _outside(frame: DecisionFrame, spans: Sequence[Span]) -> DecisionFrame:
    sound = np.ones(len(frame), dtype=np.bool_)
    for span in spans:
        sound &= ~span.mask(frame.times, frame.ids)
    return frame if sound.all() else frame.take(np.flatnonzero(sound))


def _spans(home: Home, window: Window) -> list[Span]:
    """The decisions of a quarantined window."""
    # The ids of a period go beyond its time only where rows came with dates before it.
    dated_back = any(f.check == "dates" and f.severity is Severity.FAULT for f in home.windows.findings(window.id))
    if window.counted or not dated_back:
        return [window.span]
    return [window.span, Span(window.first_id, window.last_id, end=window.span.start)]
