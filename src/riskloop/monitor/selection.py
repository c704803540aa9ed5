"""Who has an outcome? A window and its reference are compared on the same kind of customers.

A lender learns the outcomes of those whom it approved. Among them the scores span less than among all applicants, so
that every champion ranks them worse (restriction of range; Pearson 1903, Thorndike 1949). The reference is thinned to
the scores that have outcomes in the window: what is left to differ is the world, not the selection. Outcomes that are
missing for other reasons than the score thin it evenly, which changes nothing.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.stats import auc, delong_variance
from riskloop.core.types import Bools, Floats, Ints
from riskloop.monitor.matured import Matured, Trained

BANDS: Final = 40  # of the window's scores
LEAST_IN_BAND: Final = 25  # decisions
CHANCE: Final = 1e-4  # p-value below which outcomes are not missing evenly


@dataclass(frozen=True, slots=True)
class Comparison:
    """A window's matured decisions, and the reference's rows of the same kinds of scores."""

    window: Matured
    history: Matured
    trained: Trained  # the AUC that the window's is held against, among such customers
    known: float  # share of the window's decisions that have an outcome
    whole: float | None = None  # the training's AUC among all applicants, where outcomes depend on the score
    scales: tuple[Floats, Floats] | None = None  # scores of the reference by the champion itself, and out of fold

    @classmethod
    def of(
        cls,
        probabilities: Floats,
        outcomes: Floats,
        reference_probabilities: Floats,
        reference_outcomes: Floats,
        trained: Trained | None = None,
        own: Floats | None = None,
        customers: Ints | None = None,
    ) -> "Comparison":
        """From the decisions of a window (n,), NaN where the outcome is not known, and the reference's rows (m,).

        ``own`` (m,) are the champion's own scores of the reference, whose probabilities are of models of parts of it:
        each has a level and a spread of its own, so that who would have an outcome is told by ranks. None: one scale.
        ``customers`` (n,) says whose the window's rows are, where somebody has several.
        """
        known = ~np.isnan(outcomes)
        window = Matured.of(probabilities, outcomes, customers)
        history = Matured.of(reference_probabilities, reference_outcomes)
        share = float(known.mean()) if known.size else 0.0
        trained = trained or _ranked(history)
        scales = None if own is None else (own, reference_probabilities)
        mine, past = on_one_scale(probabilities, history.probabilities, scales)
        chances = inclusion(mine, known, past)
        if chances is None:
            return cls(window, history, trained, share, scales=scales)
        kept = thinned(history, chances)
        if not kept.enough:  # all applicants say nothing of how such customers should be ranked
            return cls(window, history, Trained(math.nan, math.nan), share, trained.auc, scales)
        # The training's AUC is a mean over fits; what the restriction takes is measured on the pooled rows.
        among = _ranked(kept)
        less = among.auc - _ranked(history).auc
        return cls(window, kept, Trained(trained.auc + less, among.std_error), share, trained.auc, scales)

    @property
    def enough(self) -> bool:
        """Whether ranking and calibration can be judged at all."""
        return self.window.enough and self.history.enough and not math.isnan(self.trained.auc)


def on_one_scale(window: Floats, history: Floats, scales: tuple[Floats, Floats] | None) -> tuple[Floats, Floats]:
    """Scores of a window and of a history as ranks among those of the reference; as they are without ``scales``."""
    return (window, history) if scales is None else (ranks(window, scales[0]), ranks(history, scales[1]))


def ranks(scores: Floats, among: Floats) -> Floats:
    """The share of others that each score is above; ties count half."""
    known = np.sort(among)
    below = np.searchsorted(known, scores, "left") + np.searchsorted(known, scores, "right")
    return np.asarray(below / 2.0 / max(1, known.size), dtype=np.float64)


def inclusion(scores: Floats, known: Bools, reference_scores: Floats) -> Floats | None:
    """The share of outcomes known at each of ``reference_scores`` (m,), by that of ``scores`` (n,) like it.

    None when outcomes are missing evenly over the scores, by a χ² test over bands of them, or not at all.
    """
    bands = min(BANDS, known.size // LEAST_IN_BAND)
    if bands < 2 or known.all() or not known.any():
        return None
    edges = np.unique(np.quantile(scores, np.linspace(0.0, 1.0, bands + 1)[1:-1], method="inverted_cdf"))
    member = np.searchsorted(edges, scores, side="left")
    size = np.bincount(member, minlength=edges.size + 1).astype(np.float64)
    seen: Floats = np.bincount(member, weights=known, minlength=edges.size + 1).astype(np.float64)
    share = seen / np.maximum(size, 1)
    if _evenly(size, seen, float(known.mean())) >= CHANCE:
        return None
    chances: Floats = share[np.searchsorted(edges, reference_scores, side="left")]
    return chances


def _evenly(size: Floats, seen: Floats, share: float) -> float:
    from scipy.special import chdtrc

    used = size > 0
    gaps = np.square(seen - size * share)[used] / (size[used] * share * (1.0 - share))
    return float(chdtrc(int(used.sum()) - 1, float(gaps.sum())))


def thinned(rows: Matured, chances: Floats) -> Matured:
    """As many rows at each score as ``chances`` (m,) say."""
    kept = thinned_rows(rows, chances)
    return Matured(rows.probabilities[kept], rows.outcomes[kept])


def thinned_rows(rows: Matured, chances: Floats) -> Ints:
    """Positions of as many rows at each score as ``chances`` (m,) say; systematic sampling in the order of the scores.

    Nothing is drawn at random: the same rows are thinned in the same way (Cochran, Sampling Techniques, 1977, ch. 8).
    """
    order = np.lexsort((rows.outcomes, rows.probabilities))
    steps = np.floor(np.cumsum(chances[order]) + 0.5)
    kept: Ints = np.sort(order[np.diff(steps, prepend=0.0) > 0.0])
    return kept


def _ranked(rows: Matured) -> Trained:
    try:
        return Trained(
            auc(rows.outcomes, rows.probabilities), math.sqrt(delong_variance(rows.outcomes, rows.probabilities))
        )
    except DataError:
        return Trained(math.nan, math.nan)  # too few of a class; such rows are not compared
