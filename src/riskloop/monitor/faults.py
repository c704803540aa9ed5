"""Mechanical faults of single columns: what a simple inverse undoes.

A column multiplied by a constant, with the wrong sign, exchanged with another or with its levels recoded looks like
history again after one mechanical step back. A population that changed does not: there is no such step, and its
correlated columns move together. Everything is computed from the profiles' row samples.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from riskloop.core.stats import psi, psi_critical
from riskloop.core.types import Finding, Floats, Severity
from riskloop.monitor.profile import Profile, Reference

BAND: Final = 0.10  # PSI above which a column does not look like the history
CHANCE: Final = 1e-4
LEAST_ROWS: Final = 50
LEAST_FACTOR: Final = 2.0  # incomes and limits do not double from one window to the next
ROUND_FACTORS: Final = (10.0, 12.0, 60.0, 100.0, 365.0, 1000.0, 1e4, 1e5, 1e6)

SOURCE: Final = "A mechanical change is one that a mechanical inverse undoes (after arXiv 2604.11561)"


def mechanical_findings(reference: Reference, window: Profile) -> list[Finding]:
    """Findings of columns that one step back makes look like history again; empty when there are none."""
    sample = window.sample.expanded
    if len(sample) < LEAST_ROWS:
        return []
    compared = Compared(reference, window, sample)
    found: list[Finding] = []
    for check in (_scaled, _negated, _swapped, _recoded):
        found += check(compared)
    return found


@dataclass(frozen=True)
class Compared:
    """One window's row sample beside the reference."""

    reference: Reference
    window: Profile
    sample: Floats  # (s, k)

    def psi(self, j: int, values: Floats) -> float:
        """PSI of ``values`` as if they were column ``j``."""
        return psi(self.reference.own.counts[j], self.reference.bins[j].count(values))

    def critical(self, j: int) -> float:
        """The PSI of a column that does not look like the history any more."""
        chance = psi_critical(len(self.sample), self.reference.own.rows, len(self.reference.bins[j]), CHANCE)
        return max(BAND, chance)

    def moved(self) -> list[int]:
        """Columns that do not look like the history."""
        return [j for j in range(self.sample.shape[1]) if self.psi(j, self.sample[:, j]) > self.critical(j)]

    def undoes(self, j: int, undone: Floats) -> tuple[float, float] | None:
        """PSI before and after the step back, if with ``undone`` column ``j`` looks like the history."""
        before, after = self.psi(j, self.sample[:, j]), self.psi(j, undone)
        return (before, after) if after < min(self.critical(j), before / 4.0) else None

    def finding(self, check: str, subject: str, before: float, after: float, sentence: str) -> Finding:
        return Finding(
            check=check,
            subject=subject,
            severity=Severity.FAULT,
            statistic=before,
            critical=after,
            null="no mechanical inverse makes the column look like the history",
            source=SOURCE,
            n=len(self.sample),
            m=self.reference.own.rows,
            sentence=sentence,
            details={"psi_before": before, "psi_after": after},
        )


def _scaled(compared: Compared) -> list[Finding]:
    found = []
    history = compared.reference.own.sample.expanded
    for j in compared.moved():
        if compared.reference.schema.features[j].kind == "category":
            continue
        factor = _factor(history[:, j], compared.sample[:, j])
        if factor is None:
            continue
        undone = compared.undoes(j, compared.sample[:, j] / factor)
        if undone is not None:
            name = compared.reference.schema.names[j]
            times = f"{factor:.4g} times larger" if factor > 1.0 else f"{1.0 / factor:.4g} times smaller"
            found.append(compared.finding("scale", name, *undone, f"{name} is {times} than in the history."))
    return found


def _factor(history: Floats, window: Floats) -> float | None:
    """The constant between the two columns' sizes, round where a round one is near; None near 1."""
    old, new = (np.abs(x[np.isfinite(x) & (x != 0.0)]) for x in (history, window))
    if min(old.size, new.size) < LEAST_ROWS:
        return None
    ratio = float(np.median(new) / np.median(old))
    if max(ratio, 1.0 / ratio) < LEAST_FACTOR:
        return None
    for round_factor in ROUND_FACTORS:
        for candidate in (round_factor, 1.0 / round_factor):
            if abs(math.log(ratio / candidate)) < 0.2:
                return candidate
    return ratio


def _negated(compared: Compared) -> list[Finding]:
    found = []
    for j in compared.moved():
        if compared.reference.schema.features[j].kind == "category":
            continue
        undone = compared.undoes(j, -compared.sample[:, j])
        if undone is not None:
            name = compared.reference.schema.names[j]
            found.append(compared.finding("sign", name, *undone, f"{name} has the opposite sign."))
    return found


def _swapped(compared: Compared) -> list[Finding]:
    found = []
    schema = compared.reference.schema
    moved = compared.moved()
    for a, i in enumerate(moved):
        for j in moved[a + 1 :]:
            if schema.features[i].kind != schema.features[j].kind:
                continue
            first = compared.undoes(i, compared.sample[:, j])
            second = compared.undoes(j, compared.sample[:, i])
            if first and second:
                names = schema.names[i], schema.names[j]
                found += [
                    compared.finding("swapped", name, *undone, f"{names[0]} and {names[1]} have changed places.")
                    for name, undone in zip(names, (first, second), strict=True)
                ]
    return found


def _recoded(compared: Compared) -> list[Finding]:
    from scipy.optimize import linear_sum_assignment

    found = []
    moved = compared.moved()
    for j in moved:
        bins = compared.reference.bins[j]
        if bins.kind != "values" or len(moved) > 1:
            continue
        levels = len(bins.points)
        old = compared.reference.own.counts[j][:levels] + 0.5
        new = compared.window.counts[j][:levels]
        _, to = linear_sum_assignment(-np.outer(new, np.log(old / old.sum())))
        points = np.asarray(bins.points)

        column = compared.sample[:, j]
        where = np.minimum(np.searchsorted(points, column), len(points) - 1)
        back = np.where(points[where] == column, points[to[where]], column)
        undone = compared.undoes(j, back)
        if undone is not None:
            name = compared.reference.schema.names[j]
            feature = compared.reference.schema.features[j]
            pairs = ", ".join(
                f"{feature.text(points[b])} is now {feature.text(points[a])}"
                for a, b in enumerate(to)
                if a != b and new[a]
            )
            found.append(
                compared.finding("recoded", name, *undone, f"The levels of {name} changed their codes: {pairs}.")
            )
    return found
