"""Calendar periods, in UTC."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from riskloop.core.span import Span

Calendar = Literal["day", "week", "month", "quarter", "half-year", "year"]

MONTHS: Final[Mapping[Calendar, int]] = {"year": 12, "half-year": 6, "quarter": 3, "month": 1}  # in each period


@dataclass(frozen=True, slots=True)
class Period:
    """A named span of time: ``first`` is inside, ``end`` is not."""

    name: str  # "2025-05-31", "2025-W22", "2025-05", "2025-Q2", "2025-H1", "2025"; "305" where months are numbered
    first: datetime
    end: datetime

    @property
    def span(self) -> Span:
        """The decisions of the period."""
        return Span.between(self.first, self.end)


def period_of(moment: datetime, by: Calendar, numbered: bool = False) -> Period:
    """The period that ``moment`` (UTC) lies in; weeks are of ISO 8601, months may be called by number since 2000-01."""
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if by == "day":
        return Period(f"{midnight:%Y-%m-%d}", midnight, midnight + timedelta(days=1))
    if by == "week":
        first = midnight - timedelta(days=midnight.weekday())
        return Period(f"{first:%G-W%V}", first, first + timedelta(days=7))
    months = MONTHS[by]
    part = (midnight.month - 1) // months  # of the year
    first = midnight.replace(month=part * months + 1, day=1)
    following = (first + timedelta(days=31 * months)).replace(day=1)
    number = (first.year - 2000) * 12 + first.month  # the inverse of `core.dates.parse_time`
    named = {"quarter": f"{first:%Y}-Q{part + 1}", "half-year": f"{first:%Y}-H{part + 1}", "year": f"{first:%Y}"}
    name = str(number) if by == "month" and numbered and number > 0 else named.get(by, f"{first:%Y-%m}")
    return Period(name, first, following)


def periods_between(first: datetime, until: datetime, by: Calendar, numbered: bool = False) -> Iterator[Period]:
    """The whole periods from the one that contains ``first`` to the last one that ended by ``until``."""
    period = period_of(first, by, numbered)
    while period.end <= until:
        yield period
        period = period_of(period.end, by, numbered)
