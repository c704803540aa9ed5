"""One cell of a row, read by the schema: what it means, or in a sentence why it is refused.

Files, frames and requests read by these words: `data.columns` each distinct value of a column, `scoring.decoder` the
values of a request. Every ValueError raised here goes on after the column's name.
"""

import math
from collections import Counter
from functools import lru_cache
from typing import Any, Final

from riskloop.core.dates import FORMATS, days_before, parse_time
from riskloop.core.schema import NUL, Feature, Schema
from riskloop.core.units import unit_problem
from riskloop.core.values import (
    MAX_ID,
    MISSING_NUMBER,
    NO_ID,
    is_missing,
    level_text,
    parse_number,
    trimmed,
    without_zeros,
)

MAX_TEXT: Final = 200  # characters of a number or a date, and of what is kept of a level that nobody has seen
MOST_LEVELS: Final = 12  # named in one sentence

NO_ID_SAID: Final = "is missing"
NO_VALUE: Final = "is missing, and may not be (nullable = false)"
NO_TIME: Final = "is missing; a decision needs a date"
NO_DATE: Final = f"is not a date; write {FORMATS}"
INFINITE: Final = "is infinite"
FUTURE: Final = "is in the future (a time without a zone is read as UTC)"
LONG_ID: Final = f"has more than {MAX_ID} characters"
FRACTION: Final = "is neither a text nor a whole number; an id is one of them"
LOST_DIGITS: Final = "has lost digits as a decimal number; write it as text"

_EXAMPLES: Final = {"amount": "1,234.50", "percent": "13.5%", "unit": "36", "tenure": "1y 11m"}


# --------------------------------------------------------------------------- numbers


def read_number(value: Any, feature: Feature, schema: Schema, decimal: str, day: int) -> float:
    """The number that a cell holds: NaN where it is missing, and may be.

    ``decimal`` is the sign of numbers that are text; ``day`` (days since 1970) is the decision's: a date becomes the
    days before it.
    """
    number = _days(value, schema, day) if feature.written == "date" else _number(value, feature, schema, decimal)
    if math.isnan(number):
        if not feature.nullable:
            raise ValueError(NO_VALUE)
        return number
    if math.isinf(number):
        raise ValueError(INFINITE)
    low, high = feature.range
    if not (low <= number <= high or number in feature.special):
        raise ValueError(outside_said(feature))
    return number


def number_of_text(text: str, feature: Feature, schema: Schema, decimal: str) -> float:
    """The number that a text writes, NaN for a word for missing; ValueError for what is neither."""
    if trimmed(text) in MISSING_NUMBER or trimmed(text) in schema.missing:
        return math.nan
    if len(text) > MAX_TEXT:
        raise ValueError(no_number_said(feature))
    number = parse_number(text, feature.written, decimal, feature.written_in)
    if math.isnan(number):
        raise ValueError(unit_problem(text, feature.written, feature.written_in) or no_number_said(feature))
    return number


def missing_numbers(schema: Schema) -> tuple[float, ...]:
    """Words for a missing value that are numbers, such as -9999."""
    numbers = (parse_number(word) for word in schema.missing)
    return tuple(number for number in numbers if number == number)


def _number(value: Any, feature: Feature, schema: Schema, decimal: str) -> float:
    if isinstance(value, str):
        number = number_of_text(value, feature, schema, decimal)
    elif value is None:
        return math.nan
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(no_number_said(feature))
    else:
        number = _double(value)
    return math.nan if number in missing_numbers(schema) else number


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number that no double is near to
        raise ValueError(INFINITE) from None


def _days(value: Any, schema: Schema, day: int) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(NO_DATE)
    days = days_of(value, schema, day)
    return math.nan if days in missing_numbers(schema) else days


def days_of(value: Any, schema: Schema, day: int) -> float:
    """Whole days from a date to the decision on ``day``; NaN for a word for missing."""
    if value != value or is_missing(str(value), schema.missing):
        return math.nan
    try:
        return days_before(_short(value), day, schema.dates)
    except (ValueError, OverflowError) as error:
        raise ValueError(_date_said(error)) from None


def no_number_said(feature: Feature) -> str:
    """What is said of a cell that is no number."""
    return "is not a number" + (f", nor its text such as {example(feature)}" if feature.written in _EXAMPLES else "")


def example(feature: Feature) -> str:
    """A text as files have it, with its own unit where that is known."""
    usual = {"unit": "months", "amount": "$"}.get(feature.written, "")
    unit = (feature.written_in or (usual,))[0] if usual else ""
    if feature.written == "amount":
        return f"{unit}{' ' * (len(unit) > 1)}{_EXAMPLES['amount']}"
    return f"{_EXAMPLES[feature.written]} {unit}".rstrip()


def outside_said(feature: Feature) -> str:
    """What is said of a number outside of the hard limits."""
    low, high = feature.range
    return f"is outside the range [{low:.10g}, {high:.10g}]"


# --------------------------------------------------------------------------- levels


def read_level(value: Any, feature: Feature, schema: Schema) -> float:
    """The code of the level that a cell names, ``len(categories)`` for one never seen, NaN where it is missing."""
    code = level_code(value, feature, schema)
    if math.isnan(code) and not feature.nullable:
        raise ValueError(NO_VALUE)
    if code == len(feature.categories) and feature.unseen == "refuse":
        raise ValueError(levels_said(feature))
    return code


def level_code(value: Any, feature: Feature, schema: Schema) -> float:
    """As `read_level`, whatever the schema holds against it. A level wins over a word for missing: 'NA' is a region."""
    if value is None or (isinstance(value, float) and value != value):
        return math.nan
    text = level_text(value)
    code = _known(feature).get(text)
    if code is None and is_missing(text, schema.missing):
        return math.nan
    if code is None and (bare := without_zeros(text)) is not None:
        code = bare_levels(feature).get(bare)
    return float(len(feature.categories) if code is None else code)


@lru_cache(maxsize=256)
def _known(feature: Feature) -> dict[str, int]:
    return {level_text(level): code for level, code in feature.codes.items()}


@lru_cache(maxsize=256)
def bare_levels(feature: Feature) -> dict[str, int]:
    """Levels of digits by what they are without leading zeros, as far as that is one level: 1581 is 01581."""
    bare = [(without_zeros(text), code) for text, code in _known(feature).items()]
    often = Counter(text for text, _ in bare)
    return {text: code for text, code in bare if text is not None and often[text] == 1}


def unseen_text(value: Any) -> str:
    """What is kept of a level that nobody has seen: nobody needs a megabyte of it."""
    text = level_text(value)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def levels_said(feature: Feature) -> str:
    """What is said of a level that is refused because nobody has seen it."""
    more = ", …" if len(feature.categories) > MOST_LEVELS else ""
    return f"is not one of its levels ({', '.join(feature.categories[:MOST_LEVELS])}{more})"


# --------------------------------------------------------------------------- ids and times


def read_id(value: Any) -> str:
    """The id that a cell holds: 1, 1.0 and '1' are one id, '001' is another."""
    if value is None or value != value:
        raise ValueError(NO_ID_SAID)
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(FRACTION)
        if abs(value) >= 2**53:
            raise ValueError(LOST_DIGITS)
    text = level_text(value)
    if problem := id_problem(text):
        raise ValueError(problem)
    return text


def id_problem(text: str) -> str:
    """What is wrong with an id, as `level_text` writes it; nothing where it is one."""
    if text in NO_ID:
        return NO_ID_SAID
    if "\0" in text:
        return NUL
    return LONG_ID if len(text) > MAX_ID else ""


def read_time(value: Any, schema: Schema) -> int:
    """Microseconds of a date, time or period, none before ``schema.earliest``."""
    micros = time_of(value, schema)
    if micros < parse_time(schema.earliest):
        raise ValueError(earliest_said(schema))
    return micros


def time_of(value: Any, schema: Schema) -> int:
    """As `read_time`, however early it is."""
    if value is None or is_missing(str(value), schema.missing):
        raise ValueError(NO_TIME)
    try:
        return parse_time(_short(value), schema.dates)
    except (ValueError, OverflowError) as error:
        raise ValueError(_date_said(error)) from None


def earliest_said(schema: Schema) -> str:
    """What is said of a time that is before all decisions."""
    return f"is before {schema.earliest} ('earliest' of [portfolio])"


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ValueError(NO_DATE)
    return value


def _date_said(error: Exception) -> str:
    """Why a text is no date, where its reader knows more than that it is none."""
    text = str(error)
    return text if text.startswith(("is ", "can be ")) else NO_DATE
