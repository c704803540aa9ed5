"""Dates as ages: the same number in every way in, live, in a batch, in a replay, and written down for others."""

import io
import json
import runpy
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.settings import parse_settings
from riskloop.core.types import to_micros
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.portfolio import Portfolio
from riskloop.scoring.bintable import bin_tables
from riskloop.scoring.decide import decide, decide_again
from riskloop.scoring.decoder import Decoder
from riskloop.scoring.model import load_model

CONFIG = """
[portfolio]
name = "Ages"
target = "bad"
id = "id"
time = "day"
history = "history.csv"
[features.income]
[features.born]
written = "date"
range = [6000, 40000]
[features.opened]
written = "date"
nullable = true
[prepare.age]
how = "age"
of = ["born"]
monotone = -1
instead = true
[prepare.age_at_opening]
how = "age"
of = ["born", "opened"]
unit = "months"
[train]
learners = ["scorecard"]
folds = 2
search = 0
threads = 1
points = true
"""


def customers(n: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    day = pd.Timestamp("2021-03-01") + pd.to_timedelta(np.sort(rng.integers(0, 900, n)), unit="D")
    born = day - pd.to_timedelta(rng.integers(7_000, 30_000, n), unit="D")
    opened = pd.Series(day - pd.to_timedelta(rng.integers(0, 4_000, n), unit="D")).where(rng.random(n) >= 0.1)
    income = rng.uniform(1, 9, n).round(2)
    years = (day - born).days / 365.2425
    bad = rng.random(n) < 1 / (1 + np.exp((years - 35) / 12 + income / 3))
    frame = pd.DataFrame({"day": day, "income": income, "born": born, "opened": opened, "bad": bad.astype(int)})
    frame.insert(0, "id", [f"c{i}" for i in range(n)])
    return frame


def texts(frame: pd.DataFrame) -> pd.DataFrame:
    dated = {name: frame[name].dt.strftime("%Y-%m-%d") for name in ("day", "born", "opened")}
    return frame.assign(**dated)


def test_every_way_in_counts_the_same_days() -> None:
    schema = parse_settings(CONFIG).row_schema
    frame = customers(60).drop(columns="bad")
    expected = np.column_stack([frame["income"], *((frame["day"] - frame[n]).dt.days for n in ("born", "opened"))])
    written, parquet = texts(frame), io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    days = pa.table(
        {c: table[c].cast(pa.date32()) if c in ("born", "opened") else table[c] for c in table.column_names}
    )
    pq.write_table(days, parquet)
    parquet.seek(0)
    csv = io.BytesIO(written.to_csv(index=False).encode())
    for source in (csv, frame, written, table, days, pq.read_table(parquet)):
        rows = rows_from(source, schema, target="absent", where="the test")
        np.testing.assert_array_equal(rows.features, expected)
    decoder, now = Decoder(schema), to_micros(datetime(2025, 1, 1, tzinfo=UTC))
    for row, wanted in zip(json.loads(written.to_json(orient="records")), expected, strict=True):
        np.testing.assert_array_equal(np.frombuffer(decoder.row(json.dumps(row).encode(), now).features), wanted)
    # what is read can be sent again: a number is days already
    again = {**schema.decode(expected[0]), "id": "c", "day": "2024-02-29"}
    np.testing.assert_array_equal(np.frombuffer(decoder.row(json.dumps(again).encode(), now).features), expected[0])


def test_without_a_date_of_the_decision_it_is_today() -> None:
    schema = parse_settings(CONFIG).row_schema
    now = datetime(2025, 1, 1, 23, 59, tzinfo=UTC)
    body = b'{"id": "a", "income": 1, "born": "1990-05-17", "opened": null}'
    row = np.frombuffer(Decoder(schema).row(body, to_micros(now)).features)
    assert row[1] == (date(2025, 1, 1) - date(1990, 5, 17)).days
    assert np.isnan(row[2])


@pytest.mark.parametrize(
    ("value", "said"),
    [("soon", "date"), ("2019-01-01", r"6,?000|range"), (19900517, "neither a date nor days"), ("", "date|missing")],
)
def test_what_is_no_date_is_refused_alike(value: object, said: str) -> None:
    schema = parse_settings(CONFIG).row_schema
    row = {"id": "a", "day": "2024-01-01", "income": 1.0, "born": value, "opened": None}
    with pytest.raises(DataError, match=said):
        Decoder(schema).row(json.dumps(row).encode(), to_micros(datetime(2025, 1, 1, tzinfo=UTC)))
    with pytest.raises(DataError, match=said):
        rows_from(pd.DataFrame([row]), schema, target="absent", where="the test")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('time = "day"\n', "", "portfolio.time"),
        ('of = ["born"]', 'of = ["income"]', "an age of income"),
        ('of = ["born"]', 'of = ["born", "opened", "born"]', "one date or of two"),
    ],
)
def test_settings_that_cannot_be(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_settings(CONFIG.replace(old, new))


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portfolio]:
    folder = tmp_path_factory.mktemp("ages")
    (folder / "riskloop.toml").write_text(CONFIG)
    texts(customers(700)).to_csv(folder / "history.csv", index=False)
    opened = Portfolio.open(folder)
    opened.train()
    yield opened
    opened.home.close()


def test_live_batch_replay_and_export_agree(portfolio: Portfolio, tmp_path: Path) -> None:
    frame = customers(80, seed=2).drop(columns="bad")
    version = portfolio.home.champion().version
    model = load_model(portfolio.home.artefact(version), version)
    now = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
    lines = [json.dumps(row).encode() for row in json.loads(texts(frame).to_json(orient="records"))]
    live = decide(model, model.decoder.rows([model.decoder.row(line, now) for line in lines]), now)
    scored = portfolio.score(frame)["probability"].to_numpy()
    texts(frame).to_csv(tmp_path / "in.csv", index=False)
    portfolio.score_file(tmp_path / "in.csv", tmp_path / "out.csv")
    batch = pd.read_csv(tmp_path / "out.csv")["probability"].to_numpy()
    np.testing.assert_allclose(scored, live.probabilities, rtol=0, atol=1e-9)
    np.testing.assert_allclose(batch, live.probabilities, rtol=0, atol=1e-9)
    logged = portfolio.home.decisions
    for decision in (logged.get(number) for number in (1, 40, 80)):
        again, same = decide_again(model, decision)
        assert same
        assert again == pytest.approx(decision.probability, abs=1e-9)
    assert np.ptp(live.probabilities) > 0.05
    alone = runpy.run_path(str(portfolio.export(version, tmp_path / "model.py")))
    rows = [model.schema.decode(row) for row in live.features]
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed (`make` installs it).")
    query = portfolio.export(version, tmp_path / "model.sql", dialect="duckdb", table="people").read_text("utf-8")
    with duckdb.connect() as database:
        database.register("people", pd.DataFrame(rows).astype("float64").assign(id=frame["id"]))
        found = dict(database.execute(f"SELECT id, probability FROM ({query}) AS s").fetchall())
    np.testing.assert_allclose([found[i] for i in frame["id"]], live.probabilities, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        [alone["score"](row)["probability"] for row in rows], live.probabilities, rtol=0, atol=1e-9
    )


def test_points_are_scored_as_printed(portfolio: Portfolio, tmp_path: Path) -> None:
    """By hand: the whole points of one bin a feature add up to the score, which is the probability."""
    version = portfolio.home.champion().version
    artefact = portfolio.home.artefact(version)
    card = pd.read_csv(portfolio.export(version, tmp_path / "card.csv"))
    np.testing.assert_allclose(card["points"], card["rounded"], rtol=0, atol=1e-9)
    assert card.groupby("feature")["rounded"].nunique().max() > 1
    tables = bin_tables(artefact)
    total = np.zeros(len(tables[0].values))
    for table in tables:
        rows = card[card["feature"] == table.feature.name]
        missing = rows.loc[rows["level"] == "missing", "rounded"].item()
        plain = rows[rows["level"].isna()]
        places = np.searchsorted(plain["up_to"].dropna().to_numpy(), table.values)
        points = plain["rounded"].to_numpy()[np.minimum(places, len(plain) - 1)]
        total += np.where(np.isnan(table.values), missing, points)
    by_hand = 1 / (1 + 30 * np.exp((total - 600) * np.log(2) / 20))
    model = load_model(artefact, version)
    sample = np.load(io.BytesIO(artefact.bytes("reference.npy")))
    np.testing.assert_allclose(model.probabilities(sample), by_hand, rtol=0, atol=1e-9)


def test_a_pandera_schema_takes_dates(portfolio: Portfolio, tmp_path: Path) -> None:
    errors = pytest.importorskip("pandera.errors", reason="pandera is not installed (`make` installs it).")
    text = json.loads(portfolio.export_schema(tmp_path / "row.json").read_text("utf-8"))
    assert {"type": "string", "minLength": 1} in text["properties"]["born"]["anyOf"]
    schema = runpy.run_path(str(portfolio.export_schema(tmp_path / "rows.py")))["schema"]
    frame = customers(30, seed=3)
    for good in (frame, texts(frame)):
        schema.validate(good, lazy=True)
    with pytest.raises(errors.SchemaErrors) as refused:
        schema.validate(texts(frame).assign(born=["soon", *texts(frame)["born"][1:]]), lazy=True)
    assert refused.value.failure_cases["column"].tolist() == ["born"]


def test_ages_are_years_of_the_calendar(portfolio: Portfolio) -> None:
    version = portfolio.home.champion().version
    model = load_model(portfolio.home.artefact(version), version)
    table = portfolio.bins("age", version)
    assert 19 < table.values.min() < table.values.max() < 83
    assert model.manifest.settings["prepare"]["age"]["unit"] == "years"
    assert {"born", "opened"} <= set(portfolio.model(version).importance)


def test_init_proposes_lines_that_can_be_used(tmp_path: Path) -> None:
    texts(customers(400)).to_csv(tmp_path / "history.csv", index=False)
    text = infer_config(tmp_path / "history.csv", target="bad", id="id", time="day", folder=tmp_path)
    assert "# [prepare.born_age]" in text
    assert '# [features.opened]\n# written = "date"\n# nullable = true' in text
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if "'born' holds dates" in line)
    end = next(i for i in range(start, len(lines)) if not lines[i])
    used = [line.removeprefix("# ") for line in lines[start + 2 : end]]
    kept = [line for i, line in enumerate(lines) if not start <= i < end and not line.startswith('  "born",')]
    settings = parse_settings("\n".join([*kept, *used]))
    assert settings.features["born"].written == "date"
    assert settings.prepare["born_age"].how == "age"
