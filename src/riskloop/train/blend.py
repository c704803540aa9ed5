"""A model of a changed world from few of its outcomes: the mean of a refit and of the old world's model carried on.

The refit learns from all rows, the new ones with more weight; the other half is fitted to the old rows alone and then
corrected by a few trees of the new ones. Either errs, in different ways: their mean log-odds ranks the new world better
than the refit does, and the old one about as well (`python -m benchmarks.weighting`). Each half has half of the trees,
so only the correction costs more.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from riskloop.core.schema import Schema
from riskloop.core.types import Bools, Floats
from riskloop.train.learners import CORRECTION, Estimator, Learner, halved


class Blend:
    """The mean log-odds of a refit and of a former model with its correction, as a scikit-learn classifier."""

    def __init__(self, refit: Estimator, former: Estimator, correction: Estimator) -> None:
        self.refit, self.former, self.correction = refit, former, correction
        self.classes_: npt.NDArray[Any] = refit.classes_

    def decision_function(self, X: Floats) -> Floats:
        """Log-odds (n,) for the matrix X (n, k)."""
        odds: Floats = (raw(self.refit, X) + raw(self.former, X) + raw(self.correction, X)) / 2.0
        return odds

    def predict_proba(self, X: Floats) -> Floats:
        """Probabilities (n, 2) for the matrix X (n, k)."""
        from scipy.special import expit

        p: Floats = expit(self.decision_function(X))
        return np.column_stack((1.0 - p, p))


def fit_blend(
    entry: Learner,
    schema: Schema,
    X: Floats,
    y: Bools,
    weights: Floats | None,
    present: Bools | None,
    seed: int,
    threads: int,
) -> Estimator:
    """A `Blend`, where ``present`` (n,) tells a new world's rows from old ones and the learner can be half of one.

    Else a fit. X (n, k), outcomes y (n,), ``weights`` (n,) of the refit. Raises what `Learner.fit` raises.
    """
    if entry.trees is None or present is None or not _both_classes(y[present]) or not _both_classes(y[~present]):
        return entry.fit(schema, X, y, weights, seed, threads)
    half = halved(entry)
    refit = half.fit(schema, X, y, weights, seed, threads)
    former = half.fit(schema, X[~present], y[~present], _within(weights, ~present), seed, threads)
    new, start = X[present], raw(former, X[present])
    correction = CORRECTION.fit(schema, new, y[present], _within(weights, present), seed, threads, start)
    return Blend(refit, former, correction)


def raw(estimator: Estimator, X: Floats) -> Floats:
    """Log-odds (n,) of a booster, from the sum of its trees."""
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(X), dtype=np.float64)
    return np.asarray(estimator.booster_.predict(X, raw_score=True, num_threads=1), dtype=np.float64)


def _within(weights: Floats | None, chosen: Bools) -> Floats | None:
    """The chosen rows' weights among themselves, with a mean of 1; None where they are alike, which fits faster."""
    if weights is None or np.ptp(weights[chosen]) == 0.0:
        return None
    among: Floats = weights[chosen] / weights[chosen].mean()
    return among


def _both_classes(y: Bools) -> bool:
    return bool(y.any()) and not bool(y.all())
