"""One window's row sample beside the reference: what the checks for mechanical faults ask."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from riskloop.core.findings import DeclaredCheck
from riskloop.core.stats import psi, psi_critical
from riskloop.core.types import Bools, Finding, Floats, Ints, Json, Severity
from riskloop.monitor.profile import Profile, Reference
from riskloop.monitor.structure import Structure, ranks_of

MOSTLY: Final = 4.0  # times as often in a segment as outside of it
BAND: Final = 0.10  # PSI above which a column does not look like the history
CHANCE: Final = 1e-4  # … when chance gives such a PSI more rarely than this
LEAST_ROWS: Final = 50
TOGETHER: Final = 3  # columns that moved, and
TOGETHER_SHARE: Final = 0.25  # of all that can
ROUND_FACTORS: Final = (10.0, 12.0, 60.0, 100.0, 365.0, 1000.0, 1e4, 1e5, 1e6)


@dataclass(frozen=True)
class LevelRows:
    """The rows of one level of a column."""

    column: int
    name: str  # branch = 7
    rows: Bools  # (s,) of the window's sample
    before: Bools  # (m,) of the history


@dataclass(frozen=True)
class Compared:
    """One window's row sample beside the reference."""

    reference: Reference
    window: Profile
    sample: Floats  # (s, k)

    @cached_property
    def structure(self) -> Structure:
        """The rank correlations in the window."""
        return Structure.of(self.ranks)

    @cached_property
    def ranks(self) -> Floats:
        """Ranks within the window."""
        return ranks_of(self.sample)

    @cached_property
    def moved(self) -> list[int]:
        """Columns that do not look like the history."""
        columns = set(range(self.sample.shape[1])) - self.reference.context
        return [j for j in sorted(columns) if self.psi(j, self.sample[:, j]) > self.critical(j)]

    def together(self, j: int) -> bool:
        """Whether many columns moved beside ``j`` and did not stop: so does a population, or a policy, not a fault."""
        varies = np.flatnonzero(self.structure.varies > 0.0)
        others = set(varies.tolist()) - self.reference.context - {j}
        return len(others.intersection(self.moved)) >= max(TOGETHER, TOGETHER_SHARE * len(others))

    def psi(self, j: int, values: Floats) -> float:
        """PSI of ``values`` as if they were column ``j``."""
        course = self.reference.course
        begun = None if course is None else course.since(j)
        before = self.reference.own.counts[j] if begun is None else begun[1]
        return psi(before, self.reference.bins[j].count(values))

    def critical(self, j: int) -> float:
        """The PSI above which column ``j`` does not look like the history any more."""
        course, length = self.reference.course, self.window.length
        chance = psi_critical(len(self.sample), self.reference.own.rows, len(self.reference.bins[j]), CHANCE)
        usual = 0.0 if course is None or not length else float(course.usual(length)[j])
        return max(BAND + usual, chance)

    def undoes(self, j: int, undone: Floats) -> tuple[float, float] | None:
        """PSI before and after the step back, if with ``undone`` column ``j`` looks like the history."""
        before, after = self.psi(j, self.sample[:, j]), self.psi(j, undone)
        return (before, after) if after < min(self.critical(j), before / 4.0) else None

    def partners(self, j: int, least: float) -> Ints:
        """Columns that are correlated with column ``j`` in the history, and vary in the window."""
        close = np.abs(self.reference.structure.correlations[j]) >= least
        return np.flatnonzero(close & (self.structure.varies > 0.0))

    def numbers(self) -> list[int]:
        """The numeric columns that have a distribution."""
        return self.reference.numbers

    def moved_numbers(self) -> list[int]:
        """Numeric columns that do not look like the history."""
        return [j for j in self.numbers() if j in self.moved]

    def finding(
        self,
        check: DeclaredCheck,
        j: int,
        statistic: float,
        critical: float,
        sentence: str,
        details: Json | None = None,
        rows: Bools | None = None,
    ) -> Finding:
        """A fault of column ``j``, with where its ``rows`` (s,) of the sample are, if they are in one segment."""
        sizes = len(self.sample), self.reference.own.rows
        name = self.reference.schema.names[j]
        where = None if rows is None else self._segment(j, rows)
        if where is not None:
            sentence = f"{sentence.rstrip('.')}, mostly where {where}."
            details = {**(details or {}), "where": where}
        return check.finding(
            name, Severity.FAULT, sizes, sentence, statistic=statistic, critical=critical, details=details
        )

    def segments(self) -> Iterator[LevelRows]:
        """Levels of the columns that have few values, and where such a column is missing or has a new level."""
        for c, feature in enumerate(self.reference.schema.features):
            if c in self.reference.context or (feature.kind == "number" and self.reference.bins[c].kind != "values"):
                continue
            now, before = self.sample[:, c], self.reference.rows[:, c]
            for code in np.unique(now[~np.isnan(now)]).tolist():
                yield LevelRows(c, f"{feature.name} = {feature.text(code)}", now == code, before == code)
            yield LevelRows(c, f"{feature.name} is missing or new", np.isnan(now), np.isnan(before))

    def _segment(self, j: int, rows: Bools) -> str | None:
        """The level of another column that holds nearly all of ``rows``, several times as often as other levels."""
        best = (0.0, "")
        for segment in self.segments():
            there = segment.rows
            if segment.column != j and LEAST_ROWS <= there.sum() <= len(rows) - LEAST_ROWS:
                inside, outside = float(rows[there].mean()), float(rows[~there].mean())
                if inside > MOSTLY * outside and inside - outside > best[0]:
                    best = inside - outside, segment.name
        return best[1] or None
