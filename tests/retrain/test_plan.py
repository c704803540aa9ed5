from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from tests import handmade

from riskloop.core.errors import DataError
from riskloop.core.settings import GateSettings
from riskloop.core.stats import auc
from riskloop.core.types import DecisionFrame, Rows, to_micros
from riskloop.retrain.dataset import Pool, pool, unseen_by
from riskloop.retrain.plan import Plan, evaluation_plan

START = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
DAY = timedelta(days=1)
MICROS = DAY // timedelta(microseconds=1)


def _plan(rows: Pool, how: str, since: int | None = None) -> Plan:
    gate = GateSettings.model_validate({"evaluation": how})
    return evaluation_plan(rows, gate, unseen=unseen_by(None, rows), since=since)


def test_a_holdout_is_the_latest_part_and_is_not_learned_from(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    plan = _plan(rows, "holdout")
    np.testing.assert_array_equal(plan.tested, np.arange(256, 280))  # 30% of 80 matured decisions
    np.testing.assert_array_equal(plan.splits[0].train, np.arange(256))
    assert plan.final is None


def test_blocks_test_every_unseen_decision_once(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    plan = _plan(rows, "out_of_fold")
    assert len(plan.splits) == 4
    np.testing.assert_array_equal(plan.tested, np.arange(200, 280))
    for split in plan.splits:
        assert not set(split.train.tolist()) & set(split.test.tolist())
        assert split.train.size == 260
        assert rows.rows.times[split.test].max() - rows.rows.times[split.test].min() == 19 * MICROS
    assert plan.final is not None
    assert plan.final.size == 280
    np.testing.assert_array_equal(plan.blocks, np.repeat([0, 1, 2, 3], 20))
    assert _plan(rows, "holdout").blocks is None


@pytest.mark.parametrize("how", ["holdout", "out_of_fold"])
def test_after_a_change_only_the_new_world_is_tested_and_some_of_it_learned(
    how: str, history: Rows, decisions: DecisionFrame
) -> None:
    rows = pool(history, decisions)
    since = START + 60 * MICROS
    plan = _plan(rows, how, since)
    assert (rows.rows.times[plan.tested] >= since).all()
    for split in plan.splits:
        assert (rows.rows.times[split.train] >= since).sum() >= 14


@pytest.mark.parametrize("how", ["holdout", "out_of_fold"])
def test_the_champion_has_not_seen_what_is_tested(how: str, history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    seen = handmade.record(decisions=((1, 40),), history=((0, 199),))
    gate = GateSettings.model_validate({"evaluation": how})
    plan = evaluation_plan(rows, gate, unseen=unseen_by(seen, rows))
    assert rows.sources[plan.tested].min() == (41 if how == "out_of_fold" else 69)


@pytest.mark.parametrize("how", ["holdout", "out_of_fold"])
@pytest.mark.parametrize("customers", [3, 17, 40, 79])
def test_no_customer_is_learned_from_and_tested_on(decisions: DecisionFrame, how: str, customers: int) -> None:
    """A default that lasts is the same default in every row of its customer, near and far."""
    returning = replace(decisions, customer_ids=[f"c{i % customers}" for i in range(100)])
    alternate = (np.arange(20) % 2).astype(np.float64)
    history = Rows(decisions.features[:20], [f"c{i}" for i in range(20)], np.zeros(20, dtype=np.int64), alternate)
    rows = pool(history, returning)
    plan = _plan(rows, how)
    tested = np.concatenate([split.test for split in plan.splits])
    assert np.unique(tested).size == tested.size
    if how == "out_of_fold":
        assert tested.size == 80  # every matured decision, once
    for split in plan.splits:
        learned = {rows.rows.ids[i] for i in split.train.tolist()}
        assert not learned & {rows.rows.ids[i] for i in split.test.tolist()}
        assert split.train.size


def test_blocks_of_customers_are_about_equal(decisions: DecisionFrame) -> None:
    returning = replace(decisions, customer_ids=[f"c{i % 40}" for i in range(100)])
    sizes = [split.test.size for split in _plan(pool(None, returning), "out_of_fold").splits]
    assert sizes == [20, 20, 20, 20]


def test_one_customer_cannot_be_learned_from_and_tested_on(decisions: DecisionFrame) -> None:
    alone = replace(decisions, customer_ids=["c"] * 100)
    with pytest.raises(DataError, match="more customers"):
        _plan(pool(None, alone), "out_of_fold")


def test_row_numbers_of_a_history_are_no_customers(history: Rows, decisions: DecisionFrame) -> None:
    numbered = replace(history, ids=[str(i) for i in range(200)])
    same = replace(decisions, customer_ids=[str(i) for i in range(100)])
    assert _plan(pool(numbered, same, identified=False), "out_of_fold").splits[0].train.size == 260
    assert _plan(pool(numbered, same), "out_of_fold").splits[0].train.size == 240


@pytest.mark.parametrize("seed", range(3))
def test_a_book_that_is_scored_every_month_shows_what_new_customers_would(seed: int) -> None:
    """A model that remembers customers looks perfect where their other rows were learned, and is not."""
    rng = np.random.default_rng(seed)
    customers, months = 500, 6
    lasting = (rng.random(customers) < 0.3).astype(np.float64)
    profile = rng.standard_normal((customers, 3)) + 0.5 * lasting[:, None]
    who = np.tile(np.arange(customers), months)
    features = profile[who] + 0.01 * rng.standard_normal((who.size, 3))
    times = START + MICROS * 30 * np.repeat(np.arange(months, dtype=np.int64), customers)
    frame = DecisionFrame(
        ids=np.arange(1, who.size + 1, dtype=np.int64),
        customer_ids=[f"c{i}" for i in who],
        times=times,
        model_versions=np.ones(who.size, dtype=np.int64),
        probabilities=np.full(who.size, 0.3),
        features=features,
        outcomes=lasting[who],
    )
    rows = pool(None, frame)
    found = []
    for split in _plan(rows, "out_of_fold").splits:
        nearest = KNeighborsClassifier(1).fit(rows.rows.features[split.train], rows.labels[split.train])
        found.append(auc(rows.labels[split.test], nearest.predict_proba(rows.rows.features[split.test])[:, 1]))
    fresh = (rng.random(2000) < 0.3).astype(np.float64)
    unknown = rng.standard_normal((2000, 3)) + 0.5 * fresh[:, None]
    whole = KNeighborsClassifier(1).fit(features, lasting[who])
    truth = auc(fresh, whole.predict_proba(unknown)[:, 1])
    assert np.mean(found) == pytest.approx(truth, abs=0.08)
    assert np.mean(found) < 0.75  # remembering them gives 1.0


def test_too_few_to_test_on(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    for how in ("holdout", "out_of_fold"):
        with pytest.raises(DataError, match="wait until more outcomes"):
            _plan(rows, how, since=START + 79 * MICROS)
