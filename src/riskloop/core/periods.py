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

    name: str  # "2025-05-31", "2025-W22", "2025-05"; "305" where months are numbered
    first: datetime
    end: datetime

    @property
    def span(self) -> Span:
        """The decisions of the period."""
        return Span.between(self.first, self.end)


def period_of(moment: datetime, by: Calendar, numbered: bool = False) -> Period:
    """The day, ISO week or month that ``moment`` (UTC) lies in; months may be called by their number since 2000-01."""
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if by == "day":
        return Period(f"{midnight:%Y-%m-%d}", midnight, midnight + timedelta(days=1))
    if by == "week":
        first = midnight - timedelta(days=midnight.weekday())
        return Period(f"{first:%G-W%V}", first, first + timedelta(days=7))
    first = midnight.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    number = (first.year - 2000) * 12 + first.month  # the inverse of `core.dates.parse_time`
    name = str(number) if numbered and number > 0 else f"{first:%Y-%m}"
    return Period(name, first, following)


def periods_between(first: datetime, until: datetime, by: Calendar, numbered: bool = False) -> Iterator[Period]:
    """The whole periods from the one that contains ``first`` to the last one that ended by ``until``."""
    period = period_of(first, by, numbered)
    while period.end <= until:
        yield period
        period = period_of(period.end, by, numbered)
