"""The two tests behind the verdict, against scipy and brute force."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from riskloop.core.settings import GateSettings
from riskloop.core.types import Floats, Try
from riskloop.gate import Context, Evaluation
from riskloop.gate.improvement import improvement

MakeContext = Callable[..., Context]
MakeEvaluation = Callable[..., Evaluation]


def _placements(labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    wins = (scores[labels == 1][:, None] > scores[labels == 0]) + 0.5 * (
        scores[labels == 1][:, None] == scores[labels == 0]
    )
    return wins.mean(axis=1), wins.mean(axis=0)


def test_auc_gain_is_delongs_test_of_the_least_gain(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=600)
    one = replace(one, champion=one.champion.round(2), challenger=one.challenger.round(2))  # with ties
    (a10, a01), (b10, b01) = (_placements(one.labels, s) for s in (one.champion, one.challenger))
    error = np.sqrt((b10 - a10).var(ddof=1) / a10.size + (b01 - a01).var(ddof=1) / a01.size)
    gain = b10.mean() - a10.mean() - 0.001
    found = improvement(one, GateSettings(), context()).check
    assert found.statistic == pytest.approx(scipy_stats.norm.sf(gain / error), abs=1e-12)
    assert found.details["std_error"] == pytest.approx(error, abs=1e-12)


def test_log_loss_gain_is_a_paired_t_test(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=3000, kind="recalibrate")
    one = replace(one, champion=one.challenger * 0.9)
    losses = [-np.log(np.where(one.labels == 1, p, 1 - p)) for p in (one.champion, one.challenger)]
    expected = scipy_stats.ttest_rel(losses[0], losses[1], alternative="greater").pvalue
    found = improvement(one, GateSettings(), context()).check
    assert found.statistic == pytest.approx(expected, abs=1e-3)
    assert found.name == "log_loss_gain"


def test_defaults_needed_give_the_power_at_the_level_that_is_left(
    evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(n=500, champion=0.8, challenger=0.8)
    found = improvement(one, GateSettings(), context())
    details = found.check.details
    error = details["std_error"] / ((one.defaults + found.defaults_needed) / one.defaults) ** 0.5
    assert details["next_level"] < 0.05
    power = scipy_stats.norm.sf(scipy_stats.norm.isf(details["next_level"]) - 0.009 / error)
    assert power == pytest.approx(0.8, abs=0.01)


def test_a_gain_as_large_as_the_one_seen_needs_fewer(evaluation: MakeEvaluation, context: MakeContext) -> None:
    found = improvement(evaluation(n=400, champion=0.9, challenger=0.7, seed=2), GateSettings(), context())
    assert found.check.passed is None
    assert found.check.details["gain"] > 0.009
    assert found.defaults_if_real is not None
    assert 0 <= found.defaults_if_real < found.defaults_needed


def test_the_next_try_is_announced(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=600, champion=0.8, challenger=0.78, seed=5)
    found = improvement(one, GateSettings(retry_growth=1.3), context())
    assert found.retry_defaults == math.ceil(0.3 * one.defaults)


def test_a_model_that_separates_perfectly_passes_with_power(context: MakeContext) -> None:
    labels = np.repeat([0.0, 1.0], [300, 100])
    rng = np.random.default_rng(2)
    one = Evaluation(labels, rng.random(400), 0.2 + 0.5 * labels, 0.5, 0.5)
    found = improvement(one, GateSettings(), context())
    assert found.check.passed is True
    assert found.challenger_auc == 1.0


def test_with_nothing_left_to_spend_nothing_passes(context: MakeContext) -> None:
    """Not even a p of 0, which is no more than the level of 0."""
    labels = np.repeat([0.0, 1.0], [300, 100])
    one = Evaluation(labels, 0.7 - 0.5 * labels, 0.2 + 0.5 * labels, 0.5, 0.5)
    settings, now = GateSettings(), context().now
    spent = Try(1, now, settings.run_alpha, "another")
    assert improvement(one, settings, context()).check.passed is True
    found = improvement(one, settings, context(tries=(spent,)))
    assert (found.check.statistic, found.check.threshold) == (0.0, 0.0)
    assert found.check.passed is None
