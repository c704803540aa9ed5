import re
from datetime import UTC, datetime

import pytest

from riskloop.core.types import Diagnosis, Finding, Severity
from riskloop.store.home import Home

from .conftest import client_of, save, window

FINAL = datetime(2025, 9, 1, tzinfo=UTC)


def finding(check: str, subject: str, value: float | None, severity: Severity, **details: object) -> Finding:
    return Finding(
        check, subject, severity, value, None, "the AUC holds", "DeLong", 100, 100, f"{check} says.", details
    )


def estimate(subject: str, value: float) -> Finding:
    details = {"lower": value - 0.03, "upper": value + 0.03, "reference": 0.77, "assumption": "No concept drift."}
    return finding("estimated_auc", subject, value, Severity.OK, **details)


@pytest.fixture
def judged(home: Home) -> Home:
    """A final cohort, a quarantined one and an immature one."""
    grade = finding("jeffreys", "low", 0.0004, Severity.DRIFTED, defaults=30, pd=0.05, p_value=0.0004)
    save(
        home,
        window(1, matured_at=FINAL),
        estimate("cbpe", 0.761),
        estimate("pape", 0.752),
        finding("auc", "window", 0.688, Severity.SEVERE, lower=0.66, upper=0.71, reference=0.77),
        finding("ks", "window", 0.31, Severity.OK, reference=0.42),
        finding("calibration", "window", 0.1, Severity.OK, observed=0.227, expected=0.213),
        grade,
    )
    save(home, window(2, Diagnosis.DATA_FAULT, matured_at=FINAL), estimate("pape", 0.8))
    save(home, window(3), estimate("pape", 0.741))
    return home


def test_without_windows_it_says_what_to_do(home: Home) -> None:
    page = client_of(home).get("/dashboard/performance").text
    assert "No cohort yet." in page
    assert "<code>riskloop outcomes</code>" in page


def test_cohorts_show_what_was_expected_and_what_happened(judged: Home) -> None:
    page = client_of(judged).get("/dashboard/performance").text
    for shown in ("0.688", "0.660 to 0.710", "0.752", "21.3%", "22.7%", "Severe", "No concept drift."):
        assert shown in page
    assert "0.761" not in page  # PAPE goes before CBPE
    assert "0.800" not in page  # nothing is estimated of broken data


def test_immature_and_quarantined_cohorts_are_called_so(judged: Home) -> None:
    page = client_of(judged).get("/dashboard/performance").text
    assert 'class="immature"' in page
    assert "from 1 May 2025" in page  # the window ends on 1 April, and outcomes take 30 days
    assert "quarantined" in page


def test_a_grade_that_the_test_rejects_says_in_which_direction(judged: Home) -> None:
    page = client_of(judged).get("/dashboard/performance").text
    assert "PD too low" in page
    assert "&lt; 0.001" in page
    other = client_of(judged).get("/dashboard/performance?cohort=3").text
    assert "No grades for 2025-03." in other


@pytest.mark.parametrize("ranking", [Severity.OK, Severity.DRIFTED, Severity.SEVERE])
@pytest.mark.parametrize("grade", [Severity.OK, Severity.DRIFTED, Severity.SEVERE])
def test_the_headline_is_green_only_where_ranking_and_grades_hold(
    home: Home, ranking: Severity, grade: Severity
) -> None:
    save(
        home,
        window(1, matured_at=FINAL),
        finding("auc", "window", 0.75, ranking),
        finding("jeffreys", "low", 0.0004, grade, defaults=30, pd=0.05),
    )
    page = client_of(home).get("/dashboard/performance").text
    (tone,) = re.findall(r'class="headline tone-(\w+)"', page)
    assert (tone == "ok") is (ranking == grade == Severity.OK)
    assert ("the PD of low risk is off: 30.0% defaulted at a PD of 5.0%." in page) is (grade is not Severity.OK)


def test_a_cohort_whose_outcomes_are_due_and_not_there_is_not_judged(judged: Home) -> None:
    late = finding("outcomes", "window", None, Severity.UNKNOWN)
    save(judged, window(4, Diagnosis.NOT_ENOUGH_DATA), late)
    assert "<td>not judged</td>" in client_of(judged).get("/dashboard/performance").text
    page = client_of(judged).get("/dashboard/windows/4").text
    assert "<dd>not judged</dd>" in page
    assert "<dd>not yet</dd>" in client_of(judged).get("/dashboard/windows/3").text
