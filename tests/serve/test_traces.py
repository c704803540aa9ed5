"""Traces of requests, read from the SDK's own memory, and nothing of it where nobody asks."""

import gzip
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.receiver import receiving
from tests.spans import Spans, kept_spans

from riskloop.serve.process import JsonLines
from riskloop.store.home import Home
from riskloop.tracing import wanted

from .conftest import ROW, Running

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}


@pytest.fixture
def spans() -> Iterator[Spans]:
    with kept_spans() as kept:
        yield kept


@pytest.fixture
def traced(spans: Spans, home: Home) -> Iterator[Running]:
    """Made after the environment asks for traces."""
    running = Running(home)
    running.start()
    yield running
    running.stop()


def _lines(caplog: pytest.LogCaptureFixture, action: str) -> list[dict[str, object]]:
    return [json.loads(JsonLines().format(r)) for r in caplog.records if r.__dict__.get("action") == action]


def test_a_row_is_a_span_of_the_callers_trace(spans: Spans, home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "riskloop.tracing")
    running = Running(home)
    with running.start() as client:
        number = client.post("/predict", json=ROW, headers=SAMPLED).json()["decision_id"]
        assert client.post("/predict", json={**ROW, "debt": 99}).status_code == 422
    running.stop()
    root, refused = spans.named("POST /predict")
    assert f"{root.context.trace_id:032x} {root.parent.span_id:016x}" == f"{TRACE} {PARENT}"
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["riskloop.decision_id"] == number
    parts = spans.below(root)
    assert [part.name for part in parts] == ["decode", "score", "commit"]
    moments = [moment for part in parts for moment in (part.start_time, part.end_time)]
    assert [root.start_time, *moments, root.end_time] == sorted([root.start_time, *moments, root.end_time])
    assert refused.parent is None
    assert refused.attributes["http.response.status_code"] == 422
    assert refused.status.is_unset  # the caller's mistake
    (line,) = _lines(caplog, "decision")
    assert (line["trace_id"], line["decision_id"], line["model_version"]) == (TRACE, number, 1)
    assert "anna" not in "".join(span.to_json() for span in spans.all())


def test_rows_that_come_together_keep_their_own_traces(traced: Running, spans: Spans) -> None:
    traces = [f"{n:032x}" for n in range(1, 41)]

    def ask(trace: str) -> str:
        headers = {"traceparent": f"00-{trace}-{PARENT}-01"}
        return str(traced.client.post("/predict", json=ROW, headers=headers).json()["decision_id"])

    with ThreadPoolExecutor(8) as pool:
        decisions = dict(zip(traces, pool.map(ask, traces), strict=True))
    traced.stop()
    roots = spans.named("POST /predict")
    assert {f"{s.context.trace_id:032x}": s.attributes["riskloop.decision_id"] for s in roots} == decisions
    assert all([part.name for part in spans.below(root)] == ["decode", "score", "commit"] for root in roots)


def test_what_is_not_sampled_is_answered_and_leaves_nothing(
    traced: Running, spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "riskloop.tracing")
    assert traced.client.post("/predict", json=ROW, headers=NOT_SAMPLED).status_code == 200
    answer = traced.client.post("/predict/batch", json=[ROW, ROW], headers=NOT_SAMPLED)
    assert len(answer.json()) == 2
    assert spans.all() == []
    assert _lines(caplog, "decision") == []


@pytest.mark.parametrize("header", ["", "00-0-0-01", f"00-{'0' * 32}-{PARENT}-01", "ü" * 90, f"ff-{TRACE}-{PARENT}-01"])
def test_a_broken_traceparent_begins_a_trace_of_its_own(header: str, traced: Running, spans: Spans) -> None:
    headers = [(b"traceparent", header.encode("latin-1"))]
    assert traced.client.post("/predict", json=ROW, headers=headers).status_code == 200
    traced.stop()
    (root,) = spans.named("POST /predict")
    assert root.parent is None


def test_a_batch_has_spans_for_every_block(spans: Spans, home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "riskloop.tracing")
    running = Running(home)
    headers = {**SAMPLED, "idempotency-key": "one", "content-type": "application/json"}
    with running.start() as client:
        first = client.post("/predict/batch", content=json.dumps([ROW] * 3), headers=headers).json()
        assert client.post("/predict/batch", content=json.dumps([ROW] * 3), headers=headers).json() == first
        assert client.post("/predict/batch", json=[{**ROW, "debt": 99}], headers=SAMPLED).status_code == 422
    running.stop()
    root, again, refused = spans.named("POST /predict/batch")
    assert [part.name for part in spans.below(root)] == ["decode", "score", "commit"]
    assert {part.attributes["riskloop.rows"] for part in spans.below(root)} == {3}
    assert root.attributes["riskloop.decision_id"] == first[0]["decision_id"]
    assert [part.name for part in spans.below(again)] == ["decode"]  # known: nothing is scored
    assert refused.attributes["http.response.status_code"] == 422
    assert {f"{span.context.trace_id:032x}" for span in spans.all()} == {TRACE}
    (line,) = _lines(caplog, "decision")
    assert (line["trace_id"], line["rows"]) == (TRACE, 3)


def test_a_failure_of_the_server_is_marked_and_its_line_names_the_trace(
    spans: Spans, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("ouch anna")

    running = Running(home)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("riskloop.serve")
    log.addHandler(handler)
    try:
        with running.start() as client:
            monkeypatch.setattr("riskloop.serve.batcher.decide", broken)
            assert client.post("/predict", json=ROW, headers=SAMPLED).status_code == 500
        running.stop()
    finally:
        log.removeHandler(handler)
    (root,) = spans.named("POST /predict")
    assert not root.status.is_ok
    assert not root.status.is_unset
    assert "anna" not in root.to_json()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["trace_id"] for line in lines if line.get("action") == "internal_error"] == [TRACE]


ASKED = [
    ({}, False),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
    ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318/v1/metrics"}, False),
    ({"OTEL_TRACES_EXPORTER": "console"}, True),
    ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ({"OTEL_SERVICE_NAME": "risk"}, False),
]


@pytest.mark.parametrize(("environment", "asked"), ASKED)
def test_only_the_environment_asks_for_traces(
    environment: dict[str, str], asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wanted() is asked


SERVING = """
import asyncio, os, sys
from riskloop.app import create_app
from riskloop.portfolio import Portfolio
from riskloop.tracing import flush
from tests.serve.conftest import ROW
import httpx

async def main(portfolio):
    app = create_app(portfolio.home, portfolio)
    async with app.pages.router.lifespan_context(app.pages):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            for path, body in (("/predict", ROW), ("/predict/batch", [ROW])):
                answer = await client.post(path, json=body)
                assert answer.status_code == 200, answer.text
            assert (await client.get("/readyz?q=anna")).status_code == 200
            await asyncio.to_thread(flush)
            lines = (await client.get("/metrics")).text.splitlines()
            print(*(line for line in lines if "riskloop_spans" in line), sep="\\n")

portfolio = Portfolio.open(sys.argv[1])
portfolio.cycle()
asyncio.run(main(portfolio))
made = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto")  # FastAPI brings the API itself
print(sorted(name for name in sys.modules if name.startswith(made)), flush=True)
os._exit(0)  # as a worker that is ended by its signal
"""
CYCLE = """
import logging, sys
logging.basicConfig()
{before}
from riskloop.portfolio import Portfolio
Portfolio.open(sys.argv[1]).cycle()
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""


def _run(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def folder(home: Home, tmp_path: Path) -> Path:
    """With a champion in it."""
    return tmp_path


def test_nothing_is_imported_where_nobody_asks(folder: Path) -> None:
    assert _run(folder, SERVING).stdout.split() == ["[]"]
    assert _run(folder, CYCLE.format(before="")).stdout.strip() == "[]"


def test_without_the_extra_the_log_says_so_once(folder: Path) -> None:
    hidden = 'sys.modules["opentelemetry.sdk"] = None'
    done = _run(folder, CYCLE.format(before=hidden), OTEL_TRACES_EXPORTER="otlp")
    assert done.stderr.count("pip install 'riskloop[otel]'") == 1


def _figures(printed: str) -> dict[str, int]:
    """Counts of spans by what became of them, in the lines of Prometheus' format."""
    found = re.findall(r"^riskloop_spans_(\w+)_total\{.*\} (\d+)", printed, flags=re.MULTILINE)
    return {name: int(value) for name, value in found}


def _sent(bodies: list[bytes]) -> list[tuple[str, Any]]:
    """Every span with the portfolio whose it is."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    plain = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for body in bodies]
    parts = [part for body in plain for part in ExportTraceServiceRequest.FromString(body).resource_spans]
    scopes = [scope for part in parts for scope in part.scope_spans]
    return [(s.scope.attributes[0].value.string_value, span) for s in scopes for span in s.spans]


def test_spans_are_sent_where_the_environment_says(folder: Path) -> None:
    """By the real exporter, to a real socket."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'riskloop[otel]'")
    with receiving() as collector:
        done = _run(folder, SERVING, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url.removesuffix("/hook"))
        bodies = [body for _, body in collector.posts]
    assert b"anna" not in b"".join(bodies)
    sent = _sent(bodies)
    assert {"cycle", "POST /predict", "POST /predict/batch"} <= {span.name for _, span in sent}
    served = [(name, span) for name, span in sent if name]
    assert {name for name, _ in served} == {Home.open(folder).settings.portfolio.name}
    for path in ("/predict", "/predict/batch"):
        (root,) = (span for _, span in served if span.name == f"POST {path}")
        below = sorted((s for _, s in served if s.parent_span_id == root.span_id), key=lambda s: s.start_time_unix_nano)
        assert [span.name for span in below] == ["decode", "score", "commit"]
        assert {span.trace_id for span in below} == {root.trace_id}
        assert len({span.span_id for span in below}) == 3
        assert all(root.start_time_unix_nano <= s.start_time_unix_nano <= s.end_time_unix_nano for s in below)
        assert all(s.end_time_unix_nano <= root.end_time_unix_nano for s in below)
        assert {a.key for s in below for a in s.attributes} <= {
            "riskloop.rows",
            "riskloop.group_rows",
            "riskloop.repeated",
        }
    assert _figures(done.stdout) == {"ended": len(served), "sent": len(served), "failed": 0}


def test_spans_that_are_lost_are_counted_and_said_once(folder: Path) -> None:
    """By a collector that takes none, or none of this kind."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'riskloop[otel]'")
    program = f"import logging; logging.basicConfig()\n{SERVING}"
    with receiving() as collector:
        collector.statuses = [400]
        done = _run(folder, program, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url.removesuffix("/hook"))
    figures = _figures(done.stdout)
    assert figures["ended"] == figures["failed"] > 0
    assert figures["sent"] == 0
    assert done.stderr.count("Traces are not delivered") == 1
