"""Tokens that somebody made up, and logins at a real provider that somebody interferes with."""

import base64
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
import requests
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from tests.serve.conftest import CONFIG, Running, add_model, promote

from riskloop.core.errors import ConfigError, Unauthorised, Unreachable
from riskloop.core.settings import SsoSettings, parse_settings
from riskloop.identity import oidc
from riskloop.identity.oidc import Begun, Provider
from riskloop.serve.process import bind
from riskloop.store import audit
from riskloop.store.attempts import FREE
from riskloop.store.home import Home
from riskloop.store.tables import attempts

AUDIENCE = "riskloop-api"


class Issuer:
    """Serves a discovery document and keys."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, parameters={"use": "sig"}, auto_kid=True)
        self.published: list[Any] = [self.key]
        self.asked = 0
        self.named: str | None = None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document: dict[str, Any] = {"issuer": issuer.named or issuer.url, "jwks_uri": f"{issuer.url}/jwks"}
                if self.path == "/jwks":
                    issuer.asked += 1
                    document = {
                        "keys": [k if isinstance(k, dict) else k.as_dict(private=False) for k in issuer.published]
                    }
                body = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        found: dict[str, Any] = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "1",
            "email": "anna@bank.example",
            "groups": ["heads"],
        }
        found |= {"iat": now, "exp": now + 300, **changes}
        return {name: value for name, value in found.items() if value is not None}

    def token(self, key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid, **(header or {})}, self.claims(**changes), key)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.stop()


@pytest.fixture
def provider(issuer: Issuer) -> Provider:
    settings = SsoSettings(issuer=issuer.url, client_id="riskloop", url="http://127.0.0.1:1", audience=AUDIENCE)
    return Provider(settings, None)


def test_a_token_of_the_issuer_names_a_person(issuer: Issuer, provider: Provider) -> None:
    person = provider.of_token(issuer.token())
    assert (person.name, person.groups) == ("anna@bank.example", ("heads",))
    assert provider.of_token(issuer.token(aud=["other", AUDIENCE])).name == person.name
    late = int(time.time()) - oidc.SKEW // 2
    assert provider.of_token(issuer.token(exp=late)).name == person.name, "clocks differ"
    early = int(time.time()) + oidc.SKEW // 2
    assert provider.of_token(issuer.token(nbf=early, iat=early)).name == person.name
    assert issuer.asked == 1, "keys are kept"


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def with_public_key_as_secret(issuer: Issuer) -> str:
    signed = f"{part({'alg': 'HS256', 'kid': issuer.key.kid})}.{part(issuer.claims())}"
    made = hmac.digest(issuer.key.as_pem(private=False), signed.encode(), "sha256")  # libraries refuse to do it
    return f"{signed}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


def of_a_stranger(issuer: Issuer) -> str:
    stranger = RSAKey.generate_key(2048)
    return issuer.token(stranger, {"kid": issuer.key.kid})


def with_its_own_key(issuer: Issuer) -> str:
    stranger = RSAKey.generate_key(2048)
    return jwt.encode(
        {"alg": "RS256", "kid": issuer.key.kid, "jwk": stranger.as_dict(private=False)}, issuer.claims(), stranger
    )


def unsigned(issuer: Issuer) -> str:
    return f"{part({'alg': 'none', 'kid': issuer.key.kid})}.{part(issuer.claims())}."


def altered(issuer: Issuer) -> str:
    head, _, sign = issuer.token().split(".")
    return f"{head}.{part(issuer.claims(groups=['heads', 'admins']))}.{sign}"


PAST = int(time.time()) - 3600
FORGED: dict[str, Callable[[Issuer], str]] = {
    "no signature": unsigned,
    "another content": altered,
    "the public key taken for a secret": with_public_key_as_secret,
    "another key under the same name": of_a_stranger,
    "a key that it brings itself": with_its_own_key,
    "a key that nobody knows": lambda i: i.token(header={"kid": "unknown"}),
    "no name of a key": lambda i: jwt.encode({"alg": "RS256"}, i.claims(), i.key),
    "a critical header": lambda i: (
        f"{part({'alg': 'RS256', 'kid': i.key.kid, 'crit': ['x'], 'x': 1})}.{i.token().split('.', 1)[1]}"
    ),
    "another algorithm": lambda i: jwt.encode(
        {"alg": "RS512", "kid": i.key.kid}, i.claims(), i.key, algorithms=["RS512"]
    ),
    "another issuer": lambda i: i.token(iss="https://evil.example"),
    "no issuer": lambda i: i.token(iss=None),
    "another audience": lambda i: i.token(aud="other"),
    "no audience": lambda i: i.token(aud=None),
    "a proof of a login": lambda i: i.token(aud="riskloop"),
    "expired": lambda i: i.token(exp=PAST),
    "no expiry": lambda i: i.token(exp=None),
    "an expiry that is no number": lambda i: i.token(exp="never"),
    "not yet": lambda i: i.token(nbf=int(time.time()) + 3600),
    "no subject": lambda i: i.token(sub=None),
    "no name": lambda i: i.token(email=None),
    "a name that is a list": lambda i: i.token(email=["anna"]),
    "an address that nobody verified": lambda i: i.token(email_verified=False),
    "an address that somebody says in a word nobody verified": lambda i: i.token(email_verified="false"),
    "an address whose verification is a riddle": lambda i: i.token(email_verified=0),
    "a name with a terminal's orders": lambda i: i.token(email="anna\x1b[2K@bank.example"),
    "a name with a second line": lambda i: i.token(email="anna@bank.example\nbob"),
    "a name that looks like another": lambda i: i.token(email="anna\u200b@bank.example"),
    "a name that turns around": lambda i: i.token(email="\u202eelpmaxe.knab@anna"),
    "for several, made for another": lambda i: i.token(aud=[AUDIENCE, "other"], azp="other"),
    "very long": lambda i: i.token(groups=["x" * 20_000]),
    "no token": lambda i: "eyJ.eyJ.eyJ",
    "a list": lambda i: f"{part([1])}.{part([1])}.x",
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_token_that_is_not_as_it_must_be_opens_nothing(issuer: Issuer, provider: Provider, forged: str) -> None:
    with pytest.raises(Unauthorised):
        provider.of_token(FORGED[forged](issuer))


def test_keys_are_rotated_and_a_flood_of_unknown_ones_asks_once(
    issuer: Issuer, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.of_token(issuer.token())
    new = RSAKey.generate_key(2048, auto_kid=True)
    issuer.published.append(new)
    for _ in range(20):
        with pytest.raises(Unauthorised):
            provider.of_token(issuer.token(header={"kid": "unknown"}))
    assert issuer.asked == 1
    monkeypatch.setattr(oidc, "ROTATED", 0.0)
    assert provider.of_token(issuer.token(new)).name == "anna@bank.example"
    issuer.published.remove(issuer.key)
    monkeypatch.setattr(oidc, "KEEP", 0.0)
    with pytest.raises(Unauthorised):
        provider.of_token(issuer.token())


def test_keys_for_something_else_sign_nothing(issuer: Issuer, provider: Provider) -> None:
    encrypts = RSAKey.generate_key(2048, auto_kid=True)
    published = {**encrypts.as_dict(private=False), "use": "enc"}
    curve = ECKey.generate_key("P-256", auto_kid=True)
    issuer.published += [published, curve, {"kty": "oct", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0", "kid": "shared"}]
    with pytest.raises(Unauthorised):
        provider.of_token(issuer.token(encrypts))
    shared = OctKey.import_key({"kty": "oct", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0", "kid": "shared"})
    with pytest.raises(Unauthorised):
        provider.of_token(
            jws.serialize_compact(
                {"alg": "HS256", "kid": "shared"}, json.dumps(issuer.claims()).encode(), shared, ["HS256"]
            )
        )
    signed = jwt.encode({"alg": "ES256", "kid": curve.kid}, issuer.claims(), curve, algorithms=["ES256"])
    assert provider.of_token(signed).name == "anna@bank.example"


def test_a_provider_with_another_name_is_not_the_one(issuer: Issuer, provider: Provider) -> None:
    issuer.named = "https://evil.example"
    with pytest.raises(Unreachable, match="calls itself"):
        provider.of_token(issuer.token())


def test_a_provider_that_is_away_is_left_alone_for_a_while(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers who begin logins must not keep every thread waiting for it."""
    asked: list[str] = []

    def get(url: str, **_: Any) -> Any:
        asked.append(url)
        raise requests.ConnectionError("away")

    monkeypatch.setattr(requests, "get", get)
    provider = Provider(SsoSettings(issuer=issuer.url, client_id="riskloop", url="http://127.0.0.1:1"), None)
    for _ in range(10):
        with pytest.raises(Unreachable, match="away"):
            provider.begin("/")
    assert len(asked) == 1
    monkeypatch.setattr(oidc, "PAUSE", 0.0)
    with pytest.raises(Unreachable):
        provider.begin("/")
    assert len(asked) == 2


@pytest.mark.parametrize("url", ["http://evil.example/token", "ftp://x", "", "//x", "http://127.0.0.1.evil.example/"])
def test_addresses_of_the_provider_are_https(url: str) -> None:
    with pytest.raises(Unreachable):
        oidc.require_safe(url, "token_endpoint")


@pytest.mark.parametrize("text", ["", "zz", "00", json.dumps({"state": "x"}).encode().hex(), b"[]".hex()])
def test_a_cookie_that_is_none_of_ours_is_no_login(text: str) -> None:
    with pytest.raises(Unauthorised):
        Begun.of(text)


SSO = '[sso]\nissuer = "https://login.bank.example"\nclient_id = "riskloop"\nurl = "https://riskloop.bank.example"\n'


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("https://login", "http://login"),
        ('client_id = "riskloop"\n', ""),
        ('url = "https://riskloop.bank.example"\n', ""),
        ('.example"\nclient', '.example?x=1"\nclient'),
        ("client_id", 'algorithms = ["HS256"]\nclient_id'),
        ("client_id", 'algorithms = ["none"]\nclient_id'),
        ("client_id", 'audience = "riskloop"\nclient_id'),
    ],
)
def test_settings_that_would_open_a_door_are_refused(was: str, now: str) -> None:
    parse_settings(CONFIG + SSO)
    assert was in SSO
    with pytest.raises(ConfigError, match="sso"):
        parse_settings(CONFIG + SSO.replace(was, now))


# --------------------------------------------------------------------------- a real provider


class Login:
    """A server of ours, a provider in its own process, and a browser."""

    def __init__(self, folder: Path, provider: str, home: Home, server: Running) -> None:
        self.folder, self.provider, self.home, self.url = folder, provider, home, server.url
        self.browser = httpx.Client(base_url=server.url, timeout=30)

    def begin(self, after: str = "/") -> str:
        """The address of the provider to which the browser is sent."""
        answer = self.browser.get("/login/sso", params={"next": after})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(self.provider)
        return str(answer.headers["location"])

    def answer(self, address: str) -> str:
        """Where the provider sends the browser then: path and query at our server."""
        found = httpx.get(address, timeout=30)
        assert found.status_code == 302, found.text
        return str(found.headers["location"]).removeprefix(self.url)

    def forget(self) -> None:
        """What failed before does not slow this test down."""
        with self.home.database.write() as connection:
            connection.execute(attempts.delete())

    def be(self, *groups: str, email: str = "anna@bank.example") -> None:
        (self.folder / "person.json").write_text(json.dumps({"sub": "1", "email": email, "groups": groups}))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, Home, Running]]:
    """A provider and our server, which take their time to start."""
    folder = tmp_path_factory.mktemp("sso")
    with bind("127.0.0.1", 0) as ours, bind("127.0.0.1", 0) as theirs:
        port, other = ours.getsockname()[1], theirs.getsockname()[1]
    url, issuer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}"
    sso = f'[sso]\nissuer = "{issuer}"\nclient_id = "riskloop"\nurl = "{url}"\naudience = "{AUDIENCE}"\n'
    groups = '[access.groups]\nheads = ["operate"]\nanalysts = ["view"]\n'
    (folder / "riskloop.toml").write_text(CONFIG + sso + groups)
    (folder / "redirect").write_text(f"{url}/login/sso/callback")
    home = Home.open(folder)
    promote(home, add_model(home))
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("provider.py")), str(other), str(folder)]
    environment = {**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"}
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(command, text=True, env=environment, **quiet) as process,  # type: ignore[call-overload]
    ):
        patch.setenv("RISKLOOP_SSO_SECRET", "not-a-secret")
        assert process.stdout.readline().strip() == issuer
        server = Running(home, port)
        server.start()
        try:
            yield folder, issuer, home, server
        finally:
            server.stop()
            process.kill()
    home.close()


@pytest.fixture
def login(house: tuple[Path, str, Home, Running]) -> Iterator[Login]:
    """A new browser, and a head of risk at the provider."""
    made = Login(*house)
    made.be("heads")
    made.forget()
    yield made
    made.browser.close()


def refused(answer: httpx.Response) -> bool:
    return answer.status_code in (401, 403) and "riskloop_session" not in answer.headers.get("set-cookie", "")


def test_a_person_logs_in_and_out(login: Login) -> None:
    before = login.browser.get("/")
    assert before.status_code == 303, "nothing is open without a login"
    assert "single sign-on" in login.browser.get("/login").text
    page = login.browser.get(login.answer(login.begin("/dashboard/models?x=1")))
    assert page.status_code == 200
    assert 'content="0; url=/dashboard/models?x=1"' in page.text
    assert "HttpOnly" in page.headers["set-cookie"]
    assert "SameSite=strict" in page.headers["set-cookie"]
    shown = login.browser.get("/")
    assert shown.status_code == 200
    assert "sso:anna@bank.example" in shown.text
    assert login.browser.get("/metrics").status_code == 200
    token = shown.text.split('name="token" value="')[1].split('"')[0]
    assert login.browser.post("/logout", data={"token": token}).status_code == 303
    assert login.browser.get("/metrics").status_code == 401
    said = [(event.by, event.action) for event in audit.latest(login.home.database)]
    assert {("sso:anna@bank.example", "log in"), ("sso:anna@bank.example", "log out")} <= set(said)


def test_groups_say_what_a_person_may_do(login: Login) -> None:
    login.be("analysts", "others")
    login.browser.get(login.answer(login.begin()))
    assert login.browser.get("/metrics").status_code == 200
    promoted = login.browser.post("/models/1/promote", json={"reason": "x", "force": True})
    assert promoted.status_code == 403
    login.browser.cookies.clear()
    login.be("others")
    page = login.browser.get(login.answer(login.begin()))
    assert page.status_code == 403
    assert "in no group" in page.text
    assert refused(page)


def test_an_answer_belongs_to_the_browser_that_began(login: Login) -> None:
    """CSRF on the callback: an attacker's own answer must not log a victim in as the attacker, nor be used twice."""
    address = login.begin()
    answer = login.answer(address)
    with httpx.Client(base_url=login.url, timeout=30) as victim:
        assert refused(victim.get(answer)), "a browser that began nothing"
        victim.get("/login/sso")
        assert refused(victim.get(answer)), "one that began another login"
    assert login.browser.get(answer).status_code == 200
    assert refused(login.browser.get(answer)), "used twice"


def test_who_changes_the_answer_gets_nothing(login: Login) -> None:
    cookie = "riskloop_sso"

    def fresh() -> tuple[dict[str, str], str]:
        login.forget()
        path, _, query = login.answer(login.begin()).partition("?")
        return dict(parse_qsl(query)), path

    for change in ({"state": "x"}, {"state": ""}, {"code": "x"}, {"iss": "https://evil.example"}):
        query, path = fresh()
        assert refused(login.browser.get(f"{path}?{urlencode({**query, **change})}")), change
    query, path = fresh()
    assert refused(login.browser.get(f"{path}?error=access_denied&state={query['state']}"))
    query, path = fresh()
    assert refused(login.browser.get(f"{path}?{urlencode(query)}&code=x")), "said twice"
    for name in ("nonce", "verifier", "state"):
        query, path = fresh()
        begun = json.loads(bytes.fromhex(login.browser.cookies[cookie]))
        begun[name] = "x" * 64
        login.browser.cookies.set(cookie, json.dumps(begun).encode().hex(), domain="127.0.0.1", path="/")
        assert refused(login.browser.get(f"{path}?{urlencode(query)}")), name
        login.browser.cookies.clear()


@pytest.mark.parametrize(
    "after", ["https://evil.example", "//evil.example", "/\\evil.example", "/login/sso", "javascript:x"]
)
def test_no_login_leads_to_another_site(login: Login, after: str) -> None:
    page = login.browser.get(login.answer(login.begin(after)))
    assert page.status_code == 200
    assert 'content="0; url=/"' in page.text
    login.begin()
    begun = json.loads(bytes.fromhex(login.browser.cookies["riskloop_sso"]))
    changed = json.dumps({**begun, "after": after}).encode().hex()
    answer = f"/login/sso/callback?state={begun['state']}"
    login.browser.cookies.clear()
    assert "evil" not in login.browser.get(answer, headers={"cookie": f"riskloop_sso={changed}"}).text


def test_a_login_begins_a_new_session_whatever_cookie_was_there(login: Login) -> None:
    login.browser.cookies.set("riskloop_session", "f" * 43, domain="127.0.0.1", path="/")
    login.browser.get(login.answer(login.begin()))
    first = {c.value for c in login.browser.cookies.jar if c.name == "riskloop_session"}
    assert "f" * 43 not in first
    login.browser.get(login.answer(login.begin()))
    second = {c.value for c in login.browser.cookies.jar if c.name == "riskloop_session"}
    assert first.isdisjoint(second)


def test_the_provider_may_rotate_its_keys(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "ROTATED", 0.0)
    assert login.browser.get(login.answer(login.begin())).status_code == 200
    (login.folder / "rotate").touch()
    assert login.browser.get(login.answer(login.begin())).status_code == 200


def test_an_api_token_of_the_wrong_kind_is_refused_and_on_record(login: Login) -> None:
    for text in ("eyJhbGciOiJub25lIn0.e30.", "eyJ.x.y"):
        answer = httpx.post(f"{login.url}/predict", json={}, headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 401


def test_answers_that_somebody_made_up_are_slowed_down_and_on_record(login: Login) -> None:
    """The cookie is the browser's own: without a pause each made-up one would ask the provider."""
    begun = Begun("s" * 43, "n" * 43, "v" * 43, "/").text()
    answers = [
        httpx.get(
            f"{login.url}/login/sso/callback?code={number}&state={'s' * 43}",
            headers={"cookie": f"riskloop_sso={begun}"},
        )
        for number in range(FREE + 3)
    ]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert int(answers[-1].headers.get("retry-after", "1")) >= 1
    assert "log in failed" in {event.action for event in audit.latest(login.home.database, 3)}
