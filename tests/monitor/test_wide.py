"""A book of hundreds of columns: those that the champion reads most are held against one another, all are watched."""

import numpy as np
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import DAY, Floats, Ints, Severity
from riskloop.monitor import compared, profile, structure
from riskloop.monitor.profile import Reference
from riskloop.monitor.quality import quality_findings

COLUMNS = 300
READ = tuple(range(5, 35))


def rows(n: int, seed: int) -> Floats:
    """Positive amounts of eight factors, each column with a bond of its own."""
    rng = np.random.default_rng(seed)
    own = np.random.default_rng(0).normal(size=(8, COLUMNS))
    return np.exp(rng.normal(size=(n, 8)) @ own / 3.0 + 0.4 * rng.normal(size=(n, COLUMNS)))


def built(days: Ints) -> Reference:
    schema = Schema(tuple(Feature(f"x{j}", nullable=True) for j in range(COLUMNS)), target="default")
    return Reference.build(schema, rows(1600, 1), np.full(1600, 0.2), days, READ)


def test_faults_are_found_among_the_columns_that_the_champion_reads_most(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    made = structure.ranks_of

    def ranks_of(table: Floats) -> Floats:
        widths.append(table.shape[1])
        return made(table)

    for module in (compared, profile):
        monkeypatch.setattr(module, "ranks_of", ranks_of)
    reference = built(np.arange(1600) // 10 + 18_000)
    window = rows(800, 2)
    window[:, [7, 30]] = window[:, [30, 7]]
    window[:, 200] = np.nan  # nobody reads it; that it is gone is said all the same
    times = np.full(len(window), 18_400 * DAY)
    found = quality_findings(reference, reference.profile(window, np.full(800, 0.2), times), min_rows=100)
    wrong = {(f.check, f.subject) for f in found if f.severity is Severity.FAULT}
    assert {("swapped", "x7"), ("swapped", "x30"), ("missing_rate", "x200")} <= wrong
    assert {subject for _, subject in wrong if subject.startswith("x")} == {"x7", "x30", "x200"}
    assert widths
    assert max(widths) == len(READ)  # pairs of all columns would grow as their square
    told = next(f.sentence for f in found if f.check == "rows")
    assert "30 of 300 columns that the champion reads most" in told
    sound = quality_findings(reference, reference.profile(rows(800, 3), np.full(800, 0.2), times), min_rows=100)
    assert not [f for f in sound if f.severity is Severity.FAULT and f.subject.startswith("x")]
