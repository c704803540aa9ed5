import numpy as np
import pytest

from riskloop.core.types import DAY, Finding, Severity
from riskloop.monitor.onset import dated, day_of, iso
from riskloop.simulation.embedded import World

from .conftest import Month, built, month

FIRST = "2025-05-01"


def finding(subject: str, severity: Severity = Severity.FAULT, **details: object) -> Finding:
    return Finding("scale", subject, severity, 1.0, 0.0, "", "", 1, 1, "It moved.", dict(details))


def since(window: Month, found: Finding) -> str:
    (answer,) = dated([found], built(), window.features, window.scores, window.times)
    return str(answer.details["since"])


@pytest.mark.parametrize("day", [1, 3, 16, 30])
def test_a_fault_is_dated_to_the_day(day: int) -> None:
    window = month(1_500, 70)
    start = day_of(FIRST) + day - 1
    broken = np.where(window.times >= start * DAY, window.column("LIMIT_BAL") * 100.0, window.column("LIMIT_BAL"))
    assert since(window.changed(LIMIT_BAL=broken), finding("LIMIT_BAL")) == iso(start)


@pytest.mark.parametrize("day", [1, 10, 20])
def test_a_shift_is_dated_to_a_few_days(day: int) -> None:
    usual, other = month(3_000, 71), month(3_000, 72, World(distress=0.9, limits=-0.5))
    start = (day_of(FIRST) + day - 1) * DAY
    late = (usual.times >= start)[:, None]
    mixed = Month(
        np.where(late, other.features, usual.features),
        np.where(late[:, 0], other.scores, usual.scores),
        usual.outcomes,
        usual.times,
    )
    assert abs(day_of(since(mixed, finding("score", Severity.SEVERE))) - start // DAY) <= 2
    verdict = finding("window", Severity.SEVERE, drifted=["score", "LIMIT_BAL"])
    (score, _limit, whole) = dated(
        [finding("score"), finding("LIMIT_BAL"), verdict], built(), mixed.features, mixed.scores, mixed.times
    )
    assert whole.details["since"] <= score.details["since"]


def test_what_holds_for_the_whole_window_dates_from_its_first_day() -> None:
    window = month(500, 73)
    assert since(window, finding("PAY_AMT1")) == FIRST
    assert since(window, finding("window")) == FIRST


def test_only_changes_are_dated() -> None:
    window = month(500, 74)
    (ok,) = dated([finding("AGE", Severity.OK)], built(), window.features, window.scores, window.times)
    assert ok.details == {}
    empty = window.take(np.empty(0, dtype=np.int64))
    (fault,) = dated([finding("AGE")], built(), empty.features, empty.scores, empty.times)
    assert fault.details == {}
