"""XGBoost and CatBoost: the trees that score are the library's own, row by row, though those compare in float32."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from tests.extras import GROWN

from riskloop.core.errors import ArtefactError, ConfigError
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Floats, Rows
from riskloop.scoring.lightgbm import Booster
from riskloop.scoring.shap import ShapTables, parse_trees
from riskloop.train import learners
from riskloop.train.boosters import CatBoostTrees, GrownTrees, XGBoostTrees
from riskloop.train.fit import fit
from riskloop.train.float32 import cut, xgboost_text
from riskloop.train.learners import require_learners

SETTINGS = {"categorical": [3, 4], "monotonic_cst": [1, 0, 0, 0, 0]}
CLASSES: dict[str, type[GrownTrees]] = {"xgboost": XGBoostTrees, "catboost": CatBoostTrees}


def sample(n: int = 4000, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    x[:, 2] = rng.integers(0, 40, n) / 10  # 0.1 is another number in float32
    x[:, 3], x[:, 4] = rng.integers(0, 6, n), rng.integers(0, 3, n)
    z = x[:, 0] * (x[:, 1] > 0) + np.sin(x[:, 2]) + (x[:, 3] == 3) - (x[:, 4] == 1) - 1
    missing = rng.random(x.shape) < 0.1
    missing[:, 4] = False  # no training row lacks it
    z += missing[:, 3] * 1.5
    x[missing] = np.nan
    return x, (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64)


@pytest.fixture(scope="module")
def grown() -> dict[str, GrownTrees]:
    x, y = sample()
    return {name: cls(**SETTINGS).fit(x, y) for name, cls in CLASSES.items() if find_spec(name)}


def rows_at_the_borders(text: bytes) -> Floats:
    """Rows that stand on a threshold, and one double beside it, for every split of a number."""
    found: list[Floats] = []
    x, _ = sample(50, 3)
    for tree in parse_trees(text.decode()):
        numeric = (tree.kind & 1) == 0
        for column, threshold in zip(tree.feature[numeric], tree.threshold[numeric], strict=True):
            for value in (threshold, np.nextafter(threshold, np.inf), np.float64(np.float32(threshold))):
                row = x[len(found) % len(x)].copy()
                row[column] = value
                found.append(row)
    return np.array(found)


def odd(x: Floats) -> Floats:
    """Values that no training row had: a level, a missing value, numbers out of all range."""
    x = x.copy()
    x[:20, 4], x[20:30, 3], x[30:40, 0], x[40:50, 1] = np.nan, 9.0, 1e300, -1e300
    return x


@pytest.mark.parametrize("name", GROWN)
def test_the_text_scores_as_the_library_on_every_row(grown: dict[str, GrownTrees], name: str) -> None:
    model = grown[name]
    text = model.text()
    x = np.concatenate((odd(sample(3000, 1)[0]), rows_at_the_borders(text)))
    np.testing.assert_allclose(Booster(text, name).raw(x), model.decision_function(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", GROWN)
def test_the_library_itself_says_the_same(grown: dict[str, GrownTrees], name: str) -> None:
    """CatBoost to the last digits, XGBoost as near as its float32 sum of so many leaves can be."""
    model, (x, _) = grown[name], sample(3000, 2)
    ours = Booster(model.text(), name).raw(x)
    if isinstance(model, XGBoostTrees):
        own = model.booster_.predict(model._matrix(x), output_margin=True)
        sizes = sum(np.abs(tree).max() for tree in model.values_)
        np.testing.assert_allclose(ours, own, atol=len(model.values_) * 2.0**-24 * sizes, rtol=0)
        assert np.abs(ours - own).max() > 1e-9  # else the page says something wrong
    else:
        assert isinstance(model, CatBoostTrees)
        own = model.model_.predict(model._expanded(x), prediction_type="RawFormulaVal")
        np.testing.assert_allclose(ours, own, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", GROWN)
def test_reasons_are_shapley_values_and_sum_up(grown: dict[str, GrownTrees], name: str) -> None:
    model, x = grown[name], odd(sample(400, 4)[0])
    trees = parse_trees(model.text().decode())
    assert ShapTables.possible(trees), "few leaves, so that they are looked up"
    parts = ShapTables(trees, 5).contributions(x)
    assert np.isfinite(parts).all()
    np.testing.assert_allclose(parts.sum(axis=1), model.decision_function(x), atol=1e-9)
    np.testing.assert_allclose(parts, Booster(model.text(), name).contributions(x), atol=1e-9)
    if isinstance(model, XGBoostTrees):  # its own, over the same covers
        own = model.booster_.predict(model._matrix(x), pred_contribs=True)
        np.testing.assert_allclose(parts, own, atol=1e-5)


@pytest.mark.parametrize("inclusive", [True, False])
def test_a_cut_is_the_last_double_that_float32_lets_pass(inclusive: bool) -> None:
    largest = np.finfo(np.float32).max
    rng = np.random.default_rng(0)
    borders = [*rng.normal(size=300), *rng.lognormal(0, 30, 300), largest, -largest, 1e-45, -1e-45, 0.0, -0.0, 1.0]
    with np.errstate(over="ignore"):
        for border in np.array(borders, dtype=np.float32):
            last = cut(border, inclusive=inclusive)
            for value, passes in ((last, True), (np.nextafter(last, np.inf), False)):
                rounded = np.float32(value)
                assert bool(rounded <= border if inclusive else rounded < border) is passes


@pytest.mark.parametrize("name", CLASSES)
def test_a_learner_without_its_package_is_refused_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    settings = parse_settings(f'[portfolio]\ntarget = "y"\n[features.x]\n[train]\nlearners = ["lightgbm", "{name}"]\n')
    monkeypatch.setattr(learners, "find_spec", lambda wanted: None if wanted == name else object())
    sentence = f"The learner '{name}' needs an extra: pip install 'riskloop\\[{name}\\]'."
    with pytest.raises(ConfigError, match=sentence):
        require_learners(settings)
    with pytest.raises(ConfigError, match=sentence):
        fit(rows, settings)


def test_what_is_no_model_of_two_classes_is_not_read() -> None:
    def saved(objective: str, booster: str = "gbtree", **changed: Any) -> Any:
        param = {"num_feature": "2", "base_score": "5E-1", "num_target": "1", **changed}
        model: dict[str, list[Any]] = {"trees": []}
        return {
            "learner": {
                "objective": {"name": objective},
                "learner_model_param": param,
                "gradient_booster": {"name": booster, "model": model},
            }
        }

    for document, said in (
        (saved("multi:softprob"), "a binary classifier of trees is needed"),
        (saved("reg:squarederror"), "a binary classifier of trees is needed"),
        (saved("binary:logistic", "gblinear"), "a binary classifier of trees is needed"),
        (saved("binary:logistic", num_target="2"), "several targets"),
        (saved("binary:logistic"), "has no trees"),
        ({"learner": {}}, "not a model that XGBoost saved"),
        ({}, "not a model that XGBoost saved"),
    ):
        with pytest.raises(ArtefactError, match=said):
            xgboost_text(document)


@pytest.mark.parametrize("name", GROWN)
def test_they_are_scikit_learns_kind_of_classifier(name: str) -> None:
    x, y = sample(300)
    model: GrownTrees = clone(CLASSES[name](**SETTINGS)).fit(x, y, sample_weight=np.ones(300))
    assert set(model.predict(x)) <= {0.0, 1.0}
    assert model.predict_proba(x).shape == (300, 2)
    with pytest.raises(ValueError, match="two classes"):
        model.fit(x, np.zeros(300))


@pytest.mark.parametrize(
    "estimator",
    [
        "lightgbm.LGBMClassifier",
        "sklearn.ensemble.HistGradientBoostingClassifier",
        "sklearn.ensemble.ExtraTreesClassifier",
    ],
)
def test_an_estimator_of_the_config_keeps_the_order_that_it_can_keep(settings: Settings, estimator: str) -> None:
    """The target falls with the column that has to rise: a learner that is not told follows the target."""
    text = (
        '[portfolio]\ntarget = "y"\n[train]\nfolds = 2\nlearners = ["mine"]\n'
        f'[learners.mine]\nestimator = "{estimator}"\n'
        f"params = {{ {'max_iter' if 'Hist' in estimator else 'n_estimators'} = 20 }}\n"
        "[features.x]\nmonotone = 1\n[features.z]\n"
    )
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 2))
    y = (rng.random(800) < 1 / (1 + np.exp(2 * features[:, 0] - features[:, 1]))).astype(np.float64)
    rows = Rows(features, [str(i) for i in range(800)], np.zeros(800, dtype=np.int64), y)
    grid = np.column_stack((np.linspace(-2, 2, 40), np.zeros(40)))
    told = fit(rows, parse_settings(text)).predict(grid)
    untold = fit(rows, parse_settings(text.replace("monotone = 1\n", ""))).predict(grid)
    assert (np.diff(told) >= -1e-12).all()
    assert untold[-1] < untold[0] - 0.2
