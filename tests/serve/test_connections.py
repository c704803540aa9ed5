"""Clients that are slow, go away, or do not speak HTTP."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from riskloop.core.types import Json
from riskloop.serve import connections
from riskloop.store.home import Home

from .conftest import ROW, Running

BODY = json.dumps(ROW).encode()
HEAD = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(connections, "BODY_SECONDS", 1.0)


@pytest.fixture
def wire(server: Running) -> Iterator[socket.socket]:
    """A connection without a client library's manners."""
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        yield wire


def answer_of(wire: socket.socket) -> tuple[int, Json]:
    """Everything until the server closes; the last answer's status and error."""
    content = b""
    while piece := wire.recv(65536):
        content += piece
    head, _, body = content.rpartition(b"\r\n\r\n")
    error: Json = json.loads(body)["error"]
    return int(head.rpartition(b"HTTP/1.1 ")[2][:3]), error


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch", b"/outcomes"])
def test_a_body_that_stops_coming_is_refused_and_not_logged(
    wire: socket.socket, home: Home, server: Running, path: bytes
) -> None:
    wire.sendall(HEAD % (path, len(BODY)) + BODY[:-3])
    status, error = answer_of(wire)
    assert (status, error["code"]) == (408, "too_slow")
    assert home.decisions.count() == 0
    assert 'riskloop_errors_total{code="too_slow"' in server.client.get("/metrics").text
    assert server.client.post("/predict", json=ROW).status_code == 200


@pytest.mark.usefixtures("impatient")
def test_a_body_that_trickles_for_ever_is_refused(wire: socket.socket) -> None:
    def trickle() -> None:
        for _ in range(200):
            wire.sendall(b" ")
            time.sleep(0.05)

    wire.sendall(HEAD % (b"/predict", 10_000))
    with pytest.raises(OSError, match=r"."):
        trickle()


@pytest.mark.usefixtures("impatient")
def test_headers_that_stop_coming_are_refused(wire: socket.socket) -> None:
    wire.sendall(b"POST /predict HTTP/1.1\r\nhost: loc")
    status, error = answer_of(wire)
    assert (status, error["code"]) == (408, "too_slow")


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_says_nothing_is_closed(wire: socket.socket) -> None:
    assert wire.recv(1000) == b""


@pytest.mark.usefixtures("impatient")
def test_a_kept_connection_may_rest_and_go_on(server: Running) -> None:
    client = server.start()
    for _ in range(2):
        assert client.post("/predict", json=ROW).status_code == 200
        time.sleep(0.5)


def test_headers_without_end_are_refused(wire: socket.socket) -> None:
    wire.sendall(b"GET /model HTTP/1.1\r\n")
    for k in range(7):
        wire.sendall(b"x-%d: " % k + b"y" * 10_000 + b"\r\n")
    status, error = answer_of(wire)
    assert (status, error["code"]) == (431, "too_large")


def test_what_is_no_http_is_refused_in_the_usual_shape(wire: socket.socket) -> None:
    wire.sendall(b"\x16\x03\x01nonsense\r\n\r\n")
    status, error = answer_of(wire)
    assert (status, error["code"]) == (400, "malformed")


@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch"])
def test_a_client_that_goes_away_is_no_failure(
    wire: socket.socket, server: Running, home: Home, path: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    wire.sendall(HEAD % (path, len(BODY)) + BODY[:-3])
    time.sleep(0.1)
    wire.close()
    time.sleep(0.1)
    assert server.client.post("/predict", json=ROW).json()["decision_id"] == "1"
    assert "riskloop_errors_total{" not in server.client.get("/metrics").text
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


def test_a_compressed_body_is_refused_by_name(client: httpx.Client) -> None:
    import gzip

    for path in ("/predict", "/predict/batch"):
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        answer = client.post(path, content=gzip.compress(BODY), headers=headers)
        assert answer.status_code == 415
        assert "compressed ('gzip')" in answer.json()["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_told_which_one(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/predict")
    assert (answer.status_code, answer.headers["allow"], answer.json()["error"]["code"]) == (
        405,
        "POST",
        "wrong_method",
    )
