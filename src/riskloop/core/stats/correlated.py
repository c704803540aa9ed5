"""Defaults that move together: one factor, such as the economy, that all customers of a period share.

Customer i defaults when √ρ·Z + √(1−ρ)·εᵢ < Φ⁻¹(pᵢ), Z and εᵢ standard normal: given Z they are independent, and their
probabilities are Φ((Φ⁻¹(pᵢ) − √ρ·Z)/√(1−ρ)). ρ is the asset correlation. Source: Vasicek, Risk 15 (2002) 160–162.
"""

import math
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import TINY, probabilities
from riskloop.core.types import Floats

GROUPS: Final = 50  # of customers with like probabilities; more change the sixth digit
WIDEST: Final = 8.0  # standard deviations of a factor
NODES: Final = 801  # of it: a large period tells the factor to a tenth and less, and a coarse grid steps over that
SMOOTH_NODES: Final = 64  # of it where a rate is averaged, which changes slowly
ZOOM: Final = 65  # nodes on what is left of the factor, again and again
NEGLIGIBLE: Final = 40.0  # of a log likelihood below its largest
ERROR_NODES: Final = 9  # of the error of the level, beside a factor that smooths it
MOST: Final = 0.5  # asset correlation
RANGE_NODES: Final = 161  # of factor and error together where a range of levels is looked for
FURTHEST: Final = math.log(1e4)  # times the expected defaults, or a part of them
LEAST_SEEN: Final = 1e-3  # squared deviations in all, beside chance: of none there is no quantile

Nodes = tuple[Floats, Floats]  # values of a standard normal, and their weights
ONE: Final[Nodes] = (np.zeros(1), np.ones(1))


def given_factor(probability: Floats, correlation: float, factor: Floats) -> Floats:
    """Probabilities (n,) given each value (z,) of the factor; shape (z, n). A low factor is a bad time."""
    from scipy.special import ndtr, ndtri

    threshold = ndtri(np.clip(probability, TINY, 1.0 - TINY))
    given: Floats = ndtr((threshold[None, :] - np.sqrt(correlation) * factor[:, None]) / np.sqrt(1.0 - correlation))
    return given


def level_p_value(defaults: int, probability: npt.ArrayLike, correlation: float, error: float = 0.0) -> float:
    """Two-sided p-value of H₀: the ``probability`` (n,) of each customer is right, for so many ``defaults``.

    Twice the smaller tail of a mixture over the factor of binomials with the mean of the given probabilities, which
    are exact for few defaults too; ``error`` is the standard error of the level itself in log-odds. With
    ``correlation`` 0 customers are independent. Binomials are a little wider than sums of unequal probabilities
    (Hoeffding, Annals of Mathematical Statistics 27 (1956) 713–721), so that the p-value is never too small.
    """
    from scipy.special import bdtr, bdtrc

    p = probabilities(probability)
    _require_correlation(correlation)
    shift = _hermite(ERROR_NODES if error else 1) if correlation else _normal(NODES if error else 0)
    rate, weight = _given_rates(p, _normal(NODES if correlation else 0), correlation, shift, error)
    low = float(weight @ bdtr(defaults, p.size, rate))
    high = 1.0 if defaults == 0 else float(weight @ bdtrc(defaults - 1, p.size, rate))
    return min(1.0, 2.0 * min(low, high))


def level_range(
    defaults: int, probability: npt.ArrayLike, correlation: float, error: float, alpha: float
) -> tuple[float, float]:
    """From how few to how many times the expected defaults a level can be that gives so many ``defaults``.

    Each end is wrong with the probability ``alpha`` at most: both are one-sided tests turned round, of a mixture over
    the factor and the ``error`` of the level (log-odds) of binomials, as in `level_p_value`. The expected ones are the
    sum of the ``probability`` (n,). A level that is outside is excluded, which a test that finds nothing never says.
    Source: two one-sided tests, Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987) 657–680.
    """
    from scipy.optimize import brentq
    from scipy.special import bdtr, bdtrc, expit, logit

    p = probabilities(probability)
    _require_correlation(correlation)
    parts = np.array_split(np.sort(p), min(GROUPS, p.size))
    share = np.asarray([part.size for part in parts]) / p.size
    odds = logit(np.clip([part.mean() for part in parts], TINY, 1.0 - TINY))
    move = math.hypot(level_error(p, correlation), error)
    node, weight = _normal(RANGE_NODES if move else 0)
    odds += _as_frequent(odds, share, move, float(p.mean()))
    rate = expit(odds[None, :] + move * node[:, None]) @ share

    def many(log_times: float) -> float:
        given = np.minimum(rate * math.exp(log_times), 1.0)
        return float(weight @ bdtrc(defaults - 1, p.size, given)) - alpha if defaults else 1.0 - alpha

    def few(log_times: float) -> float:
        return float(weight @ bdtr(defaults, p.size, np.minimum(rate * math.exp(log_times), 1.0))) - alpha

    fewest = math.exp(brentq(many, -FURTHEST, FURTHEST)) if many(-FURTHEST) < 0.0 < many(FURTHEST) else 0.0
    most = math.exp(brentq(few, -FURTHEST, FURTHEST)) if few(-FURTHEST) > 0.0 > few(FURTHEST) else math.inf
    return fewest, most


def rate_variance(probability: npt.ArrayLike, correlation: float) -> float:
    """Variance of the default rate of a period by the factor alone, however many customers there are."""
    p = probabilities(probability)
    _require_correlation(correlation)
    rate, weight = _given_rates(p, _hermite(SMOOTH_NODES if correlation else 1), correlation)
    mean = float(weight @ rate)
    return float(weight @ np.square(rate - mean))


def level_error(probability: Floats, correlation: float) -> float:
    """Standard deviation, in log-odds, of the level of one period by the factor alone; 0 without customers."""
    if not probability.size:
        return 0.0
    return math.sqrt(rate_variance(probability, correlation)) / float((probability * (1.0 - probability)).mean())


def count_log_likelihood(defaults: int, log_odds: Floats, move: float) -> float:
    """Log probability of so many ``defaults`` of one period's customers, but for a constant; their ``log_odds`` (n,).

    The factor moves all log-odds alike, with the standard deviation ``move`` (`level_error`): then the count alone
    tells the level. By Vasicek's likelihood of each customer who defaults would speak, too, and a correlation that is
    not the truth takes another spread for another level. The more customers, the narrower the factors that explain a
    count: the grid zooms in until they fill it.
    """
    from scipy.special import expit, logsumexp

    parts = np.array_split(np.sort(log_odds), min(GROUPS, log_odds.size))
    odds, size = np.asarray([part.mean() for part in parts]), np.asarray([part.size for part in parts])
    odds += _as_frequent(odds, size / log_odds.size, move, float(expit(log_odds).mean()))

    def likelihood(factor: Floats) -> Floats:
        moved = odds[None, :] + move * factor[:, None]
        found: Floats = defaults * moved.mean(axis=1) - np.logaddexp(0.0, moved) @ size
        return found

    if not move:
        return float(likelihood(np.zeros(1))[0])
    low, high = -WIDEST, WIDEST
    while True:
        factor = np.linspace(low, high, ZOOM)
        found = likelihood(factor) - 0.5 * np.square(factor)
        kept = np.flatnonzero(found > found.max() - NEGLIGIBLE)
        if kept.size > ZOOM // 4:
            return float(logsumexp(found) + np.log((factor[1] - factor[0]) / math.sqrt(2.0 * math.pi)))
        low, high = factor[max(0, kept[0] - 1)], factor[min(ZOOM - 1, kept[-1] + 1)]


def _as_frequent(odds: Floats, share: Floats, move: float, rate: float) -> float:
    """What is added to log-odds that a factor moves by ``move``, so that as many default as without it: by Newton."""
    from scipy.special import expit

    factor, weight = _hermite(SMOOTH_NODES) if move else ONE
    moved, by, step = odds[None, :] + move * factor[:, None], 0.0, 1.0
    while abs(step) > 1e-10:
        p = expit(moved + by)
        step = float(np.clip((rate - weight @ p @ share) / (weight @ (p * (1.0 - p)) @ share), -1.0, 1.0))
        by += step
    return by


def asset_correlation(
    defaults: npt.ArrayLike,
    customers: npt.ArrayLike,
    expected: npt.ArrayLike,
    confidence: float = 0.9,
    like: Floats | None = None,
    alike: float = 0.0,
) -> float:
    """An upper bound of ρ from periods (t,): their ``defaults``, ``customers``, and mean ``expected`` probabilities.

    The periods' squared deviations from what was expected hold the variance by chance and that by the factor, which
    rises with ρ. Few periods tell little of it, so the χ² upper bound of the whole is taken, given that it is at least
    chance: periods that happen to differ by less than chance gives do not show that there is no factor. ``like`` (m,)
    are probabilities spread as the customers' are: different customers differ less by chance than equal ones, and
    their rate moves less. Of chance the share ``alike`` is the same in all periods, where the same customers come
    again, and moves nothing.
    Source: moments as in Gordy, Journal of Banking & Finance 24 (2000) 119–149, appendix C; a variance that has a
    least value as in Box & Tiao, Bayesian Inference in Statistical Analysis (1973), section 5.2.
    DataError for fewer than 3 periods.
    """
    from scipy.special import gammainc, gammaincinv

    d, n, p = (np.asarray(a, dtype=np.float64) for a in (defaults, customers, expected))
    if d.size < 3 or not (d.shape == n.shape == p.shape):
        raise DataError(f"An asset correlation needs at least 3 periods; there are {d.size}.")
    if n.min() < 1.0 or not 0.0 < p.min() <= p.max() < 1.0:
        raise DataError("Every period needs customers, and an expected rate between 0 and 1.")
    level = d.sum() / (n @ p)  # what all periods share is no movement
    rate = np.minimum(p * level, 1.0 - TINY)
    if not d.sum():
        return 0.0
    freedom = d.size - 1
    chance = float((rate * (1.0 - rate) / n).mean()) * _differing(float(rate.mean()), like) * (1.0 - alike)
    seen = max(float(np.square(d / n - rate).sum()) / chance, LEAST_SEEN)
    half = freedom / 2.0  # χ² of so many degrees of freedom is twice a gamma variable
    least = 2.0 * float(gammaincinv(half, (1.0 - confidence) * gammainc(half, seen / 2.0)))
    return _solved(chance * (seen / least - 1.0), float(rate.mean()), like)


def correlation_in_time(
    defaults: npt.ArrayLike,
    customers: npt.ArrayLike,
    expected: npt.ArrayLike,
    alpha: float = 0.2,
    confidence: float = 0.8,
    like: Floats | None = None,
) -> float:
    """An upper bound of ρ that periods (t,) in the order of time show by themselves; 0 where chance gives as much.

    From the differences of periods that follow one another: a level that moved once, and stayed, is one of them, so
    that a change is hardly taken for movement. Their mean square over 2 is compared with chance at the level
    ``alpha``; its distribution is near χ² with 2(t − 1)²/(3t − 4) degrees of freedom. ``like`` as above.
    Source: von Neumann, Kent, Bellinson & Hart, Annals of Mathematical Statistics 12 (1941) 153–162. 0 for fewer than
    3 periods, and where nobody or everybody defaulted.
    """
    from scipy.special import chdtri

    d, n, p = (np.asarray(a, dtype=np.float64) for a in (defaults, customers, expected))
    if d.size < 3 or d.sum() in (0.0, n.sum()):
        return 0.0
    rate = np.minimum(p * d.sum() / (n @ p), 1.0 - TINY)
    freedom = 2.0 * (d.size - 1) ** 2 / (3 * d.size - 4)
    spread = float(np.square(np.diff(d / n - rate)).mean()) / 2.0
    variance = rate * (1.0 - rate) / n * _differing(float(rate.mean()), like)
    chance = float((variance[1:] + variance[:-1]).mean()) / 2.0
    if spread * freedom <= chance * chdtri(freedom, alpha):
        return 0.0
    return _solved(spread * freedom / float(chdtri(freedom, confidence)) - chance, float(rate.mean()), like)


def _differing(rate: float, like: Floats | None) -> float:
    """The variance by chance of customers ``like`` these, beside that of equal ones with the same mean ``rate``."""
    if like is None or not like.size or not 0.0 < rate < 1.0:
        return 1.0
    p = _at_level(like, rate)
    return float((p * (1.0 - p)).mean() / (rate * (1.0 - rate)))


def _solved(variance: float, rate: float, like: Floats | None) -> float:
    """ρ at which the factor gives the ``rate`` of customers ``like`` these this ``variance``; None: all are equal."""
    from scipy.optimize import brentq

    if variance <= 0.0 or rate <= 0.0:
        return 0.0
    customers = np.array([rate]) if like is None or not like.size else _at_level(like, rate)
    if rate_variance(customers, MOST) <= variance:
        return MOST
    return float(brentq(lambda rho: rate_variance(customers, rho) - variance, 0.0, MOST, xtol=1e-6))


def _at_level(probability: Floats, rate: float) -> Floats:
    """The means of groups of like probabilities, their odds moved together to this mean ``rate``."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    groups = np.asarray([part.mean() for part in np.array_split(np.sort(probability), min(GROUPS, probability.size))])
    log_odds = logit(np.clip(groups, TINY, 1.0 - TINY))
    step = brentq(lambda by: float(expit(log_odds + by).mean()) - rate, -50.0, 50.0, xtol=1e-9)
    moved: Floats = expit(log_odds + step)
    return moved


def _given_rates(p: Floats, factors: Nodes, correlation: float, errors: Nodes = ONE, error: float = 0.0) -> Nodes:
    """Mean probabilities at the nodes of factor and error, and the nodes' weights."""
    from scipy.special import expit, logit

    groups = np.asarray([part.mean() for part in np.array_split(np.sort(p), min(GROUPS, p.size))])
    sizes = np.asarray([part.size for part in np.array_split(p, min(GROUPS, p.size))]) / p.size
    (factor, weight), (shift, share) = factors, errors
    log_odds = logit(np.clip(groups, TINY, 1.0 - TINY))
    rates = [given_factor(expit(log_odds + error * step), correlation, factor) @ sizes for step in shift]
    return np.clip(np.concatenate(rates), 0.0, 1.0), np.concatenate([part * weight for part in share])


@lru_cache(maxsize=4)
def _hermite(count: int) -> Nodes:
    """Gauss–Hermite nodes and weights for a standard normal."""
    node, weight = np.polynomial.hermite_e.hermegauss(count)
    return node, weight / weight.sum()


def _normal(count: int) -> Nodes:
    """Even nodes and weights for a standard normal; one at its mean without any."""
    if not count:
        return ONE
    node = np.linspace(-WIDEST, WIDEST, count)
    weight = np.exp(-0.5 * np.square(node))
    return node, weight / weight.sum()


def _require_correlation(correlation: float) -> None:
    if not 0.0 <= correlation < 1.0:
        raise DataError(f"An asset correlation lies between 0 and 1, not at {correlation:g}.")
