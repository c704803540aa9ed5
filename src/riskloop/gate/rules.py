"""Which checks the gate makes, and what each kind decides."""

from collections.abc import Callable
from typing import Final

from riskloop.core.settings import GateSettings
from riskloop.core.types import Check
from riskloop.gate.checks import (
    approval_shift,
    auc_range,
    calibration,
    feature_set,
    labels,
    latency,
    learner,
    log_loss,
    money_gain,
    promotion_rate,
    reasons,
    score_shift,
)
from riskloop.gate.evaluation import Context, Evaluation
from riskloop.gate.fairness import approval_ratio
from riskloop.gate.selection import outcome_coverage, reject_inference

Rule = Callable[[Evaluation, GateSettings, Context], Check]

GUARDRAILS: Final[tuple[Rule, ...]] = (log_loss, calibration, approval_ratio, latency, reasons)  # reject a challenger


def guardrails(settings: GateSettings) -> tuple[Rule, ...]:
    """The guardrails of these settings: money only where a least gain is asked for."""
    return GUARDRAILS if settings.least_money_gain is None else (*GUARDRAILS, money_gain)


ENVELOPE: Final[tuple[Rule, ...]] = (
    auc_range,
    approval_shift,
    score_shift,
    learner,
    feature_set,
    promotion_rate,
    labels,
)
NOTICES: Final[tuple[Rule, ...]] = (outcome_coverage, reject_inference)  # inform
