"""What `check` shows beside a column: what moved, and what looks as if it had."""

import pytest

from riskloop.core.types import Finding, Json, Severity
from riskloop.loop.check import _is_told

BAND = 0.1


def finding(check: str, statistic: float | None, severity: Severity, details: Json | None = None) -> Finding:
    return Finding(check, "device", severity, statistic, None, "", "", 100, 100, "A sentence.", details or {})


@pytest.mark.parametrize(
    ("check", "statistic", "severity", "details", "told"),
    [
        ("psi", 0.05, Severity.OK, None, False),
        ("psi", 1.58, Severity.OK, None, True),
        ("psi", 0.64, Severity.NOISE, None, True),
        ("psi", 0.3, Severity.SEVERE, None, True),
        ("psi", None, Severity.UNKNOWN, None, True),
        ("missing_rate", 0.4, Severity.OK, None, False),
        ("missing_rate", 1.0, Severity.FAULT, None, True),
        ("context", None, Severity.OK, {"beyond": False}, False),
        ("context", None, Severity.OK, {"beyond": True}, True),
    ],
)
def test_what_is_told_of_a_column(
    check: str, statistic: float | None, severity: Severity, details: Json | None, told: bool
) -> None:
    assert _is_told(finding(check, statistic, severity, details), BAND) == told
