"""The size of boosted trees, chosen inside the training rows: how many, how many leaves, how small a leaf may be.

Few rows of strong rules want deep trees, many noisy ones want shallow trees: no rule of the number of rows fits both.
A walk over the settings, one at a time, is bounded by a number of fits and not by a clock, so that the same history,
config and seed choose the same.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from msgspec import structs

from riskloop.core.manifest import Size
from riskloop.core.types import Floats, Ints
from riskloop.train.fitted import Sample, preparer_of
from riskloop.train.learners import LEARNERS, Learner, lightgbm_params, most_bins, one_thread

CELLS: Final = 200_000  # of all parts of one try: small histories are tried on every part of the validation …
LEAST_PARTS: Final = 2  # … and large ones on the last two
CLEARLY: Final = 0.002  # share by which a size's loss is larger that is not tried further
MOST: Final = 20_000  # rows of one try
MOST_TREES: Final = 1500
_HASTE: Final = 1.7  # tries learn so many times faster than fits, with as many times fewer trees
_PATIENCE: Final = 25  # trees without an improvement that end a try …
_STEP: Final = 5  # … which is looked at after every so many
_RATE, _LEAVES = 0.06, 8  # learning rate of trees with so many leaves
_GROWTH: Final = 2.0  # times the trees that more rows than the search had may bear


def sized(entry: Learner, size: Size | None) -> Learner:
    """The learner at this size; one that has none as it is."""
    name = _NAMES.get(entry.name)
    if name is None or size is None:
        return entry
    faster = 2.0 if entry.name == "hist_gradient_boosting" else 1.0  # fewer, further: they take twice as long
    params = {
        name.trees: max(1, round(size.trees / faster)),
        name.leaves: size.leaves,
        "learning_rate": size.rate * faster,
        **({} if name.least_leaf is None else {name.least_leaf: size.least_leaf}),
        name.columns: size.columns,
        name.l2: size.l2,
    }
    return replace(entry, params={**entry.params, **params}, enough=size.rows, growth=_GROWTH)


@dataclass(frozen=True)
class _Names:
    """What a booster calls its size."""

    trees: str
    leaves: str
    least_leaf: str | None  # None: is not counted in rows
    columns: str
    l2: str


_NAMES: Final[Mapping[str, _Names]] = {
    "lightgbm": _Names("n_estimators", "num_leaves", "min_child_samples", "colsample_bytree", "reg_lambda"),
    "hist_gradient_boosting": _Names(
        "max_iter", "max_leaf_nodes", "min_samples_leaf", "max_features", "l2_regularization"
    ),
    "xgboost": _Names("n_estimators", "max_leaves", None, "colsample_bytree", "reg_lambda"),
}


@dataclass(frozen=True)
class Sizes:
    """What the search found."""

    whole: Size  # by all parts
    by_part: tuple[Size, ...]  # for each part of the validation by the other ones: no row chooses for its own test
    tried: int


@dataclass
class _Tried:
    """A size's loss after every `_STEP` trees, on each part of the search."""

    size: Size
    curves: list[Floats] = field(default_factory=list)

    def best(self, parts: Sequence[int]) -> tuple[float, int]:
        """Least mean loss over the parts, and the number of trees that has it."""
        longest = max(len(self.curves[p]) for p in parts)
        padded = [np.pad(self.curves[p], (0, longest - len(self.curves[p])), mode="edge") for p in parts]
        mean = np.mean(padded, axis=0)
        return float(mean.min()), _STEP * (int(mean.argmin()) + 1)


class _Search:
    """Tries sizes on parts of the sample."""

    def __init__(self, sample: Sample, parts: Sequence[tuple[Ints, Ints]], workers: int) -> None:
        self._workers = workers
        self._seed = sample.seed
        rng = np.random.default_rng(sample.seed)
        self._data = [_Part(sample, *(_thinned(rows, rng) for rows in part)) for part in parts]
        self.rows = float(np.mean([part.rows for part in self._data]))
        self.tried: list[_Tried] = []

    def attempt(self, size: Size) -> float:
        """The size's least mean loss; infinite when it is clearly worse than the best on the first parts.

        Most sizes are: the other parts are not fitted then. Racing, as in Maron & Moore, NIPS 6 (1993) 59–66.
        """
        found = next((tried for tried in self.tried if tried.size == size), None)
        if found is None:
            found = _Tried(size, self._curves(size, self._data[:LEAST_PARTS]))
            first = range(min(LEAST_PARTS, len(self._data)))
            if self.tried and found.best(first)[0] > (1.0 + CLEARLY) * min(t.best(first)[0] for t in self.tried):
                return np.inf
            found.curves.extend(self._curves(size, self._data[LEAST_PARTS:]))
            self.tried.append(found)
        return found.best(range(len(self._data)))[0]

    def _curves(self, size: Size, parts: "Sequence[_Part]") -> list[Floats]:
        with one_thread(), ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(lambda part: part.curve(size, self._seed), parts))

    def best(self, parts: Sequence[int]) -> Size:
        """The size with the least loss on these parts, with its number of trees."""
        (_, trees), tried = min(((t.best(parts), t) for t in self.tried), key=lambda pair: pair[0][0])
        return structs.replace(tried.size, trees=round(_HASTE * trees), rows=self.rows)


class _Part:
    """Rows to fit to and rows to test on, prepared and binned once for all sizes."""

    def __init__(self, sample: Sample, fitted: Ints, test: Ints) -> None:
        import lightgbm

        entry, part, other = LEARNERS["lightgbm"], sample.take(fitted), sample.take(test)
        preparer = preparer_of(entry, sample)
        Z = preparer.fit_transform(part.X, part.y, part.weights, part.customers)
        self._params = lightgbm_params(preparer.schema_)
        options: dict[str, Any] = {**entry.fit_options(preparer.schema_), "free_raw_data": False}
        self._params["max_bin"] = most_bins(len(Z))
        options["params"] = {**self._params, "feature_pre_filter": False, "num_threads": 1}
        self.rows = len(Z)
        self._train = lightgbm.Dataset(Z, part.y.astype(np.float64), weight=part.weights, **options)
        self._test = self._train.create_valid(
            preparer.transform(other.X), other.y.astype(np.float64), weight=other.weights, params=options["params"]
        )

    def curve(self, size: Size, seed: int) -> Floats:
        """Log loss on the test rows after every `_STEP` trees."""
        import lightgbm

        params = {
            **self._params,
            "objective": "binary",
            "metric": "binary_logloss",
            "num_leaves": size.leaves,
            "min_data_in_leaf": size.least_leaf,
            "feature_fraction": size.columns,
            "lambda_l2": size.l2,
            "learning_rate": _HASTE * size.rate,
            "feature_pre_filter": False,
            "num_threads": 1,
            "seed": seed,
        }
        booster = lightgbm.Booster(params, self._train)
        booster.add_valid(self._test, "test")
        losses: list[float] = []
        best = 0
        while len(losses) * _STEP < MOST_TREES and (len(losses) - 1 - best) * _STEP < _PATIENCE:
            for _ in range(_STEP):
                booster.update()
            losses.append(booster.eval_valid()[0][2])
            best = len(losses) - 1 if losses[-1] < losses[best] else best
        return np.array(losses)


def choose_sizes(
    sample: Sample,
    parts: Sequence[tuple[Ints, Ints]],
    tries: int,
    workers: int,
    report: Callable[[str, float], None] = lambda what, share: None,
) -> Sizes:
    """The size for the sample by at most ``tries`` sizes, each fitted on the ``parts`` (training, test positions)."""
    used = min(len(parts), max(LEAST_PARTS, CELLS // sample.X.size))
    chosen = range(len(parts) - used, len(parts))
    search = _Search(sample, [parts[p] for p in chosen], workers)
    start = Size(least_leaf=50 if len(sample.y) >= 5000 else 20, rate=_rate(_LEAVES))
    size, done = start, 0

    def attempt(changed: Size) -> float:
        nonlocal done
        done += 1
        report(f"size of the trees, try {done} of {tries}", done / tries)
        return search.attempt(changed)

    loss = attempt(size)
    for name, values in _walk(sample):
        for value in values:
            if done >= tries:
                break
            changed = structs.replace(size, **{name: value})
            changed = structs.replace(changed, rate=_rate(changed.leaves))
            new = attempt(changed)
            if new >= loss:
                break  # further in this direction is no better
            size, loss = changed, new
    everything = list(range(len(search._data)))
    whole = search.best(everything)
    others = {p: [i for i in everything if chosen[i] != p] for p in range(len(parts))}
    return Sizes(whole, tuple(search.best(others[p] or everything) for p in range(len(parts))), done)


def _rate(leaves: int) -> float:
    """Small trees go further, so that a size of few leaves does not take many times the trees."""
    return round(_RATE * math.sqrt(_LEAVES / leaves), 3)


def _walk(sample: Sample) -> list[tuple[str, tuple[Any, ...]]]:
    """Settings in the order in which they matter, and steps in one direction each."""
    few = len(sample.y) < 5000
    return [
        ("leaves", (4, 3)),
        ("leaves", (16, 32, 64)),
        ("columns", (0.5, 0.25)),
        ("l2", (10.0,)),
        ("least_leaf", (5,) if few else (15,)),
        ("least_leaf", (60,) if few else (200,)),
    ]


def _thinned(rows: Ints, rng: np.random.Generator) -> Ints:
    return rows if len(rows) <= MOST else np.sort(rng.choice(rows, MOST, replace=False))
