import math
from collections.abc import Callable

import numpy as np
import pytest

from riskloop.core.errors import DataError
from riskloop.core.stats import (
    CBPE_ASSUMPTION,
    PAPE_ASSUMPTION,
    EstimatedPerformance,
    Recalibration,
    auc,
    brier,
    calibration_in_the_large,
    calibration_slope,
    cbpe,
    delong_variance,
    density_ratio_weights,
    ks_interval,
    ks_statistic,
    log_loss,
    pape,
    recalibrate,
)
from riskloop.core.stats.estimation import _auc, _ks
from riskloop.core.types import Bools, Floats

MEASURES = ("auc", "brier", "log_loss", "default_rate")


def expit(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)), dtype=np.float64)


def calibrated(rng: np.random.Generator, n: int) -> tuple[Bools, Floats]:
    p = expit(1.2 * rng.normal(size=n) - 1.5)
    return rng.random(n) < p, p


def realised(labels: Bools, scores: Floats) -> Floats:
    return np.array([auc(labels, scores), brier(labels, scores), log_loss(labels, scores), labels.mean()])


def unpacked(estimated: EstimatedPerformance) -> Floats:
    found = [getattr(estimated, name) for name in MEASURES]
    return np.array([[e.value, e.std_error, e.outcome_error] for e in found])


def simulate(draw: Callable[[], tuple[EstimatedPerformance, Floats]], times: int) -> tuple[Floats, Floats]:
    """Estimates (times, measure, value/std_error/outcome_error) and what was realised (times, measure)."""
    drawn = [draw() for _ in range(times)]
    return np.array([unpacked(e) for e, _ in drawn]), np.array([r for _, r in drawn])


def test_expected_auc_by_brute_force() -> None:
    score = np.random.default_rng(0).uniform(0.05, 0.6, 40).round(1)
    line = Recalibration(-0.4, 0.6, np.zeros((2, 2)), 1000.0)
    c = line.apply(score)
    wins = pairs = 0.0
    for i in range(40):
        for j in range(40):
            if i != j:
                beats = 0.5 if score[i] == score[j] else float(score[i] > score[j])
                wins += c[i] * (1 - c[j]) * beats
                pairs += c[i] * (1 - c[j])
    assert cbpe(score, line).auc.value == pytest.approx(wins / pairs, abs=1e-12)


def test_on_known_outcomes_it_is_auc_with_delongs_error() -> None:
    labels, p = calibrated(np.random.default_rng(1), 800)
    estimate = _auc(labels.astype(float), p, None)
    assert estimate.value == pytest.approx(auc(labels, p), abs=1e-12)
    assert estimate.std_error == pytest.approx(math.sqrt(delong_variance(labels, p)), rel=0.01)
    assert estimate.outcome_error == 0.0


def test_the_estimated_ks_is_that_of_the_expected_distributions_with_raghavacharis_error() -> None:
    labels, p = calibrated(np.random.default_rng(8), 600)
    known = _ks(labels.astype(float), p, None)
    assert known.value == pytest.approx(ks_statistic(labels, p), abs=1e-12)
    interval = ks_interval(labels, p)
    assert known.std_error == pytest.approx((interval.upper - interval.lower) / 2 / 1.959964, rel=0.01)
    assert known.outcome_error == 0.0

    rng = np.random.default_rng(9)
    gaps, errors = [], []
    for _ in range(300):
        labels, p = calibrated(rng, 1500)
        estimated = cbpe(p).ks
        gaps.append(ks_statistic(labels, p) - estimated.value)
        errors.append((estimated.std_error, estimated.outcome_error))
    std_error, outcome_error = np.mean(errors, axis=0)
    assert 0.0 < np.mean(gaps) < std_error  # the largest of many distances
    assert np.std(gaps) == pytest.approx(outcome_error, rel=0.15)


def test_cbpe_of_calibrated_scores_is_unbiased_and_knows_its_errors() -> None:
    rng = np.random.default_rng(2)

    def draw() -> tuple[EstimatedPerformance, Floats]:
        labels, p = calibrated(rng, 400)
        return cbpe(p), realised(labels, p)

    estimates, truths = simulate(draw, 500)
    gaps = truths - estimates[:, :, 0]
    assert np.all(np.abs(gaps.mean(0)) < 4 * gaps.std(0) / math.sqrt(500) + 0.001)
    assert estimates[:, :, 1].mean(0) == pytest.approx(truths.std(0), rel=0.12)
    assert estimates[:, :, 2].mean(0) == pytest.approx(gaps.std(0), rel=0.12)


def test_cbpe_with_recalibrated_scores_counts_the_recalibrations_error() -> None:
    rng = np.random.default_rng(3)

    def draw() -> tuple[EstimatedPerformance, Floats]:
        reference, p = calibrated(rng, 800)
        labels, q = calibrated(rng, 800)
        distorted = [expit(0.5 + 1.4 * np.log(r / (1 - r))) for r in (p, q)]
        estimated = cbpe(distorted[1], recalibrate(reference, distorted[0]))
        return estimated, realised(labels, distorted[1])

    estimates, truths = simulate(draw, 400)
    gaps = truths - estimates[:, :, 0]
    assert np.all(np.abs(gaps.mean(0)) < 4 * gaps.std(0) / math.sqrt(400) + 0.002)
    assert estimates[:, :, 2].mean(0) == pytest.approx(gaps.std(0), rel=0.15)


def test_recalibration_is_the_calibration_line() -> None:
    labels, p = calibrated(np.random.default_rng(4), 3000)
    line = recalibrate(labels, p**2)
    assert line.slope == pytest.approx(calibration_slope(labels, p**2).estimate, rel=1e-9)
    assert line.effective_m == 3000.0
    assert calibration_in_the_large(labels, line.apply(p**2)).estimate == pytest.approx(0.0, abs=1e-8)


def test_whole_weights_repeat_rows() -> None:
    labels, p = calibrated(np.random.default_rng(5), 300)
    counts = np.random.default_rng(6).integers(0, 4, 300)
    weighted = recalibrate(labels, p, counts)
    repeated = recalibrate(np.repeat(labels, counts), np.repeat(p, counts))
    assert (weighted.intercept, weighted.slope) == pytest.approx((repeated.intercept, repeated.slope), rel=1e-7)
    assert weighted.effective_m < 300


def world(rng: np.random.Generator, n: int, shift: float) -> tuple[Floats, Floats, Bools]:
    """Features, scores of a champion that knows the first one only, outcomes that depend on both."""
    x = rng.normal(size=(n, 2)) + np.array([shift / 2, shift])
    return x, expit(0.95 * x[:, 0] - 1.3), rng.random(n) < expit(x[:, 0] + 0.8 * x[:, 1] - 1.5)


def test_pape_follows_a_covariate_shift_that_misleads_cbpe() -> None:
    rng = np.random.default_rng(7)
    x, scores, labels = world(rng, 8000, shift=0.0)
    moved, moved_scores, outcomes = world(rng, 4000, shift=0.7)
    ratio = density_ratio_weights(x, moved)
    plain, adapted = cbpe(moved_scores, recalibrate(labels, scores)), pape(labels, scores, ratio.weights, moved_scores)
    rate, loss = outcomes.mean(), log_loss(outcomes, moved_scores)
    assert plain.default_rate.value < rate - 0.05
    assert abs(adapted.default_rate.value - rate) < 0.03
    assert abs(adapted.log_loss.value - loss) < abs(plain.log_loss.value - loss) / 2
    assert adapted.default_rate.std_error > plain.default_rate.std_error
    assert (plain.assumption, adapted.assumption) == (CBPE_ASSUMPTION, PAPE_ASSUMPTION)
    assert adapted.effective_m == pytest.approx(ratio.effective_m)


def test_pape_with_exact_weights_knows_its_error() -> None:
    rng = np.random.default_rng(8)

    def draw() -> tuple[EstimatedPerformance, Floats]:
        x, scores, labels = world(rng, 1500, shift=0.0)
        _, moved_scores, outcomes = world(rng, 3000, shift=0.8)
        centre = np.array([0.4, 0.8])
        weights = np.exp(x @ centre - centre @ centre / 2)  # N(centre, 1) over N(0, 1)
        return pape(labels, scores, weights, moved_scores), realised(outcomes, moved_scores)

    estimates, truths = simulate(draw, 300)
    gaps = truths - estimates[:, :, 0]
    assert np.all(np.abs(gaps.mean(0)) < 4 * gaps.std(0) / math.sqrt(300) + 0.004)
    assert estimates[:, :, 2].mean(0) == pytest.approx(gaps.std(0), rel=0.15)


def test_density_ratios_find_nothing_where_nothing_moved() -> None:
    rng = np.random.default_rng(9)
    x, window = rng.normal(size=(2000, 3)), rng.normal(size=(600, 3))
    x[::5, 0], window[::5, 0] = np.nan, np.nan
    ratio = density_ratio_weights(x, window)
    assert ratio.auc == pytest.approx(0.5, abs=0.05)
    assert ratio.effective_m > 1400
    assert ratio.weights.mean() == pytest.approx(1.0)
    assert density_ratio_weights(x, window).weights.tolist() == ratio.weights.tolist()


@pytest.mark.parametrize("where", ["both sides", "the reference", "the window", "nothing else"])
def test_density_ratios_bear_a_column_without_a_value(where: str) -> None:
    """A column that came in the middle of the history, or that stopped, is empty on one side or on both."""
    rng = np.random.default_rng(12)
    x, window = rng.normal(size=(600, 2)), rng.normal(size=(300, 2))
    x[:, 1] = np.nan if where != "the window" else x[:, 1]
    window[:, 1] = np.nan if where != "the reference" else window[:, 1]
    if where == "nothing else":
        x, window = x[:, 1:], window[:, 1:]
    ratio = density_ratio_weights(x, window)
    told_apart = where in ("the reference", "the window")
    assert ratio.auc == pytest.approx(1.0 if told_apart else 0.5, abs=0.06)


def test_density_ratios_follow_the_true_ones() -> None:
    rng = np.random.default_rng(10)
    x, window = rng.normal(size=(4000, 1)), rng.normal(0.5, 1.0, (2000, 1))
    ratio = density_ratio_weights(x, window)
    truth = np.exp(0.5 * x[:, 0] - 0.125)
    assert np.corrcoef(np.log(ratio.weights), np.log(truth))[0, 1] > 0.9
    assert ratio.effective_m == pytest.approx(truth.sum() ** 2 / (truth**2).sum(), rel=0.15)


def test_ratios_above_the_cap_are_cut() -> None:
    rng = np.random.default_rng(11)
    x, window = rng.normal(size=(1000, 1)), rng.normal(2.0, 1.0, (1000, 1))
    free, cut = density_ratio_weights(x, window, cap=1e6), density_ratio_weights(x, window, cap=2.0)
    assert cut.effective_m > free.effective_m
    assert free.auc > 0.85


def test_two_decisions_are_enough_and_one_is_not() -> None:
    assert math.isfinite(cbpe([0.1, 0.4]).auc.std_error)
    for scores in ([], [0.2]):
        with pytest.raises(DataError):
            cbpe(scores)
        with pytest.raises(DataError):
            pape([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], [1, 1, 1, 1], scores)


def test_certain_and_equal_scores_stay_finite() -> None:
    for scores in ([0.0, 1.0, 0.0], [0.3, 0.3, 0.3], [0.0, 0.0]):
        assert np.isfinite(unpacked(cbpe(scores))).all()
    assert cbpe([0.3] * 50).auc.value == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "scores", "weights"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], [1, 1, 1]),
        ([0, 1, 0], [0.1, 0.2, 0.3], [1, 0, 1]),
        ([0, 1, 0], [0.1, 0.2, 0.3], [1, -1, 1]),
        ([0, 1, 0], [0.1, 0.2, 0.3], [0, 0, 0]),
        ([0, 1, 0], [0.1, 0.2, 0.3], [1, math.inf, 1]),
        ([0, 1, 0], [0.1, math.nan, 0.3], [1, 1, 1]),
        ([0, 1, 0], [0.1, 0.2], [1, 1, 1]),
    ],
)
def test_references_without_an_answer_are_refused(labels: list[int], scores: list[float], weights: list[float]) -> None:
    with pytest.raises(DataError):
        recalibrate(labels, scores, weights)


def test_density_ratios_need_rows_and_the_same_columns() -> None:
    with pytest.raises(DataError, match="30 rows"):
        density_ratio_weights(np.zeros((100, 2)), np.zeros((5, 2)))
    with pytest.raises(DataError, match="same columns"):
        density_ratio_weights(np.zeros((100, 2)), np.zeros((100, 3)))


def test_many_rows_are_judged_by_a_classifier_of_few() -> None:
    rng = np.random.default_rng(31)
    x, window = rng.normal(size=(6000, 2)), rng.normal(0.5, size=(2000, 2))
    whole, few = density_ratio_weights(x, window), density_ratio_weights(x, window, most=2000)
    assert few.weights.shape == (6000,)
    assert np.corrcoef(np.log(whole.weights), np.log(few.weights))[0, 1] > 0.85
    assert few.weights.tolist() == density_ratio_weights(x, window, most=2000).weights.tolist()
