"""Which server runs for a folder: a note beside riskloop.toml, so that commands find its port.

The note is a help and no truth: a killed server leaves it, another machine may see it, and a folder that cannot be
written has none. Whoever reads it asks whether the process is there.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

NOTE: Final = ".riskloop-server.json"
ANY: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is reached by this machine


@dataclass(frozen=True)
class RunningServer:
    """A server process and where it listens."""

    pid: int
    machine: str
    host: str
    port: int
    path: str = ""  # of the portfolio, where the server has several
    watched_since: float = 0.0  # when it was started with a worker that watches, in seconds; 0: without one

    @property
    def url(self) -> str:
        """Where this machine reaches the portfolio."""
        host = ANY.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self.path}"


@contextmanager
def announced(folder: Path, host: str, port: int, path: str = "", *, watches: bool = False) -> Iterator[None]:
    """While the block runs, the folder says that this process serves it, and whether a worker of its own watches."""
    note, server = (
        folder / NOTE,
        RunningServer(os.getpid(), socket.gethostname(), host, port, path, time.time() if watches else 0.0),
    )
    written = note.with_name(f"{NOTE}.{server.pid}")
    with suppress(OSError):  # a folder that may only be read
        written.write_text(json.dumps(asdict(server)), encoding="utf-8")
        written.replace(note)
    try:
        yield
    finally:
        if _noted(note) == server:  # the last one that was started is found
            note.unlink(missing_ok=True)


def running(folder: Path) -> RunningServer | None:
    """The server of this folder, when its process is there and on this machine."""
    server = _noted(folder / NOTE)
    if server is None or server.machine != socket.gethostname():
        return None
    try:
        os.kill(server.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # it belongs to another user
        return server
    return server


def _noted(note: Path) -> RunningServer | None:
    try:
        return RunningServer(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
