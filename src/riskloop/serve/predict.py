"""`POST /predict` as a bare ASGI function: frameworks cost more per request than the model does."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final, cast, get_args
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect

from riskloop.core.errors import BodyTooLarge, DataError, MalformedBody, Overloaded, UnsupportedMedia
from riskloop.core.types import Problem
from riskloop.scoring.decide import Explain
from riskloop.scoring.decoder import MAX_ROW
from riskloop.serve.door import PRIVATE, Receive, Scope, Send, require_own_page
from riskloop.serve.service import Service
from riskloop.store.keys import Role
from riskloop.tracing import trace_of

MOST_UNFINISHED: Final = 64 * 2**20  # bytes of all bodies that have not come in full
_JSON: Final = (b"content-type", b"application/json")


class Predict:
    """One row in, one logged decision out."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._unfinished = 0  # bytes of bodies that have begun to come

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        service = self._service
        try:
            require_own_page(scope)
            if service.access.waits(scope):
                await asyncio.to_thread(service.access.require, Role.SCORE, scope)
            else:
                service.access.require(Role.SCORE, scope)
            service.soundness.require()
            explain: Explain = "default" if not scope["query_string"] else wanted_reasons(scope["query_string"])
            _require_json(scope["headers"])
            answer = await service.batcher.submit(await self._body(receive), explain, trace_of(scope))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the one place where a request's failure becomes its answer
            refused = (isinstance(error, MalformedBody) and compressed(scope["headers"])) or error
            status, answer, headers = service.refuse(refused)
            await send({"type": "http.response.start", "status": status, "headers": [*headers, *PRIVATE]})
            await send({"type": "http.response.body", "body": answer})
            return
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length, *PRIVATE]})
        await send({"type": "http.response.body", "body": answer})
        service.metrics.answered(time.perf_counter() - started)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body, which mostly comes in one piece. ClientDisconnect when the client goes before its end.

        What has come of unfinished bodies is bounded over all requests: many slow clients must not fill the memory.
        """
        pieces, size, more = [], 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                self._unfinished += len(pieces[-1])
                if size > MAX_ROW:
                    raise BodyTooLarge(f"One row may have {MAX_ROW} bytes; send many rows to /predict/batch.")
                more = message.get("more_body", False)
                if more and self._unfinished > MOST_UNFINISHED:
                    raise Overloaded(
                        "Too many unfinished requests wait for the rest of their rows. Nothing was logged."
                    )
        finally:
            self._unfinished -= size
        return b"".join(pieces)


def wanted_reasons(query: bytes) -> Explain:
    """The query's `reasons`; anything else in it is refused."""
    explain: Explain = "default"
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name != "reasons":
            raise DataError(f"'{name}' is not a parameter of /predict.", [Problem(name, "is not a parameter", value)])
        if value not in get_args(Explain):
            problem = Problem("reasons", "must be none, default or all", value)
            raise DataError("The parameter reasons must be none, default or all.", [problem])
        explain = cast("Explain", value)
    return explain


def _require_json(headers: list[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if name == b"content-type":
            if value == b"application/json" or value.partition(b";")[0].strip().lower() == b"application/json":
                return
            kind = value.decode("latin-1")
            raise UnsupportedMedia(f"/predict reads application/json, not '{kind}'; set the Content-Type header.")
    raise UnsupportedMedia("/predict reads application/json; set the Content-Type header.")


def compressed(headers: Iterable[tuple[bytes, bytes]]) -> UnsupportedMedia | None:
    """The refusal of a body that was compressed on its way; None when it was not."""
    for name, value in headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            kind = value.decode("latin-1")
            return UnsupportedMedia(f"The body is compressed ('{kind}'); send it as it is. Nothing was logged.")
    return None
