"""What single values mean, however they are written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskloop.core.types import from_micros
from riskloop.core.values import level_text, parse_time


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (1, "2000-01-01"), ("13", "2001-01-01"), (202405, "2024-05-01"), (20240531.0, "2024-05-31"),
        ("2024-05", "2024-05-01"), ("2024-05-31", "2024-05-31"), ("2024-05-31T23:30:00-02:00", "2024-06-01"),
    ],
)  # fmt: skip
def test_times(value: Any, date: str) -> None:
    assert from_micros(parse_time(value)).date().isoformat() == date


@pytest.mark.parametrize("value", ["", "soon", 0, 202413, 20240532, 99999, 10**30, "0x10"])
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises((ValueError, OverflowError)):
        parse_time(value)


@given(st.integers(-(10**12), 10**12))
def test_an_integer_names_one_level_however_it_is_written(number: int) -> None:
    assert {level_text(v) for v in (number, float(number), str(number), f" {number}.0 ")} == {str(number)}
