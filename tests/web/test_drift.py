import re

import pytest

from riskloop.core.types import Diagnosis, Finding, Rung, Severity
from riskloop.store.home import Home
from riskloop.web import reports

from .conftest import client_of, psi, save, window


def impact(subject: str, mean_pd: float) -> Finding:
    details = {"mean_pd": mean_pd, "approval_rate": -mean_pd, "share": 1.0}
    return Finding("impact", subject, Severity.OK, 0.1, None, "", "SHAP", 100, 100, f"{subject} counts.", details)


@pytest.fixture
def drifted(home: Home) -> Home:
    """Three windows: a calm one, one that chance explains, and one that drifted."""
    save(home, window(1), psi("debt", 0.01), psi("score", 0.01))
    save(home, window(2), psi("debt", 0.12, Severity.NOISE), psi("score", 0.01))
    save(
        home,
        window(3, Diagnosis.COVARIATE_SHIFT, report="window-3.html"),
        psi("debt", 0.31, Severity.SEVERE),
        psi("score", 0.02),
        impact("debt", 0.04),
        Finding("scale", "debt", Severity.FAULT, 100.0, 1.0, "", "", 1, 1, "debt is 100 times larger.", {}),
    )
    return home


def test_before_the_first_window_it_says_what_to_do(home: Home) -> None:
    page = client_of(home).get("/dashboard/drift")
    assert "No window is closed yet." in page.text
    assert "<code>riskloop watch</code>" in page.text


def test_chance_does_not_look_like_drift_and_a_fault_looks_like_neither(drifted: Home) -> None:
    page = client_of(drifted).get("/dashboard/drift").text
    assert 'class="cell noise"' in page
    assert 'class="cell fault"' in page  # the fault explains the PSI
    assert 'class="cell severe"' not in page
    assert page.index(">score<") < page.index(">debt<")


def test_windows_are_paged_by_their_numbers(home: Home) -> None:
    for number in range(1, 12):
        save(home, window(number), psi("debt", 0.01 * number))
    with_all = client_of(home).get("/dashboard/drift?size=12").text
    assert "Older windows" not in with_all
    older = client_of(home).get("/dashboard/drift?size=12&until=5").text
    assert "2025-05" in older
    assert "2025-06" not in older
    assert "until=11" in older


def test_a_feature_shows_then_and_now_its_impact_and_its_other_findings(drifted: Home) -> None:
    page = client_of(drifted).get("/dashboard/drift/debt?window=3")
    assert page.status_code == 200
    for shown in ("+4.00", "60.0%", "30.0%", "debt is 100 times larger.", 'id="distribution"', "debt has 0.31."):
        assert shown in page.text


@pytest.mark.parametrize("path", ["/dashboard/drift/nothing?window=3", "/dashboard/drift/debt?window=9"])
def test_what_is_not_there_is_a_page_with_a_sentence(drifted: Home, path: str) -> None:
    page = client_of(drifted).get(path)
    assert page.status_code == 404
    assert "drift page" in page.text


def test_a_window_tells_its_ladder_and_what_the_change_does(drifted: Home) -> None:
    page = client_of(drifted).get("/dashboard/windows/3").text
    for shown in ("What was found in 3.", "for it", "Covariate shift", "debt is 100 times larger.", "Evidently's page"):
        assert shown in page.replace("&#39;", "'")


def test_evidentlys_page_runs_in_a_sandbox(drifted: Home) -> None:
    client = client_of(drifted)
    assert "is not in" in client.get("/dashboard/windows/3/report").text
    drifted.reports.mkdir(parents=True)
    (drifted.reports / "window-3.html").write_text("<script>1</script>")
    page = client.get("/dashboard/windows/3/report")
    assert page.text == "<script>1</script>"
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert "same-origin" not in page.headers["content-security-policy"]
    assert client.get("/dashboard/windows/1/report").status_code == 404


def test_a_window_without_evidentlys_page_says_why(drifted: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    save(drifted, window(4), psi("debt", 0.9, Severity.SEVERE))
    client = client_of(drifted)
    assert "larger than drift.evidently_rows" in client.get("/dashboard/windows/4").text
    monkeypatch.setattr(reports, "find_spec", lambda _name: None)
    for path in ("/dashboard/windows/4", "/dashboard/windows/4/report"):
        assert "riskloop[evidently]" in client.get(path).text


def test_a_report_outside_its_folder_is_not_served(drifted: Home) -> None:
    (drifted.folder / "secret.html").write_text("secret")
    save(drifted, window(4, report="../secret.html"))
    assert client_of(drifted).get("/dashboard/windows/4/report").status_code == 404


def test_one_rung_is_the_diagnosis_and_others_that_fit_do_not_look_like_it(home: Home) -> None:
    ladder = (
        Rung(Diagnosis.DATA_FAULT, True, ("debt is 100 times larger.",), ()),
        Rung(Diagnosis.STABLE, False, (), ("debt moved.",)),
        Rung(Diagnosis.COVARIATE_SHIFT, True, ("debt moved, too.",), ()),
    )
    save(home, window(1, Diagnosis.DATA_FAULT, rungs=ladder))
    page = client_of(home).get("/dashboard/windows/1").text
    assert page.count('class="holds') == 1
    assert 'class="holds tone-fault"' in page
    assert "would fit too, but is not needed" in page
    assert "debt moved, too." in page


def test_a_feature_is_seen_through_the_windows_before_and_after_the_chosen_one(home: Home) -> None:
    for number in range(1, 12):
        save(home, window(number), psi("debt", 0.01 * number))
    page = client_of(home).get("/dashboard/drift/debt?window=3").text
    assert '"2025-03"' in page
    assert all(f">2025-{number:02}</a>" in page for number in range(1, 10))
    assert ">2025-10</a>" not in page
    assert re.findall(r'href="([^"]*)" rel="prev"', page) == ["/dashboard/drift/debt?window=4"]
