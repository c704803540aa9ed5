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
from riskloop.core.types import Bools, Floats, Ints

HARMLESS: Final = 0.15  # standard deviation of log-odds beside the score that does not matter
HARMS: Final = (0.3, 0.6)  # … and those that are looked for
LEARNED: Final = 2.0  # times the history's error: of the history's own residual, and of the champion learned from it
DRAWS: Final = 20  # of random signs
HIGHEST: Final = 60.0  # of a log ratio


@dataclass(frozen=True, slots=True)
class Residual:
    """The score vector of k directions beside a score, and its information: their covariance where nothing is left."""

    score: Floats  # (k,)
    information: Floats  # (k, k)
    again: float = 0.0  # correlation of a customer's rows with each other, where some come again

    @classmethod
    def of(cls, defaults: Bools, probability: Floats, directions: Floats, customers: Ints | None = None) -> "Residual":
        """Rao's score of adding ``directions`` (n, k) to a logistic line over the log-odds of ``probability`` (n,).

        The line's level and slope are fitted, so that neither another level nor a recalibration leaves anything.
        With ``customers`` (n,) the rows of one customer are one witness: score and information are divided by the
        design effect.
        Source: Rao (1948); Chen, Statistics in Medicine 2 (1983) 363–370; Rao & Scott, Biometrics 48 (1992) 577–585.
        Raises DataError where no line fits.
        """
        line = np.column_stack((np.ones(probability.size), logit(probability)))
        p = 1.0 / (1.0 + np.exp(-(line @ fit_logistic(line, defaults).coefficients)))
        weight = (p * (1.0 - p))[:, None]
        cross = line.T @ (weight * directions)
        beside = np.linalg.solve(line.T @ (weight * line), cross)
        score = directions.T @ (defaults - p)
        information = directions.T @ (weight * directions) - cross.T @ beside
        if customers is None:
            return cls(score, information)
        influence = (directions - line @ beside) * (defaults - p)[:, None]
        effect, again = _together(influence, information, customers)
        return cls(score / effect, information / effect, again)


def _together(influence: Floats, information: Floats, customers: Ints) -> tuple[float, float]:
    """The design effect of rows of the same customers, and the correlation of such rows.

    The mean over all directions, or the largest one's where that is beyond what random signs of the rows give.
    """
    order = np.argsort(customers, kind="stable")
    _, first, rows = np.unique(customers[order], return_index=True, return_counts=True)
    pairs = float(rows @ (rows - 1)) / customers.size  # other rows of its customer that a row has
    if pairs == 0.0:
        return 1.0, 0.0
    ordered, inverse = influence[order], np.linalg.pinv(information, hermitian=True)

    def shared(signs: Floats) -> Floats:
        signed = ordered * signs[:, None]
        sums = np.add.reduceat(signed, first)
        return np.asarray(np.linalg.eigvals(inverse @ (sums.T @ sums - signed.T @ signed)).real, dtype=np.float64)

    rng = np.random.default_rng(0)
    chance = np.mean([shared(rng.choice((-1.0, 1.0), customers.size)).max() for _ in range(DRAWS)])
    each = shared(np.ones(customers.size))
    more = max(0.0, float(each.mean()), float(each.max() - chance))
    return 1.0 + min(more, float(rows.max()) - 1.0), min(1.0, more / pairs)


def residual_evidence(
    windows: Sequence[Residual], history: Residual, spread: Floats, *, again: float = 0.0
) -> tuple[float, float]:
    """Evidence that the latest of ``windows`` hold a residual which nothing before did; and of the last one alone.

    For each window from which on all may have changed: the Bayes factor of coefficients γ ~ N(γ₀, σ²·spread) with σ one
    of HARMS against HARMLESS. γ₀ is the ``history``'s with its error, and what the windows before that one say of it:
    they hold this champion's own errors, and in a panel what these very customers are given to, of which the history
    tells little. ``spread`` (k,) sums to 1. Each is a test martingale while nothing changes (Kass & Raftery 1995;
    Goeman et al. 2006 for so many directions), and their sum an e-detector (Shin, Ramdas & Rinaldo 2024): it takes at
    least a windows on average to reach a. Where customers come again, what their rows in different windows have in
    common, a part ``again`` of one window's variance, is the same in all of them and no change.
    """
    if not windows:
        return 0.0, 0.0
    known = np.asarray(np.linalg.pinv(history.information, hermitian=True), dtype=np.float64)
    usual = known @ history.score
    error = LEARNED * known
    left_score, left = _sum(windows)
    if again:
        error += again * np.linalg.pinv(left / len(windows), hermitian=True)
    ratios = []
    for window in windows:
        ratios.append(_ratio(Residual(left_score, left), usual, error, spread))
        left_score, left = left_score - window.score, left - window.information
        tighter = np.linalg.solve(np.eye(usual.size) + error @ window.information, error)
        error = (tighter + tighter.T) / 2.0
        usual = usual + error @ (window.score - window.information @ usual)
    return float(sum(ratios)), ratios[-1]


def _sum(windows: Sequence[Residual]) -> tuple[Floats, Floats]:
    """Score and information of all of them together."""
    score: Floats = np.sum([window.score for window in windows], axis=0)
    information: Floats = np.sum([window.information for window in windows], axis=0)
    return score, information


def _ratio(window: Residual, usual: Floats, error: Floats, spread: Floats) -> float:
    information = window.information
    left = window.score - information @ usual
    calm = information + information @ (error + HARMLESS**2 * np.diag(spread)) @ information
    calm += 1e-9 * max(1.0, float(np.trace(calm))) * np.eye(len(left))
    base = _log_density(left, calm)
    moved = [_log_density(left, calm + harm**2 * information @ (spread[:, None] * information)) for harm in HARMS]
    return float(np.mean(np.exp(np.minimum(np.asarray(moved) - base, HIGHEST))))


def _log_density(values: Floats, covariance: Floats) -> float:
    """Of a normal distribution around 0, without its constant."""
    return -0.5 * float(values @ np.linalg.solve(covariance, values) + np.linalg.slogdet(covariance)[1])
