"""Keys that were refused, for the audit trail: counted, because anybody can send any number of them."""

from collections import Counter
from datetime import datetime
from threading import Lock
from typing import Final

from riskloop.core.errors import RiskloopError
from riskloop.store.audit import record
from riskloop.store.database import Database

MOST: Final = 20  # addresses and names between two entries; the others are counted together
OTHERS: Final = ("", "(several addresses)")


class RefusedKeyLog:
    """What was refused since the last entry. Any thread may add to it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def refused(self, name: str, address: str) -> None:
        """A key that is not valid came from an address; ``name`` is empty when no key has it."""
        with self._lock:
            known = (name, address) in self._counts or len(self._counts) < MOST
            self._counts[(name, address) if known else OTHERS] += 1

    def flush(self, at: datetime) -> None:
        """Write one entry for each name and address; what cannot be written is kept for the next time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            with self._database.write() as connection:
                for (name, address), count in counts.items():
                    named, document = name or "(unknown)", {"address": address, "count": count}
                    record(connection, at=at, by=named, action="key refused", subject=named, document=document)
        except RiskloopError:
            with self._lock:
                self._counts.update(counts)
            raise
