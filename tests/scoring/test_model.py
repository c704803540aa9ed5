import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.extras import GROWN

from riskloop.core.errors import ArtefactError
from riskloop.core.manifest import ModelManifest
from riskloop.core.settings import parse_settings
from riskloop.core.types import Floats, Rows
from riskloop.scoring.model import Model, check_agreement, load_model
from riskloop.store.artefacts import MANIFEST, Artefact, Artefacts
from riskloop.train.candidate import Candidate
from riskloop.train.fit import fit

CONFIG = """
[portfolio]
target = "default"
[features.PAY_0]
[features.AGE]
protected = true
[features.limit]
nullable = true
[features.job]
kind = "category"
categories = ["none", "clerk", "owner"]
unseen = "flag"
[train]
folds = 2
learners = ["scorecard"]
[learners.forest]
estimator = "sklearn.ensemble.RandomForestClassifier"
params = { n_estimators = 30, min_samples_leaf = 5 }
[learners.deep]
estimator = "lightgbm.LGBMClassifier"
params = { n_estimators = 20, num_leaves = 31 }
[learners.averaged]
estimator = "lightgbm.LGBMClassifier"
params = { n_estimators = 20, num_leaves = 4, boosting_type = "rf", subsample = 0.5, subsample_freq = 1 }
"""
LEARNERS = ("scorecard", "lightgbm", "hist_gradient_boosting", "forest", "deep", "averaged")

SETTINGS = parse_settings(CONFIG)


def history(n: int = 1200) -> Rows:
    rng = np.random.default_rng(0)
    pay, age = rng.integers(-2, 4, n), rng.integers(20, 80, n)
    limit, job = rng.lognormal(11, 1, n).round(), rng.integers(0, 3, n)
    z = 0.9 * pay - np.log(limit / 60_000) + (job == 1) - 1
    limit[rng.random(n) < 0.1] = np.nan
    features = np.column_stack((pay, age, limit, job)).astype(np.float64)
    target = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64)
    return Rows(features, [str(i) for i in range(n)], np.zeros(n, dtype=np.int64), target)


ROWS = history()
Trained = tuple[Candidate, Artefact[ModelManifest], Model]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    made: dict[str, Trained] = {}
    artefacts = Artefacts(tmp_path_factory.mktemp("models"))

    def load(learner: str) -> Trained:
        if learner not in made:
            candidate = fit(ROWS, SETTINGS, learners=[learner])
            artefact = artefacts.write(candidate.manifest, candidate.files)
            made[learner] = candidate, artefact, load_model(artefact, 7)
        return made[learner]

    return load


def odd_rows() -> Floats:
    """Values that no training row had."""
    return np.array(
        [
            [99.0, 20.0, np.nan, 3.0],  # 3 = a job never seen
            [-99.0, 20.0, 0.0, np.nan],
            [0.0, np.nan, 1e12, 2.0],
            [1.5, 0.0, -1e-300, 0.0],
        ]
    )


@pytest.mark.parametrize("learner", [*LEARNERS, *GROWN])
def test_it_scores_what_scikit_learn_scores(model: Callable[[str], Trained], learner: str) -> None:
    candidate, _, loaded = model(learner)
    features = np.concatenate((ROWS.features, odd_rows()))
    np.testing.assert_allclose(loaded.probabilities(features), candidate.predict(features), atol=1e-9, rtol=0)
    check_agreement(loaded, candidate, features)


@pytest.mark.parametrize("learner", [*LEARNERS, *GROWN])
def test_a_row_alone_has_the_bits_that_it_has_among_others(model: Callable[[str], Trained], learner: str) -> None:
    _, _, loaded = model(learner)
    features = np.concatenate((odd_rows(), ROWS.features[:40]))
    together, parts = loaded.probabilities(features), loaded.contributions(features)
    for i in range(len(features)):
        alone = features[i : i + 1]
        assert loaded.probabilities(alone)[0] == together[i]
        np.testing.assert_array_equal(loaded.contributions(alone)[0], parts[i])


@pytest.mark.parametrize("learner", [*LEARNERS, *GROWN])
def test_contributions_sum_to_the_raw_score(model: Callable[[str], Trained], learner: str) -> None:
    _, artefact, loaded = model(learner)
    features = np.concatenate((odd_rows(), ROWS.features[:200]))
    parts = loaded.contributions(features)
    assert parts.shape == (204, 5)
    assert (parts[:, 1] == 0.0).all()  # AGE is protected
    line = artefact.manifest.calibration
    p = 1 / (1 + np.exp(-(line.a + line.b * parts.sum(axis=1))))
    np.testing.assert_allclose(p, loaded.probabilities(features), atol=1e-9)


def test_an_unseen_level_is_scored_as_missing(model: Callable[[str], Trained]) -> None:
    for learner in LEARNERS:
        _, _, loaded = model(learner)
        unseen, missing = odd_rows()[:1], odd_rows()[:1]
        missing[0, 3] = np.nan
        assert loaded.probabilities(unseen) == loaded.probabilities(missing)


def test_the_scorer_writes_to_no_row_and_reads_read_only_ones(model: Callable[[str], Trained]) -> None:
    _, _, loaded = model("lightgbm")
    features = odd_rows()
    before = features.copy()
    features.flags.writeable = False
    loaded.probabilities(features)
    loaded.contributions(features)
    np.testing.assert_array_equal(features, before)


def test_reasons_name_the_strongest_parts(model: Callable[[str], Trained]) -> None:
    _, _, loaded = model("scorecard")
    row = np.array([2.0, 33.0, np.nan, 1.0])
    reasons = loaded.reasons(row, np.array([0.5, 0.0, -1.25, 0.1, -3.0]), 2)
    assert [r.text for r in reasons] == ["limit = missing lowers the risk", "PAY_0 = 2 raises the risk"]
    assert [r.contribution for r in reasons] == [-1.25, 0.5]
    assert [r.feature for r in loaded.reasons(row, np.array([0.0, 0.0, 0.0, 0.1, 1.0]), 4)] == ["job"]


def test_occlusion_compares_with_the_typical_customer(model: Callable[[str], Trained]) -> None:
    _, artefact, loaded = model("forest")
    typical = np.array([[artefact.manifest.baseline[name] for name in loaded.schema.names]])
    assert (loaded.contributions(typical)[0, :-1] == 0.0).all()


@pytest.mark.parametrize(
    ("p", "level"),
    [(0.05, "low"), (0.1, "medium"), (0.2, "medium"), (0.25, "high"), (0.5, "very_high"), (0.9, "very_high")],
)
def test_risk_levels(model: Callable[[str], Trained], p: float, level: str) -> None:
    assert model("scorecard")[2].risk_level(p) == level


def test_a_disagreeing_model_is_refused(model: Callable[[str], Trained]) -> None:
    candidate, _, loaded = model("scorecard")

    def slightly_off(features: Floats) -> Floats:
        p = candidate.predict(features)
        p[17] += 2e-9
        return p

    with pytest.raises(ArtefactError, match="gives row 18 a probability"):
        check_agreement(loaded, replace(candidate, predict=slightly_off), ROWS.features)
    with pytest.raises(ArtefactError, match="gives row 1 "):
        check_agreement(loaded, replace(candidate, predict=lambda x: np.full(len(x), np.nan)), ROWS.features)


def test_contributions_that_do_not_sum_up_are_refused(
    model: Callable[[str], Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, _, loaded = model("scorecard")
    monkeypatch.setattr(loaded, "contributions", lambda x: np.zeros((len(x), 5)))
    with pytest.raises(ArtefactError, match="do not sum to its score"):
        check_agreement(loaded, candidate, ROWS.features)


@pytest.mark.parametrize(
    ("learner", "content"),
    [
        ("lightgbm", b"tree\nversion=v4\nnonsense"),
        ("lightgbm", b""),
        ("scorecard", b"{}"),
        ("scorecard", b"\xff"),
        ("forest", b"PK"),
    ],
)
def test_a_model_file_that_is_none_is_refused(model: Callable[[str], Trained], learner: str, content: bytes) -> None:
    _, artefact, _ = model(learner)
    broken = replace(artefact, contents={**artefact.contents, artefact.manifest.model_file: content})
    with pytest.raises(ArtefactError):
        load_model(broken, 1)


@pytest.mark.parametrize("missing", ["schema", "calibration", "threshold", "risk_levels"])
def test_a_manifest_that_is_none_is_refused(model: Callable[[str], Trained], missing: str, tmp_path: Path) -> None:
    _, artefact, _ = model("scorecard")
    shutil.copytree(artefact.path, tmp_path / "x")
    written = tmp_path / "x" / MANIFEST
    written.write_text(json.dumps({k: v for k, v in json.loads(written.read_text()).items() if k != missing}))
    with pytest.raises(ArtefactError, match=f"not a ModelManifest that riskloop wrote.*{missing}"):
        Artefacts(tmp_path).read("x", ModelManifest)


def test_a_stored_model_scores_as_it_did_before(model: Callable[[str], Trained]) -> None:
    _, artefact, loaded = model("lightgbm")
    again = load_model(Artefacts(artefact.path.parent).read(artefact.name, ModelManifest, artefact.sha256), 7)
    np.testing.assert_array_equal(again.probabilities(ROWS.features), loaded.probabilities(ROWS.features))
