"""Evidence that adds up over windows, valid at any moment: e-detectors.

Each window gives a likelihood ratio or a bet whose mean is at most 1 as long as nothing has changed. The detector
adds 1 and multiplies, so that a change may begin at any window; reaching ``a`` takes at least ``a`` windows on average
while nothing changes, whatever the windows' sizes. Source: Shin, Ramdas & Rinaldo, E-detectors, The New England Journal
of Statistics in Data Science 2 (2024) 229–260, after Shiryaev (1963) and Roberts (1966).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from riskloop.core.stats._arrays import logit, outcomes, probabilities
from riskloop.core.stats.correlated import count_log_likelihood, level_error
from riskloop.core.types import Floats

SHIFTS: Final = (-0.8, 0.9)  # of the level, in log-odds beyond what does not matter: half, and twice the defaults
WEIGHTS: Final = (0.15, 0.85)  # too many defaults are what harms
BETS: Final = (0.3, 0.8, 1.4)  # of the highest that cannot lose everything, or near it
MOST: Final = 1e12


def detect(before: Floats, ratios: Floats) -> Floats:
    """The detectors (k,) after one more window with these ``ratios`` (k,)."""
    after: Floats = np.minimum((before + 1.0) * ratios, MOST)
    return after


def level_ratios(
    labels: npt.ArrayLike, probability: npt.ArrayLike, correlation: float = 0.0, band: float = 0.0
) -> Floats:
    """Likelihood ratios (k,) of a window: the level moved by each of SHIFTS, against at most ``band`` in log-odds.

    Defaults of one window move together by ``correlation`` (Vasicek). No rows give ones.
    """
    if np.size(labels) == 0:
        return np.ones(len(SHIFTS))
    defaults, p = outcomes(labels), probabilities(probability, length=np.size(labels))
    count, move, ratios = int(defaults.sum()), level_error(p, correlation), []
    for shift in SHIFTS:
        edge = logit(p) + np.copysign(band, shift)
        before, after = (count_log_likelihood(count, odds, move) for odds in (edge, edge + shift))
        ratios.append(np.exp(min(after - before, np.log(MOST))))
    return np.asarray(ratios)


def ranking_ratios(placements: Floats, expected: float, worth: Floats | float = 1.0) -> Floats:
    """Bets (k,) that the mean of ``placements`` (n,), each in [0, 1], is below ``expected``.

    A placement is the share of the other class that a decision is on the right side of; its mean is the AUC. Each bet
    loses at most what it staked. A bet to the power of its ``worth`` (n,), at most 1, has at most the mean 1 as well
    (Jensen). Source: Waudby-Smith & Ramdas, JRSS B 86 (2024) 1–27.
    """
    highest = 0.95 / max(1.0 - expected, 0.05)
    bets = np.minimum(np.asarray(BETS), highest)
    gains = np.log1p(bets[:, None] * (expected - placements)[None, :])
    ratios: Floats = np.exp(np.minimum((gains * worth).sum(axis=1), np.log(MOST)))
    return ratios
