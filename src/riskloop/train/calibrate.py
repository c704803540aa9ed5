"""Raw log-odds into probabilities that mean what they say, and the threshold above which they say default.

A PD at a point in time is levelled to the rows that it is validated on; one through the cycle to the long-run average,
the mean of the default rates of all months. Sources: Tasche, Journal of Risk Management in Financial Institutions 6
(2013) 79-103; EBA/GL/2017/16, sections 5.3.4 (long-run average) and 4.4 (margin of conservatism).
"""

import math
from typing import Final

import numpy as np

from riskloop.core.manifest import MAX_LOG_ODDS, MIN_PROBABILITY, Calibration, PdLevel
from riskloop.core.settings import ThresholdSettings, TrainSettings
from riskloop.core.stats import recalibrate as fit_line
from riskloop.core.types import DAY, Floats, Ints

_LEAST_SLOPE: Final = 0.05
MONTH: Final = 30  # days
LEAST_ROWS: Final = 20  # of a month that counts as one


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


def long_run_average(times: Ints, outcomes: Floats) -> tuple[float, int]:
    """The mean of the months' default rates, each month alike, and of how many; ``times`` (n,) in microseconds.

    A year in which many were decided on does not count more than one with few. Months of few rows are left out.
    """
    number = _months(times)
    sizes = np.bincount(number)
    used = sizes >= LEAST_ROWS
    if not used.any():
        return float(np.mean(outcomes)), 0
    return float((np.bincount(number, weights=outcomes)[used] / sizes[used]).mean()), int(used.sum())


def _months(times: Ints) -> Ints:
    number: Ints = (times - times.min()) // (MONTH * DAY)
    return number


def levelled(
    line: Calibration,
    z: Floats,
    times: Ints,
    train: TrainSettings,
    level: PdLevel,
) -> Calibration:
    """The ``line`` over raw log-odds ``z`` (n,) of rows of ``times`` (n,), at the level and margin of ``train``.

    Through the cycle the mean of the months' mean PDs is the long-run average of ``level``.
    """
    if train.calibration == "through_the_cycle":
        line = _shifted(line, z, level.long_run, _month_weights(times))
    return conservative(line, train.margin)


def at_own_level(line: Calibration, own: Floats, rate: float, weights: Floats | None = None) -> Calibration:
    """The ``line`` for a model with raw log-odds ``own`` (n,), so that its mean PD is the ``rate`` of the same rows.

    A line is learned from models of parts of the rows. That of all of them spreads its scores more widely, and where
    few default the mean of its PDs was up to a sixth higher for that alone: sigmoid is convex below a half.
    """
    return _shifted(line, own, rate, weights)


def _month_weights(times: Ints) -> Floats | None:
    """Each month alike, (n,); None where no month has enough rows."""
    number = _months(times)
    sizes = np.bincount(number)[number]
    weights = np.where(sizes >= LEAST_ROWS, 1.0 / sizes, 0.0)
    return weights if weights.any() else None


def conservative(line: Calibration, margin: float) -> Calibration:
    """The ``line`` with the odds of every probability raised by the share ``margin``; below 0 it is taken off."""
    return Calibration(line.a + math.log1p(margin), line.b) if margin else line


def level_of(times: Ints, outcomes: Floats, recent: float, train: TrainSettings) -> PdLevel:
    """What the PDs are levelled to, from all rows that are learned from; ``recent`` is the rate of the validated."""
    average, months = long_run_average(times, outcomes)
    return PdLevel(long_run=average, months=months, recent=recent, calibration=train.calibration, margin=train.margin)


def capped(line: Calibration, z: Floats, before: float, most: float) -> tuple[Calibration, float | None]:
    """The ``line`` with its mean PD over ``z`` (n,) at most a share ``most`` from ``before``, and the mean it wanted.

    None where it did not want more. A recalibration follows a moment, and a moment may be wrong.
    """
    wanted = float(line.apply(z).mean())
    allowed = min(max(wanted, before / (1.0 + most)), before * (1.0 + most))
    if allowed == wanted:
        return line, None
    return _shifted(line, z, allowed, None), wanted


def _shifted(line: Calibration, z: Floats, rate: float, weights: Floats | None) -> Calibration:
    """The ``line`` moved so that its mean over ``z`` is ``rate``."""
    shift = _level(line.a + line.b * z, min(max(rate, MIN_PROBABILITY), 1.0 - MIN_PROBABILITY), weights)
    return Calibration(line.a + shift, line.b)


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
