"""A lease says which process runs the loop, by the database's clock. A process that dies loses it; nobody cleans up.

A held lease is renewed by a thread of its own, so that a long training keeps it. It ends when its process does: at
once for other processes of the same machine, who can see that it is gone, else when it runs out.
"""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from riskloop.core.errors import Locked, RiskloopError
from riskloop.core.types import from_micros
from riskloop.store.database import Database
from riskloop.store.tables import leases

SPAN = timedelta(minutes=2)
BEAT = SPAN / 8  # between two renewals: several may fail before the lease is lost


class Lease:
    """A held lease."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.name = name
        self.holder = f"{_machine()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._lost: str | None = None

    def take(self) -> None:
        """Take the lease, or raise Locked with its holder and the moment it runs out."""
        with self.database.write() as connection:
            now = self.database.now(connection)
            query = select(leases).where(leases.c.name == self.name).with_for_update()
            row = connection.execute(query).first()
            taken = row is not None and row.expires_at > now and row.holder != self.holder
            if row is not None and taken and not _is_gone(row.holder):
                raise Locked(
                    f"Another worker ({row.holder.rsplit(':', 1)[0]}) runs the {self.name}; its lease ends at "
                    f"{from_micros(row.expires_at):%H:%M:%S} UTC unless it is renewed. Try again then."
                )
            values = {"holder": self.holder, "expires_at": now + SPAN // timedelta(microseconds=1)}
            if row is not None:
                connection.execute(update(leases).where(leases.c.name == self.name).values(**values))
                return
            try:
                connection.execute(insert(leases).values(name=self.name, **values))
            except IntegrityError:
                raise Locked(f"Another worker took the {self.name} at this moment. Try again later.") from None

    def renew(self) -> None:
        """Extend the lease; raises Locked when it ran out and another process took it."""
        if self._lost is not None:
            raise Locked(self._lost)
        self.take()

    def release(self) -> None:
        """Give the lease back; harmless when it is not held any more."""
        with self.database.write() as connection:
            connection.execute(delete(leases).where(leases.c.name == self.name, leases.c.holder == self.holder))

    def keep(self, until: Event) -> None:
        """Renew the lease again and again until the event is set."""
        while not until.wait(BEAT.total_seconds()):
            try:
                self.take()
            except Locked as lost:
                self._lost = lost.message  # the work's next `renew` stops it
                return
            except RiskloopError:  # a busy database; the next beat comes before the lease runs out
                continue


def _machine() -> str:
    """The host, and the space of process numbers on it: containers may share a host name."""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{space.stat().st_ino}" if space.exists() else socket.gethostname()


def _is_gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    machine, pid, _ = holder.rsplit(":", 2)
    if machine != _machine():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):  # it lives, and belongs to somebody else
        return False
    return False


@contextmanager
def held(database: Database, name: str) -> Iterator[Lease]:
    """Hold the lease ``name`` for a block; Locked when another process has it."""
    lease = Lease(database, name)
    lease.take()
    done = Event()
    beat = Thread(target=lease.keep, args=(done,), name=f"lease-{name}", daemon=True)
    beat.start()
    try:
        yield lease
    finally:
        done.set()
        beat.join()
        lease.release()
