"""Performance before the outcomes are known: CBPE, and PAPE for a population that has moved.

Both read the outcomes' distribution off calibrated probabilities c and average what would happen over it. Scores are
the champion's own probabilities, shape (n,).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import TINY, logit, numbers, outcomes, probabilities, require_both_classes
from riskloop.core.stats._logistic import fit_logistic
from riskloop.core.stats._ranks import rank_masses
from riskloop.core.stats.discrimination import auc
from riskloop.core.types import Floats

MOST: Final = 1e150

CBPE_ASSUMPTION: Final = (
    "No concept drift, and a population like the reference's: "
    "customers with the same score default as often as they did there."
)
PAPE_ASSUMPTION: Final = (
    "No concept drift: customers with the same features default as often as in the reference, where every kind of "
    "customer of this window occurs. The density ratio's own error is not in the standard error."
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimated measure of one window."""

    value: float
    std_error: float  # of the measure realised on a window of this size: other customers, outcomes, recalibration
    outcome_error: float  # of (realised − value) on this very window: outcomes and recalibration only


@dataclass(frozen=True, slots=True)
class EstimatedPerformance:
    """What the champion's performance on a window will turn out to be, if the assumption holds."""

    auc: Estimate
    ks: Estimate
    brier: Estimate
    log_loss: Estimate
    default_rate: Estimate
    assumption: str
    n: int  # rows in the window
    effective_m: float | None  # reference rows behind the recalibration, after weighting; None without one
    slope: Estimate | None  # the calibration slope of the scores themselves; None without a recalibration


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Logistic recalibration: logit c = intercept + slope·logit(score), with the error of its two coefficients."""

    intercept: float
    slope: float
    covariance: Floats  # (2, 2)
    effective_m: float  # Kish's (Σw)²/Σw² reference rows

    def apply(self, scores: npt.ArrayLike) -> Floats:
        """Calibrated probabilities of ``scores``, shape (n,)."""
        from scipy.special import expit

        result: Floats = expit(self.intercept + self.slope * logit(probabilities(scores, "scores")))
        return result


@dataclass(frozen=True, slots=True)
class DensityRatio:
    """How much more often each reference row's kind of customer occurs in the window."""

    weights: Floats  # (m,), mean 1
    effective_m: float  # Kish's (Σw)²/Σw²: how many reference rows still speak for the window
    auc: float  # of telling window from reference; 0.5: nothing to tell


def recalibrate(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Recalibration:
    """Fit scores to the outcomes of a reference that the champion was not trained on; all of shape (m,).

    With ``weights`` the covariance is the sandwich. Source: Cox, Biometrika 45 (1958) 562–565; Platt (1999).
    """
    defaults = outcomes(labels)
    score = probabilities(scores, "scores", length=defaults.size)
    require_both_classes(defaults)
    design = np.column_stack((np.ones(score.size), logit(score)))
    if weights is None:
        fit = fit_logistic(design, defaults)
        effective = float(score.size)
    else:
        weight = _usable_weights(weights, score.size)
        require_both_classes(defaults[weight > 0.0])
        fit = fit_logistic(design, defaults, weights=weight)
        effective = effective_size(weight)
    return Recalibration(float(fit.coefficients[0]), float(fit.coefficients[1]), fit.covariance, effective)


def cbpe(scores: npt.ArrayLike, recalibration: Recalibration | None = None) -> EstimatedPerformance:
    """Confidence-based performance estimation on a window of at least two ``scores``.

    Without ``recalibration`` the scores are taken as calibrated. Source: NannyML's CBPE (Białek et al., arXiv
    2401.08348, section 3), with the error derived here by the delta method: given the customers, outcomes are
    independent Bernoulli(c); over customers, the measure is a mean (or, for the AUC, a ratio of U-statistics).
    """
    score = probabilities(scores, "scores")
    if score.size < 2:
        raise DataError("Performance can be estimated from two decisions on; this window has one.")
    return _estimated(score, recalibration, CBPE_ASSUMPTION)


def pape(
    labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike, window_scores: npt.ArrayLike
) -> EstimatedPerformance:
    """CBPE after a recalibration on the reference weighted to look like the window.

    ``labels``, ``scores`` and density-ratio ``weights`` of the reference have shape (m,), ``window_scores`` (n,).
    Source: Białek, Kivimäki, Kuberski & Perrakis, arXiv 2401.08348 (PAPE), with a logistic recalibration.
    """
    window = probabilities(window_scores, "window scores")
    if window.size < 2:
        raise DataError("Performance can be estimated from two decisions on; this window has one.")
    return _estimated(window, recalibrate(labels, scores, weights), PAPE_ASSUMPTION)


def density_ratio_weights(
    reference: Floats, window: Floats, cap: float = 20.0, folds: int = 3, seed: int = 0, most: int = 100_000
) -> DensityRatio:
    """Weights that make reference rows (m, k) look like window rows (n, k); NaN counts as a value of its own.

    A gradient-boosted classifier tells the two apart; its odds times m/n are the density ratio. Each row is judged by
    a classifier that has not seen it, since one that has would find differences that are not there. Ratios above
    ``cap`` are cut: a few rows must not carry the estimate. A classifier is fitted to ``most`` rows at most, drawn
    evenly from both sides. Source: Sugiyama, Suzuki & Kanamori,
    Density Ratio Estimation in Machine Learning (2012), chapter 4.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    m, n = reference.shape[0], window.shape[0]
    if min(m, n) < 10 * folds or reference.shape[1:] != window.shape[1:]:
        raise DataError(
            f"Density ratios need the same columns and {10 * folds} rows on both sides; "
            f"the reference has the shape {reference.shape}, the window {window.shape}."
        )
    source = np.repeat([0, 1], [m, n])
    # Many small trees, never stopped early: of the settings tried on known ratios these were the least biased.
    classifier = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=4, early_stopping=False, random_state=seed)
    # A tree asks for the order alone; its binning interpolates, which infinities do not survive.
    rows, p = np.clip(np.vstack((reference, window)), -MOST, MOST), np.empty(m + n)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, source)
    draws = np.random.default_rng(seed)
    # Small trees gain nothing from threads, and on a busy machine lose tenfold waiting for one another.
    with threadpool_limits(1, user_api="openmp"):
        for train, held_out in split:
            fitted = train if train.size <= most else np.sort(draws.choice(train, most, replace=False))
            classifier.fit(without_empty(rows[fitted]), source[fitted])
            p[held_out] = classifier.predict_proba(rows[held_out])[:, 1]
    odds = p[:m] / np.maximum(1.0 - p[:m], TINY)
    weights = np.minimum(odds * (m / n), cap)
    weights /= weights.mean()
    return DensityRatio(weights, effective_size(weights), auc(source, p))


def without_empty(X: Floats) -> Floats:
    """The matrix with 0 in each column that no row has a value in, which scikit-learn's histograms cannot be made of.

    Trees never split such a column, so what they say of any row stays the same.
    """
    empty = np.isnan(X).all(axis=0)
    return np.where(empty, 0.0, X) if empty.any() else X


def _estimated(score: Floats, recalibration: Recalibration | None, assumption: str) -> EstimatedPerformance:
    score = np.clip(score, TINY, 1.0 - TINY)
    c = score if recalibration is None else recalibration.apply(score)
    line = None if recalibration is None else recalibration.covariance
    log_odds = logit(score)
    return EstimatedPerformance(
        auc=_auc(c, score, line),
        ks=_ks(c, score, line),
        # Every other measure is a mean of constant + slope·outcome over the rows.
        brier=_mean(c, np.square(score), 1.0 - 2.0 * score, log_odds, line),
        log_loss=_mean(c, -np.log1p(-score), -log_odds, log_odds, line),
        default_rate=_mean(c, np.zeros(c.size), np.ones(c.size), log_odds, line),
        assumption=assumption,
        n=score.size,
        effective_m=None if recalibration is None else recalibration.effective_m,
        slope=None if recalibration is None else _slope(recalibration, c, log_odds),
    )


def _slope(line: Recalibration, c: Floats, log_odds: Floats) -> Estimate:
    """The line's own slope; its error is that of the line and, on this window, of a line fitted to its outcomes."""
    spread = c * (1.0 - c)
    information = float(spread @ np.square(log_odds - np.average(log_odds, weights=spread)))
    fitted = 1.0 / information if information > 0.0 else math.inf
    error = math.sqrt(float(line.covariance[1, 1]) + fitted)
    return Estimate(line.slope, error, error)


def _mean(c: Floats, constant: Floats, slope: Floats, log_odds: Floats, line: Floats | None) -> Estimate:
    expected = constant + slope * c
    customers = float(expected.var(ddof=1)) / c.size
    return _combined(float(expected.mean()), customers, slope / c.size, c, log_odds, line)


def _auc(c: Floats, score: Floats, line: Floats | None) -> Estimate:
    """E[wins]/E[pairs] over ordered pairs i ≠ j, i the default: Σcᵢ(1−cⱼ)[sᵢ>sⱼ] / Σcᵢ(1−cⱼ)."""
    n = c.size
    below, above = rank_masses(score, c)
    below, above = below - (1.0 - c) / 2.0, above - c / 2.0  # nobody is paired with himself
    defaults = c.sum() - c
    others = (n - 1.0) - defaults
    pairs = float(c @ others)
    value = float(c @ below) / pairs
    # First-order influence of a customer as drawn (both of his roles), and of his outcome alone.
    influence = (c * (below - value * others) + (1.0 - c) * (above - value * defaults)) / pairs
    slope = (below - above - value * (others - defaults)) / pairs
    return _combined(value, float(influence @ influence) * n / (n - 1.0), slope, c, logit(score), line)


def _ks(c: Floats, score: Floats, line: Floats | None) -> Estimate:
    """Largest distance between the score distributions of the expected defaults and of the others.

    The error is that of two proportions at the score where they are farthest apart (Raghavachari, The Annals of
    Statistics 1 (1973) 67–73). The realised KS, the largest of many distances, comes out a little higher.
    """
    order = np.argsort(score)
    last_of_tie = np.append(score[order][1:] != score[order][:-1], True)
    defaults, others = float(c.sum()), float((1.0 - c).sum())
    gaps = (np.cumsum(1.0 - c[order]) / others - np.cumsum(c[order]) / defaults)[last_of_tie]
    at = int(np.argmax(np.abs(gaps)))
    below = (score <= score[order][last_of_tie][at]).astype(np.float64)
    sign = 1.0 if gaps[at] >= 0.0 else -1.0
    other = sign * (below - float((1.0 - c) @ below) / others) / others
    default = sign * (below - float(c @ below) / defaults) / defaults
    influence = (1.0 - c) * other - c * default
    customers = float(influence @ influence) * c.size / (c.size - 1.0)
    return _combined(float(abs(gaps[at])), customers, -other - default, c, logit(score), line)


def _combined(
    value: float, customers: float, slope: Floats, c: Floats, log_odds: Floats, line: Floats | None
) -> Estimate:
    """``slope`` is the measure's derivative by each outcome; the parts of the variance add up."""
    spread = c * (1.0 - c)
    outcome = float(np.square(slope) @ spread)
    if line is not None:
        gradient = np.array([slope @ spread, (slope * spread) @ log_odds])  # ∂c/∂(intercept, slope) = c(1−c)(1, logit)
        outcome += float(gradient @ line @ gradient)
    return Estimate(value, math.sqrt(customers + outcome), math.sqrt(outcome))


def _usable_weights(weights: npt.ArrayLike, length: int) -> Floats:
    weight = numbers(weights, "weights", length=length)
    if weight.min() < 0.0 or not 0.0 < weight.sum() < math.inf:
        raise DataError("Weights must be finite, not negative and not all 0.")
    usable: Floats = weight / weight.mean()
    return usable


def effective_size(weights: Floats) -> float:
    """How many equal rows rows with these ``weights`` (n,) are worth, (Σw)²/Σw²: Kish, Survey Sampling (1965), 11.7."""
    return float(weights.sum() ** 2 / np.square(weights).sum())
