from datetime import UTC, datetime

import numpy as np
import pytest

from riskloop.core.settings import ProbationSettings
from riskloop.core.types import Floats, PromotionKind
from riskloop.promote import ProbationState, judge_probation, promote, settle
from riskloop.promote.probation import Estimated, on_probation
from riskloop.store.ledger import Ledger

NOW = datetime(2025, 6, 5, tzinfo=UTC)
SETTINGS = ProbationSettings()


def _models(n: int, new: float, old: float, seed: int = 1) -> tuple[Floats, Floats, Floats]:
    """Labels and the PDs of two binormal scores with class distances ``new`` and ``old``."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.25).astype(np.float64)
    shared = rng.standard_normal(n)
    pds = []
    for distance in (new, old):
        score = distance * labels + 0.95 * shared + (1 - 0.95**2) ** 0.5 * rng.standard_normal(n)
        pds.append(1 / (1 + np.exp(-(distance * score - distance**2 / 2 + np.log(1 / 3)))))
    return labels, pds[0], pds[1]


def test_a_worse_champion_is_found() -> None:
    look = judge_probation(*_models(4000, new=0.8, old=1.1), SETTINGS)
    assert look.state is ProbationState.HARMFUL
    assert "worse" in look.sentence


def test_a_better_one_passes_with_enough_outcomes() -> None:
    look = judge_probation(*_models(4000, new=1.1, old=1.0), SETTINGS)
    assert look.state is ProbationState.PASSED


def test_worse_probabilities_are_harm_too() -> None:
    labels, new, old = _models(4000, new=1.0, old=1.0)
    assert judge_probation(labels, new * 0.5, old, SETTINGS).state is ProbationState.HARMFUL


def test_a_worse_ranking_is_harm_where_the_probabilities_are_no_worse() -> None:
    """The old champion ranks better and says too much everywhere, so that its log loss is the worse one."""
    labels, new, old = _models(4000, new=0.8, old=1.1)
    loud = 3.0 * old / (3.0 * old + 1.0 - old)
    look = judge_probation(labels, new, loud, SETTINGS)
    assert look.state is ProbationState.HARMFUL
    assert [check.name for check in look.checks if not check.passed] == ["auc"]


def test_with_few_outcomes_the_watch_goes_on() -> None:
    assert judge_probation(*_models(60, new=1.0, old=1.0), SETTINGS).state is ProbationState.WATCHING
    some = judge_probation(*_models(300, new=1.0, old=1.0), SETTINGS)
    assert some.state is ProbationState.WATCHING
    assert 0.0 < some.spent < SETTINGS.alpha


@pytest.mark.parametrize(("loss", "low", "high"), [(0.0, 0.0, 0.06), (0.25, 0.9, 1.0)])
def test_rate_of_rollbacks_over_a_whole_probation(loss: float, low: float, high: float) -> None:
    rolled_back = 0
    for seed in range(150):
        labels, new, old = _models(4000, new=1.1 - loss, old=1.1, seed=seed)
        spent = 0.0
        for matured in range(400, 4001, 400):
            look = judge_probation(labels[:matured], new[:matured], old[:matured], SETTINGS, spent=spent)
            spent = look.spent
            if look.state is not ProbationState.WATCHING:
                break
        assert spent <= SETTINGS.alpha + 1e-12
        rolled_back += look.state is ProbationState.HARMFUL
    assert low <= rolled_back / 150 <= high


@pytest.mark.parametrize(("difference", "error", "harmful"), [(-0.06, 0.01, True), (-0.06, 0.03, False)])
def test_an_estimate_has_to_be_beyond_its_error(difference: float, error: float, harmful: bool) -> None:
    look = judge_probation(
        *_models(60, new=1.0, old=1.0), SETTINGS, estimated=Estimated(difference, error, "arXiv 2401.08348")
    )
    assert (look.state is ProbationState.HARMFUL) is harmful


def test_harm_is_rolled_back_once(ledger: Ledger) -> None:
    made = promote(
        ledger,
        2,
        expected_seq=1,
        kind=PromotionKind.GATE,
        at=NOW,
        by="riskloop",
        reason="It is better.",
        evidence={},
        fingerprint="report",
    )
    assert on_probation(ledger.promotions()) == made
    look = judge_probation(*_models(4000, new=0.8, old=1.1), SETTINGS)
    back = settle(ledger, look, made, at=NOW)
    assert back is not None
    assert (back.version, back.kind, back.by) == (1, PromotionKind.PROBATION, "riskloop")
    assert back.evidence["checks"][0]["sizes"]["rows"] == 4000
    assert settle(ledger, look, made, at=NOW) == back
    assert on_probation(ledger.promotions()) is None


def test_no_harm_changes_nothing(ledger: Ledger) -> None:
    look = judge_probation(*_models(4000, new=1.1, old=1.0), SETTINGS)
    champion = ledger.champion()
    assert champion is not None
    assert settle(ledger, look, champion, at=NOW) is None
    assert ledger.champion() == champion


def test_the_first_champion_is_not_on_probation(ledger: Ledger) -> None:
    assert on_probation(ledger.promotions()) is None
    assert on_probation([]) is None
