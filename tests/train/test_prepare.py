"""Prepared columns: by hand, after a journey through JSON, and in models that are stored and loaded."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.extras import GROWN

from riskloop.core.errors import ArtefactError, ConfigError
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Floats, Rows
from riskloop.scoring.model import check_agreement, load_model
from riskloop.scoring.preparation import FILE, load_preparation
from riskloop.store.artefacts import Artefacts
from riskloop.train.fit import fit
from riskloop.train.prepare import MOST_LEVELS, Preparer

LEVELS = [f"{i:03d}" for i in range(120)]
CONFIG = f"""
[portfolio]
target = "default"
[features.debt]
nullable = true
[features.income]
special = [-9999]
monotone = -1
[features.score]
range = [300, 850]
special = [-1, 999]
nullable = true
[features.sex]
kind = "category"
categories = ["1", "2"]
protected = true
[features.branch]
kind = "category"
categories = {LEVELS}
unseen = "flag"
nullable = true
[features.job]
kind = "category"
categories = ["clerk", "nurse", "owner"]
[prepare.burden]
how = "ratio"
of = ["debt", "income"]
monotone = 1
[prepare.log_burden]
how = "log"
of = ["burden"]
[prepare.left]
how = "difference"
of = ["income", "debt"]
[prepare.unknown]
how = "missing"
of = ["debt", "score"]
[prepare.score_band]
how = "bands"
of = ["score"]
bounds = [500, 650]
[prepare.employed]
how = "group"
of = ["job"]
groups = {{ employed = ["clerk", "nurse"] }}
[prepare.region]
how = "prefix"
of = ["branch"]
length = 1
[train]
folds = 2
threads = 1
search = 2
"""


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse_settings(CONFIG)


def rows(n: int = 1500, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    debt, income = rng.lognormal(0, 1, n), rng.lognormal(0.5, 1, n)
    score = rng.integers(300, 851, n).astype(np.float64)
    branch, job = rng.integers(0, 120, n).astype(np.float64), rng.integers(0, 3, n)
    z = np.log(debt / income) - (score - 575) / 150 + np.random.default_rng(1).normal(0, 0.7, 120)[branch.astype(int)]
    score[rng.random(n) < 0.15], score[rng.random(n) < 0.1] = 999, -1
    z = z + 1.5 * (score == -1) - 1.5 * (score == 999)
    target = (rng.random(n) < 1 / (1 + np.exp(1 - z))).astype(np.float64)
    income[rng.random(n) < 0.1] = -9999
    debt[rng.random(n) < 0.1], branch[rng.random(n) < 0.05], score[rng.random(n) < 0.05] = np.nan, np.nan, np.nan
    features = np.column_stack((debt, income, score, rng.integers(0, 2, n), branch, job)).astype(np.float64)
    return Rows(features, [str(i) for i in range(n)], np.zeros(n, dtype=np.int64), target)


def preparer(settings: Settings, **options: bool) -> tuple[Preparer, Floats, Floats]:
    """A fitted one, the model's matrix, and its prepared matrix."""
    sample = rows(6000)
    X = settings.row_schema.model_matrix(sample.features)
    made = Preparer(settings.row_schema, settings.prepare, **options).fit(X, sample.target)
    return made, X, made.transform(X)


def test_every_step_is_what_its_name_says(settings: Settings) -> None:
    made, X, Z = preparer(settings)
    column = {name: Z[:, j] for j, name in enumerate(made.schema_.names)}
    debt, income, score, branch, job = X.T
    income = np.where(income == -9999, np.nan, income)
    plain = np.where(np.isin(score, (-1, 999)), np.nan, score)
    np.testing.assert_array_equal(column["burden"], debt / income)
    np.testing.assert_allclose(column["log_burden"], np.log1p(debt / income))
    np.testing.assert_array_equal(column["left"], income - debt)
    np.testing.assert_array_equal(column["unknown"], np.isnan(debt) | np.isnan(plain))
    np.testing.assert_array_equal(column["income"], income)
    np.testing.assert_array_equal(column["score"], plain)
    np.testing.assert_array_equal(column["score code"], np.select([score == -1, score == 999], [1, 2], 0))
    bands = np.select([np.isnan(plain), plain <= 500, plain <= 650], [np.nan, 0, 1], 2)
    np.testing.assert_array_equal(column["score_band"], bands)
    np.testing.assert_array_equal(column["employed"], np.where(job == 2, 1, 0))
    np.testing.assert_array_equal(column["region"], np.where(np.isnan(branch), np.nan, branch // 100))
    assert made.schema_.feature("employed").categories == ("employed", "owner")


def test_a_ratio_to_nothing_is_missing(settings: Settings) -> None:
    made, X, _ = preparer(settings)
    X = X[:1].copy()
    X[0, :2] = 5.0, 0.0
    assert np.isnan(made.transform(X)[0, made.schema_.positions["burden"]])


def test_many_levels_become_a_rate_and_few_groups(settings: Settings) -> None:
    made, X, Z = preparer(settings)
    group = made.schema_.feature("branch")
    assert len(group.categories) <= MOST_LEVELS
    assert group.categories[-1] == "other"
    codes = Z[:, made.schema_.positions["branch"]]
    for code, level in list(enumerate(group.categories))[:-1]:
        np.testing.assert_array_equal(codes == code, X[:, 3] == LEVELS.index(level))
    np.testing.assert_array_equal(np.isnan(codes), np.isnan(X[:, 3]))
    assert "branch rate" in made.schema_.names


def test_the_same_after_json(settings: Settings) -> None:
    made, X, Z = preparer(settings)
    again = load_preparation(made.preparation_.dump(), "here")
    np.testing.assert_array_equal(again.matrix(X), Z)
    assert again.names == made.schema_.names
    for i in (0, 17, 400):
        np.testing.assert_array_equal(again.matrix(X[i : i + 1])[0], Z[i])


def test_contributions_go_back_to_the_columns_and_keep_their_sum(settings: Settings) -> None:
    made, X, Z = preparer(settings)
    parts = np.random.default_rng(0).normal(size=(50, Z.shape[1] + 1))
    back = made.preparation_.attributed(parts)
    assert back.shape == (50, X.shape[1] + 1)
    np.testing.assert_allclose(back.sum(axis=1), parts.sum(axis=1))
    only = np.zeros((1, Z.shape[1] + 1))
    only[0, made.schema_.positions["log_burden"]] = 1.0
    np.testing.assert_array_equal(made.preparation_.attributed(only)[0], [0.5, 0.5, 0, 0, 0, 0])


@pytest.mark.parametrize("learner", ["scorecard", "lightgbm", "hist_gradient_boosting", *GROWN])
def test_a_stored_model_prepares_as_training_does(settings: Settings, learner: str, tmp_path: Path) -> None:
    candidate = fit(rows(), settings, learners=[learner])
    assert FILE in candidate.files
    assert candidate.files == fit(rows(), settings, learners=[learner]).files
    artefact = Artefacts(tmp_path).write(candidate.manifest, candidate.files)
    model, fresh = load_model(artefact, 1), rows(600, seed=5)
    fresh.features[:5, 4] = len(LEVELS)  # never seen
    check_agreement(model, candidate, fresh.features)
    assert sum(candidate.manifest.importance.values()) == pytest.approx(1.0)
    assert candidate.manifest.importance["branch"] > 0.02
    assert roc_auc_score(fresh.target, model.probabilities(fresh.features)) > 0.7


@pytest.mark.parametrize("learner", ["scorecard", "lightgbm", "hist_gradient_boosting", *GROWN])
def test_order_holds_and_codes_stand_outside_of_it(settings: Settings, learner: str) -> None:
    """Income is falling, and 10% of the rows have -9999 in its place, which says nothing about the risk."""
    plain = settings.model_copy(update={"prepare": {}})
    predict = fit(rows(4000), plain, learners=[learner]).predict
    grid = np.repeat(rows(20).features, 51, axis=0)
    grid[:, 1] = np.tile([*np.geomspace(0.1, 20, 50), -9999], 20)
    p = predict(grid).reshape(20, 51)
    assert (np.diff(p[:, :50], axis=1) <= 1e-12).all()
    assert (p[:, 50] < p[:, 0]).all()  # as the lowest income it would have the highest risk of all


def test_instead_takes_the_place_of_what_it_is_made_of() -> None:
    text = CONFIG.replace('how = "difference"', 'how = "difference"\ninstead = true')
    made, _, _ = preparer(parse_settings(text))
    assert "debt" not in made.schema_.names
    assert "income" not in made.schema_.names
    assert "burden" in made.schema_.names


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('how = "ratio"\nof = ["debt"]', "made of 2 columns"),
        ('how = "log"\nof = ["nothing"]', "no feature and no step before"),
        ('how = "bands"\nof = ["debt"]', "need their 'bounds'"),
        ('how = "group"\nof = ["job"]', "needs 'groups'"),
    ],
)
def test_impossible_steps_are_refused_with_the_config(table: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_settings(f"{CONFIG}\n[prepare.new]\n{table}\n")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('how = "ratio"\nof = ["debt", "job"]', "a category such as 'job' has none"),
        ('how = "prefix"\nof = ["debt"]', "a number such as 'debt' has none"),
        ('how = "missing"\nof = ["sex"]', "no model input"),
        ('how = "group"\nof = ["job"]\ngroups = { x = ["pilot"] }', "no level of 'job'"),
    ],
)
def test_impossible_steps_are_refused_at_training(table: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preparer(parse_settings(f"{CONFIG}\n[prepare.new]\n{table}\n"))


@pytest.mark.parametrize("content", [b"{}", b"\xff", b'{"width": 1, "steps": [{"name": "x"}]}'])
def test_what_is_no_preparation_is_refused(content: bytes) -> None:
    with pytest.raises(ArtefactError, match="not a preparation"):
        load_preparation(content, "here")


def test_a_step_of_the_future_is_refused() -> None:
    content = b'{"width": 1, "steps": [{"name": "x", "how": "magic", "of": [0], "values": [], "shown": true}]}'
    with pytest.raises(ArtefactError, match="upgrade"):
        load_preparation(content, "here")
