"""A lease says which process runs the loop. A process that dies loses it when it runs out; nobody has to clean up."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update

from riskloop.core.errors import Locked
from riskloop.core.types import from_micros, to_micros
from riskloop.store.database import Database
from riskloop.store.tables import leases

SPAN = timedelta(minutes=2)


class Lease:
    """A held lease; call `renew` from long work more often than every SPAN."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.name = name
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def take(self) -> None:
        """Take the lease, or raise Locked with its holder and the moment it runs out."""
        now = to_micros(datetime.now(UTC))
        with self.database.write() as connection:
            row = connection.execute(select(leases).where(leases.c.name == self.name)).first()
            if row is not None and row.expires_at > now and row.holder != self.holder:
                raise Locked(
                    f"Another worker ({row.holder.rsplit(':', 1)[0]}) runs the {self.name}; its lease ends at "
                    f"{from_micros(row.expires_at):%H:%M:%S} UTC unless it is renewed. Try again then."
                )
            values = {"holder": self.holder, "expires_at": now + to_micros_span(SPAN)}
            if row is None:
                connection.execute(insert(leases).values(name=self.name, **values))
            else:
                connection.execute(update(leases).where(leases.c.name == self.name).values(**values))

    def renew(self) -> None:
        """Extend the lease; raises Locked when it ran out and another process took it."""
        self.take()

    def release(self) -> None:
        """Give the lease back; harmless when it is not held any more."""
        with self.database.write() as connection:
            connection.execute(delete(leases).where(leases.c.name == self.name, leases.c.holder == self.holder))


def to_micros_span(span: timedelta) -> int:
    """A span in whole microseconds."""
    return span // timedelta(microseconds=1)


@contextmanager
def held(database: Database, name: str) -> Iterator[Lease]:
    """Hold the lease ``name`` for a block; Locked when another process has it."""
    lease = Lease(database, name)
    lease.take()
    try:
        yield lease
    finally:
        lease.release()
