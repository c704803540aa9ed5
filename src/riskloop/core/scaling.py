"""Points of a scorecard, scaled as the trade does (Siddiqi, Intelligent Credit Scoring, 2017, chapter 10)."""

import math
from dataclasses import dataclass

from riskloop.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Scaling:
    """How log-odds become points."""

    base: float = 600.0  # points
    odds: float = 30.0  # good customers for a bad one at that score
    double: float = 20.0  # points that double the odds

    def __post_init__(self) -> None:
        if not (self.odds > 0.0 and self.double > 0.0 and math.isfinite(self.base)):
            raise ConfigError("A score needs odds above 0 and points above 0 that double them.")

    @property
    def factor(self) -> float:
        """Points for one unit of log-odds."""
        return self.double / math.log(2.0)

    def score(self, log_odds: float) -> float:
        """The score of calibrated log-odds of default: fewer for more risk."""
        return self.base - self.factor * (math.log(self.odds) + log_odds)
