"""One table in every place gives the rows that its file gives, and nothing of a copy is left."""

import csv
import datetime as dt
import gzip
import importlib.util
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import ID, ROWS, TARGET, TIME, WAYS, history, text
from tests.data.test_ways_in import same
from tests.objects import Bucket
from tests.postgres import Server

from riskloop.core.errors import ConfigError, DataError, NotFound, RiskloopError, StorageError
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Rows
from riskloop.data import fetch
from riskloop.data.config import config_text
from riskloop.data.fetch import fetched
from riskloop.data.infer import Wanted, examine
from riskloop.data.outcomes import read_outcomes
from riskloop.data.read import read_rows, rows_from

FRAME = history()
ORDER = f"SELECT * FROM loans ORDER BY {TIME}, place"


def settings_of(source: str | Path) -> Settings:
    with fetched(source) as here:
        return parse_settings(config_text(examine(here, Wanted(TARGET, id=ID, time=TIME))))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Rows]:
    path = WAYS["plain"][1](FRAME, tmp_path_factory.mktemp("plain") / "h.csv")
    settings = settings_of(path)
    return settings, rows_from(path, settings.row_schema, target="required", where="h")


@pytest.fixture(scope="module")
def lake(postgres: Server) -> str:
    """A database of a lender, with its own types: exact decimals, dates, short integers."""
    import psycopg

    url = postgres.empty()
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute(
            f"CREATE TABLE loans ({ID} bigint, {TIME} date, income numeric(14, 2), late smallint, purpose text, "
            f'"{TARGET}" boolean, place int)'
        )
        connection.execute("CREATE SEQUENCE numbers")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO loans VALUES (%s, %s, %s, %s, %s, %s, %s)", typed())
        connection.execute(
            f'CREATE VIEW customers AS SELECT {ID}, {TIME}, income, late, purpose, "{TARGET}" FROM loans ORDER BY place'
        )
    return url


def drivers(url: str) -> list[str]:
    """The same database through each driver that is installed."""
    if importlib.util.find_spec("adbc_driver_postgresql") is None:
        return [url]
    return [url, "adbc+" + url.replace("+psycopg", "", 1)]


def typed() -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for place, row in enumerate(FRAME.to_dict("records")):
        income = None if np.isnan(row["income"]) else Decimal(repr(row["income"]))
        day = dt.date.fromisoformat(row["applied"])
        rows.append((row[ID], day, income, row["late"], row["purpose"], bool(row[TARGET]), place))
    return rows


def _sqlite(folder: Path) -> str:
    with sqlite3.connect(folder / "lake.db") as connection:
        FRAME.to_sql("customers", connection, index=False)
    connection.close()
    return f"sqlite:///{folder}/lake.db customers"


def _duckdb(folder: Path) -> str:
    duckdb = pytest.importorskip("duckdb")
    FRAME.to_parquet(folder / "h.parquet")
    with duckdb.connect(str(folder / "lake.duckdb")) as connection:
        connection.execute(
            f"CREATE TABLE customers AS SELECT {ID}, CAST({TIME} AS DATE) AS {TIME}, "
            f"CAST(income AS DECIMAL(14, 2)) AS income, late, purpose, \"{TARGET}\" FROM '{folder}/h.parquet'"
        )
    return f"duckdb://{folder}/lake.duckdb SELECT * FROM customers"


def _files(folder: Path) -> str:
    pytest.importorskip("duckdb")
    FRAME.iloc[:100].to_parquet(folder / "h-1.parquet")
    FRAME.iloc[100:].to_parquet(folder / "h-2.parquet")
    return f"duckdb:// SELECT * FROM '{folder}/h-*.parquet'"


LOCAL: dict[str, Callable[[Path], str]] = {"SQLite": _sqlite, "DuckDB": _duckdb, "DuckDB over files": _files}
QUERIES = {
    "PostgreSQL, a view": "{url} customers",
    "PostgreSQL, a query": "{url} SELECT * FROM customers",
    "PostgreSQL by ADBC": "adbc+{plain} SELECT * FROM customers",
}
OBJECTS = ["an object", "a zipped one", "Parquet", "a folder", "a pattern"]


def _objects(bucket: Bucket, name: str) -> str:
    head, _, body = text(FRAME).partition("\n")
    lines = body.splitlines(keepends=True)
    for number, part in enumerate((lines[:100], lines[100:])):
        bucket.put(f"parts/part-{number}.csv", f"{head}\n{''.join(part)}".encode())
    bucket.put("parts/_SUCCESS", b"")
    bucket.put("one/h.csv", text(FRAME).encode())
    with tempfile.TemporaryDirectory() as folder:
        for way, key in (("gzip", "one/h.csv.gz"), ("Parquet", "one/h.parquet")):
            bucket.put(key, WAYS[way][1](FRAME, Path(folder) / Path(key).name).read_bytes())
    keys = ["one/h.csv", "one/h.csv.gz", "one/h.parquet", "parts/", "parts/part-*.csv"]
    return bucket.address(keys[OBJECTS.index(name)])


@pytest.fixture(params=[*LOCAL, *QUERIES, *OBJECTS])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The history, in each place that there is."""
    name = request.param
    if name in LOCAL:
        return LOCAL[name](tmp_path)
    if name in OBJECTS:
        return _objects(request.getfixturevalue("bucket"), name)
    if "ADBC" in name:
        pytest.importorskip("adbc_driver_postgresql")
    url: str = request.getfixturevalue("lake")
    return QUERIES[name].format(url=url, plain=url.replace("+psycopg", "", 1))


@pytest.fixture(autouse=True)
def _nothing_left(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Copies are made in pieces, in a folder of their own, and are gone at the end."""
    folder = tmp_path_factory.mktemp("copies")
    monkeypatch.setattr(fetch, "ROWS", 70)
    monkeypatch.setattr(fetch, "PIECE", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def test_every_place_gives_the_same_rows(address: str, expected: tuple[Settings, Rows]) -> None:
    settings = settings_of(address)
    assert {name: (f.kind, f.nullable) for name, f in settings.features.items()} == {
        name: (f.kind, f.nullable) for name, f in expected[0].features.items()
    }
    assert settings.features["purpose"].categories == expected[0].features["purpose"].categories
    with fetched(address) as here:
        checked = read_rows(here, settings.row_schema, target="required", where="h", dialect=settings.data)
    assert (len(checked.rows), checked.refused, checked.left_out) == (ROWS, (), 0)
    same(checked.rows, expected[1])


@pytest.mark.parametrize("way", ["plain", "gzip", "quoted"])
def test_what_a_pipe_holds_is_read_as_its_file(way: str, expected: tuple[Settings, Rows], tmp_path: Path) -> None:
    content = text(FRAME).encode()
    if way == "gzip":
        content = gzip.compress(content)
    elif way == "quoted":
        content = FRAME.to_csv(index=False, quoting=csv.QUOTE_ALL).encode()
    pipe = tmp_path / ("stdin" if way == "plain" else "h.pipe")
    os.mkfifo(pipe)

    def written() -> None:
        pipe.write_bytes(content)

    for _ in range(2):  # each time somebody has to write: it is read once, from its beginning to its end
        writer = Thread(target=written, daemon=True)
        writer.start()
        with fetched(pipe) as here:
            checked = read_rows(here, expected[0].row_schema, target="required", where="h", dialect=expected[0].data)
        writer.join(10)
        assert (len(checked.rows), checked.refused) == (ROWS, ())
        same(checked.rows, expected[1])


def test_an_error_about_a_pipe_names_the_pipe(expected: tuple[Settings, Rows], tmp_path: Path) -> None:
    pipe = tmp_path / "stdin"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(b"a,b\n1,2\n",), daemon=True)
    writer.start()
    with pytest.raises(DataError, match="columns of the schema") as refused, fetched(pipe) as here:
        read_rows(here, expected[0].row_schema, target="required", where=str(here), dialect=expected[0].data)
    writer.join(10)
    assert str(pipe) in refused.value.message


def test_only_this_user_can_read_a_copy(bucket: Bucket) -> None:
    with fetched(bucket.put("one/h.csv", text(FRAME).encode())) as here:
        assert os.stat(Path(here).parent).st_mode & 0o077 == 0  # noqa: PTH116


# --------------------------------------------------------------------------- types


def test_columns_that_begin_empty_or_change_keep_every_value(tmp_path: Path) -> None:
    """SQLite has types by value, and every database has columns without a value for the first million rows."""
    values = [None] * 100 + [1] * 100 + [2.5] * 50 + ["x"] * 50
    with sqlite3.connect(tmp_path / "lake.db") as connection:
        connection.execute("CREATE TABLE t (place INTEGER, late, mixed, empty, number)")
        rows = [(i, None if i < 200 else i, v, None, v if v != "x" else 7) for i, v in enumerate(values)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    with fetched(f"sqlite:///{tmp_path}/lake.db SELECT * FROM t ORDER BY place") as here:
        read = pd.read_parquet(here)
    assert read["place"].tolist() == list(range(300))
    assert read["late"].isna().sum() == 200
    assert read["late"][200:].astype(int).tolist() == list(range(200, 300))
    assert read["mixed"][100:].tolist()[::75] == ["1", "1", "x"] or read["mixed"][299] == "x"
    assert read["empty"].isna().all()
    assert read["number"][[150, 220, 299]].tolist() == [1.0, 2.5, 7.0]


def test_decimals_become_the_doubles_that_their_text_means(lake: str) -> None:
    rng = np.random.default_rng(5)
    numbers = [
        Decimal(int(n)).scaleb(-int(s))
        for n, s in zip(rng.integers(0, 10**15, 400), rng.integers(1, 9, 400), strict=True)
    ]
    listed = ", ".join(f"({place}, {number:f}::numeric)" for place, number in enumerate(numbers))
    query = f"SELECT v FROM (VALUES {listed}) t (place, v) ORDER BY place"
    for url in drivers(lake):
        with fetched(f"{url} {query}") as here:
            assert pd.read_parquet(here)["v"].tolist() == [float(number) for number in numbers]
    with fetched(f"{lake} SELECT 12345678901234567890123::numeric AS id, 7::numeric(20, 0) AS n") as here:
        read = pd.read_parquet(here)
    assert read["id"][0] == "12345678901234567890123", "no id is rounded"
    assert read["n"][0] == 7


def test_a_query_without_rows_has_columns(lake: str) -> None:
    with (
        fetched(f"{lake} SELECT * FROM customers WHERE false") as here,
        pytest.raises(DataError, match="holds no rows"),
    ):
        examine(here, Wanted(TARGET))


def test_a_colon_and_a_percent_in_a_query_are_what_they_are(lake: str) -> None:
    with fetched(f"{lake} SELECT ':a' || 'b%' AS v, '2024-01-05 10:30'::timestamp AS t WHERE 'x' LIKE '%'") as here:
        read = pd.read_parquet(here)
    assert (read["v"][0], read["t"][0]) == (":ab%", pd.Timestamp("2024-01-05 10:30"))


# --------------------------------------------------------------------------- what can be wrong


def test_a_query_cannot_write(lake: str, tmp_path: Path) -> None:
    made = "WITH gone AS (DELETE FROM loans RETURNING 1) SELECT * FROM gone"
    for url in drivers(lake):
        with pytest.raises(RiskloopError, match=r"data-modifying|read-only"), fetched(f"{url} {made}"):
            pass
    with pytest.raises(DataError, match="read-only"), fetched(f"{lake} SELECT nextval('numbers')"):
        pass
    with fetched(f"{lake} customers") as here:
        assert len(pd.read_parquet(here)) == ROWS
    address = _sqlite(tmp_path).removesuffix(" customers")
    with pytest.raises(RiskloopError), fetched(f"{address} WITH a AS (SELECT 1) DELETE FROM customers"):
        pass
    with fetched(f"{address} customers") as here:
        assert len(pd.read_parquet(here)) == ROWS


def test_errors_name_the_address_and_no_copy(lake: str, bucket: Bucket, expected: tuple[Settings, Rows]) -> None:
    schema = expected[0].row_schema
    head, _, body = text(FRAME).partition("\n")
    bad = bucket.put("bad/loans.csv", f"{head},extra\n{body}".encode())
    with pytest.raises(DataError) as refused, fetched(bad) as here:
        read_rows(here, schema, target="required", where=str(here))
    assert "s3://lender/bad/loans.csv" in refused.value.message
    assert str(here) not in refused.value.message
    assert str(refused.value) == refused.value.message
    bucket.put("many/a.csv", text(FRAME).encode())
    bucket.put("many/b.csv", text(FRAME.rename(columns={"late": "later"})).encode())
    with (
        pytest.raises(DataError, match=r"rows of s3://lender/many cannot .* column 'late' is missing"),
        fetched(bucket.address("many/")) as here,
    ):
        read_rows(here, schema, target="required", where=str(here))
    with pytest.raises(DataError, match=r"^postgresql"), fetched(f"{lake} SELECT 1 AS x") as here:
        read_rows(here, schema, target="required", where=str(here))


def wrong(lake: str, bucket: Bucket) -> list[tuple[str, type[RiskloopError], str]]:
    return [
        (f"{lake} SELECT * FROM nobody", DataError, "nobody"),
        (f"{lake} SELEKT".replace("SELEKT", "SELECT FROM WHERE"), DataError, "syntax"),
        (lake.replace("host=", "host=/nowhere") + " customers", StorageError, "nowhere"),
        ("nosuchdb://risk@db/lake customers", ConfigError, "install its driver"),
        ("adbc+nosuchdb://risk@db/lake customers", ConfigError, "adbc-driver-nosuchdb"),
        ("duckdb:///nowhere/lake.duckdb customers", NotFound, "does not exist"),
        (bucket.address("nothing.csv"), NotFound, "s3://lender/nothing.csv"),
        (bucket.address("nothing/"), NotFound, "nothing at"),
        (bucket.address("nothing/*.csv"), NotFound, "nothing at"),
        ("s3://nobucket/x.csv?" + bucket.address("x").partition("?")[2], NotFound, "nothing at"),
        (
            "s3://lender/x.csv?endpoint_override=127.0.0.1:1&scheme=http&allow_delayed_open=maybe",
            ConfigError,
            "cannot be used",
        ),
    ]


def test_what_cannot_be_fetched_is_said_in_a_sentence(lake: str, bucket: Bucket) -> None:
    for address, kind, said in wrong(lake, bucket):
        with pytest.raises(kind, match=said) as refused, fetched(address):
            pass
        assert type(refused.value) is kind, address
        assert "\n" not in refused.value.message


def test_a_password_that_a_server_refuses_is_in_no_message(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE", "hunter2-%/@:")
    url = "postgresql+psycopg://nobody@127.0.0.1:1/lake?password_env=LAKE"
    for address in (f"{driver} customers" for driver in drivers(url)):
        with pytest.raises(StorageError) as refused, fetched(address):
            pass
        assert "hunter2" not in f"{refused.value.message}{refused.value.__cause__}"


# --------------------------------------------------------------------------- outcomes


def test_outcomes_are_read_from_a_table_as_from_a_file(
    lake: str, bucket: Bucket, expected: tuple[Settings, Rows]
) -> None:
    schema = expected[0].row_schema
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    frame = FRAME[[ID, TARGET]].assign(known_at="2025-11-30T12:00:00Z")
    wanted = [(o.customer_id, o.defaulted, o.known_at) for o in read_outcomes(frame, schema, default_known_at=now)]
    query = f"SELECT {ID}, \"{TARGET}\", '2025-11-30 12:00Z'::timestamptz AS known_at FROM customers"
    for address in (f"{lake} {query}", bucket.put("labels.csv", frame.to_csv(index=False).encode())):
        with fetched(address) as here:
            read = read_outcomes(here, schema, default_known_at=now)
        assert [(o.customer_id, o.defaulted, o.known_at) for o in read] == wanted
