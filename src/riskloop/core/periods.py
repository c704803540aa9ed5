"""Calendar periods, in UTC."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from riskloop.core.span import Span

Calendar = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Period:
    """A named span of time: ``first`` is inside, ``end`` is not."""

    name: str  # "2025-05-31", "2025-W22", "2025-05"
    first: datetime
    end: datetime

    @property
    def span(self) -> Span:
        """The decisions of the period."""
        return Span.between(self.first, self.end)


def period_of(moment: datetime, by: Calendar) -> Period:
    """The day, ISO week or month that ``moment`` (UTC) lies in."""
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if by == "day":
        return Period(f"{midnight:%Y-%m-%d}", midnight, midnight + timedelta(days=1))
    if by == "week":
        first = midnight - timedelta(days=midnight.weekday())
        return Period(f"{first:%G-W%V}", first, first + timedelta(days=7))
    first = midnight.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Period(f"{first:%Y-%m}", first, following)


def periods_between(first: datetime, until: datetime, by: Calendar) -> Iterator[Period]:
    """The whole periods from the one that contains ``first`` to the last one that ended by ``until``."""
    period = period_of(first, by)
    while period.end <= until:
        yield period
        period = period_of(period.end, by)
