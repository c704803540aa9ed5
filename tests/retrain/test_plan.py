from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskloop.core.errors import DataError
from riskloop.core.settings import GateSettings
from riskloop.core.types import DecisionFrame, Rows, to_micros
from riskloop.retrain.dataset import Pool, pool, unseen_by
from riskloop.retrain.plan import Plan, evaluation_plan

START = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
DAY = timedelta(days=1)
MICROS = DAY // timedelta(microseconds=1)
NO_WINDOW = timedelta(0)


def _plan(rows: Pool, how: str, since: int | None = None, window: timedelta = NO_WINDOW) -> Plan:
    gate = GateSettings.model_validate({"evaluation": how})
    return evaluation_plan(rows, gate, unseen=unseen_by(None, rows), outcome_window=window, since=since)


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
    seen = {"decisions": [[1, 40]], "history": [[0, 199]]}
    gate = GateSettings.model_validate({"evaluation": how})
    plan = evaluation_plan(rows, gate, unseen=unseen_by(seen, rows), outcome_window=NO_WINDOW)
    assert rows.sources[plan.tested].min() == (41 if how == "out_of_fold" else 69)


def test_the_same_default_is_not_learned_from_twice(decisions: DecisionFrame) -> None:
    """Everybody comes back after 40 days: near the test block, the same default may show in both decisions."""
    returning = replace(decisions, customer_ids=[f"c{i % 40}" for i in range(100)])
    rows = pool(None, returning)
    assert _plan(rows, "holdout", window=DAY).splits[0].train.size == 56
    near = _plan(rows, "holdout", window=45 * DAY)
    tested = {rows.rows.ids[i] for i in near.tested.tolist()}
    learned = near.splits[0].train
    assert learned.size == 56 - 24
    assert not tested & {rows.rows.ids[i] for i in learned.tolist()}


def test_too_few_to_test_on(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    for how in ("holdout", "out_of_fold"):
        with pytest.raises(DataError, match="wait until more outcomes"):
            _plan(rows, how, since=START + 79 * MICROS)
