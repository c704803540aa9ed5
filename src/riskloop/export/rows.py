"""What rows have to look like, for tools that check them before riskloop does: a pandera schema, a JSON Schema.

Neither decides: riskloop reads rows by its own reader, which knows more (dates in words, amounts with signs). What they
accept, it accepts, and what they refuse of a typed frame or of a request, it refuses.
"""

import json
import math
from typing import Final

from riskloop.core.cells import bare_levels
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Json

_HEAD: Final = '''"""Rows of the schema {fingerprint}, checked by pandera; written by `riskloop export schema`.

    import {module}

    {module}.schema.validate(frame, lazy=True)      # raises pandera.errors.SchemaErrors with every bad cell

Numbers are numbers here, and dates are dates: what riskloop reads out of texts is not repeated.
"""

import math

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema


def level(value):
    """2, 2.0, "2.0" and " 2 " are the level "2"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    whole, point, zeros = text.partition(".")
    if point and not zeros.strip("0") and whole.lstrip("+-").isdigit():
        return whole
    return text.lower() if text in ("True", "False", "TRUE", "FALSE") else text


def levels(*known, bare=()):
    """``bare`` are codes without leading zeros, which programs drop or bring back."""

    def fits(values):
        texts = values.map(level)
        digits = texts.map(lambda text: (text.lstrip("0") or "0") if text.isascii() and text.isdecimal() else None)
        return texts.isin(known) | digits.isin(bare)

    return Check(fits, name="levels", error=f"one of {{', '.join(known)}}")


def within(low, high, special=()):
    def fits(values):
        numbers = pd.to_numeric(values)
        return (numbers.between(low, high) | numbers.isin(special)) & numbers.abs().lt(math.inf)

    return Check(fits, name="range", error=f"a number from {{low:g}} to {{high:g}}")


def numeric():
    return Check(lambda values: pd.api.types.is_numeric_dtype(values), name="number", error="numbers")


def dated():
    """Dates; riskloop reads further ways of writing them, and checks the days to the decision."""
    fits = lambda values: pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601").notna()
    return Check(fits, name="date", error="dates")


schema = DataFrameSchema(
    {{
{columns}
    }},
    strict=True,
)
'''


def pandera_text(schema: Schema, module: str) -> str:
    """A Python file with a pandera schema of rows that are to be scored; it needs pandera, and no riskloop."""
    columns = []
    if schema.id is not None:
        columns.append(f"{schema.id!r}: Column(nullable=False),")
    if schema.time is not None and schema.time != schema.id:
        since = f'Check(lambda t: pd.to_datetime(t, utc=True) >= pd.Timestamp("{schema.earliest}", tz="UTC"))'
        columns.append(f"{schema.time!r}: Column(checks={since}, nullable=False, required=False),")
    columns += [f"{feature.name!r}: {_column(feature)}," for feature in schema.features]
    others = [
        schema.target,
        schema.known_at,
        *schema.ignored,
        *([schema.unit] if schema.unit not in (None, schema.id) else []),
    ]
    columns += [f"{name!r}: Column(nullable=True, required=False)," for name in dict.fromkeys(others)]
    text = "\n".join(f"        {column}" for column in columns)
    return _HEAD.format(fingerprint=schema.fingerprint[:12], module=module, columns=text)


def _column(feature: Feature) -> str:
    if feature.written == "date":
        return f"Column(checks=dated(), nullable={feature.nullable})"
    if feature.kind == "category":
        bare = f", bare={tuple(codes)!r}" if (codes := bare_levels(feature)) else ""
        known = f"checks=levels({', '.join(map(repr, feature.categories))}{bare}), "
        check = "" if feature.unseen == "flag" else known
        return f"Column({check}nullable={feature.nullable})"
    low, high = (f'float("{value}")' if math.isinf(value) else repr(value) for value in feature.range)
    special = f", {feature.special!r}" if feature.special else ""
    return f"Column(checks=[numeric(), within({low}, {high}{special})], nullable={feature.nullable})"


_NUMBER: Final = r"^\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*$"


def json_schema(schema: Schema) -> Json:
    """A JSON Schema (2020-12) of one row as `POST /predict` takes it."""
    properties: Json = {feature.name: _property(feature) for feature in schema.features}
    required = [feature.name for feature in schema.features if not feature.nullable]
    if schema.id is not None:
        properties = {schema.id: {"type": ["string", "integer"]}, **properties}
        required = [schema.id, *required]
    if schema.time is not None:
        properties.setdefault(schema.time, {"type": ["string", "integer"]})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A row of the schema {schema.fingerprint[:12]}",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _property(feature: Feature) -> Json:
    none = [{"type": "null"}] if feature.nullable else []
    if feature.kind == "category":
        whole = [int(level) for level in feature.categories if level.lstrip("-").isdigit() and str(int(level)) == level]
        if feature.unseen == "flag":
            return {"type": ["string", "number", "boolean", *(["null"] if none else [])]}
        bare = list(bare_levels(feature))  # leading zeros are taken for nothing
        zeros = [{"type": "string", "pattern": f"^0*({'|'.join(bare)})$"}] if bare else []
        numbers = dict.fromkeys([*whole, *map(int, bare)])
        return {"anyOf": [{"enum": [*feature.categories, *numbers]}, *zeros, *none]}
    low, high = feature.range
    number: Json = {"type": "number"}
    if not math.isinf(low):
        number["minimum"] = low
    if not math.isinf(high):
        number["maximum"] = high
    special = [{"enum": list(feature.special)}] if feature.special else []
    # A number may come as its text, too, whose range no pattern can say.
    text: Json = (
        {"type": "string", "pattern": _NUMBER} if feature.written == "plain" else {"type": "string", "minLength": 1}
    )
    return {"anyOf": [number, text, *special, *none]}


def json_schema_text(schema: Schema) -> str:
    """The same as a file."""
    return json.dumps(json_schema(schema), indent=2, ensure_ascii=False) + "\n"
