"""What a hostile statistician hands in: ties, one class, one row, one customer, equal scores, other lengths."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, ks_2samp, norm

from riskloop.core.errors import DataError
from riskloop.core.stats import (
    auc,
    auc_interval,
    brier_interval,
    delong_variance,
    design_effect,
    jeffreys_by_grade,
    ks_interval,
    ks_statistic,
    log_loss_interval,
    paired_change,
    paired_delong,
    paired_log_loss_test,
    weighted_auc,
    weighted_auc_gain,
    wilson_interval,
)
from riskloop.core.types import Floats, Ints


def odd(seed: int) -> tuple[Floats, Floats, Floats]:
    """Few rows, many ties, infinities, doubled rows, and some weights of 0."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 30))
    labels = np.concatenate(([0.0, 0.0, 1.0, 1.0], (rng.random(n) < rng.random()).astype(np.float64)))
    scores = rng.integers(0, int(rng.integers(1, 6)), labels.size).astype(np.float64)
    if seed % 3 == 0:
        scores[rng.integers(labels.size)] = np.inf
    weights = rng.integers(0, 3, labels.size).astype(np.float64)
    weights[:4] = 1.0
    return labels, scores, weights


@pytest.mark.parametrize("seed", range(30))
def test_areas_are_the_shares_of_pairs(seed: int) -> None:
    labels, scores, weights = odd(seed)
    bad, good = np.flatnonzero(labels == 1.0), np.flatnonzero(labels == 0.0)
    pairs = [(i, j, (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])) for i, j in itertools.product(bad, good)]
    assert auc(labels, scores) == pytest.approx(np.mean([won for *_, won in pairs]), abs=1e-12)
    mass = sum(weights[i] * weights[j] for i, j, _ in pairs)
    area = sum(weights[i] * weights[j] * won for i, j, won in pairs) / mass
    assert weighted_auc(labels, scores, weights)[0] == pytest.approx(area, abs=1e-12)
    assert ks_statistic(labels, scores) == pytest.approx(ks_2samp(scores[bad], scores[good]).statistic, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_scores_that_are_all_the_same_tell_nothing(seed: int) -> None:
    labels, _, weights = odd(seed)
    same = np.full(labels.size, 0.3)
    assert auc(labels, same) == 0.5
    assert delong_variance(labels, same) == 0.0
    assert paired_delong(labels, same, same + 0.1).p_one_sided == 1.0
    assert paired_log_loss_test(labels, same, same).p_one_sided == 1.0
    assert ks_statistic(labels, same) == 0.0
    assert ks_interval(labels, same).upper > 0.0
    assert weighted_auc_gain(labels, same, same, weights).std_error == 0.0


@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("rows", [1, 5])
def test_one_class_is_refused(label: float, rows: int) -> None:
    labels, scores = np.full(rows, label), np.linspace(0.1, 0.9, rows)
    for measure in (auc, delong_variance, auc_interval, ks_statistic, ks_interval):
        with pytest.raises(DataError):
            measure(labels, scores)
    with pytest.raises(DataError):
        paired_delong(labels, scores, scores)


@pytest.mark.parametrize(
    "measure",
    [auc, auc_interval, delong_variance, ks_interval, brier_interval, log_loss_interval],
)
@pytest.mark.parametrize("others", [1, 3, 5])
def test_other_lengths_and_nan_are_refused_in_words(measure: Callable[..., object], others: int) -> None:
    labels = np.array([0.0, 1.0, 0.0, 1.0])
    with pytest.raises(DataError):
        measure(labels, np.full(others, 0.5))
    with pytest.raises(DataError):
        measure(labels, np.array([0.1, np.nan, 0.2, 0.3]))
    with pytest.raises(DataError):
        measure(np.array([0.0, np.nan, 1.0, 1.0]), np.full(4, 0.5))
    with pytest.raises(DataError):
        paired_change(labels, np.full(others, 0.5))
    with pytest.raises(DataError):
        paired_change(labels, np.array([0.1, np.nan, 0.2, 0.3]))


# --------------------------------------------------------------------------- few customers


@pytest.mark.parametrize("seed", range(5))
def test_the_rows_of_one_customer_prove_nothing(seed: int) -> None:
    """Their influences add up to exactly 0, which is no certainty."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(40) % 3 == 0).astype(np.float64)
    worse, better = rng.random(40), rng.random(40) + labels
    for who in (np.zeros(40, np.int64), labels.astype(np.int64)):  # one of all, and one of each class
        for test in (
            lambda who=who: paired_delong(labels, worse, better, customers=who),
            lambda who=who: delong_variance(labels, better, who),
            lambda who=who: auc_interval(labels, better, customers=who),
            lambda who=who: weighted_auc_gain(labels, worse, better, np.ones(40), customers=who),
        ):
            with pytest.raises(DataError):
                test()
    one = np.zeros(40, np.int64)
    with pytest.raises(DataError):
        paired_change(worse, better, one)
    assert design_effect(rng.standard_normal(40), one) == 40.0
    (grade,) = jeffreys_by_grade(labels, np.full(40, 0.2), one, customers=one)
    assert grade.p_value > 0.1, "14 defaults of one customer are one default"


def _few(rng: np.random.Generator, customers: int, times: int) -> tuple[Floats, Floats, Floats, Ints]:
    who = np.repeat(np.arange(customers), times)
    label = (np.arange(customers) < customers // 2).astype(np.float64)
    own = rng.standard_normal((2, customers))[:, who] + 0.3 * rng.standard_normal((2, who.size))
    return label[who], own[0] + label[who], own[1] + label[who], who


@pytest.mark.parametrize("customers", [8, 16, 40])
def test_errors_are_right_on_average_with_few_customers(customers: int) -> None:
    """Centred sums of k witnesses vary by the share 1 − 1/k too little: a fifth of the variance with ten customers."""
    rng = np.random.default_rng(customers)
    told: list[tuple[float, float]] = []
    seen: list[tuple[float, float]] = []
    for _ in range(1_200):
        labels, one, other, who = _few(rng, customers, 5)
        test = paired_delong(labels, one, other, customers=who)
        change = paired_change(one, other, who)
        told.append((test.std_error**2, ((change.upper - change.lower) / 2.0 / norm.ppf(0.975)) ** 2))
        seen.append((test.difference, change.estimate))
    for errors, values in zip(zip(*told, strict=True), zip(*seen, strict=True), strict=True):
        assert np.mean(errors) / np.var(values) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("times", [2, 6])
def test_a_design_effect_is_the_rows_that_say_the_same(times: int) -> None:
    rng = np.random.default_rng(times)
    effects = []
    for _ in range(300):
        own = rng.standard_normal(10)
        effects.append(design_effect(np.repeat(own, times), np.repeat(np.arange(10), times)))
    assert np.mean(effects) == pytest.approx(times, rel=0.02)


# --------------------------------------------------------------------------- intervals keep their level


def _covered(inside: list[bool], level: float = 0.95) -> bool:
    """Whether so many inside agree with at least the level: not below what chance gives once in ten thousand."""
    return bool(sum(inside) >= binom.ppf(1e-4, len(inside), level))


@pytest.mark.parametrize(("bad", "good", "shift"), [(5, 5, 0.0), (5, 40, 1.0), (20, 20, 2.0), (60, 300, 1.0)])
def test_the_interval_of_ks_holds_the_populations(bad: int, good: int, shift: float) -> None:
    """At least about nine of ten: the largest of many distances is above the population's."""
    rng = np.random.default_rng(bad + good)
    truth = 2.0 * norm.cdf(shift / 2.0) - 1.0
    labels = np.repeat([1.0, 0.0], [bad, good])
    inside = []
    for _ in range(400):
        found = ks_interval(labels, rng.standard_normal(bad + good) + shift * labels)
        assert found.lower < found.upper
        inside.append(found.lower <= truth <= found.upper)
    assert _covered(inside, 0.88) or truth == 0.0


@pytest.mark.parametrize(("bad", "good"), [(10, 40), (30, 100), (100, 400)])
@pytest.mark.parametrize("ties", [False, True])
def test_the_interval_of_auc_holds_the_populations(bad: int, good: int, ties: bool) -> None:
    rng = np.random.default_rng(bad)
    labels = np.repeat([1.0, 0.0], [bad, good])
    inside = []
    for _ in range(500):
        scores = rng.standard_normal(bad + good) + labels
        found = auc_interval(labels, np.round(scores) if ties else scores)
        truth = norm.cdf(1.0 / np.sqrt(2.0)) if not ties else _rounded_area()
        inside.append(found.lower <= truth <= found.upper)
    assert _covered(inside, 0.94)


def _rounded_area() -> float:
    """AUC of rounded normals a standard deviation apart, by the probabilities of the whole numbers."""
    whole = np.arange(-9, 11)
    good = norm.cdf(whole + 0.5) - norm.cdf(whole - 0.5)
    bad = norm.cdf(whole - 0.5) - norm.cdf(whole - 1.5)
    return float(bad @ (np.cumsum(good) - good / 2.0))


@pytest.mark.parametrize(("rate", "n"), [(0.005, 200), (0.03, 100), (0.22, 30), (0.5, 10)])
def test_the_interval_of_a_rate_holds_the_populations(rate: float, n: int) -> None:
    """Wilson's covers 95% on average over rates; at a single rate the binomial's steps leave it a little below."""
    k = np.arange(n + 1)
    inside = [w.lower <= rate <= w.upper for w in (wilson_interval(int(d), n) for d in k)]
    assert binom.pmf(k, n, rate) @ np.asarray(inside) >= 0.92
