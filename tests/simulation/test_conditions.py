"""A lender's conditions change what they say and nothing else."""

from datetime import date
from typing import Any

import numpy as np
import pytest

from riskloop.core.stats import auc
from riskloop.simulation import CustomerSource
from riskloop.simulation.conditions import LEVELS, Conditions, Lender
from riskloop.simulation.embedded import ID, TARGET, World, month_starts, simulate_with_truth
from riskloop.simulation.source import Batch, Call

MONTHS = month_starts(date(2021, 1, 1), 6)
SIZE = 1500


def months(source: CustomerSource, rows: int = SIZE, seed: int = 5) -> list[Batch]:
    calls = [Call(month, rows, World(), chosen=False) for month in MONTHS]
    return [next(pool) for pool in source.pools(calls, seed)]


@pytest.mark.parametrize("rate", LEVELS["base_rate"])
@pytest.mark.parametrize("repetition", LEVELS["repetition"])
@pytest.mark.parametrize("correlation", LEVELS["correlation"])
def test_true_pds_hold_whatever_moves_defaults_together(rate: float, repetition: Any, correlation: float) -> None:
    lender = Lender(Conditions(repetition=repetition, correlation=correlation, base_rate=rate), SIZE)
    batches = [batch for seed in range(8) for batch in months(lender, seed=seed)]
    pd = np.concatenate([batch.true_pd for batch in batches if batch.true_pd is not None])
    y = np.concatenate([batch.frame[TARGET] for batch in batches])
    assert pd.mean() == pytest.approx(rate, rel=0.08)
    assert y.mean() == pytest.approx(rate, rel=0.3 if rate < 0.01 else 0.2)
    assert auc(y, pd) > 0.7


def test_the_base_rate_leaves_the_ranking() -> None:
    usual, rare = (months(Lender(Conditions(base_rate=rate), SIZE))[0] for rate in (0.22, 0.005))
    assert usual.true_pd is not None
    assert rare.true_pd is not None
    np.testing.assert_array_equal(np.argsort(usual.true_pd, kind="stable"), np.argsort(rare.true_pd, kind="stable"))


def test_usual_conditions_are_the_embedded_portfolio() -> None:
    frame, pd = simulate_with_truth(MONTHS[:1], SIZE, 5)
    batch = months(Lender(Conditions(), SIZE))[0]
    assert batch.true_pd is not None
    np.testing.assert_array_equal(batch.true_pd, pd)
    assert batch.frame.drop(columns=TARGET).equals(frame.drop(columns=TARGET))


def test_a_panel_is_the_same_people_with_new_accounts_and_lasting_defaults() -> None:
    batches = months(Lender(Conditions(repetition="panel"), SIZE))
    first, second = batches[0].frame, batches[1].frame
    assert (first[ID] == second[ID]).all()
    for who in ("AGE", "SEX", "EDUCATION"):
        assert (first[who] == second[who]).all()
    assert (first["PAY_0"] != second["PAY_0"]).mean() > 0.1
    y = np.array([batch.frame[TARGET] for batch in batches])
    again = y[1][y[0] == 1].mean()
    assert again > 1.5 * y[1].mean(), "who defaulted once is more likely to do so again"
    fewer = months(Lender(Conditions(repetition="panel"), SIZE), rows=100)[0].frame
    assert fewer.equals(first.iloc[:100]), "in a small month the first of them come"


def test_correlated_defaults_move_whole_months() -> None:
    def spread(correlation: float) -> float:
        lender = Lender(Conditions(correlation=correlation), SIZE)
        rates = [batch.frame[TARGET].mean() for seed in range(4) for batch in months(lender, seed=seed)]
        return float(np.std(rates))

    assert spread(0.03) > 2.0 * spread(0.0)


@pytest.mark.parametrize(("width", "columns"), [("card", 23), ("wide", 100), ("levels", 24)])
def test_width_adds_columns(width: Any, columns: int) -> None:
    frame = months(Lender(Conditions(width=width), SIZE))[0].frame
    assert len(frame.columns) == columns + 3  # id, date, target
    if width == "wide":
        assert np.corrcoef(np.log1p(frame["x00"]), np.log1p(frame["LIMIT_BAL"]))[0, 1] > 0.95
    if width == "levels":
        assert frame["dealer"].nunique() > 600


@pytest.mark.parametrize("selection", LEVELS["selection"])
@pytest.mark.parametrize("delivery", LEVELS["delivery"])
def test_feeds_are_told_by_their_conditions(delivery: Any, selection: Any) -> None:
    conditions = Conditions(delivery=delivery, selection=selection)
    kind = conditions.kind()
    assert kind.monthly is (delivery == "monthly")
    assert kind.approved_only is (selection != "all")
    assert (kind.delay.days == 10) is (delivery == "late")
    assert conditions.kind("inverted").labels == "inverted"
    assert any("exploration" in line for line in conditions.settings) is (selection == "explored")
