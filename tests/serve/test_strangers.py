"""What somebody without a key learns and takes; and what a session's cookie may do on the API."""

import socket
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from riskloop.core.errors import Forbidden, Unauthorised
from riskloop.core.settings import AccessSettings
from riskloop.identity.access import Access
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role
from riskloop.store.sessions import LoginKind, Sessions

from .conftest import ROW, Running

NOW = datetime(2025, 5, 1, tzinfo=UTC)
HOURS = timedelta(hours=1)
PROXY = AccessSettings(
    user_header="X-Forwarded-Email",
    groups_header="X-Forwarded-Groups",
    header_from=("10.0.0.1",),
    groups={"risk": ("view",), "heads": ("operate",)},
)


def test_readiness_tells_strangers_nothing(server: Running, home: Home) -> None:
    keys = Keys(home.database)
    viewer, scorer = (keys.create(role, [role], at=NOW, by="test") for role in (Role.VIEW, Role.SCORE))
    client = server.start()
    assert client.get("/readyz").json() == {"ready": True}
    assert client.get("/readyz", headers={"x-api-key": scorer}).json() == {"ready": True}
    assert client.get("/readyz", headers={"x-api-key": "x.y"}).json() == {"ready": True}
    assert client.get("/readyz", headers={"x-api-key": viewer}).json()["champion"] == 1


def test_a_sessions_cookie_opens_the_api_to_its_own_page_only(server: Running, home: Home) -> None:
    Keys(home.database).create("ops", [Role.OPERATE], at=NOW, by="test")
    token = Sessions(home.database, idle=HOURS, longest=HOURS).begin(LoginKind.KEY, "ops", address="")
    client = server.start()
    cookie = {"cookie": f"a=b; riskloop_session={token}"}
    calls = [("/predict", ROW), ("/predict/batch", [ROW]), ("/outcomes", [{"decision_id": 1, "default": 1}])]
    for path, body in calls:
        assert client.post(path, json=body).status_code == 401
        for foreign in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert client.post(path, json=body, headers={**cookie, **foreign}).status_code == 403
        own = {"origin": server.url, "sec-fetch-site": "same-origin"}
        assert client.post(path, json=body, headers={**cookie, **own}).status_code == 200
    assert client.get("/model", headers={"cookie": "riskloop_session=x"}).status_code == 401
    assert client.get("/model", headers={**cookie, "x-api-key": "ops.wrong"}).status_code == 401  # the key counts


def test_connections_are_bounded(home: Home) -> None:
    limit = home.settings.serve.model_copy(update={"max_connections": 3})
    object.__setattr__(home, "settings", home.settings.model_copy(update={"serve": limit}))
    running = Running(home)
    running.start()
    held = []
    try:
        for _ in range(3):
            held.append(socket.create_connection(("127.0.0.1", running.port), timeout=20))
            held[-1].sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b" 200 " in held[-1].recv(4096)
        with httpx.Client(base_url=running.url, timeout=20) as client:
            refused = client.get("/healthz")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        held.pop().close()
        with httpx.Client(base_url=running.url, timeout=20) as client:
            assert any(client.get("/healthz").status_code == 200 for _ in range(100))
    finally:
        for raw in held:
            raw.close()
        running.stop()


@pytest.mark.parametrize(
    ("groups", "roles"),
    [("", set()), ("risk", {Role.VIEW}), ("x, heads", set(Role)), ("Risk", set()), ("riskheads", set())],
)
def test_a_trusted_proxy_says_who_asks(home: Home, groups: str, roles: set[Role]) -> None:
    access = Access(Keys(home.database).ring(), PROXY, Sessions(home.database, idle=HOURS, longest=HOURS))
    headers = [(b"host", b"x"), (b"x-forwarded-email", b"eve@bank"), (b"x-forwarded-groups", groups.encode())]
    where = {"server": ("10.0.0.9", 80), "path": "/"}
    caller = access.caller({**where, "client": ("10.0.0.1", 1), "headers": headers})
    assert (caller.name, set(caller.roles)) == ("proxy:eve@bank", roles)
    for address in ("10.0.0.2", "127.0.0.1", ""):
        with pytest.raises(Forbidden, match="from the proxy only"):
            access.caller({**where, "client": (address, 1), "headers": headers})
    twice = [*headers, (b"x-forwarded-email", b"ann@bank")]
    with pytest.raises(Forbidden, match="several"):
        access.caller({**where, "client": ("10.0.0.1", 1), "headers": twice})
    with pytest.raises(Unauthorised):
        access.caller({**where, "client": ("10.0.0.1", 1), "headers": headers[:1]})
