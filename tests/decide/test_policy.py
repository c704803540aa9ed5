import pytest

from riskloop.core.settings import PolicySettings
from riskloop.core.types import Action, Diagnosed, Diagnosis
from riskloop.decide.policy import Situation, decide

FAULT, COVARIATE, PRIOR, CONCEPT, STABLE, FEW = (
    Diagnosis.DATA_FAULT,
    Diagnosis.COVARIATE_SHIFT,
    Diagnosis.PRIOR_SHIFT,
    Diagnosis.CONCEPT_DRIFT,
    Diagnosis.STABLE,
    Diagnosis.NOT_ENOUGH_DATA,
)
HARMED, UNHARMED = Situation(auc_loss=0.03), Situation(auc_loss=0.01)

TABLE = [
    ("on_drift", FAULT, True, Situation(), Action.QUARANTINE),
    ("on_drift", COVARIATE, True, Situation(), Action.RETRAIN),
    ("on_drift", COVARIATE, False, Situation(), Action.NONE),
    ("on_drift", PRIOR, True, Situation(), Action.RECALIBRATE),
    ("on_drift", CONCEPT, True, Situation(), Action.RETRAIN),
    ("on_drift", STABLE, True, Situation(), Action.NONE),
    ("on_drift", FEW, True, Situation(), Action.NONE),
    ("on_harm", COVARIATE, True, Situation(), Action.NONE),
    ("on_harm", COVARIATE, True, UNHARMED, Action.NONE),
    ("on_harm", COVARIATE, True, HARMED, Action.RETRAIN),
    ("on_harm", CONCEPT, True, HARMED, Action.RETRAIN),
    ("on_harm", CONCEPT, False, HARMED, Action.NONE),
    ("on_harm", PRIOR, True, Situation(), Action.RECALIBRATE),
    ("on_harm", FAULT, True, HARMED, Action.QUARANTINE),
    ("scheduled", STABLE, False, Situation(windows_since_training=2), Action.NONE),
    ("scheduled", STABLE, False, Situation(windows_since_training=3), Action.RETRAIN),
    ("scheduled", FAULT, True, Situation(windows_since_training=9), Action.QUARANTINE),
    ("manual", CONCEPT, True, HARMED, Action.NONE),
    ("manual", FAULT, True, Situation(), Action.QUARANTINE),
]


@pytest.mark.parametrize(("name", "diagnosis", "confirmed", "context", "action"), TABLE)
def test_the_table(name: str, diagnosis: Diagnosis, confirmed: bool, context: Situation, action: Action) -> None:
    policy = PolicySettings.model_validate({"name": name, "every": 3, "harm_auc": 0.02})
    assert decide(Diagnosed(diagnosis, confirmed, "", ()), policy, context) is action


@pytest.mark.parametrize("name", ["on_drift", "on_harm", "scheduled", "manual"])
def test_no_policy_learns_from_a_fault(name: str) -> None:
    policy = PolicySettings.model_validate({"name": name, "every": 1})
    for confirmed in (True, False):
        worst = Situation(windows_since_training=99, auc_loss=0.5)
        assert decide(Diagnosed(FAULT, confirmed, "", ()), policy, worst) is Action.QUARANTINE
