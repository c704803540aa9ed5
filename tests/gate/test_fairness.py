"""The four-fifths rule as a test of equivalence: what a small sample cannot show is no pass."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from riskloop.core.settings import GateSettings
from riskloop.core.stats import approval_ratio as ratio_interval
from riskloop.core.stats import approval_ratio_change
from riskloop.core.types import Verdict
from riskloop.gate import Context, Evaluation, judge
from riskloop.gate.checks import approval_shift, score_shift
from riskloop.gate.evaluation import Applicants
from riskloop.gate.fairness import approval_ratio

MakeContext = Callable[..., Context]
MakeEvaluation = Callable[..., Evaluation]


def two_groups(rates: tuple[float, float], before: tuple[float, float], n: int) -> Evaluation:
    """Two groups of 2n and n people with given approval rates of challenger and champion."""
    member = np.repeat([0, 1], [2 * n, n])
    place = np.concatenate([(np.arange(2 * n) + 0.5) / (2 * n), (np.arange(n) + 0.5) / n])
    challenger = np.where(place < np.asarray(rates)[member], 0.1, 0.5)
    champion = np.where(place < np.asarray(before)[member], 0.1, 0.5)
    labels = (np.arange(3 * n) % 5 == 0).astype(np.float64)
    applicants = Applicants(champion, challenger, {"SEX": np.asarray(["2", "1"])[member]})
    return Evaluation(labels, champion, challenger, 0.2, 0.2, applicants=applicants)


@pytest.mark.parametrize(
    ("rates", "before", "n", "passed"),
    [
        ((0.8, 0.75), (0.8, 0.8), 1000, True),
        ((0.8, 0.5), (0.8, 0.8), 1000, False),  # 0.625, shown to be below 0.8
        ((0.8, 0.5), (0.8, 0.5), 1000, True),  # no worse than the champion
        ((0.8, 0.6), (0.8, 0.8), 40, None),  # 0.75 of 40 people may be luck, and may be not
        ((0.8, 0.79), (0.8, 0.8), 40, True),  # hardly anybody is decided otherwise than by the champion
        ((0.8, 0.2), (0.8, 0.8), 20, None),  # too few people to compare
    ],
)
def test_approval_ratio(
    rates: tuple[float, float],
    before: tuple[float, float],
    n: int,
    passed: bool | None,
    context: MakeContext,
) -> None:
    check = approval_ratio(two_groups(rates, before, n), GateSettings(), context())
    assert check.passed is passed
    if passed is not None:
        assert check.statistic == pytest.approx(rates[1] / rates[0], abs=0.02)


def drawn(true_ratio: float, n: int, rng: np.random.Generator) -> Evaluation:
    """4n applicants of the largest group, n of another, who are drawn anew by both models."""
    member = np.repeat([0, 1], [4 * n, n])
    rate = np.where(member == 0, 0.8, 0.8 * true_ratio)
    challenger = np.where(rng.random(member.size) < rate, 0.1, 0.5)
    champion = np.where(rng.random(member.size) < 0.8, 0.1, 0.5)
    labels = (np.arange(member.size) % 5 == 0).astype(np.float64)
    groups = {"SEX": np.asarray(["2", "1"])[member]}
    return Evaluation(labels, champion, challenger, 0.2, 0.2, applicants=Applicants(champion, challenger, groups))


@pytest.mark.parametrize("n", [40, 200, 1000])
def test_a_harmed_group_of_any_size_seldom_passes(n: int, context: MakeContext) -> None:
    rng = np.random.default_rng(n)
    found = [approval_ratio(drawn(0.7, n, rng), GateSettings(), context()).passed for _ in range(100)]
    assert found.count(True) <= 5
    assert n < 1000 or found.count(False) >= 90


def test_equal_treatment_is_shown_where_there_are_enough(context: MakeContext) -> None:
    rng = np.random.default_rng(2)
    found = [approval_ratio(drawn(1.0, 400, rng), GateSettings(), context()).passed for _ in range(50)]
    assert found.count(True) >= 48


def test_what_cannot_be_shown_asks_a_person_and_says_how_many_would_do(
    context: MakeContext, evaluation: MakeEvaluation
) -> None:
    doubtful = two_groups((0.8, 0.6), (0.8, 0.8), 40)
    check = approval_ratio(doubtful, GateSettings(), context())
    assert check.sizes["undecided"] == 1
    assert "A person must decide" in check.sentence
    better = replace(evaluation(), applicants=doubtful.applicants)
    settings = GateSettings(max_approval_shift=1.0, max_score_psi=99.0)
    report = judge(better, settings, context())
    assert report.verdict is Verdict.NEEDS_APPROVAL
    assert "approval ratio" in report.sentence
    fine = replace(evaluation(), applicants=two_groups((0.8, 0.8), (0.8, 0.8), 40).applicants)
    assert judge(fine, settings, context()).verdict is Verdict.PROMOTE


def test_small_groups_are_named(context: MakeContext) -> None:
    check = approval_ratio(two_groups((0.8, 0.2), (0.8, 0.8), 20), GateSettings(), context())
    assert "Too few to compare: SEX 1 (20)" in check.sentence


def test_people_who_apply_again_and_again_are_counted_once(context: MakeContext) -> None:
    one = two_groups((0.8, 0.55), (0.8, 0.8), 60)
    assert one.applicants is not None
    twelve = 12
    again = Applicants(
        np.tile(one.applicants.champion, twelve),
        np.tile(one.applicants.challenger, twelve),
        {"SEX": np.tile(np.asarray(one.applicants.groups["SEX"]), twelve)},
        np.tile(np.arange(180), twelve),
    )
    checks = [
        approval_ratio(replace(one, applicants=who), GateSettings(), context())
        for who in (one.applicants, again, replace(again, customers=None))
    ]
    first, clustered, naive = (check.details["groups"][0] for check in checks)
    assert clustered["upper"] == pytest.approx(first["upper"], rel=0.01)
    assert naive["upper"] < first["upper"] - 0.05


def test_the_change_of_a_ratio_agrees_with_the_bootstrap() -> None:
    rng = np.random.default_rng(4)
    part = np.arange(900) % 3 == 0
    before = rng.random(900) < 0.7
    after = np.where(rng.random(900) < 0.85, before, rng.random(900) < 0.5)
    interval = approval_ratio_change(before, after, part, ~part)
    ratios = [ratio_interval(int(a[part].sum()), 300, int(a[~part].sum()), 600).estimate for a in (before, after)]
    assert interval.estimate == pytest.approx(ratios[1] / ratios[0])
    draws = []
    for _ in range(1000):
        i = np.concatenate((rng.choice(np.flatnonzero(part), 300), rng.choice(np.flatnonzero(~part), 600)))
        a, b, p = after[i], before[i], part[i]
        draws.append((a[p].mean() / a[~p].mean()) / (b[p].mean() / b[~p].mean()))
    assert (interval.lower, interval.upper) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)
    nobody = approval_ratio_change(before, after & ~part, part, ~part)
    assert np.isnan(nobody.estimate)
    same = approval_ratio_change(before, before, part, ~part)
    assert (same.lower, same.upper) == (1.0, 1.0)


def test_approval_rates_are_those_of_all_applicants(context: MakeContext) -> None:
    """Only the approved have outcomes: among these both models approve nearly everybody, and see no group harmed."""
    whole = two_groups((0.8, 0.5), (0.8, 0.8), 1000)
    known = whole.champion < whole.champion_threshold
    seen = replace(
        whole, labels=whole.labels[known], champion=whole.champion[known], challenger=whole.challenger[known]
    )
    for rule in (approval_ratio, approval_shift, score_shift):
        check, everybody = (rule(one, GateSettings(), context()) for one in (seen, whole))
        assert (check.passed, check.statistic) == (everybody.passed, everybody.statistic)
        assert (check.sizes["rows"], check.sizes["applicants"]) == (2400, 3000)
    blind = replace(seen, applicants=None)
    assert approval_shift(blind, GateSettings(), context()).statistic != pytest.approx(0.1)
    assert approval_shift(seen, GateSettings(), context()).statistic == pytest.approx(0.1)
