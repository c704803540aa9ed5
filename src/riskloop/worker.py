"""Long-running processes: the loop's worker, and server and worker side by side."""

import logging.config
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

from riskloop.core.errors import ConfigError, Locked, NotReady, StorageError
from riskloop.core.settings import DataSettings, parse_settings
from riskloop.core.types import as_utc

if TYPE_CHECKING:
    from riskloop.console import Console
    from riskloop.portfolio import Portfolio

CHILD: Final = "--child-of"  # option of `watch` under `up`


def parse_now(text: str | None) -> datetime | None:
    """The moment of --now; None stays None."""
    return None if text is None else parse_moment(text, "--now")


def parse_moment(text: str, name: str) -> datetime:
    """An ISO 8601 moment, taken as UTC when it names no zone; ``name`` is what the message calls it."""
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError:
        raise ConfigError(f"{name} '{text}' is not an ISO 8601 time, such as 2025-05-05T14:03:00.") from None


def api_url(url: str | None, config: Path) -> str:
    """Where the API is: the option, else what riskloop.toml says."""
    if url is not None:
        return url.rstrip("/")
    serve = parse_settings(config.read_text(encoding="utf-8"), str(config)).serve if config.exists() else None
    return f"http://{serve.host}:{serve.port}" if serve else "http://127.0.0.1:8000"


def data_settings(config: Path) -> DataSettings:
    """How files are written, as riskloop.toml says; the standard without one."""
    if not config.exists():
        return DataSettings()
    return parse_settings(config.read_text(encoding="utf-8"), str(config)).data


def watch_forever(portfolio: "Portfolio", *, every: float, console: "Console", parent: int | None = None) -> None:
    """Cycle until the process is told to stop; a cycle under way is finished first.

    What may heal by itself (no champion yet, another worker, a database that is away) is said once and tried
    again; everything else ends the worker. One that names its ``parent`` process ends with it, even when that was
    killed while this one was starting.
    """
    from riskloop.serve.process import LOGGING

    logging.config.dictConfig(LOGGING)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    said = ""
    while not stop.is_set() and parent in (None, os.getppid()):
        started = time.monotonic()
        try:
            report = portfolio.cycle(say=console.line)
        except (Locked, NotReady, StorageError) as trouble:
            if trouble.message != said:
                console.say(f"Waiting: {trouble.message}")
            said = trouble.message
        else:
            said = ""
            if report.lines:
                console.answer(report)
        stop.wait(max(0.0, every - (time.monotonic() - started)))


def serve_and_watch(config: Path, *, host: str | None, port: int | None, workers: int, every: float) -> None:
    """Run the server in this process and the worker in another one; when the server ends, so does the worker."""
    from riskloop.serve.process import run_server

    command = [sys.executable, "-m", "riskloop.cli", "watch", "--config", str(config), "--every", str(every)]
    command += [CHILD, str(os.getpid())]
    with subprocess.Popen(command) as worker:  # noqa: S603 - our own module
        try:
            run_server(config, host=host, port=port, workers=workers)
        finally:
            worker.terminate()
