from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from tests.extras import GROWN

from riskloop.core.manifest import seal
from riskloop.core.settings import Settings
from riskloop.core.stats import auc
from riskloop.core.types import Bools, Floats, Rows
from riskloop.scoring.lightgbm import Booster
from riskloop.scoring.model import check_agreement, load_model
from riskloop.store.artefacts import Artefacts
from riskloop.train.blend import Blend, fit_blend, raw
from riskloop.train.dump import dump
from riskloop.train.fit import fit, fit_once
from riskloop.train.fitted import raw_scores
from riskloop.train.learners import learner
from riskloop.train.trees import hist_gradient_boosting_text, lightgbm_text, scaled_sum

BOOSTERS = ("lightgbm", "hist_gradient_boosting")
OLD, NEW = 6000, 600


def world(make_rows: Callable[..., Rows], seed: int = 0) -> tuple[Rows, Bools]:
    """Old rows, then new ones in which debt matters less and the noise column decides too."""
    rows = make_rows(OLD + NEW, seed)
    assert rows.target is not None
    new = np.arange(len(rows)) >= OLD
    rng = np.random.default_rng(seed + 1000)
    rows.target[new] = rng.random(NEW) < probability(rows.features[new])
    return rows, new


def probability(features: Floats) -> Floats:
    z = 0.7 * features[:, 0] - np.log(np.nan_to_num(features[:, 1], nan=1.0)) + 0.05 * (features[:, 4] - 15) - 1
    return np.asarray(1 / (1 + np.exp(-z)))


def credible(new: Bools, share: float = 0.5) -> Floats:
    weights = np.where(new, share / new.sum(), (1 - share) / (~new).sum())
    return np.asarray(weights / weights.mean())


def test_a_scaled_sum_is_the_mean_of_its_parts() -> None:
    rng = np.random.default_rng(3)
    x: Floats = np.column_stack((rng.normal(size=2000), rng.integers(0, 40, 2000) * 1.0, rng.normal(size=2000)))
    y = rng.random(2000) < 1 / (1 + np.exp(-x[:, 0] - np.sin(x[:, 1])))
    x[rng.random(x.shape) < 0.1] = np.nan
    one = LGBMClassifier(n_estimators=30, num_leaves=6, verbose=-1, n_jobs=1).fit(x, y, categorical_feature=[1])
    other = HistGradientBoostingClassifier(max_iter=20, categorical_features=[1]).fit(x, y)
    texts = [lightgbm_text(one), hist_gradient_boosting_text(other)]
    parts = [Booster(text, "a part") for text in texts]
    whole = Booster(scaled_sum(texts, 0.5), "the sum")
    mean = (parts[0].raw(x) + parts[1].raw(x)) / 2
    np.testing.assert_allclose(whole.raw(x), mean, atol=1e-12)
    contributions = (parts[0].contributions(x) + parts[1].contributions(x)) / 2
    np.testing.assert_allclose(whole.contributions(x), contributions, atol=1e-12)


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_blend_ranks_a_new_world_as_well_and_remembers_the_old_better(
    make_rows: Callable[..., Rows], settings: Settings, name: str
) -> None:
    """Means over ten worlds, on customers whom nobody has learned from."""
    gains = []
    for seed in range(10):
        rows, new = world(make_rows, seed)
        fresh = make_rows(6000, seed + 500)
        assert fresh.target is not None
        changed = np.random.default_rng(seed + 2000).random(6000) < probability(fresh.features)
        refit = fit_once(rows, settings, name, credible(new))(fresh.features)
        blend = fit_once(rows, settings, name, credible(new), new)(fresh.features)
        gains.append([auc(y, blend) - auc(y, refit) for y in (changed.astype(np.float64), fresh.target)])
    there, before = np.mean(gains, axis=0)
    assert there > 0.0
    assert before > 0.0015


@pytest.mark.parametrize("name", [*BOOSTERS, GROWN[1]])
def test_what_is_served_is_the_blend(
    make_rows: Callable[..., Rows], settings: Settings, name: str, tmp_path: Path
) -> None:
    rows, new = world(make_rows)
    made = [fit(rows, settings, weights=credible(new), learners=(name,), present=new, changed=True) for _ in range(2)]
    assert made[0].files == made[1].files
    assert made[0].manifest.training.blended
    artefact = Artefacts(tmp_path).write(made[0].manifest, made[0].files)
    check_agreement(load_model(artefact, 1), made[0], rows.features)
    plain = fit(rows, settings, weights=credible(new), learners=(name,), present=new)
    assert not plain.manifest.training.blended
    assert b"blended" not in seal(plain.manifest, {}).text, (
        "the bytes of a model that is not blended are those of before"
    )
    assert plain.files["model.txt"] != made[0].files["model.txt"]


@pytest.mark.parametrize("name", [*BOOSTERS, *GROWN])
def test_constraints_hold_for_all_parts(make_rows: Callable[..., Rows], settings: Settings, name: str) -> None:
    """Debt is monotone; in the new world a higher debt is made to look safer."""
    rows, new = world(make_rows)
    assert rows.target is not None
    rows.target[new] = rows.features[new, 0] < 0.0
    score = fit_once(rows, settings, name, credible(new), new)
    customers = np.repeat(rows.features[:50], 20, axis=0)
    customers[:, 0] = np.tile(np.linspace(-3.0, 3.0, 20), 50)
    assert (np.diff(score(customers).reshape(50, 20), axis=1) >= -1e-9).all()


def test_weights_count_among_the_rows_of_each_part(make_rows: Callable[..., Rows], settings: Settings) -> None:
    """An old row of weight 0 teaches neither half anything."""
    rows, new = world(make_rows)
    assert rows.target is not None
    weights = credible(new) * np.where(np.arange(len(rows)) < OLD // 2, 0.0, 1.0)
    other = rows.target.copy()
    other[: OLD // 2] = 1.0 - other[: OLD // 2]
    schema, matrix = settings.row_schema, settings.row_schema.model_matrix(rows.features)
    blends = [
        fit_blend(learner("lightgbm", settings), schema, matrix, y == 1.0, weights, new, 1, 1)
        for y in (rows.target, other)
    ]
    assert isinstance(blends[0], Blend)
    np.testing.assert_allclose(raw(blends[0].former, matrix), raw(blends[1].former, matrix), atol=1e-9)


def test_a_blend_costs_hardly_more_trees_than_a_refit(make_rows: Callable[..., Rows], settings: Settings) -> None:
    rows, new = world(make_rows)
    assert rows.target is not None
    schema, matrix = settings.row_schema, settings.row_schema.model_matrix(rows.features)
    default = rows.target == 1.0
    for name in BOOSTERS:
        entry = learner(name, settings)
        refit = dump(entry.fit(schema, matrix, default, None, 1, 1))[1]
        blend = dump(fit_blend(entry, schema, matrix, default, None, new, 1, 1))[1]
        assert blend.count(b"Tree=") <= 1.2 * refit.count(b"Tree=")


def test_what_cannot_be_a_blend_is_refitted(make_rows: Callable[..., Rows], settings: Settings) -> None:
    rows, new = world(make_rows)
    assert rows.target is not None
    schema, matrix = settings.row_schema, settings.row_schema.model_matrix(rows.features)
    default = rows.target == 1.0
    good = default & ~new  # the new world has one class
    booster, scorecard = learner("lightgbm", settings), learner("scorecard", settings)
    for entry, y, present in ((scorecard, default, new), (booster, good, new), (booster, default, None)):
        fitted = fit_blend(entry, schema, matrix, y, None, present, 1, 1)
        alone = entry.fit(schema, matrix, y, None, 1, 1)
        np.testing.assert_array_equal(fitted.predict_proba(matrix), alone.predict_proba(matrix))


@pytest.fixture(scope="module")
def steep() -> tuple[Floats, LGBMClassifier, HistGradientBoostingClassifier]:
    """Rows that a threshold divides, and models that are very sure of it."""
    X = np.random.default_rng(3).normal(size=(400, 2))
    y = X[:, 0] > 0
    boosted = LGBMClassifier(n_estimators=200, learning_rate=0.5, min_sum_hessian_in_leaf=1e-12, verbose=-1).fit(X, y)
    return X, boosted, HistGradientBoostingClassifier(max_iter=200, learning_rate=0.5, early_stopping=False).fit(X, y)


@pytest.mark.parametrize("kind", ["lightgbm", "hist_gradient_boosting", "blend"])
def test_log_odds_are_those_of_the_file_however_far(
    kind: str, steep: tuple[Floats, LGBMClassifier, HistGradientBoostingClassifier]
) -> None:
    """Inverted labels, or all but one class: a probability of 1 - 1e-12 says its log-odds no more, the trees do."""
    X, boosted, histogram = steep
    made = {"lightgbm": boosted, "hist_gradient_boosting": histogram, "blend": Blend(boosted, histogram, boosted)}[kind]
    served = Booster(dump(made)[1], "it").raw(X)
    assert np.abs(served).max() > 13.0
    np.testing.assert_allclose(raw_scores(made, X), served, atol=1e-9)
