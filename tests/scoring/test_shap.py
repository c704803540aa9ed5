from itertools import permutations

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier

from riskloop.core.types import Floats
from riskloop.scoring.lightgbm import Booster
from riskloop.scoring.shap import ShapTables, Tree, parse_trees
from riskloop.train.trees import hist_gradient_boosting_text, lightgbm_text


def sample(n: int = 3000, *, missing: bool = True) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n, 5))
    x[:, 2] = rng.integers(0, 40, n)
    x[:, 4] = rng.integers(0, 6, n)
    z = x[:, 0] * (x[:, 1] > 0) + np.sin(x[:, 2]) + (x[:, 4] == 3) - 1
    if missing:
        x[rng.random(x.shape) < 0.1] = np.nan
        z += np.isnan(x[:, 3])
    return x, (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64)


def booster_text(leaves: int, *, missing: bool) -> bytes:
    x, y = sample(missing=missing)
    model = LGBMClassifier(
        n_estimators=40, num_leaves=leaves, min_child_samples=5, max_cat_to_onehot=2, verbose=-1, n_jobs=1
    )
    return lightgbm_text(model.fit(x, y, categorical_feature=[2, 4]))


def hist_text(*, missing: bool) -> bytes:
    x, y = sample(missing=missing)
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, categorical_features=[2, 4])
    return hist_gradient_boosting_text(model.fit(x, y))


TEXTS = {
    "lightgbm": booster_text(8, missing=True),
    "lightgbm, nothing missing": booster_text(8, missing=False),
    "stumps": booster_text(2, missing=True),
    "hist_gradient_boosting": hist_text(missing=True),
    "hist_gradient_boosting, nothing missing": hist_text(missing=False),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("missing", [False, True])
def test_the_tables_give_what_lightgbm_gives(name: str, missing: bool) -> None:
    x, _ = sample(1000, missing=missing)
    x[:5, 4], x[5:10, 2] = 17.0, 400.0  # levels that no tree knows
    text = TEXTS[name]
    booster, tables = Booster(text, name), ShapTables(parse_trees(text.decode()), 5)
    np.testing.assert_allclose(tables.contributions(x), booster.contributions(x), atol=1e-12)
    np.testing.assert_allclose(tables.contributions(x).sum(axis=1), booster.raw(x), atol=1e-12)


@pytest.mark.parametrize("name", TEXTS)
def test_a_row_has_the_same_numbers_alone_and_among_others(name: str) -> None:
    x, _ = sample(300)
    booster, tables = Booster(TEXTS[name], name), ShapTables(parse_trees(TEXTS[name].decode()), 5)
    for compute in (booster.raw, tables.contributions):
        together = compute(x)
        for size in (1, 2, 7, 16, 17):
            parts = [compute(x[i : i + size]) for i in range(0, 300, size)]
            np.testing.assert_array_equal(np.concatenate(parts), together)


def test_shapley_values_by_brute_force() -> None:
    """All orders of the features of one tree; a feature twice on a path, and covers that are not halves."""
    tree = Tree(
        feature=np.array([0, 1, 0, 2]),
        threshold=np.array([0.0, 1.0, -1.0, 5.0]),
        kind=np.array([8, 8, 8, 8]),
        left=np.array([1, 2, -1, -3]),
        right=np.array([3, -2, -4, -5]),
        values=np.array([0.7, -0.2, 0.4, 1.1, -0.9]),
        covers=np.array([10.0, 25.0, 40.0, 5.0, 20.0]),
        node_covers=np.array([100.0, 40.0, 15.0, 60.0]),
        members=(),
    )

    def expected(node: int, row: Floats, known: set[int]) -> float:
        if node < 0:
            return float(tree.values[-1 - node])
        sides = int(tree.left[node]), int(tree.right[node])
        if int(tree.feature[node]) in known:
            goes_right = bool(row[tree.feature[node]] > tree.threshold[node])
            return expected(sides[goes_right], row, known)
        covers = [tree.covers[-1 - s] if s < 0 else tree.node_covers[s] for s in sides]
        return float(sum(c * expected(s, row, known) for c, s in zip(covers, sides, strict=True)) / sum(covers))

    rows = np.array([[-2.0, 0.0, 9.0], [-0.5, 3.0, 1.0], [2.0, 0.0, 9.0], [0.0, 1.0, 5.0]])
    values = ShapTables([tree], 3).contributions(rows)
    for row, found in zip(rows, values, strict=True):
        shapley = np.zeros(3)
        for order in permutations(range(3)):
            for place, feature in enumerate(order):
                before = set(order[:place])
                shapley[feature] += expected(0, row, before | {feature}) - expected(0, row, before)
        np.testing.assert_allclose(found, [*shapley / 6, expected(0, row, set())], atol=1e-12)


def test_deep_trees_and_zeros_that_mean_missing_are_left_to_lightgbm() -> None:
    assert not ShapTables.possible(parse_trees(booster_text(31, missing=True).decode()))
    zeros = TEXTS["stumps"].decode().replace("decision_type=10", "decision_type=6")
    assert not ShapTables.possible(parse_trees(zeros))


def test_a_constant_model_has_only_a_base() -> None:
    x, y = sample()
    model = LGBMClassifier(n_estimators=2, min_child_samples=10**6, verbose=-1, n_jobs=1).fit(x, y)
    text = lightgbm_text(model)
    values = ShapTables(parse_trees(text.decode()), 5).contributions(x[:3])
    np.testing.assert_allclose(values, Booster(text, "constant").contributions(x[:3]), atol=1e-12)
