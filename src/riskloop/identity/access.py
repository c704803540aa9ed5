"""Who asks, and whether they may. A key, a session or a trusted proxy says who; without any of them, this machine does.

Of a request, the first of these counts that it carries: the header of a trusted proxy, a key, the
cookie of a session. One that is there and not valid is refused: nothing falls back to a weaker one.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from riskloop.core.errors import Forbidden, RiskloopError, Unauthorised
from riskloop.core.settings import AccessSettings
from riskloop.identity.client import address_of, header, is_loopback, is_secure, peer, within
from riskloop.identity.oidc import Person, looks_like_token
from riskloop.store.keys import KeyRing, Role, Roles, roles_of
from riskloop.store.sessions import Sessions

LOCAL: Final = "local"  # who acts while there are no keys
COOKIE: Final = "riskloop_session"
SECURE_COOKIE: Final = f"__Host-{COOKIE}"  # browsers take this name over TLS only, and from this very host
_CALLER: Final = "riskloop.caller"

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``name`` is what goes on record."""

    name: str
    roles: Roles
    session: str | None = None  # the token, when a session says who


class Issuer(Protocol):
    """Vouches for people by tokens that it signed."""

    def of_token(self, text: str) -> Person:
        """Whom a token for the API names; Unauthorised when it is not valid."""
        ...


class RefusedKeys(Protocol):
    """Keeps what was refused, for the record."""

    def refused(self, name: str, address: str) -> None:
        """A key that is not valid came from an address; ``name`` is empty when no key has it."""
        ...


def roles_of_groups(groups: Sequence[str], settings: AccessSettings) -> Roles:
    """What a person in these groups may do: by each group of `access.groups`, and by `*`."""
    named = {role for group in ("*", *groups) for role in settings.groups.get(group, ())}
    return roles_of(",".join(named))


class Access:
    """Checks each request against the keys in force, the sessions, and the settings."""

    def __init__(
        self,
        ring: KeyRing,
        settings: AccessSettings,
        sessions: Sessions,
        refused: RefusedKeys | None = None,
        issuer: Issuer | None = None,
    ) -> None:
        self.ring = ring
        self._settings = settings
        self._sessions = sessions
        self._refused = refused
        self._issuer = issuer
        self._user_header = (settings.user_header or "").lower().encode()
        self._local: dict[Any, RiskloopError | None] = {}  # by address and name; very few of both are in use

    @property
    def asks(self) -> bool:
        """Whether everybody has to say who they are. It never becomes false again while the server runs."""
        return bool(self.ring) or bool(self._user_header) or self._issuer is not None

    def require(self, role: Role | None, scope: Any) -> str:
        """The name of who may act in ``role``, anybody known for None; raises Unauthorised or Forbidden."""
        caller = self.caller(scope)
        if role is not None and role not in caller.roles:
            what = "session" if caller.session else "key"
            raise Forbidden(f"The {what} of '{caller.name}' has no role '{role.value}', which this needs.")
        return caller.name

    def caller(self, scope: Any) -> Caller:
        """Who asks; raises Unauthorised or Forbidden. May ask the database: see `waits`."""
        found: Caller | None = scope.get(_CALLER)
        if found is None:
            found = scope[_CALLER] = self._find(scope)
        return found

    def waits(self, scope: Any) -> bool:
        """Whether `caller` has to ask the database or the issuer, which the event loop must not wait for."""
        if not self.asks:
            return False
        text = _key(scope["headers"])
        return text is None or (self._issuer is not None and looks_like_token(text))

    def token(self, scope: Any) -> str | None:
        """The token in the session's cookie, whether it is valid or not."""
        wanted = SECURE_COOKIE if is_secure(scope, self._settings) else COOKIE
        for part in (header(scope, b"cookie") or "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == wanted:
                return value
        return None

    def _find(self, scope: Any) -> Caller:
        if self._user_header and (name := header(scope, self._user_header)) is not None:
            return self._proxied(scope, name)
        if not self.asks:
            return self._without_keys(scope)
        text = _key(scope["headers"])
        if text is not None:
            return self._with_key(scope, text)
        token = self.token(scope)
        if token is None:
            raise Unauthorised(
                "This server asks for a key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY', "
                "or log in at /login."
            )
        session = self._sessions.find(token, used=_by_hand(scope))
        if session is None:
            raise Unauthorised("The session is over; log in again at /login.")
        return Caller(session.name, session.roles, token)

    def _with_key(self, scope: Any, text: str) -> Caller:
        if self._issuer is not None and looks_like_token(text):
            return self._with_token(self._issuer, scope, text)
        found = self.ring.check(text)
        if found is not None:
            return Caller(*found)
        if self._refused is not None:
            name = text.rpartition(".")[0]
            self._refused.refused(name if self.ring.names(name) else "", address_of(scope, self._settings))
        raise Unauthorised("The key is not valid (unknown, expired or revoked); `riskloop keys create` makes one.")

    def _with_token(self, issuer: Issuer, scope: Any, text: str) -> Caller:
        try:
            person = issuer.of_token(text)
        except Unauthorised:
            if self._refused is not None:
                self._refused.refused("", address_of(scope, self._settings))
            raise
        return Caller(f"sso:{person.name}", roles_of_groups(person.groups, self._settings))

    def _proxied(self, scope: Any, name: str) -> Caller:
        settings = self._settings
        if not within(peer(scope), settings.header_from):
            raise Forbidden(
                f"The header {settings.user_header} may come from the proxy only (`access.header_from`); "
                f"it came from {peer(scope) or 'a socket'}."
            )
        if _count(scope, self._user_header) > 1 or not name.strip() or not name.strip().isprintable():
            raise Forbidden(f"The header {settings.user_header} names nobody, or several people.")
        grouping = settings.groups_header.lower().encode() if settings.groups_header else b""
        if _count(scope, grouping) > 1:  # a proxy that adds its own beside the client's: nobody knows whose is whose
            raise Forbidden(f"The header {settings.groups_header} came twice; a proxy has to replace what it is sent.")
        said = header(scope, grouping)
        groups = [group.strip() for group in (said or "").split(",") if group.strip()]
        return Caller(f"proxy:{name.strip()[:150]}", roles_of_groups(groups, settings))

    def _without_keys(self, scope: Any) -> Caller:
        where = (scope.get("server") or ("",))[0], next((v for n, v in scope["headers"] if n == b"host"), None)
        if where not in self._local:
            if len(self._local) > 1000:  # clients can invent any number of names
                self._local.clear()
            self._local[where] = _stranger(*where)
        refusal = self._local[where]
        if refusal is not None:
            raise refusal
        return _EVERYBODY


_EVERYBODY: Final = Caller(LOCAL, frozenset(Role))


def _count(scope: Any, name: bytes) -> int:
    return sum(known == name for known, _ in scope["headers"])


def _by_hand(scope: Any) -> bool:
    """Whether a person asked, and no script of an open page: a page that polls must not keep a session for ever."""
    return header(scope, b"sec-fetch-mode") in (None, "navigate") and scope["path"] != "/dashboard/live"


def _stranger(address: str, host: bytes | None) -> RiskloopError | None:
    """Why a request without a key is not from this machine; None when it is."""
    make = "make a key with `riskloop keys create`"
    if address.startswith("/"):  # a Unix socket
        return None
    if not is_loopback(address):
        return Unauthorised(f"Without keys this server answers only on its loopback address; {make}.")
    name = "localhost" if host is None else _name(host.decode("latin-1"))
    if not is_loopback(name):  # a browser was led here by another site's name, which then may read the answers
        return Forbidden(f"Without keys this server answers to 127.0.0.1 and localhost only, not to '{name}'; {make}.")
    return None


def _name(host: str) -> str:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # an open bracket
        return host


def _key(headers: Headers) -> str | None:
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1").strip()
        if name == b"authorization":
            return _from_authorization(value.decode("latin-1"))
    return None


def _from_authorization(value: str) -> str | None:
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":  # any user name, the key as password
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""  # no key is that: what was shown and is not valid is refused
    return None
