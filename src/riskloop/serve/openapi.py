"""What `/docs` says about rows: the exact fields, out of the types that read and write them, with an example."""

import io
import math
from csv import DictWriter
from typing import Final

import msgspec

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Json
from riskloop.scoring.answers import Answer
from riskloop.scoring.decoder import row_type

_REFUSAL: Json = {
    "description": "Refused; nothing was logged.",
    "content": {
        "application/json": {
            "example": {
                "error": {
                    "code": "bad_data",
                    "message": "The row breaks the schema: …",
                    "details": [{"field": "AGE", "problem": "must be between 18 and 120", "value": 7}],
                }
            }
        }
    },
}


ROW: Final[Json] = {"$ref": "#/components/schemas/Row"}
ANSWER: Final[Json] = {"$ref": "#/components/schemas/Answer"}

KEY_SCHEMES: Final[Json] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "browser": {"type": "http", "scheme": "basic", "description": "Any user name; the key as password."},
}


def predict_operation(schema: Schema) -> Json:
    """The OpenAPI operation of `POST /predict` for rows of this schema."""
    return {
        "tags": ["scoring"],
        "summary": "Predict",
        "description": "Scores one customer. The decision is logged durably before the answer is sent.",
        "operationId": "predict",
        "parameters": [
            {
                "name": "reasons",
                "in": "query",
                "description": "Which decisions get reasons.",
                "schema": {"type": "string", "enum": ["none", "default", "all"], "default": "default"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ROW, "example": example(schema)}},
        },
        "responses": {
            "200": {
                "description": "The logged decision.",
                "content": {"application/json": {"schema": ANSWER}},
            },
            **dict.fromkeys(("400", "401", "403", "408", "413", "415", "422", "503"), _REFUSAL),
        },
    }


def batch_operation(found: Json, schema: Schema) -> Json:
    """FastAPI's operation of `POST /predict/batch` with its bodies: JSON array, NDJSON, CSV or Arrow stream."""
    row, answer = {"type": "array", "items": ROW}, {"type": "array", "items": ANSWER}
    first = example(schema)
    text, binary = {"type": "string"}, {"type": "string", "format": "binary"}
    bodies: Json = {
        "application/json": {"schema": row, "example": [first]},
        "application/x-ndjson": {"schema": text, "example": msgspec.json.encode(first).decode() + "\n"},
        "text/csv": {"schema": text, "example": _csv(first)},
        "application/vnd.apache.arrow.stream": {"schema": binary},
    }
    answers = {kind: {"schema": body["schema"]} for kind, body in bodies.items()}
    answers["application/json"] = {"schema": answer}
    return {
        **found,
        "requestBody": {"required": True, "content": bodies},
        "responses": {
            "200": {"description": "The logged decisions, in the order of the rows.", "content": answers},
            **dict.fromkeys(("400", "401", "403", "408", "409", "413", "415", "422", "503"), _REFUSAL),
        },
    }


def outcomes_operation(found: Json, schema: Schema) -> Json:
    """FastAPI's operation of `POST /outcomes` with its bodies: JSON array or CSV."""
    by = schema.id or "decision_id"
    known: Json = {by: "1", schema.target: 0, "known_at": "2025-03-31T00:00:00Z"}
    properties: Json = {
        "decision_id": {"type": "string"},
        **({} if schema.id is None else {schema.id: {"type": ["string", "integer"]}}),
        schema.target: {"enum": [0, 1, True, False], "description": "1 for a default."},
        "known_at": {"type": "string", "format": "date-time", "description": "Now by default."},
    }
    rows: Json = {"type": "array", "items": {"type": "object", "properties": properties, "required": [schema.target]}}
    bodies = {
        "application/json": {"schema": rows, "example": [known]},
        "text/csv": {"schema": {"type": "string"}, "example": _csv(known)},
    }
    return {**found, "requestBody": {"required": True, "content": bodies}}


def _csv(row: Json) -> str:
    out = io.StringIO()
    writer = DictWriter(out, list(row), lineterminator="\n")
    writer.writeheader()
    writer.writerow(row)
    return out.getvalue()


def components(schema: Schema) -> Json:
    """JSON Schemas of a row and of an answer, by name: those of the types that read and write them."""
    types = (row_type(schema), Answer)
    _, found = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return found


def example(schema: Schema) -> Json:
    """A row that the schema accepts."""
    row = {feature.name: _example(feature) for feature in schema.features}
    return row if schema.id is None else {schema.id: "1", **row}


def _example(feature: Feature) -> float | str:
    if feature.kind == "category":
        return feature.categories[0]
    low = min(0.0, feature.range[1]) if feature.low is None else feature.low
    high = low if feature.high is None else feature.high
    middle = low + (high - low) / 4
    whole = float(math.floor(middle))
    value = whole if low <= whole <= high else middle
    return int(value) if value.is_integer() else value
