"""Logistic regression with few columns, by Newton's method: for calibration, not for scoring."""

from typing import NamedTuple

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.types import Bools, Floats

_STEPS = 50
_TOLERANCE = 1e-10
_LONGEST_STEP = 20.0  # log-odds of any row; a longer one comes from a nearly flat start, and lands where all is flat
_SINGULAR = 1e13


class Fit(NamedTuple):
    """Maximum likelihood estimate of k coefficients."""

    coefficients: Floats  # (k,)
    covariance: Floats  # (k, k), inverse information; with weights the sandwich B⁻¹MB⁻¹


def fit_logistic(design: Floats, defaults: Bools, weights: Floats | None = None, offset: Floats | None = None) -> Fit:
    """Regress ``defaults`` (n,) on ``design`` (n, k); raises DataError where no finite maximum exists."""
    from scipy.special import expit

    weight = np.ones(defaults.size) if weights is None else weights
    fixed = np.zeros(defaults.size) if offset is None else offset
    labels = defaults.astype(np.float64)

    def deviance(beta: Floats) -> float:
        eta = design @ beta + fixed
        return float(weight @ (np.logaddexp(0.0, eta) - labels * eta))

    beta = np.zeros(design.shape[1])
    loss = deviance(beta)
    for _ in range(_STEPS):
        p = expit(design @ beta + fixed)
        information = (design * (weight * p * (1.0 - p))[:, None]).T @ design
        step = _solved(information, design.T @ (weight * (labels - p)))
        longest = float(np.abs(design @ step).max())
        step = step * min(1.0, _LONGEST_STEP / longest) if longest > 0 else step
        while (new_loss := deviance(beta + step)) > loss + 1e-9 * abs(loss):
            step = step / 2.0  # Newton overshoots far from the maximum
        beta, loss = beta + step, new_loss
        if np.abs(step).max() <= _TOLERANCE * (1.0 + np.abs(beta).max()):
            return Fit(beta, _covariance(design, labels, expit(design @ beta + fixed), weights))
    raise DataError(
        "No finite calibration line fits: the probabilities separate the outcomes, or are (nearly) all 0 and 1; "
        "look at the scores, or wait until more outcomes have matured."
    )


def _covariance(design: Floats, labels: Floats, p: Floats, weights: Floats | None) -> Floats:
    weight = np.ones(p.size) if weights is None else weights
    bread = _solved((design * (weight * p * (1.0 - p))[:, None]).T @ design, np.eye(design.shape[1]))
    if weights is None:
        return bread
    # Density-ratio weights are no counts of rows: the inverse information would promise too much (White 1980).
    scores = design * (weight * (labels - p))[:, None]
    covariance: Floats = bread @ (scores.T @ scores) @ bread
    return covariance


def _solved(matrix: Floats, right: Floats) -> Floats:
    if not np.linalg.cond(matrix) < _SINGULAR:
        raise DataError(
            "The calibration line cannot be fitted: the probabilities are all equal, or separate the outcomes."
        )
    solution: Floats = np.linalg.solve(matrix, right).astype(np.float64)
    return solution
