"""A window's matured decisions, and how findings on them are written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from riskloop.core.findings import WINDOW, DeclaredCheck
from riskloop.core.grades import RATE_GAP
from riskloop.core.stats import Interval, count_customers, design_effect
from riskloop.core.types import Finding, Floats, Ints, Severity

LEAST_DEFAULTS: Final = 10  # of either class
SEVERE: Final = 0.1  # of alpha


class Bands(NamedTuple):
    """What matters: a change within these is none, however sure it is."""

    auc: float = 0.02  # lower than at training
    level: float = RATE_GAP
    slope: float = 0.2  # beyond the champion's own


USUAL: Final = Bands()


@dataclass(frozen=True, slots=True)
class Trained:
    """How well the champion ranked at its training: each fit on the rows that it scored, and the mean over the fits.

    Pooled over fits, out-of-fold scores rank worse than any model does.
    """

    auc: float
    std_error: float


@dataclass(frozen=True, slots=True)
class Matured:
    """Decisions whose outcomes are final: probabilities (n,) and outcomes (n,), 0 or 1."""

    probabilities: Floats
    outcomes: Floats
    customers: Ints | None = None  # (n,) a number for each row's customer; None: every row is another customer

    @classmethod
    def of(cls, probabilities: Floats, outcomes: Floats, customers: Ints | None = None) -> "Matured":
        """Only the decisions whose outcome is known and mature, that is not NaN."""
        known = ~np.isnan(outcomes)
        return cls(probabilities[known], outcomes[known], None if customers is None else customers[known])

    @property
    def effect(self) -> float:
        """How many rows stand for one independent one, where a customer has several: 1 and more."""
        return design_effect(self.outcomes - self.probabilities, self.customers)

    @property
    def defaults(self) -> int:
        """Decisions that defaulted."""
        return int(self.outcomes.sum())

    @property
    def enough(self) -> bool:
        """Whether ranking and calibration can be judged at all."""
        bad = self.outcomes == 1.0
        return min(count_customers(self.customers, part) for part in (bad, ~bad)) >= LEAST_DEFAULTS


def unknown(check: DeclaredCheck, window: Matured, history: Matured, because: str) -> Finding:
    """The finding that a check could not be made, and why."""
    return check.unknown(WINDOW, (window.outcomes.size, history.outcomes.size), because)


def finding(
    check: DeclaredCheck,
    weight: Severity,
    statistic: float | None,
    critical: float | None,
    window: Matured,
    history: Matured,
    sentence: str,
    details: Mapping[str, object],
) -> Finding:
    """A finding on the whole window."""
    sizes = window.outcomes.size, history.outcomes.size
    return check.finding(WINDOW, weight, sizes, sentence, statistic=statistic, critical=critical, details=details)


def severity(matters: bool, p_value: float, alpha: float) -> Severity:
    """Nothing without size, chance without significance; severe when chance is ten times rarer than ``alpha``."""
    if not matters:
        return Severity.OK
    if p_value >= alpha:
        return Severity.NOISE
    return Severity.SEVERE if p_value < SEVERE * alpha else Severity.DRIFTED


def wider(interval: Interval, effect: float) -> Interval:
    """The interval of so many rows for an independent one."""
    estimate, reach = interval.estimate, math.sqrt(effect)
    return Interval(estimate, *(estimate + reach * (bound - estimate) for bound in (interval.lower, interval.upper)))


def shown(interval: Interval, percent: bool = False) -> str:
    """The estimate with its interval."""
    values: Sequence[float] = (interval.estimate, interval.lower, interval.upper)
    texts = [f"{v:.1%}" if percent else f"{v:.3f}" for v in values]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"
