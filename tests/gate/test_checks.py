"""Every check of the gate, found through its registries."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats as scipy_stats

from riskloop.core.errors import DataError
from riskloop.core.settings import GateSettings, MoneySettings
from riskloop.core.titles import CHECKS
from riskloop.gate import Applicants, Context, Coverage, Evaluation
from riskloop.gate.checks import (
    Rule,
    calibration,
    evidence,
    log_loss,
    money_gain,
    score_shift,
)
from riskloop.gate.rules import ENVELOPE, GUARDRAILS, NOTICES

MakeContext = Callable[..., Context]
MakeEvaluation = Callable[..., Evaluation]

ALL = (evidence, *GUARDRAILS, money_gain, *ENVELOPE, *NOTICES)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("bare", [False, True])
def test_every_check_is_complete(rule: Rule, bare: bool, evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=400)
    if bare:
        one = replace(one, latency_ms=None, reasons=None)
    else:
        groups = {"SEX": np.where(np.arange(400) % 3 == 0, "1", "2")}
        applicants = Applicants(one.champion, one.challenger, groups)
        one = replace(one, applicants=applicants, coverage=Coverage(300, 300, 100, 10, 5))
    check = rule(one, GateSettings(), context())
    assert check.name == rule.__name__
    assert check.source
    assert check.sentence.endswith(".")
    assert check.sizes["rows"] == 400
    assert check.sizes["defaults"] == one.defaults
    json.dumps(asdict(check), allow_nan=False)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.__name__)
def test_people_have_a_name_for_every_check(rule: Rule) -> None:
    assert rule.__name__ in CHECKS


def test_every_name_is_used_once() -> None:
    assert len({rule.__name__ for rule in ALL}) == len(ALL)


def test_log_loss_bounds_are_those_of_a_t_interval(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=5000)
    losses = [-np.log(np.where(one.labels == 1, p, 1 - p)) for p in (one.champion, one.challenger)]
    difference = losses[1] - losses[0]
    reach = NormalDist().inv_cdf(0.95) * scipy_stats.sem(difference)
    check = log_loss(one, GateSettings(), context())
    assert check.statistic == pytest.approx(difference.mean() + reach)
    assert check.threshold == pytest.approx(0.01 * losses[0].mean())
    assert check.passed is True


@pytest.mark.parametrize(("n", "factor", "passed"), [(5000, 1.0, True), (120, 1.05, None), (5000, 0.5, False)])
def test_log_loss_passes_fails_or_stays_open(
    n: int, factor: float, passed: bool | None, evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(n=n, champion=0.8, challenger=0.8)
    one = replace(one, challenger=one.champion if factor == 1.0 else one.challenger * factor)
    assert log_loss(one, GateSettings(), context()).passed is passed


def test_equal_probabilities_lose_nothing_even_where_no_loss_is_allowed(
    evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(n=2_000)
    same = replace(one, challenger=one.champion)
    assert log_loss(same, GateSettings(max_log_loss_increase=0.0), context()).passed is True


@pytest.mark.parametrize(("more", "passed"), [(-1, False), (0, True), (1, True)])
def test_the_least_number_of_defaults_is_enough(
    more: int, passed: bool, evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(n=2_000)
    settings = GateSettings(min_defaults=50)
    labels = np.zeros(2_000)
    labels[: 50 + more] = 1.0
    for swapped in (labels, 1.0 - labels):  # too few of either class
        assert evidence(replace(one, labels=swapped), settings, context()).passed is passed


def test_calibration_counts_grades_where_the_pd_is_too_low(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=20_000)
    assert calibration(one, GateSettings(), context()).passed is True
    low = calibration(replace(one, challenger=one.challenger * 0.7), GateSettings(), context())
    assert low.passed is False
    # An underestimation so small that it matters to nobody is no failure, however many rows show it.
    many = replace(one, challenger=one.challenger * 0.98)
    repeated = replace(
        many,
        labels=np.tile(one.labels, 50),
        champion=np.tile(one.champion, 50),
        challenger=np.tile(many.challenger, 50),
    )
    assert calibration(repeated, GateSettings(), context()).passed is True


def test_a_champion_that_underestimates_as_much_excuses(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=20_000)
    both = replace(one, champion=one.champion * 0.6, challenger=one.challenger * 0.7)
    assert calibration(both, GateSettings(), context()).passed is True


def test_calibration_is_compared_on_the_same_customers(evaluation: MakeEvaluation, context: MakeContext) -> None:
    """A sharper challenger is a little too low in one grade, whose customers the champion puts much too low."""
    one = evaluation(n=20_000, champion=3.0, challenger=0.3)
    high = (one.challenger > 0.25) & (one.challenger < 0.5)
    sharper = replace(one, challenger=np.where(high, one.challenger * 0.85, one.challenger))
    found = calibration(sharper, GateSettings(), context())
    assert found.details["challenger"], "the grade is found"
    assert found.passed is True
    assert "The challenger is not shown to miss more." in found.sentence
    right = replace(sharper, champion=one.challenger)  # a champion that is right about them
    assert calibration(right, GateSettings(), context()).passed is False


def test_a_difference_that_matters_to_nobody_refuses_nothing(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=20_000)
    both = replace(one, champion=one.champion * 0.8, challenger=one.champion * 0.8 * 0.9999)
    check = calibration(both, GateSettings(), context())
    assert check.details["challenger"]
    assert check.passed is True


MONEY = MoneySettings(default_cost=4_000.0, good_gain=1_000.0)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows_each", [1, 4])
def test_money_is_bounded_as_a_bootstrap_of_customers_bounds_it(
    rows_each: int, weighted: bool, seed: int, evaluation: MakeEvaluation, context: MakeContext
) -> None:
    people = evaluation(n=500, seed=seed)
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(500), rows_each)
    one = replace(
        people,
        **{name: getattr(people, name)[who] for name in ("labels", "champion", "challenger")},
        customers=who if rows_each > 1 else None,
        weights=rng.choice([1.0, 5.0], 500, p=[0.9, 0.1])[who] if weighted else None,
    )
    each = np.where(one.labels == 1.0, -4_000.0, 1_000.0) * (
        (one.challenger < 0.2).astype(float) - (one.champion < 0.2).astype(float)
    )
    weights = np.ones(who.size) if one.weights is None else one.weights
    gain, count = (np.bincount(who, weights=column) for column in (weights * each, weights))
    drawn = rng.integers(500, size=(4_000, 500))
    means = gain[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    check = money_gain(one, GateSettings(least_money_gain=0.0), context(money=MONEY))
    assert check.details["change"] == pytest.approx((weights @ each) / weights.sum())
    spread = np.std(means)
    assert check.statistic == pytest.approx(np.quantile(means, 0.05), abs=0.2 * spread)
    assert check.details["upper"] == pytest.approx(np.quantile(means, 0.975), abs=0.25 * spread)


@pytest.mark.parametrize(
    ("n", "least", "kind", "passed"),
    [
        (20_000, 1.0, "retrain", True),
        (20_000, 500.0, "retrain", False),
        (300, 60.0, "retrain", None),
        (20_000, 500.0, "recalibrate", True),
    ],
)
def test_money_passes_fails_or_stays_open(
    n: int, least: float, kind: str, passed: bool | None, evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(n=n, kind=kind)
    check = money_gain(one, GateSettings(least_money_gain=least), context(money=MONEY))
    assert check.passed is passed
    assert check.threshold == least


def test_money_tells_whom_it_cannot_count(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=400)
    more = Applicants(np.append(one.champion, [0.9, 0.9, 0.1]), np.append(one.challenger, [0.1, 0.9, 0.1]))
    check = money_gain(replace(one, applicants=more), GateSettings(least_money_gain=1.0), context(money=MONEY))
    assert check.details["without_outcome"] == 1
    assert "1 applicant whom only the challenger approves" in check.sentence


def test_scores_that_move_as_a_whole_leave_the_envelope(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation()
    assert score_shift(replace(one, challenger=one.champion), GateSettings(), context()).statistic == 0.0
    assert score_shift(replace(one, challenger=one.champion**3), GateSettings(), context()).passed is False


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="3 labels and 2 values of 'challenger'"):
        Evaluation(np.zeros(3), np.zeros(3), np.zeros(2), 0.2, 0.2)
    with pytest.raises(DataError, match="3 applicants and 1 values of 'SEX'"):
        Applicants(np.zeros(3), np.zeros(3), {"SEX": ["2"]})
