from datetime import date

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from riskloop.core.errors import ConfigError
from riskloop.core.types import Floats
from riskloop.simulation.embedded import (
    BILLS,
    COLUMNS,
    FEATURES,
    PAY,
    PAYMENTS,
    World,
    month_starts,
    simulate,
    simulate_with_truth,
)

PROTECTED = ("SEX", "MARRIAGE", "AGE")
INPUTS = [name for name in FEATURES if name not in PROTECTED]
JANUARY = date(2024, 1, 1)


@pytest.fixture(scope="module")
def book() -> tuple[pd.DataFrame, Floats]:
    return simulate_with_truth(month_starts(JANUARY, 6), 6_000, seed=1)


def test_columns_kinds_and_ranges(book: tuple[pd.DataFrame, Floats]) -> None:
    frame, true_pd = book
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == len(true_pd) == 36_000
    assert frame["ID"].is_unique
    assert not frame.isna().any().any()
    assert all(frame[name].dtype == np.float64 for name in ("LIMIT_BAL", *BILLS, *PAYMENTS))
    assert all(frame[name].dtype == np.int64 for name in ("ID", "SEX", *PAY, "default"))
    assert set(frame["SEX"]) == {1, 2}
    assert set(frame["EDUCATION"]) <= set(range(7))
    assert set(frame["MARRIAGE"]) <= set(range(4))
    assert frame["AGE"].between(21, 79).all()
    assert all(frame[name].between(-2, 8).all() for name in PAY)
    assert frame["LIMIT_BAL"].between(10_000, 1_000_000).all()
    assert all((frame[name] >= 0).all() for name in PAYMENTS)


def test_dates_are_iso_and_spread_over_the_month() -> None:
    frame = simulate([date(2024, 2, 1)], 580, seed=1)
    assert frame["application_date"].is_monotonic_increasing
    assert frame["application_date"].value_counts().to_dict() == {f"2024-02-{d:02}": 20 for d in range(1, 30)}


def test_month_starts_cross_the_year() -> None:
    assert month_starts(date(2023, 11, 20), 3) == [date(2023, 11, 1), date(2023, 12, 1), date(2024, 1, 1)]


def test_the_seed_decides() -> None:
    first, again, other = (simulate([JANUARY], 200, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first["BILL_AMT1"].equals(other["BILL_AMT1"])


def test_months_are_the_same_alone_and_together() -> None:
    months = month_starts(JANUARY, 3)
    together = simulate(months, 150, seed=5)
    alone = pd.concat([simulate([month], 150, seed=5) for month in months], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)
    assert not simulate(months[:1], 150, seed=5)["AGE"].equals(simulate(months[1:2], 150, seed=5)["AGE"])


def test_default_rate_and_true_pd_agree(book: tuple[pd.DataFrame, Floats]) -> None:
    frame, true_pd = book
    assert 0.21 < frame["default"].mean() < 0.23
    for tenth in np.array_split(np.argsort(true_pd), 10):
        expected = true_pd[tenth].mean()
        error = np.sqrt(expected * (1.0 - expected) / len(tenth))
        assert abs(frame["default"].to_numpy()[tenth].mean() - expected) < 4.0 * error


def test_marginals_are_like_the_real_ones(book: tuple[pd.DataFrame, Floats]) -> None:
    frame, _ = book
    assert 32 <= frame["AGE"].median() <= 36
    assert 120_000 <= frame["LIMIT_BAL"].median() <= 160_000
    assert 0.55 < (frame["SEX"] == 2).mean() < 0.65
    assert 0.09 < (frame["PAY_0"] >= 2).mean() < 0.14
    assert 0.45 < (frame["PAY_0"] == 0).mean() < 0.53
    assert 0.12 < (frame["PAY_AMT1"] == 0).mean() < 0.24
    assert 12_000 < frame["BILL_AMT1"].median() < 26_000


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("BILL_AMT1", "BILL_AMT2", 0.85, 0.96),
        ("BILL_AMT1", "BILL_AMT6", 0.65, 0.85),
        ("PAY_0", "PAY_2", 0.60, 0.80),
        ("PAY_0", "PAY_6", 0.35, 0.55),
        ("PAY_0", "BILL_AMT1", 0.30, 0.50),
        ("BILL_AMT2", "PAY_AMT1", 0.50, 0.70),
        ("LIMIT_BAL", "EDUCATION", -0.32, -0.18),
        ("LIMIT_BAL", "AGE", 0.10, 0.24),
        ("LIMIT_BAL", "PAY_0", -0.34, -0.18),
        ("AGE", "MARRIAGE", -0.55, -0.40),
        ("PAY_0", "default", 0.25, 0.38),
        ("LIMIT_BAL", "default", -0.25, -0.14),
    ],
)
def test_columns_are_correlated(
    book: tuple[pd.DataFrame, Floats], one: str, other: str, low: float, high: float
) -> None:
    frame, _ = book
    assert low < frame[one].corr(frame[other], method="spearman") < high


def test_a_booster_reaches_the_usual_auc_and_a_scorecard_a_little_less(book: tuple[pd.DataFrame, Floats]) -> None:
    frame, true_pd = book
    train, fresh = slice(0, 20_000), slice(20_000, None)
    y = frame["default"].to_numpy()
    booster = LGBMClassifier(num_leaves=8, n_estimators=250, learning_rate=0.05, verbose=-1, n_jobs=2, seed=0)
    booster.fit(frame[INPUTS][train], y[train])
    boosted = roc_auc_score(y[fresh], booster.predict_proba(frame[INPUTS][fresh])[:, 1])

    bins = {name: pd.qcut(frame[name], 8, duplicates="drop", labels=False) for name in INPUTS}
    dummies = pd.get_dummies(pd.DataFrame(bins), columns=INPUTS, drop_first=True, dtype=np.float64).to_numpy()
    scorecard = LogisticRegression(max_iter=500).fit(dummies[train], y[train])
    binned = roc_auc_score(y[fresh], scorecard.predict_proba(dummies[fresh])[:, 1])

    assert 0.765 < boosted < 0.795
    assert 0.755 < binned < boosted - 0.003
    assert boosted < roc_auc_score(y[fresh], true_pd[fresh])


@pytest.mark.parametrize(
    ("world", "column", "direction"),
    [
        (World(age=5.0), "AGE", 1),
        (World(limits=1.0), "LIMIT_BAL", 1),
        (World(distress=1.0), "PAY_0", 1),
        (World(spending=1.0), "BILL_AMT1", 1),
        (World(approved=0.3), "PAY_0", -1),
    ],
)
def test_population_knobs_move_who_applies(world: World, column: str, direction: int) -> None:
    usual, changed = (simulate([JANUARY], 4_000, 3, w)[column] for w in (World(), world))
    assert direction * (changed.mean() - usual.mean()) > 0.2 * usual.std()


@pytest.mark.parametrize("world", [World(base=0.7), World(delay=0.4), World(capacity=0.0), World(leverage=2.0)])
def test_prior_and_concept_knobs_leave_the_features_alone(world: World) -> None:
    usual, usual_pd = simulate_with_truth([JANUARY], 2_000, 3)
    changed, changed_pd = simulate_with_truth([JANUARY], 2_000, 3, world)
    pd.testing.assert_frame_equal(usual[list(FEATURES)], changed[list(FEATURES)])
    assert np.abs(changed_pd - usual_pd).mean() > 0.01
    same_ranking = np.array_equal(np.argsort(usual_pd, kind="stable"), np.argsort(changed_pd, kind="stable"))
    assert same_ranking == (world.base != 0.0)


def test_worlds_interpolate_knob_by_knob() -> None:
    start, end = World(age=2.0), World(approved=0.5, leverage=4.0)
    assert start.towards(end, 0.0) == start
    assert start.towards(end, 1.0) == end
    assert start.towards(end, 0.25) == World(age=1.5, approved=0.875, leverage=1.0)


@pytest.mark.parametrize("approved", [0.0, 1.5, float("nan")])
def test_a_world_approves_a_share(approved: float) -> None:
    with pytest.raises(ConfigError, match=r"World\.approved"):
        World(approved=approved)


@pytest.mark.parametrize(
    ("months", "per_month", "message"),
    [
        ([date(2024, 1, 2)], 10, "2024-01-02 does not start on day 1"),
        ([JANUARY], 0, "between 1 and 999,999"),
        ([JANUARY], 1_000_000, "between 1 and 999,999"),
        ([], 10, "at least one"),
    ],
)
def test_refusals(months: list[date], per_month: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(months, per_month, seed=1)
