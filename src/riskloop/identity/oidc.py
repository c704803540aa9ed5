"""Single sign-on by OpenID Connect: authorisation code with PKCE, state and nonce; tokens of its issuer for the API.

What a token must be is fixed here and in the settings, never read from the token: issuer, audience, algorithms (with
public keys only, so that no key can be taken for a secret), expiry with a minute for clocks that differ. RFC 9700 is
followed; an answer that names another issuer is refused (RFC 9207).
"""

import hmac
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests

from riskloop.core.errors import ConfigError, Unauthorised, Unreachable
from riskloop.core.settings import SsoSettings
from riskloop.identity.client import is_loopback

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

CALLBACK: Final = "/login/sso/callback"
SKEW: Final = 60  # seconds that clocks may differ
TIMEOUT: Final = 10.0  # seconds that the provider may take
OUTLIVES: Final = 86_400.0  # seconds that its keys are used while it does not answer
KEEP: Final = 3600.0  # seconds until its keys are asked for again
PAUSE: Final = 5.0  # seconds that it is left alone after it did not answer
ROTATED: Final = 30.0  # … and least pause when a token names a key that is not known
LARGEST: Final = 2**20  # bytes of a provider's document
LONGEST: Final = 16_384  # characters of a token


@dataclass(frozen=True, slots=True)
class Begun:
    """A login that has begun: the browser keeps it, and the callback must belong to it."""

    state: str
    nonce: str
    verifier: str
    after: str  # where to go then

    def text(self) -> str:
        """As the value of a cookie."""
        return json.dumps(asdict(self), separators=(",", ":")).encode().hex()

    @classmethod
    def of(cls, text: str) -> "Begun":
        """The inverse of `text`; Unauthorised for anything else."""
        try:
            found = json.loads(bytes.fromhex(text))
            return cls(*(str(found[name]) for name in ("state", "nonce", "verifier", "after")))
        except (ValueError, KeyError, TypeError):
            raise Unauthorised("This login was not begun in this browser. Begin it again at /login.") from None


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider names."""

    name: str
    groups: tuple[str, ...]


class Provider:
    """The issuer of `sso.issuer`. Its methods block: they ask it."""

    def __init__(self, settings: SsoSettings, secret: str | None) -> None:
        try:
            import authlib  # noqa: F401 - said at the start, not at the first login
        except ImportError as error:
            raise ConfigError(
                f"Single sign-on needs its library ({error}); install it with `pip install 'riskloop[sso]'`."
            ) from None
        self._settings = settings
        self._issuer = settings.issuer or ""
        self._secret = secret
        self._lock = Lock()
        self._document: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._failed: dict[str, tuple[float, str]] = {}  # when it did not answer last, and why
        self._asked = 0.0  # for the keys, by the monotonic clock
        self._tried = 0.0

    @property
    def redirect(self) -> str:
        """Where the provider sends the browser back to: a setting, because a request's host is no proof."""
        return f"{self._settings.url}{CALLBACK}"

    def begin(self, after: str) -> tuple[str, Begun]:
        """The provider's address for a new login, and what the browser has to keep."""
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        begun = Begun(state, nonce, verifier, after)
        session = self._session()
        address, _ = session.create_authorization_url(
            self._endpoint("authorization_endpoint"),
            state=begun.state,
            nonce=begun.nonce,
            code_verifier=begun.verifier,
        )
        return str(address), begun

    def finish(self, begun: Begun, query: dict[str, str]) -> Person:
        """Who logged in, by the callback's query; Unauthorised when anything is not as it must be."""
        if not hmac.compare_digest(query.get("state", "").encode(), begun.state.encode()):
            raise Unauthorised(
                "This answer does not belong to the login that was begun here. Begin it again at /login."
            )
        if query.get("iss", self._issuer) != self._issuer:
            raise Unauthorised("The answer came from another provider than the one that was asked. Nothing was done.")
        if "code" not in query:
            raise Unauthorised("The provider did not log anybody in. Begin again at /login.")
        from authlib.common.errors import AuthlibBaseError

        try:
            token = self._session().fetch_token(
                self._endpoint("token_endpoint"),
                code=query["code"],
                code_verifier=begun.verifier,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except (AuthlibBaseError, requests.RequestException, ValueError) as error:
            raise Unauthorised(
                f"The provider did not accept the login ({type(error).__name__}). Begin again."
            ) from None
        claims = self._claims(str(token.get("id_token", "")), self._settings.client_id)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), begun.nonce.encode()):
            raise Unauthorised("The provider's token belongs to another login. Begin again at /login.")
        return self._person(claims)

    def of_token(self, text: str) -> Person:
        """Whom an access token for the API names; Unauthorised when it is not valid."""
        if self._settings.audience is None:
            raise Unauthorised("This server takes no tokens of the provider ([sso] audience).")
        return self._person(self._claims(text, self._settings.audience))

    def _claims(self, text: str, audience: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError

        registry = jwt.JWTClaimsRegistry(
            leeway=SKEW,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        if len(text) > LONGEST:
            raise Unauthorised("The token is too long.")
        try:
            kid = _kid(text)
            token = jwt.decode(text, self._key_set(kid), algorithms=list(self._settings.algorithms))
            registry.validate(token.claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise Unauthorised(f"The token of the provider is not valid ({type(error).__name__}).") from None
        if token.claims.get("azp", audience) != audience and isinstance(token.claims["aud"], list):
            raise Unauthorised("The token of the provider was made for another client.")
        return dict(token.claims)

    def _person(self, claims: dict[str, Any]) -> Person:
        name, groups = claims.get(self._settings.name_claim), claims.get(self._settings.groups_claim, [])
        if not isinstance(name, str) or not name.strip() or len(name) > 150 or not name.strip().isprintable():
            raise Unauthorised(f"The provider's token has no name in its claim '{self._settings.name_claim}'.")
        if self._settings.name_claim == "email" and claims.get("email_verified", True) not in (True, "true"):
            raise Unauthorised("The provider has not verified this address.")
        found = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Person(name.strip(), tuple(group for group in found if isinstance(group, str)))

    def _key_set(self, kid: str) -> "KeySet":
        """The provider's keys; asked for again when one is not known, which is how it rotates them."""
        from joserfc.jwk import KeySet

        with self._lock:
            now = time.monotonic()
            known = self._keys is not None and any(key.kid == kid for key in self._keys)
            stale = self._keys is None or now - self._asked > KEEP
            if stale or (not known and now - self._tried > ROTATED):
                self._tried = now
                try:
                    found = self._get(self._endpoint("jwks_uri"))
                    usable = [key for key in found["keys"] if key.get("use", "sig") == "sig" and key.get("kid")]
                    self._keys = KeySet.import_key_set({"keys": [k for k in usable if k.get("kty") != "oct"]})
                    self._asked = now
                except Unreachable:
                    if self._keys is None or now - self._asked > OUTLIVES:
                        raise
            if self._keys is None:
                raise Unreachable("The provider of single sign-on did not give its keys; try again in half a minute.")
            return self._keys

    def _endpoint(self, name: str) -> str:
        if name not in self._document:
            found = self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self._issuer:
                raise Unreachable(f"The provider calls itself '{found.get('issuer')}', not '{self._issuer}'.")
            self._document = found
        return require_safe(str(self._document.get(name, "")), name)

    def _get(self, url: str) -> dict[str, Any]:
        failed, message = self._failed.get(url, (-PAUSE, ""))
        if time.monotonic() - failed < PAUSE:  # strangers must not keep every thread waiting for it
            raise Unreachable(message)
        try:
            with requests.get(url, timeout=TIMEOUT, allow_redirects=False, stream=True) as answer:
                answer.raise_for_status()
                if answer.status_code != 200:
                    raise ValueError(f"it answered {answer.status_code}")
                found = json.loads(answer.raw.read(LARGEST, decode_content=True))
        except (requests.RequestException, ValueError) as error:
            said = f"The provider of single sign-on does not answer as it should at {url}: {error}."
            self._failed[url] = time.monotonic(), said
            raise Unreachable(said) from None
        if not isinstance(found, dict):
            raise Unreachable(f"The provider's document at {url} is no JSON object.")
        return found

    def _session(self) -> Any:
        from authlib.integrations.requests_client import OAuth2Session

        return OAuth2Session(
            self._settings.client_id,
            self._secret,
            scope=" ".join(self._settings.scopes),
            redirect_uri=self.redirect,
            code_challenge_method="S256",
            token_endpoint_auth_method="none" if self._secret is None else "client_secret_basic",
        )


def sso_secret() -> str | None:
    """The client's secret from the environment; None for a public client, which PKCE alone protects."""
    return os.environ.get("RISKLOOP_SSO_SECRET") or None


def looks_like_token(text: str) -> bool:
    """Whether a bearer is a signed token and no key of ours: three parts, of which the first is a JSON object."""
    return text.count(".") == 2 and text.startswith("eyJ")


def require_safe(url: str, what: str) -> str:
    """``url``, if it is HTTPS or on this machine; Unreachable for any other."""
    parsed = urlsplit(url)
    if parsed.scheme == "https" or (parsed.scheme == "http" and is_loopback(parsed.hostname or "")):
        return url
    raise Unreachable(f"The provider's {what} is '{url}', which is not HTTPS.")


def _kid(text: str) -> str:
    from joserfc.util import urlsafe_b64decode

    header = json.loads(urlsafe_b64decode(text.split(".")[0].encode()))
    if "crit" in header:
        raise ValueError("crit")
    return str(header["kid"])
