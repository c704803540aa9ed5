import io
import json
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

from riskloop.core.errors import StorageError
from riskloop.core.types import Json
from riskloop.scoring import bodies
from riskloop.store.home import Home
from riskloop.store.sqlite import SqliteAppender

from .conftest import CONFIG, ROW, Running, add_model, expected, promote

JSON, LINES, CSV, ARROW = (
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.arrow.stream",
)
ROWS: list[Json] = [
    {
        **ROW,
        "id": f"c{i}",
        "debt": i % 10,
        "income": None if i % 7 == 0 else 0.25 * (i % 9),
        "job": ("none", "7", "new")[i % 3],
    }
    for i in range(40)
]


def encoded(rows: list[Json], kind: str) -> bytes:
    if kind == JSON:
        return json.dumps(rows).encode()
    if kind == LINES:
        return "\n".join(json.dumps(row) for row in rows).encode()
    table = pa.Table.from_pylist(rows)
    sink = io.BytesIO()
    if kind == CSV:
        pyarrow.csv.write_csv(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return sink.getvalue()


def decoded(answer: httpx.Response) -> list[Json]:
    kind = answer.headers["content-type"].partition(";")[0]
    if kind == JSON:
        found: list[Json] = answer.json()
        return found
    if kind == LINES:
        return [json.loads(line) for line in answer.text.splitlines()]
    if kind == CSV:
        return pyarrow.csv.read_csv(io.BytesIO(answer.content)).to_pylist()  # type: ignore[no-any-return]
    return pa.ipc.open_stream(answer.content).read_all().to_pylist()  # type: ignore[no-any-return]


def send(client: httpx.Client, content: bytes, kind: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/predict/batch", content=content, headers={"content-type": kind, **named})


@pytest.mark.parametrize("kind", [JSON, LINES, CSV, ARROW])
def test_the_same_kind_comes_back_in_the_same_order(client: httpx.Client, home: Home, kind: str) -> None:
    answers = decoded(send(client, encoded(ROWS, kind), kind))
    assert [a["customer_id"] for a in answers] == [row["id"] for row in ROWS]
    assert [int(a["decision_id"]) for a in answers] == list(range(1, 41))
    for row, answer in zip(ROWS, answers, strict=True):
        assert answer["probability"] == pytest.approx(expected(row, 0.0), abs=1e-12)
        assert bool(answer["default"]) == (answer["probability"] >= 0.5)
    assert home.decisions.get(2).flags == {}
    assert home.decisions.get(3).flags == {"unseen": {"job": "new"}}
    assert home.decisions.get(1).flags == {"missing": ["income"]}


def test_all_ways_in_give_the_same_bits(client: httpx.Client) -> None:
    alone = [client.post("/predict", json=row).json()["probability"] for row in ROWS]
    for kind in (JSON, LINES, ARROW):
        assert [a["probability"] for a in decoded(send(client, encoded(ROWS, kind), kind))] == alone


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BLOCK_ROWS", 7)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", [JSON, LINES, CSV, ARROW])
def test_a_long_body_is_answered_in_blocks(client: httpx.Client, home: Home, kind: str) -> None:
    answers = decoded(send(client, encoded(ROWS, kind), kind))
    assert [a["customer_id"] for a in answers] == [row["id"] for row in ROWS]
    assert home.decisions.count() == 40


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", [JSON, LINES, CSV, ARROW])
def test_one_bad_row_and_nothing_is_logged(client: httpx.Client, home: Home, kind: str) -> None:
    rows = [*ROWS[:30], {**ROW, "debt": 11}, *ROWS[30:]]
    answer = send(client, encoded(rows, kind), kind)
    assert answer.status_code == 422
    (detail,) = answer.json()["error"]["details"]
    assert detail["field"] == "debt"
    assert detail["problem"].startswith("row 31:")
    assert detail["value"] == 11
    assert home.decisions.count() == 0


def test_arrow_bytes_that_lie_about_their_lengths_are_refused(client: httpx.Client, home: Home) -> None:
    before, offsets, behind = encoded([{**ROW, "id": "x" * 173}], ARROW).rpartition(bytes(4) + b"\xad\x00\x00\x00")
    assert offsets
    assert send(client, before + bytes(4) + b"\xff\xff\xff\x7f" + behind, ARROW).status_code == 400
    assert home.decisions.count() == 0


def test_no_room_for_a_long_body_is_said_and_heals(
    client: httpx.Client, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Any:
        class Full(io.BytesIO):
            def write(self, _content: Any) -> int:
                raise OSError(28, "No space left on device")

        return Full()

    with monkeypatch.context() as patch:
        patch.setattr("riskloop.serve.routes.tempfile.SpooledTemporaryFile", full)
        refused = send(client, encoded(ROWS, CSV), CSV)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage")
    assert refused.headers["retry-after"] == "1"
    assert send(client, encoded(ROWS, CSV), CSV).status_code == 200
    assert home.decisions.count() == 40


@pytest.mark.usefixtures("small_blocks")
def test_a_log_that_fails_in_the_middle_breaks_the_answer_off_and_a_repetition_completes_it(
    client: httpx.Client, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, append, calls = encoded(ROWS, LINES), SqliteAppender.append, iter(range(100))

    def failing(self: SqliteAppender, *arguments: Any) -> Any:
        if next(calls) == 2:
            raise StorageError("the disk is full")
        return append(self, *arguments)

    monkeypatch.setattr(SqliteAppender, "append", failing)
    with pytest.raises(httpx.RemoteProtocolError):
        send(client, body, LINES, idempotency_key="run")
    assert home.decisions.count() == 14
    again = send(client, body, LINES, idempotency_key="run")
    assert [a["customer_id"] for a in decoded(again)] == [row["id"] for row in ROWS]
    assert home.decisions.count() == 40


def test_rows_are_counted_from_where_the_caller_says(client: httpx.Client) -> None:
    answer = client.post("/predict/batch?first_row=1000", json=[ROW, {**ROW, "debt": 11}])
    assert "row 1001" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", JSON, 400),
        (b"{}", JSON, 400),
        (b"[1", JSON, 400),
        (b"[]", JSON, 422),
        (b"[3]", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b'[{"a":' + b"[" * 100_000, JSON, 400),
        (b"\xef\xbb\xbf" + encoded(ROWS, LINES), LINES, 400),
        (json.dumps({**ROW, "debt": 10**400}).encode(), LINES, 422),
        (b'{"a":1}\nnonsense', LINES, 400),
        (b"", LINES, 422),
        (b"", CSV, 422),
        (b"id,debt,income,job,sex\n", CSV, 422),
        (b"id,debt,incme,job,sex\na,1,1,7,1\n", CSV, 422),
        (b"id,debt,income,job\na,1,1,7\n", CSV, 422),
        (b"id,debt,income,job,sex\na,much,1,7,1\n", CSV, 422),
        (b"id,debt,income,job,sex\na,1,1,7,1,1\n", CSV, 422),
        (b"\x00\x01\x02", CSV, 400),
        (b"nonsense", ARROW, 400),
        (b"[]", "text/html", 415),
        (b"x" * 200_001, CSV, 413),
    ],
)
def test_a_bad_body_is_refused(client: httpx.Client, home: Home, content: bytes, kind: str, status: int) -> None:
    answer = send(client, content, kind)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert home.decisions.count() == 0


def test_a_ragged_line_is_counted_from_the_bodys_start(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskloop.scoring.bodies.BLOCK_ROWS", 2)
    content = b"id,debt,income,job,sex\n" + b"".join(b"c%d,1,1,7,1\n" % i for i in range(1, 7)) + b"c7,1\n"
    assert "row 7 has 2 fields instead of 5" in send(client, content, CSV).json()["error"]["message"]


def test_a_further_column_of_a_file_changes_no_score(client: httpx.Client) -> None:
    bodies = (b"id,debt,income,job,sex\na,1,1,7,1\n", b"id,debt,income,job,sex,shoe\na,1,1,7,1,9\n")
    plain, further = (send(client, body, CSV).text.splitlines()[1].split(",")[2:7] for body in bodies)
    assert plain == further


def test_a_target_column_in_a_file_is_not_read(client: httpx.Client) -> None:
    content = b"id,debt,income,job,sex,bad\na,1,1,7,1,1\n"
    assert send(client, content, CSV).status_code == 200


def test_the_same_key_and_body_are_logged_once(client: httpx.Client, home: Home) -> None:
    body = encoded(ROWS, CSV)
    first = send(client, body, CSV, idempotency_key="run-1")
    promote(home, add_model(home, intercept=3.0))
    again = send(client, body, CSV, idempotency_key="run-1")
    assert again.content == first.content
    assert home.decisions.count() == 40
    other = send(client, encoded(ROWS[1:], CSV), CSV, idempotency_key="run-1")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    assert home.decisions.count() == 40


@pytest.mark.usefixtures("small_blocks")
def test_a_long_body_under_a_key_goes_on_where_it_stopped(client: httpx.Client, home: Home) -> None:
    body = encoded(ROWS, LINES)
    first = send(client, body, LINES, idempotency_key="run-1").content
    assert send(client, body, LINES, idempotency_key="run-1").content == first
    assert home.decisions.count() == 40


def test_another_kind_may_be_asked_for(client: httpx.Client) -> None:
    answers = decoded(send(client, encoded(ROWS, CSV), CSV, accept=ARROW))
    assert answers[0]["customer_id"] == "c0"


def test_reasons_by_default_in_json_and_on_request_in_tables(client: httpx.Client) -> None:
    risky = [{**ROW, "debt": 9, "income": 0.5}]
    answers = decoded(send(client, encoded(risky, JSON), JSON))
    assert answers[0]["reasons"][0]["feature"] == "debt"
    assert "reasons" not in decoded(send(client, encoded(risky, CSV), CSV))[0]
    asked: Any = client.post(
        "/predict/batch?reasons=all", content=encoded(ROWS[:1], CSV), headers={"content-type": CSV}
    )
    assert json.loads(decoded(asked)[0]["reasons"])[0]["feature"] == "income"


def test_gaps_never_appear_whatever_comes_together(client: httpx.Client, home: Home) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(send, client, encoded(ROWS, JSON), JSON) for _ in range(6)]
        jobs += [pool.submit(client.post, "/predict", json=ROW) for _ in range(60)]
        answers = [job.result() for job in jobs]
    assert all(a.status_code == 200 for a in answers)
    ids = [int(d["decision_id"]) for a in answers for d in (a.json() if isinstance(a.json(), list) else [a.json()])]
    assert sorted(ids) == list(range(1, 301))
    assert home.decisions.frame().ids.tolist() == list(range(1, 301))


LAYOUTS: dict[str, tuple[str, Any]] = {
    "semicolons and decimal commas": (
        '[data]\ndelimiter = ";"\ndecimal = ","\n',
        lambda rows: pd.DataFrame(rows).to_csv(index=False, sep=";", decimal=",").encode(),
    ),
    "UTF-16 with tabs": (
        '[data]\ndelimiter = "\\t"\nencoding = "utf-16-le"\n',
        lambda rows: pd.DataFrame(rows).to_csv(index=False, sep="\t").encode("utf-16"),
    ),
    "no header": (
        '[data]\nheader = false\ncolumns = ["id", "debt", "income", "job", "sex", "bad"]\n',
        lambda rows: pd.DataFrame(rows).to_csv(index=False, header=False).encode(),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_laid_out_as_the_portfolios_is_read_as_one(tmp_path: Path, layout: str) -> None:
    config, written = LAYOUTS[layout]
    (tmp_path / "riskloop.toml").write_text(CONFIG + config)
    home = Home.open(tmp_path)
    promote(home, add_model(home))
    server = Running(home)
    try:
        client = server.start()
        own, standard = (decoded(send(client, body, CSV)) for body in (written(ROWS), encoded(ROWS, CSV)))
        assert [row["probability"] for row in own] == [row["probability"] for row in standard]
        assert [row["customer_id"] for row in own] == [row["id"] for row in ROWS]
        odd = written([{**ROWS[0], "debt": "much"}])
        assert "column 'debt': 'much' is not a number" in send(client, odd, CSV).json()["error"]["message"]
    finally:
        server.stop()
        home.close()


@pytest.mark.parametrize("kind", [CSV, ARROW, JSON])
def test_further_columns_of_a_table_are_named_in_a_header(client: httpx.Client, kind: str) -> None:
    rows = [{**row, "Größe": 1, "note": "x"} if kind != JSON else row for row in ROWS]
    answer = send(client, encoded(rows, kind), kind)
    assert answer.status_code == 200
    assert len(decoded(answer)) == len(rows)
    named = json.loads(answer.headers.get("riskloop-not-read", "[]"))
    assert named == ([] if kind == JSON else ["Größe", "note"])
