"""Is a flat slope another definition of default? One that leaves out a share of the defaults flattens the PDs, too.

Of customers with a PD p a definition that counts the share k of the defaults reports k·p, one that counts a share c of
the good besides 1 − (1 − c)(1 − p). In log-odds neither is a shift: where p is large, k·p is much less than p, so that
the scores tell customers apart less than they claim. Defaults that move together do not look like that (they shift all
alike), a world in which other customers default need not.
"""

from typing import Final, NamedTuple

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.stats import calibration_in_the_large, calibration_slope
from riskloop.core.types import Floats
from riskloop.monitor.reports import Reports

AS_WELL: Final = 5.0  # log likelihood that a free line may be better by: half of a score statistic of 10
HALF: Final = 0.5  # of what the line gains on a shift, at least
TINY: Final = 1e-9


class Miscounted(NamedTuple):
    """Another definition that explains reports as well as another ranking does."""

    fewer: bool  # defaults are left out; else good customers are counted as defaults
    share: float  # of them

    @property
    def sentence(self) -> str:
        """What the reports look like."""
        if self.fewer:
            return f"The outcomes are what the PDs give where {self.share:.0%} of the defaults are not counted."
        return f"The outcomes are what the PDs give where {self.share:.0%} of the good customers are counted as bad."


def miscounted(reports: Reports) -> Miscounted | None:
    """The definition by which defaults are counted at random that explains the slope of ``reports``; None: none does.

    Its likelihood is compared with that of a free line in log-odds (Cox, 1958), which has a parameter more, and with
    that of a shift: it has to be nearly as good as the one, and to explain at least half of what it is better by than
    the other.
    """
    y, p = reports.outcomes, np.clip(reports.probabilities, TINY, 1.0 - TINY)
    if not reports.fewest:
        return None
    try:
        shift = calibration_in_the_large(y, p).estimate
        line = _of_line(reports, calibration_slope(y, p).estimate)
    except DataError:
        return None
    level = _likelihood(y, _expit(reports.log_odds + shift))
    kept = _kept(y, p)
    fewer = kept < 1.0
    counted = kept * p if fewer else 1.0 - (kept := _kept(1.0 - y, 1.0 - p)) * (1.0 - p)
    found = _likelihood(y, counted)
    explains = line - found < AS_WELL and found - level >= HALF * (line - level)
    return Miscounted(fewer, 1.0 - kept) if explains and kept < 1.0 else None


def _kept(y: Floats, p: Floats) -> float:
    """The likeliest share of the ones that is counted, at most 1: the root of the score, which falls in the share."""
    from scipy.optimize import brentq

    others = p[y == 0.0]

    def score(share: float) -> float:
        return float(y.sum() / share - (others / (1.0 - share * others)).sum())

    return 1.0 if score(1.0) >= 0.0 else float(brentq(score, TINY, 1.0))


def _of_line(reports: Reports, slope: float) -> float:
    """The log likelihood of the line with this slope, at the level of the outcomes."""
    spread = slope * reports.log_odds
    level = calibration_in_the_large(reports.outcomes, np.clip(_expit(spread), TINY, 1.0 - TINY)).estimate
    return _likelihood(reports.outcomes, _expit(spread + level))


def _likelihood(y: Floats, p: Floats) -> float:
    q = np.clip(p, TINY, 1.0 - TINY)
    return float(np.log(np.where(y == 1.0, q, 1.0 - q)).sum())


def _expit(log_odds: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return found
