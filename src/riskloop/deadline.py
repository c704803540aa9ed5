"""A bound on a whole exchange with another machine.

A socket's timeout bounds the wait for the next byte only: who sends one a second is never late. A deadline shuts the
connections down when the time is over, whoever waits for them then fails at once.
"""

import os
import smtplib
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError


class Deadline:
    """A context; connections of its `session` or given to `watch` are shut down after ``seconds`` within it."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for copy in self._watched:
                copy.close()
            self._watched.clear()

    def watch(self, connection: socket.socket) -> None:
        """Shut it down at the end; at once, if that has come. A layer of TLS may be put on it later."""
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        with self._lock:
            self._watched.append(copy)
            if self.over:
                _shut(copy)

    def session(self) -> requests.Session:
        """One whose connections are watched."""
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _WatchedAdapter(self))
        return session

    def mailer(self, kind: type[smtplib.SMTP]) -> type[Any]:
        """``smtplib``'s class, whose connections are watched."""
        deadline, made = self, cast(Any, kind)

        class WatchedMailer(made):  # type: ignore[misc, valid-type]
            def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
                connection: socket.socket = super()._get_socket(host, port, timeout)
                deadline.watch(connection)
                return connection

        return WatchedMailer

    def _end(self) -> None:
        with self._lock:
            self.over = True
            for copy in self._watched:
                _shut(copy)


def beginning(answer: requests.Response, size: int) -> str:
    """At most ``size`` bytes of a streamed answer, as text; empty where it is broken off."""
    try:
        read: bytes = answer.raw.read(size, decode_content=True)
    except (HTTPError, OSError):
        return ""
    return read.decode("utf-8", "replace").strip()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)


class _WatchedAdapter(HTTPAdapter):
    """Gives a deadline the sockets of its connections before anything is said on them, be it TLS or to a proxy."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:
        """The pool of a request, with connections that are watched."""
        deadline, pool = self._deadline, cast(Any, super().get_connection_with_tls_context(*arguments, **named))
        made = pool.ConnectionCls

        class WatchedConnection(made):  # type: ignore[misc, valid-type]
            def _new_conn(self) -> socket.socket:
                connection: socket.socket = super()._new_conn()
                deadline.watch(connection)
                return connection

        pool.ConnectionCls = WatchedConnection
        return pool
