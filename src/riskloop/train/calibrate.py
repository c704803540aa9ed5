"""Raw log-odds into probabilities that mean what they say, and the threshold above which they say default."""

import math
from typing import Final

import numpy as np

from riskloop.core.manifest import MAX_LOG_ODDS, MIN_PROBABILITY, Calibration
from riskloop.core.settings import ThresholdSettings
from riskloop.core.stats import recalibrate as fit_line
from riskloop.core.types import Floats

_LEAST_SLOPE: Final = 0.05


def log_odds(p: Floats) -> Floats:
    """logit of probabilities; 0 and 1 are moved inside by 1e-9."""
    from scipy.special import logit

    z: Floats = logit(np.clip(p, MIN_PROBABILITY, 1.0 - MIN_PROBABILITY))
    return z


def fit_calibration(z: Floats, outcomes: Floats, weights: Floats | None = None) -> Calibration:
    """Platt's line over raw log-odds of rows that the model was not fitted to, all of shape (n,).

    Where the line would fall, only the level is fitted: a falling line would turn the ranking around.
    Source: Platt, Advances in Large Margin Classifiers (1999); Cox, Biometrika 45 (1958) 562–565.
    Raises DataError when there is one class, or the scores separate the outcomes.
    """
    from scipy.special import expit

    line = fit_line(outcomes, expit(np.clip(z, -MAX_LOG_ODDS, MAX_LOG_ODDS)), weights)
    if line.slope >= _LEAST_SLOPE:
        return Calibration(line.intercept, line.slope)
    return Calibration(_level(z, float(np.average(outcomes, weights=weights)), weights), 1.0)


def _level(z: Floats, rate: float, weights: Floats | None) -> float:
    """The shift a for which the mean of sigmoid(a + z) is ``rate``."""
    from scipy.optimize import brentq
    from scipy.special import expit

    def excess(a: float) -> float:
        return float(np.average(expit(a + z), weights=weights)) - rate

    return float(brentq(excess, -100.0, 100.0))


def choose_threshold(p: Floats, policy: ThresholdSettings, weights: Floats | None = None) -> float:
    """The probability from which a decision is `default`, from calibrated ``p`` (n,) of rows not fitted to.

    cost: 1/(1 + cost_ratio), where a declined good customer and a missed default cost the same in expectation (Elkan,
    IJCAI 2001); it needs no search because p is calibrated. approval_rate: the smallest value with at least that share
    of the rows below it. fixed: as it says.
    """
    if policy.policy == "fixed":
        return policy.value
    if policy.policy == "cost":
        return 1.0 / (1.0 + policy.cost_ratio)
    order = np.argsort(p, kind="stable")
    below = np.cumsum(np.ones(len(p)) if weights is None else weights[order])
    last = int(np.searchsorted(below, policy.approval_rate * below[-1] * (1.0 - 1e-12)))
    return math.nextafter(float(p[order][min(last, len(p) - 1)]), 1.0)
