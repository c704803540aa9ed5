"""How much the defaults of one period move together, by the history of the champion."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.stats.correlated import asset_correlation
from riskloop.core.types import Floats, Ints

LEAST_ROWS: Final = 50  # of a period
LEAST_PERIODS: Final = 6
BOUND: Final = 0.9  # confidence
MOST_ALIKE: Final = 0.9  # of chance in a month's rate


@dataclass(frozen=True, slots=True)
class Correlation:
    """The asset correlation that tests of level allow for, and over how many periods the level was learned."""

    asset: float = 0.0
    periods: int = 1
    told: str = "set"  # where it is from
    likely: float = 0.0  # the likeliest asset correlation: what is allowed for before a person is only asked


INDEPENDENT: Final = Correlation()


def correlation_of(
    days: Ints | None,
    probabilities: Floats,
    outcomes: Floats,
    *,
    given: float | None,
    floor: float,
    customers: Ints | None = None,
) -> Correlation:
    """As ``given``, else estimated from the history's months, never below the ``floor``.

    ``days`` (m,) since the epoch, out-of-fold ``probabilities`` (m,) and ``outcomes`` (m,) are the history's, NaN where
    nobody knows; ``customers`` (m,) says whose the rows are, where somebody has several. A history of a few months has
    not seen a cycle: then the floor stands alone. What acts unattended goes by the 90% bound, what only asks a person
    by the likeliest value: a short history excludes little.
    """
    periods = [] if days is None else _periods(days, probabilities, outcomes)
    count = max(1, len(periods))
    if given is not None:
        return Correlation(given, count, "set", given)
    if len(periods) < LEAST_PERIODS:
        return Correlation(floor, count, "the floor: the history has too few months to tell", floor)
    defaults, sizes, expected = np.asarray(periods, dtype=np.float64).T
    try:
        like = probabilities[~np.isnan(outcomes)]
        same = 0.0 if days is None or customers is None else _alike(days, probabilities, outcomes, customers)
        found, likely = (asset_correlation(defaults, sizes, expected, level, like, same) for level in (BOUND, 0.5))
    except DataError:
        return Correlation(floor, count, "the floor: the history's months cannot tell", floor)
    told = f"the 90% bound of {count} months of history"
    return Correlation(max(floor, found), count, told if found > floor else "the floor", max(floor, likely))


def _periods(days: Ints, probabilities: Floats, outcomes: Floats) -> list[tuple[float, float, float]]:
    """Defaults, customers and the mean probability of each month that has enough customers."""
    known = ~np.isnan(outcomes)
    if not known.any():
        return []
    number = _months(days[known])
    sizes = np.bincount(number)
    defaults = np.bincount(number, weights=outcomes[known])
    means = np.bincount(number, weights=probabilities[known]) / np.maximum(sizes, 1)
    used = np.flatnonzero(sizes >= LEAST_ROWS)
    return [(float(defaults[k]), float(sizes[k]), float(means[k])) for k in used]


def _months(days: Ints) -> Ints:
    """Calendar months from the first one on, as windows are: periods across their ends mix two months' factors."""
    number = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    months: Ints = number - number.min()
    return months


def _alike(days: Ints, probabilities: Floats, outcomes: Floats, customers: Ints) -> float:
    """The share of the chance in the months' rates that is the same in all of them: the same customers come again.

    Of a customer who defaults once and again a month more says nothing new: the months differ by less than chance. Each
    customer's residuals are summed by month, and multiplied with one another and with themselves.
    """
    known = ~np.isnan(outcomes)
    month, who = _months(days[known]), np.unique(customers[known], return_inverse=True)[1]
    p, y = probabilities[known], outcomes[known]
    residual = (y - p * (y.sum() / p.sum())) / np.bincount(month)[month]
    count = int(month.max()) + 1
    _, pair = np.unique(who * count + month, return_inverse=True)
    own = float(np.square(np.bincount(pair, weights=residual)).sum())
    together = float(np.square(np.bincount(who, weights=residual)).sum())
    return float(np.clip((together - own) / (own * max(1, count - 1)), 0.0, MOST_ALIKE)) if own else 0.0
