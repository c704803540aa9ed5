"""The commands of the page on exports, run as they stand; MLflow's need a server, and are in `test_mlflow`."""

import shlex
import sys
from pathlib import Path

import openpyxl
import pytest
from tests import foreign
from tests.test_cli import run
from tests.test_docs import blocks

from riskloop.portfolio import Portfolio

PAGE = Path(__file__).parents[2] / "docs" / "exports.md"
HISTORY = foreign.people()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scorecard that serves; on the page it is version 3."""
    (tmp_path / "riskloop.toml").write_text(foreign.CONFIG, encoding="utf-8")
    (tmp_path / "card.csv").write_bytes(foreign.card_csv())
    opened = Portfolio.open(tmp_path)
    opened.import_model(tmp_path / "card.csv", HISTORY, scale=foreign.SCALE, closed="right")
    opened.home.close()
    return tmp_path


def test_the_commands_of_the_page_write_what_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        line for block in blocks(PAGE, "bash") for line in block.splitlines() if line.startswith("riskloop export")
    ]
    told = [shlex.split(line, comments=True)[1:] for line in lines if " mlflow " not in line]
    monkeypatch.chdir(folder)
    for words in told:
        done = run(*("1" if word == "3" else word for word in words), folder=folder)
        assert done.code == 0, done.err
    assert [words[1] for words in told] == ["scorecard", "scorecard", "python", "schema", "schema"]

    sheet = openpyxl.load_workbook(folder / "scorecard-1.xlsx").worksheets[0]
    assert sheet.max_row > len(foreign.CARD) - 3
    assert '"risk"."applicants"' in (folder / "score.sql").read_text()
    monkeypatch.syspath_prepend(str(folder))
    for module in ("model", "rows"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    import model  # type: ignore[import-not-found]
    import rows  # type: ignore[import-not-found]

    people = HISTORY.drop(columns="bad")
    decided = Portfolio.open(folder).score(people)
    for row, probability in zip(people.head(50).to_dict("records"), decided["probability"], strict=False):
        assert model.score(row)["probability"] == pytest.approx(probability, abs=1e-9)
    rows.schema.validate(people, lazy=True)
    for module in ("model", "rows"):
        sys.modules.pop(module)
