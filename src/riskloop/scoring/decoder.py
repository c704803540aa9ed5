"""A request's JSON to a checked float64 row, by a decoder compiled from the schema.

Rows of the schema's types take the compiled path alone. A row that it refuses is read again, value by value, as the
cells of a file are: a number may come as its text, and everything that is wrong is named, not only the first thing.
"""

import json
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache, partial
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from riskloop.core.cells import (
    FRACTION,
    FUTURE,
    MAX_TEXT,
    NO_DATE,
    example,
    missing_numbers,
    read_id,
    read_level,
    read_number,
    read_time,
    unseen_text,
)
from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import DAY, Problem, Rows
from riskloop.core.values import MAX_ID, ODD_ID, level_text

MAX_ROW: Final = 2**20  # bytes of one row
CLOCK_SKEW: Final = int(timedelta(minutes=5) / timedelta(microseconds=1))  # clients' clocks run a little ahead

_NAN: Final = math.nan
_T = TypeVar("_T")


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
        self._nullable = [i for i, f in enumerate(schema.features) if f.nullable]
        self._id = self._width if schema.id is not None else None
        self._time = self._width + (schema.id is not None) if schema.time is not None else None
        # Most requests of a day carry the same date.
        self._micros = lru_cache(4096)(lambda value: read_time(value, schema))

    def row(self, body: bytes | msgspec.Raw, now: int) -> Parsed:
        """Check and code one row; ``now`` in microseconds bounds its time.

        Raises MalformedBody when it is not JSON, DataError naming every wrong field otherwise.
        """
        try:
            values = self._values(self._decode(body))
            row = list(values[: self._width])
            time = 0
            if self._time is not None and values[self._time] is not None:
                time = self._moment(values[self._time], now)
            for i, feature in self._written:
                row[i] = read_number(row[i], feature, self.schema, self.schema.decimal, (time or now) // DAY)
            unseen = self._code(row) if self._codes or self._nullable else None
            for i, feature, low, high in self._guarded:  # the compiled type knows one interval only
                if row[i] == row[i] and row[i] not in feature.special and not low <= row[i] <= high:
                    raise ValueError(feature.name)
            identity = "" if self._id is None else _identity(values[self._id])
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            return self._by_cells(bytes(body), now, error)
        return Parsed(identity, time, self._pack(*row), unseen)

    def _by_cells(self, body: bytes, now: int, error: Exception) -> Parsed:
        """As `row`, for a body that the compiled type refused with ``error``."""
        constants: list[str] = []  # NaN and Infinity, which Python writes and JSON does not have

        def constant(text: str) -> float:
            constants.append(text)
            return float(text)

        try:
            row = json.loads(str(body, "utf-8"), parse_constant=constant)
            json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no text
        except (ValueError, RecursionError):
            raise MalformedBody(f"The body is not valid JSON: {error}.") from None
        if not isinstance(row, dict):
            raise MalformedBody("The body must be one flat JSON object, a row of the history without its target.")
        parsed = self.cells(row, now)
        if constants:  # within a column that nobody reads
            raise MalformedBody(f"The body is not valid JSON: {error}.")
        return parsed

    def cells(self, row: Mapping[str, Any], now: int) -> Parsed:
        """A row of plain JSON values, cell by cell as files are read. Raises DataError naming every wrong field."""
        schema, problems = self.schema, list[Problem]()

        def cell(name: str, read: Callable[[Any], _T], otherwise: _T) -> _T:
            value = row.get(name)
            try:
                return read(_sound(value))
            except ValueError as error:
                problems.append(shown(str(error), value, name))
                return otherwise

        time, late = 0, list[Problem]()
        if schema.time is not None and row.get(schema.time) is not None:
            time = cell(schema.time, lambda value: self._moment(value, now), 0)
            problems, late = late, problems
        day = (time or now) // DAY
        features = [
            cell(f.name, partial(_READ[f.kind], feature=f, schema=schema, day=day), _NAN) for f in schema.features
        ]
        identity = "" if schema.id is None else cell(schema.id, _identity, "")
        known = {*schema.names, schema.id, schema.time, *schema.ignored}
        problems += late
        problems += [shown(_unknown(schema, name), row[name], name) for name in row if name not in known]
        if problems:
            raise DataError(_sentence(problems), problems)
        coded = zip(schema.features, features, strict=True)
        never = [f.name for f, code in coded if f.kind == "category" and code == len(f.categories)]
        return Parsed(identity, time, self._pack(*features), {name: unseen_text(row[name]) for name in never} or None)

    def _moment(self, value: Any, now: int) -> int:
        """A date, time or period as microseconds; ValueError says what is wrong with it."""
        if isinstance(value, bool | list | dict):
            raise ValueError(NO_DATE)
        micros = self._micros(value)
        if micros > now + CLOCK_SKEW:
            raise ValueError(FUTURE)
        return micros

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
                code = read_level(level, feature, self.schema)
                if code == len(feature.categories):
                    unseen = unseen or {}
                    unseen[feature.name] = unseen_text(level)
            row[i] = code
        for i in self._nullable:
            if row[i] is None:
                row[i] = _NAN
        return unseen


def _level(value: Any, feature: Feature, schema: Schema, day: int) -> float:
    if isinstance(value, list | dict):
        raise ValueError("is neither the text nor the number of a level")
    return read_level(value, feature, schema)


def _number(value: Any, feature: Feature, schema: Schema, day: int) -> float:
    return read_number(value, feature, schema, schema.decimal, day)


_READ: Final = {"category": _level, "number": _number}


def _sound(value: Any) -> Any:
    """A value that JSON can have."""
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("is NaN, which JSON does not have; send null")
    return value


def _codes(feature: Feature) -> dict[Any, float]:
    """The spellings of a level that need no thought: its text, and the number that it is."""
    codes: dict[Any, float] = {None: _NAN} if feature.nullable else {}
    for level, code in feature.codes.items():
        codes[level] = float(code)
        if level_text(level).removeprefix("-").isdecimal() and level_text(float(level)) == level_text(level):
            codes[float(level)] = float(code)  # 7 is "7", and not "007"
    return codes


def _worded(feature: Feature, schema: Schema) -> bool:
    """Whether a number may come as text, or stand for a missing value."""
    return feature.written != "plain" or bool(missing_numbers(schema))


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
        kind = Annotated[str, msgspec.Meta(extra_json_schema=levels)] | float | bool
        about.append("A level; one that is a number may be sent as a number.")
    else:
        low = None if feature.low is None else min((feature.low, *feature.special))
        high = None if feature.high is None else max((feature.high, *feature.special))
        kind = Annotated[float, msgspec.Meta(ge=low, le=high)]
        if feature.written == "date":
            kind = kind | str
            about.append("A date such as 1990-01-31, or the whole days from it to the decision.")
        elif feature.written != "plain":
            kind = kind | str
            unit = f" of {feature.written_in[0]}" if feature.written_in and feature.written == "unit" else ""
            about.append(f"A number{unit}, or its text as files have it ({example(feature)}).")
        if feature.special:
            codes = ", ".join(f"{code:g}" for code in feature.special)
            about.append(f"Codes outside its range: {codes}.")
    kind = kind | None if feature.nullable else kind
    return Annotated[kind, msgspec.Meta(description=" ".join(about))] if about else kind


_odd_id: Final = re.compile(ODD_ID).search


def _identity(value: Any) -> str:
    """An id as files are read: 503322.0 and "503322.0", as frames with gaps write it, are 503322."""
    if isinstance(value, str) and _odd_id(value) is None:
        return value
    if isinstance(value, bool | list | dict):
        raise ValueError(FRACTION)
    return read_id(value)


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
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _sentence(problems: list[Problem]) -> str:
    named = "; ".join(f"{p.field} {p.problem}" for p in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return f"The row breaks the schema: {named}{more}. Nothing was logged."
