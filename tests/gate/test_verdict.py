import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from riskloop.core.settings import GateSettings, MoneySettings, Settings
from riskloop.core.types import GateReport, Try, Verdict
from riskloop.gate import Context, Evaluation, judge, sentences
from riskloop.store import documents

MakeContext = Callable[..., Context]
MakeEvaluation = Callable[..., Evaluation]


def test_a_better_challenger_is_promoted(evaluation: MakeEvaluation, context: MakeContext) -> None:
    report = judge(evaluation(), GateSettings(), context())
    assert report.verdict is Verdict.PROMOTE
    assert report.champion_auc is not None
    assert report.challenger_auc is not None
    assert report.challenger_auc > report.champion_auc
    assert report.defaults_needed is None


def test_a_worse_one_is_not(evaluation: MakeEvaluation, context: MakeContext) -> None:
    report = judge(evaluation(champion=0.5, challenger=1.0), GateSettings(), context())
    assert report.verdict is Verdict.KEEP
    assert "not shown to be better" in report.sentence


def test_the_champion_against_itself_is_kept(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation()
    assert judge(replace(one, challenger=one.champion), GateSettings(), context()).verdict is Verdict.KEEP


def test_too_few_defaults_are_no_evidence_and_cost_nothing(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation(n=150)
    report = judge(one, GateSettings(), context())
    assert report.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert [check.name for check in report.checks] == ["evidence"]
    assert report.defaults_needed is not None
    assert report.defaults_needed >= 50 - one.defaults


def test_no_defaults_at_all(context: MakeContext) -> None:
    nothing = Evaluation(np.zeros(500), np.full(500, 0.2), np.full(500, 0.2), 0.2, 0.2)
    report = judge(nothing, GateSettings(), context())
    assert report.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert report.defaults_needed == 50


def test_too_little_power_asks_for_more_defaults(evaluation: MakeEvaluation, context: MakeContext) -> None:
    report = judge(evaluation(n=600, champion=0.8, challenger=0.78, seed=5), GateSettings(), context())
    assert report.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert report.defaults_needed is not None
    assert report.defaults_needed > 500
    assert f"{report.defaults_needed:,} more" in report.sentence


def test_the_page_says_for_which_gain_and_when_it_is_tried_again(
    evaluation: MakeEvaluation, context: MakeContext
) -> None:
    report = judge(evaluation(n=400, champion=0.9, challenger=0.7, seed=2), GateSettings(), context())
    details = report.checks[1].details
    assert report.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert "more matured defaults to find a true gain of 0.0100 AUC" in report.sentence
    assert f"about {report.defaults_needed:,} more matured defaults" in report.sentence
    assert f"about {details['defaults_if_real']:,} if the true gain is as large as the one seen" in report.sentence
    assert f"({details['gain'] + 0.001:+.4f})" in report.sentence
    assert f"after about {report.retry_defaults:,} more, and may pass then" in report.sentence


def test_the_defaults_it_asks_for_give_the_power(evaluation: MakeEvaluation, context: MakeContext) -> None:
    small = evaluation(n=600, champion=0.8, challenger=0.78, seed=5)
    report = judge(small, GateSettings(), context())
    assert report.defaults_needed is not None
    rate = small.defaults / small.labels.size
    enough = int((small.defaults + report.defaults_needed) * 1.1 / rate)
    later = judge(evaluation(n=enough, champion=0.8, challenger=0.8, seed=4), GateSettings(), context())
    assert later.verdict is Verdict.KEEP
    assert later.defaults_needed is None


def test_a_gain_below_the_least_one_is_no_gain(evaluation: MakeEvaluation, context: MakeContext) -> None:
    report = judge(evaluation(), GateSettings(least_gain=0.2, detect=0.25), context())
    assert report.verdict is Verdict.KEEP


GUARDRAILS: list[tuple[str, dict[str, Any]]] = [("latency", {"latency_ms": 51.0}), ("reasons", {"reasons": False})]


@pytest.mark.parametrize(("name", "changes"), GUARDRAILS)
def test_a_fallen_guardrail_keeps_the_champion(
    name: str, changes: dict[str, Any], evaluation: MakeEvaluation, context: MakeContext
) -> None:
    report = judge(evaluation(**changes), GateSettings(), context())
    assert report.verdict is Verdict.KEEP
    assert name in report.sentence


MONEY = MoneySettings(default_cost=4_000.0, good_gain=1_000.0)


@pytest.mark.parametrize(
    ("n", "least", "verdict"),
    [
        (7_000, None, Verdict.PROMOTE),
        (7_000, 1.0, Verdict.PROMOTE),
        (7_000, 500.0, Verdict.KEEP),
        (1_500, 80.0, Verdict.INSUFFICIENT_EVIDENCE),
    ],
)
def test_a_least_gain_in_money_decides_only_where_it_is_asked_for(
    n: int, least: float | None, verdict: Verdict, evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(n=n)
    report = judge(one, GateSettings(least_money_gain=least), context(money=MONEY))
    assert report.verdict is verdict, report.sentence
    assert ("money_gain" in {check.name for check in report.checks}) is (least is not None)
    if verdict is Verdict.INSUFFICIENT_EVIDENCE:
        assert "it may bring too little money" in report.sentence


def test_a_gain_in_money_needs_amounts() -> None:
    settings = {
        "portfolio": {"name": "x", "target": "y"},
        "features": {"debt": {"kind": "number"}},
        "gate": {"least_money_gain": 1.0},
    }
    with pytest.raises(ValidationError, match=r"needs money\.default_cost and money\.good_gain"):
        Settings.model_validate({**settings, "money": {"good_gain": 1.0}})
    assert Settings.model_validate({**settings, "money": {"good_gain": 1.0, "default_cost": 2.0}}).gate.least_money_gain


def test_better_ranking_with_worse_probabilities_is_refused(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation()
    report = judge(replace(one, challenger=one.challenger * 0.4), GateSettings(), context())
    failed = {check.name for check in report.checks if check.passed is False}
    assert report.verdict is Verdict.KEEP
    assert {"log_loss", "calibration"} <= failed


ENVELOPE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("learner", {"learner": "hist_gradient_boosting"}, {}),
    ("feature_set", {"challenger_features": ("LIMIT_BAL", "PAY_0", "PAY_2")}, {}),
    ("approval_shift", {}, {"challenger_threshold": 0.6}),
]


@pytest.mark.parametrize(("name", "of_context", "of_evaluation"), ENVELOPE)
def test_outside_the_envelope_a_person_decides(
    name: str,
    of_context: dict[str, Any],
    of_evaluation: dict[str, Any],
    evaluation: MakeEvaluation,
    context: MakeContext,
) -> None:
    report = judge(evaluation(**of_evaluation), GateSettings(), context(**of_context))
    assert report.verdict is Verdict.NEEDS_APPROVAL
    assert name.replace("_", " ") in report.sentence


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.NEEDS_APPROVAL),
        ({"challenger_threshold": 0.6}, Verdict.NEEDS_APPROVAL),
        ({"champion": 0.5, "challenger": 1.0}, Verdict.KEEP),
    ],
)
def test_a_person_may_be_asked_for_every_promotion(
    changes: dict[str, Any], verdict: Verdict, evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(**changes)
    report = judge(one, GateSettings(approval="always"), context())
    assert report.verdict is verdict
    usual = judge(one, GateSettings(), context())
    assert report.checks == usual.checks, "the tests are the same"
    if usual.verdict is Verdict.PROMOTE:
        assert "A person must approve it, as every promotion ([gate] approval)." in report.sentence
    else:
        assert report == usual


def test_a_gain_that_is_too_good_needs_a_person(evaluation: MakeEvaluation, context: MakeContext) -> None:
    report = judge(evaluation(), GateSettings(max_auc_gain=0.01), context())
    assert report.verdict is Verdict.NEEDS_APPROVAL


def test_too_many_promotions_need_a_person(evaluation: MakeEvaluation, context: MakeContext) -> None:
    made = context()
    recent = tuple(made.now - timedelta(days=days) for days in (1, 8, 15, 22))
    assert judge(evaluation(), GateSettings(), context(promotions=recent)).verdict is Verdict.NEEDS_APPROVAL
    older = tuple(moment - timedelta(days=9) for moment in recent)
    assert judge(evaluation(), GateSettings(), context(promotions=older)).verdict is Verdict.PROMOTE


def test_recalibration_is_judged_on_log_loss(evaluation: MakeEvaluation, context: MakeContext) -> None:
    one = evaluation()
    low = 1.0 / (1.0 + np.exp(-(np.log(one.champion / (1.0 - one.champion)) - 0.7)))  # the level is too low
    better = replace(one, champion=low, challenger=one.champion, kind="recalibrate", challenger_threshold=0.3)
    report = judge(better, GateSettings(), context())
    assert report.verdict is Verdict.PROMOTE
    assert report.checks[1].name == "log_loss_gain"
    assert report.champion_auc == pytest.approx(report.challenger_auc)
    turned = replace(better, champion=better.challenger, challenger=low)
    assert judge(turned, GateSettings(), context()).verdict is Verdict.KEEP


def test_a_spent_budget_stops_what_the_first_try_would_have_passed(
    evaluation: MakeEvaluation, context: MakeContext
) -> None:
    one = evaluation(n=5000, champion=0.6, challenger=0.55, seed=8)
    first = judge(one, GateSettings(), context())
    assert first.verdict is Verdict.PROMOTE
    made = context()
    tries = tuple(Try(1, made.now - timedelta(weeks=k), 0.0085, f"try {k}") for k in range(1, 12))
    later = judge(one, GateSettings(), context(tries=tries))
    assert later.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert (later.defaults_needed or 0) > 1000


def test_the_page_is_plain_sentences(evaluation: MakeEvaluation, context: MakeContext) -> None:
    report = judge(evaluation(), GateSettings(), context())
    page = sentences(report)
    assert page[0] == report.sentence
    assert len(page) == len(report.checks) + 1
    assert all(line.endswith((".", "?")) and "nan" not in line for line in page)


def test_a_report_survives_json(evaluation: MakeEvaluation, context: MakeContext) -> None:
    for one in (evaluation(), evaluation(n=150)):
        report = judge(one, GateSettings(), context())
        back: GateReport = documents.gate_report(json.loads(documents.dumps(report)))
        assert back == report
