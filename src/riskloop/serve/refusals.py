"""Counts refused requests in memory and stores the counts now and then. Nothing else is kept of them."""

import logging
import time
from collections import Counter
from typing import Final

from riskloop.core.errors import DataError, RiskloopError
from riskloop.store.database import Database
from riskloop.store.refusals import HOUR, Refusal, add_refusals

log = logging.getLogger("riskloop.serve")

MAX_KINDS: Final = 1000  # of refusals between two flushes; clients can invent any number of field names
OTHER: Final = "(other)"


class Refusals:
    """The counts since the last flush."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: Counter[Refusal] = Counter()

    def count(self, error: RiskloopError) -> None:
        """One request was refused for what is in it; other errors say nothing about the feed."""
        if not isinstance(error, DataError):
            return
        hour = time.time_ns() // 1000 // HOUR * HOUR
        for field, problem in {(p.field, p.problem) for p in error.details} or {("", error.code)}:
            refusal = Refusal(hour, _kept(field, 200), _kept(problem, 100))
            if refusal not in self._counts and len(self._counts) >= MAX_KINDS:
                refusal = Refusal(hour, OTHER, OTHER)
            self._counts[refusal] += 1

    def flush(self) -> None:
        """Store the counts; those that cannot be stored now are kept for the next time."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            add_refusals(self._database, counts)
        except RiskloopError as error:
            self._counts.update(counts)
            log.warning("Counts of refused requests wait: %s", error.message, extra={"action": "refusals_wait"})


def _kept(text: str, most: int) -> str:
    return text[:most].replace("\0", "\N{REPLACEMENT CHARACTER}")
