"""The vocabulary of single values, the same for files, frames, requests and outcomes: missing, truth, id, number, date.

Nothing here knows a column or a file; what is declared of a column (how its numbers are written, in which order its
dates) is an argument.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from riskloop.core.months import MONTHS
from riskloop.core.schema import DateOrder, TextStyle
from riskloop.core.types import DAY, as_utc, to_micros

# --------------------------------------------------------------------------- missing

# Spellings of a missing value. A level of a category wins over them: 'NA' may be a region.
MISSING: Final = frozenset(
    {"", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "Null", "None", "#N/A", "#n/a", "#NA", "<NA>", "NaT"}
    | {"n.a.", "N.A.", "#NULL!", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NAME?", "\\N", "(null)", "?", ".", "-", "--"}
    | {"\u2013", "\u2014"}  # dashes that programs for letters make of a minus
)
# … which are levels of a category, but no numbers.
MISSING_NUMBER: Final = MISSING | {
    "none",
    "NONE",
    "na",
    "unknown",
    "Unknown",
    "UNKNOWN",
    "missing",
    "Missing",
    "MISSING",
}


def is_missing(text: str, extra: Collection[str] = ()) -> bool:
    """Whether a text, white space around it aside, stands for a missing value."""
    text = trimmed(text)
    return text in MISSING or text in extra


# Characters that no reader sees: zero-width blanks, marks of the direction of writing, a mark within a file.
_UNSEEN: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def trimmed(text: str) -> str:
    """A text without white space around it and without characters that nobody sees."""
    return (text if text.isascii() else _UNSEEN.sub("", text)).strip()


# --------------------------------------------------------------------------- levels and ids

_WHOLE: Final = re.compile(r"([+-]?\d+)\.0*")
# Texts that may not be what `level_text` makes of them: most ids are, and are not looked at one by one.
ODD_ID: Final = r"[^\x21-\x7E]|^[+-]?\d+\.0*$|^(True|False|TRUE|FALSE)$"
NO_ID: Final = frozenset({"", "NaN", "nan", "NULL", "null", "None", "NaT", "<NA>", "#N/A"})


def level_text(value: Any) -> str:
    """The level or id that a value names: 2, 2.0, ``"2.0"`` and ``" 2 "`` are ``"2"``; ``"002"`` stays what it is.

    Booleans are true and false, a time of day is 09:00.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, time):
        return value.isoformat("minutes" if not (value.second or value.microsecond) else "auto")
    text = trimmed(str(value))
    if (whole := _WHOLE.fullmatch(text)) is not None:
        return whole[1]
    return text.lower() if text in ("True", "False", "TRUE", "FALSE") else text


# --------------------------------------------------------------------------- numbers

_CURRENCY: Final = re.compile(
    r"[$€£¥₹₽₺₩₴₪₫₱¢\s'\u2019]|(?<![^\W\d_])(?:USD|EUR|GBP|CHF|INR|JPY|CNY|AUD|CAD|ZAR|BRL|PLN|SEK|NOK|DKK|CZK|HUF|RON|"
    r"TRY|MXN|RUB|Rs\.?|R(?=\s*\$)|Kč|zł|kr\.?|Ft|руб\.?|Fr\.?)(?![^\W\d_])"
)
_MINUS: Final = str.maketrans({"\u2212": "-", "\u2012": "-", "\u2013": "-", "．": ".", "，": ","})  # of typesetters
_UNIT: Final = re.compile(r"([<>≤≥]?=?)\s*([+-]?[\d.,]+)\s*(\+?)\s*[^\d]*")
_GROUPED: Final = {
    ".": re.compile(r"[+-]?\d{1,3}(?:(?:,\d{2,3})*,\d{3})?(?:\.\d*)?"),  # 12,34,567 in India
    ",": re.compile(r"[+-]?\d{1,3}(?:\.\d{3})*(?:,\d*)?"),
}
_PLAIN: Final = {".": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)"), ",": re.compile(r"[+-]?(?:\d+,?\d*|,\d+)")}
_ROUND: Final = re.compile(r"(?<=\d)[.,](?:-{1,2}|\u2014)$")  # 10,- and 10.—
_SCALES: Final = {
    name: size
    for names, size in (
        ("k|tsd|thousand|тыс|tys", 1e3), ("m|mn|mm|mio|mln|million|millions|млн", 1e6), ("bn|mrd|billion|млрд", 1e9),
        ("lakh|lakhs|lac|lacs", 1e5), ("cr|crore|crores", 1e7), ("万|萬|만", 1e4), ("億|亿|억", 1e8),
    )
    for name in names.split("|")
}  # fmt: skip
_SCALED: Final = re.compile(rf"(.*\d)\s*({'|'.join(sorted(_SCALES, key=len, reverse=True))})\.?", re.IGNORECASE)
_TENURE: Final = re.compile(
    r"P?\s*(?:(\d+)\s*(?:y|yr|yrs|years?|jahre?|ans?|años?)\.?)?[\s,]*(?:(\d+)\s*(?:m|mo|mon|mons|mths?|months?|monate?|mois|mes|"
    r"meses)\.?)?",
    re.IGNORECASE,
)


def parse_number(text: str, style: TextStyle = "plain", decimal: str = ".") -> float:
    """The number that ``text`` writes; NaN when it is none.

    ``amount`` drops currency signs and the thousands' separators, (1,234) and 1,234- are negative, 12.5k is 12500.
    ``percent`` drops the sign: 13.5% is 13.5, 5‰ is 0.5. ``unit`` drops words: '36 months' is 36, '10+ years' 10,
    '< 1 year' 0, '> 5' 6. ``tenure`` is years and months, in months: '1yrs 11mon' is 23.
    """
    text = text.strip() if text.isascii() else trimmed(text).translate(_MINUS)
    if style == "plain":
        return _plain(text, decimal)
    if style == "percent":
        if text.endswith("‰"):
            return _grouped(text[:-1].rstrip(), decimal) / 10.0
        return _grouped(text.removesuffix("%").rstrip(), decimal)
    if style == "amount":
        return _amount(text, decimal)
    if style == "tenure":
        found = _TENURE.fullmatch(text)
        if found is None or (found[1] or found[2]) is None:
            return math.nan
        return 12.0 * int(found[1] or 0) + int(found[2] or 0)
    found = _UNIT.fullmatch(text)
    if found is None:
        return _plain(text, decimal)
    value = _grouped(found[2], decimal)
    return value - 1 if found[1] == "<" else value + 1 if found[1] == ">" else value


def _amount(text: str, decimal: str) -> float:
    text = _CURRENCY.sub("", text)
    if in_brackets := text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    text, factor = _ROUND.sub("", text), 1.0
    if text[-1:].isalpha() or text[-2:-1].isalpha():
        if (scaled := _SCALED.fullmatch(text)) is None:
            return math.nan
        text, factor = scaled[1], _SCALES[scaled[2].lower()]
    behind = text.endswith("-") and text[:1].isdigit()
    value = factor * _grouped(text[:-1] if behind else text, decimal)
    return -value if in_brackets or behind else value


def _plain(text: str, decimal: str) -> float:
    if decimal == ",":
        text = text.replace(",", ".") if "." not in text else "_"
    try:
        return float("nan" if "_" in text else text)
    except ValueError:
        return math.nan


def _grouped(text: str, decimal: str) -> float:
    if _PLAIN[decimal].fullmatch(text) is None:
        if _GROUPED[decimal].fullmatch(text) is None:
            return _plain(text, decimal)
        text = text.replace("," if decimal == "." else ".", "")
    return _plain(text, decimal)


def style_of(texts: Collection[str], decimal: str = ".") -> TextStyle | None:
    """How all of ``texts`` write their numbers; None when they are not numbers, or nothing says what they are."""
    if not texts:
        return None
    for style, told in _TOLD.items():
        if told(texts) and all(math.isfinite(parse_number(text, style, decimal)) for text in texts):
            return style
    return None


def _has_percent(texts: Collection[str]) -> bool:
    return any(text.rstrip().endswith(("%", "‰")) for text in texts)


def _has_tenure(texts: Collection[str]) -> bool:
    """Whether some text has years and months, so that the others are parts of a duration, too."""
    parts = [found for text in texts if (found := _TENURE.fullmatch(text.strip())) is not None]
    return any(found[1] and found[2] for found in parts)


def _are_amounts(texts: Collection[str]) -> bool:
    """Whether words behind the numbers are no units: 36M alone are months, beside 900k they are millions."""
    found = (_SCALED.fullmatch(text.strip()) for text in texts)
    words = {match[2].lower() for match in found if match is not None}
    return not words or bool(words - {"m", "mm", "cr"}) or any(_CURRENCY.search(text.strip()) for text in texts)


def _one_unit(texts: Collection[str]) -> bool:
    """Whether the words beside the numbers are one unit: '1 year' and '10+ years', but not '1 car' and '2 home'."""
    words = {re.sub(r"[\d.,+<>≤≥=\s-]", "", text).casefold() for text in texts}
    words = {word.rstrip("s.") or word for word in words} - {""}
    if not words:  # > 5, 10+
        return any(set(text) & set("<>≤≥+") for text in texts)
    return len(words) == 1 and (len(word := next(iter(words))) > 1 or word in "dwmy")  # 36M, 5y; 1A is a code


_TOLD: Final[Mapping[TextStyle, Callable[[Collection[str]], bool]]] = {
    "plain": lambda texts: True,
    "percent": _has_percent,
    "tenure": _has_tenure,
    "amount": _are_amounts,
    "unit": _one_unit,
}


# --------------------------------------------------------------------------- dates

FORMATS: Final = "2024-05-31, 2024-05, 20240531, 202405, 31-May-2024, May-2024 or 2024Q2"
FIRST_YEAR, LAST_YEAR = 1900, 2100

_MONTHS_FROM: Final = 2000 * 12 - 1  # period 1 is 2000-01
LAST_PERIOD: Final = 1200
_EXCEL: Final = date(1899, 12, 30)  # day 0 of a spreadsheet's serial numbers
_PIVOT: Final = 69  # 68 is 2068, 69 is 1969, as POSIX has it

_NAME: Final = "|".join(sorted(MONTHS, key=len, reverse=True))
_MONTH_YEAR: Final = re.compile(rf"({_NAME})\.?[-\s/,]*'?(\d{{4}}|\d{{2}})", re.IGNORECASE)
_YEAR_MONTH: Final = re.compile(rf"(\d{{4}})[-\s/]*({_NAME})", re.IGNORECASE)
_DAY_MONTH_YEAR: Final = re.compile(
    rf"(\d{{1,2}})(?:\.|er|st|nd|rd|th|º)?[-\s/]*(?:de\s+)?({_NAME})\.?[-\s/,]*(?:de[l]?\s+)?(\d{{4}}|\d{{2}})(.*)",
    re.IGNORECASE,
)
_MONTH_DAY_YEAR: Final = re.compile(rf"({_NAME})\.?\s+(\d{{1,2}}),?\s+(\d{{4}})(.*)", re.IGNORECASE)
_OF_C: Final = re.compile(rf"({_NAME})\s+(\d{{1,2}})\s+(\d\d:\d\d:\d\d)\s+(\d{{4}})", re.IGNORECASE)  # ctime
_WEEKDAY: Final = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+", re.IGNORECASE)
_QUARTER: Final = re.compile(
    r"(?P<y1>\d{4})[-\s/]*[QT](?P<q1>[1-4])|[QT](?P<q2>[1-4])[-\s/]*(?P<y2>\d{4})|Q(?P<q3>[1-4])[-\s/']*(?P<y3>\d{2})"
    r"|(?P<q4>[1-4])Q[-\s/']*(?P<y4>\d{4}|\d{2})|(?P<y5>\d{2})Q(?P<q5>[1-4])",
    re.IGNORECASE,
)
_HALF: Final = re.compile(r"(\d{4})[-\s/]*[HS]([12])|[HS]([12])[-\s/]*(\d{4})", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"(\d{4})\s?M\s?(\d{1,2})|FY[-\s']?(\d{4}|\d{2})", re.IGNORECASE)  # 2023M01, FY2023
_OF_DB2: Final = re.compile(r"(\d{4}-\d{2}-\d{2})-(\d{2})\.(\d{2})\.(\d{2})(\.\d+)?")
_OF_EAST_ASIA: Final = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(?:(\d{1,2})\s*[日일])?")
_THREE: Final = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4}|\d{2})(.*)", re.DOTALL)
_YEAR_FIRST: Final = re.compile(r"(\d{4})[/.\-](\d{1,2})(?:[/.\-](\d{1,2}))?(.*)", re.DOTALL)
_MONTH_SLASH: Final = re.compile(r"(\d{1,2})[/.\-](\d{4})")


def parse_time(value: Any, order: DateOrder = "") -> int:
    """Microseconds since the epoch of a date, a time (UTC where no zone is given) or a period.

    Read are ISO 8601, YYYY-MM, the integers YYYYMM and YYYYMMDD, months by name, quarters, and 1, 2, 3 … for months
    counted from 2000-01. Of 03/01/2023 ``order`` says which is the day; without it only a date that can be read in one
    way is read. With ``ymd``, ``unix`` or ``excel`` integers are YYMMDD, time since 1970 or a spreadsheet's days.
    Raises ValueError, saying what the value could be, for everything else and for years outside of 1900 to 2100.
    """
    if isinstance(value, datetime):
        return _bounded(as_utc(value))
    if isinstance(value, date):
        return _bounded(datetime.combine(value, time(), UTC))
    text = level_text(value)
    if text.isascii() and text.isdecimal():
        return _bounded(_counted(text, order) if order in COUNTED else _digits(text, order))
    if order == "excel" and (found := re.fullmatch(r"(\d{5})\.\d+", text)) is not None:  # with the time of day
        return _bounded(_counted(found[1], order))
    return _bounded(_written(text, order))


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
    except ValueError:
        pass
    if (found := _THREE.fullmatch(text)) is not None:
        first, second, year = int(found[1]), int(found[3]), _year(found[4])
        return _with_time(
            _ordered(text, first, second, year, "dmy" if found[2] == "." and order != "ymd" else order), found[5]
        )
    if (found := _OF_DB2.fullmatch(text)) is not None:
        return as_utc(datetime.fromisoformat(f"{found[1]} {found[2]}:{found[3]}:{found[4]}{(found[5] or '')[:7]}"))
    if (found := _YEAR_FIRST.fullmatch(text)) is not None and (found[3] or text[4] != "."):  # 2024.5 is a number
        return _with_time(date(int(found[1]), int(found[2]), int(found[3] or 1)), found[4])
    if (found := _MONTH_SLASH.fullmatch(text)) is not None:
        return _with_time(date(int(found[2]), int(found[1]), 1))
    return _worded(text)


def _worded(text: str) -> datetime:
    """A quarter, a half, a fiscal year, a date of which the month or each part is named."""
    text = _WEEKDAY.sub("", text, count=1) if _WEEKDAY.match(text) else text
    if (found := _QUARTER.fullmatch(text)) is not None:
        year, quarter = (next(text for k in range(1, 6) if (text := found[f"{part}{k}"])) for part in "yq")
        return _with_time(date(_year(year), 3 * int(quarter) - 2, 1))
    if (found := _HALF.fullmatch(text)) is not None:
        return _with_time(date(int(found[1] or found[4]), 6 * int(found[2] or found[3]) - 5, 1))
    if (found := _OF_C.fullmatch(text)) is not None:
        return _with_time(date(int(found[4]), MONTHS[found[1].lower()], int(found[2])), found[3])
    if (found := _NUMBERED.fullmatch(text)) is not None:
        return _with_time(date(_year(found[1] or found[3]), int(found[2] or 1), 1))
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


def _ordered(text: str, first: int, second: int, year: int, order: DateOrder) -> date:
    if order == "ymd":
        if (day := _day(_year(f"{first:02d}"), second, year % 100)) is None:
            raise ValueError(f"is not a date in the order ymd; write {FORMATS}, or correct 'dates' of [data]")
        return day
    readings = {
        name: day for name, day in (("dmy", _day(year, second, first)), ("mdy", _day(year, first, second))) if day
    }
    if order in ("dmy", "mdy"):
        if order not in readings:
            raise ValueError(f"is not a date in the order {order}; write {FORMATS}, or correct 'dates' of [data]")
        return readings[order]
    if not readings:
        raise ValueError(f"is not a date; write {FORMATS}")
    if len(set(readings.values())) > 1:
        raise ValueError(
            f"can be {readings['dmy']:%d %B %Y} (dmy) or {readings['mdy']:%d %B %Y} (mdy); "
            'say which: dates = "dmy" or "mdy" in [data], or --dates'
        )
    return next(iter(readings.values()))


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _year(text: str) -> int:
    number = int(text)
    return number if len(text) == 4 else number + (2000 if number < _PIVOT else 1900)


def _with_time(day: date, rest: str = "") -> datetime:
    """A day with the time of day that may stand behind it."""
    rest = re.sub(
        r"\s*(?:GMT|UTC|ГОДА|Г\.?)$", "", rest.strip(" ,:").upper().removeprefix("T")
    )  # UTC, or the Russian word for year
    if not rest:
        return datetime.combine(day, time(), UTC)
    if (half := re.fullmatch(r"(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:\.\d+)?)?\s*([AP])M", rest)) is not None:
        hour = int(half[1]) % 12 + 12 * (half[4] == "P")
        return datetime.combine(day, time(hour, int(half[2]), int(half[3] or 0)), UTC)
    clock = (
        rest.zfill(5)
        if re.fullmatch(r"\d:\d{2}", rest)
        else rest.zfill(8)
        if re.fullmatch(r"\d:\d{2}:\d{2}", rest)
        else rest
    )
    return as_utc(datetime.combine(day, time.fromisoformat(clock)))


def _digits(text: str, order: DateOrder) -> datetime:
    """A period, a year, or a date without signs between its parts; ``order`` says what comes first in 03012023."""
    if len(text) in (12, 14):
        return _with_time(date(int(text[:4]), int(text[4:6]), int(text[6:8])), ":".join(re.findall("..", text[8:])))
    if len(text) == 4 and FIRST_YEAR <= int(text) <= LAST_YEAR:
        return datetime(int(text), 1, 1, tzinfo=UTC)
    if order in ("dmy", "mdy") and len(text) in (7, 8) and FIRST_YEAR <= int(text[-4:]) <= LAST_YEAR:
        return _year_last(text, order)
    if len(text) == 6 and 1 <= int(text[:2]) <= 12 and FIRST_YEAR <= int(text[2:]) <= LAST_YEAR:
        return datetime(int(text[2:]), int(text[:2]), 1, tzinfo=UTC)  # 032023
    return _period(int(text))


def _year_last(text: str, order: DateOrder) -> datetime:
    """DDMMYYYY or MMDDYYYY, of which a zero may be lost."""
    return datetime.combine(_ordered(text, int(text[:-6]), int(text[-6:-4]), int(text[-4:]), order), time(), UTC)


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
