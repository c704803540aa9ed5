from datetime import UTC, datetime

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from riskloop.core.settings import ProbationSettings
from riskloop.core.stats import paired_delong
from riskloop.core.types import Floats, PromotionKind
from riskloop.promote import ProbationState, judge_probation, promote, settle
from riskloop.promote.probation import Earlier, Estimated, on_probation
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


def _earlier(n: int, new: float, old: float, seed: int = 7) -> Earlier:
    """What the gate saw, in four blocks, of customers who do not come again."""
    labels, ours, theirs = _models(n, new, old, seed)
    return Earlier(labels, ours, theirs, np.arange(n) * 4 // n, 1_000_000 + np.arange(n))


def test_a_world_that_may_come_back_is_not_unlearned_at_once() -> None:
    """The champion of a recession stays through calm months, until these outweigh what the recession showed."""
    earlier = _earlier(3000, new=1.2, old=0.7)
    labels, new, old = _models(20_000, new=0.95, old=1.1)
    spent, harmed, states = 0.0, False, []
    for matured in (2000, 4000, 20_000):
        since = labels[:matured], new[:matured], old[:matured]
        assert judge_probation(*since, SETTINGS).state is ProbationState.HARMFUL
        look = judge_probation(*since, SETTINGS, spent=spent, harmed=harmed, earlier=earlier)
        states.append(look.state)
        spent, harmed = look.spent, look.state is ProbationState.OUTWEIGHED
    assert states == [ProbationState.OUTWEIGHED, ProbationState.OUTWEIGHED, ProbationState.HARMFUL]
    assert spent <= SETTINGS.alpha + 1e-12
    assert {check.name for check in look.checks if not check.passed} >= {"auc", "auc_over_all"}


def test_where_the_world_comes_back_the_champion_passes() -> None:
    look = judge_probation(
        *_models(4000, new=1.2, old=0.8), SETTINGS, spent=SETTINGS.alpha, harmed=True, earlier=_earlier(3000, 1.2, 0.7)
    )
    assert look.state is ProbationState.PASSED


def test_what_luck_promoted_is_not_held() -> None:
    """A gain that only just passed the gate does not outweigh harm in the same world."""
    kept = 0
    for seed in range(20):
        earlier = next(
            found
            for draw in range(1000)
            for found in [_earlier(1500, new=1.1, old=1.1, seed=1000 * seed + draw)]
            if paired_delong(found.labels, found.old, found.new, found.blocks).p_one_sided <= 0.05
        )
        look = judge_probation(*_models(4000, new=0.9, old=1.1, seed=seed), SETTINGS, earlier=earlier)
        kept += look.state is not ProbationState.HARMFUL
    assert kept <= 1


def test_probabilities_are_weighed_over_all_alike() -> None:
    labels, _, old = _models(3000, new=1.0, old=1.0)
    good = _earlier(3000, new=1.0, old=1.0)
    loud = np.clip(3.0 * good.old, None, 0.99)  # what the old champion said in the world that it did not know
    earlier = Earlier(good.labels, good.new, loud, good.blocks, good.customers)
    low = old * 0.6
    assert judge_probation(labels, low, old, SETTINGS).state is ProbationState.HARMFUL
    look = judge_probation(labels, low, old, SETTINGS, earlier=earlier)
    assert look.state is ProbationState.OUTWEIGHED
    checks = {check.name: check for check in look.checks}
    both = [np.concatenate(pair) for pair in ((good.labels, labels), (good.new, low), (loud, old))]
    ours, theirs = log_loss(both[0], both[1]), log_loss(both[0], both[2])
    assert f"{ours - theirs:.4f}".replace("-", "\u2212") in checks["log_loss_over_all"].sentence


def test_the_mean_gain_counts_every_default_alike() -> None:
    earlier = _earlier(2000, new=1.2, old=0.6)
    labels, new, old = _models(1000, new=0.7, old=1.2)
    look = judge_probation(labels, new, old, SETTINGS, earlier=earlier)
    blocks = [earlier.blocks == block for block in range(4)]
    pairs = np.array([earlier.labels[b].sum() * (1.0 - earlier.labels[b]).sum() for b in blocks])
    gains = [
        roc_auc_score(earlier.labels[b], earlier.new[b]) - roc_auc_score(earlier.labels[b], earlier.old[b])
        for b in blocks
    ]
    loss = roc_auc_score(labels, new) - roc_auc_score(labels, old)
    counts = np.array([earlier.labels.sum(), labels.sum()])
    mean = counts @ [pairs @ gains / pairs.sum(), loss] / counts.sum()
    assert f"{abs(mean):.4f}" in next(c for c in look.checks if c.name == "auc_over_all").sentence


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
