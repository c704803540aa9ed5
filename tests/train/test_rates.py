import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from riskloop.core.schema import Feature
from riskloop.core.types import Floats, Ints
from riskloop.train.rates import FOLDS, RateEncoder, branches_of


def levels(n: int = 8000, count: int = 400, seed: int = 0, spread: float = 1.0) -> tuple[Floats, Floats, Floats]:
    """Codes, outcomes and each row's true log-odds."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(-1.0, spread, count)
    codes = rng.integers(0, count, n)
    z = effect[codes]
    return codes.astype(np.float64), (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64), z


def test_a_rate_is_the_smoothed_rate_by_hand() -> None:
    x, y, _ = levels()
    encoder = RateEncoder(levels=400).fit(x, y)
    m, overall = encoder.strength_, y.mean()
    for level in (0, 7, 399):
        bad, rows = y[x == level].sum(), (x == level).sum()
        rate = (bad + m * overall) / (rows + m)
        assert encoder.table_[level] == pytest.approx(np.log(rate / (1 - rate)))


def test_a_branch_draws_its_levels_towards_its_own_rate() -> None:
    """Codes of which only the branch matters, with few rows each: the tree tells more than the levels do."""
    rng = np.random.default_rng(2)
    branch = np.repeat(np.arange(20), 100)
    effect = rng.normal(0, 1.2, 20)
    codes, fresh = rng.integers(0, 2000, 4000), rng.integers(0, 2000, 20_000)
    y = (rng.random(4000) < 1 / (1 + np.exp(-effect[branch[codes]]))).astype(np.float64)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-effect[branch[fresh]]))
    tree = RateEncoder((tuple(branch.tolist()),), 2000).fit(codes.astype(float), y)
    flat = RateEncoder(levels=2000).fit(codes.astype(float), y)
    gain = roc_auc_score(truth, tree.transform(fresh)) - roc_auc_score(truth, flat.transform(fresh))
    assert gain > 0.05


def test_a_tree_that_says_nothing_is_not_used() -> None:
    x, y, _ = levels(20_000, 50)
    nonsense = tuple(np.random.default_rng(1).integers(0, 5, 50).tolist())
    with_tree, without = RateEncoder((nonsense,), 50).fit(x, y), RateEncoder(levels=50).fit(x, y)
    np.testing.assert_allclose(with_tree.table_, without.table_, atol=0.05)


@pytest.mark.parametrize("seed", range(10))
def test_training_rows_do_not_know_their_own_outcome(seed: int) -> None:
    """Levels without any meaning: out of fold they rank nothing, in the fold they would rank nearly everything."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 1000, 3000).astype(np.float64), (rng.random(3000) < 0.3).astype(np.float64)
    encoder = RateEncoder(levels=1000, seed=seed)
    crossed = encoder.fit_transform(x, y)
    assert abs(roc_auc_score(y, crossed) - 0.5) < 0.05
    assert roc_auc_score(y, encoder.transform(x)) > 0.7


def test_rows_of_a_customer_do_not_teach_each_other() -> None:
    """Every customer has a level of their own and four rows of one outcome: by rows the level tells it, by customers
    nothing does."""
    rng = np.random.default_rng(0)
    customers: Ints = np.repeat(np.arange(1000), 4)
    y = np.repeat(rng.random(1000) < 0.3, 4).astype(np.float64)
    by_rows = RateEncoder(levels=1000).fit_transform(customers.astype(float), y)
    by_customers = RateEncoder(levels=1000).fit_transform(customers.astype(float), y, customers=customers)
    assert roc_auc_score(y, by_rows) > 0.9
    assert abs(roc_auc_score(y, by_customers) - 0.5) < 0.1


def test_missing_is_a_level_and_what_was_never_seen_has_everybodys_rate() -> None:
    x, y, _ = levels(4000, 40)
    x[:400], y[:400] = np.nan, 1.0
    encoder = RateEncoder(levels=40).fit(x, y)
    overall = np.log(y.mean() / (1 - y.mean()))
    missing, beyond = encoder.transform(np.array([np.nan, 40.0]))
    assert missing > overall + 2
    assert beyond == pytest.approx(overall)


def test_a_weight_counts_like_copies() -> None:
    x, y, _ = levels(2000, 30)
    weights = np.random.default_rng(0).integers(1, 4, 2000)
    weighted = RateEncoder(levels=30).fit(x, y, weights.astype(float))
    copied = RateEncoder(levels=30).fit(np.repeat(x, weights), np.repeat(y, weights))
    if weighted.strength_ == copied.strength_:
        np.testing.assert_allclose(weighted.table_, copied.table_)
    assert FOLDS == 5


def test_branches_are_prefixes_and_numbers_of_one_length_are_taken_for_a_tree() -> None:
    codes = Feature("zip", "category", categories=("10115", "10117", "80331"))
    assert branches_of(codes) == ((0, 0, 1), (0, 0, 1), (0, 0, 1), (0, 0, 1))
    named = Feature("naics", "category", categories=("A1", "A2", "B1"), prefixes=(1,))
    assert branches_of(named) == ((0, 0, 1),)
    assert branches_of(Feature("state", "category", categories=("AL", "AK"))) == ()
