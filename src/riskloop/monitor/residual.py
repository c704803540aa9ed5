"""Given the score, do the features say more of default than they did in the history? Evidence over windows.

The ranking among approved customers hardly falls when the world changes: their scores span little. What each feature
means has changed all the same, and that is found here, with outcomes of whomever there are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

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
BASES: Final = (
    "windows",
    "windows_read",
)  # where the findings keep each basis: directions of the customers, of the champion

FEATURES_OVER_TIME: Final = DeclaredCheck(
    "features_over_time",
    "given the score, the features say no more of default than they did in the history",
    "E-detector (Shin, Ramdas & Rinaldo, 2024) of Bayes factors of Rao's score beside the score (Chen, 1983)",
    "What the features say beside the score",
)


@dataclass(frozen=True)
class Directions:
    """Directions of a history's features, as ranks: what customers differ in most, or what a champion reads most."""

    known: tuple[Floats, ...]  # each column's values, sorted
    vectors: Floats  # (j, k), of standardised ranks
    spread: Floats  # (k,) how much of a change is looked for along each, sums to 1

    @classmethod
    def of(cls, features: Floats) -> "Directions":
        """Principal components of the ranks of ``features`` (m, j)."""
        known = _sorted(features)
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

    @classmethod
    def read(cls, features: Floats, importance: Floats) -> "Directions":
        """Each feature by itself, those that a champion reads most: ``importance`` (j,), as mean contributions.

        Where a world turns, what the score was made of means something else, and that may be none of the directions in
        which customers differ most.
        """
        known = _sorted(features)
        scale = _placed(features, known).std(axis=0) if len(features) else np.zeros(features.shape[1])
        size = np.where(scale > 0.0, np.square(importance), 0.0)
        order = np.argsort(-size, kind="stable")[:MOST]
        order = order[size[order] > LEAST_SHARE * size.sum()]
        vectors = np.zeros((features.shape[1], order.size))
        vectors[order, np.arange(order.size)] = 1.0 / scale[order]
        return cls(known, vectors, size[order] / size[order].sum() if order.size else np.zeros(0))

    def __call__(self, features: Floats) -> Floats:
        """Where each row of ``features`` (n, j) lies along them, (n, k), each of variance 1 in the history."""
        return _placed(features, self.known) @ self.vectors


Bases = tuple[tuple[Directions, Floats], ...]


@dataclass(frozen=True)
class Past:
    """A champion's reference, (m,) rows."""

    bases: Bases
    probabilities: Floats  # out of fold
    outcomes: Floats  # NaN where nobody knows
    own: Floats  # the champion's own scores
    customers: Ints | None = None  # a number for each row's customer; None: nobody comes twice, or it is not on record
    again: float = 0.0  # correlation of a customer's rows in different windows, at least

    @cached_property
    def known(self) -> Matured:
        """The rows that have an outcome."""
        return Matured.of(self.probabilities, self.outcomes)

    def like(self, probabilities: Floats, outcomes: Floats) -> list[Residual]:
        """What was left beside the score among such customers as have an outcome now, along each of the bases."""
        mine, past = on_one_scale(probabilities, self.known.probabilities, (self.own, self.probabilities))
        chances = inclusion(mine, ~np.isnan(outcomes), past)
        rows = np.arange(past.size) if chances is None else thinned_rows(self.known, chances)
        known, there = self.known, ~np.isnan(self.outcomes)
        who = None if self.customers is None else self.customers[there][rows]
        defaults, p = known.outcomes[rows] == 1.0, known.probabilities[rows]
        return [Residual.of(defaults, p, places[there][rows], who) for _, places in self.bases]


def bases_of(features: Floats, importance: Floats) -> Bases:
    """In which directions a change is looked for, each with where the rows of ``features`` (m, j) lie along it."""
    both = Directions.of(features), Directions.read(features, importance)
    return tuple((one, one(features)) for one in both if one.spread.size)


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
    carried = next((f.details for f in before if f.check == FEATURES_OVER_TIME.name), {})
    written: list[list[list[float]]] = [list(carried.get(name, [])) for name in BASES[: len(past.bases)]]
    many = [along.spread.size for along, _ in past.bases]
    kept = [
        [one for one in map(_read, some) if one.score.size == size] for some, size in zip(written, many, strict=True)
    ]
    sizes = window.outcomes.size, past.known.outcomes.size
    adds = window.enough and not drifted
    if not past.bases:
        says = "The champion reads nothing that differs between the history's customers: its score says all."
        return FEATURES_OVER_TIME.finding(WINDOW, Severity.OK, sizes, says, details=_details([]))
    if not (adds or any(kept)):
        because = "its customers are not those of the history" if drifted else "it has too few outcomes"
        empty = FEATURES_OVER_TIME.unknown(WINDOW, sizes, f"{because}, and no window before says anything")
        return replace(empty, details={**empty.details, **_details([])})
    try:
        latest: list[Residual] = []
        if adds:
            there = ~np.isnan(outcomes)
            latest = [
                Residual.of(window.outcomes == 1.0, window.probabilities, along(features[there]), window.customers)
                for along, _ in past.bases
            ]
        history = past.like(probabilities, outcomes)
    except DataError as error:
        unknown = FEATURES_OVER_TIME.unknown(WINDOW, sizes, error.message)
        return replace(unknown, details={**unknown.details, **_details(written)})
    found = _Evidence.of(past, history, kept, latest)
    moved = found.all >= alarm
    severity = Severity.SEVERE if found.all >= SEVERE * alarm else Severity.DRIFTED if moved else Severity.OK
    says = "say other things of default than in the history" if moved else "say no more of default than in the history"
    count = max(map(len, found.kept))
    return FEATURES_OVER_TIME.finding(
        WINDOW,
        severity,
        sizes,
        f"Given the score, the features {says} (evidence {told(found.all)} of {count} windows, {alarm:g} is needed).",
        statistic=found.all,
        critical=alarm,
        details={
            **_details([[_written(one) for one in some] for some in found.kept]),
            "latest": found.last,
            "adds": found.adds,
            # A change that began before this window, and that this window says, too, has two windows' own rows for it.
            "witnesses": 2 if found.adds and found.all - found.last >= alarm else 1,
        },
    )


class _Evidence(NamedTuple):
    """The mean over the bases: a change need not lie along all of them."""

    kept: list[list[Residual]]
    all: float
    last: float  # of the latest window alone
    adds: bool  # whether the latest window makes it stronger

    @classmethod
    def of(
        cls, past: Past, history: Sequence[Residual], kept: Sequence[list[Residual]], latest: Sequence[Residual]
    ) -> "_Evidence":
        def mean(windows: Sequence[list[Residual]]) -> tuple[float, float]:
            each = [
                residual_evidence(some, usual, along.spread, again=max(past.again, usual.again))
                for some, usual, (along, _) in zip(windows, history, past.bases, strict=True)
            ]
            return float(np.mean([one[0] for one in each])), float(np.mean([one[1] for one in each]))

        if not latest:
            return cls(list(kept), *mean(kept), adds=False)
        without = mean([some[-KEPT + 1 :] for some in kept])[0]
        together = [[*some, one][-KEPT:] for some, one in zip(kept, latest, strict=True)]
        evidence, last = mean(together)
        if evidence >= OVER * without:
            return cls(together, evidence, last, adds=evidence > without)
        # A recession that has ended would be called for months. To forget evidence makes no false alarm likelier.
        alone = [some[-1:] for some in together]
        return cls(alone, *mean(alone), adds=False)


def _placed(features: Floats, known: Sequence[Floats]) -> Floats:
    """Ranks among the history's values, around 0; what is missing is in the middle."""
    if not features.shape[1]:
        return features
    columns = [
        np.where(np.isnan(column), 0.0, ranks(np.nan_to_num(column), values) - 0.5)
        for column, values in zip(features.T, known, strict=True)
    ]
    return np.column_stack(columns)


def _sorted(features: Floats) -> tuple[Floats, ...]:
    return tuple(np.sort(column[~np.isnan(column)]) for column in features.T)


def _details(windows: Sequence[Sequence[list[float]]]) -> dict[str, object]:
    """What the next window needs of each basis."""
    return {name: list(windows[k]) if k < len(windows) else [] for k, name in enumerate(BASES)}


def _written(residual: Residual) -> list[float]:
    """The score vector and the upper triangle of the information, as JSON."""
    upper = residual.information[np.triu_indices(residual.score.size)]
    return [float(f"{value:.{DIGITS}g}") for value in (*residual.score, *upper)]


def _read(numbers: Sequence[float]) -> Residual:
    values = np.asarray(numbers, dtype=np.float64)
    size = (math.isqrt(8 * values.size + 9) - 3) // 2  # of k directions k and k (k + 1) / 2 numbers
    information = np.zeros((size, size))
    information[np.triu_indices(size)] = values[size:]
    return Residual(values[:size], information + np.triu(information, 1).T)
