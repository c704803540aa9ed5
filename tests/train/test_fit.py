import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.extras import GROWN

from riskloop.core.errors import ArtefactError, ConfigError, DataError
from riskloop.core.manifest import ModelManifest, seal
from riskloop.core.settings import Settings, ThresholdSettings, parse_settings
from riskloop.core.types import Floats, Rows
from riskloop.data.read import rows_from
from riskloop.scoring.model import check_agreement, load_model
from riskloop.store.artefacts import Artefact, Artefacts
from riskloop.train.calibrate import log_odds
from riskloop.train.candidate import Candidate
from riskloop.train.fit import LongRun, fit, fit_once, recalibrate
from riskloop.train.learners import learner

BUILT_IN = ("scorecard", "lightgbm", "hist_gradient_boosting")


@pytest.fixture(scope="module")
def candidate(rows: Rows, settings: Settings) -> Candidate:
    return fit(rows, settings)


def array(candidate: Candidate, name: str) -> Floats:
    return np.asarray(np.load(io.BytesIO(candidate.files[name]), allow_pickle=False))


def stored(folder: Path, candidate: Candidate) -> Artefact[ModelManifest]:
    return Artefacts(folder).write(candidate.manifest, candidate.files)


def test_the_best_by_mean_auc_is_chosen_and_the_others_are_on_record(rows: Rows, settings: Settings) -> None:
    candidate = fit(rows, settings, learners=("lightgbm", "scorecard"))
    comparison = candidate.manifest.comparison
    assert set(comparison) == {"lightgbm", "scorecard"}
    assert candidate.learner == max(comparison, key=lambda name: comparison[name].auc)
    metrics = candidate.manifest.metrics
    assert metrics.auc == pytest.approx(np.mean(metrics.folds))
    assert metrics.auc_low < metrics.auc < metrics.auc_high
    assert comparison[candidate.learner].auc == metrics.auc


def test_the_manifest_is_json_without_a_clock_or_secrets(candidate: Candidate) -> None:
    manifest = json.loads(seal(candidate.manifest, candidate.files).text)
    assert {
        "files", "format", "learner", "model_file", "schema", "calibration", "threshold", "risk_levels", "metrics",
        "comparison", "importance", "training", "baseline", "seed", "settings", "libraries",
        "parent", "origin",
    } == set(manifest)  # fmt: skip
    assert "storage" not in manifest["settings"]
    assert sum(manifest["importance"].values()) == pytest.approx(1.0)
    assert manifest["importance"]["sex"] == 0.0


def test_out_of_fold_scores_are_honest(rows: Rows, settings: Settings, candidate: Candidate) -> None:
    """The reference's scores rank as the folds do, and worse than the fitted model ranks its own rows."""
    assert rows.target is not None
    score, target = (array(candidate, f"reference_{name}.npy") for name in ("scores", "target"))
    honest = roc_auc_score(target, score)
    assert honest == pytest.approx(candidate.manifest.metrics.auc, abs=0.01)
    assert roc_auc_score(rows.target, candidate.predict(rows.features)) > honest
    assert score.mean() == pytest.approx(rows.target.mean(), abs=1e-6)  # calibrated in the large


def test_the_model_of_all_rows_is_at_the_level_that_it_learned(
    make_rows: Callable[..., Rows], settings: Settings
) -> None:
    """Its scores spread more than those of the folds' models, and where few default that alone raised the mean PD."""
    ratios = []
    for seed in range(4):
        drawn = make_rows(6_000, seed)
        assert drawn.target is not None
        rare = drawn.take(np.flatnonzero((drawn.target == 0) | (np.random.default_rng(seed).random(6_000) < 0.06)))
        known, new = rare.take(np.arange(len(rare) // 2)), rare.take(np.arange(len(rare) // 2, len(rare)))
        assert known.target is not None
        fitted = fit(known, settings, learners=["lightgbm"])
        own, held_out = fitted.predict(known.features).mean(), array(fitted, "reference_scores.npy")
        assert own == pytest.approx(known.target.mean(), rel=1e-6)
        assert held_out.mean() == pytest.approx(known.target.mean(), rel=1e-6)
        ratios.append(fitted.predict(new.features).mean() / known.target.mean())
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)
    assert max(np.abs(np.subtract(ratios, 1.0))) < 0.12


def test_the_reference_says_whose_its_rows_are_by_numbers_where_somebody_comes_twice(
    rows: Rows, settings: Settings, candidate: Candidate
) -> None:
    assert "reference_customers.npy" not in candidate.files
    named = replace(rows, ids=[f"customer {row // 3}" for row in range(len(rows))])
    again = fit(named, settings, learners=["scorecard"])
    numbers = array(again, "reference_customers.npy")
    assert numbers.shape == array(again, "reference_target.npy").shape
    assert np.unique(numbers, return_counts=True)[1].max() > 1
    np.testing.assert_array_equal(np.unique(numbers), np.arange(numbers.max() + 1))  # no name is kept


@pytest.mark.parametrize("learner", [*BUILT_IN, *GROWN])
def test_the_same_rows_config_and_seed_give_the_same_bytes(rows: Rows, settings: Settings, learner: str) -> None:
    one = settings.model_copy(update={"train": settings.train.model_copy(update={"threads": 1})})
    first, second = fit(rows, settings, learners=[learner]), fit(rows, one, learners=[learner])
    assert first.files == second.files
    assert first.manifest == second.manifest


def test_protected_columns_change_nothing(rows: Rows, settings: Settings, candidate: Candidate) -> None:
    other = rows.features.copy()
    other[:, settings.row_schema.positions["sex"]] = 0.0
    np.testing.assert_array_equal(candidate.predict(other), candidate.predict(rows.features))


@pytest.mark.parametrize("learner", [*BUILT_IN, *GROWN])
def test_monotone_features_are_monotone(rows: Rows, settings: Settings, learner: str) -> None:
    fitted = fit(rows, settings, learners=[learner])
    grid = np.repeat(rows.features[:20], 60, axis=0)
    grid[:, 0] = np.tile(np.linspace(-3, 3, 60), 20)
    p = fitted.predict(grid).reshape(20, 60)
    assert (np.diff(p, axis=1) >= -1e-15).all()
    assert (p[:, -1] > p[:, 0]).all()


def test_with_times_only_later_rows_are_judged(make_rows: Callable[..., Rows], settings: Settings) -> None:
    timed = make_rows(1500, timed=True)
    fitted = fit(timed, settings, learners=["scorecard"])
    assert fitted.manifest.training.first_time == "1970-01-01T00:00:00+00:00"
    assert len(array(fitted, "reference_scores.npy")) == 1000  # the first third only ever trains


def test_weights_move_the_model_and_its_reference(rows: Rows, settings: Settings) -> None:
    weights = np.where(rows.features[:, 0] > 0, 5.0, 0.5)
    plain = fit(rows, settings, learners=["scorecard"])
    weighted = fit(rows, settings, learners=["scorecard"], weights=weights)
    assert weighted.manifest.training.weighted
    assert weighted.files["scorecard.json"] != plain.files["scorecard.json"]
    share = (array(weighted, "reference.npy")[:, 0] > 0).mean()
    assert share == pytest.approx(np.average(rows.features[:, 0] > 0, weights=weights), abs=0.05)


def test_what_is_measured_comes_from_the_present_world(rows: Rows, settings: Settings) -> None:
    present = np.arange(len(rows)) >= 900
    fitted = fit(rows, settings, learners=["scorecard"], present=present)
    assert fitted.manifest.training.rows == len(rows)
    reference = {tuple(row) for row in np.nan_to_num(array(fitted, "reference.npy"))}
    assert reference == {tuple(row) for row in np.nan_to_num(rows.features[900:])}


def test_fit_once_ranks_like_the_validated_model(rows: Rows, settings: Settings, candidate: Candidate) -> None:
    score = fit_once(rows, settings, candidate.learner, size=candidate.manifest.training.size)
    order = np.argsort(candidate.predict(rows.features), kind="stable")
    assert (np.diff(score(rows.features)[order]) >= -1e-9).all()


def test_recalibration_keeps_the_ranking_and_moves_the_level(
    rows: Rows, settings: Settings, candidate: Candidate, tmp_path: Path
) -> None:
    parent = stored(tmp_path, candidate)
    p = candidate.predict(rows.features)
    outcomes = (np.random.default_rng(1).random(len(p)) < p / 2).astype(np.float64)
    free = settings.model_copy(update={"retrain": settings.retrain.model_copy(update={"max_step": 3.0})})
    again = recalibrate(parent, 1, load_model(parent, 1).probabilities, p, outcomes, free)
    q = again.predict(rows.features)
    assert q.mean() == pytest.approx(outcomes.mean(), abs=1e-6)
    np.testing.assert_array_equal(np.argsort(p, kind="stable"), np.argsort(q, kind="stable"))
    assert again.manifest.parent == 1
    assert again.manifest.metrics.auc == candidate.manifest.metrics.auc
    assert again.files[again.manifest.model_file] == candidate.files[candidate.manifest.model_file]
    check_agreement(load_model(stored(tmp_path, again), 2), again, rows.features)
    reference = (array(c, "reference_scores.npy") for c in (candidate, again))
    old, new = (log_odds(scores) for scores in reference)
    assert np.corrcoef(old, new)[0, 1] == pytest.approx(1.0)


def test_recalibration_goes_by_steps_through_the_cycle_and_with_a_margin_that_is_on_record(
    rows: Rows, settings: Settings, candidate: Candidate, tmp_path: Path
) -> None:
    parent = stored(tmp_path, candidate)
    predict = load_model(parent, 1).probabilities
    p = candidate.predict(rows.features)
    outcomes = (np.random.default_rng(1).random(len(p)) < p / 3).astype(np.float64)
    step = recalibrate(parent, 1, predict, p, outcomes, settings)
    level = step.manifest.training.level
    assert level is not None
    assert step.predict(rows.features).mean() == pytest.approx(p.mean() / 1.5)
    assert level.wanted == pytest.approx(outcomes.mean(), abs=1e-6)
    train = settings.train.model_copy(update={"calibration": "through_the_cycle", "margin": 0.2})
    before = np.concatenate((rows.times - 10**15, rows.times))
    cycle = LongRun(before, np.concatenate((p, p)), np.concatenate((rows.target, outcomes)))  # type: ignore[arg-type]
    through = recalibrate(
        parent, 1, predict, p, outcomes, settings.model_copy(update={"train": train}), cycle=cycle
    ).manifest
    assert through.training.level is not None
    assert (through.training.level.calibration, through.training.level.margin) == ("through_the_cycle", 0.2)
    assert outcomes.mean() < through.training.level.long_run < rows.target.mean()  # type: ignore[union-attr]
    assert through.calibration.b == parent.manifest.calibration.b, "only the level moves"


def test_a_threshold_by_approval_rate_looks_at_applicants_and_not_at_the_approved(
    rows: Rows, settings: Settings, candidate: Candidate, tmp_path: Path
) -> None:
    policy = ThresholdSettings(policy="approval_rate", approval_rate=0.7)
    chosen = settings.model_copy(update={"threshold": policy})
    p = candidate.predict(rows.features)
    approved = p < np.quantile(p, 0.6)
    declined = rows.take(~approved)
    kept = fit(rows.take(approved), chosen, learners=["scorecard"], declined=replace(declined, target=None))
    everybody = kept.predict(rows.features)
    assert np.mean(everybody < kept.manifest.threshold) == pytest.approx(0.7, abs=0.08)
    parent = stored(tmp_path, candidate)
    again = recalibrate(
        parent,
        1,
        load_model(parent, 1).probabilities,
        p[approved],
        rows.target[approved],  # type: ignore[index]
        chosen,
        declined=declined.features,
    )
    assert np.mean(again.predict(rows.features) < again.manifest.threshold) == pytest.approx(0.7, abs=0.01)


# --------------------------------------------------------------------------- custom learners and refusals


def custom(estimator: str, params: str = "", features: str = "[features.x]\n") -> Settings:
    return parse_settings(
        f'[portfolio]\ntarget = "y"\n[train]\nfolds = 2\nlearners = ["mine"]\n'
        f'[learners.mine]\nestimator = "{estimator}"\n[learners.mine.params]\n{params}\n{features}'
    )


def numbers(n: int = 400) -> Rows:
    x = np.random.default_rng(0).normal(size=(n, 1))
    y = (np.random.default_rng(1).random(n) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(np.float64)
    return Rows(x, [str(i) for i in range(n)], np.zeros(n, dtype=np.int64), y)


@pytest.mark.parametrize(
    ("estimator", "params", "file"),
    [
        ("sklearn.linear_model.LogisticRegression", "C = 0.5", "model.skops"),
        ("sklearn.ensemble.ExtraTreesClassifier", "n_estimators = 5", "model.skops"),
        ("sklearn.ensemble.HistGradientBoostingClassifier", "max_iter = 5", "model.txt"),
        ("lightgbm.LGBMClassifier", "n_estimators = 5", "model.txt"),
    ],
)
def test_estimators_of_the_config_are_trained_and_stored_safely(
    estimator: str, params: str, file: str, tmp_path: Path
) -> None:
    rows, settings = numbers(), custom(estimator, params)
    first, second = fit(rows, settings), fit(rows, settings)
    assert first.manifest.model_file == file
    assert first.files == second.files
    check_agreement(load_model(stored(tmp_path, first), 1), first, rows.features)


@pytest.mark.parametrize(
    ("estimator", "params", "message"),
    [
        ("no_such_module.Model", "", "cannot be imported"),
        ("sklearn.linear_model.Nothing", "", "cannot be imported"),
        ("sklearn.linear_model.LogisticRegression", "trees = 3", "do not fit"),
        ("sklearn.linear_model.LinearRegression", "", "no classifier with probabilities"),
        ("collections.OrderedDict", "", "no classifier with probabilities"),
    ],
)
def test_what_is_no_learner_is_refused(estimator: str, params: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(numbers(), custom(estimator, params))


def test_an_estimator_that_cannot_take_missing_values_says_so() -> None:
    settings = custom("sklearn.linear_model.LogisticRegression", features="[features.x]\nnullable = true\n")
    with pytest.raises(ConfigError, match="cannot take missing values, which 'x' may have"):
        fit(numbers(), settings)


def test_an_estimator_that_cannot_be_stored_safely_is_refused() -> None:
    with pytest.raises(ArtefactError, match="does not trust"):
        fit(numbers(), custom("sklearn.gaussian_process.GaussianProcessClassifier", features="[features.x]\n"))


def test_a_monotone_category_is_refused(rows: Rows, settings: Settings) -> None:
    job = settings.features["job"].model_copy(update={"monotone": 1})
    wrong = settings.model_copy(update={"features": {**settings.features, "job": job}})
    with pytest.raises(ConfigError, match="category, which cannot be monotone"):
        fit(rows, wrong)


def test_too_little_to_learn_from(rows: Rows, settings: Settings) -> None:
    with pytest.raises(DataError, match="has 0 defaults"):
        fit(Rows(rows.features, rows.ids, rows.times, np.zeros(len(rows))), settings)


@pytest.mark.skipif("RISKLOOP_UCI" not in os.environ, reason="RISKLOOP_UCI names no file")
def test_the_real_customers_are_ranked_as_well_as_known(tmp_path: Path) -> None:
    from riskloop.data.config import infer_config

    path = Path(os.environ["RISKLOOP_UCI"])
    settings = parse_settings(infer_config(path, target="default.payment.next.month"))
    rows = rows_from(path, settings.row_schema, target="required", where=path.name)
    fitted = fit(rows, settings)
    assert fitted.manifest.metrics.auc >= 0.781
    check_agreement(load_model(stored(tmp_path, fitted), 1), fitted, rows.features)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [*BUILT_IN, *GROWN, "own", "forest"])
def test_every_learner_bears_columns_without_a_value(name: str, *, weighted: bool) -> None:
    """The first months of a history do not have the columns that came later: the fits to them say so of no row."""
    own = "\n".join(
        f'[learners.{key}]\nestimator = "sklearn.ensemble.{path}"\n'
        for key, path in (("own", "HistGradientBoostingClassifier"), ("forest", "RandomForestClassifier"))
    )
    text = f'[portfolio]\ntarget = "bad"\n{own}'
    kinds = {"x": 'kind = "number"', "late": 'kind = "number"', "code": 'kind = "category"\ncategories = ["a", "b"]'}
    text += "".join(f"[features.{key}]\nnullable = true\n{kind}\n" for key, kind in kinds.items())
    settings, rng = parse_settings(text), np.random.default_rng(5)
    matrix = np.full((400, 3), np.nan)
    matrix[:, 0] = rng.normal(size=400)
    default = rng.random(400) < 1 / (1 + np.exp(-matrix[:, 0]))
    weights = np.where(np.arange(400) % 2 == 0, 1.0, 0.5) if weighted else None
    fitted = learner(name, settings).fit(settings.row_schema, matrix, default, weights, 1, 1)
    filled = matrix.copy()
    filled[:, 1], filled[:, 2] = 7.0, 1.0
    p = fitted.predict_proba(matrix)[:, 1]
    assert roc_auc_score(default, p) > 0.6
    if name != "scorecard":
        np.testing.assert_array_equal(fitted.predict_proba(filled)[:, 1], p)


@pytest.mark.parametrize(("name", "parameter"), [("lightgbm", "n_estimators"), ("hist_gradient_boosting", "max_iter")])
def test_few_rows_bear_few_trees(rows: Rows, settings: Settings, name: str, parameter: str) -> None:
    """Weights that leave a quarter of the rows halve the trees; from enough rows on there are all of them."""
    assert rows.target is not None
    matrix, default = settings.row_schema.model_matrix(rows.features), rows.target == 1.0
    weights = np.where(np.arange(len(matrix)) % 4 == 0, 1.0, 0.0)

    def trees(weight: Floats | None) -> int:
        fitted = learner(name, settings).fit(settings.row_schema, matrix, default, weight, 1, 1)
        return int(getattr(fitted, parameter))

    most = {"n_estimators": 250, "max_iter": 150}[parameter]
    assert trees(None) == round(most * math.sqrt(len(matrix) / 20_000))
    assert trees(weights) == pytest.approx(trees(None) / 2, abs=1)
