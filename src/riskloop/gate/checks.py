"""Every test of the gate: evidence in, one :class:`riskloop.core.types.Check` out.

``passed`` is None where the rows cannot answer. GUARDRAILS reject a challenger, the ENVELOPE only asks for a person,
a NOTICE informs.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple

import numpy as np

from riskloop.core import stats
from riskloop.core.english import counted
from riskloop.core.numbers import signed
from riskloop.core.settings import GateSettings, MoneySettings
from riskloop.core.types import Bools, Check, Floats, Ints, Json
from riskloop.gate.evaluation import Context, Evaluation

Rule = Callable[[Evaluation, GateSettings, Context], Check]

_MATERIAL: Final = 0.05  # a grade whose defaults exceed its PD by less than this share is close enough
_MISSED: Final = 0.01  # share of all defaults that a challenger may miss more than the champion
_MONTH: Final = timedelta(days=30)


def sizes(evaluation: Evaluation) -> dict[str, int]:
    """The sizes that every check reports."""
    counted = {"rows": int(evaluation.labels.size), "defaults": evaluation.defaults}
    if evaluation.customers is None:
        return counted
    return counted | {"customers": int(np.unique(evaluation.customers).size)}


def evidence(evaluation: Evaluation, settings: GateSettings, _: Context) -> Check:
    """Are there enough defaults, and enough others, for any test at all?"""
    fewest = min(evaluation.defaults, evaluation.non_defaults)
    passed = fewest >= settings.min_defaults
    end = "That is enough." if passed else f"The gate needs {settings.min_defaults} who defaulted and as many others."
    return Check(
        name="evidence",
        passed=passed,
        statistic=float(fewest),
        threshold=float(settings.min_defaults),
        source="normal approximation of DeLong's test (Obuchowski 1998)",
        sizes=sizes(evaluation),
        sentence=f"{evaluation.labels.size:,} matured decisions{_of_customers(evaluation)}, which neither model was "
        f"trained on, hold {evaluation.defaults:,} {'defaults' if evaluation.customers is None else 'who defaulted'}. "
        f"{end}",
    )


def decided(evaluation: Evaluation) -> tuple[Bools, Bools]:
    """Whom the champion approves of all who applied, and whom the challenger would."""
    everybody = evaluation.everybody
    return everybody.champion < evaluation.champion_threshold, everybody.challenger < evaluation.challenger_threshold


def applied(evaluation: Evaluation) -> dict[str, int]:
    """The sizes of a check that needs no outcomes."""
    return sizes(evaluation) | {"applicants": len(evaluation.everybody.champion)}


def _of_customers(evaluation: Evaluation) -> str:
    """Who is behind the rows, where they are fewer."""
    counted = sizes(evaluation).get("customers")
    return "" if counted is None else f" of {counted:,} customers"


# --------------------------------------------------------------------------- guardrails


def log_loss(evaluation: Evaluation, settings: GateSettings, _: Context) -> Check:
    """Non-inferiority of the probabilities: passes when a loss of more than the margin can be ruled out at α."""
    test = evaluation.log_losses
    margin = settings.max_log_loss_increase * test.champion
    reach = stats.upper_quantile(settings.alpha) * test.std_error
    lower, upper = test.difference - reach, test.difference + reach
    # Equal probabilities have no error: with a margin of 0 they must pass.
    passed = True if upper <= margin else (False if lower > margin else None)
    sure = f"With {1 - settings.alpha:.0%} confidence, one-sided, it"
    end = {
        True: f"{sure} changes by {signed(upper, 4)} at most.",
        False: f"{sure} changes by {signed(lower, 4)} at least: the challenger's probabilities are worse.",
        None: f"{sure} changes by {signed(lower, 4)} at least and {signed(upper, 4)} at most: more than that allowance "
        "is neither shown nor ruled out.",
    }[passed]
    return Check(
        name="log_loss",
        passed=passed,
        statistic=upper,
        threshold=margin,
        source="paired t-test of non-inferiority (Diebold & Mariano 1995)",
        sizes=sizes(evaluation),
        sentence=f"Log loss goes from {test.champion:.4f} to {test.challenger:.4f} ({signed(test.difference, 4)}). "
        f"The gate allows +{margin:.4f}. {end}",
        details={"champion": test.champion, "challenger": test.challenger, "difference": test.difference},
    )


def calibration(evaluation: Evaluation, settings: GateSettings, _: Context) -> Check:
    """In the grades where the PD is shown to be too low: how many defaults does it miss?

    Rejected when it is shown to miss materially more of them than the champion, both than the champion does in such
    grades of its own and than the champion's PDs of the same customers.
    """
    before = _underestimated(evaluation, evaluation.champion, settings.alpha)
    after = _underestimated(evaluation, evaluation.challenger, settings.alpha)
    # On the same customers the outcomes cancel; a champion that is too low elsewhere is no better for being right here.
    same = np.where(after.within, evaluation.champion - evaluation.challenger, 0.0)
    defaults = max(1, evaluation.defaults)
    least = (
        min(_least(more, settings.alpha, evaluation.customers) for more in (after.missed - before.missed, same))
        / defaults
    )
    passed = least <= _MISSED
    missed, others = (float(model.missed.sum()) / defaults for model in (after, before))
    end = "is not shown to miss more" if passed else f"misses at least {least:.1%} more"
    return Check(
        name="calibration",
        passed=passed,
        statistic=least,
        threshold=_MISSED,
        source="Jeffreys test by grade (ECB 2019, 2.5.3.1), Bonferroni over grades; paired lower bound",
        sizes=sizes(evaluation),
        sentence=f"The champion's PD is too low in {_in_grades(before, others)}, the challenger's in "
        f"{_in_grades(after, missed)}. The challenger {end}.",
        details={"challenger": after.grades, "champion": before.grades, "missed": [missed, others]},
    )


def _in_grades(model: "_Underestimated", missed: float) -> str:
    """``2 grades (15.1% of the defaults missed)``."""
    if not model.grades:
        return "no grade"
    return f"{counted(len(model.grades), 'grade')} ({missed:.1%} of the defaults missed)"


class _Underestimated(NamedTuple):
    grades: list[Json]
    within: Bools  # (n,): the rows in those grades
    missed: Floats  # (n,): outcome − PD of these rows, 0 elsewhere


def _underestimated(evaluation: Evaluation, probabilities: Floats, alpha: float) -> _Underestimated:
    """Grades in which materially more default than a model's PDs say, and not by chance."""
    grades = np.searchsorted(np.asarray(evaluation.grade_bounds), probabilities, side="right")
    tests = stats.jeffreys_by_grade(evaluation.labels, probabilities, grades, customers=evaluation.customers)
    found = [t for t in tests if t.p_value < alpha / len(tests) and t.defaults > t.n * t.pd * (1.0 + _MATERIAL)]
    within = np.isin(grades, [t.grade for t in found])
    return _Underestimated(
        [{"grade": t.grade, "pd": t.pd, "defaults": t.defaults, "rows": t.n, "p": t.p_value} for t in found],
        within,
        np.where(within, evaluation.labels - probabilities, 0.0),
    )


def _least(more: Floats, alpha: float, customers: Ints | None) -> float:
    """Lower bound of the sum of ``more`` (n,), which is drawn with the customers."""
    error = math.sqrt(stats.squared_error(more - more.mean(), customers))
    return float(more.sum()) - stats.upper_quantile(alpha) * error


def money_gain(evaluation: Evaluation, settings: GateSettings, context: Context) -> Check:
    """Does the change of decisions bring at least `gate.least_money_gain` for each applicant with an outcome?

    Passes when less can be ruled out at α, fails when so much can. A recalibration is for the PDs, not for a gain.
    """
    least, change = settings.least_money_gain or 0.0, money_change(evaluation, context.money)
    source = "paired mean by customer (Liang & Zeger 1986), one-sided bounds"
    if change is None:
        return unjudged("money_gain", evaluation, least, source, "What decisions cost and earn is not set ([money]).")
    reach = stats.upper_quantile(settings.alpha) * (change.upper - change.estimate) / stats.upper_quantile(0.025)
    lower, upper = change.estimate - reach, change.estimate + reach
    passed = True if lower >= least or evaluation.kind == "recalibrate" else (False if upper < least else None)
    end = {True: "So much is shown.", False: "So much is ruled out.", None: "So much is neither shown nor ruled out."}[
        passed
    ]
    if evaluation.kind == "recalibrate":
        end = "This is not asked of a recalibration, which mends the PDs."
    before, after = decided(evaluation)
    unknown = int(np.count_nonzero((after & ~before)[evaluation.labels.size :]))
    without = f" {counted(unknown, 'applicant')} whom only the challenger approves have no outcome and are left out."
    return Check(
        name="money_gain",
        passed=passed,
        statistic=lower,
        threshold=least,
        source=source,
        sizes=applied(evaluation),
        sentence=f"For each applicant with an outcome the challenger's approvals bring "
        f"{change.estimate:+,.2f} beside the champion's: between {lower:+,.2f} and {upper:+,.2f}, each limit with "
        f"{1 - settings.alpha:.0%} confidence. The gate asks for {least:+,.2f}. {end}{without if unknown else ''}",
        details={
            "change": change.estimate,
            "lower": change.lower,
            "upper": change.upper,
            "default_cost": context.money.default_cost,
            "good_gain": context.money.good_gain,
            "without_outcome": unknown,
        },
    )


def money_change(evaluation: Evaluation, money: MoneySettings) -> stats.Interval | None:
    """Gain for each applicant with an outcome, challenger less champion, with its 95% interval; None without amounts.

    A declined applicant costs and brings nothing. Explored rows count for the declined whom they stand for.
    """
    if money.default_cost is None or money.good_gain is None:
        return None
    worth = np.where(evaluation.labels == 1.0, -money.default_cost, money.good_gain)
    before, after = (worth * approved[: worth.size] for approved in decided(evaluation))
    return stats.paired_change(before, after, evaluation.customers, weights=evaluation.weights)


def latency(evaluation: Evaluation, settings: GateSettings, _: Context) -> Check:
    """Can it answer in time?"""
    source = "service level of the portfolio"
    taken, allowed = evaluation.latency_ms, settings.max_latency_ms
    if taken is None:
        return unjudged("latency", evaluation, allowed, source, "The challenger's scoring time was not measured.")
    sentence = f"One customer is scored in {taken:.2f} ms; {allowed:g} ms are allowed."
    return Check("latency", taken <= allowed, taken, allowed, source, sizes(evaluation), sentence)


def reasons(evaluation: Evaluation, _settings: GateSettings, _: Context) -> Check:
    """Can it say why?"""
    source = "12 CFR 1002.9: principal reasons of an adverse action"
    if evaluation.reasons is None:
        return unjudged("reasons", evaluation, None, source, "Whether the challenger can name reasons was not tried.")
    can = "can" if evaluation.reasons else "cannot"
    sentence = f"The challenger {can} name the reasons of its decisions."
    return Check("reasons", evaluation.reasons, None, None, source, sizes(evaluation), sentence)


# --------------------------------------------------------------------------- change envelope

_ENVELOPE: Final = "change envelope, fixed in advance in [gate]"


def auc_range(evaluation: Evaluation, settings: GateSettings, _: Context) -> Check:
    """A gain that is too good is more likely a leak."""
    gain = evaluation.ranking.difference
    sentence = (
        f"The AUC changes by {signed(gain, 4)}. More than {signed(settings.max_auc_gain, 2)} would look like a leak."
    )
    return _envelope("auc_range", evaluation, gain, settings.max_auc_gain, sentence)


def approval_shift(evaluation: Evaluation, settings: GateSettings, _: Context) -> Check:
    """How far the approval rate moves for the same customers."""
    before, after = (float(np.mean(approved)) for approved in decided(evaluation))
    sentence = (
        f"Of the same {len(evaluation.everybody.champion):,} applicants the champion approves {before:.1%} and the "
        f"challenger {after:.1%}. The plan allows a change of {100.0 * settings.max_approval_shift:g} points."
    )
    check = _envelope("approval_shift", evaluation, abs(after - before), settings.max_approval_shift, sentence)
    return replace(check, sizes=applied(evaluation))


def score_shift(evaluation: Evaluation, settings: GateSettings, _: Context) -> Check:
    """PSI of the challenger's probabilities over the deciles of the champion's."""
    everybody = evaluation.everybody
    bins = stats.fit_numeric_bins(everybody.champion)
    value = stats.psi(bins.count(everybody.champion), bins.count(everybody.challenger))
    sentence = (
        f"The scores of the same applicants move by a PSI of {value:.3f}. The plan allows {settings.max_score_psi:g}."
    )
    check = _envelope("score_shift", evaluation, value, settings.max_score_psi, sentence)
    return replace(check, sizes=applied(evaluation))


def learner(evaluation: Evaluation, _: GateSettings, context: Context) -> Check:
    """Is it a kind of model that may be promoted unasked?"""
    passed = context.learner in context.allowed_learners
    allowed = ", ".join(context.allowed_learners)
    sentence = f"The learner is '{context.learner}'. The plan allows {allowed}."
    return Check("learner", passed, None, None, _ENVELOPE, sizes(evaluation), sentence)


def feature_set(evaluation: Evaluation, _: GateSettings, context: Context) -> Check:
    """Does it read what the champion reads?"""
    before, after = set(context.champion_features), set(context.challenger_features)
    added, dropped = sorted(after - before), sorted(before - after)
    changes = [f"{verb} {', '.join(names)}" for verb, names in (("adds", added), ("drops", dropped)) if names]
    passed = not changes
    sentence = (
        f"Both models read the same {len(before)} features."
        if passed
        else f"The challenger {' and '.join(changes)}. The plan allows no change of the features."
    )
    changed = float(len(added) + len(dropped))
    details = {"added": added, "dropped": dropped}
    return Check("feature_set", passed, changed, 0.0, _ENVELOPE, sizes(evaluation), sentence, details)


def promotion_rate(evaluation: Evaluation, settings: GateSettings, context: Context) -> Check:
    """A champion that changes every few days is not under control."""
    recent = sum(context.now - _MONTH < moment <= context.now for moment in context.promotions)
    sentence = (
        f"The champion changed {counted(recent, 'time')} in the last 30 days. The plan allows "
        f"{settings.max_promotions_per_month}, this change included."
    )
    return _envelope("promotion_rate", evaluation, recent + 1, settings.max_promotions_per_month, sentence)


def labels(evaluation: Evaluation, _: GateSettings, context: Context) -> Check:
    """A change of the labels that may not be one of the customers needs a person who knows."""
    sound = f"The outcomes follow definition '{context.definition}' of default, and nothing speaks against it."
    return _envelope("labels", evaluation, len(context.doubts), 0, " ".join(context.doubts) or sound)


def _envelope(name: str, evaluation: Evaluation, value: float, allowed: float, sentence: str) -> Check:
    return Check(name, value <= allowed, float(value), float(allowed), _ENVELOPE, sizes(evaluation), sentence)


def unjudged(name: str, evaluation: Evaluation, threshold: float | None, source: str, sentence: str) -> Check:
    return Check(name, None, None, threshold, source, sizes(evaluation), sentence)


def finite(value: float) -> float | None:
    """Infinity as None: what a check records must survive JSON."""
    return value if math.isfinite(value) else None
