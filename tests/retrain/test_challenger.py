import pytest

from riskloop.core.errors import DataError
from riskloop.core.settings import RetrainSettings, TrainSettings
from riskloop.core.types import Action, Diagnosis
from riskloop.retrain.challenger import ChallengerPlan, affordable, plan_challenger


def _plan(action: Action, diagnosis: Diagnosis, rows: int = 10_000) -> ChallengerPlan:
    return plan_challenger(
        action,
        diagnosis,
        champion_learner="lightgbm",
        rows=rows,
        train=TrainSettings(),
        retrain=RetrainSettings(),
    )


ORDERS = [
    (Action.RECALIBRATE, Diagnosis.PRIOR_SHIFT, "recalibrate", "recalibrate", 0, 1),
    (Action.RETRAIN, Diagnosis.COVARIATE_SHIFT, "refit", "retrain", 1, 2),
    (Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, "reselect", "retrain", 3, 1),
    (Action.RETRAIN, Diagnosis.STABLE, "reselect", "retrain", 3, 1),  # scheduled
]


@pytest.mark.parametrize(("action", "diagnosis", "kind", "origin", "learners", "candidates"), ORDERS)
def test_what_is_fitted(
    action: Action, diagnosis: Diagnosis, kind: str, origin: str, learners: int, candidates: int
) -> None:
    plan = _plan(action, diagnosis)
    assert (plan.kind, plan.origin) == (kind, origin)
    assert len(plan.learners) == learners
    assert len(plan.weightings) == candidates
    assert plan.sentence.endswith(".")


@pytest.mark.parametrize("action", [Action.NONE, Action.QUARANTINE])
def test_other_actions_fit_nothing(action: Action) -> None:
    with pytest.raises(DataError, match="makes no challenger"):
        _plan(action, Diagnosis.DATA_FAULT)


def test_with_many_rows_only_the_champions_learner_is_affordable() -> None:
    plan = _plan(Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, rows=1_000_000)
    assert plan.learners == ("lightgbm",)
    assert "would take longer than 60 s" in plan.sentence


def test_the_cheaper_learners_come_first() -> None:
    names = ("mine", "hist_gradient_boosting", "scorecard")
    assert affordable(names, "lightgbm", rows=100_000, fits=10, seconds=40.0) == (
        "lightgbm",
        "scorecard",
        "hist_gradient_boosting",
    )
    assert affordable(names, "mine", rows=100_000, fits=10, seconds=1.0) == ("mine",)
