"""Given the score, do the features say more of default than they did in the history? Evidence over windows.

The ranking among approved customers hardly falls when the world changes: their scores span little. What each feature
means has changed all the same, and that is found here, with outcomes of whomever there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.findings import WINDOW, DeclaredCheck
from riskloop.core.numbers import evidence as told
from riskloop.core.stats.residual import Residual, residual_evidence
from riskloop.core.types import Finding, Floats, Ints, Severity
from riskloop.monitor.matured import Matured
from riskloop.monitor.selection import inclusion, on_one_scale, ranks, thinned_rows

MOST: Final = 10  # directions
LEAST_SHARE: Final = 0.01  # of the variance, below which a direction is left out
KEPT: Final = 12  # windows from which on the world may have changed
SEVERE: Final = 10.0  # times the evidence at which a change is called
OVER: Final = 0.05  # of the evidence before, that a window leaves over which a change has ended
DIGITS: Final = 6

FEATURES_OVER_TIME: Final = DeclaredCheck(
    "features_over_time",
    "given the score, the features say no more of default than they did in the history",
    "E-detector (Shin, Ramdas & Rinaldo, 2024) of Bayes factors of Rao's score beside the score (Chen, 1983)",
    "What the features say beside the score",
)


@dataclass(frozen=True)
class Directions:
    """The leading directions of a history's features, as ranks: what most customers differ in."""

    known: tuple[Floats, ...]  # each column's values, sorted
    vectors: Floats  # (j, k), of standardised ranks
    spread: Floats  # (k,) share of the variance, sums to 1

    @classmethod
    def of(cls, features: Floats) -> "Directions":
        """Principal components of the ranks of ``features`` (m, j)."""
        known = tuple(np.sort(column[~np.isnan(column)]) for column in features.T)
        placed = _placed(features, known)
        scale = placed.std(axis=0)
        varies = scale > 0.0
        if not varies.any():
            return cls(known, np.zeros((features.shape[1], 0)), np.zeros(0))
        values, vectors = np.linalg.eigh(
            np.cov(placed[:, varies] / scale[varies], rowvar=False).reshape(-1, varies.sum())
        )
        order = np.argsort(-values)[:MOST]
        order = order[values[order] > LEAST_SHARE * values.sum()]
        whole = np.zeros((features.shape[1], order.size))
        whole[varies] = vectors[:, order] / scale[varies][:, None] / np.sqrt(values[order])
        return cls(known, whole, values[order] / values[order].sum())

    def __call__(self, features: Floats) -> Floats:
        """Where each row of ``features`` (n, j) lies along them, (n, k), each of variance 1 in the history."""
        return _placed(features, self.known) @ self.vectors


@dataclass(frozen=True)
class Past:
    """A champion's reference, (m,) rows."""

    directions: Directions
    places: Floats  # (m, k)
    probabilities: Floats  # out of fold
    outcomes: Floats  # NaN where nobody knows
    own: Floats  # the champion's own scores
    customers: Ints | None = None  # a number for each row's customer; None: nobody comes twice, or it is not on record
    again: float = 0.0  # correlation of a customer's rows in different windows, at least

    @cached_property
    def known(self) -> Matured:
        """The rows that have an outcome."""
        return Matured.of(self.probabilities, self.outcomes)

    def like(self, probabilities: Floats, outcomes: Floats) -> Residual:
        """What was left beside the score among such customers as have an outcome now."""
        mine, past = on_one_scale(probabilities, self.known.probabilities, (self.own, self.probabilities))
        chances = inclusion(mine, ~np.isnan(outcomes), past)
        rows = np.arange(past.size) if chances is None else thinned_rows(self.known, chances)
        known, there = self.known, ~np.isnan(self.outcomes)
        who = None if self.customers is None else self.customers[there][rows]
        return Residual.of(known.outcomes[rows] == 1.0, known.probabilities[rows], self.places[there][rows], who)


def residual_finding(
    past: Past,
    features: Floats,
    probabilities: Floats,
    outcomes: Floats,
    before: Sequence[Finding],
    *,
    alarm: float,
    drifted: bool = False,
    customers: Ints | None = None,
) -> Finding:
    """Of a window's decisions (n,), NaN where no outcome is known; ``before`` are the findings of the window before.

    ``customers`` (n,) says whose rows they are, where somebody has several in this window. A window whose population
    ``drifted`` adds nothing: the champion may err for customers whom it has hardly seen. Nor does one with too few
    defaults to tell what is left beside the score.
    """
    window = Matured.of(probabilities, outcomes, customers)
    carried: list[list[float]] = next((f.details["windows"] for f in before if f.check == FEATURES_OVER_TIME.name), [])
    kept = [_read(one, past.directions.spread.size) for one in carried]
    sizes = window.outcomes.size, past.known.outcomes.size
    adds = window.enough and not drifted
    if not past.directions.spread.size:
        says = "The champion reads nothing that differs between the history's customers: its score says all."
        return FEATURES_OVER_TIME.finding(WINDOW, Severity.OK, sizes, says, details={"windows": []})
    if not (adds or kept):
        because = "its customers are not those of the history" if drifted else "it has too few outcomes"
        empty = FEATURES_OVER_TIME.unknown(WINDOW, sizes, f"{because}, and no window before says anything")
        return replace(empty, details={**empty.details, "windows": []})
    try:
        if adds:
            there = ~np.isnan(outcomes)
            places = past.directions(features[there])
            kept.append(Residual.of(window.outcomes == 1.0, window.probabilities, places, window.customers))
        history = past.like(probabilities, outcomes)
    except DataError as error:
        unknown = FEATURES_OVER_TIME.unknown(WINDOW, sizes, error.message)
        return replace(unknown, details={**unknown.details, "windows": list(carried)})
    kept = kept[-KEPT:]
    spread, again = past.directions.spread, max(past.again, history.again)
    evidence, latest = residual_evidence(kept, history, spread, again=again)
    without = residual_evidence(kept[:-1], history, spread, again=again)[0] if adds else evidence
    if adds and evidence < OVER * without:
        # A recession that has ended would be called for months. To forget evidence makes no false alarm likelier.
        kept, evidence = kept[-1:], latest
    moved = evidence >= alarm
    severity = Severity.SEVERE if evidence >= SEVERE * alarm else Severity.DRIFTED if moved else Severity.OK
    says = "say other things of default than in the history" if moved else "say no more of default than in the history"
    return FEATURES_OVER_TIME.finding(
        WINDOW,
        severity,
        sizes,
        f"Given the score, the features {says} (evidence {told(evidence)} of {len(kept)} windows, {alarm:g} is "
        "needed).",
        statistic=evidence,
        critical=alarm,
        details={
            "windows": [_written(one) for one in kept],
            "latest": latest,
            "adds": adds and evidence > without,
        },
    )


def _placed(features: Floats, known: Sequence[Floats]) -> Floats:
    """Ranks among the history's values, around 0; what is missing is in the middle."""
    if not features.shape[1]:
        return features
    columns = [
        np.where(np.isnan(column), 0.0, ranks(np.nan_to_num(column), values) - 0.5)
        for column, values in zip(features.T, known, strict=True)
    ]
    return np.column_stack(columns)


def _written(residual: Residual) -> list[float]:
    """The score vector and the upper triangle of the information, as JSON."""
    upper = residual.information[np.triu_indices(residual.score.size)]
    return [float(f"{value:.{DIGITS}g}") for value in (*residual.score, *upper)]


def _read(numbers: Sequence[float], size: int) -> Residual:
    values = np.asarray(numbers, dtype=np.float64)
    information = np.zeros((size, size))
    information[np.triu_indices(size)] = values[size:]
    return Residual(values[:size], information + np.triu(information, 1).T)
