"""The challenger file against brute force and the gate's own checks."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score

from riskloop.core.settings import GateSettings, MoneySettings
from riskloop.core.stats import paired_delong
from riskloop.core.types import Floats
from riskloop.gate import Applicants, Context, Evaluation, judge
from riskloop.gate.challenger_file import challenger_file, comparison

Make = Callable[..., Evaluation]
NONE = MoneySettings()


def with_others(evaluation: Make, n: int = 3000, others: int = 1000) -> tuple[Evaluation, Floats]:
    """An evaluation in which `others` applicants have no outcome, and everybody's group."""
    rng = np.random.default_rng(5)
    plain = evaluation(n=n)
    scores = [np.concatenate((p, rng.random(others))) for p in (plain.champion, plain.challenger)]
    return evaluation(n=n, applicants=Applicants(scores[0], scores[1])), rng.integers(0, 3, n + others).astype(
        np.float64
    )


def test_every_measure_is_that_of_the_rows(evaluation: Make) -> None:
    found, _ = with_others(evaluation)
    file = challenger_file(found, NONE)
    measures = file["measures"]
    for side, p in (("champion", found.champion), ("challenger", found.challenger)):
        assert measures["auc"][side] == pytest.approx(roc_auc_score(found.labels, p))
        assert measures["brier"][side] == pytest.approx(np.square(p - found.labels).mean())
    change = np.square(found.challenger - found.labels) - np.square(found.champion - found.labels)
    low, high = scipy_stats.norm.interval(0.95, change.mean(), change.std(ddof=1) / np.sqrt(change.size))
    assert (measures["brier"]["lower"], measures["brier"]["upper"]) == pytest.approx((low, high))
    approved = [(p < 0.2).mean() for p in (found.everybody.champion, found.everybody.challenger)]
    assert (measures["approval_rate"]["champion"], measures["approval_rate"]["challenger"]) == pytest.approx(approved)
    assert json.loads(json.dumps(file, allow_nan=False)) == file


def test_the_swap_set_parts_all_applicants_and_counts_who_defaulted(evaluation: Make) -> None:
    found, _ = with_others(evaluation)
    sides = {side["side"]: side for side in challenger_file(found, NONE)["swap"]}
    assert sum(side["applicants"] for side in sides.values()) == 4000
    assert sum(side["known"] for side in sides.values()) == 3000
    assert sum(side["defaults"] for side in sides.values()) == found.defaults
    entered = (found.champion >= 0.2) & (found.challenger < 0.2)
    assert sides["swapped_in"]["known"] == entered.sum()
    assert sides["swapped_in"]["rate"]["value"] == pytest.approx(found.labels[entered].mean())


def test_grades_have_the_posterior_s_band(evaluation: Make) -> None:
    found = evaluation(n=3000)
    for number, grade in enumerate(challenger_file(found, NONE)["grades"]):
        part = np.searchsorted([0.10, 0.25, 0.50], found.challenger, side="right") == number
        n, d = int(part.sum()), int(found.labels[part].sum())
        one = grade["challenger"]
        assert (one["rows"], one["defaults"]) == (n, d)
        low, high = scipy_stats.beta(d + 0.5, n - d + 0.5).interval(0.95)
        assert (one["rate"]["lower"], one["rate"]["upper"]) == pytest.approx((low, high))


def test_segments_hold_everybody_of_a_group_and_small_groups_stay_out(evaluation: Make) -> None:
    found, groups = with_others(evaluation)
    named = np.where(groups == 0.0, "a", np.where(groups == 1.0, "b", "c")).astype(object)
    named[:5] = "tiny"
    file = challenger_file(found, NONE, {"branch": named})
    assert [group["group"] for group in file["segments"]] == ["a", "b", "c"]
    first = file["segments"][0]
    part = named == "a"
    assert first["applicants"] == part.sum()
    assert first["approved"]["challenger"] == pytest.approx((found.everybody.challenger[part] < 0.2).mean())
    rows = part[:3000]
    assert first["auc"]["challenger"] == pytest.approx(roc_auc_score(found.labels[rows], found.challenger[rows]))


def test_money_is_counted_where_both_amounts_are_set(evaluation: Make) -> None:
    found = evaluation(n=3000)
    assert challenger_file(found, MoneySettings(default_cost=5.0))["money"] is None
    money = challenger_file(found, MoneySettings(default_cost=5.0, good_gain=1.0))["money"]
    worth = np.where(found.labels == 1.0, -5.0, 1.0)
    assert money["challenger"] == pytest.approx(1000 * (worth * (found.challenger < 0.2)).mean())
    assert money["lower"] < money["change"] < money["upper"]


def test_rows_of_one_customer_widen_every_interval(evaluation: Make) -> None:
    plain = evaluation(n=2000)
    labels, before, after = (np.repeat(column, 2) for column in (plain.labels, plain.champion, plain.challenger))
    again = Evaluation(labels, before, after, 0.2, 0.2, customers=np.repeat(np.arange(2000), 2))
    alone = challenger_file(plain, NONE)["measures"]
    known = challenger_file(again, NONE)["measures"]
    for name in ("auc", "log_loss", "brier", "mean_pd", "approval_rate"):
        width = [found[name]["upper"] - found[name]["lower"] for found in (alone, known)]
        assert width[1] == pytest.approx(width[0], rel=0.02)  # twice the rows and no more people


def test_what_failed_comes_first_and_every_check_has_its_line(
    evaluation: Make, context: Callable[..., Context]
) -> None:
    found = evaluation()
    strict = GateSettings(max_approval_shift=0.0, max_score_psi=0.001)
    report = judge(found, strict, context(now=datetime(2025, 5, 5, tzinfo=UTC)))
    table = comparison(report, challenger_file(found, NONE))
    failed = {check.name for check in report.checks if check.passed is False}
    assert {line.name for line in table[: len(failed)]} == failed == {"approval_shift", "score_shift"}
    assert {check.name for check in report.checks} <= {line.name for line in table}
    shift = next(line for line in table if line.name == "approval_shift")
    assert shift.challenger is not None
    assert shift.champion is not None
    assert shift.change == pytest.approx(shift.challenger - shift.champion)
    assert shift.limit == "at most 0 points"
    assert [line.name for line in comparison(report, None) if line.judged] == [x.name for x in table if x.judged]


def test_a_scorecard_on_the_same_rows_stands_beside_both(evaluation: Callable[..., Evaluation]) -> None:
    one = evaluation(n=2_000)
    assert challenger_file(one, MoneySettings())["benchmark"] is None
    card = one.champion**2  # ranks as the champion does
    found = challenger_file(replace(one, benchmark=card), MoneySettings())["benchmark"]
    test = paired_delong(one.labels, card, one.challenger)
    assert found["auc"] == found["champion"]["auc"] == test.auc_champion
    assert found["champion"]["value"] == found["champion"]["upper"] == 0.0
    assert found["challenger"]["value"] == test.difference
    assert found["challenger"]["upper"] - test.difference == pytest.approx(1.96 * test.std_error, rel=1e-3)
