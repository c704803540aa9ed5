"""A request's JSON to a checked float64 row, by a decoder compiled from the schema.

Valid rows take the compiled path alone. A row that it refuses is read again, slowly, to name everything that is
wrong with it and not only the first thing.
"""

import json
import math
import re
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple, NoReturn

import msgspec
import numpy as np

from riskloop.core.dates import MOST_DAYS, days_before, parse_time
from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.schema import NUL, Feature, Schema
from riskloop.core.types import DAY, Problem, Rows
from riskloop.core.units import unit_problem
from riskloop.core.values import MISSING_NUMBER, NO_ID, ODD_ID, is_missing, level_text, parse_number

MAX_ROW: Final = 2**20  # bytes of one row
MAX_ID: Final = 200  # characters of a customer's id
CLOCK_SKEW: Final = int(timedelta(minutes=5) / timedelta(microseconds=1))  # clients' clocks run a little ahead

_NAN: Final = math.nan


class Parsed(NamedTuple):
    """One valid row."""

    customer_id: str  # empty when the schema has no id column
    time: int  # microseconds; 0 when the request does not say
    features: bytes  # float64 little-endian in the schema's order
    unseen: dict[str, str] | None  # feature to the text of a level that was never seen


class Decoder:
    """Reads one row of the schema from JSON."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._width = len(schema)
        self._pack = struct.Struct(f"<{self._width}d").pack
        self._decode = _decoder_of(row_type(schema), schema)
        self._values = msgspec.structs.astuple
        self._codes = [(i, f, _codes(f)) for i, f in enumerate(schema.features) if f.kind == "category"]
        self._guarded = [(i, f, *f.range) for i, f in enumerate(schema.features) if f.special]
        self._written = [(i, f) for i, f in enumerate(schema.features) if f.kind == "number" and _worded(f, schema)]
        self._earliest = parse_time(schema.earliest)
        self._nullable = [i for i, f in enumerate(schema.features) if f.nullable]
        self._id = self._width if schema.id is not None else None
        self._time = self._width + (schema.id is not None) if schema.time is not None else None

    def row(self, body: bytes | msgspec.Raw, now: int) -> Parsed:
        """Check and code one row; ``now`` in microseconds bounds its time.

        Raises MalformedBody when it is not JSON, DataError naming every wrong field otherwise.
        """
        try:
            values = self._values(self._decode(body))
            row = list(values[: self._width])
            time = 0
            if self._time is not None and values[self._time] is not None:
                time = moment(values[self._time], now, self.schema, self._earliest)
            for i, feature in self._written:
                row[i] = _number(feature, row[i], self.schema, time or now)
            unseen = self._code(row) if self._codes or self._nullable else None
            for i, feature, low, high in self._guarded:  # the compiled type knows one interval only
                if row[i] == row[i] and row[i] not in feature.special and not low <= row[i] <= high:
                    raise ValueError(feature.name)
            identity = "" if self._id is None else _identity(values[self._id])
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            explain(self.schema, bytes(body), now, error)
        return Parsed(identity, time, self._pack(*row), unseen)

    def rows(self, parsed: Sequence[Parsed]) -> Rows:
        """Parsed rows as one matrix, which shares their memory and is read-only."""
        features = np.frombuffer(b"".join([p.features for p in parsed]), dtype="<f8")
        return Rows(
            features=features.reshape(-1, self._width),
            ids=[p.customer_id for p in parsed],
            times=np.array([p.time for p in parsed], dtype=np.int64),
            unseen={row: p.unseen for row, p in enumerate(parsed) if p.unseen},
        )

    def _code(self, row: list[Any]) -> dict[str, str] | None:
        """Levels to codes and missing to NaN, in place; returns the levels never seen."""
        unseen: dict[str, str] | None = None
        for i, feature, codes in self._codes:
            level = row[i]
            code = codes.get(level) if level is not True and level is not False else None
            if code is None:
                code = _code_of(feature, level, self.schema)
            if code is None:
                if feature.unseen == "refuse":
                    raise ValueError(feature.name)
                unseen = unseen or {}
                unseen[feature.name] = level_text(level)
                code = float(len(feature.categories))
            row[i] = code
        for i in self._nullable:
            if row[i] is None:
                row[i] = _NAN
        return unseen


def _codes(feature: Feature) -> dict[Any, float]:
    """The spellings of a level that need no thought: its text, and the number that it is."""
    codes: dict[Any, float] = {None: _NAN}
    for level, code in feature.codes.items():
        codes[level] = float(code)
        if level_text(level).removeprefix("-").isdecimal():
            codes[float(level)] = float(code)
    return codes


def _code_of(feature: Feature, value: Any, schema: Schema) -> float | None:
    """The code of an unusual spelling, such as ``" 2.0 "``, true or a word for missing; None when no level is meant."""
    known = {level_text(level): code for level, code in feature.codes.items()}
    code = known.get(level_text(value))
    if code is None and feature.nullable and is_missing(level_text(value), schema.missing):
        return _NAN
    return code


def _worded(feature: Feature, schema: Schema) -> bool:
    """Whether a number may come as text, or stand for a missing value."""
    return feature.written != "plain" or any(parse_number(word) == parse_number(word) for word in schema.missing)


def _number(feature: Feature, value: Any, schema: Schema, time: int) -> float:
    """A number as files are read: '13.5%' where it is a percentage, a word for missing as NaN.

    ``time`` is the decision's, in microseconds: a date becomes the days before it.

    Raises ValueError for what is none. The compiled type checks the range of numbers; here it is checked for those that
    were text.
    """
    if value is None:
        return _NAN
    if feature.written == "date":
        empty = isinstance(value, str) and is_missing(value, schema.missing)
        number = _NAN if empty else days_before(value, time // DAY, schema.dates)
        if empty and feature.nullable:
            return _NAN
        if empty or not (feature.range[0] <= number <= feature.range[1] or number in feature.special):
            raise ValueError(feature.name)
        return number
    if isinstance(value, str):
        number = parse_number(value, feature.written, schema.decimal, feature.written_in)
    else:
        number = float(value)
    words = MISSING_NUMBER | set(schema.missing)
    empty = value.strip() in words if isinstance(value, str) else any(number == parse_number(w) for w in schema.missing)
    if empty and feature.nullable:
        return _NAN
    low, high = feature.range
    if empty or not math.isfinite(number) or not (low <= number <= high or number in feature.special):
        raise ValueError(feature.name)
    return number


def row_type(schema: Schema) -> type[msgspec.Struct]:
    """The schema as a msgspec type, which documents itself (`msgspec.json.schema`).

    Attribute names are positions, so that any column name is possible.
    """
    fields: list[Any] = []
    for i, feature in enumerate(schema.features):
        fields.append(_field(f"f{i}", feature.name, _type(feature), optional=feature.nullable))
    if schema.id is not None:
        text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID, pattern="^[^\\x00]*$")]
        number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
        customer = Annotated[text | number | float, msgspec.Meta(description="The customer's id.")]
        fields.append(_field("id", schema.id, customer, optional=False))
    if schema.time is not None:
        about = "When the customer is decided on: an ISO 8601 date or time, or a period such as 202503; now by default."
        moment_ = Annotated[str | int | float | None, msgspec.Meta(description=about)]
        fields.append(_field("time", schema.time, moment_, optional=True))
    for i, name in enumerate(schema.ignored):
        fields.append(_field(f"x{i}", name, Any, optional=True))
    return msgspec.defstruct("Row", fields, kw_only=True, forbid_unknown_fields=True, gc=False)


# What msgspec refuses within a field's name.
_UNSAFE: Final = re.compile(r'[\\"\x00-\x1f]')


def _encoded(attribute: str, name: str) -> str:
    """The name by which a field is compiled: its own, unless msgspec cannot have it."""
    return f"\ufdd0{attribute}" if _UNSAFE.search(name) else name


def encoded_names(schema: Schema, kind: type[msgspec.Struct]) -> dict[str, str]:
    """The columns whose fields have another name in a row's type, and that name."""
    names = [*schema.names, *(name for name in (schema.id, schema.time) if name is not None), *schema.ignored]
    fields = zip(names, msgspec.structs.fields(kind), strict=True)
    return {name: field.encode_name for name, field in fields if name != field.encode_name}


def _decoder_of(kind: type[msgspec.Struct], schema: Schema) -> Callable[[bytes | msgspec.Raw], Any]:
    """What reads a row; where a column has a quote or a line break in its name, by way of plain values."""
    encoded = encoded_names(schema, kind)
    if not encoded:
        return msgspec.json.Decoder(kind).decode
    plain = msgspec.json.Decoder(dict[str, Any]).decode
    return lambda body: msgspec.convert({encoded.get(k, k.lstrip("\ufdd0")): v for k, v in plain(body).items()}, kind)


def _field(attribute: str, name: str, kind: Any, *, optional: bool) -> tuple[str, Any, Any]:
    name = _encoded(attribute, name)
    if optional:
        return attribute, kind, msgspec.field(name=name, default=None)
    return attribute, kind, msgspec.field(name=name)


def _type(feature: Feature) -> Any:
    kind: Any
    about = ["Kept for fairness checks; no model input."] if feature.protected else []
    if feature.kind == "category":
        levels = {"enum": [*feature.categories]} if feature.unseen == "refuse" else {"examples": [*feature.categories]}
        kind = Annotated[str, msgspec.Meta(max_length=MAX_ID, extra_json_schema=levels)] | float | bool
        about.append("A level; one that is a number may be sent as a number.")
    else:
        low = None if feature.low is None else min((feature.low, *feature.special))
        high = None if feature.high is None else max((feature.high, *feature.special))
        kind = Annotated[float, msgspec.Meta(ge=low, le=high)]
        if feature.written == "date":
            kind = kind | Annotated[str, msgspec.Meta(max_length=MAX_ID)]
            about.append("A date such as 1990-01-31, or the whole days from it to the decision.")
        elif feature.written != "plain":
            kind = kind | Annotated[str, msgspec.Meta(max_length=MAX_ID)]
            unit = f" of {feature.written_in[0]}" if feature.written_in and feature.written == "unit" else ""
            about.append(f"A number{unit}, or its text as files have it ({_example(feature)}).")
        if feature.special:
            codes = ", ".join(f"{code:g}" for code in feature.special)
            about.append(f"Codes outside its range: {codes}.")
    kind = kind | None if feature.nullable else kind
    return Annotated[kind, msgspec.Meta(description=" ".join(about))] if about else kind


_odd_id: Final = re.compile(ODD_ID).search


def _identity(value: str | float) -> str:
    """An id as files are read: 503322.0 and "503322.0", as frames with gaps write it, are 503322.

    Raises ValueError for 1.5, and for a text that is a word for nothing.
    """
    text = value if isinstance(value, str) and _odd_id(value) is None else level_text(value)
    if text in NO_ID or (isinstance(value, float) and _id_problem(True, value) is not None):
        raise ValueError(value)
    return text


_EXAMPLES: Final = {"amount": "1,234.50", "percent": "13.5%", "unit": "36", "tenure": "1y 11m"}


def _example(feature: Feature) -> str:
    """A text as files have it, with its own unit where that is known."""
    usual = {"unit": "months", "amount": "$"}.get(feature.written, "")
    unit = (feature.written_in or (usual,))[0] if usual else ""
    if feature.written == "amount":
        return f"{unit}{' ' * (len(unit) > 1)}{_EXAMPLES['amount']}"
    return f"{_EXAMPLES[feature.written]} {unit}".rstrip()


def moment(value: str | float, now: int, schema: Schema, earliest: int) -> int:
    """A date, time or period as microseconds, read as in files. ValueError says what is wrong with it."""
    try:
        micros = _micros(value, schema.dates)
    except (ValueError, OverflowError) as error:
        if str(error).startswith(("can be", "is read as")):
            raise
        raise ValueError("must be an ISO 8601 date or time such as 2025-03-31T09:30:00Z") from None
    if micros < earliest:
        raise ValueError(f"is before {schema.earliest} ('earliest' of [portfolio])")
    if micros > now + CLOCK_SKEW:
        raise ValueError("is in the future (a time without a zone is read as UTC)")
    return micros


# Most requests of a day carry the same date.
_micros = lru_cache(4096)(parse_time)


# --------------------------------------------------------------------------- the slow path: what is wrong


def explain(schema: Schema, body: bytes, now: int, error: Exception) -> NoReturn:
    """Raise the error that names everything wrong with a body that the decoder refused with ``error``."""
    try:
        row = json.loads(str(body, "utf-8"))
        json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise MalformedBody(f"The body is not valid JSON: {error}.") from None
    if not isinstance(row, dict):
        raise MalformedBody("The body must be one flat JSON object, a row of the history without its target.")
    problems = row_problems(schema, row, now)
    if not problems:  # the two readers disagree; believe the strict one
        problems = [Problem("row", f"cannot be read: {error}")]
    raise DataError(_sentence(problems), problems)


def row_problems(schema: Schema, row: Mapping[str, Any], now: int) -> list[Problem]:
    """Everything that the schema holds against a row of plain JSON values."""
    problems = []
    dated = (
        schema.time is not None
        and row.get(schema.time) is not None
        and not _time_problem(row[schema.time], now, schema)
    )
    time = moment(row[str(schema.time)], now, schema, parse_time(schema.earliest)) if dated else now
    for feature in schema.features:
        if feature.name not in row:
            if not feature.nullable:
                problems.append(Problem(feature.name, "is missing"))
        elif (problem := _value_problem(feature, row[feature.name], schema, time)) is not None:
            problems.append(shown(problem, row[feature.name], feature.name))
    if schema.id is not None and (problem := _id_problem(schema.id in row, row.get(schema.id))) is not None:
        problems.append(shown(problem, row.get(schema.id), schema.id))
    if schema.time is not None and (problem := _time_problem(row.get(schema.time), now, schema)) is not None:
        problems.append(shown(problem, row[schema.time], schema.time))
    known = {*schema.names, schema.id, schema.time, *schema.ignored}
    problems += [shown(_unknown(schema, name), row[name], name) for name in row if name not in known]
    return problems


def _value_problem(feature: Feature, value: Any, schema: Schema, time: int) -> str | None:
    if value is None:
        return None if feature.nullable else "must not be null"
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if feature.kind == "category":
        return _level_problem(feature, value, schema)
    if feature.written != "plain" and isinstance(value, str):
        return _text_problem(feature, value, schema, time)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return "must be a finite number"
    if feature.written == "date" and abs(value) > MOST_DAYS:
        return "is neither a date nor days to the decision; write dates as text"
    low, high = feature.range
    if not low <= value <= high and value not in feature.special:
        return f"must be between {low:.10g} and {high:.10g}"
    return None


def _text_problem(feature: Feature, value: str, schema: Schema, time: int) -> str | None:
    if len(value) > MAX_ID:
        return f"must have at most {MAX_ID} characters"
    try:
        _number(feature, value, schema, time)
    except (ValueError, OverflowError) as error:
        if feature.written == "date" and str(error).startswith(("can be", "is read as")):
            return str(error)
        low, high = feature.range
        limits = f" between {low:.10g} and {high:.10g}" if math.isfinite(low) or math.isfinite(high) else ""
        if feature.written == "date":
            days = f" whose days to the decision are{limits}" if limits else ""
            return f"must be a date such as 1990-01-31{days}"
        if (wrong := unit_problem(value, feature.written, feature.written_in)) is not None:
            return wrong
        return f"must be a number{limits}, or its text such as {_example(feature)}"
    return None


def _level_problem(feature: Feature, value: Any, schema: Schema) -> str | None:
    if not isinstance(value, str | int | float):
        return "must be the text or the number of a level"
    if isinstance(value, str) and len(value) > MAX_ID:
        return f"must have at most {MAX_ID} characters"
    if feature.unseen == "refuse" and _code_of(feature, value, schema) is None:
        return "must be one of " + ", ".join(feature.categories[:20])
    return None


def _id_problem(present: bool, value: Any) -> str | None:
    if not present:
        return "is missing"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return "must be a text or a whole number"
    if isinstance(value, float):
        if not value.is_integer():
            return "must be a text or a whole number"
        return None if abs(value) < 2**53 else "has lost digits as a decimal number; send it as text"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "must fit into 64 bits; send it as text"
    if "\0" in value:
        return NUL
    if not 1 <= len(value) <= MAX_ID:
        return f"must have 1 to {MAX_ID} characters"
    return "is missing" if level_text(value) in NO_ID else None


def _time_problem(value: Any, now: int, schema: Schema) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return "must be an ISO 8601 date or time as text"
    try:
        moment(value, now, schema, parse_time(schema.earliest))
    except ValueError as error:
        return str(error)
    return None


def _unknown(schema: Schema, name: str) -> str:
    if name == schema.target:
        return "is the target, which a request must not hold"
    if name == schema.known_at:
        return "says when an outcome became known, which a request must not hold"
    return "is not a field of this portfolio"


def shown(problem: str, value: Any, field: str) -> Problem:
    """A value as it can travel back in JSON: NaN has no number there, and nobody needs a megabyte of text."""
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    elif isinstance(value, dict | list):
        value = f"a JSON {'object' if isinstance(value, dict) else 'array'}"
    elif isinstance(value, int) and abs(value) >= 2**63:
        value = "a number of more than 64 bits"
    elif isinstance(value, str):
        value = _short(value)
    return Problem(_short(field), problem, value)


def _short(text: str) -> str:
    text = text.encode(errors="replace").decode()  # half of a surrogate pair is no text
    return text if len(text) <= MAX_ID else text[:MAX_ID] + "…"


def _sentence(problems: list[Problem]) -> str:
    named = "; ".join(f"{p.field} {p.problem}" for p in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return f"The row breaks the schema: {named}{more}. Nothing was logged."
