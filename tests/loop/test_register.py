"""What scores in production agrees with what was fitted, or nothing is stored; what is stored is never touched."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.extras import GROWN

from riskloop.core.errors import ArtefactError
from riskloop.core.types import Floats, Rows
from riskloop.loop.register import register
from riskloop.scoring.model import load_model
from riskloop.store.home import Home
from riskloop.train.candidate import Candidate
from riskloop.train.fit import fit

NOW = datetime(2025, 5, 5, tzinfo=UTC)
CONFIG = """
[portfolio]
target = "bad"
[features.debt]
[features.income]
[train]
folds = 2
[learners.forest]
estimator = "sklearn.ensemble.ExtraTreesClassifier"
params = { n_estimators = 5, max_depth = 3 }
"""


def shifted(p: Floats) -> Floats:
    return p + 1e-6


def unknown(p: Floats) -> Floats:
    return np.full(len(p), np.nan)


def reversed_(p: Floats) -> Floats:
    return p[::-1]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text(CONFIG)
    home = Home.open(tmp_path)
    yield home
    home.close()


@pytest.fixture
def rows() -> Rows:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 2))
    target = (rng.random(300) < 1 / (1 + np.exp(-features[:, 0]))).astype(float)
    return Rows(features, [str(i) for i in range(300)], np.zeros(300, dtype=np.int64), target)


def lying(candidate: Candidate, lie: Callable[[Floats], Floats]) -> Candidate:
    """The same bytes, beside an estimator that says something else."""
    return replace(candidate, predict=lambda features: lie(candidate.predict(features)))


@pytest.mark.parametrize("lie", [shifted, unknown, reversed_])
@pytest.mark.parametrize("learner", ["scorecard", "lightgbm", "hist_gradient_boosting", "forest", *GROWN])
def test_a_disagreement_leaves_the_files_of_a_live_version_alone(
    home: Home, rows: Rows, learner: str, lie: Callable[[Floats], Floats]
) -> None:
    candidate = fit(rows, home.settings, learners=[learner])
    version = register(home.artefacts, home.ledger, candidate, rows, origin="train", now=NOW)
    before = load_model(home.artefact(version), version).probabilities(rows.features)
    with pytest.raises(ArtefactError, match="was not registered"):
        register(home.artefacts, home.ledger, lying(candidate, lie), rows, origin="train", now=NOW)
    after = load_model(home.artefact(version), version).probabilities(rows.features)
    np.testing.assert_array_equal(after, before)
    assert len(home.ledger.models()) == 1


@pytest.mark.parametrize("learner", ["scorecard", "lightgbm", "forest"])
def test_a_disagreement_writes_nothing(home: Home, rows: Rows, learner: str) -> None:
    candidate = fit(rows, home.settings, learners=[learner])
    with pytest.raises(ArtefactError, match="was not registered"):
        register(home.artefacts, home.ledger, lying(candidate, shifted), rows, origin="train", now=NOW)
    assert not list(home.artefacts.root.glob("*"))
    assert home.ledger.models() == []
    assert register(home.artefacts, home.ledger, candidate, rows, origin="train", now=NOW) == 1
