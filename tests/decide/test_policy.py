import pytest

from riskloop.core.settings import PolicySettings
from riskloop.core.types import Action, Diagnosed, Diagnosis
from riskloop.decide.policy import Context, decide

FAULT, COVARIATE, PRIOR, CONCEPT, STABLE, FEW = (
    Diagnosis.DATA_FAULT,
    Diagnosis.COVARIATE_SHIFT,
    Diagnosis.PRIOR_SHIFT,
    Diagnosis.CONCEPT_DRIFT,
    Diagnosis.STABLE,
    Diagnosis.NOT_ENOUGH_DATA,
)
HARMED, UNHARMED = Context(auc_loss=0.03), Context(auc_loss=0.01)

TABLE = [
    ("on_drift", FAULT, True, Context(), Action.QUARANTINE),
    ("on_drift", COVARIATE, True, Context(), Action.RETRAIN),
    ("on_drift", COVARIATE, False, Context(), Action.NONE),
    ("on_drift", PRIOR, True, Context(), Action.RECALIBRATE),
    ("on_drift", CONCEPT, True, Context(), Action.RETRAIN),
    ("on_drift", STABLE, True, Context(), Action.NONE),
    ("on_drift", FEW, True, Context(), Action.NONE),
    ("on_harm", COVARIATE, True, Context(), Action.NONE),
    ("on_harm", COVARIATE, True, UNHARMED, Action.NONE),
    ("on_harm", COVARIATE, True, HARMED, Action.RETRAIN),
    ("on_harm", CONCEPT, True, HARMED, Action.RETRAIN),
    ("on_harm", CONCEPT, False, HARMED, Action.NONE),
    ("on_harm", PRIOR, True, Context(), Action.RECALIBRATE),
    ("on_harm", FAULT, True, HARMED, Action.QUARANTINE),
    ("scheduled", STABLE, False, Context(windows_since_training=2), Action.NONE),
    ("scheduled", STABLE, False, Context(windows_since_training=3), Action.RETRAIN),
    ("scheduled", FAULT, True, Context(windows_since_training=9), Action.QUARANTINE),
    ("manual", CONCEPT, True, HARMED, Action.NONE),
    ("manual", FAULT, True, Context(), Action.QUARANTINE),
]


@pytest.mark.parametrize(("name", "diagnosis", "confirmed", "context", "action"), TABLE)
def test_the_table(name: str, diagnosis: Diagnosis, confirmed: bool, context: Context, action: Action) -> None:
    policy = PolicySettings.model_validate({"name": name, "every": 3, "harm_auc": 0.02})
    assert decide(Diagnosed(diagnosis, confirmed, "", ()), policy, context) is action


@pytest.mark.parametrize("name", ["on_drift", "on_harm", "scheduled", "manual"])
def test_no_policy_learns_from_a_fault(name: str) -> None:
    policy = PolicySettings.model_validate({"name": name, "every": 1})
    for confirmed in (True, False):
        worst = Context(windows_since_training=99, auc_loss=0.5)
        assert decide(Diagnosed(FAULT, confirmed, "", ()), policy, worst) is Action.QUARANTINE
