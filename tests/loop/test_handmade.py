"""Bins by hand: written into riskloop.toml and on record, and nothing else of the file changes."""

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from riskloop import ConfigError, Portfolio
from riskloop.loop.handmade import edited
from riskloop.store.audit import latest

OLD = Path(__file__).parents[1] / "old" / "format_1"
LINES = ["bins = [1, 2.5]", "special = [-9]"]


@pytest.fixture
def portfolio(tmp_path: Path) -> Iterator[Portfolio]:
    shutil.copytree(OLD, tmp_path / "portfolio")
    opened = Portfolio.open(tmp_path / "portfolio")
    yield opened
    opened.home.close()


def test_saved_bins_are_settings_and_on_record(portfolio: Portfolio) -> None:
    text = portfolio.home.config.read_text(encoding="utf-8")
    table = portfolio.bins("debt", 2)
    made = table.merge(0, 1).split(float(table.feature.bins[0]) / 2)
    document = made.save("the committee wants one bin for small debts")
    again = Portfolio.open(portfolio.home.config)
    for settings in (again.home.settings, portfolio.home.settings):
        assert settings.row_schema.feature("debt").bins == made.feature.bins
    assert document["after"]["bins"] == list(made.feature.bins)
    event = next(event for event in latest(again.home.database) if event.action == "bins")
    assert (event.subject, event.document["note"]) == ("debt", "the committee wants one bin for small debts")
    now = again.home.config.read_text(encoding="utf-8").splitlines()
    assert [line for line in text.splitlines() if line not in now] == []
    portfolio.bins("job", 2).merge(0, 2).save("alike")
    portfolio.bins("job", 2).merge(1, 2).save("rather these")
    assert len(portfolio.home.settings.row_schema.feature("job").groups) == 1
    again.home.close()


def test_what_cannot_be_saved_leaves_file_and_record_as_they_are(portfolio: Portfolio) -> None:
    text, events = portfolio.home.config.read_bytes(), len(latest(portfolio.home.database))
    table = portfolio.bins("debt", 2)
    with pytest.raises(ConfigError, match="Say why"):
        table.save(" ")
    assert (portfolio.home.config.read_bytes(), len(latest(portfolio.home.database))) == (text, events)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x", "[features.x]\nkind = 'number'  # of months\n[train]\nfolds = 3\n"),
        ("x", "[features.x]\nbins = [\n  3, # three\n  4,\n]\n\nnullable = true\n"),
        ("x", '[ features . "x" ]\nspecial=[7]\nbins = [0]\n[features.xx]\nbins = [9]\n'),
        ("a b €", '[features."a b \\u20ac"]\n# bins = [5]\nnullable = true\n'),
        ("x", "[features.y]\nbins = [9]\n"),
        ("x", "[features.x]\n[features.y]\nbins = [9]"),
    ],
)
def test_only_the_features_bins_change(name: str, text: str) -> None:
    before, after = tomllib.loads(text), tomllib.loads(edited(text, name, LINES))
    changed = after["features"].pop(name)
    others = {key: value for key, value in before["features"].pop(name, {}).items() if key not in ("bins", "special")}
    assert changed == {**others, "bins": [1, 2.5], "special": [-9]}
    assert after == before
    comments = [part for part in text.split("\n") if part.lstrip().startswith("#")]
    assert all(part in edited(text, name, LINES) for part in comments)


@pytest.mark.parametrize("text", ["features = { x = { bins = [1] } }\n", "[features]\nx = { nullable = true }\n"])
def test_a_file_that_cannot_be_edited_is_not(text: str) -> None:
    with pytest.raises(ConfigError, match="paste into it: bins = "):
        edited(text, "x", LINES)
