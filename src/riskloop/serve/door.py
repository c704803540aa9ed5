"""In front of every route: what no route should have to think of, done before anything of a body is read.

A request has to name its host, in an address without NUL; one that changes something must not come from another web
page; a body has an upper bound, whatever reads it; and no answer is kept or guessed at by a browser. Keys are
checked by the routes, as their first step: no route lets the framework read a body, which would come before the key (a
test walks the route table).
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect

from riskloop.core.errors import BodyTooLarge, Forbidden, MalformedBody

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = Iterable[tuple[bytes, bytes]]

SMALL_BODY: Final = 64 * 2**10  # bytes that a request may send where rows and files are not expected
_READS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_OURS: Final = frozenset((b"same-origin", b"none"))  # Sec-Fetch-Site: this very page, or the address bar
PRIVATE: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Door:
    """An ASGI application around another one. ``roomy`` paths may send as much as ``most`` bytes, others little."""

    def __init__(self, inner: Any, refuse: Callable[[Exception], Any], *, roomy: frozenset[str], most: int) -> None:
        self._inner = inner
        self._refuse = refuse
        self._roomy = roomy
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        try:
            _require_text(scope)
            require_own_page(scope)
            most = self._most if scope["path"] in self._roomy else SMALL_BODY
            _require_room(scope["headers"], most)
        except (MalformedBody, Forbidden, BodyTooLarge) as error:
            status, body, headers = self._refuse(error)
            await send({"type": "http.response.start", "status": status, "headers": [*headers, *PRIVATE]})
            await send({"type": "http.response.body", "body": body})
            return
        await self._inner(scope, bounded(receive, most), privately(send))


def require_own_page(scope: Scope) -> None:
    """Refuse a request without a host, and one that changes something and was sent by a page of another site.

    Programs send neither `Origin` nor `Sec-Fetch-Site`; browsers send at least one of them with every POST, and no
    page can forge them.
    """
    host: bytes | None = None
    origin: bytes | None = None
    site: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"host":
            if host is not None:
                raise MalformedBody("The request names two hosts; HTTP allows one Host header.")
            host = value
        elif name == b"origin":
            origin = value
        elif name == b"sec-fetch-site":
            site = value
    if host is None and scope.get("http_version", "1.1") == "1.1":
        raise MalformedBody("The request names no host; HTTP/1.1 asks for a Host header.")
    if scope["method"] in _READS or (origin is None and site is None):
        return
    if (site is not None and site not in _OURS) or (origin is not None and not _same(origin, host)):
        raise Forbidden("A page of another site sent this request, and only this server's own may. Nothing was done.")


def _require_text(scope: Scope) -> None:
    """Refuse an address with a NUL: nothing on record has one, and a database would break off in the middle."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
        raise MalformedBody("The address holds the character NUL, which nothing on record has.")


def _same(origin: bytes, host: bytes | None) -> bool:
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower() == (host or b"").decode("latin-1").lower()
    except ValueError:  # an open bracket
        return False


def _require_room(headers: HeaderList, most: int) -> None:
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise too_large(most)


def too_large(most: int) -> BodyTooLarge:
    """What is said of a body above the limit."""
    return BodyTooLarge(f"The body is larger than {most:,} bytes, which is the limit here. Nothing was done.")


def bounded(receive: Receive, most: int) -> Receive:
    """``receive`` that gives no more than ``most`` bytes of a body: BodyTooLarge beyond, whoever reads it."""
    size = 0

    async def within() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise too_large(most)
        return message

    return within


def privately(send: Send) -> Send:
    """``send`` that asks for an answer not to be kept nor guessed at, unless the answer says how long it may be."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            named = {name.lower() for name, _ in message.get("headers", ())}
            message["headers"] = [*message.get("headers", ()), *(pair for pair in PRIVATE if pair[0] not in named)]
        await send(message)

    return marked


async def body_of(receive: Receive, most: int) -> bytes:
    """A whole body of at most ``most`` bytes; ClientDisconnect when the client goes before its end."""
    pieces: list[bytes] = []
    more, read = True, bounded(receive, most)
    while more:
        message = await read()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)
