"""Messages of core.types as JSON text and back, for the columns that keep whole documents."""

import json
from dataclasses import fields, is_dataclass
from typing import Any

from riskloop.core.types import Check, Finding, GateReport, Json, Rung, Severity, Verdict


def plain(value: Any) -> Any:
    """Dataclasses, enums, tuples and NumPy scalars as what JSON knows; NaN and infinity as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value


def dumps(value: Any) -> str:
    """Strict JSON text of any message."""
    return json.dumps(plain(value), allow_nan=False)


def finding(document: Json) -> Finding:
    """The inverse of `plain` for a finding."""
    return Finding(**{**document, "severity": Severity(document["severity"])})


def rung(document: Json) -> Rung:
    """The inverse of `plain` for a rung of the diagnosis."""
    from riskloop.core.types import Diagnosis

    return Rung(
        Diagnosis(document["explanation"]),
        document["holds"],
        tuple(document["evidence_for"]),
        tuple(document["evidence_against"]),
    )


def gate_report(document: Json) -> GateReport:
    """The inverse of `plain` for a gate report."""
    checks = tuple(Check(**check) for check in document["checks"])
    return GateReport(**{**document, "verdict": Verdict(document["verdict"]), "checks": checks})
