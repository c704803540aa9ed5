import json
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from riskloop.core.types import Floats
from riskloop.train.scorecard import Scorecard


def test_it_is_a_scikit_learn_classifier() -> None:
    results = check_estimator(Scorecard(), on_skip=None)
    assert len(results) > 50


def sample(n: int = 4000) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(3)
    x = np.column_stack((rng.normal(size=n), rng.integers(0, 4, n), rng.normal(size=n)))
    z = np.sin(2 * x[:, 0]) + (x[:, 1] == 2) - 1
    x[rng.random(n) < 0.1, 0] = np.nan
    y = rng.random(n) < 1 / (1 + np.exp(-z))
    return x.astype(np.float64), y.astype(np.float64)


def test_without_smoothing_weight_of_evidence_is_the_log_ratio_of_the_shares() -> None:
    """Siddiqi's definition, with the sign turned: ln(share of the defaults / share of the others)."""
    x, y = sample()
    card = Scorecard(categorical=(0,), smoothing=1e-12, C=1e9).fit(x[:, 1:2], y)
    for level in range(4):
        chosen = x[:, 1] == level
        woe = np.log((y[chosen].sum() / y.sum()) / ((1 - y[chosen]).sum() / (1 - y).sum()))
        assert card.points_[0][level] / card.coef_[0] == pytest.approx(woe, rel=1e-9)
    assert card.coef_[0] == pytest.approx(1.0, abs=1e-4)  # one feature's evidence is calibrated as it is


def test_the_score_is_the_logistic_regression_on_the_evidence() -> None:
    x, y = sample()
    card = Scorecard(categorical=(1,)).fit(x, y)
    assert (card.coef_ > 0).all()
    evidence = np.column_stack(
        [(p / c)[card._bins(x[:, j], j)] for j, (p, c) in enumerate(zip(card.points_, card.coef_, strict=True))]
    )
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(evidence, y)
    np.testing.assert_allclose(card.predict_proba(x), reference.predict_proba(evidence), atol=1e-5)


@pytest.mark.parametrize("monotone", [0, 1, -1])
@pytest.mark.parametrize("seed", range(4))
def test_bins_are_those_of_a_classification_tree(seed: int, monotone: int) -> None:
    rng = np.random.default_rng(seed)
    n = (300, 1000, 4000)[seed % 3]
    x = np.column_stack((rng.normal(size=n), rng.poisson(1.0, n), rng.lognormal(0, 3, n), rng.normal(size=n).round(1)))
    y = rng.random(n) < 1 / (1 + np.exp(-monotone * x[:, 0] - 0.5 * x[:, 1] + 1))
    weight = rng.choice([0.5, 1.0, 2.0], n) if seed % 2 else np.ones(n)
    card = Scorecard(monotonic_cst=[monotone] * 4).fit(x, y, weight)
    for column, edges in zip(x.T, card.edges_, strict=True):
        tree = DecisionTreeClassifier(
            max_leaf_nodes=6, min_samples_leaf=int(0.05 * n), monotonic_cst=[monotone], random_state=0
        ).fit(column[:, None], y, sample_weight=weight)
        np.testing.assert_array_equal(edges, np.unique(tree.tree_.threshold[tree.tree_.feature >= 0]))


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_a_value_beyond_single_precision_is_binned_as_the_largest(value: float) -> None:
    x, y = sample(500)
    x[7, 0] = np.sign(value) * 1e6
    plain = Scorecard().fit(x, y).predict_proba(x)
    x[7, 0] = value
    np.testing.assert_allclose(Scorecard().fit(x, y).predict_proba(x), plain, rtol=1e-12)


def test_monotone_constraints_hold_for_every_value() -> None:
    x, y = sample()
    grid = np.column_stack((np.linspace(-4, 4, 500), np.zeros(500), np.zeros(500)))
    free = Scorecard().fit(x, y).predict_proba(grid)[:, 1]
    rising = Scorecard(monotonic_cst=(1, 0, 0)).fit(x, y).predict_proba(grid)[:, 1]
    falling = Scorecard(monotonic_cst=(-1, 0, 0)).fit(x, y).predict_proba(grid)[:, 1]
    assert (np.diff(free) < 0).any()
    assert (np.diff(rising) >= 0).all()
    assert (np.diff(falling) <= 0).all()


def test_no_fit_breaks_a_monotone_constraint() -> None:
    """Few rows, ties, gaps, weights, and constraints that the outcomes contradict: smoothing once broke 37 of 200."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(150, 1_500))
        x = np.round(rng.standard_normal((n, 2)) * rng.integers(1, 4), int(rng.integers(0, 3)))
        x[rng.random((n, 2)) < 0.05] = np.nan
        odds = np.nan_to_num(x) @ rng.standard_normal(2) - rng.uniform(0.0, 3.0)
        y = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.float64)
        y[:2] = 0.0, 1.0
        signs = rng.choice([-1, 1], 2).tolist()
        card = Scorecard(monotonic_cst=signs).fit(x, y, sample_weight=rng.integers(1, 4, n).astype(np.float64))
        for j, sign in enumerate(signs):
            grid = np.zeros((200, 2))
            grid[:, j] = np.linspace(-9.0, 9.0, 200)
            assert (sign * np.diff(card.predict_proba(grid)[:, 1]) >= -1e-12).all(), seed


def test_missing_has_its_own_points_and_what_was_never_seen_has_none() -> None:
    x, y = sample()
    card = Scorecard(categorical=(1,)).fit(x, y)
    missing, unseen = np.array([[np.nan, 0.0, 0.0]]), np.array([[0.0, 7.0, 0.0], [0.0, np.nan, 0.0]])
    assert card.contributions(missing)[0, 0] == pytest.approx(card.points_[0][-1] - card.means_[0])
    np.testing.assert_allclose(card.contributions(unseen)[:, 1], -card.means_[1], atol=1e-12)


def test_contributions_average_to_zero_and_add_up_to_the_log_odds() -> None:
    x, y = sample()
    card = Scorecard().fit(x, y)
    parts = card.contributions(x)
    np.testing.assert_allclose(parts.mean(axis=0), 0.0, atol=1e-12)
    p = card.predict_proba(x)[:, 1]
    np.testing.assert_allclose(parts.sum(axis=1) + card.means_.sum() + card.intercept_, np.log(p / (1 - p)), atol=1e-9)


def test_a_weight_counts_like_copies_of_the_row() -> None:
    x, y = sample(600)
    weights = np.random.default_rng(0).integers(1, 4, 600)
    weighted = Scorecard(min_bin_share=1e-9).fit(x, y, sample_weight=weights)
    copied = Scorecard(min_bin_share=1e-9).fit(np.repeat(x, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.predict_proba(x), copied.predict_proba(x), atol=1e-7)


def test_the_json_says_everything() -> None:
    x, y = sample()
    card = Scorecard().fit(x, y)
    data = json.loads(card.dump())
    z = data["intercept"]
    for value, feature in zip([0.3, 1.0, -1.0], data["features"], strict=True):
        z += feature["points"][np.searchsorted(feature["bounds"], value)]
    assert card.decision_function(np.array([[0.3, 1.0, -1.0]]))[0] == pytest.approx(z, abs=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_smoothing_does_not_break_the_order(seed: int) -> None:
    """Small samples, skewed values and weights: where the tree's bins differ in size most."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 600))
    x = np.round(rng.lognormal(0, 1.5, (n, 3)), 1)
    y = rng.random(n) < 1 / (1 + np.exp(2 - 0.4 * x[:, 0] + 0.2 * x[:, 1]))
    y[:2] = True, False
    card = Scorecard(max_bins=8, min_bin_share=0.02, monotonic_cst=(1, -1, 1))
    card.fit(x, y, sample_weight=rng.exponential(size=n) + 0.01)
    for column, sign in ((0, 1), (1, -1), (2, 1)):
        grid = np.zeros((400, 3))
        grid[:, column] = np.linspace(-1, x.max() + 1, 400)
        assert (sign * np.diff(card.decision_function(grid)) >= 0).all()


def test_special_codes_have_a_bin_of_their_own_outside_the_order() -> None:
    x, y = sample()
    x[::7, 0] = -9999.0  # as if it were the lowest value, the order would not hold
    y[::7] = 1.0
    card = Scorecard(categorical=(1,), monotonic_cst=(1, 0, 0), special=((-9999.0, 777.0), (), ())).fit(x, y)
    grid = np.column_stack((np.linspace(-4, 4, 200), np.zeros((200, 2))))
    p = card.predict_proba(grid)[:, 1]
    assert (np.diff(p) >= 0).all()
    coded = card.predict_proba(np.array([[-9999.0, 0, 0], [777.0, 0, 0], [np.nan, 0, 0]]))[:, 1]
    assert coded[0] > p.max()
    assert card.points_[0][-1] == 0.0  # 777 was in no row
    bins = {tuple(code) for code in card.to_json()["features"][0]["special"]}
    assert {code for code, _ in bins} == {-9999.0, 777.0}


@pytest.mark.parametrize("seed", range(3))
def test_of_a_wide_table_the_columns_whose_evidence_holds_are_kept(seed: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2400, 500))
    x[:, 3] = rng.integers(0, 4, 2400)  # codes
    x[rng.random(2400) < 0.3, 1] = np.nan
    odds = 0.8 * np.nan_to_num(x[:, 0]) + 1.2 * np.isnan(x[:, 1]) + 1.6 * (x[:, 3] == 2) - 1.8
    y = rng.random(2400) < 1 / (1 + np.exp(-odds))
    some, all_of_them = (Scorecard(categorical=[3], max_features=m).fit(x[:1200], y[:1200]) for m in (200, 500))
    kept = np.flatnonzero(some.coef_)
    assert {0, 1, 3} <= {*kept.tolist()}
    assert len(kept) <= 6
    ranks = [roc_auc_score(y[1200:], card.decision_function(x[1200:])) for card in (some, all_of_them)]
    assert ranks[0] > ranks[1] + 0.03
    left_out = some.to_json()["features"][200]
    assert (left_out["bounds"], left_out["points"], left_out["missing"]) == ([], [0.0], 0.0)


def test_a_table_of_noise_keeps_hardly_a_column_and_a_narrow_one_all() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(800, 300)), rng.random(800) < 0.2
    assert np.count_nonzero(Scorecard().fit(x, y).coef_) <= 3
    assert np.count_nonzero(Scorecard().fit(x[:, :100], y).coef_) > 20


def test_bins_by_hand_are_the_ones_that_are_used() -> None:
    x, y = sample()
    card = Scorecard(categorical=(1,), bins=[(-1.0, 0.25), (), ()], groups=[(), [[0, 3]], ()]).fit(x, y)
    document = card.to_json()["features"]
    assert document[0]["bounds"] == [-1.0, 0.25]
    free = Scorecard(categorical=(1,)).fit(x, y).to_json()["features"]
    assert free[2]["bounds"] == document[2]["bounds"]
    points = document[1]["points"]
    assert points[0] == points[3]
    assert len({points[0], points[1], points[2]}) == 3
    # the weight of evidence of a group is that of a level of the same rows
    joined = x.copy()
    joined[joined[:, 1] == 3, 1] = 0
    one = Scorecard(categorical=(1,), bins=[(-1.0, 0.25), (), ()]).fit(joined, y)
    np.testing.assert_allclose(one.predict_proba(joined), card.predict_proba(x), rtol=1e-9)


def test_bins_by_hand_that_break_the_order_are_refused_beyond_chance() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 3, (6_000, 1))
    y = rng.random(6_000) < np.array([0.1, 0.3, 0.2])[x[:, 0].astype(int)]
    given: dict[str, Any] = {"bins": [(1.0, 2.0)], "names": ["debt"]}
    with pytest.raises(ValueError, match="'debt' break monotone = 1"):
        Scorecard(monotonic_cst=(1,), **given).fit(x, y)
    Scorecard(**given).fit(x, y)  # nobody asked for an order
    few = slice(0, 90)  # which do not tell
    grid = np.linspace(0, 3, 50)[:, None]
    pooled = Scorecard(monotonic_cst=(1,), **given).fit(x[few], y[few]).predict_proba(grid)[:, 1]
    assert (np.diff(pooled) >= 0).all()
