"""Intervals of the measures that are shown beside the AUC: Gini, KS, Brier score, log loss, and of their changes."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import TINY, outcomes, probabilities, require_share
from riskloop.core.stats.calibration import brier, log_loss
from riskloop.core.stats.customers import squared_error
from riskloop.core.stats.discrimination import auc_interval, ks_statistic
from riskloop.core.stats.intervals import Interval
from riskloop.core.types import Floats


def gini_interval(labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95) -> Interval:
    """2·AUC − 1 with the interval of the AUC."""
    area = auc_interval(labels, scores, level)
    return Interval(*(2.0 * value - 1.0 for value in (area.estimate, area.lower, area.upper)))


def ks_interval(labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95) -> Interval:
    """KS with the interval of two independent proportions at the score where the distributions are farthest apart.

    The largest of many distances is a little above the population's own, by less than a standard error for scores
    that rank at all; the interval does not correct for it. Source: Raghavachari, The Annals of Statistics 1 (1973)
    67–73: where the populations differ at one point most, KS is asymptotically normal with this variance.
    """
    require_share(level, "level")
    defaults = outcomes(labels)
    values = np.asarray(scores, dtype=np.float64)
    distance = ks_statistic(defaults, values)
    bad, good = np.sort(values[defaults]), np.sort(values[~defaults])
    points = np.unique(values)
    below_bad = np.searchsorted(bad, points, side="right") / bad.size
    below_good = np.searchsorted(good, points, side="right") / good.size
    at = int(np.argmax(np.abs(below_bad - below_good)))
    p, q = below_bad[at], below_good[at]
    error = math.sqrt(p * (1.0 - p) / bad.size + q * (1.0 - q) / good.size)
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * error
    return Interval(distance, max(0.0, distance - reach), min(1.0, distance + reach))


def brier_interval(labels: npt.ArrayLike, probability: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The Brier score as the mean of independent squared errors, with its normal interval; needs two rows."""
    p = probabilities(probability)
    return _mean(np.square(p - outcomes(labels)), brier(labels, probability), level)


def log_loss_interval(labels: npt.ArrayLike, probability: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The log loss as the mean of independent losses, with its normal interval; needs two rows."""
    p = np.clip(probabilities(probability), TINY, 1.0 - TINY)
    losses = np.where(outcomes(labels), -np.log(p), -np.log1p(-p))
    return _mean(losses, log_loss(labels, probability), level)


def paired_change(
    before: npt.ArrayLike, after: npt.ArrayLike, customers: npt.ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """How far the mean of one value a row moves from ``before`` to ``after`` (n,), for the same rows; normal interval.

    With ``customers`` (n,) the rows of one customer are one witness (Liang & Zeger, Biometrika 73 (1986) 13–22).
    Needs two rows.
    """
    require_share(level, "level")
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    if change.size < 2:
        raise DataError("An interval of a mean needs two rows; there is one.")
    mean = float(change.mean())
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(squared_error((change - mean) / change.size, customers))
    return Interval(mean, mean - reach, mean + reach)


def _mean(values: Floats, estimate: float, level: float) -> Interval:
    require_share(level, "level")
    if values.size < 2:
        raise DataError("An interval of a mean needs two rows; there is one.")
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Interval(estimate, estimate - reach, estimate + reach)
