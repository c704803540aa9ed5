import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from riskloop.core.errors import DataError
from riskloop.core.stats import (
    PairedDeLong,
    auc,
    auc_interval,
    defaults_needed,
    delong_variance,
    gini,
    ks_statistic,
    paired_delong,
    weighted_auc_gain,
)
from riskloop.core.types import Bools, Floats


def brute_placements(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """V₁₀ and V₀₁ straight from the definition, O(mn)."""
    wins = np.array([[0.5 if a == b else float(a > b) for b in scores[~labels]] for a in scores[labels]], dtype=float)
    return wins.mean(axis=1), wins.mean(axis=0)


def sample(seed: int, n: int = 120, decimals: int = 1) -> tuple[Bools, Floats, Floats]:
    """Outcomes and two correlated scores with many ties."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    labels = rng.random(n) < 1.0 / (1.0 + np.exp(1.0 - risk))
    noisy = risk + rng.normal(scale=0.7, size=n)
    return labels, noisy.round(decimals), (risk + rng.normal(scale=0.5, size=n)).round(decimals)


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_auc_and_gini_agree_with_sklearn_and_the_definition(decimals: int) -> None:
    labels, scores, _ = sample(1, decimals=decimals)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert auc(labels, scores) == pytest.approx(brute_placements(labels, scores)[0].mean(), abs=1e-12)
    assert gini(labels, scores) == pytest.approx(2.0 * roc_auc_score(labels, scores) - 1.0, abs=1e-12)


def test_ties_count_exactly_half() -> None:
    assert auc([0, 1, 0, 1], [3.0, 3.0, 3.0, 3.0]) == 0.5
    assert auc([0, 0, 1, 1], [1.0, 2.0, 2.0, 3.0]) == 0.875


def test_infinite_scores_are_ranked() -> None:
    assert auc([0, 1, 1], [-math.inf, 0.0, math.inf]) == 1.0


def test_ks_agrees_with_scipy() -> None:
    labels, scores, _ = sample(2)
    expected = stats.ks_2samp(scores[labels], scores[~labels]).statistic
    assert ks_statistic(labels, scores) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_delong_agrees_with_brute_force(seed: int) -> None:
    labels, champion, challenger = sample(seed)
    m, n = labels.sum(), (~labels).sum()
    first, second = brute_placements(labels, champion), brute_placements(labels, challenger)
    s10, s01 = np.cov(first[0], second[0]), np.cov(first[1], second[1])
    covariance = s10 / m + s01 / n
    variance = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    difference = second[0].mean() - first[0].mean()

    assert delong_variance(labels, champion) == pytest.approx(covariance[0, 0], abs=1e-10)
    result = paired_delong(labels, champion, challenger)
    assert result.difference == pytest.approx(difference, abs=1e-10)
    assert result.std_error == pytest.approx(math.sqrt(variance), abs=1e-10)
    assert result.p_one_sided == pytest.approx(stats.norm.sf(difference / math.sqrt(variance)), abs=1e-10)
    assert (result.defaults, result.non_defaults) == (m, n)
    assert result.auc_challenger - result.auc_champion == result.difference


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40))
def test_auc_of_reversed_scores_is_its_complement(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    if labels.all() or not labels.any():
        with pytest.raises(DataError):
            auc(labels, scores)
    else:
        assert auc(labels, -scores) == pytest.approx(1.0 - auc(labels, scores), abs=1e-15)
        assert auc(labels, np.exp(scores)) == auc(labels, scores)


def test_scores_that_rank_alike_give_no_evidence() -> None:
    labels, scores, _ = sample(3)
    result = paired_delong(labels, scores, np.exp(scores))
    assert (result.difference, result.std_error, result.z, result.p_one_sided) == (0.0, 0.0, 0.0, 1.0)
    assert defaults_needed(result, 0.01) == 0


def test_a_difference_without_variance_is_infinitely_many_errors() -> None:
    labels = [0, 0, 0, 1, 1, 1]
    up, flat = [1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0]
    assert paired_delong(labels, flat, up).z == math.inf
    assert paired_delong(labels, flat, up).p_one_sided == 0.0
    assert paired_delong(labels, up, flat).p_one_sided == 1.0


def test_p_value_keeps_its_digits_in_the_far_tail() -> None:
    labels, champion, _ = sample(4, n=4000)
    result = paired_delong(labels, np.random.default_rng(0).normal(size=4000), champion)
    assert 0.0 < result.p_one_sided == pytest.approx(stats.norm.sf(result.z), rel=1e-9)


def two_equal_models(rng: np.random.Generator, n: int) -> tuple[Bools, Floats, Floats]:
    risk = rng.normal(size=n)
    labels = rng.random(n) < 1.0 / (1.0 + np.exp(1.5 - risk))
    return labels, risk + rng.normal(scale=0.5, size=n), risk + rng.normal(scale=0.5, size=n)


def test_the_gate_test_rejects_a_no_better_model_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(9)
    p = np.array([paired_delong(*two_equal_models(rng, 500)).p_one_sided for _ in range(600)])
    assert 0.025 < (p < 0.05).mean() < 0.085
    assert 0.40 < (p < 0.5).mean() < 0.60


def test_interval_covers_the_true_auc() -> None:
    rng = np.random.default_rng(10)
    truth = stats.norm.cdf(1.0 / math.sqrt(2.0))  # N(1, 1) against N(0, 1)
    labels = np.repeat([True, False], [40, 200])
    covered = 0
    for _ in range(400):
        interval = auc_interval(labels, rng.normal(size=240) + labels)
        assert 0.0 < interval.lower < interval.estimate < interval.upper < 1.0
        covered += interval.lower <= truth <= interval.upper
    assert 0.91 < covered / 400 < 0.99


def test_interval_of_a_perfect_ranking_still_doubts() -> None:
    interval = auc_interval([0] * 50 + [1] * 10, range(60))
    assert (interval.estimate, interval.upper) == (1.0, 1.0)
    assert interval.lower == pytest.approx(0.025 ** (1 / 10))
    reverse = auc_interval([1] * 10 + [0] * 50, range(60))
    assert (reverse.lower, reverse.upper) == pytest.approx((0.0, 1.0 - 0.025 ** (1 / 10)))


def test_the_defaults_needed_give_the_power_that_was_asked_for() -> None:
    test = paired_delong(*sample(5, n=300))
    further = defaults_needed(test, 0.02, alpha=0.05, power=0.8)
    assert further > 0
    total = test.defaults + further
    error = test.std_error * math.sqrt(test.defaults / total)  # at the same default rate
    assert stats.norm.sf(1.6448536 - 0.02 / error) == pytest.approx(0.8, abs=0.01)


def test_the_power_at_the_size_needed_agrees_with_simulation() -> None:
    rng = np.random.default_rng(11)

    def trial(rows: int) -> PairedDeLong:
        risk = rng.normal(size=rows)
        labels = rng.random(rows) < 1.0 / (1.0 + np.exp(1.5 - risk))
        noise = rng.normal(size=(2, rows))
        return paired_delong(labels, risk + 0.9 * noise[0], risk + 0.6 * noise[1])

    pilots = [trial(800) for _ in range(100)]
    gain = float(np.mean([pilot.difference for pilot in pilots]))
    grown = np.mean([1.0 + defaults_needed(pilot, gain, alpha=0.05, power=0.8) / pilot.defaults for pilot in pilots])
    found = np.mean([trial(int(800 * grown)).p_one_sided < 0.05 for _ in range(300)])
    assert found == pytest.approx(0.8, abs=0.08)


def test_enough_defaults_need_no_more() -> None:
    assert defaults_needed(paired_delong(*sample(5, n=3000)), 0.2) == 0


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([], []),
        ([1], [0.5]),
        ([1, 1], [0.1, 0.2]),
        ([0, 1, math.nan], [0.1, 0.2, 0.3]),
        ([0, 2], [0.1, 0.2]),
        ([0, 1], [0.1, math.nan]),
        ([0, 1], [0.1]),
        ([[0, 1]], [0.1, 0.2]),
    ],
)
def test_rows_without_an_answer_are_refused(labels: list[float], scores: list[float]) -> None:
    for statistic in (auc, gini, ks_statistic, delong_variance, auc_interval):
        with pytest.raises(DataError):
            statistic(labels, scores)
    with pytest.raises(DataError):
        paired_delong(labels, scores, scores)


def test_one_default_has_no_variance() -> None:
    with pytest.raises(DataError, match="at least 2 default"):
        paired_delong([0, 0, 1], [1, 2, 3], [1, 2, 3])


def test_impossible_plans_are_refused() -> None:
    test = paired_delong(*sample(5))
    with pytest.raises(DataError, match="above 0"):
        defaults_needed(test, 0.0)
    with pytest.raises(DataError, match="power"):
        defaults_needed(test, 0.01, power=1.0)


def test_equal_weights_give_delongs_test() -> None:
    rng = np.random.default_rng(8)
    labels = (rng.random(400) < 0.3).astype(float)
    first, second = (labels + rng.normal(size=400) for _ in range(2))
    plain = paired_delong(labels, first.round(1), second.round(1))
    weighted = weighted_auc_gain(labels, first.round(1), second.round(1), np.full(400, 7.0))
    assert weighted.auc_challenger == pytest.approx(plain.auc_challenger, abs=1e-12)
    assert weighted.difference == pytest.approx(plain.difference, abs=1e-12)
    assert weighted.std_error == pytest.approx(plain.std_error, abs=1e-12)


def test_a_weight_is_so_many_equal_rows() -> None:
    rng = np.random.default_rng(9)
    labels = (rng.random(60) < 0.4).astype(float)
    first, second = (labels + rng.normal(size=60) for _ in range(2))
    weights = rng.integers(0, 5, 60)
    repeated = np.repeat(np.arange(60), weights)
    weighted = weighted_auc_gain(labels, first, second, weights)
    assert weighted.auc_champion == pytest.approx(auc(labels[repeated], first[repeated]), abs=1e-12)
    assert weighted.auc_challenger == pytest.approx(auc(labels[repeated], second[repeated]), abs=1e-12)


def test_the_weighted_error_covers_what_sampling_does() -> None:
    """A fifth of the rows is drawn at 1/5 from a part of the population in which the difference is another."""
    rng = np.random.default_rng(10)
    differences, errors = [], []
    for _ in range(300):
        refused = rng.random(1500) < 0.3
        labels = (rng.random(1500) < np.where(refused, 0.5, 0.15)).astype(float)
        first = labels + rng.normal(size=1500)
        second = first + np.where(refused, 1.0, 0.3) * rng.normal(size=1500)
        seen = ~refused | (rng.random(1500) < 0.2)
        weights = np.where(refused, 5.0, 1.0)[seen]
        found = weighted_auc_gain(labels[seen], first[seen], second[seen], weights)
        differences.append(found.difference)
        errors.append(found.std_error)
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.12)


def test_blocks_are_compared_within_themselves() -> None:
    """Against brute force: pairs of one block only; each block is an independent sample."""
    rng = np.random.default_rng(11)
    labels, champion, challenger = sample(6, n=400)
    blocks = rng.integers(0, 5, 400)
    pairs, gains, variances, areas = [], [], [], []
    for block in range(5):
        rows = blocks == block
        part = paired_delong(labels[rows], champion[rows], challenger[rows])
        pairs.append(labels[rows].sum() * (~labels[rows]).sum())
        gains.append(part.difference)
        variances.append(part.std_error**2)
        areas.append(brute_placements(labels[rows], champion[rows])[0].mean())
    share = np.array(pairs) / np.sum(pairs)
    result = paired_delong(labels, champion, challenger, blocks)
    assert result.auc_champion == pytest.approx(share @ areas, abs=1e-12)
    assert result.difference == pytest.approx(share @ gains, abs=1e-12)
    assert result.std_error == pytest.approx(math.sqrt(share**2 @ variances), abs=1e-12)
    m, n = result.defaults, result.non_defaults
    assert (m, n) == (labels.sum(), (~labels).sum())
    weighted = weighted_auc_gain(labels, champion, challenger, np.full(400, 3.0), blocks)
    assert weighted.difference == pytest.approx(result.difference, abs=1e-12)
    assert weighted.std_error == pytest.approx(result.std_error, abs=1e-12)


def test_one_block_is_the_plain_test_and_blocks_without_pairs_say_nothing() -> None:
    labels, champion, challenger = sample(7, n=300)
    plain = paired_delong(labels, champion, challenger)
    assert paired_delong(labels, champion, challenger, np.full(300, 4)) == plain
    more = np.concatenate((labels, np.zeros(50, dtype=bool), [True]))
    extra = np.linspace(0.0, 1.0, 51)
    blocks = np.concatenate((np.zeros(300), np.ones(51)))
    first, second = (np.concatenate((column, extra)) for column in (champion, challenger))
    assert paired_delong(more, first, second, blocks) == plain
    with pytest.raises(DataError, match="within blocks"):
        paired_delong([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, 4], [0, 1, 0, 1])
    with pytest.raises(DataError, match="one per row"):
        paired_delong([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, 4], [0, 1])


def test_out_of_fold_scores_are_not_held_against_a_model() -> None:
    """A fit that knows nothing but the default rate of the other blocks: pooled it ranks worse than chance."""
    rng = np.random.default_rng(12)
    pooled, within = [], []
    for _ in range(200):
        labels = rng.random(400) < 0.25
        blocks = np.repeat(np.arange(4), 100)
        rate = np.array([labels[blocks != block].mean() for block in range(4)])[blocks]
        useless = rate + 0.01 * rng.normal(size=400)
        coin = rng.normal(size=400)
        pooled.append(paired_delong(labels, coin, useless).difference)
        within.append(paired_delong(labels, coin, useless, blocks).difference)
    assert np.mean(pooled) < -0.03
    assert abs(np.mean(within)) < 3.0 * np.std(within) / math.sqrt(200)
