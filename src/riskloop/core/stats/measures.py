"""Intervals of the measures that are shown beside the AUC: Gini, KS, Brier score, log loss, and of their changes."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import TINY, numbers, outcomes, probabilities, require_share
from riskloop.core.stats.calibration import brier, log_loss
from riskloop.core.stats.customers import count_customers, squared_error
from riskloop.core.stats.discrimination import auc_interval, ks_statistic
from riskloop.core.stats.intervals import Interval, wilson_interval
from riskloop.core.types import Floats


def gini_interval(labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95) -> Interval:
    """2·AUC − 1 with the interval of the AUC."""
    area = auc_interval(labels, scores, level)
    return Interval(*(2.0 * value - 1.0 for value in (area.estimate, area.lower, area.upper)))


def ks_interval(labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95) -> Interval:
    """KS with the interval of two independent proportions at the score where the distributions are farthest apart.

    Both proportions have their Wilson interval, so that it has a width also where one of them is 0 or 1: few rows that
    are separated perfectly show no KS of exactly 1 (Newcombe, Statistics in Medicine 17 (1998) 873–890, method 10).
    The largest of many distances is a little above the population's own, by less than a standard error for scores
    that rank at all; the interval does not correct for it. Source: Raghavachari, The Annals of Statistics 1 (1973)
    67–73: where the populations differ at one point most, KS is asymptotically normal.
    """
    require_share(level, "level")
    defaults = outcomes(labels)
    values = np.asarray(scores, dtype=np.float64)
    distance = ks_statistic(defaults, values)
    bad, good = np.sort(values[defaults]), np.sort(values[~defaults])
    points = np.unique(values)
    below = [np.searchsorted(part, points, side="right") for part in (bad, good)]
    at = int(np.argmax(np.abs(below[0] / bad.size - below[1] / good.size)))
    one, other = (
        wilson_interval(int(count[at]), part.size, level) for count, part in zip(below, (bad, good), strict=True)
    )
    if one.estimate < other.estimate:
        one, other = other, one
    down = math.hypot(one.estimate - one.lower, other.upper - other.estimate)
    up = math.hypot(one.upper - one.estimate, other.estimate - other.lower)
    return Interval(distance, max(0.0, distance - down), min(1.0, distance + up))


def brier_interval(labels: npt.ArrayLike, probability: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The Brier score as the mean of independent squared errors, with its normal interval; needs two rows."""
    estimate = brier(labels, probability)
    return _mean(np.square(probabilities(probability) - outcomes(labels)), estimate, level)


def log_loss_interval(labels: npt.ArrayLike, probability: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The log loss as the mean of independent losses, with its normal interval; needs two rows."""
    estimate = log_loss(labels, probability)
    p = np.clip(probabilities(probability), TINY, 1.0 - TINY)
    return _mean(np.where(outcomes(labels), -np.log(p), -np.log1p(-p)), estimate, level)


def paired_change(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    customers: npt.ArrayLike | None = None,
    level: float = 0.95,
    weights: npt.ArrayLike | None = None,
) -> Interval:
    """How far the mean of one value a row moves from ``before`` to ``after`` (n,), for the same rows; normal interval.

    With ``customers`` (n,) the rows of one customer are one witness (Liang & Zeger, Biometrika 73 (1986) 13–22). With
    ``weights`` (n,) each row stands for so many (ratio estimate, linearised: Cochran, Sampling Techniques (1977),
    section 6.3). Needs two rows, of two customers.
    """
    require_share(level, "level")
    first = numbers(before, "values before")
    change = numbers(after, "values after", length=first.size) - first
    witnesses = count_customers(customers, np.ones(change.size, dtype=np.bool_))
    if witnesses < 2:
        raise DataError("An interval of a mean needs two rows, of two customers; there is one.")
    shares = np.ones(change.size) if weights is None else numbers(weights, "weights", length=change.size)
    shares = shares / shares.sum()
    mean = float(shares @ change)
    variance = squared_error((change - mean) * shares, customers) * witnesses / (witnesses - 1)
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(variance)
    return Interval(mean, mean - reach, mean + reach)


def _mean(values: Floats, estimate: float, level: float) -> Interval:
    require_share(level, "level")
    if values.size < 2:
        raise DataError("An interval of a mean needs two rows; there is one.")
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Interval(estimate, estimate - reach, estimate + reach)
