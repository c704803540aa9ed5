"""Has a distribution moved? PSI with its critical value, and many tests at once."""

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import numbers, probabilities, require_share
from riskloop.core.types import Bools, Floats


def psi_terms(reference_counts: npt.ArrayLike, window_counts: npt.ArrayLike) -> Floats:
    """Each bin's part of the PSI, shape (bins,); 0 where both counts are 0. They add up to :func:`psi`."""
    expected, actual = _count_pair(reference_counts, window_counts)
    used = (expected + actual) > 0
    e, a = _smoothed_shares(expected[used]), _smoothed_shares(actual[used])
    terms = np.zeros(expected.size)
    terms[used] = (a - e) * (np.log(a) - np.log(e))
    return terms


def psi(reference_counts: npt.ArrayLike, window_counts: npt.ArrayLike) -> float:
    """Population stability index Σ(aᵢ−eᵢ)·ln(aᵢ/eᵢ) of two counts over the same bins, shape (bins,).

    ½ is added to every count (bins that are empty in both are left out), so that an empty bin weighs what its size
    can prove. Symmetric; 0 for equal counts; not negative. Source: Lewis, An Introduction to Credit Scoring (1994);
    the ½ after Haldane, Annals of Human Genetics 20 (1956) 309–311.
    """
    return float(psi_terms(reference_counts, window_counts).sum())


def psi_critical(n: int, m: int, n_bins: int, alpha: float = 0.05) -> float:
    """The PSI that samples of ``n`` and ``m`` rows from one distribution exceed with probability ``alpha``.

    (1/n + 1/m)·χ²₁₋α(B−1). Source: Yurdakul & Naranjo, Journal of Risk Model Validation 14 (2020) 89–100.
    With a single bin PSI is always 0, and so is its critical value.
    """
    from scipy.special import chdtri

    require_share(alpha, "alpha")
    spread = _chance_scale(n, m)
    return spread * float(chdtri(n_bins - 1, alpha)) if n_bins > 1 else 0.0


def psi_p_value(statistic: float, n: int, m: int, n_bins: int) -> float:
    """The probability of a PSI of at least ``statistic`` without any drift; see :func:`psi_critical`."""
    from scipy.special import chdtrc

    spread = _chance_scale(n, m)
    return float(chdtrc(n_bins - 1, max(statistic, 0.0) / spread)) if n_bins > 1 else 1.0


def benjamini_hochberg(p_values: npt.ArrayLike, alpha: float = 0.05) -> Bools:
    """Which of several null hypotheses to reject so that at most ``alpha`` of the rejections are false, on average.

    NaN marks a test that could not run: not rejected, and not counted. Source: Benjamini & Hochberg, Journal of the
    Royal Statistical Society B 57 (1995) 289–300.
    """
    require_share(alpha, "alpha")
    values = np.asarray(p_values, dtype=np.float64)
    rejected = np.zeros(values.shape, dtype=np.bool_)
    ran = np.flatnonzero(~np.isnan(values))
    if ran.size == 0:
        return rejected
    tested = probabilities(values[ran], "p-values")
    order = np.argsort(tested)
    passing = np.flatnonzero(tested[order] <= alpha * np.arange(1, ran.size + 1) / ran.size)
    if passing.size:
        rejected[ran[order[: passing[-1] + 1]]] = True
    return rejected


def _count_pair(reference_counts: npt.ArrayLike, window_counts: npt.ArrayLike) -> tuple[Floats, Floats]:
    expected = numbers(reference_counts, "reference counts")
    actual = numbers(window_counts, "window counts", length=expected.size)
    if min(expected.min(), actual.min()) < 0.0:
        raise DataError("Counts cannot be negative.")
    for counts, name in ((expected, "reference"), (actual, "window")):
        if not counts.any():
            raise DataError(f"The {name} is empty: all its counts are 0, so there is nothing to compare.")
    return expected, actual


def _smoothed_shares(counts: Floats) -> Floats:
    smoothed = counts + 0.5
    shares: Floats = smoothed / smoothed.sum()
    return shares


def _chance_scale(n: int, m: int) -> float:
    if min(n, m) < 1:
        raise DataError(f"Both samples need rows; the window has {n} and the reference {m}.")
    return 1.0 / n + 1.0 / m
