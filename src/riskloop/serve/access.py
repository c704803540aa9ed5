"""Who may do what. Keys travel in a header; without any key only this machine is answered."""

import base64
import binascii
import ipaddress
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from riskloop.core.errors import Forbidden, RiskloopError, Unauthorised
from riskloop.store.keys import KeyRing, Role

LOCAL: Final = "local"  # who acts while there are no keys

Headers = Iterable[tuple[bytes, bytes]]


def is_loopback(host: str) -> bool:
    """Whether an address, or a name of it, can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Access:
    """Checks the key of each request against the ring in force."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._local: dict[Any, RiskloopError | None] = {}  # by address and name; very few of both are in use

    def require(self, role: Role | None, scope: Any) -> str:
        """The name of the key that allows ``role``, any key for None; raises Unauthorised or Forbidden."""
        if not self.ring:
            return self._without_keys(scope)
        text = _key(scope["headers"])
        if text is None:
            raise Unauthorised(
                "This server asks for a key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'."
            )
        found = self.ring.check(text)
        if found is None:
            raise Unauthorised("The key is not valid (unknown or revoked); `riskloop keys create` makes one.")
        name, roles = found
        if role is not None and role not in roles:
            raise Forbidden(f"The key '{name}' has no role '{role.value}', which this needs.")
        return name

    def _without_keys(self, scope: Any) -> str:
        host = next((value for name, value in scope["headers"] if name == b"host"), None)
        where = (scope.get("server") or ("",))[0], host
        if where not in self._local:
            if len(self._local) > 1000:  # clients can invent any number of names
                self._local.clear()
            self._local[where] = _stranger(*where)
        refusal = self._local[where]
        if refusal is not None:
            raise refusal
        return LOCAL


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
    if scheme.lower() == "basic":  # a browser's way: any user name, the key as password
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
