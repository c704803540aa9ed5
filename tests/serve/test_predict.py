import json
import resource
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from msgspec import structs

from riskloop.core.errors import StorageError
from riskloop.core.types import Json
from riskloop.serve import batcher, service
from riskloop.store.home import Home
from riskloop.store.refusals import refusal_counts
from riskloop.store.sqlite import SqliteAppender

from .conftest import ROW, Running, add_model, expected, promote


def error(answer: httpx.Response) -> Json:
    document: Json = answer.json()["error"]
    return document


def test_the_answer_and_what_is_logged(client: httpx.Client, home: Home) -> None:
    answer = client.post("/predict", json=ROW)
    assert answer.status_code == 200
    scored_at = answer.json()["scored_at"]
    assert answer.json() == {
        "decision_id": "1",
        "customer_id": "anna",
        "default": False,
        "probability": pytest.approx(expected(ROW, 0.0), abs=1e-12),
        "risk_level": "high",
        "threshold": 0.5,
        "model_version": 1,
        "reasons": [],
        "scored_at": scored_at,
    }
    assert scored_at.endswith("Z")
    logged = home.decisions.get(1)
    assert logged.probability == answer.json()["probability"]
    assert (logged.customer_id, logged.model_version, logged.default) == ("anna", 1, False)
    assert logged.features.tolist() == [4.0, 2.5, 1.0, 1.0]
    assert logged.time == logged.scored_at


def test_the_rows_own_time_is_the_decisions_time(client: httpx.Client, home: Home) -> None:
    client.post("/predict", json={**ROW, "day": "2025-05-01"})
    assert home.decisions.get(1).time.isoformat() == "2025-05-01T00:00:00+00:00"


def test_reasons_come_with_default_and_on_request(client: httpx.Client) -> None:
    risky = {**ROW, "debt": 7, "income": 0.5}
    reasons = client.post("/predict", json=risky).json()["reasons"]
    assert reasons == [{"feature": "debt", "contribution": 2.0, "text": "debt = 7 raises the risk"}]
    assert client.post("/predict?reasons=none", json=risky).json()["reasons"] == []
    assert client.post("/predict?reasons=all", json=ROW).json()["reasons"][0]["feature"] == "income"


def test_missing_and_unseen_are_flagged_on_the_answer_and_in_the_log(client: httpx.Client, home: Home) -> None:
    row = {**ROW, "job": "astronaut"}
    del row["income"]
    flags = {"missing": ["income"], "unseen": {"job": "astronaut"}}
    assert client.post("/predict", json=row).json()["flags"] == flags
    assert home.decisions.get(1).flags == flags


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed"),
        (b"[]", "application/json", 400, "malformed"),
        (b'{"id": "a"}', "application/json", 422, "bad_data"),
        (b'{"\\ud800": 1}', "application/json", 400, "malformed"),
        (json.dumps(ROW).replace("2.5", "NaN").encode(), "application/json", 422, "bad_data"),
        (json.dumps(ROW).encode(), "text/plain", 415, "unsupported_media"),
        (json.dumps(ROW).encode(), None, 415, "unsupported_media"),
        (json.dumps({**ROW, "id": "x" * 2**20}).encode(), "application/json", 413, "too_large"),
    ],
)
def test_a_bad_request_is_refused_and_nothing_is_logged(
    client: httpx.Client, home: Home, content: bytes, kind: str | None, status: int, code: str
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/predict", content=content, headers=headers)
    assert (answer.status_code, error(answer)["code"]) == (status, code)
    assert set(answer.json()) == {"error"}
    assert home.decisions.count() == 0


def test_an_unknown_parameter_is_refused(client: httpx.Client) -> None:
    assert error(client.post("/predict?reason=all", json=ROW))["details"][0]["field"] == "reason"
    assert error(client.post("/predict?reasons=some", json=ROW))["details"][0]["value"] == "some"


def test_content_types_may_name_their_charset(client: httpx.Client) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/predict", content=json.dumps(ROW), headers=headers).status_code == 200


def test_a_body_in_pieces_is_one_body(client: httpx.Client) -> None:
    body = json.dumps(ROW).encode()
    pieces = (body[i : i + 7] for i in range(0, len(body), 7))
    answer = client.post("/predict", content=pieces, headers={"content-type": "application/json"})
    assert answer.json()["customer_id"] == "anna"


def test_refusals_are_counted_by_field_and_problem(server: Running, home: Home) -> None:
    client = server.start()
    for _ in range(2):
        client.post("/predict", json={**ROW, "debt": 11})
    client.post("/predict", content=b"{", headers={"content-type": "application/json"})
    server.stop()
    counts = refusal_counts(home.database, 0, 2**62)
    assert {(r.field, r.code): n for r, n in counts.items()} == {
        ("debt", "is outside the range [0, 10]"): 2,
        ("", "malformed"): 1,
    }


def test_housekeeping_goes_on_after_any_failure(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "TIDY_EVERY", 0.01)
    calls: list[int] = []

    def failing(_self: Any) -> None:
        calls.append(1)
        raise UnicodeEncodeError("utf-8", "", 0, 1, "whatever it is")

    monkeypatch.setattr(SqliteAppender, "tidy", failing)
    server.start()
    until = time.monotonic() + 20
    while len(calls) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(calls) >= 3
    assert "Housekeeping failed" in caplog.text


def test_without_a_champion_there_is_no_answer(server: Running, home: Home) -> None:
    with home.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM promotions")
    client = server.start()
    answer = client.post("/predict", json=ROW)
    assert (answer.status_code, error(answer)["code"]) == (503, "not_ready")
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "PATIENCE", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_locked_log_answers_503_and_heals(client: httpx.Client, home: Home) -> None:
    other = sqlite3.connect(str(home.database.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = client.post("/predict", json=ROW)
    assert (answer.status_code, error(answer)["code"]) == (503, "storage")
    assert answer.headers["retry-after"] == "1"
    other.execute("ROLLBACK")
    other.close()
    assert client.post("/predict", json=ROW).json()["decision_id"] == "1"


def test_a_short_lock_is_waited_for(client: httpx.Client, home: Home) -> None:
    other = sqlite3.connect(str(home.database.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(client.post, "/predict", json=ROW) for _ in range(5)]
        time.sleep(0.2)
        assert not any(a.done() for a in answers)
        other.execute("ROLLBACK")
        other.close()
        assert {a.result().json()["decision_id"] for a in answers} == {"1", "2", "3", "4", "5"}


@pytest.mark.usefixtures("impatient")
def test_a_full_disk_answers_503_and_heals(client: httpx.Client, home: Home) -> None:
    client.post("/predict", json=ROW)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        answer = client.post("/predict", json=ROW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (answer.status_code, error(answer)["code"]) == (503, "storage")
    assert client.get("/readyz").json()["problems"]
    assert client.post("/predict", json=ROW).json()["decision_id"] == "2"
    assert client.get("/readyz").json()["problems"] == []
    assert home.decisions.count() == 2


def test_beyond_the_queues_limit_requests_are_told_when_to_come_back(
    server: Running, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "PATIENCE", 0.5)
    settings = home.settings.model_copy(update={"serve": home.settings.serve.model_copy(update={"max_waiting": 2})})
    object.__setattr__(home, "settings", settings)
    client = server.start()
    other = sqlite3.connect(str(home.database.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor() as pool:
        answers = [a.result() for a in [pool.submit(client.post, "/predict", json=ROW) for _ in range(5)]]
    other.close()
    codes = sorted(error(a)["code"] for a in answers)
    assert codes == ["overloaded"] * 3 + ["storage"] * 2
    assert all(a.headers["retry-after"] == "1" for a in answers)
    assert client.post("/predict", json=ROW).status_code == 200


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_a_promoted_model_serves_without_a_restart(client: httpx.Client, home: Home) -> None:
    assert client.post("/predict", json=ROW).json()["model_version"] == 1
    promote(home, add_model(home, intercept=1.0))
    wait_for(lambda: client.post("/predict", json=ROW).json()["model_version"] == 2)
    assert client.post("/predict", json=ROW).json()["probability"] == pytest.approx(expected(ROW, 1.0), abs=1e-12)


def test_once_a_promotion_returned_no_answer_comes_from_the_old_model(client: httpx.Client, home: Home) -> None:
    versions = [1, add_model(home, intercept=1.0)]
    for k in range(1, 9):
        promote(home, versions[k % 2])
        if k % 3:
            answer = client.post("/predict", json=ROW).json()
        else:
            (answer,) = client.post("/predict/batch", json=[ROW]).json()
        assert answer["model_version"] == versions[k % 2]
        assert answer["probability"] == pytest.approx(expected(ROW, float(k % 2)), abs=1e-12)


def test_a_ledger_that_cannot_be_read_makes_nobody_wait(
    server: Running, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.start()
    promote(home, add_model(home, intercept=1.0))

    def unreadable(_ledger: Any) -> None:
        raise StorageError("The ledger cannot be read.")

    monkeypatch.setattr("riskloop.store.ledger.Ledger.champion", unreadable)
    answer = client.post("/predict", json=ROW)
    assert answer.status_code == 200, answer.text
    assert client.get("/readyz").json()["problems"] == ["The ledger cannot be read."]


def test_what_waits_is_read_again_by_the_schema_of_a_new_model(client: httpx.Client, home: Home) -> None:
    debt, *others = home.schema.features
    schema = structs.replace(home.schema, features=(structs.replace(debt, high=3.0), *others))
    promote(home, add_model(home, schema=schema))
    refused = client.post("/predict", json=ROW)  # the old model took a debt of 4
    assert (refused.status_code, error(refused)["details"][0]["field"]) == (422, "debt")
    assert client.post("/predict", json={**ROW, "debt": 2}).json()["model_version"] == 2
    assert home.decisions.count() == 1


def test_a_corrupt_model_never_serves_and_everybody_is_told(client: httpx.Client, home: Home) -> None:
    version = add_model(home, intercept=1.0)
    file = home.artefacts.root / home.ledger.model(version).artefact / "scorecard.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"1.0", b"9.0", 1))
    promote(home, version)
    wait_for(lambda: bool(client.get("/readyz").json()["problems"]))
    assert "altered" in client.get("/readyz").json()["problems"][0]
    assert client.get("/readyz").status_code == 200
    assert "riskloop_reload_failing{" in client.get("/metrics").text
    assert client.post("/predict", json=ROW).json()["model_version"] == 1
    file.write_bytes(content)
    wait_for(lambda: client.post("/predict", json=ROW).json()["model_version"] == version)
    assert client.get("/readyz").json()["problems"] == []


def test_metrics_tell_what_happened(client: httpx.Client) -> None:
    client.post("/predict", json=ROW)
    client.post("/predict", json={})
    text = client.get("/metrics").text
    for name in (
        'riskloop_decisions_total{path="predict",version="1"',
        'riskloop_errors_total{code="bad_data"',
        "riskloop_champion_version{",
        "riskloop_request_seconds_bucket{",
        "riskloop_commit_rows_bucket{",
        "riskloop_probability_bucket{",
        "riskloop_waiting_requests{",
    ):
        assert name in text, name
