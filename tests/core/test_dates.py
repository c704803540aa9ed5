"""Dates, times and periods in the writings of lenders' files, each in several instances."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from riskloop.core.dates import days_before, is_date, is_short, parse_time
from riskloop.core.types import from_micros, to_micros


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (1, "2000-01-01"),
        ("13", "2001-01-01"),
        (202405, "2024-05-01"),
        (20240531.0, "2024-05-31"),
        ("2024-05", "2024-05-01"),
        ("2024-05-31", "2024-05-31"),
        ("2024-05-31T23:30:00-02:00", "2024-06-01"),
    ],
)
def test_times(value: Any, date: str) -> None:
    assert from_micros(parse_time(value)).date().isoformat() == date


@pytest.mark.parametrize("value", ["", "soon", 0, 202413, 20240532, 99999, 10**30, "0x10"])
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises((ValueError, OverflowError)):
        parse_time(value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-31T10:15:00+02:00", "2024-05-31 08:15"),
        ("2024-05-31 10:15:00 +0200", "2024-05-31 08:15"),
        ("2024-05-31 10:15 CET", "2024-05-31 09:15"),
        ("2024-05-31 10:15:00 EST", "2024-05-31 15:15"),
        ("Fri May 31 10:15:00 CEST 2024", "2024-05-31 08:15"),
        ("20240531T101500Z", "2024-05-31 10:15"),
        ("20240531 1015", "2024-05-31 10:15"),
        ("20240531101500", "2024-05-31 10:15"),
        ("05/31/2024 10:15 PM", "2024-05-31 22:15"),
        ("31/05/2024 3 pm", "2024-05-31 15:00"),
        ("31/05/2024 10:15 a.m.", "2024-05-31 10:15"),
        ("5/31/2024 12:00:00 AM", "2024-05-31 00:00"),
        ("31-May-2024 03:05:10 PM", "2024-05-31 15:05"),
        ("31.05.2024 10.15 Uhr", "2024-05-31 10:15"),
        ("31 May 2024 at 10:15", "2024-05-31 10:15"),
        ("2024-05-31 24:00:00", "2024-06-01 00:00"),
        ("2024-05-31 10:15:00,123", "2024-05-31 10:15"),
        ("31MAY2024:10:15:00.000", "2024-05-31 10:15"),
        ("2024-05-31T10:15:00.1234567Z", "2024-05-31 10:15"),
        ("2024-05-31 10:15 UTC+3", "2024-05-31 07:15"),
        ("2024-05-31T10:15:00 GMT-03:30", "2024-05-31 13:45"),
    ],
)
def test_times_of_day_and_their_zones(text: str, moment: str) -> None:
    assert f"{from_micros(parse_time(text)):%Y-%m-%d %H:%M}" == moment


WRITTEN = (
    "%Y-%m-%dT%H:%M:%S{}", "%Y-%m-%d %H:%M:%S {}", "%d.%m.%Y %H:%M {}", "%d-%b-%Y %H:%M:%S {}", "%Y%m%d%H%M%S{}",
    "%d %b %Y %I:%M %p {}",
)  # fmt: skip
PLACES = ("Europe/Berlin", "America/New_York", "America/Argentina/Buenos_Aires", "Asia/Kolkata", "Etc/GMT+5", "UTC")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("month", [1, 7])
def test_a_named_zone_says_when_it_was(place: str, month: int) -> None:
    there = datetime(2024, month, 15, 22, 30, tzinfo=ZoneInfo(place))
    expected = to_micros(there)
    for form in WRITTEN:
        assert parse_time(there.strftime(form.format(f"[{place}]"))) == expected
        assert parse_time(there.strftime(form.format(f"[{place}][u-ca=gregory]"))) == expected
        if "/" in place and form.endswith(" {}"):
            assert parse_time(there.strftime(form.format(place))) == expected
    assert parse_time(f"{there.isoformat()}[{place}]") == expected
    assert parse_time(f"{there.isoformat()}[!{place}]") == expected
    assert parse_time(f"{there:%Y-%m-%d}[{place}]") == to_micros(there.replace(hour=0, minute=0))


@pytest.mark.parametrize("zone", ["[Nowhere/Land]", "[Europe/Berlino]", "[../../etc/passwd]", " Europe/Atlantis", "[]"])
def test_a_zone_that_there_is_not_is_no_utc(zone: str) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        parse_time(f"2024-05-31T10:15:00{zone}")


@pytest.mark.parametrize(
    "text", ["2024-05-31 25:00", "31/05/2024 13:00 PM", "31/05/2024 7", "2024-05-31 10:61", "31 May 2024 noon"]
)
def test_what_is_no_time_of_day(text: str) -> None:
    assert not is_date(text)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("03/2019", "2019-03"),
        ("03-2019", "2019-03"),
        ("3.2019", "2019-03"),
        ("03/19", "2019-03"),
        ("05-24", "2024-05"),
        ("98/03", "1998-03"),
        ("P07", "2000-07"),
        ("Month 12", "2000-12"),
        ("Monat 3", "2000-03"),
        ("period_31", "2002-07"),
        ("2019P07", "2019-07"),
        ("P07/2019", "2019-07"),
        ("2019Q3", "2019-07"),
        ("Q3 2019", "2019-07"),
        ("3Q19", "2019-07"),
        ("Q3 FY2019", "2019-07"),
        ("FY19Q3", "2019-07"),
    ],
)
def test_months_and_periods(text: str, day: str) -> None:
    assert f"{from_micros(parse_time(text)):%Y-%m}" == day


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("03/01/2023", ("dmy", "mdy")),
        ("23-05-14", ("dmy", "ymd")),
        ("05/04/07", ("dmy", "mdy", "ymd")),
        ("03/11", ("mdy", "ymd")),
        ("93-01-05", ()),
        ("31/12/97", ()),
        ("12/31/2023", ()),
        ("98/03", ()),
        ("06.07.08", ()),
    ],
)
def test_a_date_with_several_readings_is_refused_with_all_of_them(text: str, readings: tuple[Any, ...]) -> None:
    if not readings:
        assert is_date(text)
        return
    with pytest.raises(ValueError, match=r"^can be ") as caught:
        parse_time(text)
    assert all(f"({order})" in str(caught.value) for order in readings)
    assert len({parse_time(text, order) for order in readings}) == len(readings)


def test_an_order_with_the_year_first_leaves_years_of_four_digits_where_they_are() -> None:
    assert parse_time("2023-01-05", "ymd") == parse_time("23-01-05", "ymd") == parse_time("05.01.2023", "dmy")
    assert parse_time("31/12/2023", "ymd") == parse_time("31/12/2023", "excel") == parse_time("2023-12-31")
    assert days_before("23-01-05", 19_370, "ymd") == 8


@pytest.mark.parametrize(
    ("text", "short"), [("03/19", True), ("P07", True), ("M 3", True), ("2019P07", False), ("P07x", False)]
)
def test_what_only_a_columns_name_makes_a_date(text: str, short: bool) -> None:
    assert is_short(text) == short
