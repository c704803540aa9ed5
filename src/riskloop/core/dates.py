"""The vocabulary of single values, part two: dates, times and periods, in any writing that lenders use.

Nothing here knows a column or a file; in which order the dates of a column are written is an argument.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from riskloop.core.months import MONTHS
from riskloop.core.schema import DateOrder
from riskloop.core.types import DAY, as_utc, to_micros
from riskloop.core.values import level_text

FORMATS: Final = "2024-05-31, 2024-05, 20240531, 202405, 31-May-2024, May-2024 or 2024Q2"
FIRST_YEAR, LAST_YEAR = 1900, 2100

_MONTHS_FROM: Final = 2000 * 12 - 1  # period 1 is 2000-01
LAST_PERIOD: Final = 1200
_EXCEL: Final = date(1899, 12, 30)  # day 0 of a spreadsheet's serial numbers
_SHORT_FIRST, _SHORT_LAST = 1980, 2049  # years of months that lost their zero: five digits may be anything else
_PIVOT: Final = 69  # 68 is 2068, 69 is 1969, as POSIX has it

_NAME: Final = "|".join(sorted(MONTHS, key=len, reverse=True))
_MONTH_YEAR: Final = re.compile(rf"({_NAME})\.?[-\s/,]*'?(\d{{4}}|\d{{2}})", re.IGNORECASE)
_YEAR_MONTH: Final = re.compile(rf"(\d{{4}})[-\s/]*({_NAME})", re.IGNORECASE)
_DAY_MONTH_YEAR: Final = re.compile(
    rf"(\d{{1,2}})(?:\.|er|st|nd|rd|th|º)?[-\s/]*(?:de\s+)?({_NAME})\.?[-\s/,]*(?:de[l]?\s+)?(\d{{4}}|\d{{2}})(.*)",
    re.IGNORECASE,
)
_MONTH_DAY_YEAR: Final = re.compile(rf"({_NAME})\.?\s+(\d{{1,2}}),?\s+(\d{{4}})(.*)", re.IGNORECASE)
_OF_C: Final = re.compile(
    rf"({_NAME})\s+(\d{{1,2}})\s+(\d\d:\d\d:\d\d(?:\s+[A-Z]+)?)\s+(\d{{4}})", re.IGNORECASE
)  # ctime
_WEEKDAY: Final = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+", re.IGNORECASE)
_QUARTER: Final = re.compile(
    r"(?:FY\s?)?(?P<y1>\d{4})[-\s/]*[QT](?P<q1>[1-4])|[QT](?P<q2>[1-4])[-\s/]*(?:FY\s?)?(?P<y2>\d{4})"
    r"|Q(?P<q3>[1-4])[-\s/']*(?:FY\s?)?(?P<y3>\d{2})|FY\s?(?P<y6>\d{2})[-\s/]*Q(?P<q6>[1-4])"
    r"|(?P<q4>[1-4])Q[-\s/']*(?P<y4>\d{4}|\d{2})|(?P<y5>\d{2})Q(?P<q5>[1-4])",
    re.IGNORECASE,
)
_HALF: Final = re.compile(r"(\d{4})[-\s/]*[HS]([12])|[HS]([12])[-\s/]*(\d{4})", re.IGNORECASE)
# 2023M01, 2023-P01, P01/2023, FY2023.
_NUMBERED: Final = re.compile(
    r"(?P<y1>\d{4})[-\s/]?[MP]\s?(?P<m1>\d{1,2})|[MP](?P<m2>\d{1,2})[-\s/](?P<y2>\d{4})|FY[-\s']?(?P<y3>\d{4}|\d{2})",
    re.IGNORECASE,
)
# Periods in words and months of short years: dates only in a column that is named like one, see `is_short`.
_PERIOD: Final = re.compile(
    r"(?:p|m|per|period|periode|période|periodo|mth|month|monat|mois|mes|maand|month_no)[\s._#-]*0*(\d{1,4})",
    re.IGNORECASE,
)
_MONTH_SHORT: Final = re.compile(r"(\d{1,2})[/-](\d{2})")
_OF_DB2: Final = re.compile(r"(\d{4}-\d{2}-\d{2})-(\d{2})\.(\d{2})\.(\d{2})(\.\d+)?")
_OF_EAST_ASIA: Final = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(?:(\d{1,2})\s*[日일])?")
_THREE: Final = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4}|\d{2})(.*)", re.DOTALL)
_YEAR_FIRST: Final = re.compile(r"(\d{4})[/.\-](\d{1,2})(?:[/.\-](\d{1,2}))?(.*)", re.DOTALL)
_MONTH_SLASH: Final = re.compile(r"(\d{1,2})[/.\-](\d{4})")


def parse_time(value: Any, order: DateOrder = "") -> int:
    """Microseconds since the epoch of a date, a time (UTC where no zone is given) or a period.

    Read are ISO 8601, YYYY-MM, the integers YYYYMM and YYYYMMDD, months by name, quarters, and 1, 2, 3 …, P07 or
    month 7 for months counted from 2000-01. Of 03/01/2023 ``order`` says which is the day, of 03/19 whether the year
    comes first (``ymd``) or last; without it only a date that can be read in one way is read. With ``ymd``, ``unix`` or
    ``excel`` integers are YYMMDD, time since 1970 or a spreadsheet's days.
    Raises ValueError, saying what the value could be, for everything else and for years outside of 1900 to 2100.
    """
    if isinstance(value, datetime):
        return _bounded(as_utc(value))
    if isinstance(value, date):
        return _bounded(datetime.combine(value, time(), UTC))
    return _moment_of(value if isinstance(value, str) else level_text(value), order)


@lru_cache(maxsize=2**16)
def _moment_of(value: str, order: DateOrder) -> int:
    """As `parse_time`; the same days come again and again, in other rows, other columns, and with the next question."""
    text, zone = _without_zone(level_text(value))
    moment = _read(text, order)
    if zone is not None and not _OFFSET.search(text):  # the time of day there
        moment = as_utc(moment.replace(tzinfo=zone))
    return _bounded(moment)


def _read(text: str, order: DateOrder) -> datetime:
    if text.isascii() and text.isdecimal():
        return _counted(text, order) if order in COUNTED else _digits(text, order)
    if order == "excel" and (found := re.fullmatch(r"(\d{5})\.\d+", text)) is not None:  # with the time of day
        return _counted(found[1], order)
    return _written(text, order)


_BRACKETS: Final = re.compile(r"([^\[]*\d[^\[]*?)\s*((?:\[[^\[\]]*\])+)")
_NAMED_ZONE: Final = re.compile(
    r"(.*\d(?:\s*[AP]M)?)\s+((?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)(?:/[\w+-]+)+)"
)
_AFTER_UTC: Final = re.compile(r"\s*\b(?:UTC|GMT)\s*([+-])(\d{1,2})(?::?(\d\d))?$", re.IGNORECASE)
_OFFSET: Final = re.compile(
    r"(?::\d\d|T\d{4,6})(?:[.,]\d+)?\s*(?:[AP]M\s*)?(?:[+-]\d\d(?::?\d\d){0,2}|Z|[A-Z]{3,4})$", re.IGNORECASE
)


def _without_zone(text: str) -> tuple[str, ZoneInfo | None]:
    """A time without the zone whose name stands behind it: 2024-01-05T10:00+01:00[Europe/Berlin], RFC 9557.

    UTC+1 behind it becomes an offset. Raises ValueError for a zone that there is not.
    """
    name = None
    if text.endswith("]") and (found := _BRACKETS.fullmatch(text)) is not None:
        text, tags = found[1], re.findall(r"\[!?([^\]]*)\]", found[2])
        name = next((tag for tag in tags if "=" not in tag), None)  # [u-ca=gregory] is the calendar
    elif "/" in text and (found := _NAMED_ZONE.fullmatch(text)) is not None:
        text, name = found[1], found[2]
    elif (found := _AFTER_UTC.search(text)) is not None and ":" in text[: found.start()]:
        return f"{text[: found.start()]}{found[1]}{found[2].zfill(2)}:{found[3] or '00'}", None
    if name is None:
        return text, None
    if re.fullmatch(r"[+-]\d\d:?\d\d", name):  # an offset as the zone
        return (text if _OFFSET.search(text) else text + name), None
    try:
        return text, ZoneInfo("UTC" if name in ("Z", "GMT") else name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"is not a date: there is no time zone {name[:40]!r}") from None


def is_date(value: Any, order: DateOrder = "") -> bool:
    """Whether `parse_time` reads it."""
    try:
        parse_time(value, order)
    except (ValueError, OverflowError):
        return False
    return True


MOST_DAYS: Final = 100_000  # between a date and a decision


def days_before(value: Any, day: int, order: DateOrder = "") -> float:
    """Whole days from a date to the decision on ``day`` (days since 1970); a number is such days already.

    Raises ValueError for what is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= MOST_DAYS:
            raise ValueError("is neither a date nor days to the decision; write dates as text")
        return float(value)
    return float(day - parse_time(value, order) // DAY)


def _written(text: str, order: DateOrder) -> datetime:
    if re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    try:
        return as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        pass
    if (found := _THREE.fullmatch(text)) is not None:
        by_points = found[2] == "." and order != "ymd"
        return _with_time(_ordered(text, found[1], found[3], found[4], "dmy" if by_points else order), found[5])
    if (found := _OF_DB2.fullmatch(text)) is not None:
        return as_utc(datetime.fromisoformat(f"{found[1]} {found[2]}:{found[3]}:{found[4]}{(found[5] or '')[:7]}"))
    if (found := _YEAR_FIRST.fullmatch(text)) is not None and (found[3] or text[4] != "."):  # 2024.5 is a number
        return _with_time(date(int(found[1]), int(found[2]), int(found[3] or 1)), found[4])
    if (found := _MONTH_SLASH.fullmatch(text)) is not None:
        return _with_time(date(int(found[2]), int(found[1]), 1))
    if (found := _MONTH_SHORT.fullmatch(text)) is not None:
        return _with_time(_month_of(text, found[1], found[2], order))
    if (found := _PERIOD.fullmatch(text)) is not None and 1 <= int(found[1]) <= LAST_PERIOD:
        return _period(int(found[1]))
    return _worded(text)


def is_short(text: str) -> bool:
    """Whether a text is a date only where the column's name says so: 03/19 may be a ratio, P07 a product."""
    return (_MONTH_SHORT.fullmatch(text) or _PERIOD.fullmatch(text)) is not None


def _month_of(text: str, first: str, second: str, order: DateOrder) -> date:
    """The month of 03/19: the year comes last, unless ``order`` says ymd or 19/03 leaves nothing else."""
    readings = {
        name: day
        for name, day in (
            ("mdy", _day(_year(second), int(first), 1)),
            ("ymd", _day(_year(first.zfill(2)), int(second), 1)),
        )
        if day
    }
    wanted = "ymd" if order == "ymd" else "mdy" if order else next(iter(readings), "")
    if wanted not in readings:
        raise ValueError(f"is not a date{f' in the order {order}' if order else ''}; write {FORMATS}")
    if not order and len(set(readings.values())) > 1:
        raise ValueError(
            f"can be {readings['mdy']:%B %Y} (mdy) or {readings['ymd']:%B %Y} (ymd); "
            'say which: dates = "mdy" or "ymd" in [data], or --dates'
        )
    return readings[wanted]


def _worded(text: str) -> datetime:
    """A quarter, a half, a fiscal year, a date of which the month or each part is named."""
    text = _WEEKDAY.sub("", text, count=1) if _WEEKDAY.match(text) else text
    if (found := _QUARTER.fullmatch(text)) is not None:
        year, quarter = (next(text for k in range(1, 7) if (text := found[f"{part}{k}"])) for part in "yq")
        return _with_time(date(_year(year), 3 * int(quarter) - 2, 1))
    if (found := _HALF.fullmatch(text)) is not None:
        return _with_time(date(int(found[1] or found[4]), 6 * int(found[2] or found[3]) - 5, 1))
    if (found := _OF_C.fullmatch(text)) is not None:
        return _with_time(date(int(found[4]), MONTHS[found[1].lower()], int(found[2])), found[3])
    if (found := _NUMBERED.fullmatch(text)) is not None:
        year, month = found["y1"] or found["y2"] or found["y3"], found["m1"] or found["m2"] or "1"
        return _with_time(date(_year(year), int(month), 1))
    if (found := _OF_EAST_ASIA.fullmatch(text)) is not None:
        return _with_time(date(int(found[1]), int(found[2]), int(found[3] or 1)))
    if (found := _DAY_MONTH_YEAR.fullmatch(text)) is not None:
        return _with_time(date(_year(found[3]), MONTHS[found[2].lower()], int(found[1])), found[4])
    if (found := _MONTH_DAY_YEAR.fullmatch(text)) is not None:
        return _with_time(date(int(found[3]), MONTHS[found[1].lower()], int(found[2])), found[4])
    if (found := _MONTH_YEAR.fullmatch(text)) is not None:
        return _with_time(date(_year(found[2]), MONTHS[found[1].lower()], 1))
    if (found := _YEAR_MONTH.fullmatch(text)) is not None:
        return _with_time(date(int(found[1]), MONTHS[found[2].lower()], 1))
    raise ValueError(f"is not a date; write {FORMATS}")


def _ordered(text: str, first: str, second: str, third: str, order: DateOrder) -> date:
    """The day of three numbers; a year of two digits may also come first."""
    year, short = _year(third), len(third) == 2
    if (order == "ymd" and not short) or order in ("unix", "excel"):
        order = ""
    days = {"dmy": _day(year, int(second), int(first)), "mdy": _day(year, int(first), int(second))}
    if short and len(first) == 2 and order in ("", "ymd"):
        days["ymd"] = _day(_year(first), int(second), int(third))
    readings = {name: day for name, day in days.items() if day}
    if order:
        if order not in readings:
            raise ValueError(f"is not a date in the order {order}; write {FORMATS}, or correct 'dates' of [data]")
        return readings[order]
    if not readings:
        raise ValueError(f"is not a date; write {FORMATS}")
    if len(set(readings.values())) > 1:
        said = " or ".join(f"{day:%d %B %Y} ({name})" for name, day in readings.items())
        which = " or ".join(f'"{name}"' for name in readings)
        raise ValueError(f"can be {said}; say which: dates = {which} in [data], or --dates")
    return next(iter(readings.values()))


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except (ValueError, OverflowError):
        return None


def _year(text: str) -> int:
    number = int(text)
    return number if len(text) == 4 else number + (2000 if number < _PIVOT else 1900)


_ZONES: Final[Mapping[str, float]] = {  # hours east of Greenwich: those that mails may name, and Europe's
    "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3, "SAST": 2,
}  # fmt: skip
_CLOCK: Final = re.compile(
    r"(?:AT|UM|À|KL\.?)?\s*(?P<before>[AP]\.?M\.?)?\s*(?P<h>\d{1,2})(?:[:.H](?P<m>\d{2})(?:[:.](?P<s>\d{2})(?P<f>[.,]\d+)?)?)?"
    rf"\s*(?P<after>[AP]\.?\s?M\.?)?\s*(?:UHR|H|HRS|ГОДА|Г\.?)?\s*(?P<zone>{'|'.join(_ZONES)}|[+-]\d\d:?(?:\d\d)?)?"
)


def _with_time(day: date, rest: str = "") -> datetime:
    """A day with the time of day that may stand behind it, in a zone that may stand behind that."""
    rest = re.sub(r"^(?:GMT|UTC|ГОДА|Г\.?)$", "", rest.strip(" ,:").upper().removeprefix("T"))
    moment = datetime.combine(day, time(), UTC)
    if not rest:
        return moment
    if (digits := re.fullmatch(r"(\d\d)(\d\d)(\d\d)?", rest)) is not None:
        rest = ":".join(part for part in digits.groups() if part)
    found = _CLOCK.fullmatch(rest)
    half = None if found is None else found["before"] or found["after"]
    if found is None or not (found["m"] or half):
        raise ValueError(f"is not a date; write {FORMATS}")
    hour, minute, second = int(found["h"]), int(found["m"] or 0), int(found["s"] or 0)
    if half:
        hour = hour % 12 + 12 * half.startswith("P") if 1 <= hour <= 12 else 99
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and minute + second):
        raise ValueError(f"is not a date: there is no such time of day; write {FORMATS}")
    fraction = float("0" + (found["f"] or "").replace(",", "."))
    moment += timedelta(hours=hour, minutes=minute, seconds=second, microseconds=round(1e6 * fraction))
    return moment - timedelta(hours=_east(found["zone"] or "UTC"))


def _east(zone: str) -> float:
    """Hours east of Greenwich."""
    if zone in _ZONES:
        return _ZONES[zone]
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return (-1 if zone[0] == "-" else 1) * (int(digits[:2]) + int(digits[2:]) / 60)


def _digits(text: str, order: DateOrder) -> datetime:
    """A period, a year, or a date without signs between its parts; ``order`` says what comes first in 03012023."""
    if len(text) in (12, 14):
        return _with_time(date(int(text[:4]), int(text[4:6]), int(text[6:8])), text[8:])
    if len(text) == 4 and FIRST_YEAR <= int(text) <= LAST_YEAR:
        return datetime(int(text), 1, 1, tzinfo=UTC)
    if order in ("dmy", "mdy") and len(text) in (7, 8) and FIRST_YEAR <= int(text[-4:]) <= LAST_YEAR:
        return _year_last(text, order)
    if len(text) == 6 and 1 <= int(text[:2]) <= 12 and FIRST_YEAR <= int(text[2:]) <= LAST_YEAR:
        return datetime(int(text[2:]), int(text[:2]), 1, tzinfo=UTC)  # 032023
    if len(text) == 5 and text[0] != "0" and _SHORT_FIRST <= int(text[1:]) <= _SHORT_LAST:
        return datetime(int(text[1:]), int(text[0]), 1, tzinfo=UTC)  # 32023, of which the zero is lost
    return _period(int(text))


def _year_last(text: str, order: DateOrder) -> datetime:
    """DDMMYYYY or MMDDYYYY, of which a zero may be lost."""
    return datetime.combine(_ordered(text, text[:-6], text[-6:-4], text[-4:], order), time(), UTC)


def _period(number: int) -> datetime:
    if 1 <= number <= LAST_PERIOD:
        months = _MONTHS_FROM + number
        return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    for day in (_day(number // 100, number % 100, 1), _day(number // 10_000, number // 100 % 100, number % 100)):
        if day is not None and FIRST_YEAR <= day.year <= LAST_YEAR:
            return datetime.combine(day, time(), UTC)
    raise ValueError(f"is not a date{_guess(str(number))}; write {FORMATS}")


def _counted(text: str, order: DateOrder) -> datetime:
    """An integer that is YYMMDD, a spreadsheet's day, or seconds, milliseconds or microseconds since 1970."""
    number = int(text)
    if order == "ymd":
        day = _day(_year(text.zfill(6)[:2]), number // 100 % 100, number % 100) if len(text) in (5, 6) else None
        if day is not None:
            return datetime.combine(day, time(), UTC)
    elif order == "excel" and 20_000 <= number <= 80_000:
        return datetime.combine(_EXCEL + timedelta(days=number), time(), UTC)
    elif order == "unix":
        for size in (1, 10**3, 10**6, 10**9):
            if 10**8 * size < number < 41 * 10**8 * size:
                return datetime.fromtimestamp(number // size, UTC) + timedelta(
                    microseconds=number % size * 10**6 // size
                )
    raise ValueError(f"is not a date of the kind {order}; correct 'dates' of [data]")


COUNTED: Final[Mapping[DateOrder, str]] = {
    "ymd": "YYMMDD",
    "excel": "a day number of a spreadsheet",
    "unix": "seconds since 1970",
}


def _guess(text: str) -> str:
    """What an integer that is no period could have been meant to be."""
    meant = []
    for order, name in COUNTED.items():
        try:
            meant.append(f"as {name} it is {_counted(text, order):%Y-%m-%d}: say --dates {order}")
        except ValueError:
            continue
    orders: tuple[DateOrder, ...] = ("dmy", "mdy")
    for first in orders if len(text) in (7, 8) and FIRST_YEAR <= int(text[-4:]) <= LAST_YEAR else ():
        try:
            meant.append(f"as {first} it is {_year_last(text, first):%Y-%m-%d}: say --dates {first}")
        except ValueError:
            continue
    return f" ({', '.join(meant)})" if meant else ""


def _bounded(moment: datetime) -> int:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"is read as the year {moment.year}, which is outside of {FIRST_YEAR} to {LAST_YEAR}")
    return to_micros(moment)
