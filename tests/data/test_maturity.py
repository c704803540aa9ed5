from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Rows, to_micros
from riskloop.data.maturity import lessons

DAY = 86_400_000_000
START = to_micros(datetime(2024, 1, 1, tzinfo=UTC))
WITH_ID = Schema((Feature("x"), Feature("z")), target="y", id="id", time="day")
WITHOUT = Schema((Feature("x"), Feature("z")), target="y")


def history(n: int = 6000, days: int = 360, seed: int = 0) -> tuple[Rows, np.ndarray]:
    """Labels as they are known on the last day: a default shows itself within 90 days. And the final labels."""
    rng = np.random.default_rng(seed)
    day = np.sort(rng.integers(0, days, n))
    final = (rng.random(n) < 0.22).astype(np.float64)
    shown = day + rng.integers(0, 90, n) <= days
    rows = Rows(rng.normal(size=(n, 2)), [str(i) for i in range(n)], START + day * DAY, final * shown)
    return rows, final


def test_rows_whose_outcome_is_not_final_are_left_out_with_their_number() -> None:
    rows, final = history()
    learned = lessons(rows, WITH_ID, timedelta(days=90), 5)
    assert rows.target is not None
    assert learned.rows.target is not None
    assert rows.target[rows.times > rows.times.max() - 90 * DAY].mean() < 0.15
    assert learned.rows.times.max() == max(t for t in rows.times.tolist() if t + 90 * DAY <= rows.times.max())
    assert learned.immature == len(rows) - len(learned.rows)
    np.testing.assert_array_equal(learned.rows.target, final[: len(learned.rows)])
    assert f"{learned.immature:,} rows are left out" in learned.sentences[0]
    assert "--complete-until" in learned.sentences[0]


@pytest.mark.parametrize(("year", "month", "days"), [(2025, 6, 360), (2024, 7, 92)])
def test_a_watermark_says_what_is_final(year: int, month: int, days: int) -> None:
    rows, _ = history()
    learned = lessons(rows, WITH_ID, timedelta(days=90), 5, datetime(year, month, 1, tzinfo=UTC))
    assert learned.rows.times.max() == pytest.approx(START + days * DAY, abs=2 * DAY)
    assert (learned.immature == 0) == (days == 360)


def test_where_too_little_would_be_left_the_rows_stay_and_it_is_said() -> None:
    rows, _ = history(days=100)
    learned = lessons(rows, WITH_ID, timedelta(days=365), 5)
    assert len(learned.rows) == len(rows)
    assert "they are kept" in learned.sentences[0]


def test_a_window_that_would_take_most_rows_takes_none() -> None:
    """A year, which `init` writes where nobody knows, on 18 months of rows."""
    rows, _ = history(days=540)
    learned = lessons(rows, WITH_ID, timedelta(days=365), 5)
    assert (learned.immature, len(learned.rows)) == (0, len(rows))
    assert "they are kept" in learned.sentences[0]


def test_without_times_nothing_can_be_immature() -> None:
    rows, _ = history()
    timeless = Rows(rows.features, rows.ids, np.zeros(len(rows), dtype=np.int64), rows.target)
    learned = lessons(timeless, WITH_ID, timedelta(days=90), 5)
    assert (learned.immature, learned.customers, list(learned.sentences)) == (0, len(rows), [])


def test_customers_who_come_again_are_counted() -> None:
    rows, _ = history()
    twice = Rows(rows.features, [str(i // 2) for i in range(len(rows))], rows.times, rows.target)
    learned = lessons(twice, WITH_ID, timedelta(days=1), 5)
    assert learned.customers == pytest.approx(len(learned.rows) / 2, abs=1)
    assert f"of {learned.customers:,} customers" in learned.sentences[-1]


def test_without_an_id_equal_rows_are_one_customers() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2))
    x[::9, 1] = np.nan
    features = np.concatenate((x, x[:300]))
    rows = Rows(features, [str(i) for i in range(1300)], np.zeros(1300, dtype=np.int64), np.ones(1300))
    learned = lessons(rows, WITHOUT, timedelta(days=1), 5)
    assert learned.customers == 1000
    assert learned.rows.ids[1000:] == learned.rows.ids[:300]
    assert "300 of 1,300 rows repeat another row" in learned.sentences[0]


def test_coarse_columns_make_equal_rows_by_chance() -> None:
    rows = Rows(
        np.random.default_rng(0).integers(0, 3, (1000, 2)).astype(float),
        [str(i) for i in range(1000)],
        np.zeros(1000, dtype=np.int64),
        np.ones(1000),
    )
    assert lessons(rows, WITHOUT, timedelta(days=1), 5).customers == 1000
