"""What a decision looks like whose personal part was erased: who it was about and what it was made on are gone.

What was decided, when, and by which model stays, so that nothing that was counted changes; nobody learns from it.
"""

import sys
from bisect import bisect_right
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from riskloop.store.pieces import ERASED_FLAGS
from riskloop.store.tables import archives, erasures


def is_erased(flags: str | None) -> bool:
    """Whether these flags are those of an erased decision."""
    return flags == ERASED_FLAGS


def blank(features: Any) -> bytes:
    """Features of the same width that say nothing; as they are stored."""
    return np.full(len(features) // 8, np.nan, dtype="<f8").tobytes()


def is_blank(features: Any) -> bool:
    """Whether stored features say nothing."""
    return bytes(features) == blank(features)


class Gone:
    """The digests of personal parts that are gone, by decision: erased for a person, or taken out by retention."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        found = connection.execute(select(erasures.c.decision_id, erasures.c.personal))
        self._erased = {number: bytes(personal) for number, personal in found}
        runs = select(archives.c.first_id, archives.c.last_id, archives.c.id).where(archives.c.personal.is_not(None))
        self._runs = [tuple(row) for row in connection.execute(runs.order_by(archives.c.first_id))]
        self._open: tuple[int, bytes] = (0, b"")  # decisions come in order: one run's digests are enough

    def personal(self, number: int) -> bytes | None:
        """The digest of what is gone of a decision; None where nothing is."""
        found = self._erased.get(number)
        place = bisect_right(self._runs, (number, sys.maxsize)) - 1
        if found is not None or place < 0 or self._runs[place][1] < number:
            return found
        first, _, entry = self._runs[place]
        if self._open[0] != entry:
            query = select(archives.c.personal).where(archives.c.id == entry)
            self._open = entry, bytes(self._connection.execute(query).scalar_one())
        start = 32 * (number - first)
        return self._open[1][start : start + 32]
