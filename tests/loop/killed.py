"""Run as a script: workers that are killed, one after the other, each inside the transaction after its first one.

    python killed.py FOLDER NOW

Every worker is a process of its own that opens the portfolio, runs a cycle, and dies by SIGKILL just before its
second commit (or while it writes an artefact). Prints how many died before one came through, as JSON.
"""

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection

from riskloop.portfolio import Portfolio
from riskloop.store import artefacts, leases
from riskloop.store.database import Database

HEAVY = ("evidently", "evidently.metrics", "evidently.legacy.calculations.stattests", "sklearn.linear_model", "pandas")
quiet = threading.local()
committed = 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _changes(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one())


def deadly(artefact: str) -> None:
    """From now on the second transaction that changes something kills this process before its commit.

    So does the writing of an artefact of this kind.
    """
    original, place = Database.write, artefacts.Artefacts._place

    @contextmanager
    def write(self: Database) -> Iterator[Connection]:
        global committed
        with original(self) as connection:
            before = _changes(connection)
            yield connection
            if not getattr(quiet, "on", False) and _changes(connection) != before:
                if committed:
                    _die()
                committed += 1

    def dying_place(self: artefacts.Artefacts, final: Path, files: Any) -> None:
        kind = json.loads(files[artefacts.MANIFEST]).get("kind", "model")
        if kind == artefact:
            (self.root / f".writing-{kind}").mkdir()  # what a staging folder looks like
            _die()
        place(self, final, files)

    def silent(name: str) -> None:
        method = getattr(leases.Lease, name)

        def wrapped(self: leases.Lease) -> None:
            quiet.on = True
            try:
                method(self)
            finally:
                quiet.on = False

        patch.object(leases.Lease, name, wrapped).start()

    patch.object(Database, "write", write).start()
    patch.object(artefacts.Artefacts, "_place", dying_place).start()
    silent("take")
    silent("release")


def worker(folder: Path, now: datetime, artefact: str) -> int:
    """Fork a worker; the signal that ended it, 0 when it came through."""
    child = os.fork()
    if child == 0:
        deadly(artefact)
        portfolio = Portfolio.open(folder)
        portfolio.cycle(now=now)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    if os.WEXITSTATUS(status):
        raise SystemExit(f"a worker failed with exit code {os.WEXITSTATUS(status)}")
    return 0


def main() -> None:
    folder, now = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
    for name in HEAVY:
        importlib.import_module(name)
    deaths = 0
    doomed = ["model", "evaluation"]  # each is once cut off while it is written
    while (ended := worker(folder, now, doomed[0] if doomed else "")) != 0:
        assert ended == signal.SIGKILL
        deaths += 1
        if doomed and any(folder.rglob(f".writing-{doomed[0]}")):
            doomed.pop(0)
        if deaths > 40:
            raise SystemExit("the cycle makes no progress")
    print(json.dumps({"deaths": deaths, "never_written": doomed}))


if __name__ == "__main__":
    main()
