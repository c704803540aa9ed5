"""The vocabulary of single values, the same for files, frames, requests and outcomes: missing, truth, id, number.

Nothing here knows a column or a file; how the numbers of a column are written is an argument. Dates are in
`core.dates`.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import time
from typing import Any, Final

from riskloop.core.schema import TextStyle
from riskloop.core.units import CURRENCY, PERCENT, TENURE, are_one, factor, unit_of

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
NO_ID: Final = frozenset({"", "NaN", "nan", "NULL", "null", "None", "NaT", "<NA>", "#N/A"})
MAX_ID: Final = 200  # characters
# Texts that may be no ids, or not what `level_text` makes of them: most are, and are not looked at one by one.
ODD_ID: Final = rf"[^\x21-\x7E]|^[+-]?\d+\.0*$|^(True|False|TRUE|FALSE|{'|'.join(sorted(NO_ID))})$|^.{{{MAX_ID}}}."


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


def without_zeros(text: str) -> str | None:
    """A code of digits without its leading zeros, which programs take for nothing; None for what is no such code."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdecimal() else None


def zeros_back(codes: Sequence[str]) -> list[str]:
    """Codes of a tree with the leading zeros that a program took for nothing: 1581 among 94105 and 10001 is 01581.

    Only where all are digits, nearly all have as many as the longest or one fewer, and none begins with a zero, as
    nobody could tell otherwise; else they stay as they are.
    """
    plain = [code for code in codes if code.isascii() and code.isdecimal()]
    lengths = Counter(map(len, plain))
    if len(plain) < 0.95 * len(codes) or not lengths or any(code.startswith("0") and code != "0" for code in plain):
        return list(codes)
    full = max(lengths, key=lambda length: (lengths[length], length))
    short, usual = lengths[full - 1], lengths[full] + lengths[full - 1]
    if full < 4 or not short or short > 0.5 * usual or usual < 0.9 * len(plain):
        return list(codes)
    return [code.zfill(full) for code in codes]


# --------------------------------------------------------------------------- numbers

_MINUS: Final = str.maketrans(
    {"\u2212": "-", "\u2012": "-", "\u2013": "-", "．": ".", "，": ",", "％": "%"}
)  # of typesetters
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


def parse_number(text: str, style: TextStyle = "plain", decimal: str = ".", units: Sequence[str] = ()) -> float:
    """The number that ``text`` writes, in the first of ``units`` where there are any; NaN when it is none.

    ``amount`` drops currency signs and the thousands' separators, (1,234) and 1,234- are negative, 12.5k is 12500.
    ``percent`` drops the sign: 13.5% is 13.5, 5‰ is 0.5. ``unit`` drops words: '36 months' is 36, '10+ years' 10,
    '< 1 year' 0, '> 5' 6. ``tenure`` is years and months, in months: '1yrs 11mon' is 23.
    """
    text = text.strip() if text.isascii() else trimmed(text).translate(_MINUS)
    if style == "plain":
        return _plain(text, decimal)
    times = factor(text, style, units) if units else 1.0
    if times is None:
        return math.nan
    if style == "percent":
        if text.endswith("‰"):
            return _grouped(text[:-1].rstrip(), decimal) / 10.0
        return _grouped(text.removesuffix("%").rstrip(), decimal)
    if style == "amount":
        return _amount(text, decimal)
    if style == "tenure":
        found = TENURE.fullmatch(text)
        if found is None or (found[1] or found[2]) is None:
            return math.nan
        return 12.0 * int(found[1] or 0) + int(found[2] or 0)
    if (both := TENURE.fullmatch(text)) is not None and both[1] and both[2]:
        return times * (12.0 * int(both[1]) + int(both[2]))
    found = _UNIT.fullmatch(text)
    if found is None:
        return _plain(text, decimal)
    value = _grouped(found[2], decimal)
    if times != 1.0:
        return math.nan if found[1] or found[3] else times * value  # '< 1 year' is no number of months
    return value - 1 if found[1] == "<" else value + 1 if found[1] == ">" else value


def _amount(text: str, decimal: str) -> float:
    text = CURRENCY.sub("", text)
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
    return any(unit_of(text, "percent") == PERCENT for text in texts)


def _has_tenure(texts: Collection[str]) -> bool:
    """Whether some text has years and months, so that the others are parts of a duration, too."""
    parts = [found for text in texts if (found := TENURE.fullmatch(text.strip())) is not None]
    return any(found[1] and found[2] for found in parts)


def _are_amounts(texts: Collection[str]) -> bool:
    """Whether words behind the numbers are no units: 36M alone are months, beside 900k they are millions."""
    found = (_SCALED.fullmatch(text.strip()) for text in texts)
    words = {match[2].lower() for match in found if match is not None}
    return not words or bool(words - {"m", "mm", "cr"}) or any(_has_currency(text.strip()) for text in texts)


def _has_currency(text: str) -> bool:
    """Whether a sign or a word of money is in a text: a blank, as in 36 M, is none, although amounts lose it, too."""
    return any(re.fullmatch(r"[\s'\u2019]", found[0]) is None for found in CURRENCY.finditer(text))


def _one_unit(texts: Collection[str]) -> bool:
    """Whether the words beside the numbers are one unit: '1 year' and '18 months', but not '1 car' and '2 home'."""
    words = sorted({unit_of(text, "unit") for text in texts} - {""})
    if not words:  # > 5, 10+
        return any(set(text) & set("<>≤≥+") for text in texts)
    masked = re.fullmatch(r"x+|[*#?]+", words[0]) is not None  # 941xx is a postcode of which the end is hidden
    return are_one(words) and not masked and len(words[0]) > 1  # 36M, 5y are durations; 1A is a code


_TOLD: Final[Mapping[TextStyle, Callable[[Collection[str]], bool]]] = {
    "plain": lambda texts: True,
    "percent": _has_percent,
    "tenure": _has_tenure,
    "amount": _are_amounts,
    "unit": _one_unit,
}
