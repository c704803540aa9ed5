from datetime import timedelta

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
    with pytest.raises(DataError, match="has 3 defaults and 97 others in 100 rows; 5 folds"):
        folds(make(np.zeros(100, dtype=np.int64), (np.arange(100) < 3).astype(float)), 5, seed=1)
    with pytest.raises(DataError, match="0 in the 34 before"):
        folds(make(np.arange(100), (np.arange(100) > 80).astype(float)), 5, seed=1)
    with pytest.raises(DataError, match="no target"):
        folds(Rows(np.zeros((1, 1)), ["1"], np.zeros(1, dtype=np.int64)), 5, seed=1)


def customers(rows: Rows, of: Ints) -> Rows:
    return Rows(rows.features, [str(i) for i in of.tolist()], rows.times, rows.target)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_no_customer_is_learned_from_and_tested_on(seed: int, timed: bool, share: float) -> None:
    """A few customers who come again, and a panel in which nearly all do."""
    rng = np.random.default_rng(seed)
    n = 2400
    who = np.where(rng.random(n) < share, rng.integers(0, 200, n), np.arange(n) + 1000)
    times = rng.integers(0, 300, n) if timed else np.zeros(n, dtype=np.int64)
    rows = customers(make(times, (rng.random(n) < 0.3).astype(float)), who)
    pairs = folds(rows, 5, seed)
    tested = np.concatenate([test for _, test in pairs])
    assert len(set(tested.tolist())) == tested.size
    for train, test in pairs:
        assert not set(who[train]) & set(who[test])
        assert train.size >= 0.3 * ((times < times[test].min()).sum() if timed else n)
        assert test.size >= 50
    assert timed or tested.size == n


@pytest.mark.parametrize("days", [0, 30, 90])
def test_what_was_not_known_when_a_block_began_is_not_learned_from(days: int) -> None:
    rng = np.random.default_rng(3)
    day = 86_400_000_000
    times = rng.integers(0, 720, 4000) * day
    pairs = folds(make(times, (rng.random(4000) < 0.3).astype(float)), 5, 1, embargo=timedelta(days=days))
    for train, test in pairs:
        assert times[train].max() + days * day <= times[test].min()
        assert times[train].max() + (days + 10) * day > times[test].min()


def test_an_embargo_never_takes_most_of_the_earlier_rows() -> None:
    rng = np.random.default_rng(3)
    day = 86_400_000_000
    times = rng.integers(0, 540, 4000) * day
    for train, test in folds(make(times, (rng.random(4000) < 0.3).astype(float)), 5, 1, embargo=timedelta(days=365)):
        assert times[train].max() < times[test].min()
        assert train.size >= 0.5 * (times < times[test].min()).sum()


def test_a_history_shorter_than_its_outcome_window_is_still_cut_by_time() -> None:
    rng = np.random.default_rng(3)
    times = rng.integers(0, 30, 3000) * 86_400_000_000
    for train, test in folds(make(times, (rng.random(3000) < 0.3).astype(float)), 5, 1, embargo=timedelta(days=365)):
        assert times[train].max() < times[test].min()


@pytest.mark.parametrize(("defaults", "lacking", "most"), [(3, 7, 0), (6, 4, 3), (9, 1, 4), (97, 7, 0)])
def test_too_few_of_a_class_are_said_with_what_is_lacking(defaults: int, lacking: int, most: int) -> None:
    target = (np.arange(100) < defaults).astype(float)
    with pytest.raises(DataError) as raised:
        folds(make(np.zeros(100, dtype=np.int64), target), 5, seed=1)
    rarer = "defaults" if defaults < 50 else "others"
    assert f"at least 10 of each class: {lacking} {rarer} more." in raised.value.message
    assert (f"set folds = {most} in [train]" in raised.value.message) == (most > 0)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_without_defaults_are_said_one_by_one_with_folds_that_would_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    day = 86_400 * 10**6
    times = np.sort(rng.integers(18_000, 18_700, 900)) * day
    target = np.zeros(900)
    target[rng.choice(np.r_[0:620, 880:900], 24, replace=False)] = 1.0
    target[885:888] = 1.0
    with pytest.raises(DataError) as raised:
        folds(make(times, target), 5, seed=1)
    message = raised.value.message
    assert message.count(" on and ") == 5
    assert f"{target.sum():.0f} defaults in 900 rows" in message
    if "set folds = " in message:
        most = int(message.partition("set folds = ")[2][0])
        assert len(folds(make(times, target), most, seed=1)) == most
