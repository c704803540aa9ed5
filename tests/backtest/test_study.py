import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.backtest import replay as replaying
from riskloop.backtest.policies import policies_named
from riskloop.backtest.report import page
from riskloop.backtest.request import Request
from riskloop.backtest.study import answer, backtest
from riskloop.backtest.worlds import play
from riskloop.core.errors import ConfigError
from riskloop.core.settings import MoneySettings, Settings, ThresholdSettings
from riskloop.core.types import Json

Customers = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def request_(customers: Customers, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Request:
    money = settings.model_copy(update={"money": MoneySettings(default_cost=10.0, good_gain=2.0)})
    return Request(
        history=customers(12, 400, turns_at=7),
        policies="on_drift,manual",
        settings=money,
        work=tmp_path_factory.mktemp("work"),
        jobs=1,
    )


@pytest.fixture(scope="module")
def document(request_: Request) -> Json:
    return backtest(request_)


def test_the_loop_finds_the_turn_and_helps(document: Json) -> None:
    policies = document["policies"]
    assert list(policies) == ["on_drift", "manual", "never", "always"]
    assert policies["on_drift"]["auc"] > policies["never"]["auc"] + 0.05
    assert policies["on_drift"]["against_never"]["auc_low"] > 0
    assert policies["on_drift"]["promotions"] >= 1
    assert policies["on_drift"]["wrong_promotions"] == 0
    assert policies["manual"]["retrainings"] == policies["never"]["retrainings"] == 0
    assert policies["manual"]["auc"] == policies["never"]["auc"]
    assert policies["always"]["retrainings"] == 8
    assert policies["on_drift"]["against_never"]["money"] > 0


def test_the_document_says_what_the_contract_asks_for(document: Json) -> None:
    for entry in document["policies"].values():
        assert {"retrainings", "promotions", "wrong_promotions", "auc", "log_loss"} <= set(entry)
        assert [period["period"] for period in entry["periods"]] == [str(n) for n in range(5, 13)]
        for period in entry["periods"]:
            assert {"period", "decisions", "auc", "gini", "ks", "brier", "champion"} <= set(period)
            assert period["decisions"] == 400
            assert period["auc_low"] < period["auc"] < period["auc_high"]
            assert period["gini"] == pytest.approx(2 * period["auc"] - 1)
    case = next(case for case in document["cases"] if case["policy"] == "on_drift")
    assert case["diagnosis"] == "concept_drift"
    assert case["period"] == "7"
    json.dumps(document, allow_nan=False)


def test_a_promotion_is_judged_by_the_customers_that_came_after_it(document: Json) -> None:
    """Also by the rest of its own period, where a file of period numbers dates them all alike."""
    entry = document["policies"]["on_drift"]
    within = [p for p in entry["promotion_list"] if p["at"][8:10] != "01"]
    assert within, "a champion went live in the middle of a period"
    for promotion in within:
        labels = [period["period"] for period in entry["periods"]]
        following = [p["at"] for p in entry["promotion_list"] if p["at"] > promotion["at"]]
        if not following:
            left = len(labels) - 1 - labels.index(promotion["period"])
            assert promotion["periods"] == left + 1
            assert 400 * left < promotion["outcomes"] < 400 * (left + 1)


def test_outcomes_come_as_late_as_they_would(document: Json) -> None:
    """The turn is in period 7; its outcomes are known 30 days later, and nothing can be learned from them before."""
    champions = [period["champion"] for period in document["policies"]["on_drift"]["periods"]]
    assert champions[:4] == [1, 1, 1, 1]


def test_the_first_champion_of_a_new_world_is_made_again_when_more_is_known(document: Json) -> None:
    """It learned from one period's outcomes, and no drift will ever be found against it."""
    cases = [case for case in document["cases"] if case["policy"] == "on_drift"]
    renewals = [case for case in cases if "a better model is likely" in case["events"][0]["sentence"]]
    assert renewals
    assert renewals[0]["period"] == cases[0]["period"], "what is learned from begins where the change began"
    assert len({case["id"] for case in cases if case["open"]}) <= 1


def test_sentences_use_the_files_own_period_numbers(document: Json) -> None:
    text = json.dumps(document["policies"]["on_drift"]["periods"]) + json.dumps(document["cases"])
    assert not re.search(r'"2000-\d\d:', text)


def test_nothing_is_left_behind(document: Json, request_: Request) -> None:
    assert document["decisions"] == 8 * 400
    assert not request_.work.exists()


def test_the_same_seed_gives_the_same_numbers_after_an_interruption(
    document: Json, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[tuple[int, int]] = []
    real = replaying._mark

    def stops(folder: Path, periods: int, finished: int) -> None:
        marked.append((periods, finished))
        if len(marked) == 39:  # the turn is played, and not marked: the worst moment
            raise KeyboardInterrupt
        real(folder, periods, finished)

    monkeypatch.setattr(replaying, "_mark", stops)
    with pytest.raises(KeyboardInterrupt):
        backtest(request_)
    assert request_.work.exists()
    assert backtest(request_) == document
    assert marked[38] == (4, 3)
    assert marked[39] == marked[38], "the interrupted turn is played again, and none before it"


def test_the_page_needs_no_network(document: Json) -> None:
    html = page(document)
    markup = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert not re.search(r'(src|href)\s*=\s*"?http', markup)
    assert "://" not in markup
    assert html.count('class="figure"') == 7
    for figure in re.findall(r'class="figure"[^>]*>(.*?)</script>', html, flags=re.S):
        assert json.loads(figure)["data"]


def test_text_of_a_file_cannot_break_out_of_the_page(document: Json) -> None:
    evil = "</script><script>alert(1)</script>"
    html = page({**document, "portfolio": evil, "notes": [evil]})
    assert evil not in html


def test_processes_of_their_own_give_the_same(customers: Customers, settings: Settings, tmp_path: Path) -> None:
    asked = Request(customers(6, 300), policies="manual", settings=settings, work=tmp_path / "work")
    assert backtest(replace(asked, jobs=2)) == backtest(replace(asked, jobs=1))


def test_periods_without_outcomes_are_played_and_not_scored(
    customers: Customers, settings: Settings, tmp_path: Path
) -> None:
    frame = customers(6, 300).astype({"default": float})
    frame.loc[frame["period"] == 4, "default"] = np.nan
    frame = frame[frame["period"] != 5]
    done = backtest(Request(history=frame, policies="manual", settings=settings, work=tmp_path / "work", jobs=1))
    unknown, empty, last = done["policies"]["manual"]["periods"][-3:]
    assert (unknown["decisions"], unknown["auc"]) == (300, None)
    assert (empty["decisions"], empty["auc"], empty["champion"]) == (0, None, None)
    assert last["auc"] is not None
    assert "scored there: 4" in " ".join(done["notes"])


def test_a_scenario_knows_the_truth_and_brings_an_oracle(settings: Settings, tmp_path: Path) -> None:
    done = backtest(
        Request(
            scenario="new_channel_sudden",
            months=5,
            per_month=300,
            policies="manual",
            work=tmp_path / "work",
            jobs=1,
            seed=3,
        )
    )
    oracle = done["policies"]["oracle"]["periods"]
    assert [period["truth"] for period in oracle] == ["stable"] * 3 + ["covariate_shift"] * 2
    assert all(period["true_auc"] is not None for period in oracle)
    never = done["policies"]["never"]
    assert [p["auc"] for p in oracle[:3]] == [p["auc"] for p in never["periods"][:3]]
    assert done["policies"]["oracle"]["auc"] >= never["auc"]


@pytest.mark.parametrize(
    ("policy", "declined"),
    [
        ({"policy": "approval_rate", "approval_rate": 0.7}, 0.3),
        ({"policy": "approval_rate", "approval_rate": 0.95}, 0.05),
    ],
)
def test_the_oracle_declines_as_the_policy_says(policy: Json, declined: float, tmp_path: Path) -> None:
    """It has models of its own, so it needs thresholds of its own."""
    request = Request(
        scenario="recession",
        months=4,
        per_month=300,
        policies="manual",
        work=tmp_path / "work",
        jobs=1,
        seed=3,
    )
    history, _ = play(request)
    changed = replace(request, settings=history.settings.model_copy(update={"threshold": ThresholdSettings(**policy)}))
    oracle = backtest(changed)["policies"]["oracle"]["periods"]
    rates = [1.0 - period["approval_rate"] for period in oracle if period["truth"] != "stable"]
    assert np.mean(rates) == pytest.approx(declined, abs=0.05)


@pytest.mark.parametrize("text", ["often", "scheduled:0", "scheduled:x", "on_drift:3", ""])
def test_unknown_policies_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        policies_named(text)


def test_policies_come_with_what_they_are_compared_with() -> None:
    names = [policy.name for policy in policies_named("scheduled, on_harm,never,scheduled:3")]
    assert names == ["scheduled:3", "on_harm", "never", "always"]


def test_a_wrong_promotion_is_told_with_what_chance_may_do() -> None:
    gain = {"auc": 0.01, "auc_low": 0.001, "auc_high": 0.02}
    promotions = [{"wrong": True, "measure": "auc", "low": -0.05, "high": high} for high in (-0.01, 0.02)]
    entry = {"against_never": gain, "retrainings": 3, "promotions": 2, "wrong_promotions": 2, "watch": None}
    told = answer({"policies": {"on_drift": {**entry, "promotion_list": promotions}}})
    assert told.endswith("with 3 retrainings and 2 promotions, 2 of them wrong (1 beyond chance).")


def test_a_first_model_below_the_floor_is_replayed_and_it_is_said(
    customers: Callable[..., pd.DataFrame], settings: Settings, tmp_path: Path
) -> None:
    """A lender would ask a person; the answer of a back-test is what would have come of it."""
    frame = customers(5, 150)
    frame["default"] = np.random.default_rng(4).permutation(frame["default"].to_numpy())
    window = timedelta(days=30)
    found = backtest(Request(frame, outcome_window=window, settings=settings, work=tmp_path / "work", jobs=1))
    (note,) = [note for note in found["notes"] if "floor_auc" in note]
    assert "becomes champion only if a person promotes it" in note
    assert all(period["champion"] == 1 for period in found["policies"]["never"]["periods"])
    assert found["policies"]["never"]["auc"] is not None
