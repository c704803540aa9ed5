"""A plain scorecard beside the model: from the competition where it competed, fitted where it did not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from riskloop.core.errors import DataError
from riskloop.core.settings import LearnerSettings, Settings, restored
from riskloop.core.types import Rows
from riskloop.train import benchmark
from riskloop.train import fit as fitting
from riskloop.train.benchmark import compared
from riskloop.train.candidate import Candidate, shaping
from riskloop.train.fit import fit

STUMP = LearnerSettings(estimator="sklearn.tree.DecisionTreeClassifier", params={"max_depth": 1})


def changed(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update={"train": settings.train.model_copy(update={"search": 0, **values})})


@pytest.fixture(scope="module")
def crossed(make_rows: Callable[..., Rows]) -> Rows:
    """Defaults follow the product of two columns, which no sum of bins can see."""
    rows = make_rows(2400, seed=3)
    rng = np.random.default_rng(3)
    odds = 2.0 * np.sign(rows.features[:, 0]) * np.sign(rows.features[:, -1] - 15.0) - 1.0
    return replace(rows, target=(rng.random(len(rows)) < 1.0 / (1.0 + np.exp(-odds))).astype(np.float64))


@pytest.fixture(scope="module")
def beside(crossed: Rows, settings: Settings) -> Candidate:
    return fit(crossed, changed(settings, learners=("lightgbm",)))


def test_a_scorecard_is_fitted_where_none_competes_and_is_no_candidate(beside: Candidate) -> None:
    found = beside.manifest.training.benchmark
    assert found is not None
    assert set(beside.manifest.comparison) == {"lightgbm"}
    assert found.model_auc == pytest.approx(beside.manifest.metrics.auc, abs=0.01)  # weighted by pairs, not by folds
    assert found.gain == pytest.approx(found.model_auc - found.auc)
    assert found.low > 0.0
    assert "This is what its complexity buys." in found.sentence


def test_one_that_competes_is_not_fitted_again(
    crossed: Rows, settings: Settings, beside: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise AssertionError("a scorecard competed, so its scores are there")

    monkeypatch.setattr(benchmark, "validate", none)
    both = fit(crossed, changed(settings, learners=("scorecard", "lightgbm"))).manifest
    assert both.learner == "lightgbm"
    assert both.training.benchmark == beside.manifest.training.benchmark
    alone = fit(crossed, changed(settings, learners=("scorecard",))).manifest
    assert alone.training.benchmark is None


def test_a_better_scorecard_is_told_and_never_chosen(rows: Rows, settings: Settings) -> None:
    chosen = changed(
        settings,
        learners=("stump",),
    ).model_copy(update={"learners": {"stump": STUMP}})
    found = fit(rows, chosen)
    assert found.learner == "stump"
    assert found.manifest.training.benchmark is not None
    assert found.manifest.training.benchmark.high < 0.0
    assert "The scorecard ranks better." in found.manifest.training.benchmark.sentence


def test_a_scorecard_that_cannot_be_fitted_is_told(
    rows: Rows, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise DataError("No column holds.")

    monkeypatch.setattr(benchmark, "validate", broken)
    found = fit(rows, changed(settings, learners=("lightgbm",))).manifest.training
    assert found.benchmark is None
    assert found.left_out == {"plain scorecard": "There is no plain scorecard beside the model. No column holds."}


def test_without_it_a_manifest_is_as_before(crossed: Rows, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "benchmark_of", None)
    without = changed(settings, learners=("lightgbm",), benchmark=False)
    found = fit(crossed, without).manifest
    assert found.training.benchmark is None
    assert "benchmark" not in found.settings["train"]
    assert restored(settings, found.schema, found.settings).train.benchmark is False
    assert restored(without, found.schema, shaping(settings)).train.benchmark is True


@pytest.mark.parametrize("each", [1, 3])
def test_the_interval_is_that_of_a_bootstrap_of_customers(each: int) -> None:
    rng = np.random.default_rng(8)
    y = (rng.random(600) < 0.3).astype(float)
    one = y + rng.normal(0, 1.4, 600)
    other = one + 0.4 * y + rng.normal(0, 0.8, 600)
    who = np.repeat(np.arange(600), each)
    found = compared(y[who], one[who], other[who], None, who)
    assert found is not None
    draws = [rng.integers(600, size=600) for _ in range(400)]
    gains = [roc_auc_score(y[d], other[d]) - roc_auc_score(y[d], one[d]) for d in draws]
    assert found.gain == pytest.approx(roc_auc_score(y, other) - roc_auc_score(y, one))
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(np.std(gains), rel=0.12)
    assert compared(np.zeros(600), one, other, None, None) is None
