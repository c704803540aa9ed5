"""What a single value of a file or a request means: a level, a time, a number."""

import re
from datetime import UTC, date, datetime
from typing import Any, Final

from riskloop.core.types import as_utc, to_micros

_WHOLE = re.compile(r"([+-]?\d+)\.0*")
_MONTHS_FROM: Final = 2000 * 12 - 1  # period 1 is 2000-01
_LAST_PERIOD: Final = 1200


def level_text(value: Any) -> str:
    """The level that a value names: 2, 2.0, ``"2.0"`` and ``" 2 "`` are ``"2"``; booleans are true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    if (whole := _WHOLE.fullmatch(text)) is not None:
        return whole[1]
    return text.lower() if text in ("True", "False", "TRUE", "FALSE") else text


def parse_time(value: Any) -> int:
    """Microseconds since the epoch of an ISO date or datetime (UTC where no zone is given), or of a period.

    Periods are ``YYYY-MM``, the integers YYYYMM and YYYYMMDD, and 1, 2, 3 … for months counted from 2000-01.
    Raises ValueError when the value is none of these.
    """
    text = level_text(value)
    if text.isdecimal():
        return _parse_period(int(text))
    if re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    return to_micros(as_utc(datetime.fromisoformat(text)))


def _parse_period(number: int) -> int:
    if 1 <= number <= _LAST_PERIOD:
        months = _MONTHS_FROM + number
        year, month, day = months // 12, months % 12 + 1, 1
    elif 1000_01 <= number <= 9999_12:
        year, month, day = number // 100, number % 100, 1
    else:
        year, month, day = number // 10_000, number // 100 % 100, number % 100
    return to_micros(datetime.combine(date(year, month, day), datetime.min.time(), UTC))


def parse_number(text: str) -> float:
    """The number that ``text`` writes; NaN when it is none."""
    try:
        return float("nan" if "_" in text else text)
    except ValueError:
        return float("nan")
