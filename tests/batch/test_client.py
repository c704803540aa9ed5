import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest
from pyarrow import parquet

from riskloop.batch.client import score_file
from riskloop.core.errors import (
    ConfigError,
    Conflict,
    DataError,
    NotFound,
    RiskloopError,
    StorageError,
    Unauthorised,
    Unreachable,
)
from riskloop.core.schema import APPENDED
from riskloop.core.settings import DataSettings


class Api:
    """Answers like /predict/batch, without a model: probability = x / 100. Can be told to misbehave."""

    def __init__(self) -> None:
        self.logged: dict[str, bytes] = {}  # by idempotency key
        self.rows = 0
        self.requests = 0
        self.misbehave: Callable[[int], Any] = lambda _number: None

    def answer(self, key: str, body: bytes, kind: str) -> bytes:
        if key not in self.logged:
            table = _read(body, kind)
            first, self.rows = self.rows, self.rows + table.num_rows
            x = [float(value) for value in table["x"].to_pylist()]
            answers = pa.table(
                {
                    "decision_id": [str(first + 1 + i) for i in range(len(x))],
                    "default": [value > 50 for value in x],
                    "probability": [value / 100 for value in x],
                    "risk_level": ["high"] * len(x),
                    "threshold": [0.5] * len(x),
                    "model_version": pa.array([3] * len(x), pa.int64()),
                    "scored_at": ["2025-05-01T00:00:00Z"] * len(x),
                }
            )
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, answers.schema) as stream:
                stream.write_table(answers)
            self.logged[key] = sink.getvalue()
        return self.logged[key]


def _read(body: bytes, kind: str) -> pa.Table:
    if kind == "text/csv":
        return pyarrow.csv.read_csv(io.BytesIO(body), parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True))
    return pa.ipc.open_stream(body).read_all()


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            api.requests += 1
            trouble = api.misbehave(api.requests)
            if trouble == "log and break":
                api.answer(self.headers["idempotency-key"], body, self.headers["content-type"])
                trouble = "break"
            if trouble == "break":
                self.close_connection = True
                return
            status, content = 200, b""
            if isinstance(trouble, tuple):
                status, content = trouble[0], json.dumps(trouble[1]).encode()
            else:
                content = api.answer(self.headers["idempotency-key"], body, self.headers["content-type"])
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield api
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(status: int, code: str, message: str, *details: dict[str, Any]) -> tuple[int, Any]:
    return status, {"error": {"code": code, "message": message, "details": list(details)}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    lines = [
        f'{i},{i % 100}.50,"says ""hi"",\nand goes"' if i % 10 == 0 else f"{i},{i % 100}.50,plain" for i in range(95)
    ]
    path.write_text("id,x,text\n" + "\n".join(lines) + "\n")
    return path


def score(api: Any, source: Path, **options: Any) -> Any:
    options = {"chunk_rows": 10, "in_flight": 3, "patience": 5.0, **options}
    return score_file(source, source.with_name("out" + source.suffix), api.url, **options)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def check(source: Path) -> None:
    """Every row once, in order, its text as it was, its own prediction behind it."""
    before, after = rows_of(source), rows_of(source.with_name("out.csv"))
    assert after[0] == [*before[0], *APPENDED]
    assert [row[:3] for row in after[1:]] == before[1:]
    assert all(float(row[4]) == pytest.approx(float(row[1]) / 100) for row in after[1:])
    assert all(row[3] == str(int(float(row[1]) > 50)) for row in after[1:])
    assert sorted(p.name for p in source.parent.iterdir()) == ["in.csv", "out.csv"]


def test_a_csv_keeps_its_bytes_and_gets_its_predictions(api: Api, source: Path) -> None:
    summary = score(api, source)
    check(source)
    assert (summary.rows, summary.chunks, summary.resumed, summary.last_version) == (95, 10, 0, 3)
    assert summary.defaults == 45
    text = source.with_name("out.csv").read_text()
    assert '0,0.50,"says ""hi"",\nand goes",0,0.005,high,0.5,3,' in text


def test_a_parquet_file_keeps_its_columns(api: Api, tmp_path: Path) -> None:
    table = pa.table(
        {"id": range(95), "x": [float(i) for i in range(95)], "when": pa.array(range(95), pa.timestamp("us"))}
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    assert score(api, tmp_path / "in.parquet").rows == 95
    scored = parquet.read_table(tmp_path / "out.parquet")
    assert scored.select(["id", "x", "when"]).equals(table)
    assert scored["probability"].to_pylist() == [i / 100 for i in range(95)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.parquet", "out.parquet"]


@pytest.mark.parametrize("output", ["out.csv", "out.csv.gz", "out.parquet"])
@pytest.mark.parametrize("packing", ["gzip", "zstd", "bz2", "lz4", "zip"])
def test_a_delivery_that_is_packed_anew_is_the_same_run(api: Any, source: Path, packing: str, output: str) -> None:
    first = score(api, source)
    ids = [row[8] for row in rows_of(source.with_name("out.csv"))[1:]]
    again = source.with_name("in.csv.packed")
    if packing == "zip":
        with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__MACOSX/._in.csv", b"what its maker adds")
            archive.write(source, "september/in.csv")
    else:
        with pa.output_stream(str(again), compression=packing) as out:
            out.write(source.read_bytes())
    summary = score_file(again, source.with_name(output), api.url, chunk_rows=10)
    assert (summary.run_key, summary.rows, api.rows) == (first.run_key, 95, 95)
    if output == "out.parquet":
        table = parquet.read_table(source.with_name(output))
        assert table["decision_id"].to_pylist() == ids
        assert table.select(["id", "x", "text"]).to_pylist()[0] == {
            "id": "0",
            "x": "0.50",
            "text": 'says "hi",\nand goes',
        }
    else:
        with pa.input_stream(str(source.with_name(output)), compression="detect") as file:
            assert [row[8] for row in csv.reader(io.StringIO(file.read().decode()))][1:] == ids


@pytest.mark.parametrize("kind", ["parquet", "ndjson", "csv.gz", "folder", "semicolons"])
@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
def test_what_a_zip_holds_is_the_run_that_it_is_by_itself(api: Any, tmp_path: Path, kind: str, output: str) -> None:
    table = pa.table({"id": range(95), "x": [float(i) for i in range(95)], "text": ["a,b"] * 95})
    text = table.to_pandas().to_csv(index=False, sep=";" if kind == "semicolons" else ",").encode()
    folder = tmp_path / "in"
    folder.mkdir()
    match kind:
        case "parquet":
            parquet.write_table(table, folder / "in.parquet")
        case "ndjson":
            table.to_pandas().to_json(folder / "in.ndjson", orient="records", lines=True)
        case "csv.gz":
            (folder / "in.csv.gz").write_bytes(gzip.compress(text))
        case "semicolons":
            (folder / "in.csv").write_bytes(text)
        case _:
            (folder / "a.csv").write_bytes(text)
            (folder / "b.csv").write_bytes(text.replace(b"a,b", b"c"))
    files = sorted(folder.iterdir())
    dialect = DataSettings(delimiter=";") if kind == "semicolons" else DataSettings()
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in files:
            archive.write(path, path.name)
    plain = folder if kind == "folder" else files[0]
    first = score_file(plain, tmp_path / f"1{output}", api.url, chunk_rows=10, dialect=dialect)
    again = score_file(tmp_path / "in.zip", tmp_path / f"2{output}", api.url, chunk_rows=10, dialect=dialect)
    assert (again.run_key, again.rows, api.rows) == (first.run_key, first.rows, first.rows)
    assert (tmp_path / f"1{output}").read_bytes() == (tmp_path / f"2{output}").read_bytes()


@pytest.mark.parametrize("trouble", ["break", "log and break", refusal(503, "overloaded", "full"), (502, "a proxy")])
def test_a_chunk_is_sent_again_until_it_is_answered_and_logged_once(api: Api, source: Path, trouble: Any) -> None:
    api.misbehave = lambda number: trouble if number in (1, 2, 5, 9) else None
    said: list[str] = []
    score(api, source, say=said.append)
    check(source)
    assert api.requests == 14
    assert api.rows == 95
    assert said[1::2] == ["It answers again."] * (len(said) // 2)
    assert all(" Trying again for 5 seconds." in sentence for sentence in said[::2])
    assert 2 <= len(said) <= 8


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_interrupted_run_goes_on_and_loses_and_doubles_nothing(
    api: Api, source: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskloop.batch.client.SAVE_EVERY", 0.0)
    if suffix == ".parquet":
        parquet.write_table(_read(source.read_bytes(), "text/csv"), source.with_suffix(".parquet"))
        source = source.with_suffix(".parquet")
    api.misbehave = lambda number: "log and break" if number > 5 else None
    with pytest.raises(Unreachable, match="goes on where this one stopped"):
        score(api, source, patience=0.3)
    assert not source.with_name("out" + suffix).exists()
    api.misbehave = lambda _number: None
    summary = score(api, source, chunk_rows=33)  # the interrupted run's size counts
    assert summary.resumed >= 3
    assert summary.rows == api.rows == 95
    if suffix == ".csv":
        check(source)
    else:
        assert parquet.read_table(source.with_name("out.parquet"))["probability"].to_pylist() == [
            x / 100 for x in parquet.read_table(source)["x"].to_pylist()
        ]


def test_the_same_file_again_gives_the_same_decisions_and_another_run_key_new_ones(api: Api, source: Path) -> None:
    first = score(api, source)
    written = source.with_name("out.csv").read_bytes()
    assert score(api, source).rows == first.rows
    assert (api.rows, source.with_name("out.csv").read_bytes()) == (95, written)
    score(api, source, run_key="2026-11")
    assert api.rows == 190


def test_an_input_that_changed_is_not_mixed_with_the_old_one(
    api: Api, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskloop.batch.client.SAVE_EVERY", 0.0)
    api.misbehave = lambda number: "break" if number > 5 else None
    with pytest.raises(Unreachable):
        score(api, source, patience=0.3)
    source.write_text(source.read_text().replace("1,1.50", "1,2.50", 1))
    with pytest.raises(DataError, match="is not what it was"):
        score(api, source)


def test_rows_that_break_the_schema_are_named_by_their_lines(api: Api, source: Path) -> None:
    detail = {"field": "x", "problem": "row 22: is not a number", "value": "?"}
    api.misbehave = lambda number: (
        refusal(422, "bad_data", "The body does not fit: row 22, column 'x'.", detail) if number == 3 else None
    )
    with pytest.raises(DataError, match=r"in.csv does not fit: line 26, column 'x'") as caught:
        score(api, source, in_flight=1)
    assert caught.value.details[0].problem == "line 26: is not a number"
    assert source.read_text().splitlines()[25].startswith("21,")
    api.misbehave = lambda _number: None
    source.write_text(source.read_text().replace("21,21.50", "21,0.50"))  # the correction
    assert score(api, source).rows == 95
    check(source)


def test_a_full_disk_says_so_and_the_run_goes_on_later(api: Api, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            score(api, source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    score(api, source)
    check(source)
    assert api.rows == 95


def test_files_that_cannot_be_scored_are_refused_at_once(api: Api, tmp_path: Path, source: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        score(api, tmp_path / "no.csv")
    with pytest.raises(ConfigError, match="must end in"):
        score_file(source, tmp_path / "out.txt", "http://x")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        score_file(source, tmp_path / "folder.csv", "http://x")
    (tmp_path / "folder.csv").rmdir()
    with pytest.raises(ConfigError, match="the input itself"):
        score_file(source, source, "http://x")
    for content, said in [("", "is empty"), ("id,x\n", "no rows"), ("id,x,default\n1,2,0\n", "'default' already")]:
        (tmp_path / "odd.csv").write_text(content)
        with pytest.raises(DataError, match=said):
            score(api, tmp_path / "odd.csv")
    assert api.rows == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv", "odd.csv"]


def test_an_address_where_nobody_answers(source: Path) -> None:
    with pytest.raises(Unreachable, match="riskloop serve"):
        score_file(source, source.with_name("out.csv"), "http://127.0.0.1:9", patience=0.0)
    with pytest.raises(Unreachable, match="address"):
        score_file(source, source.with_name("out.csv"), "nonsense", patience=0.0)
    assert [p.name for p in source.parent.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    "trouble", [refusal(422, "bad_data", "no"), refusal(401, "unauthorised", "no"), refusal(503, "not_ready", "no")]
)
def test_when_nothing_was_scored_nothing_is_left_behind(api: Api, source: Path, trouble: Any) -> None:
    api.misbehave = lambda _number: trouble
    with pytest.raises(RiskloopError, match="no"):
        score(api, source, patience=0.0)
    assert [p.name for p in source.parent.iterdir()] == ["in.csv"]


def test_a_key_that_cannot_travel_is_refused_before_anything_is_sent(api: Api, source: Path) -> None:
    with pytest.raises(ConfigError, match="no key has"):
        score(api, source, key="ключ")
    assert api.requests == 0


@pytest.mark.parametrize("trouble", ["log and break", (502, "a proxy"), refusal(500, "internal", "no")])
def test_what_may_have_been_scored_keeps_its_keys(api: Api, source: Path, trouble: Any) -> None:
    api.misbehave = lambda _number: trouble
    with pytest.raises(RiskloopError):
        score(api, source, patience=0.0)
    assert source.with_name("out.csv.resume").exists()
    api.misbehave = lambda _number: None
    score(api, source)
    check(source)
    assert api.rows == 95


def test_a_refusal_does_not_remove_what_an_interrupted_run_kept(api: Api, source: Path) -> None:
    api.misbehave = lambda number: "log and break" if number == 1 else (502, "a proxy")
    with pytest.raises(RiskloopError):
        score(api, source, patience=0.0)
    api.misbehave = lambda _number: refusal(401, "unauthorised", "no")
    with pytest.raises(Unauthorised):
        score(api, source)
    assert source.with_name("out.csv.resume").exists()


def test_an_output_that_cannot_be_begun_leaves_nothing(api: Api, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"written: No space left on device\. Nothing was scored"):
        score(api, source)
    assert [p.name for p in source.parent.iterdir()] == ["in.csv"]


def test_progress_goes_from_nothing_to_everything(api: Api, source: Path) -> None:
    shares: list[float] = []
    score(api, source, progress=lambda _sentence, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0, abs=0.01)


def test_two_runs_never_write_one_file(api: Api, source: Path) -> None:
    def meanwhile(number: int) -> None:
        if number == 2:
            with pytest.raises(Conflict, match="Another run is writing"):
                score(api, source)

    api.misbehave = meanwhile
    score(api, source)
    check(source)
    assert api.rows == 95
