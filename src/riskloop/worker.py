"""Long-running processes: the loop's worker, and server and worker side by side."""

import logging.config
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from riskloop.core.errors import ConfigError, Locked, NotReady, RiskloopError
from riskloop.core.settings import DataSettings, parse_settings
from riskloop.core.types import as_utc
from riskloop.store.running import ANY, running

if TYPE_CHECKING:
    from riskloop.console import Console
    from riskloop.portfolio import Portfolio

log = logging.getLogger("riskloop.watch")

CONFIG: Final = "riskloop.toml"
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
    """Where the API is: the option, else the server that runs for this folder, else what riskloop.toml says."""
    if url is not None:
        return url.rstrip("/")
    config = config / CONFIG if config.is_dir() else config
    server = running(config.parent)
    if server is not None:
        return server.url
    serve = parse_settings(config.read_text(encoding="utf-8"), str(config)).serve if config.exists() else None
    return f"http://{serve.host}:{serve.port}" if serve else "http://127.0.0.1:8000"


def is_served(url: str | None, config: Path) -> bool:
    """Whether an API is there to be asked: one is named, or one answers where this folder's would.

    Raises ConfigError where neither it nor a riskloop.toml is there: nothing else can score, and there is nothing to
    wait for.
    """
    at = config / CONFIG if config.is_dir() else config
    if url is not None or running(at.parent) is not None:
        return True
    where = urlsplit(api_url(None, at))
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        answers = probe.connect_ex((ANY.get(where.hostname or "", where.hostname or ""), where.port or 80)) == 0
    if not answers and not at.exists():
        raise ConfigError(
            f"There is no {at.name} in {at.parent.resolve()}, and no server answers at {where.geturl()}. Go to the "
            "portfolio's folder, or name its file with --config or its server with --url."
        )
    return answers


def data_settings(config: Path) -> DataSettings:
    """How files are written, as riskloop.toml says; the standard without one."""
    config = config / CONFIG if config.is_dir() else config
    if not config.exists():
        return DataSettings()
    return parse_settings(config.read_text(encoding="utf-8"), str(config)).data


def watch_forever(portfolio: "Portfolio", *, every: float, console: "Console", parent: int | None = None) -> None:
    """Cycle until the process is told to stop; a cycle under way is finished first.

    A cycle that fails is one line in the log, whatever failed, and is tried again. One that has to wait (no champion
    yet, another worker is at it) says so once. A worker that names its ``parent`` process ends with it, even when
    that was killed while this one was starting.
    """
    from riskloop.serve.process import LOGGING

    logging.config.dictConfig(LOGGING)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    waits: type[RiskloopError] | None = None
    failures = 0
    while not stop.is_set() and parent in (None, os.getppid()):
        started = time.monotonic()
        try:
            report = portfolio.cycle(say=console.line, wait=False)
        except (Locked, NotReady) as trouble:
            if type(trouble) is not waits:
                console.say(f"Waiting: {trouble.message}")
            waits = type(trouble)
        except Exception as error:  # noqa: BLE001 - the loop must go on when its cause is mended
            failures += 1
            _log_failure(error, failures, every)
        else:
            if failures:
                log.info("Cycles work again", extra={"action": "cycle_recovered", "failures": failures})
            waits, failures = None, 0
            if report.lines:
                console.answer(report)
        portfolio.home.close()  # who waits has no file open, and keeps nobody from beginning a lost log anew
        stop.wait(max(0.0, every - (time.monotonic() - started)))


def _log_failure(error: Exception, failures: int, every: float) -> None:
    known = isinstance(error, RiskloopError)
    log.error(
        "A cycle failed: %s It is tried again in %g seconds.",
        error.message if isinstance(error, RiskloopError) else f"{type(error).__name__}: {error}.",
        every,
        exc_info=None if known else error,
        extra={"action": "cycle_failed", "error": type(error).__name__, "failures": failures},
    )


FIRST_PAUSE: Final = 1.0  # seconds until a worker that ended is started again; doubles with each time, up to …
LAST_PAUSE: Final = 60.0
SETTLED: Final = 120.0  # seconds after which a worker has proven itself, and the counting begins anew
MOST_ENDS: Final = 20  # in a row, which takes a quarter of an hour: a full disk or a locked database may heal


def pause_after(ends: int) -> float | None:
    """Seconds until a worker that has ended so many times in a row is started again; None: never."""
    return None if ends >= MOST_ENDS else min(FIRST_PAUSE * 2.0 ** (ends - 1), LAST_PAUSE)


class Supervisor:
    """Starts a worker process again whenever it ends, ever later, and gives up in the end.

    ``given_up`` is told why; a thread of its own waits for the process.
    """

    def __init__(
        self,
        command: Sequence[str],
        given_up: Callable[[str], None],
        pause: Callable[[int], float | None] = pause_after,
    ) -> None:
        self._command = command
        self._given_up = given_up
        self._pause = pause
        self._stop = Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._run, name="riskloop-supervisor", daemon=True)

    def __enter__(self) -> "Supervisor":
        self._process = self._start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():  # it may be starting one at this moment
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
            self._thread.join(0.1)

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command)  # noqa: S603 - our own module

    def _run(self) -> None:
        ends = 0
        while True:
            started = time.monotonic()
            how = "could not be started" if self._process is None else _how(self._process.wait())
            if self._stop.is_set():
                return
            ends = 1 if time.monotonic() - started > SETTLED else ends + 1
            pause = self._pause(ends)
            if pause is None:
                self._give_up(f"The worker {how}, {ends} times in a row, and is not started again.")
                return
            log.error(
                "The loop's worker %s; it is started again in %g seconds",
                how,
                pause,
                extra={"action": "worker_ended", "ends": ends},
            )
            if self._stop.wait(pause):
                return
            try:
                self._process = self._start()
            except OSError:  # no memory, no more processes
                self._process = None

    def _give_up(self, problem: str) -> None:
        log.critical("%s", problem, extra={"action": "worker_given_up"})
        try:
            self._given_up(f"{problem} Mend its cause (see the log), then restart `riskloop up`.")
        except RiskloopError as error:
            log.error("Nobody else could be told: %s", error.message, extra={"action": "worker_given_up"})


def _how(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def serve_and_watch(config: Path, *, host: str | None, port: int | None, workers: int, every: float) -> None:
    """Run the server in this process and the worker in another one; when the server ends, so does the worker."""
    from riskloop.serve.process import LOGGING, run_server
    from riskloop.store.cycles import give_up
    from riskloop.store.home import Home

    def given_up(problem: str) -> None:
        home = Home.open(config)
        try:
            give_up(home.database, problem)
        finally:
            home.close()

    logging.config.dictConfig(LOGGING)
    command = [sys.executable, "-m", "riskloop.cli", "watch", "--config", str(config), "--every", str(every)]
    command += [CHILD, str(os.getpid())]
    with Supervisor(command, given_up):
        run_server(config, host=host, port=port, workers=workers, watches=True)
