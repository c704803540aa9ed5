"""A portfolio behind an address of its own, as a reverse proxy with a prefix would put it there.

The application inside knows nothing of the prefix: its addresses get it on the way out, in headers and in the pages'
attributes. Its cookies get a name of their own, so that a login at one portfolio is none at another.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from riskloop.core.errors import ConfigError
from riskloop.serve.door import HeaderList, Message, Receive, Scope, Send

APART: Final = "."  # between a cookie's name and the portfolio's
_LINKS: Final = rb"""(\s(?:href|src|action|formaction|data-[a-z-]+)="|\scontent="0; ?url=|\burl: ')/(?!/|%b/)"""


TAKEN: Final = frozenset(("metrics", "healthz", "readyz", "static"))  # addresses of all portfolios together


def names_of(portfolios: Sequence[tuple[str, Path]]) -> list[str]:
    """What portfolios, by title and riskloop.toml, are called in addresses: small letters, hyphens between words.

    Raises ConfigError where two would have one address.
    """
    names: list[str] = []
    for title, config in portfolios:
        names.append(re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"))
        if not names[-1] or names[-1] in TAKEN or names.count(names[-1]) > 1:
            raise ConfigError(
                f"{config} cannot be served beside the others: its portfolio '{title}' would have the address "
                f"/{names[-1]}/. Give it another `portfolio.name`, with letters a to z or digits."
            )
    return names


class Mount:
    """An ASGI application around another one, under ``/name``."""

    def __init__(self, inner: object, name: str) -> None:
        self.name = name
        self.prefix = f"/{name}"
        self._inner = inner
        self._links = re.compile(_LINKS % re.escape(name.encode()))  # what has the prefix keeps it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whose path begins with the prefix."""
        await self._inner(self.within(scope), receive, self._outwards(send))  # type: ignore[operator]

    def within(self, scope: Scope) -> Scope:
        """The request as the application sees it."""
        path = scope["path"].removeprefix(self.prefix) or "/"
        raw = scope.get("raw_path", b"").removeprefix(self.prefix.encode()) or b"/"
        headers = [(name, self._own_cookies(value) if name == b"cookie" else value) for name, value in scope["headers"]]
        return {**scope, "path": path, "raw_path": raw, "headers": headers}

    def _own_cookies(self, value: bytes) -> bytes:
        ending = f"{APART}{self.name}"
        found = []
        for part in value.decode("latin-1").split(";"):
            name, equals, text = part.strip().partition("=")
            if name.endswith(ending):
                found.append(f"{name.removesuffix(ending)}{equals}{text}")
        return "; ".join(found).encode("latin-1")

    def _outwards(self, send: Send) -> Send:
        started: Message | None = None  # of a page, which is sent when all of it is there
        page = bytearray()

        async def sent(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                message["headers"] = [self._outer(name, value) for name, value in message.get("headers", ())]
                if _is_page(message["headers"]):
                    started = message
                    return
            elif started is not None:
                page.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                body = self._links.sub(rb"\1" + self.prefix.encode() + b"/", bytes(page))
                length = (b"content-length", b"%d" % len(body))
                kept = [pair for pair in started["headers"] if pair[0].lower() != b"content-length"]
                await send({**started, "headers": [*kept, length]})
                started, message = None, {"type": "http.response.body", "body": body}
            await send(message)

        return sent

    def _outer(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name.lower() == b"location" and value.startswith(b"/") and not value.startswith(b"//"):
            return name, self.prefix.encode() + value
        if name.lower() == b"set-cookie":
            cookie, equals, rest = value.partition(b"=")
            return name, cookie + f"{APART}{self.name}".encode() + equals + rest
        return name, value


def _is_page(headers: HeaderList) -> bool:
    """Whether the answer is a page of the dashboard; a document that is saved as a file stays as it is."""
    named = {name.lower(): value for name, value in headers}
    kept = named.get(b"content-disposition", b"").startswith(b"attachment")
    return named.get(b"content-type", b"").startswith(b"text/html") and not kept and b"content-encoding" not in named
