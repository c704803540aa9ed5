"""What stands between a row of the schema and the predictor: columns made of columns, the same at training and serving.

A preparation is a list of steps, each of which makes one column of the prepared matrix out of columns of the model's
matrix (`Schema.model_matrix`) or of earlier steps. It is plain numbers and names, kept as JSON beside the model, and
training uses these very functions, so that a row gets the same prepared values everywhere.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.types import Floats, Json

FILE: Final = "preparation.json"


@dataclass(frozen=True)
class Step:
    """One column, by ``how`` it is made ``of`` others."""

    name: str
    how: str  # "keep" for an input as it is, or a key of `STEPS`
    of: tuple[int, ...]  # inputs of the matrix, then the working steps (all but the kept ones) in their order
    values: tuple[float, ...] = ()  # what the step needs to know: a table, bounds, codes
    shown: bool = True  # whether it is a column of the prepared matrix, or only helps others

    def __call__(self, columns: Sequence[Floats]) -> Floats:
        """The new column (n,) from the columns (n,) that were there before."""
        return STEPS[self.how](self._values, *(columns[i] for i in self.of))

    @cached_property
    def _values(self) -> Floats:
        return np.array(self.values, dtype=np.float64)

    def to_json(self) -> Json:
        """A plain dictionary; NaN becomes None."""
        values = [None if value != value else value for value in self.values]
        return {"name": self.name, "how": self.how, "of": list(self.of), "values": values, "shown": self.shown}

    @classmethod
    def from_json(cls, entry: Json) -> "Step":
        """The inverse of :meth:`to_json`."""
        values = tuple(np.nan if value is None else float(value) for value in entry["values"])
        return cls(entry["name"], entry["how"], tuple(entry["of"]), values, bool(entry["shown"]))


def _without(codes: Floats, x: Floats) -> Floats:
    """Special codes as missing."""
    plain: Floats = np.where(np.isin(x, codes), np.nan, x)
    return plain


def _codes(codes: Floats, x: Floats) -> Floats:
    """Which special code a value is: 1, 2 …, and 0 for none."""
    found = np.zeros(len(x))
    for number, code in enumerate(codes, start=1):
        found[x == code] = number
    return found


def _table(values: Floats, x: Floats) -> Floats:
    """A code's entry; the last entry stands for missing, the one before it for codes beyond the table."""
    known = len(values) - 2
    places = np.where(np.isnan(x), known + 1, np.minimum(np.nan_to_num(x), known))
    found: Floats = values.take(places.astype(np.int64))
    return found


def _ratio(_: Floats, x: Floats, y: Floats) -> Floats:
    """x / y, missing where y is 0."""
    quotient: Floats = np.divide(x, y, out=np.full(len(x), np.nan), where=y != 0.0)
    return quotient


def _difference(_: Floats, x: Floats, y: Floats) -> Floats:
    return x - y


def _sum(_: Floats, *parts: Floats) -> Floats:
    total: Floats = np.sum(parts, axis=0)
    return total


def _product(_: Floats, *parts: Floats) -> Floats:
    total: Floats = np.prod(parts, axis=0)
    return total


def _log(_: Floats, x: Floats) -> Floats:
    """sign(x)·ln(1 + |x|), which is defined everywhere and rises everywhere."""
    logged: Floats = np.copysign(np.log1p(np.abs(x)), x)
    return logged


def _missing(_: Floats, *parts: Floats) -> Floats:
    """1 where any of them is missing, else 0."""
    flag: Floats = np.any(np.isnan(parts), axis=0).astype(np.float64)
    return flag


def _age(days: Floats, since: Floats, until: Floats | float = 0.0) -> Floats:
    """From one date to another, or to the decision, in units of so many ``days``; dates are days before it."""
    age: Floats = (since - until) / days[0]
    return age


def _bands(bounds: Floats, x: Floats) -> Floats:
    """The number of bounds below the value: band b holds bounds[b-1] < x <= bounds[b]."""
    return np.where(np.isnan(x), np.nan, np.searchsorted(bounds, x, side="left").astype(np.float64))


STEPS: Final[Mapping[str, Callable[..., Floats]]] = {
    "without": _without,
    "codes": _codes,
    "table": _table,
    "ratio": _ratio,
    "difference": _difference,
    "sum": _sum,
    "product": _product,
    "log": _log,
    "missing": _missing,
    "bands": _bands,
    "age": _age,
}


@dataclass(frozen=True)
class Preparation:
    """The steps over a matrix of ``width`` columns."""

    width: int
    steps: tuple[Step, ...] = field(default=())

    def matrix(self, X: Floats) -> Floats:
        """The prepared matrix (n, m) of the model's matrix X (n, width)."""
        kept, made = self._layout
        prepared = np.empty((len(X), len(kept) + len(made)))
        prepared[:, : len(kept)] = X[:, kept]
        columns = [X[:, j] for j in range(self.width)] if made else []
        for step in self._working:
            columns.append(step(columns))
        for place, i in enumerate(made, start=len(kept)):
            prepared[:, place] = columns[i]
        return prepared

    def attributed(self, parts: Floats) -> Floats:
        """Contributions (n, m + 1) of prepared columns as contributions (n, width + 1) of the columns they come from.

        A column that is made of several is worth nothing without any of them, so each gets an equal part: the Shapley
        value of the unanimity game (Shapley 1953).
        """
        kept, _ = self._layout
        result = np.zeros((len(parts), self.width + 1))
        result[:, kept] = parts[:, : len(kept)]
        result[:, -1] = parts[:, -1]
        for place, shares in enumerate(self.shares[len(kept) :], start=len(kept)):
            for j, share in shares.items():
                result[:, j] += parts[:, place] * share
        return result

    @cached_property
    def shares(self) -> tuple[Mapping[int, float], ...]:
        """How much of each prepared column (m) belongs to each input that it is made of; each sums to 1."""
        kept, made = self._layout
        known: dict[int, dict[int, float]] = {}
        for place, step in enumerate(self._working, start=self.width):
            known[place] = {}
            for source in step.of:
                for j, share in known.get(source, {source: 1.0}).items():
                    known[place][j] = known[place].get(j, 0.0) + share / len(step.of)
        return tuple(known.get(i, {i: 1.0}) for i in (*kept, *made))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the prepared columns, in their order: what is kept first, then what is made."""
        kept = [step.name for step in self.steps if step.how == "keep"]
        return (*kept, *(step.name for step in self._working if step.shown))

    @cached_property
    def _working(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.how != "keep")

    @cached_property
    def _layout(self) -> tuple[list[int], list[int]]:
        """Inputs that are kept as they are, and where the shown ones of the working steps are found."""
        kept = [step.of[0] for step in self.steps if step.how == "keep"]
        return kept, [self.width + i for i, step in enumerate(self._working) if step.shown]

    def dump(self) -> bytes:
        """Canonical text; floats are exact."""
        steps = [step.to_json() for step in self.steps]
        return json.dumps({"width": self.width, "steps": steps}, indent=1, allow_nan=False).encode()


def load_preparation(content: bytes, where: str) -> Preparation:
    """The inverse of `Preparation.dump`. Raises ArtefactError."""
    try:
        document: dict[str, Any] = json.loads(content)
        steps = tuple(Step.from_json(entry) for entry in document["steps"])
        unknown = [step.how for step in steps if step.how not in {"keep", *STEPS}]
        width = int(document["width"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{where} is not a preparation that riskloop wrote: {error!r}. Train again.") from None
    if unknown or any(i >= width + n for n, step in enumerate(steps) for i in step.of):
        raise ArtefactError(f"{where} holds a step that this version of riskloop does not know; upgrade it.")
    return Preparation(width, steps)
