"""Who may do what. Keys travel in a header; without any key only this machine is answered."""

import base64
import binascii
import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from riskloop.core.errors import Forbidden, Unauthorised
from riskloop.store.keys import KeyRing, Role

LOCAL: Final = "local"  # who acts while there are no keys

Headers = Iterable[tuple[bytes, bytes]]


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Access:
    """Checks the key of each request against the ring in force."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._local: dict[Any, bool] = {}  # a server listens on very few addresses

    def require(self, role: Role, scope: Any) -> str:
        """The name of the key that allows ``role``; raises Unauthorised or Forbidden."""
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
        if role not in roles:
            raise Forbidden(f"The key '{name}' has no role '{role.value}', which this needs.")
        return name

    def _without_keys(self, scope: Any) -> str:
        host = (scope.get("server") or ("",))[0]
        local = self._local.get(host)
        if local is None:
            if len(self._local) > 1000:
                self._local.clear()
            local = self._local[host] = is_loopback(host) or host.startswith("/")
        if not local:
            raise Unauthorised(
                "Without keys this server answers only on its loopback address; make one with `riskloop keys create`."
            )
        return LOCAL


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
