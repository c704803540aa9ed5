"""Is the challenger better? One one-sided test at the level that the alpha budget leaves."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from riskloop.core import stats
from riskloop.core.english import p_is
from riskloop.core.numbers import signed
from riskloop.core.settings import GateSettings
from riskloop.core.types import Check, Json
from riskloop.gate import budget
from riskloop.gate.checks import finite, sizes
from riskloop.gate.evaluation import Context, Evaluation


@dataclass(frozen=True, slots=True)
class Improvement:
    """The test, what it leaves open, and what it cost."""

    check: Check  # passed None: a gain that matters may still be there, unseen
    champion_auc: float
    challenger_auc: float
    defaults_needed: int  # further ones until the test has its power at the level that is left; 0 when it has
    defaults_if_real: int | None  # the same for a true gain as large as the one seen; None when none was seen
    retry_defaults: int  # further ones that the next try will probably have
    difference: str  # the true gain that the test is set to find, in words
    seen: str  # the gain on these rows, in words


def improvement(evaluation: Evaluation, settings: GateSettings, context: Context) -> Improvement:
    """On AUC for a retrained challenger, on log loss for a recalibrated one, which ranks like the champion."""
    ranking = evaluation.ranking
    test = (
        _on_auc(evaluation, settings, ranking)
        if evaluation.kind == "retrain"
        else _on_log_loss(evaluation, settings, ranking)
    )
    granted = budget.level(
        context.tries,
        settings,
        champion=context.champion,
        now=context.now,
        evidence=evaluation.fingerprint,
        information=budget.information(test.std_error, test.detect, settings),
    )
    p = _p_value(test)
    power = _power(test, granted.alpha)
    # A gain that matters is ruled out by the interval, or would probably have been found.
    unlikely = test.gain + stats.upper_quantile(settings.alpha) * test.std_error < test.detect
    # With nothing left to spend not even a p of 0 passes.
    passed = (
        True if p <= granted.alpha and granted.alpha > 0.0 else (False if power >= settings.power or unlikely else None)
    )
    following = budget.following(granted, settings)
    needed = 0 if passed is not None else max(1, test.needed(test.detect, following))
    if_real = test.needed(test.gain, following) if test.gain > 0.0 else None
    growth = min(settings.retry_growth, 1.0 + needed / evaluation.defaults) if needed else settings.retry_growth
    retry = max(1, math.ceil(evaluation.defaults * (growth - 1.0) - 1e-9))
    details: Json = {
        "gain": test.gain,
        "least_gain": test.least,
        "std_error": test.std_error,
        "z": finite(_z(test)),
        "level": granted.alpha,
        "tries_before": granted.tries,
        "budget_left": granted.left,
        "detect": test.detect + test.least,
        "power": power,
        "defaults_needed": needed,
        "defaults_if_real": if_real,
        "next_level": following,
        "evidence": evaluation.fingerprint,
    }
    check = Check(
        name=test.name,
        passed=passed,
        statistic=p,
        threshold=granted.alpha,
        source=test.source,
        sizes=sizes(evaluation),
        sentence=f"{test.sentence} {_outcome(passed, p, granted, power, test, settings)}",
        details=details,
    )
    return Improvement(
        check=check,
        champion_auc=ranking.auc_champion,
        challenger_auc=ranking.auc_challenger,
        defaults_needed=needed,
        defaults_if_real=if_real,
        retry_defaults=retry,
        difference=_gain(test),
        seen=f"{signed(test.gain + test.least, 4)}",
    )


@dataclass(frozen=True, slots=True)
class _Test:
    name: str
    source: str
    sentence: str
    unit: str
    gain: float  # above 0: the challenger is better; the least gain is already taken off
    least: float
    std_error: float
    detect: float  # the true gain, above the least one, that should be found
    needed: Callable[[float, float], int]  # further defaults for a true gain (above the least one) at a level


def _on_auc(evaluation: Evaluation, settings: GateSettings, test: stats.PairedDeLong) -> _Test:
    detect = settings.detect - settings.least_gain
    within = "" if evaluation.blocks is None else ", compared within each block of time,"
    asked = f"; at least {signed(settings.least_gain, 4)} is needed" if settings.least_gain else ""
    return _Test(
        name="auc_gain",
        source="paired DeLong test (DeLong et al. 1988; Sun & Xu 2014), by customer (Obuchowski 1997)",
        sentence=f"On the same decisions{within} the AUC goes from {test.auc_champion:.4f} to "
        f"{test.auc_challenger:.4f} ({signed(test.difference, 4)}, standard error {test.std_error:.4f}){asked}.",
        unit="AUC",
        gain=test.difference - settings.least_gain,
        least=settings.least_gain,
        std_error=test.std_error,
        detect=detect,
        needed=lambda gain, alpha: stats.defaults_needed(test, gain, alpha, settings.power),
    )


def _on_log_loss(evaluation: Evaluation, settings: GateSettings, ranking: stats.PairedDeLong) -> _Test:
    test = evaluation.log_losses
    detect = max(settings.max_log_loss_increase, _SMALLEST_LOSS) * test.champion
    return _Test(
        name="log_loss_gain",
        source="paired t-test on log loss (Diebold & Mariano 1995)",
        sentence=f"Recalibrated scores rank alike (AUC {ranking.auc_champion:.4f} and {ranking.auc_challenger:.4f}), "
        f"so log loss decides: it goes from {test.champion:.4f} to {test.challenger:.4f} "
        f"({signed(test.difference, 4)}, standard error {test.std_error:.4f}).",
        unit="log loss",
        gain=-test.difference,
        least=0.0,
        std_error=test.std_error,
        detect=detect,
        needed=lambda gain, alpha: _more(evaluation.defaults, test.std_error, gain, alpha, settings.power),
    )


def _more(defaults: int, std_error: float, gain: float, alpha: float, power: float) -> int:
    """Further defaults until a test has its power: the squared error falls as they grow."""
    wanted = gain / (stats.upper_quantile(1.0 - power) + stats.upper_quantile(alpha))
    return max(0, math.ceil(defaults * ((std_error / wanted) ** 2 - 1.0)))


_SMALLEST_LOSS = 0.005  # share of the champion's log loss that matters, when no increase at all is allowed


def _z(test: _Test) -> float:
    if test.std_error == 0.0:
        return 0.0 if test.gain == 0.0 else float("inf") * (1 if test.gain > 0 else -1)
    return test.gain / test.std_error


def _p_value(test: _Test) -> float:
    if test.std_error == 0.0 and test.gain <= 0.0:
        return 1.0
    return stats.normal_tail(_z(test))


def _power(test: _Test, alpha: float) -> float:
    if not 0.0 < alpha < 1.0:
        return 0.0
    if test.std_error == 0.0:
        return 1.0
    return stats.normal_tail(stats.upper_quantile(alpha) - test.detect / test.std_error)


def _gain(test: _Test) -> str:
    return f"{test.detect + test.least:.4f} {test.unit}"


def _outcome(
    passed: bool | None, p: float, granted: budget.Level, power: float, test: _Test, settings: GateSettings
) -> str:
    before = "the first try" if not granted.tries else f"try {granted.tries + 1} against this champion"
    level = f"{p_is(p)}, and {before} may use {_short(granted.alpha)}"
    true = f"a true gain of {_gain(test)}"
    if passed:
        return f"It is better: {level}."
    if passed is None:
        return (
            f"That may be luck: {level}. These outcomes would show {true} with {power:.0%} probability. "
            f"The gate needs {settings.power:.0%} to reject a challenger."
        )
    if power >= settings.power:
        return f"It is not shown to be better: {level}. The test finds {true} with {power:.0%} probability."
    return f"It is not shown to be better: {level}. The test rules out {true} with {1 - settings.alpha:.0%} confidence."


def _short(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "less than 0.0001"
