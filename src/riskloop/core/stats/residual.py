"""Do the features tell more of default than the score does? What is left beside a score, and the evidence of it.

Where a score tells all that the features tell, no model of the same features ranks better. Who has an outcome may
depend on the features, and so on the score, in any way: that does not move how outcomes depend on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from riskloop.core.stats._arrays import logit
from riskloop.core.stats._logistic import fit_logistic
from riskloop.core.types import Bools, Floats

HARMLESS: Final = 0.15  # standard deviation of log-odds beside the score that does not matter
HARMS: Final = (0.3, 0.6)  # … and those that are looked for
LEARNED: Final = 2.0  # times the history's error: of the history's own residual, and of the champion learned from it
AGAIN: Final = 0.5  # correlation of one customer's residuals, at most, where the same customers come again
HIGHEST: Final = 60.0  # of a log ratio


@dataclass(frozen=True, slots=True)
class Residual:
    """The score vector of k directions beside a score, and its information: their covariance where nothing is left."""

    score: Floats  # (k,)
    information: Floats  # (k, k)

    @classmethod
    def of(cls, defaults: Bools, probability: Floats, directions: Floats) -> "Residual":
        """Rao's score of adding ``directions`` (n, k) to a logistic line over the log-odds of ``probability`` (n,).

        The line's level and slope are fitted, so that neither another level nor a recalibration leaves anything.
        Source: Rao (1948); Chen, Statistics in Medicine 2 (1983) 363–370. Raises DataError where no line fits.
        """
        line = np.column_stack((np.ones(probability.size), logit(probability)))
        p = 1.0 / (1.0 + np.exp(-(line @ fit_logistic(line, defaults).coefficients)))
        weight = (p * (1.0 - p))[:, None]
        cross = line.T @ (weight * directions)
        spent = cross.T @ np.linalg.solve(line.T @ (weight * line), cross)
        return cls(directions.T @ (defaults - p), directions.T @ (weight * directions) - spent)


def residual_evidence(
    windows: Sequence[Residual], history: Residual, spread: Floats, *, months: int = 0
) -> tuple[float, float]:
    """Evidence that the latest of ``windows`` hold a residual which the ``history`` does not; and of the last alone.

    For each window from which on all may have changed: the Bayes factor of coefficients γ ~ N(γ₀, σ²·spread) with σ one
    of HARMS against HARMLESS, where γ₀ is the history's, with its error. ``spread`` (k,) sums to 1. Each is a test
    martingale while nothing changes (Kass & Raftery 1995; Goeman et al. 2006 for so many directions), and their sum
    an e-detector (Shin, Ramdas & Rinaldo 2024): it takes at least a windows on average to reach a. Where the same
    customers come every month, in ``months`` of the history (0: they do not), their rows are worth less.
    """
    before = np.linalg.pinv(history.information, hermitian=True)
    usual = before @ history.score
    uncertain = LEARNED * _worth(months) * before + HARMLESS**2 * np.diag(spread)
    score, information = np.zeros_like(spread), np.zeros_like(before)
    ratios = []
    for number, window in enumerate(reversed(windows), start=1):
        score, information = score + window.score, information + window.information
        worth = _worth(number if months else 0)
        ratios.append(_ratio(score / worth, information / worth, usual, uncertain, spread))
    return float(sum(ratios)), ratios[0] if ratios else 0.0


def _worth(times: int) -> float:
    """How many rows of a customer who comes so many times are worth one (Kish 1965)."""
    return 1.0 + (times - 1) * AGAIN if times > 1 else 1.0


def _ratio(score: Floats, information: Floats, usual: Floats, uncertain: Floats, spread: Floats) -> float:
    left = score - information @ usual
    calm = information + information @ uncertain @ information
    calm += 1e-9 * max(1.0, float(np.trace(calm))) * np.eye(len(left))
    base = _log_density(left, calm)
    moved = [_log_density(left, calm + harm**2 * information @ (spread[:, None] * information)) for harm in HARMS]
    return float(np.mean(np.exp(np.minimum(np.asarray(moved) - base, HIGHEST))))


def _log_density(values: Floats, covariance: Floats) -> float:
    """Of a normal distribution around 0, without its constant."""
    return -0.5 * float(values @ np.linalg.solve(covariance, values) + np.linalg.slogdet(covariance)[1])
