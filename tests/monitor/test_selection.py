"""Outcomes of the approved only: the same world must look the same, and another one must not hide behind it."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from riskloop.core.exploration import inclusion_weights
from riskloop.core.types import Bools, Finding, Floats, Severity
from riskloop.monitor.estimate import expected_performance
from riskloop.monitor.matured import Matured
from riskloop.monitor.performance import performance_findings, ranks_worse
from riskloop.monitor.selection import Comparison, inclusion, thinned
from riskloop.simulation import SCENARIOS

from .conftest import USUAL, Month, history, month

ROWS = 2_000
DECISIVE = ("auc", "calibration", "calibration_slope")
MOVED = (Severity.DRIFTED, Severity.SEVERE)


def declined(scores: Floats, share: float, noise: float, seed: int) -> Bools:
    """The riskiest ``share``, by a model that sees ``noise`` beside the score."""
    rng = np.random.default_rng(seed)
    seen = np.log(scores / (1.0 - scores)) + noise * rng.standard_normal(scores.size)
    return seen > np.quantile(seen, 1.0 - share)


def judged(window: Month, outcomes: Floats, **options: object) -> list[Finding]:
    past, known = history(), ~np.isnan(outcomes)
    return performance_findings(
        window.scores,
        outcomes,
        past.scores,
        past.outcomes,
        alpha=0.01,
        expected=lambda: expected_performance(
            past.features, past.scores, past.outcomes, window.features[known], window.scores[known]
        ),
        **options,  # type: ignore[arg-type]
    )


def decided(found: list[Finding]) -> set[str]:
    return {f.check for f in found if f.check in DECISIVE and f.severity in MOVED}


@pytest.mark.parametrize("noise", [0.0, 0.7])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.33])
def test_an_unchanged_world_stays_unchanged_whoever_is_declined(share: float, noise: float) -> None:
    for seed in range(500, 506):
        window = month(ROWS, seed)
        outcomes = np.where(declined(window.scores, share, noise, seed), np.nan, window.outcomes)
        assert decided(judged(window, outcomes)) == set()
        assert not ranks_worse(window.scores, outcomes, history().scores, history().outcomes, alpha=0.01)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_a_recession_does_not_hide_behind_declines(share: float) -> None:
    world = SCENARIOS["recession"].world
    assert world is not None
    recession = month(ROWS, 520, world)
    scores = usual_scores(recession)
    window = Month(recession.features, scores, recession.outcomes, recession.times)
    outcomes = np.where(scores >= np.quantile(scores, 1.0 - share), np.nan, window.outcomes)
    assert decided(judged(window, outcomes))  # of the approved the level, of all applicants the ranking too


def usual_scores(window: Month) -> Floats:
    """What a model of the usual world says of customers of another one."""
    from riskloop.simulation.embedded import FEATURES, _log_odds

    columns = dict(zip(FEATURES, window.features.T, strict=True))
    columns["SEX"] = columns["SEX"] + 1.0
    return 1.0 / (1.0 + np.exp(-_log_odds(columns, USUAL)))


def test_the_restriction_of_range_is_said_beside_the_auc() -> None:
    window = month(ROWS, 530)
    outcomes = np.where(declined(window.scores, 0.2, 0.0, 1), np.nan, window.outcomes)
    auc = next(f for f in judged(window, outcomes) if f.check == "auc")
    known = ~np.isnan(outcomes)
    cut = np.quantile(window.scores, 0.8)
    among = history().scores <= cut
    restricted = roc_auc_score(history().outcomes[among], history().scores[among])
    assert auc.statistic == pytest.approx(roc_auc_score(outcomes[known], window.scores[known]))
    assert auc.details["reference"] == pytest.approx(restricted, abs=0.01)
    whole = roc_auc_score(history().outcomes, history().scores)
    assert auc.details["reference_applicants"] == pytest.approx(whole)
    assert f"{whole:.3f} among all applicants (outcomes are known for 80% of the window" in auc.sentence
    plain = next(f for f in judged(window, window.outcomes) if f.check == "auc")
    assert "applicants" not in plain.sentence
    assert plain.details["reference"] == pytest.approx(whole)


def test_outcomes_that_are_missing_evenly_restrict_nothing() -> None:
    rng = np.random.default_rng(3)
    for seed in range(540, 560):
        window = month(ROWS, seed)
        assert inclusion(window.scores, rng.random(ROWS) < 0.6, history().scores) is None
    assert inclusion(window.scores, np.ones(ROWS, dtype=np.bool_), history().scores) is None
    assert inclusion(window.scores, np.zeros(ROWS, dtype=np.bool_), history().scores) is None
    assert inclusion(window.scores[:30], rng.random(30) < 0.5, history().scores) is None


def test_rows_are_thinned_in_proportion_and_the_same_way_each_time() -> None:
    past = history()
    rows = Matured(past.scores, past.outcomes)
    chances = np.where(past.scores < 0.2, 0.75, 0.1)
    kept = thinned(rows, chances)
    for low, high, chance in ((0.0, 0.1, 0.75), (0.1, 0.2, 0.75), (0.2, 0.5, 0.1), (0.5, 1.0, 0.1)):
        there = np.count_nonzero((past.scores >= low) & (past.scores < high))
        left = np.count_nonzero((kept.probabilities >= low) & (kept.probabilities < high))
        assert abs(left - chance * there) <= 2
    assert np.array_equal(thinned(rows, chances).probabilities, kept.probabilities)
    whole = thinned(rows, np.ones(past.scores.size))
    assert np.array_equal(whole.probabilities, past.scores)


def test_too_few_rows_of_such_scores_are_no_comparison() -> None:
    window = month(ROWS, 561)
    outcomes = np.where(window.scores > np.quantile(window.scores, 0.3), np.nan, window.outcomes)
    few = Comparison.of(window.scores, outcomes, history().scores[:40], history().outcomes[:40])
    assert not few.enough


@pytest.mark.parametrize(("level", "spread"), [(0.0, 1.0), (0.7, 1.0), (-0.7, 1.0), (0.0, 0.5), (0.5, 1.6)])
def test_who_has_an_outcome_is_told_by_ranks_where_the_champion_has_a_scale_of_its_own(
    level: float, spread: float
) -> None:
    """Out of fold a history has another level and spread than the champion's own scores."""

    def own(scores: Floats) -> Floats:
        odds = np.log(scores / (1.0 - scores))
        return np.asarray(1.0 / (1.0 + np.exp(-(level + spread * odds))), dtype=np.float64)

    past, window = history(), month(ROWS, 562)
    outcomes = np.where(window.scores > np.quantile(past.scores, 0.7), np.nan, window.outcomes)
    plain = Comparison.of(window.scores, outcomes, past.scores, past.outcomes)
    scaled = Comparison.of(own(window.scores), outcomes, past.scores, past.outcomes, own=own(past.scores))
    assert scaled.history.outcomes.size == pytest.approx(plain.history.outcomes.size, rel=0.02)
    assert scaled.trained.auc == pytest.approx(plain.trained.auc, abs=0.01)


def test_explored_outcomes_speak_for_all_applicants() -> None:
    """Over many windows the estimate is the truth, and its error is what it says."""
    truth = roc_auc_score(history().outcomes, history().scores)
    deviations = []
    for seed in range(570, 590):
        window = month(ROWS, seed)
        refused = declined(window.scores, 0.3, 0.0, seed)
        explored = refused & (np.random.default_rng(seed).random(ROWS) < 0.1)
        outcomes = np.where(refused & ~explored, np.nan, window.outcomes)
        weights = inclusion_weights(np.where(explored, 0.1, 0.0), refused, ~np.isnan(outcomes))
        found = next(f for f in judged(window, outcomes, stands_for=weights) if f.check == "auc_applicants")
        assert found.severity is Severity.OK
        assert found.statistic is not None
        deviations.append((found.statistic - truth) / found.details["std_error"])
    assert abs(np.mean(deviations)) < 0.8
    assert 0.5 < np.std(deviations) < 1.6
