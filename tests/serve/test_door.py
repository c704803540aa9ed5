"""Keys first, then a bound on the body, then parsing, for every route; and no other site's page may act."""

import asyncio
import json
import socket
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from riskloop.app import App, create_app
from riskloop.core.errors import DataError, MalformedBody
from riskloop.portfolio import Portfolio
from riskloop.serve.outcomes import outcome_table
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role

from .conftest import ROW, Running

NOW = datetime(2025, 5, 1, tzinfo=UTC)
OPEN = {
    "/healthz",
    "/readyz",
    "/login",
    "/logout",
    "/login/sso",
    "/login/sso/callback",
    "/docs/files",
    "/dashboard/assets/{name}",
}  # nothing of a portfolio is in them
BODY = {"content-type": "application/json"}


def flat(found: Iterable[Any]) -> Iterator[Route | APIRoute]:
    """Every route, those of included routers too."""
    for route in found:
        if isinstance(route, Route | APIRoute):
            yield route
        elif not isinstance(route, Mount):
            yield from flat(route.original_router.routes)


def routes(app: App) -> Iterator[tuple[str, str]]:
    """Every (method, path) that is answered."""
    for route in flat(app.pages.router.routes):
        for method in sorted(route.methods or ()):
            yield method, route.path


def concrete(path: str) -> str:
    """An address of a route: every parameter is 1, a moment, or a name."""
    for name, value in (("moment", "2025-01-01"), ("subject:path", "debt"), ("name", "x")):
        path = path.replace(f"{{{name}}}", value)
    while "{" in path:
        path = path[: path.index("{")] + "1" + path[path.index("}") + 1 :]
    return path


async def ask(app: App, method: str, path: str, headers: list[tuple[bytes, bytes]], body: Any) -> int:
    """The status of an answer; ``body`` is called for every piece."""
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return body()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 9),
        "scheme": "http",
        "root_path": "",
    }
    await app(scope, receive, send)
    return int(sent[0]["status"])


def test_no_route_lets_the_framework_read_a_body(home: Home) -> None:
    app = create_app(home, Portfolio(home))
    found = [route for route in flat(app.pages.router.routes) if isinstance(route, APIRoute)]
    assert len(found) > 25
    for route in found:
        assert route.body_field is None, f"{route.path} is parsed before its key is checked"


def test_every_route_checks_the_key_before_a_byte_of_the_body(home: Home) -> None:
    Keys(home.database).create("k", [Role.SCORE], at=NOW, by="test")
    app = create_app(home, Portfolio(home))

    def body() -> Any:
        raise AssertionError("the body was read before the key was checked")

    checked = 0
    for method, path in routes(app):
        if path in OPEN or method in {"HEAD"} or path.startswith(("/docs/files", "/dashboard/assets", "/static")):
            continue
        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        status = asyncio.run(ask(app, method, concrete(path), headers, body))
        assert status in {401, 303}, f"{method} {path} answered {status}"
        checked += 1
    assert checked > 25


def test_every_body_has_a_bound(home: Home) -> None:
    """With a key that may do everything, an endless body is refused after its limit."""
    key = Keys(home.database).create("k", [Role.OPERATE], at=NOW, by="test")
    app = create_app(home, Portfolio(home))
    most = home.settings.serve.max_body
    for method, path in routes(app):
        if method != "POST" or path == "/predict":
            continue
        given = 0

        def body() -> Any:
            nonlocal given
            given += 2**14
            assert given < 2 * max(most, 2**20), "an endless body is read on and on"
            return {"type": "http.request", "body": b"[" * 2**14, "more_body": True}

        headers = [(b"host", b"127.0.0.1"), (b"x-api-key", key.encode()), (b"content-type", b"application/json")]
        status = asyncio.run(ask(app, method, concrete(path), headers, body))
        assert status in {403, 413, 422}, f"{method} {path} answered {status}"
        announced = [*headers, (b"content-length", b"99999999999")]
        assert asyncio.run(ask(app, method, concrete(path), announced, body)) == 413


def test_nested_brackets_are_refused_at_once(client: httpx.Client) -> None:
    for path in ("/models/1/promote", "/outcomes", "/predict", "/predict/batch"):
        answer = client.post(path, content=b"[" * 60_000, headers=BODY)
        assert answer.status_code in {400, 422}, answer.text


@pytest.mark.parametrize(
    "sent",
    [
        "text/plain;x=y,text/csv",
        "text/plain, text/csv",
        "text/csv, text/plain",
        "text/plain",
        "multipart/form-data; boundary=text/csv",
        "application/x-www-form-urlencoded",
        "text/csvx",
        "",
    ],
)
def test_a_media_type_is_one_type_to_the_letter(client: httpx.Client, sent: str) -> None:
    """What a browser may send to another site without asking is read as nothing."""
    for path in ("/outcomes", "/predict/batch"):
        answer = client.post(path, content=b"decision_id,default\n1,1\n", headers={"content-type": sent})
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media")


def test_parameters_of_a_media_type_change_nothing(client: httpx.Client) -> None:
    content = b"id,debt,income,job,sex\nx,1,1,clerk,1\n"
    answer = client.post("/predict/batch", content=content, headers={"content-type": "Text/CSV; charset=utf-8"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://[", "sec-fetch-site": "same-origin"},
    ],
)
def test_another_sites_page_changes_nothing(client: httpx.Client, home: Home, headers: dict[str, str]) -> None:
    app = create_app(home, Portfolio(home))
    for method, path in routes(app):
        if method in {"GET", "HEAD"}:
            continue
        body = json.dumps(ROW) if path == "/predict" else "{}"
        answer = client.request(method, concrete(path), content=body, headers={**BODY, **headers})
        assert answer.status_code == 403, f"{method} {path} answered {answer.status_code}"
    assert client.get("/healthz", headers=headers).status_code == 200


def test_our_own_page_and_programs_may(client: httpx.Client, server: Running) -> None:
    for headers in ({}, {"origin": server.url, "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        assert client.post("/predict", json=ROW, headers=headers).status_code == 200


def test_a_request_names_one_host_and_one_length(client: httpx.Client, server: Running) -> None:
    posted = b"POST /predict HTTP/1.1\r\nhost: localhost\r\n"
    for line in (
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n",
        # What a proxy and a server could read as two different requests.
        posted + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        posted + b"content-length: 4\r\ncontent-length: 5\r\n\r\n{}{}{",
        posted + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        posted + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
            raw.sendall(line)
            assert b" 400 " in raw.recv(4096).splitlines()[0]


def test_answers_are_not_kept(client: httpx.Client) -> None:
    decision = client.post("/predict", json=ROW)
    answers = [decision, client.get("/decisions/1"), client.get("/cases"), client.get("/model")]
    answers += [client.post("/predict", json={}), client.get("/nowhere"), client.get("/healthz")]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("number", ["+1", "1_0", " 1", "-1", "0x1", "1.0", "١"])
def test_an_address_is_written_with_digits(client: httpx.Client, number: str) -> None:
    for path in ("/decisions/", "/cases/"):
        assert client.get(f"{path}{number}").status_code in {404, 422}


def test_unfinished_bodies_are_bounded_over_all_requests(
    client: httpx.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskloop.serve.predict.MOST_UNFINISHED", 300_000)
    head = (
        b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 200000\r\n\r\n"
    )
    waiting = []
    try:
        for _ in range(4):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            waiting.append(raw)
            raw.sendall(head + b"[" * 120_000)
            raw.settimeout(0.5)
            try:
                answer = raw.recv(4096)
            except TimeoutError:
                continue
            assert b" 503 " in answer.splitlines()[0]
            break
        else:
            pytest.fail("480,000 bytes of unfinished bodies were kept")
        assert client.post("/predict", json=ROW).status_code == 200
    finally:
        for raw in waiting:
            raw.close()


def test_outcomes_take_memory_as_their_body_does(home: Home) -> None:
    """A field that no outcome has is refused by name; thousands of them once took gigabytes."""
    body = json.dumps([{f"k{i}": 0} for i in range(20_000)]).encode()
    tracemalloc.start()
    with pytest.raises(DataError, match=r"'k0' \(row 1\) is none of an outcome"):
        outcome_table(body, home.schema)
    assert tracemalloc.get_traced_memory()[1] < 20 * len(body)
    tracemalloc.stop()
    for wrong in (b"{}", b"[1]", b"[", b'[{"default": [1]}]', b"[" * 100_000, b"\xff"):
        with pytest.raises(MalformedBody):
            outcome_table(wrong, home.schema)


def test_outcomes_of_any_number_are_answered(client: httpx.Client) -> None:
    client.post("/predict", json=ROW)
    for number in (10**30, -(10**30), 2**64, 1.5, "1e400"):
        answer = client.post("/outcomes", json=[{"decision_id": number, "default": 1}])
        assert answer.status_code == 422, answer.text
    assert client.post("/outcomes", json=[{"decision_id": 1, "default": True}]).status_code == 200
