from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from tests import handmade

from riskloop.core.types import Diagnosis, PromotionKind
from riskloop.loop.shadow import follow
from riskloop.portfolio import Portfolio
from riskloop.serve.portfolio_metrics import PortfolioMetrics
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome

from .conftest import CONFIG, MAY, add_model, client_of, decide, promote, save, window


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
        promote(home, add_model(home, points=3.0 + number), PromotionKind.FORCED)
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


def test_two_versions_are_compared_on_final_sound_decisions_that_neither_has_seen(home: Home) -> None:
    decide(home, 400)  # every second one has a debt of 9 and a PD of 0.73, the others one of 1 and a PD of 0.27
    add_model(home, points=3.0, record=handmade.record(decisions=((1, 100),), history=((0, 999),)))
    final = datetime(2025, 9, 1, tzinfo=UTC)
    for number, first in enumerate((1, 101, 201, 301), start=1):
        state = Diagnosis.DATA_FAULT if number == 2 else Diagnosis.STABLE
        matured = None if number == 4 else final
        # the windows' times are 100 minutes each, as `decide` spreads its decisions
        begin = MAY + timedelta(minutes=first - 1)
        save(
            home,
            window(
                number,
                state,
                first_id=first,
                last_id=first + 99,
                rows=100,
                matured_at=matured,
                first_time=begin,
                end_time=begin + timedelta(minutes=100),
            ),
        )
    happened = [Outcome(i % 10 < 2 or i % 20 == 5, final, decision_id=i) for i in range(1, 401)]
    home.outcomes.record(happened, final)
    found = Portfolio(home).side_by_side(1, 2, now=final)
    tested = happened[200:300]  # the first window was learned from, the second is quarantined, the last not final
    assert (found.rows, found.defaults) == (100, sum(outcome.defaulted for outcome in tested))
    labels = np.array([outcome.defaulted for outcome in tested])
    for one, points in zip(found.versions, (2.0, 3.0), strict=True):
        p = 1 / (1 + np.exp(1 - points * np.array([(i - 1) % 2 for i in range(201, 301)])))
        assert one["auc"] == pytest.approx(roc_auc_score(labels, p))
        assert one["brier"] == pytest.approx(brier_score_loss(labels, p))
        assert one["approval_rate"] == pytest.approx((p < 0.5).mean())
        assert sum(one["scores"]["shares"]) == pytest.approx(1.0)
        x, y = one["roc"]["x"], one["roc"]["y"]
        assert (x[0], y[0], x[-1], y[-1]) == (0.0, 0.0, 1.0, 1.0)
        assert np.trapezoid(y, x) == pytest.approx(one["auc"])
    assert [segment["rows"] for segment in found.segments] == [100]  # all are of one sex
    page = client_of(home).get("/dashboard/models/compare?a=1&b=2").text
    assert "On 100 decisions from 1 May 2025 to 1 May 2025" in page


def test_a_shadow_is_shown_beside_the_champion_on_pages_and_in_metrics(empty: Home) -> None:
    (empty.folder / "riskloop.toml").write_text(f"{CONFIG}\n[shadow]\nversions = [2]\n")
    home = Home.open(empty.folder)
    promote(home, add_model(home))
    add_model(home, points=0.5)  # it approves everybody
    list(follow(home, 1, MAY, lambda: None))
    decide(home, 200)
    list(follow(home, 1, MAY, lambda: None))
    listed = client_of(home).get("/dashboard/models").text
    assert "Version 2 agrees with the champion on 50.0% (43.1% to 56.9%) of 200 decisions" in listed
    assert "it alone would approve 100 and alone decline 0." in listed
    reported = [Outcome(number % 4 == 0, MAY + timedelta(days=20), number) for number in range(1, 201)]
    home.outcomes.record(reported, MAY + timedelta(days=50), complete_until=MAY + timedelta(days=40))
    page = client_of(home).get("/dashboard/models/compare?a=1&b=2").text
    assert "Version 2 as a shadow" in page
    assert "50 of 100" in page  # every second one whom only it approves defaults
    assert "By 200 final outcomes (50 defaults) its AUC is" in page
    told = PortfolioMetrics(home).exposition().decode()
    for line in ('scored{version="2"} 200.0', 'behind{version="2"} 0.0', 'agreement{version="2"} 0.5', "failures 0.0"):
        assert f"riskloop_shadow_{line}" in told
    home.close()


def test_one_version_cannot_be_compared(home: Home) -> None:
    page = client_of(home).get("/dashboard/models/compare")
    assert page.status_code == 404
    assert "not two versions" in page.text


@pytest.mark.parametrize(("how", "shown"), [("html", "inline"), ("docx", "attachment")])
def test_a_version_has_its_report(home: Home, how: str, shown: str) -> None:
    browser = client_of(home)
    assert f'href="/dashboard/models/1/document?format={how}"' in browser.get("/dashboard/models/1").text
    answer = browser.get(f"/dashboard/models/1/document?format={how}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'{shown}; filename="model-1.{how}"'
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    if how == "html":
        assert home.ledger.model(1).sha256 in answer.text
        assert "<b>&</b>" not in answer.text
    assert browser.get("/dashboard/models/9/document").status_code == 404
    assert browser.get("/dashboard/models/1/document?format=exe").status_code == 404
