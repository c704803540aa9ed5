"""Tables of bins: the artefact's against brute force, and what a person makes of them."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from riskloop.cli.tree import app
from riskloop.core.errors import ConfigError
from riskloop.core.schema import Feature
from riskloop.core.settings import FeatureSettings
from riskloop.core.types import Json
from riskloop.portfolio import Portfolio
from riskloop.results import TrainingResult
from riskloop.scoring.bintable import BinTable, bin_tables, found_bins

OLD = Path(__file__).parents[1] / "old" / "format_1"


def made(feature: Feature, seed: int = 0, n: int = 3_000) -> BinTable:
    rng = np.random.default_rng(seed)
    if feature.kind == "category":
        values = rng.integers(0, len(feature.categories) + 1, n).astype(np.float64)  # the last was never seen
    else:
        values = rng.normal(40, 12, n).round()
    risk = 0.2 + 0.1 * np.sin(values / 7)
    for code in feature.special:
        values[rng.random(n) < 0.05] = code
    values[rng.random(n) < 0.1] = np.nan
    return BinTable(feature, values, rng.random(n) < risk)


def brute(table: BinTable, name: Any) -> list[Json]:
    """The same table by pandas: ``name`` says which bin a value is in."""
    bins = pd.Series([name(value) for value in table.values])
    count = pd.crosstab(bins, table.defaults) + 0.5
    share = count / count.sum()
    woe = np.log(share[True] / share[False])
    found = pd.DataFrame({"bin": count.index, "woe": woe, "iv": (share[True] - share[False]) * woe})
    counted = found.assign(rows=bins.value_counts(), defaults=bins[table.defaults].value_counts())
    return [{str(key): value for key, value in row.items()} for row in counted.to_dict("records")]


def same(table: BinTable, expected: list[Json]) -> None:
    by_bin = {row["bin"]: row for row in expected}
    rows = [row for row in table.rows if row["rows"]]
    assert {row["bin"] for row in rows} == set(by_bin)
    for row in rows:
        one = by_bin[row["bin"]]
        assert (row["rows"], row["defaults"]) == (one["rows"], one["defaults"])
        assert row["rate"] == pytest.approx(one["defaults"] / one["rows"])
        assert row["woe"] == pytest.approx(one["woe"], abs=1e-12)
        assert row["iv"] == pytest.approx(one["iv"], abs=1e-12)
    assert table.value == pytest.approx(sum(one["iv"] for one in expected))


def interval(bounds: list[float], special: tuple[float, ...] = ()) -> Any:
    def name(value: float) -> str:
        if np.isnan(value):
            return "missing"
        if value in special:
            return f"{value:g}"
        below = [f"{b:g}" for b in bounds if b < value]
        above = [f"{b:g}" for b in bounds if b >= value]
        if not below:
            return f"up to {above[0]}"
        return f"{below[-1]} to {above[0]}" if above else f"over {below[-1]}"

    return name


@pytest.mark.parametrize("seed", range(4))
def test_merge_split_and_special_are_counted_anew(seed: int) -> None:
    table = made(Feature("age", nullable=True, bins=(25, 35, 50)), seed)
    same(table, brute(table, interval([25, 35, 50])))
    same(table.merge(1, 2), brute(table, interval([25, 50])))
    same(table.merge(0, 1, 2), brute(table, interval([50])))
    same(table.split(42), brute(table, interval([25, 35, 42, 50])))
    same(table.set_special(40, 41), brute(table, interval([25, 35, 50], (40, 41))))
    with pytest.raises(ConfigError, match="not neighbours"):
        table.merge(0, 2)
    with pytest.raises(ConfigError, match="from 0 to 3"):
        table.merge(3, 4)


def test_levels_are_joined_and_taken_apart() -> None:
    table = made(Feature("job", "category", categories=("A", "B", "C", "D"), unseen="flag"))
    places = {0.0: "A", 1.0: "B", 2.0: "C", 3.0: "D"}
    same(table, brute(table, lambda v: places.get(v, "missing")))
    joined = table.merge(0, 2)
    together = {**places, 0.0: "A, C", 2.0: "A, C"}
    same(joined, brute(table, lambda v: together.get(v, "missing")))
    assert tomllib.loads(joined.toml()) == {"features": {"job": {"groups": [["A", "C"]]}}}
    same(joined.split("C"), brute(table, lambda v: places.get(v, "missing")))
    with pytest.raises(ConfigError, match="no level"):
        table.split("E")


def test_its_lines_are_settings_that_make_the_same_bins() -> None:
    table = made(Feature('the "age"', bins=(25.123456789012345, 35))).set_special(-9).split(1e-300)
    lines = tomllib.loads(table.toml())["features"]['the "age"']
    assert FeatureSettings(**lines).bins == table.feature.bins
    assert FeatureSettings(**lines).special == (-9.0,)


def test_bins_that_break_the_order_give_no_lines() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 3, 6_000)
    defaults = rng.random(6_000) < np.array([0.1, 0.3, 0.2])[values.astype(int)]
    table = BinTable(Feature("debt", monotone=1, bins=(1.0, 2.0)), values, defaults)
    with pytest.raises(ConfigError, match=r"'debt' break monotone = 1: 3\d\.\d% of .* with 1 to 2 default"):
        table.toml()
    assert "break monotone" in repr(table)
    assert "bins = [1]" in table.merge(1, 2).toml()
    assert "<table" in table._repr_html_()


def test_found_bins_are_deciles_or_the_few_values() -> None:
    values = np.random.default_rng(0).normal(size=1_000)
    bounds = found_bins(Feature("x"), values).bins
    np.testing.assert_allclose(bounds, np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf"))
    few = np.repeat([1.0, 2.0, 5.0, -9.0, np.nan], 30)
    assert found_bins(Feature("x", special=(-9.0,)), few).bins == (1.0, 2.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bins": (1, 1)}, "ascend"),
        ({"bins": (1, float("inf"))}, "finite"),
        ({"groups": (("A",),)}, "is a number"),
        ({"kind": "category", "categories": ("A", "B"), "bins": (1,)}, "is a category"),
        ({"kind": "category", "categories": ("A", "B"), "groups": (("A", "C"),)}, "'C', which is no level"),
        ({"kind": "category", "categories": ("A", "B"), "groups": (("A",), ("A", "B"))}, "'A' twice"),
        ({"kind": "category", "categories": ("A", "B"), "groups": ((),)}, "an empty one"),
    ],
)
def test_bins_that_cannot_be_are_refused(wrong: Json, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Feature("x", **wrong)


@pytest.fixture(scope="module")
def carded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Portfolio, TrainingResult]]:
    """A portfolio with a scorecard, two of whose features have bins by hand, and a step of preparation."""
    folder = tmp_path_factory.mktemp("carded")
    text = (OLD / "riskloop.toml").read_text(encoding="utf-8")
    text = text.replace("[features.income]", "[features.income]\nbins = [2.5, 4]")
    text = text.replace('"gärtner"]', '"gärtner"]\ngroups = [["none", "clerk"]]').replace('"lightgbm"', '"scorecard"')
    text += '[prepare.burden]\nhow = "ratio"\nof = ["debt", "income"]\n'
    (folder / "riskloop.toml").write_text(text.replace("reference_rows = 120", "reference_rows = 5000"), "utf-8")
    rng = np.random.default_rng(5)
    n = 900
    debt, income = rng.uniform(0, 50, n).round(2), rng.uniform(1, 6, n).round(2)
    job = rng.choice(["none", "clerk", "7", "gärtner"], n)
    bad = rng.random(n) < 1 / (1 + np.exp(1.5 + income - debt / 15 - (job == "7")))
    frame = pd.DataFrame({"debt": debt, "income": income, "age": 40, "job": job, "bad": bad.astype(int)})
    frame.insert(0, "id", [f"c{i}" for i in range(n)])
    frame.insert(1, "day", pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), unit="D"))
    opened = Portfolio.open(folder)
    yield opened, opened.train(frame)
    opened.home.close()


def test_a_scorecard_answers_with_its_own_bins(carded: tuple[Portfolio, TrainingResult]) -> None:
    portfolio, trained = carded
    found = portfolio.model(trained.version)
    assert trained.bins == found.bins
    artefact = portfolio.home.artefact(trained.version)
    card = json.loads(artefact.bytes("scorecard.json"))["features"]
    tables = {table.feature.name: table for table in bin_tables(artefact)}
    assert set(tables) == {"debt", "income", "job", "burden"}
    assert tables["income"].feature.bins == (2.5, 4.0)
    assert artefact.manifest.schema.feature("income").bins == (2.5, 4.0)  # on record
    for (name, table), entry in zip(tables.items(), card, strict=True):
        if name == "job":
            assert entry["points"][0] == entry["points"][1] != entry["points"][2]
            levels = {0.0: "none, clerk", 1.0: "none, clerk", 2.0: "7", 3.0: "gärtner"}
            same(table, brute(table, lambda v, levels=levels: levels.get(v, "missing")))
            continue
        places = np.searchsorted(entry["bounds"], table.values)
        assert [row["rows"] for row in table.rows if row["bin"] != "missing"] == np.bincount(places).tolist()
        assert sum(row["rows"] for row in table.rows) == len(table.values)
    burden = tables["debt"].values / tables["income"].values
    np.testing.assert_array_equal(tables["burden"].values, burden)


def test_people_see_the_bins(carded: tuple[Portfolio, TrainingResult]) -> None:
    portfolio, trained = carded
    config = str(portfolio.home.folder / "riskloop.toml")
    shown = CliRunner().invoke(app, ["models", "show", str(trained.version), "--iv", "--config", config])
    assert shown.exit_code == 0, shown.output
    assert "none, clerk" in shown.output
    assert "2.5 to 4" in shown.output
    page = portfolio.document("model", trained.version).content
    assert b"Weights of evidence" in page
    assert "bins = [4]" in portfolio.bins("income").merge(0, 1).toml()
    with pytest.raises(ConfigError, match="no bins of 'age'"):
        portfolio.bins("age")


def test_another_model_has_deciles_and_levels(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "portfolio")
    portfolio = Portfolio.open(tmp_path / "portfolio")
    table, job = portfolio.bins("debt", 2), portfolio.bins("job", 2)
    np.testing.assert_allclose(
        table.feature.bins, np.unique(np.quantile(table.values, np.arange(1, 10) / 10, method="inverted_cdf"))
    )
    places = dict(enumerate(job.feature.categories))
    same(job, brute(job, lambda v: "missing" if np.isnan(v) else places[int(v)]))
    portfolio.home.close()
