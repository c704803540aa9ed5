"""Does the score tell defaults from non-defaults, and does one score do it better than another?

Labels are outcomes 0/1, scores any numbers that rise with risk (±∞ allowed, NaN refused), both of shape (n,).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import (
    in_errors,
    normal_tail,
    numbers,
    outcomes,
    require_both_classes,
    require_share,
    upper_quantile,
)
from riskloop.core.stats._ranks import rank_masses
from riskloop.core.stats.intervals import Interval
from riskloop.core.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class PairedDeLong:
    """Champion and challenger on the same rows. H₀: the challenger's AUC is not higher."""

    auc_champion: float
    auc_challenger: float
    difference: float  # challenger − champion
    std_error: float  # of the difference
    z: float
    p_one_sided: float  # small: the challenger ranks better
    defaults: int
    non_defaults: int
    variance_defaults: float  # of the difference of placements over the defaults (DeLong's S₁₀ contrast)
    variance_non_defaults: float  # the same over the non-defaults (S₀₁)


@dataclass(frozen=True, slots=True)
class WeightedGain:
    """Champion and challenger on the same rows, some of which stand for others."""

    auc_champion: float
    auc_challenger: float
    difference: float  # challenger − champion
    std_error: float  # of the difference


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve: P(score of a default > score of a non-default) + ½ P(equal), ties exact.

    Source: Bamber, Journal of Mathematical Psychology 12 (1975) 387–415.
    """
    defaults, values = _pair(labels, scores)
    require_both_classes(defaults)
    return _placements(defaults, values).auc


def gini(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """2·AUC − 1, the accuracy ratio."""
    return 2.0 * auc(labels, scores) - 1.0


def ks_statistic(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The largest distance between the score distributions of defaults and of non-defaults."""
    defaults, values = _pair(labels, scores)
    count, others = require_both_classes(defaults)
    order = np.argsort(values)
    last_of_tie = np.append(values[order][1:] != values[order][:-1], True)
    bad = np.cumsum(defaults[order])[last_of_tie]
    good = np.flatnonzero(last_of_tie) + 1 - bad
    return float(np.abs(bad / count - good / others).max())


def delong_variance(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Variance of the AUC; needs two defaults and two non-defaults.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988) 837–845, computed as in Sun & Xu (2014).
    """
    defaults, values = _pair(labels, scores)
    count, others = require_both_classes(defaults, least=2)
    placed = _placements(defaults, values)
    return float(placed.defaults.var(ddof=1) / count + placed.others.var(ddof=1) / others)


def auc_interval(labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Confidence interval of the AUC, symmetric in its logit so that it stays inside (0, 1).

    Source: Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.5. An AUC of 0 or 1 has no DeLong
    variance; its interval is the exact one of min(defaults, non-defaults) disjoint pairs that all agree.
    """
    require_share(level, "level")
    defaults, values = _pair(labels, scores)
    variance, area = delong_variance(defaults, values), auc(defaults, values)
    if area in (0.0, 1.0):
        pairs = min(require_both_classes(defaults))
        reach = 1.0 - ((1.0 - level) / 2.0) ** (1.0 / pairs)
        return Interval(area, max(0.0, area - reach), min(1.0, area + reach))
    centre = math.log(area / (1.0 - area))
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(variance) / (area * (1.0 - area))
    return Interval(area, _expit(centre - reach), _expit(centre + reach))


def paired_delong(
    labels: npt.ArrayLike,
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    blocks: npt.ArrayLike | None = None,
) -> PairedDeLong:
    """One-sided DeLong test of two scores on the same rows; needs two defaults and two non-defaults.

    With ``blocks`` (n,) only rows of the same block are compared, and an AUC is the share of such pairs that are ranked
    rightly. Out of fold that is a must: every block is scored by a fit that learned fewer defaults where the block has
    more, so between blocks a good model ranks worse than it does anywhere. Blocks with fewer than two of either
    class say nothing. Scores that rank alike give difference 0 and p = 1. A difference without any variance (one score
    separates perfectly) gives z = ±∞: on few defaults that is luck, so callers ask for a least number of them as well.
    Source: DeLong et al. (1988); Sun & Xu (2014). Blocks: Parker, Günter & Bedo, BMC Bioinformatics 8:326 (2007).
    """
    defaults, first = _pair(labels, champion)
    second = numbers(challenger, "challenger scores", length=defaults.size)
    parts = [_paired(defaults[rows], first[rows], second[rows]) for rows in _blocks(defaults, blocks)]
    counts = np.array([(part.before.defaults.size, part.before.others.size) for part in parts])
    count, others = (int(total) for total in counts.sum(axis=0))
    pairs = counts.prod(axis=1).astype(np.float64)
    share = pairs / pairs.sum()
    # The variance of the share-weighted mean, written as that of one sample with all defaults and non-defaults.
    variances = np.array([part.variances for part in parts])
    variance_defaults, variance_others = counts.sum(axis=0) * (np.square(share) @ (variances / counts))
    std_error = math.sqrt(variance_defaults / count + variance_others / others)
    before = float(share @ [part.before.auc for part in parts])
    after = float(share @ [part.after.auc for part in parts])
    difference = after - before
    z = in_errors(difference, std_error)
    return PairedDeLong(
        auc_champion=before,
        auc_challenger=after,
        difference=difference,
        std_error=std_error,
        z=z,
        p_one_sided=normal_tail(z) if difference or std_error else 1.0,
        defaults=count,
        non_defaults=others,
        variance_defaults=float(variance_defaults),
        variance_non_defaults=float(variance_others),
    )


def weighted_auc_gain(
    labels: npt.ArrayLike,
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    weights: npt.ArrayLike,
    blocks: npt.ArrayLike | None = None,
) -> WeightedGain:
    """Difference of two AUCs in the population that ``weights`` (n,) ≥ 0 stand for; with equal weights DeLong's.

    The error is that of the linearised ratio of weighted sums, the weights taken as given. ``blocks`` as in
    `paired_delong`. Source: Horvitz & Thompson (1952) for the weights; Lumley, Complex Surveys (2010), section 2.4,
    for the error.
    """
    defaults, first = _pair(labels, champion)
    second = numbers(challenger, "challenger scores", length=defaults.size)
    weight = numbers(weights, "weights", length=defaults.size)
    if weight.min() < 0.0 or not math.isfinite(weight.sum()):
        raise DataError("Weights must be finite and not negative.")
    parts = [
        _weighted(defaults[rows], first[rows], second[rows], weight[rows])
        for rows in _blocks(defaults, blocks, weight > 0.0)
    ]
    mass = np.array([part.pairs for part in parts])
    share = mass / mass.sum()
    before, after = (float(share @ areas) for areas in zip(*(part.aucs for part in parts), strict=True))
    variance = float(np.square(share) @ [part.variance for part in parts])
    return WeightedGain(before, after, after - before, math.sqrt(variance))


def _blocks(defaults: Bools, blocks: npt.ArrayLike | None, counted: Bools | None = None) -> list[Ints]:
    """Positions of every block with two ``counted`` (n,) rows of either class; DataError when there is none."""
    names = np.zeros(defaults.size, dtype=np.int64) if blocks is None else np.asarray(blocks)
    if names.shape != defaults.shape:
        raise DataError(f"{names.size} blocks were given for {defaults.size} outcomes; give one per row.")
    there = np.ones(defaults.size, dtype=np.bool_) if counted is None else counted
    found = [np.flatnonzero((names == name) & there) for name in np.unique(names)]
    usable = [rows for rows in found if min(defaults[rows].sum(), (~defaults[rows]).sum()) >= 2]
    if not usable:
        require_both_classes(defaults[there], least=2)
        raise DataError("No block holds two defaults and two non-defaults, so nothing can be compared within blocks.")
    return usable


class _Paired(NamedTuple):
    before: "_Placed"
    after: "_Placed"
    variances: tuple[float, float]  # of the difference of placements, over the defaults and over the non-defaults


def _paired(defaults: Bools, first: Floats, second: Floats) -> _Paired:
    before, after = _placements(defaults, first), _placements(defaults, second)
    won, lost = after.defaults - before.defaults, after.others - before.others
    return _Paired(before, after, (float(won.var(ddof=1)), float(lost.var(ddof=1))))


class _Weighted(NamedTuple):
    aucs: tuple[float, float]
    variance: float  # of the difference
    pairs: float  # weight of all pairs of a default and a non-default


def _weighted(defaults: Bools, first: Floats, second: Floats, weight: Floats) -> _Weighted:
    share = defaults.astype(np.float64)
    before, after = rank_masses(first, share, weight), rank_masses(second, share, weight)
    mass, other = float(weight[defaults].sum()), float(weight[~defaults].sum())
    old, new = (float(weight[defaults] @ m.below[defaults]) / (mass * other) for m in (before, after))
    won = (after.below - before.below)[defaults] / other
    lost = (after.above - before.above)[~defaults] / mass
    variance = _linearised(won, weight[defaults], new - old) + _linearised(lost, weight[~defaults], new - old)
    return _Weighted((old, new), variance, mass * other)


def _linearised(values: Floats, weight: Floats, mean: float) -> float:
    n = int(np.count_nonzero(weight))
    return float(np.square(weight * (values - mean)).sum() / weight.sum() ** 2) * n / (n - 1)


def delong_power(test: PairedDeLong, difference: float, alpha: float = 0.05) -> float:
    """The probability that this test, at its size, rejects when the challenger's AUC is truly ``difference`` higher.

    Φ(δ/se − z₁₋α). Ask for the least gain that matters, not for the difference observed: the power at the observed
    one only repeats the p-value (Hoenig & Heisey, The American Statistician 55 (2001) 19–24).
    """
    require_share(alpha, "alpha")
    if test.std_error == 0.0:
        return 1.0 if difference > 0.0 else 0.0
    return normal_tail(upper_quantile(alpha) - difference / test.std_error)


def defaults_needed(test: PairedDeLong, difference: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """How many *further* defaults, at this default rate, until the test finds a true ``difference`` with ``power``.

    With m defaults and a default rate π the squared error is (σ²₁₀ + σ²₀₁·π/(1−π))/m, so m = (…)·((z₁₋α + z_power)/δ)².
    Source: Obuchowski, Statistical Methods in Medical Research 7 (1998) 371–392.
    """
    require_share(alpha, "alpha")
    require_share(power, "power")
    if difference <= 0.0:
        raise DataError(f"No number of defaults can show a gain of {difference:g}; ask for one above 0.")
    odds = test.defaults / test.non_defaults
    variance = test.variance_defaults + test.variance_non_defaults * odds
    reach = (upper_quantile(1.0 - power) + upper_quantile(alpha)) / difference
    return max(0, math.ceil(variance * reach**2) - test.defaults)


def _pair(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Bools, Floats]:
    defaults = outcomes(labels)
    return defaults, numbers(scores, "scores", length=defaults.size)


class _Placed(NamedTuple):
    auc: float
    defaults: Floats  # V₁₀ of every default, in [0, 1]
    others: Floats  # V₀₁ of every non-default; the mean of either is the AUC


def _placements(defaults: Bools, scores: Floats) -> _Placed:
    below, above = rank_masses(scores, defaults.astype(np.float64))
    won, lost = below[defaults], above[~defaults]
    # Summed before dividing: whole and half numbers, so ties are exact and equal rankings differ by exactly 0.
    return _Placed(float(won.sum() / (won.size * lost.size)), won / lost.size, lost / won.size)


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))
