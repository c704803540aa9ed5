"""What `/docs` says about /predict: the exact fields, with an example."""

import math

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Json

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
            "content": {"application/json": {"schema": row_schema(schema), "example": example(schema)}},
        },
        "responses": {
            "200": {
                "description": "The logged decision.",
                "content": {"application/json": {"schema": _ANSWER}},
            },
            **dict.fromkeys(("400", "401", "413", "415", "422", "503"), _REFUSAL),
        },
    }


def row_schema(schema: Schema) -> Json:
    """One row as JSON Schema."""
    properties = {feature.name: _property(feature) for feature in schema.features}
    required = [feature.name for feature in schema.features if not feature.nullable]
    if schema.id is not None:
        properties[schema.id] = {"type": ["string", "integer"], "description": "The customer's id."}
        required.append(schema.id)
    if schema.time is not None:
        text = "When the customer is decided on (ISO 8601); now by default."
        properties[schema.time] = {"type": "string", "description": text}
    return {
        "title": "Row",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def example(schema: Schema) -> Json:
    """A row that the schema accepts."""
    row = {feature.name: _example(feature) for feature in schema.features}
    return row if schema.id is None else {schema.id: "1", **row}


def _property(feature: Feature) -> Json:
    found: Json
    if feature.kind == "category":
        found = {"type": "string", "description": "A level; one that is a number may be sent as a number."}
        if feature.unseen == "refuse":
            found["enum"] = list(feature.categories)
    else:
        found = {"type": "number"}
        if math.isfinite(feature.low):
            found["minimum"] = feature.low
        if math.isfinite(feature.high):
            found["maximum"] = feature.high
    if feature.nullable:
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"].append(None)
    if feature.protected:
        found["description"] = "Kept for fairness checks; no model input."
    return found


def _example(feature: Feature) -> float | str:
    if feature.kind == "category":
        return feature.categories[0]
    low = feature.low if math.isfinite(feature.low) else min(0.0, feature.high)
    high = feature.high if math.isfinite(feature.high) else low
    middle = low + (high - low) / 4
    whole = float(math.floor(middle))
    value = whole if low <= whole <= high else middle
    return int(value) if value.is_integer() else value


_ANSWER: Json = {
    "type": "object",
    "properties": {
        "decision_id": {"type": "string"},
        "customer_id": {"type": ["string", "null"]},
        "default": {"type": "boolean"},
        "probability": {"type": "number"},
        "risk_level": {"type": "string", "enum": ["low", "medium", "high", "very_high"]},
        "threshold": {"type": "number"},
        "model_version": {"type": "integer"},
        "reasons": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "feature": {"type": "string"},
                    "contribution": {"type": "number"},
                    "text": {"type": "string"},
                },
            },
        },
        "scored_at": {"type": "string", "format": "date-time"},
        "flags": {
            "type": "object",
            "description": "Missing and unseen values, and `explored` for a customer who was approved at random "
            "although the probability reaches the threshold; absent when there are none.",
        },
    },
}
