"""When decisions come. Silence is judged by when they were scored: an old file's dates say nothing about the feed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from riskloop.core.periods import Period, period_of
from riskloop.core.settings import Settings, WindowSettings
from riskloop.core.types import from_micros, to_micros
from riskloop.store.decisions import DecisionLog, Extent, Times

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Feed:
    """The feed of decisions around a period for which none is dated."""

    scored_at: Callable[[int], int | None]  # of a decision by its id
    settings: WindowSettings
    period: Period
    seen: int  # the last decision that the windows before hold
    now: datetime

    @cached_property
    def _expected(self) -> tuple[int, int]:
        """From when, and until when, something had to be scored, in microseconds."""
        due = self.settings.due
        if due == "always" or due == "any":
            return to_micros(self.period.first), to_micros(self.period.end)
        complete = period_of(self.period.end - _INSTANT, due).end
        return to_micros(complete), to_micros(complete + self.settings.grace)

    @cached_property
    def _before(self) -> int | None:
        return self.scored_at(self.seen)

    @cached_property
    def _after(self) -> int | None:
        return self.scored_at(self.seen + 1)

    @property
    def is_awaited(self) -> bool:
        """Whether the period's file may still come."""
        return self.settings.due != "any" and to_micros(self.now) < self._expected[1]

    @property
    def is_silent(self) -> bool:
        """Whether nothing was scored from the start of the expected time to its end, and something before."""
        if self.settings.due == "any":
            return False
        start, end = self._expected
        return (self._before is None or self._before <= start) and (self._after is None or self._after >= end)

    @property
    def came_in_time(self) -> bool:
        """Whether what was scored next, with other dates, was scored when the period's decisions were expected."""
        return self._after is not None and self._after < self._expected[1]

    @property
    def came_later(self) -> bool:
        """Whether all that is known was scored when the period was over already."""
        return self._before is not None and self._before > self._expected[1]


def covered_by(
    decisions: DecisionLog, settings: Settings, period: Period, inside: Extent, logged: Times
) -> tuple[datetime, datetime] | None:
    """The days of a period that an old file has rows for; None where rows are expected for the whole period.

    A file that was scored when the period was over may begin or end within it: before its first and after its last
    row nobody was decided on. Not so where a file is due for each period: then the rest is missing.
    """
    scored = decisions.scored_at(inside.first)
    if scored is None or scored <= to_micros(period.end) or settings.windows.due not in ("always", "any"):
        return None
    first, end = period.first, period.end
    if logged.earliest >= to_micros(period.first):
        first = period_of(from_micros(inside.earliest), "day").first
    if logged.latest < to_micros(period.end):
        end = period_of(from_micros(inside.latest), "day").end
    return first, end
