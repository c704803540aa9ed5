"""The server process: where it binds, what it logs, how it ends."""

import json
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from riskloop.core.errors import ConfigError, Refused
from riskloop.identity.client import is_loopback
from riskloop.serve.connections import Connection
from riskloop.serve.mount import names_of
from riskloop.serve.workers import FOLDER_VARIABLE, PARENT_VARIABLE
from riskloop.store.home import Home
from riskloop.store.keys import asks_who
from riskloop.store.running import announced
from riskloop.tracing import trace_ids

GRACE: Final = 30  # seconds that requests under way get at the end
BACKLOG: Final = 2048  # connections that wait to be accepted
SILENCE: Final = 60  # seconds; a worker that says nothing for so long is replaced. A busy machine takes 10 to start one
KEEP_ALIVE: Final = 75  # seconds; a load balancer that keeps its connections longer would send into closed ones
_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """One JSON object a line: a sentence for people, fields for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's sentence, and everything that was passed as `extra`."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "at": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "pid": record.process,
        }
        line.update({key: value for key, value in vars(record).items() if key not in _PLAIN})
        line.update(trace_ids() if "trace_id" not in line else {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "riskloop.serve.process.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "loggers": {
        "riskloop": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


def run_server(
    *configs: Path, host: str | None = None, port: int | None = None, workers: int = 1, watches: bool = False
) -> None:
    """Serve one portfolio, or several under their names, until the process is told to stop.

    ``watches`` says that a worker beside it runs the loop.

    Address and port are those of the first one, where they are not given. Raises Refused for an address other than
    loopback while a portfolio has no keys, ConfigError for an address or port that cannot be had.
    """
    homes = [Home.open(config) for config in configs]
    serve = homes[0].settings.serve
    host = serve.host if host is None else host
    for home in homes:
        check_bind(host, has_keys=asks_who(home.settings, home.database))
    paths = (
        [f"/{name}" for name in names_of([(home.settings.portfolio.name, home.config) for home in homes])]
        if len(homes) > 1
        else [""]
    )
    listening = bind(host, serve.port if port is None else port)
    for home in homes:
        home.close()
    os.environ["RISKLOOP_CONFIG"] = os.pathsep.join(str(config.absolute()) for config in configs)
    allow_many_connections()
    signal.signal(signal.SIGTERM, _end)
    factory = f"riskloop.{'app' if len(homes) == 1 else 'several'}:create_from_environment"
    settings = configured(factory, factory=True, workers=workers, log_config=LOGGING)
    with ExitStack() as notes:
        for home, path in zip(homes, paths, strict=True):
            notes.enter_context(announced(home.folder, host, listening.getsockname()[1], path, watches=watches))
        shown = f"[{host}]" if ":" in host else host
        said = "docs at /docs" if len(homes) == 1 else ", ".join(f"{path}/" for path in paths)
        sys.stderr.write(f"riskloop serves on http://{shown}:{listening.getsockname()[1]} ({said})\n")
        sys.stderr.flush()
        if workers == 1:
            uvicorn.Server(settings).run([listening])
            return
        with tempfile.TemporaryDirectory(prefix="riskloop-") as folder:
            os.environ[FOLDER_VARIABLE] = folder
            os.environ[PARENT_VARIABLE] = str(os.getpid())
            Multiprocess(settings, sockets=[listening]).run()


def configured(app: Any, **options: Any) -> uvicorn.Config:
    """uvicorn's settings for an application of riskloop."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,  # riskloop.identity.client decides whom to believe
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=SILENCE,
        **options,
    )


def _end(*_: object) -> None:
    """After its last answer uvicorn repeats the signal that stopped it; by default that would skip all tidying up."""
    sys.exit(0)


def allow_many_connections() -> None:
    """Take as many open files as the system lets this process have; the usual soft limit is 1024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check_bind(host: str, *, has_keys: bool) -> None:
    """Refuse to be reachable from other machines while everybody may do everything."""
    if not has_keys and not is_loopback(host):
        raise Refused(
            f"There are no API keys, so anybody who reaches {host} could score, report outcomes and promote models. "
            "Create one with `riskloop keys create NAME --role operate`, or serve on 127.0.0.1."
        )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; the port is taken here once, so that all workers share it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, event loops turn Nagle's algorithm off; else every answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)  # from here on nobody else can have the port, and clients wait instead of failing
    except (OSError, OverflowError) as error:
        listening.close()
        raise ConfigError(
            f"Port {port} on {host} cannot be used: {getattr(error, 'strerror', None) or error}. "
            "Stop what uses it, or choose another with --port (0 picks a free one)."
        ) from None
    listening.set_inheritable(True)
    return listening
