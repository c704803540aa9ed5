"""Files are scored from where they are to where they are wanted: decided as ever, delivered once, or not at all."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import create_engine, text
from tests.batch.test_local import N, check_logged, customers, decided, engine_of
from tests.objects import Bucket
from tests.postgres import Server
from tests.serve.conftest import CONFIG, Running, add_model, promote
from tests.serve.conftest import server as server

from riskloop.batch.client import score_file
from riskloop.core.errors import ConfigError, Conflict, DataError, StorageError
from riskloop.core.schema import APPENDED
from riskloop.core.settings import DataSettings
from riskloop.data import deliver
from riskloop.store.home import Home

PLAIN = DataSettings()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text(CONFIG, encoding="utf-8")
    home = Home.open(tmp_path)
    promote(home, add_model(home, intercept=0.3))
    yield home
    home.close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "ROWS", 70)


@pytest.fixture(params=["PostgreSQL", "SQLite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the lender's."""
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path}/lake.db"
    server: Server = request.getfixturevalue("postgres")
    return server.empty()


def run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def rows(url: str, table: str = "scores") -> list[dict[str, Any]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [
            dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY decision_id")).mappings()
        ]
    engine.dispose()
    return found


def parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


def test_an_object_becomes_another_object(home: Home, bucket: Bucket) -> None:
    frame = customers(1)
    source = bucket.put("in/customers.csv", frame.to_csv(index=False).encode())
    done = engine_of(home).score(source, bucket.address("out/scored.csv.gz"), PLAIN)
    assert (done.rows, done.repeated) == (N, False)
    check_logged(home, frame)
    told = pd.read_csv(io.BytesIO(bucket.get("out/scored.csv.gz")), compression="gzip", dtype={"job": str})
    assert told.columns.tolist() == [*frame.columns, *APPENDED]
    assert told["decision_id"].astype(int).tolist() == list(range(1, N + 1))
    again = engine_of(home).score(source, bucket.address("out/again.parquet"), PLAIN)
    assert (again.repeated, again.run_key, home.decisions.last_id()) == (True, done.run_key, N)
    told = pd.read_parquet(io.BytesIO(bucket.get("out/again.parquet")))
    assert told["probability"].tolist() == decided(home, frame).probabilities.tolist()


def test_what_cannot_be_scored_or_delivered_leaves_nothing(home: Home, bucket: Bucket) -> None:
    frame = customers(2).assign(debt=99.0)
    source = bucket.put("bad/customers.csv", frame.to_csv(index=False).encode())
    with pytest.raises(DataError, match=r"s3://lender/bad/customers\.csv"):
        engine_of(home).score(source, bucket.address("bad/out.csv"), PLAIN)
    assert home.decisions.last_id() == 0
    with pytest.raises(ConfigError, match="must end in"):
        engine_of(home).score(
            bucket.put("ok.csv", customers(2).to_csv(index=False).encode()), bucket.address("bad/x"), PLAIN
        )
    nowhere = "s3://nobucket/out.csv?" + bucket.address("").partition("?")[2]
    with pytest.raises(StorageError, match=r"s3://nobucket/out\.csv"):
        engine_of(home).score(bucket.address("ok.csv"), nowhere, PLAIN)
    assert not {"bad/out.csv", "bad/x"} & set(bucket.listed())
    done = engine_of(home).score(bucket.address("ok.csv"), bucket.address("late.csv"), PLAIN)
    assert done.repeated, "the decisions that were logged are told when the place is mended"
    assert home.decisions.last_id() == N


TYPED = {
    "PostgreSQL": {
        "run_key": "character varying", "id": "text", "day": "text", "debt": "double precision",
        "income": "double precision", "job": "text", "sex": "bigint", "default": "boolean",
        "probability": "double precision", "risk_level": "text",
        "threshold": "double precision", "model_version": "bigint", "decision_id": "bigint",
        "scored_at": "timestamp with time zone",
    }
}  # fmt: skip


def test_scores_go_into_a_table_once_with_their_types(home: Home, url: str, tmp_path: Path) -> None:
    frame = customers(3)
    frame.to_parquet(tmp_path / "in.parquet")
    target = f"{url} scores"
    done = engine_of(home).score(tmp_path / "in.parquet", target, PLAIN)
    for again in range(2):
        written = rows(url)
        assert [row["decision_id"] for row in written] == list(range(1, N + 1))
        assert [row["probability"] for row in written] == decided(home, frame).probabilities.tolist()
        assert [bool(row["default"]) for row in written] == decided(home, frame).defaults.tolist()
        assert [row["id"] for row in written] == frame["id"].tolist()
        assert [row["income"] for row in written] == [None if pd.isna(v) else v for v in frame["income"]]
        assert [row["sex"] for row in written] == frame["sex"].tolist()
        assert {row["run_key"] for row in written} == {done.run_key}
        if not again:
            assert engine_of(home).score(tmp_path / "in.parquet", target, PLAIN).repeated
    other = engine_of(home).score(tmp_path / "in.parquet", target, PLAIN, run_key="june")
    assert (other.repeated, len(rows(url))) == (False, 2 * N)
    if url.startswith("postgresql"):
        query = (
            "SELECT column_name AS decision_id, data_type FROM information_schema.columns WHERE table_name = 'scores'"
        )
        assert {r["decision_id"]: r["data_type"] for r in rows(url, f"({query}) c")} == TYPED["PostgreSQL"]


def test_rows_of_a_query_go_into_a_table_of_the_same_database(home: Home, url: str) -> None:
    frame = customers(4)
    engine = create_engine(url)
    frame.assign(place=range(N)).to_sql("customers", engine, index=False)
    engine.dispose()
    columns = ", ".join(frame.columns)
    run(url, "CREATE TABLE told (run_key text, decision_id bigint, id text, probability real, debt text)")
    for _ in range(2):
        engine_of(home).score(f"{url} SELECT {columns} FROM customers ORDER BY place", f"{url} told", PLAIN)
    written = rows(url, "told")
    check_logged(home, frame)
    assert list(written[0]) == ["run_key", "decision_id", "id", "probability", "debt"], "the columns that it has"
    assert [row["id"] for row in written] == frame["id"].tolist()
    assert [float(row["debt"]) for row in written] == frame["debt"].tolist()


def test_a_csv_fits_into_the_types_of_a_table(home: Home, url: str, tmp_path: Path) -> None:
    frame = customers(5)
    frame.to_csv(tmp_path / "in.csv", index=False)
    run(url, "CREATE TABLE scores (run_key text, decision_id bigint, income double precision, sex integer, job text)")
    engine_of(home).score(tmp_path / "in.csv", f"{url} scores", PLAIN)
    written = rows(url)
    assert [row["income"] for row in written] == [None if pd.isna(v) else v for v in frame["income"]]
    assert [row["sex"] for row in written] == frame["sex"].tolist()
    assert [row["job"] for row in written] == frame["job"].tolist()


def test_a_delivery_is_whole_or_not_at_all(home: Home, url: str, tmp_path: Path) -> None:
    customers(6).to_parquet(tmp_path / "in.parquet")
    run(url, f"CREATE TABLE scores (run_key text, decision_id bigint CHECK (decision_id < {N - 20}))")
    with pytest.raises(Conflict, match="nothing was written"):
        engine_of(home).score(tmp_path / "in.parquet", f"{url} scores", PLAIN)
    assert rows(url) == []
    assert home.decisions.last_id() == N
    run(url, "DROP TABLE scores")
    assert engine_of(home).score(tmp_path / "in.parquet", f"{url} scores", PLAIN).repeated
    assert len(rows(url)) == N
    run(url, "DELETE FROM scores WHERE decision_id > 290")
    with pytest.raises(Conflict, match="holds 290 rows of run"):
        engine_of(home).score(tmp_path / "in.parquet", f"{url} scores", PLAIN)


def test_tables_that_cannot_be_written_to_are_refused_before_anybody_is_decided_on(
    home: Home, url: str, tmp_path: Path
) -> None:
    customers(7).to_parquet(tmp_path / "in.parquet")
    for target in (f"{url} SELECT 1", f"duckdb:///{tmp_path}/x.duckdb scores", f"adbc+{url} scores"):
        with pytest.raises(ConfigError):
            engine_of(home).score(tmp_path / "in.parquet", target, PLAIN)
    run(url, "CREATE TABLE scores (decision_id bigint)")
    with pytest.raises(ConfigError, match="has no column run_key"):
        engine_of(home).score(tmp_path / "in.parquet", f"{url} scores", PLAIN)
    assert home.decisions.last_id() == 0, "nobody was decided on"


def test_through_the_api_the_same_places_serve(home: Home, server: Running, url: str, bucket: Bucket) -> None:
    frame = customers(8)
    server.start()
    source = bucket.put("api/in.parquet", parquet(frame))
    for _ in range(2):
        score_file(source, f"{url} scores", server.url, chunk_rows=80)
        score_file(source, bucket.address("api/out.parquet"), server.url, chunk_rows=80)
    assert home.decisions.last_id() == N
    written = {row["id"]: row["decision_id"] for row in rows(url)}  # chunks that are under way at once are numbered so
    told = pd.read_parquet(io.BytesIO(bucket.get("api/out.parquet")))
    assert told["id"].tolist() == frame["id"].tolist()
    assert written == dict(zip(told["id"], told["decision_id"].astype(int), strict=True))


def test_commands_end_with_their_own_exit_code(home: Home, bucket: Bucket, tmp_path: Path) -> None:
    """A process that spoke with a store ends as any other: Arrow's threads are gone by then."""
    frame = customers(9)
    good = bucket.put("cli/in.csv", frame.to_csv(index=False).encode())
    bad = bucket.put("cli/bad.csv", frame.assign(debt=99).to_csv(index=False).encode())
    out = bucket.address("cli/out.csv")
    home.close()
    for source, code in ((good, 0), (bad, 3)):
        words = ["score", source, out, "--engine", "local", "--config", str(tmp_path / "riskloop.toml")]
        done = subprocess.run(
            [sys.executable, "-m", "riskloop.cli", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "terminate" not in done.stderr
    assert bucket.get("cli/out.csv").count(b"\n") == N + 1
