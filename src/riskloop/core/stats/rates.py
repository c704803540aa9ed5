"""Are there more of something than there should be: rates against a reference, volumes, equal rows."""

import math
from collections.abc import Sequence

import numpy as np

from riskloop.core.errors import DataError


def rate_jump(count: int, total: int, reference_count: int, reference_total: int) -> float:
    """p-value of H₀: the rate did not rise, for ``count`` of ``total`` against a reference's counts.

    The chance of at least ``count`` under the beta-binomial that the reference predicts from the Jeffreys prior
    Beta(½, ½): unlike the binomial with the reference's rate it allows for what a finite reference cannot know, so
    a rate of 0 there forbids nothing. Source: Gelman et al., Bayesian Data Analysis, 3rd ed. (2013), section 2.4.
    """
    from scipy.stats import betabinom

    for part, whole in ((count, total), (reference_count, reference_total)):
        if not 0 <= part <= whole:
            raise DataError(f"A rate needs 0 ≤ count ≤ total; got {part} of {whole}.")
    if count == 0:
        return 1.0
    a, b = reference_count + 0.5, reference_total - reference_count + 0.5
    return float(np.clip(betabinom.sf(count - 1, total, a, b), 0.0, 1.0))


def volume_p_value(count: int, previous: Sequence[int], usual_spread: float = 0.1) -> float:
    """p-value of H₀: a window with so few rows is usual, given the sizes of the ``previous`` windows.

    A negative binomial around their mean μ with the variance φμ(1 + 1/k) + (sμ)²: φ their index of dispersion (at
    least Poisson's 1), 1/k for the mean's own error, s the ``usual_spread`` that even a steady business has.
    Source: Hilbe, Negative Binomial Regression, 2nd ed. (2011), section 8.
    """
    from scipy.special import betainc

    if not previous or min(previous) < 0 or count < 0:
        raise DataError("A volume is compared with the sizes of earlier windows; there are none, or one is negative.")
    sizes = np.asarray(previous, dtype=np.float64)
    mean = float(sizes.mean())
    if mean == 0.0:
        return 1.0
    dispersion = max(1.0, float(sizes.var(ddof=1)) / mean) if sizes.size > 1 else 1.0
    variance = dispersion * mean * (1.0 + 1.0 / sizes.size) + (usual_spread * mean) ** 2
    success = mean / variance
    return float(betainc(mean * success / (1.0 - success), count + 1.0, success))


def equal_pairs_p_value(pairs: int, rows: int, reference_pairs: int, reference_rows: int) -> float:
    """p-value of H₀: so many ``pairs`` of equal rows among ``rows`` are usual, given the reference's.

    Pairs of rows drawn from one population agree with one probability, whatever the sizes; their number is close to
    Poisson. ½ is added to the reference's pairs. Source: the birthday problem; Arratia, Goldstein & Gordon,
    Statistical Science 5 (1990) 403–424.
    """
    from scipy.special import pdtrc

    if rows < 2 or pairs == 0:
        return 1.0
    if reference_rows < 2:
        raise DataError("Equal rows are counted against a reference of at least two rows.")
    expected = (reference_pairs + 0.5) * math.comb(rows, 2) / math.comb(reference_rows, 2)
    return float(pdtrc(pairs - 1, expected))
