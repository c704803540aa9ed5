"""The rows of a history, and of a large one a sample that depends on nothing but its customers."""

import numpy as np
import pytest

from riskloop.core.errors import DataError
from riskloop.data.held import Held


def drawn(ids: list[str], blocks: int, most: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, int]:
    held, first = Held(most, seed), 0
    rows = np.arange(len(ids), dtype=np.float64)[:, None] * [1.0, 10.0]
    for part in np.array_split(np.arange(len(ids)), blocks):
        held.add(rows[part], first, np.ones(len(part), dtype=np.bool_), [ids[i] for i in part])
        first += len(part)
    features, numbers = held.whole()
    return features, numbers, held.left_out


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_is_one_of_customers_whatever_the_blocks(seed: int) -> None:
    ids = [f"C{code}" for code in np.random.default_rng(seed).integers(0, 800, 2000)]
    features, numbers, left_out = drawn(ids, 1, 500, seed)
    assert 480 < len(numbers) <= 500
    assert left_out == 2000 - len(numbers)
    assert features.tolist() == [[number, 10 * number] for number in numbers.tolist()]
    inside = {ids[number] for number in numbers}
    assert inside.isdisjoint({ids[row] for row in set(range(2000)) - set(numbers.tolist())})
    for blocks in (2, 7, 40):
        again, same, others = drawn(ids, blocks, 500, seed)
        assert same.tolist() == numbers.tolist()
        assert again.tolist() == features.tolist()
        assert others == left_out


def test_another_seed_draws_others_and_fewer_rows_are_all_taken() -> None:
    ids = [str(i) for i in range(2000)]
    assert drawn(ids, 4, 500, 1)[1].tolist() != drawn(ids, 4, 500, 2)[1].tolist()
    assert drawn(ids, 4, 2000)[1].tolist() == list(range(2000))
    assert drawn(ids, 4, 0)[1].tolist() == list(range(2000))


def test_rows_of_nobody_are_drawn_one_by_one() -> None:
    samples = []
    for blocks in (1, 9):
        held, first = Held(300, 5), 0
        for part in np.array_split(np.zeros((1000, 1)), blocks):
            held.add(part, first, np.ones(len(part), dtype=np.bool_), [])
            first += len(part)
        samples.append(held.whole()[1].tolist())
    assert samples[0] == samples[1]
    assert len(samples[0]) == 300


def test_rows_that_are_not_used_are_not_held() -> None:
    held = Held()
    held.add(np.ones((4, 1)), 0, np.array([True, False, True, False]), list("abcd"))
    held.add(np.ones((2, 1)), 4, np.array([False, True]), list("ef"))
    assert held.whole()[1].tolist() == [0, 2, 5]
    assert held.left_out == 0


def test_more_than_fit_are_let_go_and_counted() -> None:
    held = Held(fits=10, refuse=lambda rows: DataError(f"{rows} rows"))
    for first in range(0, 40, 4):
        held.add(np.ones((4, 1)), first, np.array([True, True, True, False]), [])
        assert len(held) <= 10
    with pytest.raises(DataError, match="30 rows"):
        held.whole()
