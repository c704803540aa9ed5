"""Whose outcome counts? That is knowledge, not time: a feed comes late, and not for everybody.

A decision's outcome is final when the outcome window after it is over. It counts when the feed is complete up to that
moment: because its watermark says so or, where nobody gives one, because nearly all that is expected has arrived.
Before that none counts, not even a default that is known: what arrives first is no fair sample of what will come.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from riskloop.core.types import Bools, Floats, Ints

CHUNK: Final = 30  # expected outcomes that are looked at together
LACK: Final = 0.05  # of them may be missing where everything usually comes
LEAST_USUAL: Final = 0.2  # a feed that brings less than this share is no measure of completeness
NOTHING: Final = -1  # a time before every decision
LATEST: Final = 2**63 - 1  # above every outcome id

Silence = Literal["unknown", "good"]


@dataclass(frozen=True, slots=True)
class Maturity:
    """Which outcomes count at one moment."""

    until: int  # decisions up to this time, microseconds, are settled; of later ones no outcome counts
    outcomes: int = LATEST  # highest outcome id that counts
    silence: Silence = "unknown"  # what a settled decision without a report is
    silent_declined: bool = False  # whether that goes for declined customers, too
    held: tuple[tuple[int, int], ...] = ()  # first and last ids of outcomes in quarantine
    given: bool = False  # whether a watermark says so; else it is inferred

    def settle(self, outcomes: Floats, times: Ints, declined: Bools) -> Floats:
        """Known outcomes (n,), NaN where there is none, as they count for decisions at ``times`` (n,).

        ``declined`` (n,) is who got no loan as far as the log knows. Returns (n,): 1, 0 or NaN.
        """
        settled = times <= self.until
        if self.silence == "unknown":
            return np.where(settled, outcomes, np.nan)
        # Of customers who got no loan only a default could be reported: that is no fair sample of them.
        speaks = settled & (~declined | self.silent_declined)
        return np.where(speaks, np.nan_to_num(outcomes, nan=0.0), np.nan)


def complete_days(expected: Ints, known: Ints, usual: float) -> int:
    """How many days, from the first one on, are complete.

    ``expected`` (d,) decisions of each day should have an outcome by now, ``known`` (d,) have one; ``usual`` is the
    share of a settled day that ever gets one. Days are looked at in chunks of at least 30 expected outcomes, or of 120
    where not all ever come. A chunk is complete when at most 5% of the usual ones lack, beyond what chance gives (three
    standard errors).
    """
    if usual < LEAST_USUAL:
        return 0
    start, least = 0, CHUNK if usual == 1.0 else 4 * CHUNK
    for day in range(len(expected)):
        n, k = int(expected[start : day + 1].sum()), int(known[start : day + 1].sum())
        if n < least and day + 1 < len(expected):
            continue
        if k < (1.0 - LACK) * usual * n - 3.0 * math.sqrt(n * usual * (1.0 - usual)):
            return start + _whole(expected[start:], known[start:], usual)
        start = day + 1
    return start


def _whole(expected: Ints, known: Ints, usual: float) -> int:
    """How many days at the beginning of a chunk that is not complete are."""
    enough = np.cumsum(known) >= (1.0 - LACK) * usual * np.cumsum(expected)
    return int(np.argmin(enough)) if not enough.all() else len(enough)


def usual_share(expected: Ints, known: Ints, default: float = 1.0) -> float:
    """The share of expected outcomes that settled days get: of the best stretch, as an outage is not usual."""
    best, n, k = 0.0, 0, 0
    found = False
    for day in range(len(expected)):
        n, k = n + int(expected[day]), k + int(known[day])
        if n >= 4 * CHUNK:
            best, n, k, found = max(best, k / n), 0, 0, True
    return best if found else default
