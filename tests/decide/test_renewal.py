import pytest

from riskloop.core.settings import PolicySettings
from riskloop.core.types import Diagnosis
from riskloop.decide.policy import renews


@pytest.mark.parametrize(
    ("policy", "diagnosis", "learned", "known", "expected"),
    [
        ("on_drift", Diagnosis.CONCEPT_DRIFT, 1000, 2000, True),
        ("on_drift", Diagnosis.CONCEPT_DRIFT, 1000, 1999, False),
        ("on_harm", Diagnosis.COVARIATE_SHIFT, 1000, 2500, True),
        ("on_drift", Diagnosis.PRIOR_SHIFT, 1000, 9000, False),  # two numbers were learned; more rows hardly help
        ("on_drift", Diagnosis.CONCEPT_DRIFT, 0, 9000, False),
        ("scheduled", Diagnosis.CONCEPT_DRIFT, 1000, 9000, False),  # its schedule does it
        ("manual", Diagnosis.CONCEPT_DRIFT, 1000, 9000, False),
    ],
)
def test_a_new_world_is_learned_again_when_it_has_doubled(
    policy: str, diagnosis: Diagnosis, learned: int, known: int, expected: bool
) -> None:
    settings = PolicySettings.model_validate({"name": policy})
    assert renews(diagnosis, settings, learned=learned, known=known) is expected


def test_a_factor_of_one_never_renews() -> None:
    assert not renews(Diagnosis.CONCEPT_DRIFT, PolicySettings(renew=1.0), learned=10, known=1000)
