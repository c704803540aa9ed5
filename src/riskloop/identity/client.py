"""Where a request comes from. Behind a trusted proxy, what the proxy says of it; else what the connection says."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from riskloop.core.settings import AccessSettings

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def is_loopback(host: str) -> bool:
    """Whether an address, or a name of it, can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def header(scope: Any, name: bytes) -> str | None:
    """The first header of this name, in lower case letters."""
    return next((value.decode("latin-1") for known, value in scope["headers"] if known == name), None)


def peer(scope: Any) -> str:
    """The address at the other end of the connection; empty for a Unix socket."""
    return str((scope.get("client") or ("",))[0])


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address is one of these addresses or networks."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in _networks(tuple(networks)))


@lru_cache(maxsize=16)
def _networks(texts: tuple[str, ...]) -> Networks:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def address_of(scope: Any, access: AccessSettings) -> str:
    """The client's address: the last one in `X-Forwarded-For` that is no trusted proxy's, if a trusted proxy asks."""
    found = peer(scope)
    if not within(found, access.proxies):
        return found
    named = [
        part.strip()
        for known, value in scope["headers"]
        if known == b"x-forwarded-for"
        for part in value.decode("latin-1").split(",")
    ]
    for part in reversed(named):
        try:
            found = str(ipaddress.ip_address(part))
        except ValueError:  # no address: whoever wrote it, the one before is as far as it can be followed
            return found
        if not within(found, access.proxies):
            return found
    return found


def is_secure(scope: Any, access: AccessSettings) -> bool:
    """Whether the browser speaks TLS, to this server or to a trusted proxy in front of it."""
    if scope.get("scheme") == "https" or access.secure_cookies:
        return True
    said = header(scope, b"x-forwarded-proto")
    return said is not None and within(peer(scope), access.proxies) and said.split(",")[-1].strip().lower() == "https"
