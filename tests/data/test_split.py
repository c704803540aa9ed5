import numpy as np
import pytest

from riskloop.core.errors import DataError
from riskloop.core.types import Floats, Ints, Rows
from riskloop.data.split import folds


def make(times: Ints, target: Floats) -> Rows:
    n = len(times)
    return Rows(np.zeros((n, 1)), [str(i) for i in range(n)], times, target)


def test_without_times_every_row_is_tested_once_and_classes_keep_their_share() -> None:
    target = (np.arange(1000) % 5 == 0).astype(float)
    pairs = folds(make(np.zeros(1000, dtype=np.int64), target), 5, seed=1)
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(1000))
    assert {float(target[test].mean()) for _, test in pairs} == {0.2}
    for train, test in pairs:
        assert not set(train) & set(test)


@pytest.mark.parametrize("distinct", [6, 7, 12, 365])
def test_with_times_every_model_is_tested_on_what_came_after(distinct: int) -> None:
    rng = np.random.default_rng(0)
    times = rng.integers(0, distinct, 3000)
    pairs = folds(make(times, (rng.random(3000) < 0.3).astype(float)), 5, seed=1)
    assert len(pairs) == 5
    for train, test in pairs:
        assert times[train].max() < times[test].min()
    assert np.concatenate([t for _, t in pairs]).size == np.unique(np.concatenate([t for _, t in pairs])).size
    assert max(times[test].max() for _, test in pairs) == times.max()


def test_few_distinct_times_fall_back_to_stratified_folds() -> None:
    times = np.arange(300) % 5
    pairs = folds(make(times, (np.arange(300) % 3 == 0).astype(float)), 5, seed=1)
    assert sum(len(test) for _, test in pairs) == 300


def test_refusals() -> None:
    with pytest.raises(DataError, match="has 3 defaults in 100 rows; 5 folds"):
        folds(make(np.zeros(100, dtype=np.int64), (np.arange(100) < 3).astype(float)), 5, seed=1)
    with pytest.raises(DataError, match="0 defaults in 34 rows before"):
        folds(make(np.arange(100), (np.arange(100) > 80).astype(float)), 5, seed=1)
    with pytest.raises(DataError, match="no target"):
        folds(Rows(np.zeros((1, 1)), ["1"], np.zeros(1, dtype=np.int64)), 5, seed=1)
