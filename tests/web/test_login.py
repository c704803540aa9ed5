"""Logging in and out, in this process: what a browser sends and gets."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select, update

from riskloop.store.audit import latest
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role
from riskloop.store.tables import attempts, sessions
from riskloop.store.users import Users
from riskloop.web.login import local_path

from .conftest import Browser, client_of

NOW = datetime(2025, 5, 1, tzinfo=UTC)
WORDS = "correct horse battery"
PROXY = '[access]\nproxies = ["127.0.0.1"]\n'


@pytest.fixture
def key(home: Home) -> str:
    Users(home.database).create("ann", [Role.VIEW], WORDS, at=NOW, by="root")
    return Keys(home.database).create("ops", [Role.OPERATE], at=NOW, by="root")


def token_in(page: httpx.Response) -> str:
    return str(re.findall(r'name="token" value="([^"]+)"', page.text)[0])


def log_in(client: Browser, name: str, secret: str, *, to: str = "/", **headers: str) -> httpx.Response:
    page = client.get(f"/login?next={to}", headers=headers)
    form = {"name": name, "secret": secret, "next": to, "token": token_in(page)}
    if "x-forwarded-proto" in headers:  # its cookies are for TLS only, which this client does not speak
        headers["cookie"] = f"riskloop_form={form['token']}"
    return client.post("/login", data=form, headers=headers)


def actions(home: Home) -> list[tuple[str, str]]:
    return [(event.by, event.action) for event in reversed(latest(home.database))]


@pytest.mark.parametrize("who", ["ann", ""])
def test_a_user_or_a_key_logs_in_looks_and_logs_out(home: Home, key: str, who: str) -> None:
    client = client_of(home)
    assert client.get("/dashboard/models?before=3").headers["location"] == "/login?next=/dashboard/models%3Fbefore%3D3"
    done = log_in(client, who, WORDS if who else key, to="/dashboard/models%3Fbefore%3D3")
    assert (done.status_code, done.headers["location"]) == (303, "/dashboard/models%3Fbefore%3D3")
    page = client.get("/")
    assert page.status_code == 200
    assert (who or "ops") in page.text
    assert client.get("/login?next=/dashboard/cases").headers["location"] == "/dashboard/cases"
    cookie = client.cookies["riskloop_session"]
    out = client.post("/logout", data={"token": token_in(page)})
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert client.get("/").status_code == 303
    client.cookies.set("riskloop_session", cookie, domain="127.0.0.1", path="/")
    assert client.get("/").status_code == 303  # the server has forgotten it, not only the browser
    assert actions(home)[-2:] == [(who or "ops", "log in"), (who or "ops", "log out")]


def test_the_cookie_keeps_to_itself(home: Home, key: str) -> None:
    said = log_in(client_of(home), "ann", WORDS).headers.get_list("set-cookie")
    assert len(said) == 2
    for cookie in said:
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
        assert "expires" not in cookie.lower()
        assert "max-age" not in cookie.lower()
        assert "Secure" not in cookie


def with_settings(home: Home, text: str) -> Home:
    path = home.config
    path.write_text(path.read_text() + text)
    return Home.open(path)


def test_over_tls_at_a_trusted_proxy_the_cookie_is_secure(home: Home, key: str) -> None:
    proxied = with_settings(home, PROXY)
    client = client_of(proxied)
    said = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}
    done = log_in(client, "ann", WORDS, **said)
    cookies = done.headers.get_list("set-cookie")
    assert next(cookie.partition("=")[0] for cookie in cookies) == "__Host-riskloop_session"
    assert all("Secure" in cookie for cookie in cookies)
    record = latest(home.database)[0]
    assert record.document.items() >= {"with": "user", "address": "203.0.113.9"}.items()
    proxied.close()
    done = log_in(client_of(home), "ann", WORDS, **said)  # nobody whom this server trusts says so
    assert "Secure" not in done.headers["set-cookie"]
    assert latest(home.database)[0].document["address"] == "127.0.0.1"


def test_a_login_has_a_new_token(home: Home, key: str) -> None:
    client = client_of(home)
    client.get("/login")
    client.cookies.set("riskloop_session", "A" * 43, domain="127.0.0.1", path="/")  # somebody else put it there
    form = client.cookies["riskloop_form"]
    log_in(client, "ann", WORDS)
    first = client.cookies["riskloop_session"]
    assert first != "A" * 43
    assert client.cookies["riskloop_form"] != form
    again = {"name": "", "secret": key, "next": "/", "token": client.cookies["riskloop_form"]}
    assert client.post("/login", data=again).status_code == 303
    second = client.cookies["riskloop_session"]
    assert second != first
    client.cookies.set("riskloop_session", first, domain="127.0.0.1", path="/")
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example", "https://evil.example/", "http:evil.example", "/\\evil.example", "\\\\evil.example",
        "evil.example",
        "/\t/evil.example", "/\n/evil.example", "javascript:alert(1)", "", " /x", "/x y", "/login", "/logout?x", "/é",
        "/" * 3,
        "/a\\..\\b", "/" + "a" * 3000, "\x00/", "/%0d\r\nset-cookie: a=b",
    ],
)  # fmt: skip
def test_a_login_leads_nowhere_else(home: Home, key: str, elsewhere: str) -> None:
    assert local_path(elsewhere) == "/"


@pytest.mark.parametrize("here", ["/", "/dashboard/cases/3", "/dashboard/drift/A%20B?window=5&x=%2F%2Fy", "/loginx"])
def test_a_login_leads_back(here: str) -> None:
    assert local_path(here) == here
    assert urlsplit(here).netloc == ""


def test_the_form_after_an_open_redirect_is_local(home: Home, key: str) -> None:
    client = client_of(home)
    page = client.get("/login?next=//evil.example")
    assert "evil.example" not in page.text
    form = {"name": "ann", "secret": WORDS, "next": "https://evil.example/", "token": token_in(page)}
    assert client.post("/login", data=form).headers["location"] == "/"


@pytest.mark.parametrize(
    "asked",
    ["/dashboard/drift/a%2F%2Fb%20c?x=1&y=%23", "/dashboard/drift/%3Cscript%3E", "/dashboard/decisions?customer=a%26b"],
)
def test_what_was_asked_for_is_found_again(home: Home, key: str, asked: str) -> None:
    location = client_of(home).get(asked).headers["location"]
    found = parse_qs(urlsplit(location).query)["next"][0]
    assert httpx.URL(found).path == httpx.URL(asked).path
    assert parse_qs(urlsplit(found).query) == parse_qs(urlsplit(asked).query)
    assert local_path(found) == found


@pytest.mark.parametrize(
    ("name", "secret"), [("ann", "x"), ("nobody", WORDS), ("", "ops.x"), ("", "x"), ("ann", ""), ("ops", "x")]
)
def test_a_wrong_login_says_nothing_of_who_there_is(home: Home, key: str, name: str, secret: str) -> None:
    client = client_of(home)
    refused = log_in(client, name, secret)
    assert refused.status_code in (401, 422)
    assert "riskloop_session" not in client.cookies
    assert client.get("/").status_code == 303
    if name and secret:
        assert "Name and password do not fit." in refused.text


def test_failed_logins_are_on_record_without_what_was_typed(home: Home, key: str) -> None:
    client = client_of(home)
    log_in(client, "ann", "wrong wrong wrong")
    log_in(client, WORDS, "typed in the wrong field")
    log_in(client, "", "ops.wrong")
    found = latest(home.database)[:3]
    assert [(e.by, e.action, e.document["with"]) for e in found] == [
        ("ops", "log in failed", "key"),
        ("(unknown)", "log in failed", "user"),
        ("ann", "log in failed", "user"),
    ]
    assert "wrong" not in str(found)
    assert WORDS not in str(found)


def test_guessing_is_slowed_down_in_every_worker(home: Home, key: str) -> None:
    workers = [client_of(home) for _ in range(3)]

    def guess(numbers: range) -> list[int]:
        return [log_in(workers[number % 3], "ann", f"guess {number}").status_code for number in numbers]

    def move(seconds: int) -> None:
        """The latest guess was so much later; however slow this machine is, the pause is not over."""
        with home.database.write() as connection:
            connection.execute(update(attempts).values(last_at=attempts.c.last_at + seconds * 1_000_000))

    assert guess(range(5)) == [401] * 5
    move(60)
    assert guess(range(5, 8)) == [429] * 3
    refused = log_in(workers[0], "ann", WORDS)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    move(-62)
    assert log_in(workers[1], "ann", WORDS).status_code == 303
    assert [action for _, action in actions(home)].count("log in failed") == 5


def test_roles_hold_for_sessions_and_end_with_them(home: Home, key: str) -> None:
    client = client_of(home)
    log_in(client, "ann", WORDS)
    assert client.get("/dashboard/models/rollback").status_code == 403
    assert "ann" in client.get("/dashboard/models/rollback").text
    Users(home.database).set_roles("ann", [Role.OPERATE], at=NOW, by="root")
    assert client.get("/").status_code == 303
    log_in(client, "ann", WORDS)
    assert client.get("/dashboard/models/rollback").status_code == 404  # allowed, and there is nothing to roll back to


def test_a_form_of_another_page_logs_nobody_in_or_out(home: Home, key: str) -> None:
    client = client_of(home)
    client.get("/login")
    form = {"name": "ann", "secret": WORDS, "next": "/"}
    for token, headers in (
        ("", {}),
        ("x", {}),
        (client.cookies["riskloop_form"], {"origin": "http://evil.example"}),
        (client.cookies["riskloop_form"], {"sec-fetch-site": "cross-site"}),
    ):
        assert client.post("/login", data={**form, "token": token}, headers=headers).status_code == 403
    log_in(client, "ann", WORDS)
    assert client.post("/logout", data={"token": "x"}).status_code == 403
    assert client.get("/").status_code == 200


def test_no_page_is_open_and_none_names_the_portfolio(home: Home, key: str) -> None:
    client = client_of(home)
    name = "loans"
    assert name in home.settings.portfolio.name
    for path in (
        "/",
        "/dashboard/drift",
        "/dashboard/nothing",
        "/dashboard/live",
        "/dashboard/cases/1/approve",
        "/login",
    ):
        answer = client.get(path)
        assert answer.status_code in ((200,) if path == "/login" else (303, 401)), path
        assert name not in answer.text
    for path in ("/dashboard/models/rollback", "/dashboard/cases/1/approve"):
        assert client.post(path, data={"note": "x"}).status_code == 401


def test_a_link_from_elsewhere_finds_the_session(home: Home, key: str) -> None:
    """Strict cookies stay behind when another site's link is followed; the page asks once more by itself."""
    page = client_of(home).get("/dashboard/cases?show=open", headers={"sec-fetch-site": "cross-site"})
    assert page.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/dashboard/cases?show=open">' in page.text


def test_a_page_that_polls_does_not_keep_a_session(home: Home, key: str) -> None:
    client = client_of(home)
    log_in(client, "ann", WORDS)

    def seen(path: str, **headers: str) -> bool:
        with home.database.write() as connection:
            connection.execute(update(sessions).values(seen_at=sessions.c.seen_at - 60_000_000))
            before = connection.execute(select(sessions.c.seen_at)).scalar_one()
        assert client.get(path, headers=headers).status_code == 200
        with home.database.read() as connection:
            return bool(connection.execute(select(sessions.c.seen_at)).scalar_one() > before)

    assert not seen("/dashboard/live")
    assert not seen("/", **{"sec-fetch-mode": "cors"})
    assert seen("/", **{"sec-fetch-mode": "navigate"})


def test_without_keys_there_is_nothing_to_log_in_to(home: Home) -> None:
    assert client_of(home).get("/login").headers["location"] == "/"
    assert "Log out" not in client_of(home).get("/").text


def test_an_expired_key_logs_nobody_in(home: Home) -> None:
    keys = Keys(home.database)
    key = keys.create("ops", [Role.VIEW], at=NOW, by="root", expires_at=NOW + timedelta(days=1))
    client = client_of(home)
    assert log_in(client, "", key).status_code == 401
    assert client.get("/", headers={"x-api-key": key}).status_code == 303
