"""The arithmetic of LoopBench, on rows whose answer is plain."""

import math
from pathlib import Path

import pytest

from benchmarks._looptable import goals, summary, told
from benchmarks.loop import Task, changed, play
from riskloop.core.settings import parse_settings
from riskloop.core.types import Json


def _row(scenario: str, truth: str, policy: str, end: float, **other: object) -> Json:
    plain = {"regret": 0.0, "retrainings": 0, "false": 0, "on_faults": 0, "delay": None, "promotions": 0}
    return {
        "scenario": scenario,
        "seed": 1,
        "truth": truth,
        "policy": policy,
        "auc": [0.8] * 9 + [end] * 3,
        **plain,
        "judged": 0,
        "wrong": 0,
        **other,
    }


def test_recovery_is_the_mean_over_scenarios_that_lost_something() -> None:
    rows = [
        *(_row("recession", "concept_drift", name, end) for name, end in (("never", 0.70), ("oracle", 0.78))),
        _row("recession", "concept_drift", "loop", 0.76, delay=2, promotions=2, judged=2, wrong=1, retrainings=2),
        *(_row("ageing", "covariate_shift", name, end) for name, end in (("never", 0.78), ("oracle", 0.782))),
        _row("ageing", "covariate_shift", "loop", 0.77),
        *(_row("nulls", "data_fault", name, 0.8) for name in ("never", "oracle", "loop")),
    ]
    loop = summary(rows)["loop"]
    assert loop["recovered"] == pytest.approx(0.75)  # ageing lost too little to count
    assert loop["missed"] == 1
    assert loop["delay"] == 2
    assert loop["wrong"] / loop["judged"] == 0.5
    assert loop["worst_scenario"] == "ageing"
    assert loop["worst_gain"] == pytest.approx(-0.01 * 3 / 12)


def test_goals_say_what_is_reached_and_what_is_missed() -> None:
    rows = [
        *(_row("recession", "concept_drift", name, end) for name, end in (("never", 0.70), ("oracle", 0.78))),
        _row("recession", "concept_drift", "on_drift", 0.775, retrainings=3, promotions=2, judged=2, wrong=1),
        _row("recession", "concept_drift", "always", 0.77, retrainings=12),
        _row("recession", "concept_drift", "cbpe", 0.72, retrainings=1),
        *(_row("stable", "stable", name, 0.8) for name in ("never", "oracle", "on_drift")),
    ]
    found = goals(summary(rows), ("always", "cbpe", "not played"))
    reached = {goal["goal"].split(",")[0]: goal["reached"] for goal in found if "no worse" not in goal["goal"]}
    assert reached == {
        "recovered": True,
        "retrainings on faults": True,
        "wrong promotions": False,
        "retrainings on a stable stream": True,
        "stable streams that lose AUC": True,
        "gain over never in the worst scenario": True,
    }
    assert [goal["reached"] for goal in found if "no worse" in goal["goal"]] == [True, False]  # cbpe retrained less
    assert sum(line.startswith("MISSED") for line in told(found)) == 2


def test_settings_are_changed_one_by_one() -> None:
    settings = parse_settings('[portfolio]\ntarget = "y"\n[features.x]\n')
    other = changed(settings, ["drift.confirm = 1", 'retrain.weighting = "credibility"'])
    assert (other.drift.confirm, other.retrain.weighting) == (1, "credibility")
    assert other.portfolio == settings.portfolio


def test_a_short_stream_is_played_under_a_loop_and_under_a_trigger(tmp_path: Path) -> None:
    task = Task("units_x100", 3, ("manual", "psi > 0.25"), 5, 300, None, ('train.learners = ["scorecard"]',))
    rows = {row["policy"]: row for row in play(task, tmp_path)}
    assert list(rows) == ["never", "manual", "psi > 0.25", "oracle"]
    assert rows["manual"]["auc"] == rows["never"]["auc"]
    assert rows["manual"]["diagnoses"][3:] == ["data_fault", "data_fault"]
    assert rows["psi > 0.25"]["on_faults"] >= 1, "an amount in cents is what a PSI alone retrains on"
    assert rows["never"]["regret"] == 0.0
    assert all(math.isfinite(value) for value in rows["oracle"]["auc"])
