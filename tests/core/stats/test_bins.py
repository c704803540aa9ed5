import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskloop.core.errors import DataError
from riskloop.core.stats import BinCounter, Bins, fit_numeric_bins, level_bins
from riskloop.core.types import Floats

NAN, INF = float("nan"), float("inf")
ANY_NUMBER = st.floats(allow_nan=True, allow_infinity=True)


def test_deciles_hold_a_tenth_each() -> None:
    x = np.random.default_rng(0).normal(size=10_000)
    bins = fit_numeric_bins(x)
    assert len(bins) == 11
    assert bins.count(x).tolist() == [1000] * 10 + [0]


def test_ties_merge_and_outer_bins_are_open() -> None:
    x = np.concatenate((np.zeros(800), np.arange(1.0, 201.0)))
    bins = fit_numeric_bins(x)
    assert bins.points == (0.0, 100.0)
    assert bins.count([-5.0, 0.0, 100.0, 1e300, INF, -INF, NAN]).tolist() == [3, 1, 2, 1]


def test_few_distinct_values_get_a_bin_each() -> None:
    bins = fit_numeric_bins([2.0, -1.0, 0.0] * 4 + [NAN])
    assert bins.points == (-1.0, 0.0, 2.0)
    assert bins.labels == ("-1", "0", "2", "unseen", "missing")
    assert bins.count([-1.0, 2.0, 2.0, 1.0, INF, NAN]).tolist() == [1, 0, 2, 2, 1]


def test_a_constant_that_moves_either_way_is_unseen() -> None:
    bins = fit_numeric_bins(np.full(50, 7.0))
    assert bins.count([7.0, 6.0, 8.0]).tolist() == [1, 2, 0]


@pytest.mark.parametrize("reference", [[], [NAN, NAN], [INF, -INF, INF, -INF]])
def test_a_reference_without_a_finite_number_still_counts(reference: list[float]) -> None:
    bins = fit_numeric_bins(reference)
    assert bins.count([1.0, NAN, INF]).tolist() == [2, 1]


def test_a_small_sample_of_a_continuum_is_cut_into_intervals() -> None:
    assert fit_numeric_bins([0.1, 0.2, 0.3]).kind == "intervals"


def test_huge_and_infinite_values_do_not_warn() -> None:
    x = np.concatenate((np.linspace(-1.0, 1.0, 200) * 1.7e308, [INF, -INF, NAN]))
    bins = fit_numeric_bins(x)
    assert np.isfinite(bins.points).all()
    assert bins.count(x).sum() == x.size


def test_levels_unseen_and_missing_have_their_own_bins() -> None:
    bins = level_bins(["school", "university"])
    assert bins.labels == ("school", "university", "unseen", "missing")
    assert bins.count([0.0, 1.0, 1.0, 2.0, NAN, -1.0]).tolist() == [1, 2, 2, 1]


@pytest.mark.parametrize("n_levels", [5, 400])
def test_count_agrees_with_assign_for_few_and_for_many_levels(n_levels: int) -> None:
    bins = level_bins([str(level) for level in range(n_levels)])
    codes = np.random.default_rng(1).integers(0, n_levels + 1, 5000).astype(float)
    codes[::7] = np.nan
    expected = [int(np.sum(codes == k)) for k in range(n_levels + 1)] + [int(np.isnan(codes).sum())]
    assert bins.count(codes).tolist() == expected
    assert np.bincount(bins.assign(codes), minlength=len(bins)).tolist() == expected


@given(reference=st.lists(ANY_NUMBER, max_size=60), x=st.lists(ANY_NUMBER, max_size=60))
def test_every_row_lands_in_one_bin(reference: list[float], x: list[float]) -> None:
    bins = fit_numeric_bins(reference)
    counts = bins.count(x)
    assert counts.shape == (len(bins),) == (len(bins.labels),)
    assert counts.sum() == len(x)
    assert counts[-1] == np.isnan(np.asarray(x, dtype=float)).sum()
    assert np.bincount(bins.assign(x), minlength=len(bins)).tolist() == counts.tolist()


@given(x=st.lists(ANY_NUMBER, max_size=60), cut=st.integers(0, 60))
def test_counts_of_parts_add_up_to_the_whole(x: list[float], cut: int) -> None:
    bins = fit_numeric_bins(x)
    assert (bins.count(x[:cut]) + bins.count(x[cut:])).tolist() == bins.count(x).tolist()


SIDE_BY_SIDE = (
    Bins("intervals", (-1.0, 0.0, 5e-324)),
    Bins("intervals", (0.0, 1.0, 1e308)),
    Bins("values", (-1.0, 0.0, 1.0)),
    Bins("intervals", ()),
    level_bins([str(level) for level in range(300)]),
    Bins("intervals", tuple(float(p) for p in range(-150, 150))),
    Bins("values", (7.0,)),
)
EDGES = st.sampled_from([NAN, -NAN, 0.0, -0.0, 1.0, -1.0, 7.0, 299.0, 5e-324, 1e308, INF, -INF, 0.9999999999999999])


@given(
    rows=st.lists(st.tuples(*[EDGES | ANY_NUMBER] * len(SIDE_BY_SIDE)), max_size=40),
    block=st.integers(1, 50),
    times=st.sampled_from([1, 2, 300]),
)
@settings(deadline=None)
def test_blocks_of_many_columns_are_counted_like_each_column(
    rows: list[tuple[float, ...]], block: int, times: int
) -> None:
    """Also more often than a byte can count."""
    table: Floats = np.asarray(rows, dtype=np.float64).reshape(-1, len(SIDE_BY_SIDE)).T.copy()
    counter = BinCounter(SIDE_BY_SIDE, block)
    for _ in range(times):
        for start in range(0, table.shape[1], block):
            counter.add(table[:, start : start + block])
    counted = counter.counts(times * table.shape[1], times * np.isnan(table).sum(axis=1))
    for bins, column, counts in zip(SIDE_BY_SIDE, table, counted, strict=True):
        assert counts.dtype == np.int64
        assert counts.tolist() == (times * np.bincount(bins.assign(column), minlength=len(bins))).tolist()
        assert counts.tolist() == (times * bins.count(column)).tolist()


def test_a_value_in_every_row_of_many_blocks_is_counted() -> None:
    column = np.full(300 * BinCounter.BLOCK + 5, 1.0)
    assert Bins("values", (1.0, 2.0)).count(column).tolist() == [column.size, 0, 0, 0]
    assert Bins("intervals", (0.0, 2.0)).count(column).tolist() == [0, column.size, 0, 0]


def test_labels_tell_close_points_apart() -> None:
    labels = Bins("intervals", (0.1234561, 0.1234562)).labels
    assert labels == ("up to 0.1234561", "0.1234561 to 0.1234562", "over 0.1234562", "missing")
    assert Bins("intervals", (50_000.0,)).labels[0] == "up to 50,000"


@pytest.mark.parametrize(
    ("kind", "points", "names"), [("curves", (), ()), ("values", (2.0, 1.0), ()), ("values", (1.0,), ("a", "b"))]
)
def test_bins_that_make_no_sense_are_refused(kind: str, points: tuple[float, ...], names: tuple[str, ...]) -> None:
    with pytest.raises(DataError):
        Bins(kind, points, names)  # type: ignore[arg-type]


def test_a_matrix_is_refused() -> None:
    matrix: Floats = np.zeros((2, 2))
    with pytest.raises(DataError, match="one column"):
        fit_numeric_bins([1.0]).count(matrix)
