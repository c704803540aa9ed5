"""Whose outcomes speak for whom, and what the comparison would be if the declined had some."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from riskloop.core import stats
from riskloop.core.settings import GateSettings
from riskloop.gate import Applicants, Context, Coverage, Evaluation
from riskloop.gate.selection import outcome_coverage, parcelled, reject_inference

MakeContext = Callable[..., Context]
MakeEvaluation = Callable[..., Evaluation]


@pytest.mark.parametrize(("known", "passed"), [(100, True), (10, None)])
def test_missing_outcomes_of_the_declined_are_said(
    known: int, passed: bool | None, evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(coverage=Coverage(300, 300, 100, known, explored=10))
    check = outcome_coverage(one, GateSettings(), context())
    assert check.passed is passed
    assert ("approved customers only" in check.sentence) is (passed is None)


def test_explored_decisions_speak_for_the_declined(evaluation: MakeEvaluation, context: MakeContext) -> None:
    weights = np.where(np.arange(7000) % 50 == 0, 40.0, 1.0)
    one = evaluation(coverage=Coverage(6860, 6860, 5740, 140, explored=140), weights=weights)
    check = outcome_coverage(one, GateSettings(), context())
    assert "140 of them approved at random" in check.sentence
    assert "Weighted for all applicants" in check.sentence
    gain = stats.weighted_auc_gain(one.labels, one.champion, one.challenger, weights)
    assert check.details == {"gain": gain.difference, "std_error": gain.std_error, "applicants": weights.sum()}


def approved_only(one: Evaluation) -> Evaluation:
    """The champion declines from its threshold on, and nobody knows what became of these."""
    known = one.champion < one.champion_threshold
    order = np.concatenate((np.flatnonzero(known), np.flatnonzero(~known)))
    return replace(
        one,
        labels=one.labels[known],
        champion=one.champion[known],
        challenger=one.challenger[known],
        applicants=Applicants(one.champion[order], one.challenger[order]),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_parcelling_by_what_happened_gives_the_gain_of_all_applicants(seed: int, evaluation: MakeEvaluation) -> None:
    whole = evaluation(n=3_000, seed=seed)
    happened = whole.labels[whole.champion >= whole.champion_threshold]
    truth = stats.paired_delong(whole.labels, whole.champion, whole.challenger)
    gain = parcelled(approved_only(whole), happened)
    assert gain.difference == pytest.approx(truth.difference, abs=1e-9)
    assert gain.std_error == pytest.approx(truth.std_error, rel=0.01)


def test_assumptions_that_disagree_are_a_notice_and_no_refusal(
    evaluation: MakeEvaluation, context: MakeContext
) -> None:
    """Among the declined the challenger ranks at random: who is right there depends on what they would have done."""
    one = approved_only(evaluation(n=8_000, champion=0.8, challenger=0.7))
    assert one.applicants is not None
    rng = np.random.default_rng(1)
    declined = rng.permutation(one.applicants.champion[one.labels.size :])
    swapped = replace(
        one, applicants=replace(one.applicants, challenger=np.concatenate((one.challenger, 0.3 * declined)))
    )
    check = reject_inference(swapped, GateSettings(), context())
    assert check.passed is None
    assert "depends on what is assumed of them" in check.sentence


def test_a_gain_that_holds_under_every_assumption_is_said_to(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=6_000, champion=3.0, challenger=0.3)
    few = np.flatnonzero(one.champion < np.quantile(one.champion, 0.98))
    rest = np.setdiff1d(np.arange(6_000), few)
    order = np.concatenate((few, rest))
    known = replace(
        one,
        labels=one.labels[few],
        champion=one.champion[few],
        challenger=one.challenger[few],
        applicants=Applicants(one.champion[order], one.challenger[order]),
    )
    check = reject_inference(known, GateSettings(), context())
    assert check.passed is True
    assert "every assumption gives the same answer" in check.sentence


def test_nothing_is_assumed_where_everybody_is_known(evaluation: MakeEvaluation, context: MakeContext) -> None:
    assert reject_inference(evaluation(), GateSettings(), context()).sizes.get("without_outcome") is None
