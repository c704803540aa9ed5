"""A stretch of logged decisions: the one way to say "from here to there". `store.spans` writes it as SQL."""

from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from riskloop.core.types import Bools, Ints, require_utc, to_micros


class Span(NamedTuple):
    """Decisions by time in microseconds UTC, end excluded, and by id, both ends included; None: no limit."""

    first_id: int | None = None
    last_id: int | None = None
    start: int | None = None
    end: int | None = None

    @classmethod
    def between(cls, first: datetime, end: datetime) -> "Span":
        """The time from ``first`` until just before ``end``. ValueError for a datetime that is not in UTC."""
        require_utc(first, "first")
        require_utc(end, "end")
        return cls(start=to_micros(first), end=to_micros(end))

    def mask(self, times: Ints, ids: Ints | None = None) -> Bools:
        """Which decisions lie in the span: ``times`` (n,) in microseconds and ``ids`` (n,). Returns (n,).

        ValueError when the span has limits by id and no ids are given.
        """
        inside = np.ones(times.shape, dtype=np.bool_)
        if self.start is not None:
            inside &= times >= self.start
        if self.end is not None:
            inside &= times < self.end
        if self.first_id is None and self.last_id is None:
            return inside
        if ids is None:
            raise ValueError("This span has limits by id; give the decisions' ids.")
        if self.first_id is not None:
            inside &= ids >= self.first_id
        if self.last_id is not None:
            inside &= ids <= self.last_id
        return inside


EVERYTHING: Final = Span()
