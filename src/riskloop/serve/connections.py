"""Patience with clients: uvicorn's HTTP protocol waits for ever, this one until a limit.

A request costs nothing more for it than two assignments; everything else is one timer for each connection.
uvicorn has no setting for this, and its protocol is no public interface: pyproject.toml bounds its version, and
tests/serve/test_uvicorn.py checks everything of it that is used here. Raise the bound when that test passes.
"""

from typing import Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from riskloop.core.errors import BodyTooLarge, MalformedBody, Overloaded, RiskloopError, TooSlow

HEAD_SECONDS: Final = 10.0  # from the first byte to the last header; also until the first byte of a new connection
IDLE_SECONDS: Final = 30.0  # without a byte of the body, or with an answer that the client does not take
BODY_SECONDS: Final = 600.0  # for a whole body
MAX_HEAD: Final = 64 * 2**10  # bytes of request line and headers
MOST_REFUSED: Final = 256  # connections above the limit that are told so; further ones are cut
LOOK_EVERY: Final = 1.0  # seconds


class Connection(HttpToolsProtocol):
    """One client's connection."""

    def connection_made(self, transport: Any) -> None:
        """Begin to look at the clock."""
        super().connection_made(transport)
        self._heard = 0.0  # when the last bytes came; 0 before the first
        self._begun: float | None = self.loop.time()  # waiting for headers since then
        self._head = 0  # bytes of unfinished headers
        self._body_begun = 0.0
        self._stuck: float | None = None  # the client takes no bytes since then
        self._timer = self.loop.call_later(LOOK_EVERY, self._look)
        service = self.app_state.get("service")
        most = None if service is None else service.home.settings.serve.max_connections
        self._surplus = most is not None and len(self.connections) > most
        if most is not None and len(self.connections) > most + MOST_REFUSED:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """No more looking."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        self._heard = self.loop.time()
        if self._surplus:
            self._refuse(Overloaded("This server has as many connections as it may. Nothing was logged; try again."))
            return
        super().data_received(data)
        if self._begun is not None:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(BodyTooLarge(f"Request line and headers may have {MAX_HEAD} bytes together."), 431)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._begun, self._head = self._heard, 0

    def on_headers_complete(self) -> None:
        """The last header of a request."""
        self._begun, self._body_begun = None, self._heard
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """The client takes bytes more slowly than they are made."""
        self._stuck = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stuck = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets the shape of every refusal."""
        self._refuse(MalformedBody(msg), 400)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        self._timer = self.loop.call_later(LOOK_EVERY, self._look)
        now = self.loop.time()
        answered = self.cycle is None or self.cycle.response_complete
        if self._stuck is not None and now - self._stuck > IDLE_SECONDS:
            self.transport.abort()
        elif self._surplus and not self._heard:
            self.transport.close()
        elif answered and self._begun is not None and now - self._begun > HEAD_SECONDS:
            self._refuse(TooSlow(f"The request's headers did not arrive within {HEAD_SECONDS:.0f} seconds."))
        elif not answered and self.cycle.more_body and not self.flow.read_paused and self._body_late(now):
            limits = f"must not pause for {IDLE_SECONDS:.0f} seconds, nor take {BODY_SECONDS:.0f}"
            self._refuse(TooSlow(f"The body {limits}. Nothing was logged."))

    def _body_late(self, now: float) -> bool:
        return now - self._heard > IDLE_SECONDS or now - self._body_begun > BODY_SECONDS

    def _refuse(self, error: RiskloopError, status: int | None = None) -> None:
        """Answer and close; a request that is being read ends as if the client had gone."""
        if self.transport.is_closing():
            return
        if (service := self.app_state.get("service")) is not None:
            service.metrics.refused(error.code)
        answering = self.pipeline or (self.cycle and self.cycle.response_started and not self.cycle.response_complete)
        if self._heard and not answering:
            body = msgspec.json.encode(error.as_json())
            self.transport.write(
                STATUS_LINE[status or error.status]
                + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )
        self.transport.close()
