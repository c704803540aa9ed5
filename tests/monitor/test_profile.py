from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskloop.core.errors import DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import DAY, Floats, Ints
from riskloop.monitor.profile import SCORE_UNIT, Profile, Profiler, Reference
from riskloop.monitor.sample import RowSample, row_hashes

from .conftest import built, history, month

TINY = Schema(
    features=(Feature("x", nullable=True), Feature("y"), Feature("c", "category", categories=("a", "b"))), target="t"
)
RNG = np.random.default_rng(0)
SMALL = Reference.build(
    TINY, np.column_stack([RNG.normal(size=500), RNG.integers(0, 4, 500), RNG.integers(0, 2, 500)]), RNG.random(500)
)

values = st.sampled_from([np.nan, 0.0, -0.0, 1.0, -3.5, 2.0**60, 1e12, -1e308, np.inf, -np.inf, 0.1])
rows = st.tuples(values, values, values, st.floats(0.0, 1.0), st.integers(-DAY, 3 * DAY))


def profile_of(part: list[tuple[float, ...]]) -> Profile:
    table = np.asarray(part, dtype=np.float64).reshape(-1, 5)
    times: Ints = np.asarray([row[4] for row in part], dtype=np.int64)
    return SMALL.profile(table[:, :3], table[:, 3], times)


@settings(deadline=None, max_examples=200)
@given(st.lists(rows, max_size=60), st.lists(st.integers(0, 3), max_size=60), st.randoms())
def test_the_profile_of_the_parts_is_the_profile_of_the_whole(
    window: list[tuple[float, ...]], parts: list[int], random: Random
) -> None:
    places = (parts + [0] * len(window))[: len(window)]
    whole = profile_of(window)
    total = SMALL.empty
    for number in (2, 0, 3, 1):
        total += profile_of([row for row, place in zip(window, places, strict=True) if place == number])
    assert total.to_bytes() == whole.to_bytes()
    shuffled = list(window)
    random.shuffle(shuffled)
    assert profile_of(shuffled).to_bytes() == whole.to_bytes()
    assert Profile.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


def test_large_windows_merge_exactly_too() -> None:
    """More rows than a block and than the sample holds."""
    window = month(20_000, 3)
    reference = built()
    whole = reference.profile(window.features, window.scores, window.times)
    cuts = [0, 1, 700, 8_192, 8_193, 19_999, 20_000]
    parts = [reference.profile(window.features[a:b], window.scores[a:b], window.times[a:b]) for a, b in pairwise(cuts)]
    assert sum(parts[::-1], reference.empty).to_bytes() == whole.to_bytes()
    assert whole.rows == 20_000
    assert sum(rows for _, rows in whole.days) == 20_000


def test_how_the_rows_lie_in_memory_changes_nothing() -> None:
    window = month(20_000, 3)
    features = window.features.copy()
    features[::5, 2] = np.nan
    features[1::5, 2] = np.frombuffer(np.uint64(0xFFF8000000000123).tobytes())  # another NaN
    features[features == 0.0] = -0.0
    whole = built().profile(features, window.scores)
    wide: Floats = np.zeros((20_000, 2 * features.shape[1]))
    wide[:, ::2] = features
    for same in (np.asfortranarray(features), wide[:, ::2], features[::-1].copy()[::-1], features + 0.0):
        assert built().profile(same, window.scores).to_bytes() == whole.to_bytes()


def test_threads_change_nothing() -> None:
    rows = np.tile(np.arange(20_000), 10)
    window = month(20_000, 3).take(rows)
    alone, together = (built().profile(window.features, window.scores, window.times, threads) for threads in (1, 3))
    assert alone.to_bytes() == together.to_bytes()


def test_counts_are_those_of_the_bins_and_numpy() -> None:
    window = month(3_000, 4).changed(PAY_AMT1=np.where(np.arange(3_000) % 10 == 0, np.nan, 5.0))
    reference = built()
    profile = reference.profile(window.features, window.scores, window.times)
    for j, bins in enumerate(reference.bins):
        np.testing.assert_array_equal(
            profile.counts[j], np.bincount(bins.assign(window.features[:, j]), minlength=len(bins))
        )
    assert profile.missing[list(reference.schema.names).index("PAY_AMT1")] == 300
    assert profile.score_total * SCORE_UNIT / profile.rows == pytest.approx(window.scores.mean(), abs=1e-12)
    np.testing.assert_array_equal(profile.low, np.nanmin(window.features, axis=0))
    np.testing.assert_array_equal(profile.high, np.nanmax(window.features, axis=0))
    day, rows = np.unique(window.times // DAY, return_counts=True)
    np.testing.assert_array_equal(profile.days, np.column_stack((day, rows)))


def test_a_row_far_outside_is_counted_and_hides_nothing() -> None:
    window = month(2_000, 5)
    limit = window.column("LIMIT_BAL")
    limit[0] = 1e12
    changed = window.changed(LIMIT_BAL=limit)
    before, after = (built().profile(w.features, w.scores) for w in (window, changed))
    assert int(after.above.sum()) == int(before.above.sum()) + 1
    assert np.abs(after.counts[0] - before.counts[0]).sum() <= 2


def test_profiles_over_other_bins_are_not_added() -> None:
    window = month(100, 6)
    other = Reference.build(built().schema, history().features[:500], history().scores[:500])
    with pytest.raises(DataError, match="different bins"):
        built().profile(window.features, window.scores) + other.profile(window.features, window.scores)


def test_bytes_that_are_no_profile_are_refused() -> None:
    with pytest.raises(DataError, match="not a stored profile"):
        Profile.from_bytes(b"nonsense")
    with pytest.raises(DataError, match="columns and one score a row"):
        built().profile(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(DataError, match="no rows"):
        Reference.build(TINY, np.empty((0, 3)), np.empty(0))


# --------------------------------------------------------------------------- the row sample


def sampled(rows: Floats, capacity: int = 100) -> RowSample:
    return RowSample.of(row_hashes(np.ascontiguousarray(rows.T)), rows, capacity)


def test_the_sample_is_uniform_over_the_rows() -> None:
    values = np.arange(100_000, dtype=np.float64)
    rows = np.column_stack((values, values % 7))
    kept = sampled(rows, 2_048).rows[:, 0]
    # Of uniform numbers, tenths hold equal shares: χ² with 9 degrees of freedom, 27.9 at 0.001.
    counts = np.bincount((kept // 10_000).astype(np.int64), minlength=10)
    assert float((np.square(counts - 204.8) / 204.8).sum()) < 27.9


def test_copies_are_counted() -> None:
    rows = np.column_stack((np.arange(50.0), np.arange(50.0)))
    twice = sampled(np.concatenate((rows, rows, rows[:1])))
    assert twice.repeats == 51
    assert sorted(twice.copies.tolist()) == [2] * 49 + [3]
    assert len(twice.expanded) == 101


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=400), st.integers(1, 40))
def test_the_sample_is_of_the_smallest_hashes_with_all_their_copies(drawn: list[int], capacity: int) -> None:
    rows: Floats = np.asarray(drawn, dtype=np.float64)[:, None]
    hashes = row_hashes(np.ascontiguousarray(rows.T))
    sample = RowSample.of(hashes, rows, capacity)
    expected = sorted(Counter(hashes.tolist()).items())[:capacity]
    assert list(zip(sample.hashes.tolist(), sample.copies.tolist(), strict=True)) == expected
    assert row_hashes(np.ascontiguousarray(sample.rows.T)).tolist() == sample.hashes.tolist()


def test_copies_are_counted_wherever_they_are_in_a_large_window() -> None:
    """Copies of rows in the first block come after more rows than a first bound is taken from."""
    rng = np.random.default_rng(1)
    rows = np.column_stack((rng.permutation(60_000).astype(np.float64), rng.normal(size=60_000)))
    rows = np.concatenate((rows, rows[:9_000], rows[:4_000]))
    hashes = row_hashes(np.ascontiguousarray(rows.T))
    smallest, copies = np.unique(hashes, return_counts=True)
    sample = RowSample.of(hashes, rows)
    assert sample.hashes.tolist() == smallest[:2_048].tolist()
    assert sample.copies.tolist() == copies[:2_048].tolist()
    parts = [RowSample.of(hashes[i : i + 8_000], rows[i : i + 8_000]) for i in range(0, len(rows), 8_000)]
    merged = sum(parts, RowSample.empty(2))
    np.testing.assert_array_equal(merged.copies, sample.copies)
    np.testing.assert_array_equal(merged.rows, sample.rows)


def test_whole_amounts_have_different_hashes() -> None:
    grid = np.stack(np.meshgrid(np.arange(300.0) * 1e4, np.arange(300.0)), axis=-1).reshape(-1, 2)
    assert np.unique(row_hashes(np.ascontiguousarray(grid.T))).size == len(grid)


def test_another_process_profiles_over_the_same_bins() -> None:
    window = np.asarray([[0.1, 2.0, 1.0], [np.nan, 7.0, 0.0], [-1e300, 1.0, 3.0]])
    scores, times = np.array([0.1, 0.9, 0.5]), np.array([0, DAY, 3 * DAY])
    sent = Profiler.from_bytes(SMALL.profiler.to_bytes())
    assert sent(window, scores, times) == SMALL.profile(window, scores, times).to_bytes()
