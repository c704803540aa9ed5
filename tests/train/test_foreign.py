"""Models that were made elsewhere: however their columns were written, each row scores as by their own library."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessClassifier
from tests import foreign
from tests.foreign import INPUTS, SCALE, coded, dummies, people

from riskloop.core.errors import ArtefactError, ConfigError, DataError
from riskloop.core.settings import parse_settings
from riskloop.core.types import Floats, Rows
from riskloop.data.read import rows_from
from riskloop.scoring.lightgbm import Booster
from riskloop.scoring.shap import parse_trees
from riskloop.train.float32 import xgboost_text
from riskloop.train.foreign.adopt import compare_with, read_model
from riskloop.train.foreign.alone import try_alone
from riskloop.train.foreign.card import PointsScale
from riskloop.train.foreign.model import ForeignModel
from riskloop.train.foreign.sound import require_sound
from riskloop.train.foreign.source import ForeignFile, find

SETTINGS = parse_settings(foreign.CONFIG)
SCHEMA = SETTINGS.row_schema
HISTORY = people()
MANY = people(3000, 5)
SCALED = PointsScale(*SCALE)


def rows_of(frame: foreign.Frame) -> Rows:
    return rows_from(frame, SCHEMA, target="required", where="people")


def matrix(frame: foreign.Frame) -> Floats:
    return SCHEMA.model_matrix(rows_of(frame).features)


def read(kind: Any, content: bytes, name: str = "file", **more: Any) -> ForeignModel:
    return read_model(ForeignFile(name, content, kind, name), SCHEMA, matrix(HISTORY), **more)


def numbers(frame: foreign.Frame) -> Floats:
    """The inputs as somebody with arrays has them: jobs counted from 0, regions as they are."""
    jobs = frame["job"].map({"owner": 0, "clerk": 1, "nurse": 2})
    return np.column_stack((frame["debt"], frame["income"], jobs, frame["region"])).astype(np.float64)


# --------------------------------------------------------------------------- LightGBM

Way = tuple[Callable[[foreign.Frame], Any], dict[str, Any]]
FRAMES: dict[str, Way] = {
    "categories": (coded, {}),
    "a number for the region": (lambda frame: coded(frame, region=False), {}),
    "zeros and ones": (dummies, {}),
    "another order": (lambda frame: coded(frame)[["region", "income", "job", "debt"]], {}),
    "fewer columns": (lambda frame: coded(frame)[["income", "job"]], {}),
    "zero as missing": (coded, {"zero_as_missing": True}),
    "missing values are zeros": (coded, {"use_missing": False}),
    "a forest": (coded, {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1, "n_estimators": 7}),
    "a steeper curve": (coded, {"sigmoid": 1.7}),
    "cross entropy": (coded, {"objective": "cross_entropy"}),
    "dart": (coded, {"boosting_type": "dart"}),
    "many leaves": (coded, {"num_leaves": 60, "min_child_samples": 2}),
}


@pytest.mark.parametrize("way", FRAMES)
def test_lightgbms_text_scores_as_lightgbm_on_the_lenders_own_frame(way: str) -> None:
    """The independent reference is the fitted classifier on the frame, which knows nothing of riskloop's codes."""
    made, params = FRAMES[way]
    frame = made(HISTORY)
    chosen = {"n_estimators": 30, "num_leaves": 12, "verbose": -1, "n_jobs": 1, "min_child_samples": 5, **params}
    fitted = lightgbm.LGBMClassifier(**chosen).fit(frame, HISTORY["bad"])
    model = read("lightgbm", fitted.booster_.model_to_string().encode())
    expected = fitted.predict_proba(made(MANY))[:, 1]
    rewired = Booster(model.files["model.txt"], way)
    trees = parse_trees(model.files["model.txt"].decode())
    share = 1 / len(trees) if way == "a forest" else 1.0
    for raw in (model.score(matrix(MANY)), share * rewired.raw(matrix(MANY))):
        np.testing.assert_allclose(1 / (1 + np.exp(-raw)), expected, atol=1e-12, rtol=0)


def test_columns_without_names_are_the_inputs_in_their_order() -> None:
    kept = SETTINGS.row_schema.features[2].categories
    assert kept[:3] == ("owner", "clerk", "nurse")
    X = numbers(HISTORY)[:, [0, 1]]
    text = foreign.lightgbm_text(X, HISTORY["bad"])
    with pytest.raises(DataError, match="2 columns without names, and the portfolio 4 inputs: debt, income"):
        read("lightgbm", text)
    with pytest.raises(DataError, match="does not say which number stands for 'owner'"):
        read("lightgbm", foreign.lightgbm_text(numbers(HISTORY), HISTORY["bad"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lambda: foreign.lightgbm_text(coded(HISTORY), HISTORY["region"]), "a binary classifier is needed"),
        (lambda: foreign.lightgbm_text(coded(HISTORY), HISTORY["bad"], linear_tree=True), "linear trees"),
        (lambda: b"tree\nversion=v4\n", "a binary classifier is needed"),
    ],
)
def test_what_is_no_classifier_of_two_is_not_read(text: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        read("lightgbm", text())


@pytest.mark.parametrize(
    ("column", "message"),
    [("shoe size", "reads 'shoe_size', which is no feature"), ("sex", "reads 'sex', which is protected")],
)
def test_a_column_that_the_portfolio_does_not_have_is_named(column: str, message: str) -> None:
    frame = HISTORY[["debt"]].assign(**{column: np.arange(len(HISTORY)) % 7})
    with pytest.raises(DataError, match=message):
        read("lightgbm", foreign.lightgbm_text(frame, HISTORY["bad"]))


@pytest.fixture(scope="module")
def small() -> str:
    """Four trees, on categories, too."""
    return foreign.lightgbm_text(coded(HISTORY), HISTORY["bad"], n_estimators=4, num_leaves=6).decode()


def _with(text: str, key: str, place: int, value: str) -> bytes:
    """The text with one number of the first tree's list ``key`` exchanged."""
    found = re.search(rf"(?m)^{key}=(.*)$", text)
    assert found is not None
    numbers = found[1].split()
    numbers[place] = value
    return f"{text[: found.start(1)]}{' '.join(numbers)}{text[found.end(1) :]}".encode()


DAMAGES: list[tuple[str, int, str, str]] = [
    ("left_child", 0, "0", "nodes that do not form a tree"),  # the node is its own child
    ("right_child", -1, "1", "nodes that do not form a tree"),  # a circle
    ("left_child", 0, "99", "nodes that do not form a tree"),
    ("right_child", 0, "-99", "nodes that do not form a tree"),
    ("split_feature", 0, "77", "reads column 77, and there are 4"),
    ("split_feature", 0, "-1", "reads column"),
    ("threshold", 0, "nan", "a threshold that is no number"),
    ("leaf_value", 2, "nan", "a leaf whose value is no finite number"),
    ("leaf_value", 2, "", "5 splits and 5 leaves"),
    ("decision_type", 1, "", "lists of different lengths"),
    ("threshold", 2, "1e", "cannot be read as a model of lightgbm"),
    ("left_child", 1, "9" * 30, "cannot be read as a model of lightgbm"),
]


@pytest.mark.parametrize(("key", "place", "value", "message"), DAMAGES)
def test_a_damaged_tree_is_refused_before_anything_follows_it(
    small: str, key: str, place: int, value: str, message: str
) -> None:
    with pytest.raises(ArtefactError, match=message):
        read("lightgbm", _with(small, key, place, value))


def test_line_ends_of_another_system_and_an_edited_header_change_nothing(small: str) -> None:
    matrix_of = matrix(MANY)
    plain = read("lightgbm", small.encode()).score(matrix_of)
    edited = re.sub(r"(?m)^tree_sizes=.*$", "tree_sizes=1 2 3 4", small)
    for other in (small.replace("\n", "\r\n"), edited):
        assert np.array_equal(read("lightgbm", other.encode()).score(matrix_of), plain)


# --------------------------------------------------------------------------- XGBoost

XGB: dict[str, Way] = {
    "categories": (coded, {}),
    "categories, many splits": (coded, {"max_cat_to_onehot": 1, "max_depth": 6}),
    "zeros and ones": (dummies, {}),
    "a number for the region": (lambda frame: coded(frame, region=False), {}),
    "fewer columns": (lambda frame: coded(frame)[["income", "job"]], {}),
    "dart": (coded, {"booster": "dart", "rate_drop": 0.3, "n_estimators": 15}),
    "two trees a round": (coded, {"num_parallel_tree": 2, "subsample": 0.5}),
    "leaf by leaf": (coded, {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0}),
    "no start": (coded, {"base_score": 0.5}),
}


@pytest.mark.parametrize("raw", ["json", "ubj"])
@pytest.mark.parametrize("way", XGB)
def test_xgboosts_file_scores_as_xgboost_on_the_lenders_own_frame(way: str, raw: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    made, params = XGB[way]
    chosen = {"n_estimators": 20, "max_depth": 3, "n_jobs": 1, "enable_categorical": True, **params}
    fitted = xgboost.XGBClassifier(**chosen).fit(made(HISTORY), HISTORY["bad"])
    model = read("xgboost", bytes(fitted.get_booster().save_raw(raw)))
    expected = fitted.predict_proba(made(MANY))[:, 1].astype(np.float64)
    ours, rewired = model.score(matrix(MANY)), Booster(model.files["model.txt"], way).raw(matrix(MANY))
    np.testing.assert_allclose(rewired, ours, atol=1e-9, rtol=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-ours)), expected, atol=1e-6, rtol=0)
    assert compare_with(model, matrix(MANY), None, "")[0] < 1e-6


def test_rounds_after_the_best_of_an_early_stopping_are_left_out() -> None:
    xgboost = pytest.importorskip("xgboost")
    fitted = xgboost.XGBClassifier(n_estimators=300, early_stopping_rounds=5, enable_categorical=True, n_jobs=1)
    fitted.fit(coded(HISTORY), HISTORY["bad"], eval_set=[(coded(MANY), MANY["bad"])], verbose=False)
    model = read("xgboost", bytes(fitted.get_booster().save_raw("json")))
    assert fitted.best_iteration < fitted.get_booster().num_boosted_rounds() - 1
    expected = fitted.predict_proba(coded(MANY))[:, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-model.score(matrix(MANY)))), expected, atol=1e-6, rtol=0)
    assert f"first {fitted.best_iteration + 1} rounds" in model.notes[0]


def test_xgboost_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskloop.train.foreign.boosters.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'riskloop\[xgboost\]'"):
        read("xgboost", b"{}")


def _circle(tree: Any) -> None:
    tree["left_children"][0] = 0


def _beyond(tree: Any) -> None:
    tree["right_children"][0] = 99


def _another_column(tree: Any) -> None:
    tree["split_indices"][0] = 99


def _no_number(tree: Any) -> None:
    tree["split_conditions"][0] = float("nan")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_circle, "do not form a tree"),
        (_beyond, "do not form a tree"),
        (_another_column, "column"),
        (_no_number, "no.? number|NaN"),
    ],
)
def test_a_damaged_tree_of_xgboost_is_refused(damage: Callable[[Any], None], message: str) -> None:
    pytest.importorskip("xgboost", reason="pip install 'riskloop[xgboost]'")
    inputs = HISTORY[["debt", "income"]]
    document = json.loads(foreign.xgboost_json(inputs, HISTORY["bad"], n_estimators=2))
    text = xgboost_text(document)
    damage(document["learner"]["gradient_booster"]["model"]["trees"][0])
    with pytest.raises(ArtefactError, match=message):
        require_sound(parse_trees(xgboost_text(document).decode()), 2, "it")
    require_sound(parse_trees(text.decode()), 2, "it")


def _signalled(folder: Path) -> Path:
    program = folder / "python"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o700)
    return program


def _endless(folder: Path) -> Path:
    program = folder / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    return program


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (_signalled, "LightGBM itself ends with SIGSEGV when it reads champion.txt"),
        (_endless, "does not come to an end"),
    ],
)
def test_a_file_that_ends_its_own_library_is_refused_in_words(
    program: Callable[[Path], Path], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(program(tmp_path)))
    with pytest.raises(ArtefactError, match=message):
        try_alone(ForeignFile("champion.txt", b"tree\n", "lightgbm", "champion.txt"), patience=0.5)


# --------------------------------------------------------------------------- skops


def test_a_pipeline_reads_texts_by_name_as_it_was_fitted() -> None:
    fitted = foreign.pipeline(HISTORY)
    model = read("skops", foreign.skops_bytes(fitted), "model.skops")
    expected = fitted.predict_proba(MANY[INPUTS])[:, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-model.score(matrix(MANY)))), expected, atol=1e-9, rtol=0)
    assert (model.learner, model.reasons) == ("LogisticRegression", "occlusion")


def test_untrusted_types_are_named_and_not_loaded() -> None:
    estimator = GaussianProcessClassifier().fit(numbers(HISTORY)[:60, :1], HISTORY["bad"][:60])
    booster = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(coded(HISTORY)[["debt"]], HISTORY["bad"])
    for made, named in ((estimator, "gaussian_process"), (booster, "lightgbm")):
        with pytest.raises(ArtefactError, match=f"contains .*{named}.*, which riskloop does not trust"):
            read("skops", foreign.skops_bytes(made), "model.skops")


@pytest.mark.parametrize("name", ["bomb.skops", "bomb.xlsx"])
def test_an_archive_that_unpacks_to_very_much_is_not_unpacked(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        for _ in range(300):
            file.write(bytes(2**20))
    with pytest.raises(ArtefactError, match="no model is packed like that"):
        find(str(tmp_path / name))


# --------------------------------------------------------------------------- scorecards


@pytest.mark.parametrize("closed", ["left", "right"])
def test_a_card_scores_as_by_hand(closed: Any) -> None:
    model = read("scorecard", foreign.card_csv(), "card.csv", scale=SCALED, closed=closed)
    expected = np.array([foreign.card_score(row, closed=closed) for row in MANY.itertuples()])
    assert model.points is not None
    np.testing.assert_allclose(model.points(model.score(matrix(MANY))), expected, atol=1e-9, rtol=0)
    odds = 30.0 * 2.0 ** ((expected - 600.0) / 20.0)  # good customers for a bad one
    np.testing.assert_allclose(1 / (1 + np.exp(-model.score(matrix(MANY)))), 1 / (1 + odds), atol=1e-12)
    apart, whom = compare_with(model, matrix(MANY), expected.round(1), "points")
    assert apart <= 0.05 + 1e-9
    assert whom == "column points"
    with pytest.raises(ArtefactError, match=r"scores .* by the file and .* by column points; 3,000 rows differ"):
        compare_with(model, matrix(MANY), expected + 1.0, "points")


def changed(line: int, **cells: str) -> bytes:
    rows = [list(row) for row in foreign.CARD]
    for name, text in cells.items():
        rows[line][foreign.CARD[0].index(name.rstrip("_"))] = text
    return foreign.card_csv(rows)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (foreign.card_csv(), ConfigError, "'debt' = 1, where one bin ends and the next begins"),
        (changed(3, from_="0.5"), DataError, r"line 5 \('debt'\)|line 4 \('debt'\): begins at 0.5"),
        (changed(8, level="9"), DataError, r"no points for a missing value of 'income'"),
        (changed(9, level="plumber"), DataError, r"line 10 \('job'\): 'plumber' is no level"),
        (changed(9, level="clerk"), DataError, "the level 'clerk' has points already"),
        (changed(2, points="many"), DataError, "line 3: 'many' is no number of points"),
        (changed(2, feature="shoe size"), DataError, "points for 'shoe size', which is no feature"),
        (changed(2, feature="sex"), DataError, "points for 'sex', which is protected"),
        (changed(13, level="1"), DataError, "no points for every level of 'region'"),
        (b"feature,from\ndebt,1\n", DataError, "no column 'points'"),
        (b"points\n", DataError, "no table with a header and lines"),
    ],
)
def test_a_card_that_would_have_to_be_guessed_is_refused(content: bytes, error: type[Exception], message: str) -> None:
    closed = None if error is ConfigError else "right"
    with pytest.raises(error, match=message):
        read("scorecard", content, "card.csv", scale=SCALED, closed=closed)


def test_a_card_says_what_its_points_mean() -> None:
    with pytest.raises(ConfigError, match=r"--base .*--odds .*--double"):
        read("scorecard", foreign.card_csv(), "card.csv", closed="right")


def test_gaps_between_whole_numbers_belong_to_the_bin_below_and_are_said() -> None:
    rows = [
        ("feature", "from", "to", "points"), ("debt", "0", "1", "40"), ("debt", "2", "4", "10"),
    ]  # fmt: skip
    model = read("scorecard", foreign.card_csv(rows), "card.csv", scale=SCALED)
    assert model.points is not None
    scores = model.points(model.score(matrix(MANY)))
    np.testing.assert_allclose(scores, np.where(MANY["debt"] < 2, 40.0, 10.0))
    assert "values lie between 1 and 2" in " ".join(model.notes)
