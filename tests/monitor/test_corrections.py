"""Corrections are judged by class: nearly all outcomes are good, and withdrawn defaults are lost among them."""

import pytest

from riskloop.core.types import Severity
from riskloop.monitor.corrections import Corrections, corrected_finding


def severity(defaults: int, goods: int, withdrawn: int, turned: int, expected: float) -> Severity:
    classes = Corrections(defaults, goods, withdrawn, turned, expected)
    return corrected_finding(defaults + goods, withdrawn + turned, defaults + goods, classes).severity


@pytest.mark.parametrize(("defaults", "withdrawn"), [(10, 8), (12, 12), (60, 45), (60, 60), (200, 150)])
@pytest.mark.parametrize("rows", [2_000, 20_000])
def test_withdrawn_defaults_are_counted_of_the_defaults(defaults: int, withdrawn: int, rows: int) -> None:
    assert severity(defaults, rows - defaults, withdrawn, 0, defaults) is Severity.FAULT
    classes = Corrections(defaults, rows - defaults, withdrawn, 0, defaults)
    said = corrected_finding(rows, withdrawn, rows, classes).sentence
    assert f"{withdrawn:,} of {defaults:,} known defaults are withdrawn at once" in said
    assert f"leaves {defaults - withdrawn:,} default" in said


@pytest.mark.parametrize(("defaults", "withdrawn"), [(10, 4), (3, 3), (60, 12), (440, 150)])
def test_as_many_as_chance_gives_are_no_fault(defaults: int, withdrawn: int) -> None:
    assert severity(defaults, 2_000 - defaults, withdrawn, 0, defaults) is Severity.OK


@pytest.mark.parametrize(("first", "left", "expected"), [(50, 10, 10.0), (100, 60, 60.0), (800, 440, 440.0)])
def test_a_correction_that_leads_to_what_is_expected_is_sound(first: int, left: int, expected: float) -> None:
    """At 0.5% of defaults two wrong reports of a hundred make most of the defaults wrong ones."""
    rows = 20_000
    assert severity(first, rows - first, first - left, 0, expected) is Severity.OK
    assert severity(left // 4, rows - left // 4, 0, left - left // 4, expected) is Severity.OK, "late defaults"


@pytest.mark.parametrize("expected", [10.0, 60.0])
def test_good_customers_turned_into_defaults_are_held_against_the_expected(expected: float) -> None:
    known = int(expected)
    assert severity(known, 2_000 - known, 0, 4 * known, expected) is Severity.FAULT
    assert severity(known, 2_000 - known, 0, known // 2, expected) is Severity.OK, "a bad year"
