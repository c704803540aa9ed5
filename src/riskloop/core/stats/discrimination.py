"""Does the score tell defaults from non-defaults, and does one score do it better than another?

Labels are outcomes 0/1, scores any numbers that rise with risk (±∞ allowed, NaN refused), both of shape (n,).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

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
from riskloop.core.stats.customers import count_customers, squared_error
from riskloop.core.stats.intervals import Interval
from riskloop.core.types import Bools, Floats, Ints

Labels = npt.NDArray[Any]  # of customers: numbers or names


@dataclass(frozen=True, slots=True)
class PairedDeLong:
    """Champion and challenger on the same rows. H₀: the challenger's AUC is not higher."""

    auc_champion: float
    auc_challenger: float
    difference: float  # challenger − champion
    std_error: float  # of the difference
    z: float
    p_one_sided: float  # small: the challenger ranks better
    defaults: int  # rows
    non_defaults: int  # rows
    default_customers: int  # customers who defaulted: the independent witnesses among the defaults


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


def roc_curve(labels: npt.ArrayLike, scores: npt.ArrayLike, points: int = 60) -> tuple[Floats, Floats]:
    """False and true positive rates, from (0, 0) to (1, 1), at up to ``points`` evenly spread ranks of the score."""
    defaults, values = _pair(labels, scores)
    require_both_classes(defaults)
    order = np.argsort(-values, kind="stable")
    found, declined = np.cumsum(defaults[order]), np.cumsum(~defaults[order])
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0.0, True))  # equal scores cannot be told apart
    kept = ends[np.unique(np.linspace(0, ends.size - 1, points).astype(np.int64))]
    return np.append(0.0, declined[kept] / declined[-1]), np.append(0.0, found[kept] / found[-1])


def delong_variance(labels: npt.ArrayLike, scores: npt.ArrayLike, customers: npt.ArrayLike | None = None) -> float:
    """Variance of the AUC; needs two defaults and two non-defaults, of two customers each.

    With ``customers`` (n,), one number or name a row, the rows of one customer are one witness.
    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988) 837–845, computed as in Sun & Xu (2014);
    customers: Obuchowski, Biometrics 53 (1997) 567–578.
    """
    defaults, values = _pair(labels, scores)
    require_both_classes(defaults, least=2)
    placed = _placements(defaults, values)
    return squared_error(_influences(defaults, placed.defaults, placed.others, customers), customers)


def auc_interval(
    labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95, customers: npt.ArrayLike | None = None
) -> Interval:
    """Confidence interval of the AUC, symmetric in its logit so that it stays inside (0, 1).

    ``customers`` as for `delong_variance`.

    Source: Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.5. An AUC of 0 or 1 has no DeLong
    variance; its interval is the exact one of min(defaults, non-defaults) disjoint pairs that all agree.
    """
    require_share(level, "level")
    defaults, values = _pair(labels, scores)
    variance, area = delong_variance(defaults, values, customers), auc(defaults, values)
    if area in (0.0, 1.0):
        pairs = min(count_customers(customers, marked) for marked in (defaults, ~defaults))
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
    customers: npt.ArrayLike | None = None,
) -> PairedDeLong:
    """One-sided DeLong test of two scores on the same rows; needs two defaults and two non-defaults.

    With ``blocks`` (n,) only rows of the same block are compared, and an AUC is the share of such pairs that are ranked
    rightly. Out of fold that is a must: every block is scored by a fit that learned fewer defaults where the block has
    more, so between blocks a good model ranks worse than it does anywhere. Blocks with fewer than two of either
    class say nothing. With ``customers`` (n,) the rows of one customer are one witness, in whatever blocks they are.
    Scores that rank alike give difference 0 and p = 1. A difference without any variance (one score
    separates perfectly) gives z = ±∞: on few defaults that is luck, so callers ask for a least number of them as well.
    Source: DeLong et al. (1988); Sun & Xu (2014). Blocks: Parker, Günter & Bedo, BMC Bioinformatics 8:326 (2007).
    Customers: Obuchowski, Biometrics 53 (1997) 567–578.
    """
    defaults, first = _pair(labels, champion)
    second = numbers(challenger, "challenger scores", length=defaults.size)
    rows = _blocks(defaults, blocks, customers)
    parts = [_paired(defaults[part], first[part], second[part], _of(customers, part)) for part in rows]
    pairs = np.array([part.pairs for part in parts], dtype=np.float64)
    share = pairs / pairs.sum()
    used, influences = _pooled(rows, share, [part.influences for part in parts], defaults.size)
    std_error = math.sqrt(squared_error(influences, customers))
    before, after = (float(share @ areas) for areas in zip(*(part.aucs for part in parts), strict=True))
    difference = after - before
    z = in_errors(difference, std_error)
    count = int(np.count_nonzero(defaults & used))
    return PairedDeLong(
        auc_champion=before,
        auc_challenger=after,
        difference=difference,
        std_error=std_error,
        z=z,
        p_one_sided=normal_tail(z) if difference or std_error else 1.0,
        defaults=count,
        non_defaults=int(np.count_nonzero(used)) - count,
        default_customers=count_customers(customers, defaults & used),
    )


def weighted_auc_gain(
    labels: npt.ArrayLike,
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    weights: npt.ArrayLike,
    blocks: npt.ArrayLike | None = None,
    customers: npt.ArrayLike | None = None,
) -> WeightedGain:
    """Difference of two AUCs in the population that ``weights`` (n,) ≥ 0 stand for; with equal weights DeLong's.

    The error is that of the linearised ratio of weighted sums, the weights taken as given. ``blocks`` and
    ``customers`` as in `paired_delong`. Source: Horvitz & Thompson (1952) for the weights; Lumley, Complex Surveys
    (2010), section 2.4, for the error.
    """
    defaults, first = _pair(labels, champion)
    second = numbers(challenger, "challenger scores", length=defaults.size)
    weight = numbers(weights, "weights", length=defaults.size)
    if weight.min() < 0.0 or not math.isfinite(weight.sum()):
        raise DataError("Weights must be finite and not negative.")
    rows = _blocks(defaults, blocks, customers, weight > 0.0)
    parts = [_weighted(defaults[part], first[part], second[part], weight[part], _of(customers, part)) for part in rows]
    mass = np.array([part.pairs for part in parts])
    share = mass / mass.sum()
    before, after = (float(share @ areas) for areas in zip(*(part.aucs for part in parts), strict=True))
    _, influences = _pooled(rows, share, [part.influences for part in parts], defaults.size)
    return WeightedGain(before, after, after - before, math.sqrt(squared_error(influences, customers)))


def weighted_auc(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[float, float]:
    """AUC and its standard error in the population that ``weights`` (n,) stand for; with equal weights DeLong's.

    Sources as in `weighted_auc_gain`: it is the gain over a score that is the same for everybody, whose AUC is ½.
    """
    gain = weighted_auc_gain(labels, np.zeros(np.shape(labels)), scores, weights)
    return gain.auc_challenger, gain.std_error


def _blocks(
    defaults: Bools, blocks: npt.ArrayLike | None, customers: npt.ArrayLike | None, counted: Bools | None = None
) -> list[Ints]:
    """Positions of every block with two ``counted`` (n,) customers of either class; DataError when there is none."""
    names = np.zeros(defaults.size, dtype=np.int64) if blocks is None else np.asarray(blocks)
    if names.shape != defaults.shape:
        raise DataError(f"{names.size} blocks were given for {defaults.size} outcomes; give one per row.")
    there = np.ones(defaults.size, dtype=np.bool_) if counted is None else counted
    found = [np.flatnonzero((names == name) & there) for name in np.unique(names)]
    usable = [rows for rows in found if _least(defaults[rows], _of(customers, rows)) >= 2]
    if not usable:
        require_both_classes(defaults[there], least=2)
        raise DataError(
            "No block holds two customers who defaulted and two who did not, so nothing can be compared within blocks."
        )
    return usable


def _least(defaults: Bools, customers: Labels | None) -> int:
    """How many customers the smaller class has."""
    return min(count_customers(customers, defaults), count_customers(customers, ~defaults))


def _of(customers: npt.ArrayLike | None, rows: Ints) -> Labels | None:
    if customers is None:
        return None
    names = np.asarray(customers)
    if rows.size and names.size <= rows.max():
        raise DataError(f"There are {names.size} customers for more rows; give one per row.")
    return names[rows]


def _pooled(rows: Sequence[Ints], share: Floats, influences: Sequence[Floats], n: int) -> tuple[Bools, Floats]:
    """Which of ``n`` rows lie in the blocks at ``rows``, and each row's influence on the mean weighted by ``share``."""
    used, pooled = np.zeros(n, dtype=np.bool_), np.zeros(n)
    for part, weight, values in zip(rows, share, influences, strict=True):
        used[part] = True
        pooled[part] = weight * values
    return used, pooled


def _influences(defaults: Bools, won: Floats, lost: Floats, customers: npt.ArrayLike | None) -> Floats:
    """What each row adds to the error of a mean of placements; the squares add up to DeLong's variance.

    Placements are centred, so that those of k witnesses vary by the share 1 − 1/k too little. One witness says
    nothing of its own error.
    """
    values = np.empty(defaults.size)
    for marked, placed in ((defaults, won), (~defaults, lost)):
        witnesses = count_customers(customers, marked)
        if witnesses < 2:
            raise DataError("The error of an AUC needs two customers who defaulted and two who did not; wait for more.")
        values[marked] = (placed - placed.mean()) / placed.size * math.sqrt(witnesses / (witnesses - 1))
    return values


class _Compared(NamedTuple):
    aucs: tuple[float, float]  # champion, challenger
    influences: Floats  # of the block's rows, on the difference
    pairs: float  # of a default and a non-default, or their weight


def _paired(defaults: Bools, first: Floats, second: Floats, customers: Labels | None) -> _Compared:
    before, after = _placements(defaults, first), _placements(defaults, second)
    influences = _influences(defaults, after.defaults - before.defaults, after.others - before.others, customers)
    return _Compared((before.auc, after.auc), influences, float(before.defaults.size * before.others.size))


def _weighted(defaults: Bools, first: Floats, second: Floats, weight: Floats, customers: Labels | None) -> _Compared:
    share = defaults.astype(np.float64)
    before, after = rank_masses(first, share, weight), rank_masses(second, share, weight)
    mass, other = float(weight[defaults].sum()), float(weight[~defaults].sum())
    old, new = (float(weight[defaults] @ m.below[defaults]) / (mass * other) for m in (before, after))
    influences = np.empty(defaults.size)
    won, lost = (after.below - before.below) / other, (after.above - before.above) / mass
    for marked, placed in ((defaults, won), (~defaults, lost)):
        witnesses = count_customers(customers, marked)
        influences[marked] = _linearised(placed[marked], weight[marked], new - old, witnesses)
    return _Compared((old, new), influences, mass * other)


def _linearised(values: Floats, weight: Floats, mean: float, witnesses: int) -> Floats:
    influences: Floats = weight * (values - mean) / weight.sum() * math.sqrt(witnesses / (witnesses - 1))
    return influences


def defaults_needed(test: PairedDeLong, difference: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """How many *further* defaults, at this default rate, until the test finds a true ``difference`` with ``power``.

    The squared error falls as the defaults grow, so m·(se·(z₁₋α + z_power)/δ)² are needed where there are m. With
    customers in the test, defaults are customers who default.
    Source: Obuchowski, Statistical Methods in Medical Research 7 (1998) 371–392.
    """
    require_share(alpha, "alpha")
    require_share(power, "power")
    if difference <= 0.0:
        raise DataError(f"No number of defaults can show a gain of {difference:g}; ask for one above 0.")
    reach = (upper_quantile(1.0 - power) + upper_quantile(alpha)) / difference
    return max(0, math.ceil(test.default_customers * ((test.std_error * reach) ** 2 - 1.0)))


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
