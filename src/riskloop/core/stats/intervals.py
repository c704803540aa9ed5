"""Confidence intervals of rates and of their ratios."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import require_share
from riskloop.core.stats.customers import squared_error
from riskloop.core.types import Bools


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate with its two-sided confidence interval."""

    estimate: float
    lower: float
    upper: float


def wilson_interval(defaults: int, total: int, level: float = 0.95) -> Interval:
    """A default rate with its Wilson score interval, sound also for 0 defaults and for small portfolios.

    Source: Wilson, Journal of the American Statistical Association 22 (1927) 209–212.
    """
    require_share(level, "level")
    _require_part(defaults, total, "defaults")
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    rate, weight = defaults / total, z * z / total
    centre = (rate + weight / 2.0) / (1.0 + weight)
    reach = z * math.sqrt(rate * (1.0 - rate) / total + weight / (4.0 * total)) / (1.0 + weight)
    # At 0 and at all defaults the bound is the rate itself; rounding must not push it past.
    lower = 0.0 if defaults == 0 else centre - reach
    upper = 1.0 if defaults == total else centre + reach
    return Interval(rate, lower, upper)


def jeffreys_interval(defaults: float, total: float, level: float = 0.95) -> Interval:
    """A default rate with the equal-tailed interval of its posterior Beta(D+½, N−D+½), that of the Jeffreys test.

    Counts may be effective ones of dependent rows (`design_effect`). At 0 and at all defaults the bound is the rate
    itself. Source: Brown, Cai & DasGupta, Statistical Science 16 (2001) 101–133.
    """
    from scipy.special import betaincinv

    require_share(level, "level")
    _require_part(defaults, total, "defaults")
    a, b, tail = defaults + 0.5, total - defaults + 0.5, (1.0 - level) / 2.0
    lower = 0.0 if defaults == 0 else float(betaincinv(a, b, tail))
    upper = 1.0 if defaults == total else float(betaincinv(a, b, 1.0 - tail))
    return Interval(defaults / total, lower, upper)


def approval_ratio(
    approved: float, total: float, approved_reference: float, total_reference: float, level: float = 0.95
) -> Interval:
    """Adverse-impact ratio: a group's approval rate over the reference group's, with a log-normal interval.

    Below 0.8 is the four-fifths rule of 29 CFR 1607.4(D). Interval: Katz et al., Biometrics 34 (1978) 469–474; where
    nobody or everybody of a group is approved, with ½ added to all four counts, since the plain error would be
    infinite or 0. Counts may be effective ones of dependent rows (`design_effect`). The estimate is NaN when nobody
    of the reference group is approved.
    """
    require_share(level, "level")
    _require_part(approved, total, "approved")
    _require_part(approved_reference, total_reference, "approved of the reference group")
    extreme = approved in (0, total) or approved_reference in (0, total_reference)
    half = 0.5 if extreme else 0.0
    a, n = approved + half, total + 2.0 * half
    c, m = approved_reference + half, total_reference + 2.0 * half
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(1.0 / a - 1.0 / n + 1.0 / c - 1.0 / m)
    centre = math.log((a / n) / (c / m))
    plain = (approved / total) / (approved_reference / total_reference) if approved_reference else math.nan
    # With ½ added, the centre moves off a plain ratio of 0: the interval still has to hold the estimate.
    lower = 0.0 if approved == 0 else math.exp(centre - reach)
    return Interval(plain, lower, math.exp(centre + reach))


def approval_ratio_change(
    before: Bools,
    after: Bools,
    part: Bools,
    reference: Bools,
    level: float = 0.95,
    customers: npt.ArrayLike | None = None,
) -> Interval:
    """A group's approval ratio after a change over the one before it, for the same people, with a log-normal interval.

    ``before`` and ``after`` (n,) say who is approved, ``part`` and ``reference`` (n,) who belongs to the group and to
    the reference group; the rows of one of ``customers`` (n,) are one witness. That both decisions are about the same
    people makes the interval much narrower than those of the two ratios. All NaN where nobody of a group is approved.
    Source: delta method for correlated proportions (Agresti, Categorical Data Analysis, 3rd ed. (2013), section 11.1).
    """
    require_share(level, "level")
    change, influences = 0.0, np.zeros(before.size)
    for group, sign in ((part, 1.0), (reference, -1.0)):
        for approved, direction in ((after, 1.0), (before, -1.0)):
            rate = float(approved[group].mean()) if group.any() else 0.0
            if rate == 0.0:
                return Interval(math.nan, math.nan, math.nan)
            change += sign * direction * math.log(rate)
            influences[group] += sign * direction * (approved[group] - rate) / (rate * np.count_nonzero(group))
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(squared_error(influences, customers))
    return Interval(math.exp(change), math.exp(change - reach), math.exp(change + reach))


def _require_part(part: float, total: float, name: str) -> None:
    if total <= 0 or not 0 <= part <= total:
        raise DataError(f"There cannot be {part} {name} out of {total}; give counts with 0 ≤ part ≤ total, total > 0.")
