from typing import Any

import pytest

from riskloop.core.settings import AccessSettings
from riskloop.identity.client import address_of, is_secure, within

PROXIES = AccessSettings(proxies=("10.0.0.0/8", "127.0.0.1", "fd00::/8"))


def scope(client: str | None, *forwarded: str, proto: str | None = None, scheme: str = "http") -> Any:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    if proto is not None:
        headers.append((b"x-forwarded-proto", proto.encode()))
    return {"client": None if client is None else (client, 1), "headers": headers, "scheme": scheme}


@pytest.mark.parametrize(
    ("client", "forwarded", "found"),
    [
        ("203.0.113.1", [], "203.0.113.1"),
        ("203.0.113.1", ["198.51.100.7"], "203.0.113.1"),  # not a proxy of ours: it may say what it wants
        ("10.1.1.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.1.1.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),  # the client wrote the first one
        ("10.1.1.1", ["1.1.1.1", "198.51.100.7, 10.2.2.2"], "198.51.100.7"),
        ("10.1.1.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.1.1.1", ["198.51.100.7, nonsense"], "10.1.1.1"),
        ("::ffff:10.1.1.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.1.1.1", [], "10.1.1.1"),
        (None, ["198.51.100.7"], ""),
    ],
)
def test_a_client_is_whom_the_last_trusted_proxy_saw(client: str | None, forwarded: list[str], found: str) -> None:
    assert address_of(scope(client, *forwarded), PROXIES) == found


def test_tls_is_what_a_trusted_proxy_says() -> None:
    assert is_secure(scope("10.1.1.1", proto="https"), PROXIES)
    assert not is_secure(scope("203.0.113.1", proto="https"), PROXIES)
    assert not is_secure(scope("10.1.1.1", proto="https, http"), PROXIES)
    assert not is_secure(scope("10.1.1.1"), PROXIES)
    assert is_secure(scope("203.0.113.1", scheme="https"), PROXIES)
    assert is_secure(scope("203.0.113.1"), AccessSettings(secure_cookies=True))


def test_what_is_no_address_is_within_nothing() -> None:
    assert not any(within(text, ("0.0.0.0/0", "::/0")) for text in ("", "localhost", "x", "1.1.1"))


@pytest.mark.parametrize("wrong", ["10.0.0.0/33", "localhost", "", "*"])
def test_a_network_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        AccessSettings(proxies=(wrong,))
