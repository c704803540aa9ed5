"""Approving a few customers at random whom the model would decline, so that their outcomes become known.

Where only approved customers have outcomes, every later model learns from, and is tested on, the approved alone. A
small random share of the declined, marked and weighted, is the remedy that needs no assumption. Each draw is a hash of
the decision itself: it can be done again years later, and a customer who asks twice gets the same answer.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from riskloop.core.types import Bools, Floats

EXPLORED: Final = "explored"  # flag of a decision that was approved at random
RATE: Final = "exploration_rate"  # flag beside it: its probability, which every weight needs

Flags = dict[str, Any]


def draw(customer_id: str, features: Floats, version: int) -> float:
    """A number in [0, 1) that depends on the customer and the model version, or on the features without an id."""
    who = customer_id.encode() if customer_id else np.ascontiguousarray(features, dtype="<f8").tobytes()
    digest = hashlib.sha256(b"%d\0" % version + who).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def explore(
    declined: Bools,
    customer_ids: Sequence[str],
    features: Floats,
    version: int,
    rate: float,
    flags: Sequence[Flags | None],
) -> tuple[Bools, list[Flags | None]]:
    """Approve a share ``rate`` of the ``declined`` (n,): what is declined now, and the flags (n,) with the marks.

    ``features`` has shape (n, k). A hash is computed for declined rows only.
    """
    still, marked = declined.copy(), list(flags)
    for row in np.flatnonzero(declined).tolist():
        if draw(customer_ids[row], features[row], version) < rate:
            still[row] = False
            marked[row] = {**(marked[row] or {}), EXPLORED: True, RATE: rate}
    return still, marked


def rate_of(flags: Flags | None) -> float:
    """The probability with which a declined decision was approved, from its flags; 0 where it was not explored."""
    return float(flags[RATE]) if flags and flags.get(EXPLORED) else 0.0


def inclusion_weights(rates: Floats, declined: Bools, known: Bools) -> Floats:
    """How many applicants each decision stands for, shape (n,), when declined ones lack outcomes.

    ``rates`` are exploration rates (0: not explored), ``declined`` marks what the model would have declined, ``known``
    whose outcome is known. Explored decisions weigh in proportion to 1/rate and stand together for all declined
    applicants of unknown outcome; every other decision stands for itself. Where the declined have outcomes as often as
    the approved, all weights are 1.
    Source: Horvitz & Thompson, Journal of the American Statistical Association 47 (1952) 663–685, as a ratio estimator
    (Hájek 1971), so that the weights add up to the applicants there were.
    """
    weights = np.ones(rates.size)
    explored = (rates > 0.0) & known
    approved = ~declined
    if not explored.any():
        return weights
    seen = float(known[approved].mean()) if approved.any() else 1.0
    others = int(np.count_nonzero(known & declined & ~explored))
    total = max(float(np.count_nonzero(explored)), seen * float(np.count_nonzero(declined)) - others)
    inverse = 1.0 / rates[explored]
    weights[explored] = total * inverse / inverse.sum()
    return weights
