"""A portfolio of riskloop 0.1.0 opens, scores and replays to the last bit. `make_portfolio.py` says how it was made."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import update

from riskloop.core.types import PromotionKind
from riskloop.data.read import rows_from
from riskloop.portfolio import Portfolio
from riskloop.scoring.model import load_model
from riskloop.store.tables import decisions

OLD = Path(__file__).parent / "format_1"
EXPECTED: dict[str, Any] = json.loads((OLD / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portfolio]:
    """A copy, opened by the code of today: its database is migrated."""
    folder = tmp_path_factory.mktemp("old") / "portfolio"
    shutil.copytree(OLD, folder)
    opened = Portfolio.open(folder)
    yield opened
    opened.home.close()


def same(values: Any, expected: list[str]) -> bool:
    """Whether they are the same but for the last bits, in which processors round e^x differently."""
    known = np.array([float.fromhex(value) for value in expected])
    return bool((np.abs(np.ravel(values) - known) <= 4 * np.spacing(np.maximum(np.abs(known), 1e-3))).all())


def test_what_was_on_record_is_there(portfolio: Portfolio) -> None:
    home = portfolio.home
    assert home.schema.fingerprint == EXPECTED["schema"]
    assert home.decisions.count() == 240
    assert [promotion.version for promotion in home.ledger.promotions()] == [1, 2]
    assert home.ledger.promotions()[0].kind is PromotionKind.FIRST
    assert [model.origin for model in home.ledger.models()] == ["train", "train", "recalibrate", "retrain"]
    assert len(home.windows.latest(10)) == 2
    assert (portfolio.status().champion or {})["version"] == 2


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_old_model_scores_to_the_last_bit(portfolio: Portfolio, version: int) -> None:
    home, expected = portfolio.home, EXPECTED["models"][str(version)]
    artefact = home.artefact(version)
    assert artefact.sha256 == expected["sha256"]
    model = load_model(artefact, version)
    history = pd.read_csv(OLD / "rows.csv", dtype={"job": str})
    features = rows_from(history, model.schema, target="required", where="rows.csv").features
    assert model.threshold.hex() == expected["threshold"]
    assert same(model.probabilities(features), expected["probabilities"])
    assert same(model.contributions(features[:5]), expected["contributions"])


def test_every_old_decision_replays_to_the_last_bit(portfolio: Portfolio) -> None:
    assert len(EXPECTED["decisions"]) == 240
    explored = 0
    for number, expected in EXPECTED["decisions"].items():
        replayed = portfolio.replay(number)
        assert replayed.identical, replayed.sentence
        assert replayed.probability.hex() == expected["probability"]
        for key in expected.keys() - {"probability"}:
            assert replayed.to_dict()[key] == expected[key], (number, key)
        explored += bool(expected["flags"])
    assert explored == 16


def test_the_champion_goes_on_scoring(portfolio: Portfolio) -> None:
    history = pd.read_csv(OLD / "rows.csv", dtype={"job": str}).drop(columns=["bad", "day"])
    scored = portfolio.score(history.assign(day="2025-03-20"))
    assert same(scored["probability"], EXPECTED["models"]["2"]["probabilities"])
    assert scored["decision_id"].iloc[0] == "241"
    assert portfolio.replay(241).identical


@pytest.mark.parametrize("wanted", ["default", "all"])
def test_reasons_come_with_the_frame_where_they_are_asked_for(
    portfolio: Portfolio, wanted: Literal["default", "all"]
) -> None:
    rows = pd.read_csv(OLD / "rows.csv", dtype={"job": str}).drop(columns=["bad", "day"]).assign(day="2025-03-20")
    scored = portfolio.score(rows.head(40), reasons=wanted)
    assert scored["default"].nunique() == 2
    for declined, number, said in zip(scored["default"], scored["decision_id"], scored["reasons"], strict=True):
        told = portfolio.replay(number).reasons if declined or wanted == "all" else []
        assert json.loads(said) == told


@pytest.mark.parametrize("version", [3, 4])
def test_an_old_challenger_is_made_of_the_same_rows(portfolio: Portfolio, version: int) -> None:
    """The record of format 1 is enough to make it again. Libraries may round differently, the rows are the same."""
    found = portfolio.rebuild(version)
    assert {name for name in found.differing if name.startswith("reference.npy")} == set()
    assert portfolio.home.artefact(version).manifest.training.record is not None


def test_what_an_old_version_wrote_is_verified_from_its_first_opening_on(portfolio: Portfolio) -> None:
    """The chain begins when today's code opens it: an old row that is changed afterwards is found."""
    assert portfolio.record.verify().sound
    portfolio.score(pd.read_csv(OLD / "rows.csv", dtype={"job": str}).drop(columns="bad", errors="ignore").head(3))
    assert portfolio.record.verify().sound
    with portfolio.home.database.write() as connection:
        connection.execute(update(decisions).where(decisions.c.id == 7).values(probability=0.123))
    found = portfolio.record.verify()
    assert not found.sound
    assert "Decisions 1 to 240" in found.breaches[0]["sentence"]
