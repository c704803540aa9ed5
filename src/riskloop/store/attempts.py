"""Slows down who guesses. Counts are in the database, so that every worker and every machine knows of every try.

A try is counted before it is made: a hundred tries at the same moment are a hundred tries.
"""

import ipaddress
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from riskloop.core.errors import TooManyTries
from riskloop.store.database import Database
from riskloop.store.tables import attempts

FREE: Final = 5  # failures that cost nothing: people mistype
FORGET: Final = 900  # seconds without a try, after which failures are forgotten
# A name waits no longer than this: else anybody could lock somebody out by failing in that name.
LONGEST: Final = {"name": 30, "address": 600}  # seconds
_SECOND: Final = 1_000_000


def pause(failures: int, longest: int) -> int:
    """Seconds to wait after the last of so many failures: none at first, then twice as long each time."""
    return 0 if failures < FREE else min(longest, 2 ** min(failures - FREE, 20))


class Attempts:
    """The table of failed logins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, *, name: str | None, address: str) -> None:
        """Count one try as failed, or raise TooManyTries when it comes too soon; then it was not made."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            connection.execute(delete(attempts).where(attempts.c.last_at < now - FORGET * _SECOND))
            found = [(subject, *_counted(connection, subject)) for subject in _subjects(name, address)]
            waits = [
                last_at + pause(failures, LONGEST[subject.partition(":")[0]]) * _SECOND - now
                for subject, failures, last_at in found
            ]
            if (longest := max(waits)) > 0:
                raise TooManyTries(-(-longest // _SECOND))
            for subject, failures, _ in found:
                connection.execute(
                    update(attempts).where(attempts.c.subject == subject).values(failures=failures + 1, last_at=now)
                )

    def succeeded(self, *, name: str | None, address: str) -> None:
        """The try was none of a guesser: the name begins anew, and this one does not count for the address."""
        own, *others = reversed(_subjects(name, address))
        with self._database.write() as connection:
            for subject in others:
                connection.execute(delete(attempts).where(attempts.c.subject == subject))
            connection.execute(
                update(attempts)
                .where(attempts.c.subject == own, attempts.c.failures > 0)
                .values(failures=attempts.c.failures - 1)
            )


def _subjects(name: str | None, address: str) -> list[str]:
    """Always in this order, so that two tries never wait for each other."""
    named = [] if name is None else [f"name:{name[:200]}"]
    return [*named, f"address:{_block(address)[:90]}"]


def _block(address: str) -> str:
    """Whom an address stands for: of IPv6 a network, since one customer of a provider has 2^64 addresses."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(ipaddress.ip_network((int(found), 64), strict=False)) if mapped is None else str(mapped)
    return address


def _counted(connection: Connection, subject: str) -> tuple[int, int]:
    """A subject's failures and the last one's time; its row is locked until the transaction ends."""
    query = select(attempts.c.failures, attempts.c.last_at).where(attempts.c.subject == subject).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(attempts).values(subject=subject, failures=0, last_at=0))
        except IntegrityError:  # another worker was first
            pass
        row = connection.execute(query).one()
    return row.failures, row.last_at
