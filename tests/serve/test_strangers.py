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
    # A proxy that adds its header behind the client's own one must not hand over the client's.
    for mine in (b"heads", b"", groups.encode()):
        smuggled = [headers[0], (b"x-forwarded-groups", mine), *headers[1:]]
        with pytest.raises(Forbidden, match="came twice"):
            access.caller({**where, "client": ("10.0.0.1", 1), "headers": smuggled})


@pytest.mark.parametrize("name", ["ann\x9b31m", "a\x85nn", "ann\xadbob", "\xa0"])
def test_a_name_that_a_terminal_or_an_eye_would_misread_is_nobodys(home: Home, name: str) -> None:
    access = Access(Keys(home.database).ring(), PROXY, Sessions(home.database, idle=HOURS, longest=HOURS))
    headers = [(b"host", b"x"), (b"x-forwarded-email", name.encode("latin-1"))]
    with pytest.raises(Forbidden, match="names nobody"):
        access.caller({"server": ("10.0.0.9", 80), "path": "/", "client": ("10.0.0.1", 1), "headers": headers})


@pytest.mark.parametrize("shown", ["Basic !!!", "Basic /w==", "Basic", "Basic Og==", "Bearer", "Bearer "])
def test_what_is_shown_and_no_key_is_refused_though_there_is_a_session(home: Home, shown: str) -> None:
    keys, sessions = Keys(home.database), Sessions(home.database, idle=HOURS, longest=HOURS)
    keys.create("boss", [Role.OPERATE], at=datetime(2025, 5, 1, tzinfo=UTC), by="test")
    token = sessions.begin(LoginKind.KEY, "boss", address="127.0.0.1")
    access = Access(keys.ring(), AccessSettings(), sessions)
    scope = {"server": ("127.0.0.1", 80), "path": "/", "client": ("127.0.0.1", 1), "scheme": "http"}
    cookie = (b"cookie", f"riskloop_session={token}".encode())
    assert access.caller({**scope, "headers": [cookie]}).name == "boss"
    with pytest.raises(Unauthorised):
        access.caller({**scope, "headers": [cookie, (b"authorization", shown.encode())]})
