"""Which steps of the level outcomes leave open: those that would not have shown are never excluded."""

import numpy as np
import pytest
from scipy.special import expit

from riskloop.core.findings import DeclaredCheck
from riskloop.core.types import Severity
from riskloop.monitor.labels import RANKED, ranked_otherwise
from riskloop.monitor.reports import DAY, Reports
from riskloop.monitor.steps import LevelStep, level_steps, step_doubt

MONTH = 30 * DAY
LEARNED = 0.04


def reported(seed: int, per_month: int, rate: float, kept: float, broken: int, monthly: bool) -> Reports:
    """Six months of reports, of which the latest ``broken`` ones name only ``kept`` of the defaults."""
    rng = np.random.default_rng(seed)
    n = 6 * per_month
    p = expit(np.log(rate / (1.0 - rate)) + 0.8 * rng.standard_normal(n))
    number = np.repeat(np.arange(6), per_month)
    decided = number * MONTH + np.arange(n) % per_month * MONTH // per_month
    at = (number + 2) * MONTH + 5 * DAY if monthly else decided + MONTH
    y = (rng.random(n) < np.where(number >= 6 - broken, kept, 1.0) * p).astype(np.float64)
    return Reports(np.arange(n), np.arange(n), y, p, decided, at)


@pytest.mark.parametrize("monthly", [False, True])
@pytest.mark.parametrize("broken", [1, 4])
@pytest.mark.parametrize(("per_month", "rate"), [(1_000, 0.22), (1_000, 0.03), (2_000, 0.005)])
def test_forty_percent_fewer_are_never_excluded(per_month: int, rate: float, broken: int, monthly: bool) -> None:
    asked = []
    for seed in range(10):
        steps = level_steps(reported(seed, per_month, rate, 0.6, broken, monthly), 0.0, LEARNED)
        asked.append(step_doubt(steps, 0.4, ranked=False) is not None)
    assert np.mean(asked) >= 0.8, "an end is wrong in 5%"


@pytest.mark.parametrize("monthly", [False, True])
def test_many_sound_outcomes_ask_nobody_and_few_do(monthly: bool) -> None:
    def asked(rate: float, correlation: float) -> float:
        found = [level_steps(reported(seed, 2_000, rate, 1.0, 0, monthly), correlation, LEARNED) for seed in range(8)]
        return float(np.mean([step_doubt(steps, 0.4, ranked=False) is not None for steps in found]))

    assert asked(0.22, 0.0) == 0.0
    assert asked(0.22, 0.005) == 0.0
    assert asked(0.22, 0.1) > 0.8, "a month that moves as much hides a step"
    assert asked(0.005, 0.0) > 0.7, "ten defaults a month exclude nothing"


def test_each_month_of_reports_is_a_step_of_its_own() -> None:
    """A definition of the latest month is one month's; the six months together hide it."""
    given = reported(1, 2_000, 0.22, 0.6, 1, False)
    steps = level_steps(given, 0.0, LEARNED)
    assert [step.since for step in steps] == sorted((step.since for step in steps), reverse=True)
    assert steps[0].lower
    assert not steps[-1].within(0.05)
    assert steps[-1].within(0.4)
    said = step_doubt(steps, 0.4, ranked=False)
    assert said is not None
    assert "does not exclude a step of the level by 40%" in said
    files = level_steps(reported(1, 2_000, 0.22, 0.6, 1, True), 0.0, LEARNED)
    assert len(files) == 6, "one for each file"


def test_nothing_is_excluded_where_nothing_is_known_of_the_level() -> None:
    steps = level_steps(reported(1, 2_000, 0.22, 1.0, 0, False), 0.0, None)
    assert all((step.fewest, step.most) == (0.0, np.inf) for step in steps)
    assert "between any lower one and any higher one" in (step_doubt(steps, 0.4, ranked=False) or "")
    nobody = np.zeros(0, dtype=np.int64)
    empty = Reports(nobody, nobody, nobody.astype(np.float64), nobody.astype(np.float64), nobody, nobody)
    assert level_steps(empty, 0.0, LEARNED) == []
    assert step_doubt([], 0.4, ranked=False) is None


def test_a_world_that_ranks_otherwise_explains_more_defaults_and_not_fewer() -> None:
    more, fewer = LevelStep(0, 150, 100.0, 1.2, 1.8), LevelStep(0, 60, 100.0, 0.45, 0.8)
    assert step_doubt([more], 0.4, ranked=False) is not None
    assert step_doubt([more], 0.4, ranked=True) is None
    assert "The ranking has changed, too" in (step_doubt([more, fewer], 0.4, ranked=True) or "")


@pytest.mark.parametrize("check", RANKED)
def test_one_odd_ranking_long_ago_is_no_other_world(check: str) -> None:
    declared = DeclaredCheck(check, "a ranking", "this test")
    moved = [declared.finding("window", Severity.DRIFTED, (900, 0), "it moved")]
    calm = [declared.finding("window", Severity.OK, (900, 0), "it did not")]
    assert not ranked_otherwise([])
    assert not ranked_otherwise([moved, calm, calm])
    assert ranked_otherwise([calm, calm, moved])
    assert ranked_otherwise([moved, moved, calm])
