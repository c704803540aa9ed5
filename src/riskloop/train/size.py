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
from riskloop.scoring.shap import MAX_NODES
from riskloop.train.fitted import Sample, preparer_of
from riskloop.train.learners import LEARNERS, Learner, lightgbm_params, most_bins, one_thread

ROWS, CELLS = 12_000, 2_000_000  # of all parts of one try: small histories are tried on every part of the validation …
LEAST_PARTS: Final = 2  # … and large ones on the last two
_HEAT: Final = 2  # parts that are fitted side by side before a size is given up or goes on
_DEEP_PROOF: Final = 2.0  # standard errors by which deep trees have to be better; one is enough for others
MOST: Final = 12_000  # rows of one try
MOST_TREES: Final = 1500
FEW: Final = 5000  # rows, of which a leaf may have fewer
_HASTE: Final = 1.7  # tries learn so many times faster than fits, with as many times fewer trees
_PATIENCE: Final = 25  # trees without an improvement that end a try …
_STEP: Final = 5  # … which is looked at after every so many
_RATE, _LEAVES = 0.06, 8  # learning rate of trees with so many leaves
_DRAWN: Final = 0.6  # trees that a booster without drawn thresholds needs, of those that are best with them
# LightGBM's trees learn from other four fifths of the rows each: faster, and they err less alike.
SAMPLED: Final[Mapping[str, Any]] = {"subsample": 0.8, "subsample_freq": 1}
_GROWTH: Final = 2.0  # times the trees that more rows than the search had may bear


def sized(entry: Learner, size: Size | None) -> Learner:
    """The learner at this size; one that has none as it is."""
    name = _NAMES.get(entry.name)
    if name is None or size is None:
        return entry
    faster = 2.0 if entry.name == "hist_gradient_boosting" else 1.0  # fewer, further: they take twice as long
    trees = size.trees * (_DRAWN if size.drawn and name.drawn is None else 1.0)
    params = {
        name.trees: max(1, round(trees / faster)),
        name.leaves: size.leaves,
        "learning_rate": size.rate * faster,
        **({} if name.least_leaf is None else {name.least_leaf: size.least_leaf}),
        name.columns: size.columns,
        name.l2: size.l2,
        **({} if name.drawn is None else {name.drawn: size.drawn, **SAMPLED}),
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
    drawn: str | None = None  # None: has no such splits


_NAMES: Final[Mapping[str, _Names]] = {
    "lightgbm": _Names(
        "n_estimators", "num_leaves", "min_child_samples", "colsample_bytree", "reg_lambda", "extra_trees"
    ),
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
    """The log loss of a size: of every row after every `_STEP` trees, on each part of the search."""

    size: Size
    losses: list[Floats] = field(default_factory=list)  # of (steps, rows)

    def best(self, parts: Sequence[int]) -> tuple[Floats, int]:
        """Every row's loss at the number of trees with the least mean over the parts, and that number."""
        curves = [self.losses[p].mean(axis=1) for p in parts]
        longest = max(len(curve) for curve in curves)
        step = int(np.mean([np.pad(c, (0, longest - len(c)), mode="edge") for c in curves], axis=0).argmin())
        rows = [self.losses[p][min(step, len(self.losses[p]) - 1)] for p in parts]
        return np.concatenate(rows), _STEP * (step + 1)

    def proven(self, other: "_Tried", parts: Sequence[int]) -> bool:
        """Whether this one's loss is smaller than the other's by more than the standard error of the pair.

        Trees whose reasons cannot be looked up when they score have to be better by two.
        """
        gain = other.best(parts)[0] - self.best(parts)[0]
        errors = _DEEP_PROOF if self.size.leaves > MAX_NODES + 1 else 1.0
        return bool(gain.mean() > errors * gain.std() / math.sqrt(len(gain)))


class _Search:
    """Tries sizes on parts of the sample."""

    def __init__(self, sample: Sample, parts: Sequence[tuple[Ints, Ints]], workers: int) -> None:
        self._workers = workers
        self._seed = sample.seed
        rng = np.random.default_rng(sample.seed)
        self._data = [_Part(sample, *(_thinned(rows, rng) for rows in part)) for part in parts]
        self.rows = float(np.mean([part.rows for part in self._data]))
        self.tried: list[_Tried] = []

    def start(self, size: Size) -> _Tried:
        """The size that others are held against."""
        self.tried.append(_Tried(size, self._losses(size, self._data)))
        return self.tried[-1]

    def attempt(self, size: Size, than: _Tried) -> _Tried | None:
        """The size, where its loss is proven to be smaller ``than`` another's.

        Most are not: where it is proven to be larger on the first parts, the other parts are not fitted. Racing, as in
        Maron & Moore, NIPS 6 (1993) 59–66.
        """
        found = _Tried(size)
        while (done := len(found.losses)) < len(self._data):
            if done and than.proven(found, range(done)):
                return None
            found.losses.extend(self._losses(size, self._data[done : done + _HEAT] if done else self._data[:1]))
        self.tried.append(found)
        return found if found.proven(than, range(len(self._data))) else None

    def _losses(self, size: Size, parts: "Sequence[_Part]") -> list[Floats]:
        with one_thread(), ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(lambda part: part.losses(size, self._seed), parts))

    def best(self, parts: Sequence[int]) -> Size:
        """The last size that these parts prove to be better than the one before, with its number of trees."""
        best = self.tried[0]
        for tried in self.tried[1:]:
            best = tried if tried.proven(best, parts) else best
        return structs.replace(best.size, trees=round(_HASTE * best.best(parts)[1]), rows=self.rows)


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
        self._default = other.y
        self._weights = 1.0 if other.weights is None else other.weights / other.weights.mean()
        self._train = lightgbm.Dataset(Z, part.y.astype(np.float64), weight=part.weights, **options)
        self._test = self._train.create_valid(
            preparer.transform(other.X), other.y.astype(np.float64), weight=other.weights, params=options["params"]
        )

    def losses(self, size: Size, seed: int) -> Floats:
        """Log loss (steps, n) of each test row after every `_STEP` trees."""
        import lightgbm

        params = {
            **self._params,
            **SAMPLED,
            "objective": "binary",
            "metric": "none",
            "num_leaves": size.leaves,
            "min_data_in_leaf": size.least_leaf,
            "feature_fraction": size.columns,
            "lambda_l2": size.l2,
            "extra_trees": size.drawn,
            "learning_rate": _HASTE * size.rate,
            "feature_pre_filter": False,
            "num_threads": 1,
            "seed": seed,
        }
        booster = lightgbm.Booster(params, self._train)
        booster.add_valid(self._test, "test")
        losses: list[Floats] = []

        def loss(p: Floats, _: Any) -> tuple[str, float, bool]:
            losses.append(-np.log(np.clip(np.where(self._default, p, 1.0 - p), 1e-15, 1.0)) * self._weights)
            return "loss", float(losses[-1].mean()), False

        best, reached, step = np.inf, 0, 0
        while step * _STEP < MOST_TREES and (step - reached) * _STEP < _PATIENCE:
            for _ in range(_STEP):
                booster.update()
            step += 1
            found = booster.eval_valid(loss)[-1][2]
            if found < best:
                best, reached = found, step
        return np.array(losses)


def choose_sizes(
    sample: Sample,
    parts: Sequence[tuple[Ints, Ints]],
    tries: int,
    workers: int,
    report: Callable[[str, float], None] = lambda what, share: None,
) -> Sizes:
    """The size for the sample by at most ``tries`` sizes, each fitted on the ``parts`` (training, test positions)."""
    used = min(len(parts), max(LEAST_PARTS, min(ROWS // len(sample.X), CELLS // sample.X.size)))
    chosen = range(len(parts) - used, len(parts))
    search = _Search(sample, [parts[p] for p in chosen], workers)
    start = Size(leaves=4, l2=10.0, least_leaf=20 if len(sample.y) < FEW else 50, rate=_rate(4), drawn=True)
    done = 1
    report(f"size of the trees, try {done} of {tries}", done / tries)
    best = search.start(start)
    for direction in _walk(sample):
        for step in direction:
            if done >= tries:
                break
            done += 1
            report(f"size of the trees, try {done} of {tries}", done / tries)
            changed = structs.replace(best.size, **step)
            better = search.attempt(structs.replace(changed, rate=_rate(changed.leaves)), best)
            if better is None:
                break  # further in this direction is no better
            best = better
    everything = list(range(len(search._data)))
    whole = search.best(everything)
    others = {p: [i for i in everything if chosen[i] != p] for p in range(len(parts))}
    return Sizes(whole, tuple(search.best(others[p] or everything) for p in range(len(parts))), done)


def _rate(leaves: int) -> float:
    """Small trees go further, so that a size of few leaves does not take many times the trees."""
    return round(_RATE * math.sqrt(_LEAVES / leaves), 3)


def _walk(sample: Sample) -> list[list[dict[str, Any]]]:
    """Changes in the order in which they matter, and steps in one direction each.

    Searched thresholds and more leaves go together: strong rules of several columns need both, and neither alone helps.
    """
    return [
        [{"drawn": False, "leaves": 8}, {"leaves": 16}, {"leaves": 32}, {"leaves": 64}],
        [{"drawn": False, "leaves": 4}],
        [{"columns": 0.5}, {"columns": 0.25}],
        [{"least_leaf": 60 if len(sample.y) < FEW else 200}],
    ]


def _thinned(rows: Ints, rng: np.random.Generator) -> Ints:
    return rows if len(rows) <= MOST else np.sort(rng.choice(rows, MOST, replace=False))
