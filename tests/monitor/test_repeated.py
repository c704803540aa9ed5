"""Customers with several rows in a window: they are one witness, in every test that decides."""

import numpy as np
import pytest

from riskloop.core.types import Finding, Floats, Ints, Severity
from riskloop.monitor.correlation import Correlation
from riskloop.monitor.overtime import over_time_findings
from riskloop.monitor.performance import performance_findings
from riskloop.monitor.selection import Comparison

MOVED = (Severity.DRIFTED, Severity.SEVERE)
WINDOWS = 12
ROWS = 2_000


def window(rng: np.random.Generator, times: int, level: float = 0.0) -> tuple[Floats, Floats, Ints]:
    """PDs, outcomes and customers; each customer has ``times`` rows with nearly one PD, and one outcome."""
    who = np.repeat(np.arange(ROWS // times), times)
    odds = -1.5 + rng.standard_normal(ROWS // times)[who] + 0.2 * rng.standard_normal(who.size)
    drawn = rng.random(ROWS // times)[who]
    return 1.0 / (1.0 + np.exp(-odds)), (drawn < 1.0 / (1.0 + np.exp(-odds - level))).astype(np.float64), who


def called(times: int, seed: int, *, told: bool, level: float = 0.0) -> int:
    """How many of a year's windows are called anything."""
    rng = np.random.default_rng(seed)
    past = 1.0 / (1.0 + np.exp(1.5 - rng.standard_normal(12_000)))
    labels = (rng.random(past.size) < past).astype(np.float64)
    before: list[Finding] = []
    number = 0
    for _ in range(WINDOWS):
        p, y, who = window(rng, times, level)
        customers = who if told else None
        found = performance_findings(p, y, past, labels, alpha=0.01, customers=customers)
        compared = Comparison.of(p, y, past, labels, customers=customers)
        before = over_time_findings(compared, Correlation(0.005, 12), before, alarm=50.0)
        number += any(f.severity in MOVED for f in [*found, *before] if f.check not in ("jeffreys", "segment"))
    return number


@pytest.mark.parametrize("times", [3, 12])
def test_a_sound_window_is_not_called_because_customers_have_several_rows(times: int) -> None:
    assert sum(called(times, seed, told=True) for seed in range(2)) <= 1


def test_counted_as_other_customers_their_rows_would_be_called() -> None:
    assert sum(called(12, seed, told=False) for seed in range(2)) >= 4


def test_a_changed_level_is_found_all_the_same() -> None:
    assert called(4, 5, told=True, level=0.8) >= 10


@pytest.mark.parametrize("times", [1, 4])
def test_grades_and_intervals_count_customers(times: int) -> None:
    """A copy of every row says nothing new: intervals and p-values stay what they are."""
    rng = np.random.default_rng(9)
    p, y, _ = window(rng, 4)
    p, y = p[::4], y[::4]
    past = rng.beta(1.1, 3.9, 4_000)
    labels = (rng.random(past.size) < past).astype(np.float64)
    copies = np.repeat(np.arange(p.size), times)
    plain = performance_findings(p, y, past, labels, alpha=0.01)
    again = performance_findings(p[copies], y[copies], past, labels, alpha=0.01, customers=copies)
    for one, other in zip(plain, again, strict=True):
        assert (one.check, one.severity) == (other.check, other.severity)
        for key in ("lower", "upper"):
            if key in one.details and one.check != "calibration":
                assert other.details[key] == pytest.approx(one.details[key], abs=0.01)
