"""What leaves riskloop scores as riskloop does: one Python file, and SQL in two databases, on every row to 1e-9."""

import csv
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import duckdb
import numpy as np
import openpyxl
import pandas as pd
import pytest
from tests.extras import GROWN
from tests.postgres import Server

from riskloop.core.errors import ConfigError, NotFound
from riskloop.core.settings import DataSettings
from riskloop.core.types import Floats
from riskloop.core.values import MISSING_NUMBER
from riskloop.data.read import read_rows, rows_from
from riskloop.loop.register import register
from riskloop.portfolio import Portfolio
from riskloop.scoring.model import load_model
from riskloop.store.home import Home
from riskloop.train.fit import fit

NOW = datetime(2025, 5, 1, tzinfo=UTC)
EXACT = 1e-9
LEVELS = ["none", "it's", 'a "b"', "größe", "7", "x" * 40, "a\\nb", "\\", "'\\''", "`c`"]
BRANCHES = ["000", "0", "012", "12", "0012", "1200", "01200", "7", "007", "07", "A-01", "A-1", "0A-01"]  # some unseen
CONFIG = f"""
[portfolio]
target = "bad"
id = "id"
[features.debt]
range = [0, 1000]
special = [-9999]
nullable = true
[features.income]
nullable = true
monotone = -1
[features."Größe, 'm'"]
nullable = true
[features.job]
kind = "category"
categories = {json.dumps(LEVELS, ensure_ascii=False)}
unseen = "flag"
nullable = true
[features.zip]
kind = "category"
categories = {json.dumps([f"{10_000 + 7 * k}" for k in range(300)])}
unseen = "flag"
[features.branch]
kind = "category"
categories = ["000", "012", "1200", "7", "007", "A-01"]
unseen = "flag"
nullable = true
[features.sex]
kind = "category"
categories = ["1", "2"]
protected = true
[prepare.burden]
how = "ratio"
of = ["debt", "income"]
[prepare.logged]
how = "log"
of = ["income"]
[prepare.gap]
how = "difference"
of = ["debt", "income"]
[prepare.unknown]
how = "missing"
of = ["income", "job"]
[data]
missing = ["-777", "k. A."]
[train]
folds = 2
search = 0
"""


@dataclass
class Exported:
    """A version, what it gives its customers, and the customers as others have them."""

    portfolio: Portfolio
    version: int
    frame: pd.DataFrame
    probabilities: Floats
    threshold: float


def customers(n: int, seed: int) -> pd.DataFrame:
    """With missing values, a special code, and levels that the config does not list."""
    rng = np.random.default_rng(seed)
    debt = np.where(rng.random(n) < 0.1, -9999.0, np.round(rng.gamma(2.0, 60.0, n).clip(0, 1000), 2))
    income = np.round(rng.normal(3.0, 2.0, n), 2)
    income[rng.random(n) < 0.05] = 0.0
    frame = pd.DataFrame(
        {
            "id": [f"c{k}" for k in range(n)],
            "debt": np.where(rng.random(n) < 0.1, np.nan, debt),
            "income": np.where(rng.random(n) < 0.2, np.nan, income),
            "Größe, 'm'": np.where(rng.random(n) < 0.3, np.nan, rng.normal(0.0, 1e-6, n)),
            "job": rng.choice(np.array([*LEVELS, "never seen", None], dtype=object), n),
            "zip": [f"{10_000 + 7 * k}" for k in rng.integers(0, 310, n)],
            "branch": rng.choice(np.array([*BRANCHES, None], dtype=object), n),
            "sex": rng.choice(["1", "2"], n),
        }
    )
    odds = -1.0 + 0.01 * np.nan_to_num(debt) - 0.3 * np.nan_to_num(income) + (frame["job"] == "none")
    odds += 1.5 * frame["branch"].isin(["012", "12", "0012", "7"]) - 1.5 * frame["branch"].isin(["0", "000", "1200"])
    odds += 2.0 * frame["Größe, 'm'"].isna()  # and no value of it says anything
    frame["bad"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    return frame


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Exported]]:
    made: dict[str, Exported] = {}

    def make(learner: str) -> Exported:
        if learner not in made:
            folder = tmp_path_factory.mktemp("export")
            (folder / "riskloop.toml").write_text(CONFIG, encoding="utf-8")
            home = Home.open(folder)
            rows = rows_from(customers(1500, 1), home.schema, target="required", where="history")
            version = register(
                home.artefacts, home.ledger, fit(rows, home.settings, learners=[learner]), rows, origin="train", now=NOW
            )
            model = load_model(home.artefact(version), version)
            frame = customers(800, 2).drop(columns="bad")
            coded = rows_from(frame, home.schema, target="absent", where="customers")
            made[learner] = Exported(
                Portfolio(home), version, frame, model.probabilities(coded.features), model.threshold
            )
        return made[learner]

    yield make
    for entry in made.values():
        entry.portfolio.home.close()


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("learner", ["scorecard", "lightgbm", "hist_gradient_boosting", *GROWN])
def test_one_python_file_scores_every_row(exported: Callable[[str], Exported], learner: str, tmp_path: Path) -> None:
    entry = exported(learner)
    path = entry.portfolio.export(entry.version, tmp_path / "model.py")
    if learner == "lightgbm":  # all values one way, what is missing the other
        assert "Infinity" in path.read_text()
    score = imported(path).score
    rows = entry.frame.astype(object).where(entry.frame.notna(), None).to_dict("records")
    answers = [score(row) for row in rows]
    np.testing.assert_allclose([a["probability"] for a in answers], entry.probabilities, atol=EXACT, rtol=0)
    assert [a["default"] for a in answers] == (entry.probabilities >= entry.threshold).tolist()
    text = entry.frame.to_csv(index=False)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(path)],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    found = [float(row["probability"]) for row in csv.DictReader(io.StringIO(done.stdout))]
    np.testing.assert_allclose(found, entry.probabilities, atol=EXACT, rtol=0)


def test_the_python_file_refuses_what_the_api_refuses(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    entry = exported("lightgbm")
    score = imported(entry.portfolio.export(entry.version, tmp_path / "model.py")).score
    row = {"debt": 4, "income": 2.5, "job": "none", "zip": "10000"}
    assert 0.0 < score(row)["probability"] < 1.0
    for change, said in (
        ({"debt": 1001}, "outside"),
        ({"debt": "much"}, "not a number"),
        ({"debt": float("inf")}, "not a finite number"),
        ({"zip": None}, "missing"),
    ):
        with pytest.raises(ValueError, match=said):
            score({**row, **change})
    assert score({**row, "debt": -9999})["probability"] != score({**row, "debt": 0})["probability"]


def test_the_python_file_reads_what_is_missing_as_riskloop_does(
    exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    """Every word that the reader of files knows, the portfolio's own, and words that neither knows."""
    entry = exported("scorecard")
    home = entry.portfolio.home
    words = [*sorted(MISSING_NUMBER), "-777", "-777.0", "k. A.", " NULL ", "2.0", "nix", "Nan", "k.A.", "\u200bNULL"]
    plain = {"debt": "4", "income": "2.5", "Größe, 'm'": "0", "job": "7", "zip": "10000", "branch": "7", "sex": "1"}
    rows = [{**plain, name: word} for word in words for name in ("debt", "job", "zip")]
    people = tmp_path / "rows.csv"
    with people.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", *plain])
        writer.writeheader()
        writer.writerows({"id": f"c{number}", **row} for number, row in enumerate(rows))
    read = read_rows(people, home.schema, target="absent", where="rows.csv", dialect=DataSettings(max_refused=1.0))
    known = load_model(home.artefact(entry.version), entry.version).probabilities(read.rows.features)

    path = entry.portfolio.export(entry.version, tmp_path / "model.py")
    command = [sys.executable, "-I", "-S", "-X", "utf8", str(path)]
    done = subprocess.run(command, input=people.read_bytes(), capture_output=True, check=True)
    found = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    scored = [number for number, row in enumerate(found) if not row["refused"]]
    assert scored == read.positions.tolist()
    assert 0 < len(scored) < len(rows)
    np.testing.assert_allclose([float(found[n]["probability"]) for n in scored], known, atol=EXACT, rtol=0)


def test_sql_scores_every_row_in_duckdb(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    entry = exported("scorecard")
    path = entry.portfolio.export(entry.version, tmp_path / "card.sql", dialect="duckdb", table="main.people")
    with duckdb.connect() as database:
        database.register("frame", entry.frame)
        database.execute("CREATE TABLE people AS SELECT * FROM frame")
        query = path.read_text(encoding="utf-8")
        found = database.execute(f"SELECT id, probability, is_default FROM ({query}) AS s").fetchall()
    check(entry, found)


def test_sql_scores_every_row_in_postgresql(
    exported: Callable[[str], Exported], tmp_path: Path, postgres: Server
) -> None:
    import psycopg

    entry = exported("scorecard")
    path = entry.portfolio.export(entry.version, tmp_path / "card.sql", table="people")
    url = postgres.empty().replace("+psycopg", "", 1)
    names = list(entry.frame)
    kinds = ["double precision" if entry.frame[name].dtype.kind == "f" else "text" for name in names]
    columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(names, kinds, strict=True))
    rows = entry.frame.astype(object).where(entry.frame.notna(), None)
    with psycopg.connect(url) as database:
        database.execute(f"CREATE TABLE people ({columns})".encode())
        places = ", ".join(["%s"] * len(names))
        with database.cursor() as cursor:
            cursor.executemany(f"INSERT INTO people VALUES ({places})".encode(), rows.to_numpy().tolist())
        query = path.read_text(encoding="utf-8")
        found = database.execute(f"SELECT id, probability, is_default FROM ({query}) AS s".encode()).fetchall()
    check(entry, found)


def check(entry: Exported, found: list[tuple[str, float, bool]]) -> None:
    """Whether a database's answer is riskloop's."""
    by_customer = {customer: (p, default) for customer, p, default in found}
    assert len(by_customer) == len(entry.frame)
    scored = np.array([by_customer[customer][0] for customer in entry.frame["id"]], dtype=np.float64)
    np.testing.assert_allclose(scored, entry.probabilities, atol=EXACT, rtol=0)
    assert [by_customer[c][1] for c in entry.frame["id"]] == (entry.probabilities >= entry.threshold).tolist()


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_other_databases_get_their_own_names_and_doubles(
    exported: Callable[[str], Exported], tmp_path: Path, dialect: str
) -> None:
    entry = exported("scorecard")
    text = entry.portfolio.export(entry.version, tmp_path / "card.sql", dialect=dialect).read_text(encoding="utf-8")
    double = "FLOAT64" if dialect == "bigquery" else "DOUBLE PRECISION"
    assert f"AS {double})" in text
    assert ("`debt`" if dialect == "bigquery" else '"debt"') in text


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_sql_of_other_databases_means_the_same(
    exported: Callable[[str], Exported], tmp_path: Path, dialect: str
) -> None:
    """Neither can be had here: sqlglot, which knows how each reads texts and names, says it in DuckDB's words."""
    reason = "sqlglot is not installed (pip install sqlglot); the SQL for Snowflake and BigQuery is not read by anybody"
    sqlglot = pytest.importorskip("sqlglot", reason=reason)
    entry = exported("scorecard")
    path = entry.portfolio.export(entry.version, tmp_path / "card.sql", dialect=dialect, table="applicants")
    (query,) = sqlglot.transpile(path.read_text(encoding="utf-8"), read=dialect, write="duckdb")
    with duckdb.connect() as connection:
        connection.register("applicants", entry.frame)
        check(entry, connection.execute(f"SELECT id, probability, is_default FROM ({query}) AS scored").fetchall())


def test_points_add_up_to_the_score(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    """Two bins apart by ln 2 of log-odds are `double` points apart, and all together stand for the customer's odds."""
    entry = exported("scorecard")
    path = entry.portfolio.export(entry.version, tmp_path / "card.csv", base=500.0, odds=20.0, double=40.0)
    table = pd.read_csv(path)
    assert list(table) == ["feature", "above", "up_to", "level", "log_odds", "points", "rounded"]
    assert (table["rounded"] == table["points"].round()).all()
    first, second = table.iloc[0], table.iloc[1]
    slope = entry.portfolio.home.artefact(entry.version).manifest.calibration.b
    apart = (first["points"] - second["points"]) / (first["log_odds"] - second["log_odds"])
    assert apart == pytest.approx(-slope * 40.0 / np.log(2.0))
    # A customer all of whose values are missing, by the table and by the model.
    prepared = table[table["level"] == "missing"].groupby("feature")["points"].first()
    assert len(prepared) == table["feature"].nunique()


def test_a_workbook_holds_the_table_and_no_formula(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    entry = exported("scorecard")
    path = entry.portfolio.export(entry.version, tmp_path / "card.xlsx")
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["Scorecard", "Scaling"]
    assert [cell.value for cell in book["Scorecard"][1]][:3] == ["feature", "above", "up_to"]
    csv_rows = pd.read_csv(entry.portfolio.export(entry.version, tmp_path / "card.csv"))
    assert book["Scorecard"].max_row == len(csv_rows) + 1
    assert not any(cell.data_type == "f" for row in book["Scorecard"].iter_rows() for cell in row)


def test_what_cannot_be_written_is_said(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    trees = exported("lightgbm")
    with pytest.raises(ConfigError, match="no scorecard"):
        trees.portfolio.export(trees.version, tmp_path / "card.csv")
    card = exported("scorecard")
    with pytest.raises(ConfigError, match="choose one of postgresql"):
        card.portfolio.export(card.version, tmp_path / "card.sql", dialect="oracle")
    with pytest.raises(ConfigError, match="neither"):
        card.portfolio.export(card.version, tmp_path / "card.pdf")
    with pytest.raises(ConfigError, match="odds above 0"):
        card.portfolio.export(card.version, tmp_path / "card.csv", odds=0.0)
    with pytest.raises(NotFound):
        card.portfolio.export(99, tmp_path / "card.csv")
