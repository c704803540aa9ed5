"""Columns that say the same are few witnesses of an exchange."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from riskloop.core.types import Floats
from riskloop.monitor.faults import EXCHANGE_GAIN, exchange_needed
from riskloop.monitor.structure import Structure, distances, ranks_of

FACTORS = 7


def book(n: int, rng: np.random.Generator, copies: int, apart: float) -> Floats:
    """Seven blocks of columns that hardly differ, and two columns that hang together with all of them almost alike."""
    factors = rng.standard_normal((n, FACTORS))
    blocks = [factors[:, [k]] + 0.15 * rng.standard_normal((n, copies)) for k in range(FACTORS)]
    weights = np.linspace(0.2, 0.1, FACTORS)
    other = weights + apart * np.resize([1.0, -1.0], FACTORS)
    pair = [factors @ w + rng.standard_normal(n) for w in (weights, other)]
    return np.column_stack([*blocks, *pair])


def gains(copies: int, apart: float, windows: int, *, exchanged: bool = False) -> tuple[list[float], float]:
    """What exchanging the pair would gain in each window, and what is needed."""
    rng = np.random.default_rng(copies)
    history = Structure.of(ranks_of(book(20_000, rng, copies, apart)))
    found = []
    for _ in range(windows):
        rows = book(2_000, rng, copies, apart)
        if exchanged:
            rows[:, [-2, -1]] = rows[:, [-1, -2]]
        placed, after = history.misfits(Structure.of(ranks_of(rows)))
        found.append(float((placed - after)[-2, -1]))
    return found, exchange_needed(history, 0.0)


@pytest.mark.parametrize("copies", [3, 11, 30])
def test_chance_does_not_exchange_columns_of_a_wide_book(copies: int) -> None:
    found, needed = gains(copies, 0.01, 60)
    assert max(found) < needed
    if copies > 3:
        assert max(found) > EXCHANGE_GAIN, "as if its columns were independent, it would"


@pytest.mark.parametrize("copies", [1, 3, 11, 30])
def test_an_exchange_is_found_in_books_of_any_width(copies: int) -> None:
    found, needed = gains(copies, 0.15, 5, exchanged=True)
    assert min(found) > needed


def test_copies_are_counted() -> None:
    rng = np.random.default_rng(3)
    alone = Structure.of(ranks_of(rng.standard_normal((5_000, 20))))
    assert alone.copies == pytest.approx(1.0, abs=0.05)
    same = np.repeat(rng.standard_normal((5_000, 5)), 4, axis=1) + 1e-3 * rng.standard_normal((5_000, 20))
    assert Structure.of(ranks_of(same)).copies == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize(("copies", "rows"), [(1, 100), (5, 100), (5, 1_000)])
def test_the_errors_of_a_columns_bonds_hang_together(copies: int, rows: int) -> None:
    """Standard errors are those of repeated draws, however many columns say the same (Steiger, 1980)."""
    rng = np.random.default_rng(copies)
    weights = rng.normal(size=(4, 6)) / 2.0

    def drawn(n: int) -> Structure:
        own = rng.standard_normal((n, 4)) @ weights + 0.8 * rng.standard_normal((n, 6))
        return Structure.of(ranks_of(np.repeat(own, copies, axis=1) + 0.3 * rng.standard_normal((n, 6 * copies))))

    history = drawn(20_000)
    errors = np.asarray([history.kept(drawn(rows))[1] for _ in range(200)])
    assert np.all((errors.std(axis=0) > 0.7) & (errors.std(axis=0) < 1.3))
    alone = errors.std(axis=0) * np.sqrt(history.coherence)
    if copies > 1:
        assert alone.max() > 1.8, "as if they erred by themselves"


@pytest.mark.parametrize(("one", "other", "columns"), [(1, 1, 1), (3, 5, 2), (40, 30, 12)])
def test_distances_are_those_of_mahalanobis(one: int, other: int, columns: int) -> None:
    rng = np.random.default_rng(columns)
    rows, others = rng.random((one, columns)), rng.random((other, columns))
    covariance = np.corrcoef(rng.normal(size=(columns, 50)) + rng.normal(size=50)) + 1.1 * np.eye(columns)
    expected = cdist(rows, others, "mahalanobis", VI=np.linalg.inv(covariance))
    assert distances(rows, others, covariance) == pytest.approx(np.square(expected), rel=1e-12)
