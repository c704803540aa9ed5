"""Rows of one customer are one witness: against Obuchowski's formula, the bootstrap over customers, and simulation."""

import numpy as np
import pytest

from riskloop.core.errors import DataError
from riskloop.core.stats import (
    count_customers,
    customer_codes,
    delong_variance,
    design_effect,
    jeffreys_by_grade,
    paired_delong,
    paired_log_loss_test,
    squared_error,
    weighted_auc_gain,
)
from riskloop.core.types import Floats, Ints


def repeated(
    customers: int, times: int, seed: int, gain: float = 0.0, noise: float = 0.3
) -> tuple[Floats, Floats, Floats, Ints]:
    """Labels, two scores that are equally good but for ``gain``, and the customer of every row.

    A customer keeps the default and most of what each score says of him, as one who comes every month does.
    """
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(customers), times)
    label = (rng.random(customers) < 0.25).astype(np.float64)
    seen = [label + rng.standard_normal(customers) for _ in range(2)]
    seen[1] += gain * label
    rows = rng.standard_normal((2, who.size)) * noise
    return label[who], seen[0][who] + rows[0], seen[1][who] + rows[1], who


def obuchowski(labels: Floats, scores: tuple[Floats, Floats], who: Ints) -> float:
    """Variance of a difference of clustered AUCs, written out: S10 + S01 + 2·S11 of sums by cluster (1997, eq. 4).

    Each sum of squares is multiplied by I/(I−1), I the clusters that hold that class, and the cross term by the
    geometric mean of both.
    """
    components = []
    for score in scores:
        bad, good = score[labels == 1.0], score[labels == 0.0]
        kernel = (bad[:, None] > good[None, :]) + 0.5 * (bad[:, None] == good[None, :])
        components.append((kernel.mean(axis=1), kernel.mean(axis=0), kernel.mean()))
    v10 = components[1][0] - components[0][0]
    v01 = components[1][1] - components[0][1]
    mean = components[1][2] - components[0][2]
    bad_who, good_who = who[labels == 1.0], who[labels == 0.0]
    m, n = bad_who.size, good_who.size
    s10 = s01 = s11 = 0.0
    for one in np.unique(who):
        x = float((v10[bad_who == one] - mean).sum())
        y = float((v01[good_who == one] - mean).sum())
        s10, s01, s11 = s10 + x * x, s01 + y * y, s11 + x * y
    f10, f01 = (c / (c - 1) for c in (np.unique(bad_who).size, np.unique(good_who).size))
    return float(f10 * s10 / m**2 + f01 * s01 / n**2 + 2 * np.sqrt(f10 * f01) * s11 / (m * n))


@pytest.mark.parametrize("seed", range(4))
def test_the_error_is_obuchowskis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 40, 300)
    labels = (rng.random(300) < 0.3).astype(np.float64)
    first, second = rng.standard_normal((2, 300)).round(1) + labels
    test = paired_delong(labels, first, second, customers=who)
    assert test.std_error**2 == pytest.approx(obuchowski(labels, (first, second), who), rel=1e-9)
    assert test.default_customers == len(set(who[labels == 1.0].tolist()))


@pytest.mark.parametrize("seed", range(3))
def test_one_row_a_customer_is_the_plain_test(seed: int) -> None:
    labels, first, second, who = repeated(400, 1, seed)
    blocks = np.arange(400) % 3
    plain, clustered = (paired_delong(labels, first, second, blocks, customers=c) for c in (None, who))
    assert clustered.std_error == pytest.approx(plain.std_error, rel=1e-12)
    assert clustered.default_customers == plain.default_customers == plain.defaults
    assert delong_variance(labels, first, who) == pytest.approx(delong_variance(labels, first), rel=1e-12)
    weights = np.random.default_rng(seed).uniform(0.5, 2.0, 400)
    gains = [weighted_auc_gain(labels, first, second, weights, blocks, c) for c in (None, who)]
    assert gains[1].std_error == pytest.approx(gains[0].std_error, rel=1e-12)
    pds = [1 / (1 + np.exp(-s)) for s in (first, second)]
    losses = [paired_log_loss_test(labels, pds[0], pds[1], c) for c in (None, who)]
    assert losses[1].p_one_sided == pytest.approx(losses[0].p_one_sided, rel=1e-9)


def test_copies_of_every_row_change_nothing_but_the_number_of_rows() -> None:
    labels, first, second, who = repeated(300, 1, 5)
    many = [np.tile(column, 12) for column in (labels, first, second, who)]
    one, copied = paired_delong(labels, first, second), paired_delong(many[0], many[1], many[2], customers=many[3])
    assert copied.difference == pytest.approx(one.difference, abs=1e-12)
    assert copied.std_error == pytest.approx(one.std_error, rel=0.01)
    assert (copied.defaults, copied.default_customers) == (12 * one.defaults, one.defaults)
    assert paired_delong(many[0], many[1], many[2]).std_error < 0.4 * one.std_error  # what counting rows would claim


@pytest.mark.parametrize("times", [1, 3, 12])
def test_no_better_scores_pass_as_rarely_as_promised_however_often_customers_come(times: int) -> None:
    runs = 400
    by_customer = by_row = 0
    for seed in range(runs):
        labels, first, second, who = repeated(240, times, seed)
        by_customer += paired_delong(labels, first, second, customers=who).p_one_sided <= 0.05
        by_row += paired_delong(labels, first, second).p_one_sided <= 0.05
    assert by_customer / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5
    assert times < 12 or by_row / runs > 0.2  # the test would see the fault


def test_the_bootstrap_over_customers_agrees() -> None:
    labels, first, second, who = repeated(200, 6, 9)
    rng = np.random.default_rng(1)
    rows = [np.flatnonzero(who == one) for one in range(200)]
    drawn = []
    for _ in range(300):
        index = np.concatenate([rows[one] for one in rng.integers(0, 200, 200)])
        drawn.append(paired_delong(labels[index], first[index], second[index]).difference)
    test = paired_delong(labels, first, second, customers=who)
    assert test.std_error == pytest.approx(np.std(drawn), rel=0.15)


def test_a_gain_in_log_loss_is_judged_by_customers() -> None:
    passed = 0
    for seed in range(300):
        labels, first, second, who = repeated(150, 8, seed)
        pds = [1 / (1 + np.exp(1.5 - s)) for s in (first, second)]
        passed += paired_log_loss_test(labels, pds[0], pds[1], who).p_one_sided <= 0.05
    assert passed / 300 <= 0.08
    with pytest.raises(DataError, match="two customers"):
        paired_log_loss_test([0, 1, 1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3], customers=[7, 7, 7])


def test_a_grade_of_repeated_customers_is_not_condemned_by_repetition() -> None:
    wrong = {"rows": 0, "customers": 0}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        who = np.repeat(np.arange(60), 10)
        labels = (rng.random(60) < 0.2)[who].astype(np.float64)
        pds = np.full(600, 0.2)
        for name, customers in (("rows", None), ("customers", who)):
            (test,) = jeffreys_by_grade(labels, pds, np.zeros(600), customers=customers)
            wrong[name] += test.p_value < 0.05
    assert wrong["customers"] / 300 < 0.09 < 0.2 < wrong["rows"] / 300


def test_names_become_numbers_and_rows_without_an_id_stand_alone() -> None:
    codes = customer_codes(["b", "", "a", "b", ""])
    assert codes[0] == codes[3]
    assert len(set(codes.tolist())) == 4
    among = np.array([True, True, False, True, True])
    assert count_customers(codes, among) == 3
    assert count_customers(None, among) == 4
    with pytest.raises(DataError, match="one per row"):
        squared_error(np.zeros(3), np.zeros(2))
    assert design_effect(np.tile([1.0, -1.0], 5), np.tile([0, 1], 5)) == pytest.approx(5.0)
    assert design_effect(np.zeros(4), np.arange(4)) == 1.0
