"""Every version can be made again from its record, whatever happened since."""

import json
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace as changed
from tests import handmade

from riskloop.cli import main
from riskloop.core.errors import RiskloopError
from riskloop.core.manifest import RetrainOrder
from riskloop.core.schema import Feature, Schema
from riskloop.core.stats import paired_delong
from riskloop.core.types import Action, Diagnosis, Json
from riskloop.gate.challenger_file import challenger_file
from riskloop.gate.evaluation import Evaluation
from riskloop.loop import snapshot
from riskloop.loop.champion import load
from riskloop.loop.making import make
from riskloop.loop.rebuild import as_recorded, rebuild
from riskloop.loop.register import register
from riskloop.portfolio import Portfolio
from riskloop.store.outcomes import Outcome

from .conftest import live, recession

NOW = datetime(2025, 5, 5, tzinfo=UTC)


def _made(portfolio: Portfolio, action: Action, diagnosis: Diagnosis, since: datetime) -> int:
    home = portfolio.home
    micros = int(since.timestamp()) * 1_000_000
    champion = load(home, 1)
    order = RetrainOrder(1, action, diagnosis, micros, snapshot.take(home.feed, home.windows, NOW))
    made = make(home.settings, home.decisions, home.artefacts, order, champion)
    return register(
        home.artefacts,
        home.ledger,
        made.candidate,
        made.trained_on.rows,
        origin=made.recipe.origin,
        parent=1,
        case_id=7,
        now=NOW,
    )


ORDERS = [
    (Action.RECALIBRATE, Diagnosis.PRIOR_SHIFT),
    (Action.RETRAIN, Diagnosis.CONCEPT_DRIFT),
    (Action.RETRAIN, Diagnosis.COVARIATE_SHIFT),
]


@pytest.mark.parametrize("how", ["out_of_fold", "holdout"])
@pytest.mark.parametrize(("action", "diagnosis"), ORDERS)
def test_a_challenger_is_made_again_byte_for_byte(
    action: Action, diagnosis: Diagnosis, how: str, drifted_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    portfolio = copied(drifted_folder)
    config = portfolio.home.config
    config.write_text(config.read_text().replace("[gate]", f'[gate]\nevaluation = "{how}"\nblocks = 2'))
    portfolio = Portfolio.open(config)
    version = _made(portfolio, action, diagnosis, datetime(2025, 2, 1, tzinfo=UTC))
    found = portfolio.rebuild(version)
    assert found.identical is True, found
    assert found.sha256 == found.rebuilt_sha256 == portfolio.home.ledger.model(version).sha256
    portfolio.home.close()


def test_a_challenger_of_a_share_is_made_again_whatever_the_bound_is_later(
    drifted_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    """The record holds what was drawn; and it is a share of everything that could be learned from."""
    portfolio = copied(drifted_folder)
    config = portfolio.home.config
    text = config.read_text()
    config.write_text(text + "\n[retrain]\nmax_rows = 1200\n")
    portfolio = Portfolio.open(config)
    version = _made(portfolio, Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, datetime(2025, 2, 1, tzinfo=UTC))
    record = portfolio.home.artefact(version).manifest.training.record
    assert record is not None
    logged = portfolio.home.decisions.count()
    assert record.share == 1200 / logged < 0.5
    assert abs(record.rows / (logged + 3600) - record.share) < 0.05
    portfolio.home.close()
    config.write_text(text)
    portfolio = Portfolio.open(config)
    assert portfolio.rebuild(version).identical is True
    portfolio.home.close()


def test_the_tested_scores_are_as_well_calibrated_as_the_final_model(
    drifted_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    """By a line of the other blocks: one of a block's few validation rows would refuse good models."""
    home = copied(drifted_folder).home
    since = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    order = RetrainOrder(1, Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, since, snapshot.take(home.feed, home.windows, NOW))
    made = make(home.settings, home.decisions, home.artefacts, order, load(home, 1))
    labels = made.rows.labels[made.plan.tested]
    assert made.scores.mean() == pytest.approx(labels.mean(), abs=0.005)


@pytest.mark.parametrize("how", ["out_of_fold", "holdout"])
def test_a_challenger_has_a_scorecard_beside_it_on_the_very_rows_of_the_gate(
    how: str, drifted_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    portfolio = copied(drifted_folder)
    config = portfolio.home.config
    config.write_text(config.read_text().replace("[gate]", f'[gate]\nevaluation = "{how}"\nblocks = 2'))
    home = Portfolio.open(config).home
    champion = load(home, 1)
    as_trees = changed(champion.manifest, learner="lightgbm")  # whose learner is fitted again
    model = copy(champion.model)
    model.manifest = as_trees
    other = replace(champion, model=model)
    order = RetrainOrder(
        1, Action.RETRAIN, Diagnosis.COVARIATE_SHIFT, None, snapshot.take(home.feed, home.windows, NOW)
    )
    made = make(home.settings, home.decisions, home.artefacts, order, other)
    assert made.candidate.learner == "lightgbm"
    found, labels = made.candidate.manifest.training.benchmark, made.rows.labels[made.plan.tested]
    assert made.card is not None
    assert found is not None
    test = paired_delong(labels, made.card, made.scores, made.plan.blocks, made.rows.customers[made.plan.tested])
    assert (found.gain, found.rows) == (test.difference, labels.size)
    assert found.auc == test.auc_champion > 0.6
    one = Evaluation(labels, made.scores, made.scores, 0.2, 0.2, blocks=made.plan.blocks, benchmark=made.card)
    file = challenger_file(one, home.settings.money)["benchmark"]
    assert file["challenger"]["value"] == pytest.approx(found.gain)
    assert file["challenger"]["lower"] == pytest.approx(found.low)
    off = home.settings.model_copy(update={"train": home.settings.train.model_copy(update={"benchmark": False})})
    without = make(off, home.decisions, home.artefacts, order, other)
    assert without.card is None
    assert without.candidate.files == made.candidate.files
    home.close()


def test_later_decisions_corrections_and_settings_change_nothing(
    drifted_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    portfolio = copied(drifted_folder)
    version = _made(portfolio, Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, datetime(2025, 1, 1, tzinfo=UTC))
    home = portfolio.home
    live(portfolio, date(2025, 1, 1), 900, recession())  # a file that comes late
    wrong = [Outcome(True, NOW, number) for number in range(1, 40)]
    assert home.outcomes.record(wrong, NOW).corrected > 5
    config = home.config
    text = config.read_text().replace("folds = 3", "folds = 4\nseed = 9\nfloor_auc = 0.5")
    config.write_text(text + '[retrain]\nweighting = "uniform"\nwindow = "decayed"\n[threshold]\ncost_ratio = 9.0\n')
    changed = Portfolio.open(config)
    assert changed.rebuild(version).identical is True
    assert changed.rebuild(1).identical is True
    changed.home.close()


def test_a_record_that_is_not_the_models_is_told(drifted_folder: Path, copied: Callable[[Path], Portfolio]) -> None:
    """Outcomes that were overwritten, which the API never does, are found."""
    portfolio = copied(drifted_folder)
    version = _made(portfolio, Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, datetime(2025, 1, 1, tzinfo=UTC))
    with portfolio.home.database.write() as connection:
        connection.exec_driver_sql("UPDATE outcomes SET defaulted = 1 - defaulted WHERE decision_id < 100")
    found = portfolio.rebuild(version)
    assert found.identical is False
    assert any(name.startswith("scorecard") for name in found.differing)
    assert "manifest: training" in found.differing
    assert "differs in" in found.sentence


def test_the_command_shows_it(
    drifted_folder: Path,
    copied: Callable[[Path], Portfolio],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    portfolio = copied(drifted_folder)
    config = str(portfolio.home.config)
    monkeypatch.setattr("sys.argv", ["riskloop", "models", "rebuild", "1", "--config", config, "--json"])
    main()
    assert json.loads(capsys.readouterr().out)["identical"] is True
    monkeypatch.setattr("sys.argv", ["riskloop", "models", "at", "2025-05-05T14:03Z", "--config", config, "--json"])
    main()
    answer = json.loads(capsys.readouterr().out)
    assert (answer["version"], answer["promotion"]["seq"]) == (1, 1)
    for moment, problem in (("2024-01-01", "came later"), ("2999-01-01", "in the future"), ("soon", "ISO 8601")):
        monkeypatch.setattr("sys.argv", ["riskloop", "models", "at", moment, "--config", config])
        with pytest.raises(SystemExit):
            main()
        assert problem in capsys.readouterr().err


def test_a_record_of_another_riskloop_is_told_as_that(
    trained_folder: Path, copied: Callable[[Path], Portfolio], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied(trained_folder).home
    manifest = home.artefact(1).manifest
    manifest.settings["train"]["shuffle"] = True
    monkeypatch.setattr(type(home), "artefact", lambda self, version: SimpleNamespace(manifest=manifest))
    with pytest.raises(RiskloopError, match=r"does not know \(shuffle\)"):
        rebuild(home, 1)


def test_settings_that_a_newer_version_has_are_no_difference() -> None:
    made = changed(
        handmade.manifest(Schema((Feature("x"),), "bad")),
        settings={"seed": 1, "train": {"folds": 5, "new": True}, "learners": {"mine": {"a": 1}}, "newer": {"b": 2}},
    )
    recorded: Json = {"seed": 2, "train": {"folds": 4}, "learners": {"mine": {"a": 1}}}
    assert as_recorded(made, recorded).settings == {"seed": 1, "train": {"folds": 5}, "learners": {"mine": {"a": 1}}}
