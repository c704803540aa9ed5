"""A model from elsewhere in the whole loop: it decides, its decisions replay, and it is compared as any other."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests import foreign
from tests.test_cli import Ran, run

from riskloop.cases import CaseState
from riskloop.core.errors import ArtefactError, ConfigError, DataError, GateRefused, NotFound, Refused
from riskloop.core.types import Action, Diagnosis
from riskloop.loop.champion import load
from riskloop.portfolio import Portfolio
from riskloop.retrain.challenger import plan_challenger
from riskloop.train.foreign.source import find

KINDS = ("lightgbm", "xgboost", "skops", "scorecard")
HISTORY, LIVE = foreign.people(), foreign.people(600, 7)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("xgboost")
    return foreign.files(tmp_path_factory.mktemp("files"), HISTORY)


@pytest.fixture
def portfolio(tmp_path: Path) -> Iterator[Portfolio]:
    (tmp_path / "riskloop.toml").write_text(foreign.CONFIG, encoding="utf-8")
    HISTORY.to_csv(tmp_path / "history.csv", index=False)
    opened = Portfolio.open(tmp_path)
    yield opened
    opened.home.close()


def brought(portfolio: Portfolio, kind: str, sources: dict[str, Path], **more: Any) -> Any:
    card = {"scale": foreign.SCALE, "closed": "right"} if kind == "scorecard" else {}
    return portfolio.import_model(sources[kind], portfolio.home.folder / "history.csv", **{**card, **more})


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_decides_replays_and_is_compared(portfolio: Portfolio, sources: dict[str, Path], kind: str) -> None:
    found = brought(portfolio, kind, sources)
    assert (found.version, found.kind, found.calibration) == (1, kind, "kept")
    assert "Version 1 is champion, with an AUC on its history of" in found.sentence
    imported = portfolio.model(1).training["imported"]
    artefact = portfolio.home.artefact(1)
    assert artefact.bytes(imported["file"]) == sources[kind].read_bytes(), "the very file is kept"
    assert imported["sha256"] == found.sha256
    reference = load(portfolio.home, 1)  # what windows are held against, and reasons that sum up
    np.testing.assert_allclose(reference.probabilities, reference.reference_scores, atol=1e-9)
    assert sum(artefact.manifest.importance.values()) == pytest.approx(1.0)

    decided = portfolio.score(LIVE.drop(columns="bad"))
    first = portfolio.replay(1)
    assert first.identical
    assert first.reasons
    assert portfolio.replay(len(LIVE)).identical

    other = "scorecard" if kind != "scorecard" else "lightgbm"
    second = brought(portfolio, other, sources)
    assert second.version == 2
    assert "Version 1 stays champion until" in second.sentence
    later = datetime.now(UTC) + timedelta(days=60)
    outcomes = pd.DataFrame({"decision_id": decided["decision_id"], "bad": LIVE["bad"]})
    portfolio.record_outcomes(outcomes, complete_until=later, now=later)
    assert portfolio.compare(1, 2, now=later).sentences
    window = portfolio.cycle(now=later).closed[0]
    assert (window["decisions"], window["diagnosis"]) == (len(LIVE), "stable"), "it is monitored"
    with pytest.raises(Refused, match=f"imported from .*cannot be made again byte for byte.*{found.sha256}"):
        portfolio.rebuild(1)


def test_a_line_is_put_through_its_scores_on_request(portfolio: Portfolio, sources: dict[str, Path]) -> None:
    brought(portfolio, "scorecard", sources, calibration="fitted")
    model = load(portfolio.home, 1)
    labelled = ~np.isnan(model.outcomes)
    assert model.probabilities[labelled].mean() == pytest.approx(HISTORY["bad"].mean(), abs=1e-6)
    assert portfolio.model(1).training["imported"]["calibration"] == "fitted"
    kept = brought(portfolio, "scorecard", sources)
    assert kept.version == 2
    assert load(portfolio.home, 2).probabilities.mean() != pytest.approx(HISTORY["bad"].mean(), abs=0.01)


def test_a_column_of_scores_is_compared_on_every_row(portfolio: Portfolio, sources: dict[str, Path]) -> None:
    import lightgbm

    booster = lightgbm.Booster(model_file=str(sources["lightgbm"]))
    scored = HISTORY.assign(pd_then=booster.predict(foreign.coded(HISTORY)).round(4))
    scored.loc[3, "pd_then"] = np.nan  # not every row has one
    found = portfolio.import_model(sources["lightgbm"], scored, scores="pd_then")
    assert found.compared_with == "column pd_then"
    assert found.agreement <= 0.5e-4 + 1e-9
    scored.loc[700, "pd_then"] += 0.01
    with pytest.raises(ArtefactError, match=r"Row 701 of the history scores .* by column pd_then; 1 rows differ"):
        portfolio.import_model(sources["lightgbm"], scored, scores="pd_then")
    with pytest.raises(DataError, match="has no column 'pd_now'"):
        portfolio.import_model(sources["lightgbm"], HISTORY, scores="pd_now")


def test_nobody_can_fit_an_imported_champion_again_so_all_learners_compete(portfolio: Portfolio) -> None:
    settings = portfolio.home.settings
    plan = plan_challenger(
        Action.RETRAIN,
        Diagnosis.COVARIATE_SHIFT,
        champion_learner=None,
        rows=1000,
        train=settings.train,
        retrain=settings.retrain,
    )
    assert plan.learners == ("scorecard",)
    assert "The champion was imported" in plan.sentence


@pytest.mark.parametrize("kind", ["lightgbm", "scorecard"])
def test_a_changed_world_replaces_an_imported_champion(
    portfolio: Portfolio, sources: dict[str, Path], kind: str
) -> None:
    brought(portfolio, kind, sources)
    live = foreign.people(1800, 9)
    z = -1.0 + 0.15 * live["debt"] + 2.5 * (live["region"] == 3)  # the region decides now
    live["bad"] = (np.random.default_rng(9).random(len(live)) < 1 / (1 + np.exp(-z))).astype(int)
    decided = portfolio.score(live.drop(columns="bad"))
    first = portfolio.replay(1)
    later = datetime.now(UTC) + timedelta(days=60)
    outcomes = pd.DataFrame({"decision_id": decided["decision_id"], "bad": live["bad"]})
    portfolio.record_outcomes(outcomes, complete_until=later, now=later)
    done = portfolio.cycle(now=later)
    challenger = portfolio.home.ledger.model(2)
    assert (challenger.origin, challenger.parent, challenger.learner) == ("retrain", 1, "scorecard"), done.lines
    (case,) = portfolio.home.cases.latest()
    if case.state is CaseState.NEEDS_APPROVAL:  # it approves others than before: outside the plan
        portfolio.approve(case.id, by="anna", note="read the report")
    assert portfolio.home.champion().version == 2
    assert portfolio.replay(1).replayed_probability == first.probability, "what the imported one decided stays"
    again = portfolio.score(live.drop(columns="bad")[:5])
    assert set(again["model_version"]) == {2}


def test_a_workbook_of_points_is_the_same_card(portfolio: Portfolio, sources: dict[str, Path]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet: Any = book.active
    for row in foreign.CARD:
        cells: list[Any] = []
        for cell in row:
            try:
                cells.append(float(cell))  # a person types numbers, not text
            except ValueError:
                cells.append(cell or None)
        sheet.append(cells)
    path = portfolio.home.folder / "card.xlsx"
    book.save(path)
    found = portfolio.import_model(path, HISTORY, scale=foreign.SCALE, closed="right")
    assert (found.kind, found.agreement) == ("scorecard", 0.0)
    brought(portfolio, "scorecard", sources)
    of_book, of_text = (load(portfolio.home, version) for version in (1, 2))
    np.testing.assert_array_equal(of_book.probabilities, of_text.probabilities)


def test_a_first_model_below_the_floor_does_not_become_champion(portfolio: Portfolio, sources: dict[str, Path]) -> None:
    shuffled = HISTORY.assign(bad=np.random.default_rng(0).permutation(HISTORY["bad"]))
    with pytest.raises(GateRefused, match="its AUC on its history of"):
        portfolio.import_model(sources["lightgbm"], shuffled)


def test_the_command_imports_and_says_what_is_known(portfolio: Portfolio, sources: dict[str, Path]) -> None:
    folder = portfolio.home.folder

    def imports(*more: str) -> Ran:
        return run("models", "import", str(sources["scorecard"]), "--history", "history.csv", *more, folder=folder)

    points = ("--base", "600", "--odds", "30", "--double", "20")
    assert "takes three numbers" in imports("--base", "600").err
    refused = imports(*points)
    assert refused.code == ConfigError.exit_code
    assert "--closed right" in refused.err
    done = imports(*points, "--closed", "left")
    assert done.code == 0
    assert "agrees with the table itself" in " ".join(done.out.split())
    assert "they flatter it" in " ".join(done.out.split())
    assert "Imported from" in run("models", "show", "1", folder=folder).out


def test_the_commands_of_the_page_do_what_it_says(portfolio: Portfolio, sources: dict[str, Path]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "imports.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^riskloop (models import (?!models:)[^#\n]*)", page)
    folder = portfolio.home.folder
    for path in sources.values():
        (folder / path.name).write_bytes(path.read_bytes())
    for number, command in enumerate(commands, start=1):
        done = run(*command.split(), folder=folder)
        assert done.code == 0, done.err
        assert f"Version {number} is {command.split()[2]}" in done.out
    assert len(commands) == len(KINDS)


# --------------------------------------------------------------------------- what is opened, and what is not


def test_a_pickle_is_never_opened(tmp_path: Path, portfolio: Portfolio) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> Any:
            return Path.write_text, (tmp_path / "it ran", "")

    for name in ("model.pkl", "model.joblib", "model.skops", "model.json", "model.txt"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(Trap()))
        with pytest.raises(ArtefactError):
            portfolio.import_model(path, HISTORY)
    folder = tmp_path / "mlflow"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "model.pkl").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ArtefactError, match="is a pickle, which runs whatever code it holds"):
        portfolio.import_model(folder, HISTORY)
    assert not (tmp_path / "it ran").exists()


def test_a_folder_is_read_where_one_file_in_it_is_a_model(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "input_example.json").write_text("[1, 2]")
    (folder / "data" / "model.lgb").write_bytes(sources["lightgbm"].read_bytes())
    assert find(str(folder)).kind == "lightgbm"
    (folder / "other.skops").write_bytes(sources["skops"].read_bytes())
    with pytest.raises(ArtefactError, match=r"2 files that could be the model \(data/model.lgb, other.skops\)"):
        find(str(folder))
    with pytest.raises(NotFound):
        find(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="no kind 'onnx'"):
        find(str(folder / "other.skops"), "onnx")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(ArtefactError, match="is not a model that can be read"):
        find(str(tmp_path / "model.onnx"))
