from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskloop.core.dates import parse_time
from riskloop.core.periods import Calendar, period_of, periods_between
from riskloop.core.types import from_micros

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
CALENDARS = st.sampled_from(get_args(Calendar))


@given(MOMENTS, CALENDARS)
def test_a_moment_lies_in_its_period_and_the_next_one_follows(moment: datetime, by: Calendar) -> None:
    period = period_of(moment, by)
    assert period.first <= moment < period.end
    assert period_of(period.end, by).first == period.end


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("day", "2024-12-30"),
        ("week", "2025-W01"),
        ("month", "2024-12"),
        ("quarter", "2024-Q4"),
        ("half-year", "2024-H2"),
        ("year", "2024"),
    ],
)
def test_names_follow_iso_8601(by: Calendar, name: str) -> None:
    assert period_of(datetime(2024, 12, 30, 5, tzinfo=UTC), by).name == name


@given(st.integers(1, 1200))
def test_a_month_may_be_called_by_the_number_that_files_give_it(number: int) -> None:
    first = from_micros(parse_time(number))
    period = period_of(first, "month", numbered=True)
    assert (period.name, period.first) == (str(number), first)
    assert [p.name for p in periods_between(first, period.end, "month", numbered=True)] == [str(number)]


def test_months_before_the_first_number_and_shorter_periods_keep_their_names() -> None:
    moment = datetime(1999, 12, 30, tzinfo=UTC)
    assert [period_of(moment, by, numbered=True).name for by in ("month", "week", "day")] == [
        "1999-12",
        "1999-W52",
        "1999-12-30",
    ]


def test_only_ended_periods_are_given() -> None:
    found = periods_between(datetime(2025, 1, 20, tzinfo=UTC), datetime(2025, 4, 30, tzinfo=UTC), "month")
    assert [p.name for p in found] == ["2025-01", "2025-02", "2025-03"]
