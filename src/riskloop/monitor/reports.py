"""Outcomes as they were handed in: on whom, when, and saying what."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from riskloop.core.types import Bools, Floats, Ints

DAY: Final = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Reports:
    """Outcomes as they were handed in, each array (n,); of several on one decision, all."""

    ids: Ints  # of the outcomes, ascending
    decisions: Ints
    outcomes: Floats  # 1 or 0
    probabilities: Floats  # of the decisions, as logged
    decided: Ints  # microseconds
    reported: Ints  # microseconds: when they were handed in

    def __len__(self) -> int:
        return int(self.ids.size)

    def take(self, chosen: Ints | Bools) -> "Reports":
        """The reports at ``chosen``."""
        return Reports(
            ids=self.ids[chosen],
            decisions=self.decisions[chosen],
            outcomes=self.outcomes[chosen],
            probabilities=self.probabilities[chosen],
            decided=self.decided[chosen],
            reported=self.reported[chosen],
        )

    @property
    def latest(self) -> "Reports":
        """The last report on each decision, dated by the first: what is corrected came when it first came."""
        numbers, first = np.unique(self.decisions, return_index=True)
        _, last = np.unique(self.decisions[::-1], return_index=True)
        found = self.take(len(self) - 1 - last if len(self) else last)
        return replace(found, reported=self.reported[first]) if numbers.size else found

    @property
    def log_odds(self) -> Floats:
        """Of the PDs, finite."""
        p = np.clip(self.probabilities, 1e-9, 1.0 - 1e-9)
        return np.asarray(np.log(p / (1.0 - p)), dtype=np.float64)

    @property
    def fewest(self) -> int:
        """How many there are of the rarer class."""
        bad = int(self.outcomes.sum())
        return min(bad, len(self) - bad)


def joined(parts: Sequence[Reports]) -> Reports:
    """All reports of the ``parts``, in the order in which they were handed in."""
    columns = [[getattr(part, field.name) for part in parts] for field in fields(Reports)]
    whole = Reports(*(np.concatenate(column) for column in columns))
    return whole.take(np.argsort(whole.ids, kind="stable"))
