"""What must be reached, and whether it was: one line each, the same in every benchmark."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Goal(NamedTuple):
    """A measured value and its bound."""

    name: str
    value: float
    bound: float
    least: bool = False  # the value has to be at least the bound; else at most

    @property
    def reached(self) -> bool:
        """Whether it holds; NaN never does."""
        return self.value >= self.bound if self.least else self.value <= self.bound

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {"goal": self.name, "value": self.value, "bound": self.bound, "reached": self.reached}


def lines(goals: Iterable[Goal]) -> Iterator[str]:
    """Sentences for people."""
    for goal in goals:
        bound = f"{'at least' if goal.least else 'at most'} {goal.bound:g}"
        yield f"{'reached' if goal.reached else 'MISSED ':<8} {goal.name}: {goal.value:.4g} ({bound})"
