from riskloop.core.types import PromotionKind
from riskloop.store.home import Home

from .conftest import add_model, client_of, promote


def test_without_models_it_says_what_to_do(empty: Home) -> None:
    page = client_of(empty).get("/dashboard/models").text
    assert "No model yet." in page
    assert "<code>riskloop train HISTORY.csv</code>" in page


def test_the_ledger_says_who_served_when_and_why(home: Home) -> None:
    promote(home, add_model(home, points=3.0), PromotionKind.GATE)
    page = client_of(home).get("/dashboard/models").text
    for shown in ("Champion", "By the gate", "First model", "because &lt;it&gt; is better", "Roll back to version 1"):
        assert shown in page
    assert "compare?a=1&amp;b=2" in page


def test_versions_and_promotions_are_paged_by_their_numbers(home: Home) -> None:
    for number in range(30):
        promote(home, add_model(home, points=3.0 + number), PromotionKind.MANUAL)
    page = client_of(home).get("/dashboard/models").text
    assert "/dashboard/models?before=7" in page
    assert "/dashboard/models?ledger_before=7" in page
    older = client_of(home).get("/dashboard/models?before=7&ledger_before=7").text
    assert ">Version 1</a>" in older
    assert ">Version 20</a></th>" not in older


def test_a_version_tells_how_it_was_made(home: Home) -> None:
    page = client_of(home).get("/dashboard/models/1").text
    for shown in ("0.7500", "0.730 to 0.770", "protected, so not read: sex", "90.0%", "numpy 2"):
        assert shown in page
    assert client_of(home).get("/dashboard/models/9").status_code == 404


def test_two_versions_differ_in_what_is_listed(home: Home) -> None:
    add_model(home, points=3.0, learner="forest")
    page = client_of(home).get("/dashboard/models/compare?a=1&b=2").text
    assert "settings.points" in page
    assert "forest" in page
    assert "cannot be compared on the same customers yet" in page


def test_one_version_cannot_be_compared(home: Home) -> None:
    page = client_of(home).get("/dashboard/models/compare")
    assert page.status_code == 404
    assert "not two versions" in page.text
