"""What `/docs` says about rows: the exact fields, out of the types that read and write them, with an example."""

import io
import math
from csv import DictWriter
from typing import Final

import msgspec

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Json
from riskloop.scoring.answers import Answer
from riskloop.scoring.decoder import encoded_names, row_type
from riskloop.serve.outcomes import FILES

REFUSAL: Final[Json] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["field", "problem", "value"],
                        "additionalProperties": False,
                        "properties": {"field": {"type": "string"}, "problem": {"type": "string"}, "value": {}},
                    },
                },
            },
        }
    },
}
_SAID: Final[dict[str, str]] = {
    "400": "Not HTTP or not JSON, CSV or Arrow; nothing was done.",
    "401": "No key, or one that is not valid.",
    "403": "The key has not the role, or another site's page asks.",
    "404": "There is no such thing.",
    "408": "The request did not arrive in time.",
    "409": "Somebody else was first, or an idempotency key was used for other rows.",
    "413": "The body is too large.",
    "415": "A content type that is not read here.",
    "422": "A value is wrong, unknown or missing, or the gate says no; nothing was done.",
    "429": "Too many attempts; `Retry-After` says when to come back.",
    "500": "The stored model is damaged; the server's log has the details.",
    "503": "Not ready, overloaded, or the log cannot be written or trusted; nothing was logged. See `Retry-After`.",
}


def refusals(*statuses: str) -> Json:
    """What an operation may refuse with; every refusal has one shape."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    return {status: {"description": _SAID[status], "content": content} for status in statuses}


def with_refusals(operation: Json, *, method: str, path: str) -> Json:
    """An operation of FastAPI with every answer that it may give; FastAPI knows only of its own 422."""
    responses = {status: how for status, how in operation["responses"].items() if status != "422"}
    open_to_all = path in OPEN
    statuses = [] if path == "/healthz" else ["503"]
    statuses += [] if open_to_all else ["401", "403", "422"]
    statuses += ["400", "404"] if "{" in path else ["400"]
    statuses += ["408", "409", "413"] if method == "post" else []
    statuses += ["415"] if "requestBody" in operation and "{" not in path else []
    if path == "/readyz":
        responses["503"] = {**responses["200"], "description": "No champion, or a log that cannot be trusted."}
    if path == "/metrics":
        text: Json = {"text/plain": {"schema": {"type": "string"}}}
        responses["200"] = {"description": "Prometheus text.", "content": text}
    return {**operation, "responses": {**refusals(*statuses), **responses}}


# What an answer holds, and which operation takes it: where from, its field, where to, which parameter.
_LINKS: Final = (
    ("/predict", "post", "/decision_id", "/decisions/{decision_id}", "get", "decision_id"),
    ("/predict/batch", "post", "/0/decision_id", "/decisions/{decision_id}", "get", "decision_id"),
    ("/cases", "get", "/0/id", "/cases/{number}", "get", "number"),
    ("/cases", "get", "/0/id", "/cases/{number}/comment", "post", "number"),
    ("/models", "get", "/0/version", "/models/{version}/promote", "post", "version"),
    ("/models", "get", "/0/created_at", "/models/at/{moment}", "get", "moment"),
)


def link(paths: dict[str, dict[str, Json]]) -> None:
    """Say in each answer which operation goes on from it."""
    for source, method, field, target, how, parameter in _LINKS:
        aim = paths[target][how]
        answer = paths[source][method]["responses"]["200"]
        answer.setdefault("links", {})[aim["operationId"]] = {
            "operationId": aim["operationId"],
            "parameters": {parameter: f"$response.body#{field}"},
        }


OPEN: Final = ("/healthz", "/readyz")  # no key is asked for
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
        },
    }


def outcomes_operation(found: Json, schema: Schema) -> Json:
    """FastAPI's operation of `POST /outcomes` with its bodies: JSON array or CSV."""
    by = schema.id or "decision_id"
    known: Json = {by: "1", schema.target: 0, schema.known_at: "2025-03-31T00:00:00Z"}
    properties: Json = {
        "decision_id": {"type": "string"},
        **({} if schema.id is None else {schema.id: {"type": ["string", "integer"]}}),
        schema.target: {"enum": [0, 1, True, False], "description": "1 for a default."},
        schema.known_at: {"type": "string", "format": "date-time", "description": "Now by default."},
    }
    rows: Json = {"type": "array", "items": {"type": "object", "properties": properties, "required": [schema.target]}}
    bodies = {
        "application/json": {"schema": rows, "example": [known]},
        "text/csv": {"schema": {"type": "string"}, "example": _csv(known)},
        **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in FILES},
    }
    return {**found, "requestBody": {"required": True, "content": bodies}}


def with_body(found: Json, kind: type) -> Json:
    """FastAPI's operation with the JSON body that a route reads itself, after it has asked for the key."""
    (body,), parts = msgspec.json.schema_components((kind,), ref_template="#/components/schemas/{name}")
    content = {"application/json": {"schema": parts.get(kind.__name__, body)}}
    return {**found, "requestBody": {"required": True, "content": content}}


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
    named = {encoded: name for name, encoded in encoded_names(schema, types[0]).items()}
    row = found["Row"]
    row["properties"] = {named.get(name, name): kind for name, kind in row["properties"].items()}
    row["required"] = [named.get(name, name) for name in row["required"]]
    return {**found, "Refusal": REFUSAL}


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
