"""One value in many rows: a fault in a large window, and chance in a small one of many rounded values."""

import numpy as np
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import DAY, Finding, Floats, Severity
from riskloop.monitor.profile import Reference
from riskloop.monitor.quality import quality_findings
from riskloop.monitor.stuck import tail

START = 18_262
MONTHS = 24


def rounded(n: int, columns: int, rng: np.random.Generator) -> Floats:
    """Whole points, dozens of them usual, that hang together a little."""
    bonds = np.random.default_rng(columns).normal(size=(4, columns)) / 2.0
    rows: Floats = np.round(600 + np.resize([60, 20, 30, 15], columns) * (rng.normal(size=(n, 4)) @ bonds))
    return rows


def heaped(n: int, columns: int, rng: np.random.Generator) -> Floats:
    """Amounts that people round to hundreds or thousands."""
    grid = rng.choice([100.0, 500.0, 1_000.0, 5_000.0], size=(n, columns))
    rows: Floats = np.round(np.exp(9 + 0.02 * (rounded(n, columns, rng) - 600)) / grid) * grid
    return rows


def coded(n: int, columns: int, rng: np.random.Generator) -> Floats:
    """Every third column are codes, of which a few are common and most are rare."""
    rows = rounded(n, columns, rng)
    for j in range(0, columns, 3):
        shares = 1.0 / np.arange(1, 301)
        rows[:, j] = 1_000 + 37 * rng.choice(300, size=n, p=shares / shares.sum())
    return rows


def posted(n: int, columns: int, rng: np.random.Generator) -> Floats:
    """Every fifth column is a rate, and the month's own rate is that of many customers."""
    rows = rounded(n, columns, rng)
    for j in range(0, columns, 5):
        rows[:, j] = np.round(rng.normal(5.0, 0.7, n), 2)
        rows[rng.random(n) < 0.3, j] = np.round(rng.normal(5.0, 0.7), 2)
    return rows


BOOKS = {"rounded": rounded, "heaped": heaped, "coded": coded, "posted": posted}


def book(name: str, rows: int, columns: int, rng: np.random.Generator) -> Reference:
    """Of two years of ``rows`` a month."""
    schema = Schema(tuple(Feature(f"x{j}", nullable=True) for j in range(columns)), target="default")
    history = np.concatenate([BOOKS[name](rows, columns, rng) for _ in range(MONTHS)])
    days = np.repeat(START + 30 * np.arange(MONTHS), rows) + np.tile(np.arange(rows) % 30, MONTHS)
    return Reference.build(schema, history, rng.beta(2, 8, len(history)), days)


def faults(reference: Reference, window: Floats) -> list[Finding]:
    n = len(window)
    times = (START + 30 * MONTHS + np.arange(n) % 30) * DAY
    found = quality_findings(reference, reference.profile(window, np.full(n, 0.2), times), min_rows=30)
    return [f for f in found if f.severity is Severity.FAULT]


@pytest.mark.parametrize("name", BOOKS)
@pytest.mark.parametrize(("rows", "columns"), [(40, 5), (80, 20), (80, 60), (150, 5)])
def test_values_that_meet_by_chance_are_no_fault(name: str, rows: int, columns: int) -> None:
    rng = np.random.default_rng([rows, columns])
    reference = book(name, max(50, rows), columns, rng)
    found = [f.sentence for _ in range(6) for f in faults(reference, BOOKS[name](rows, columns, rng))]
    assert not found


@pytest.mark.parametrize("name", ["rounded", "heaped", "coded"])
@pytest.mark.parametrize(("rows", "share"), [(200, 0.15), (2_000, 0.06), (2_000, 0.15), (80, 1.0)])
def test_a_value_that_took_the_place_of_others_is_found(name: str, rows: int, share: float) -> None:
    rng = np.random.default_rng(7)
    reference = book(name, rows, 12, rng)
    for j in (3, 7, 9):
        window = BOOKS[name](rows, 12, rng)
        window[rng.random(rows) < share, j] = -999.0 if j > 3 else float(np.sort(window[:, j])[2 * rows // 3]) + 0.5
        found = {(f.check, f.subject) for f in faults(reference, window)}
        assert ("stuck", f"x{j}") in found
        assert {subject for _, subject in found} == {f"x{j}"}


def test_the_fill_in_is_found_beside_a_commoner_value() -> None:
    rng = np.random.default_rng(8)

    def rows(n: int) -> Floats:
        window = rounded(n, 12, rng)
        window[rng.random(n) < 0.3, 4] = 0.0  # nothing owed
        return window

    schema = Schema(tuple(Feature(f"x{j}") for j in range(12)), target="default")
    reference = Reference.build(schema, rows(5_000), np.full(5_000, 0.2))
    window = rows(2_000)
    assert not faults(reference, window)
    window[:200, 4] = 999.0
    (found,) = faults(reference, window)
    assert found.sentence.startswith("x4 is 999 in 10% of the rows")


@pytest.mark.parametrize(("count", "rows", "same", "before"), [(5, 80, 3, 1_000), (60, 400, 12, 900), (9, 9, 0, 40)])
def test_the_chance_is_that_of_draws(count: int, rows: int, same: int, before: int) -> None:
    """Against the integral of the binomial over Jeffreys' posterior."""
    from scipy.integrate import quad
    from scipy.stats import beta, binom

    posterior = beta(same + 0.5, before - same + 0.5)
    by_parts = quad(
        lambda p: binom.sf(count - 1, rows, p) * posterior.pdf(p), 0.0, 1.0, points=[0.01, 0.05, 0.2], limit=500
    )[0]
    assert tail(count, rows, same, before) == pytest.approx(by_parts, rel=1e-3)
    assert tail(0, rows, same, before) == pytest.approx(1.0)
