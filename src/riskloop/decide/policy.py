"""What a diagnosis leads to. A table, and nothing but a table."""

from dataclasses import dataclass
from typing import Final

from riskloop.core.settings import PolicySettings
from riskloop.core.types import Action, Diagnosed, Diagnosis

ON_DRIFT: Final = {
    Diagnosis.STABLE: Action.NONE,
    Diagnosis.NOT_ENOUGH_DATA: Action.NONE,
    Diagnosis.DATA_FAULT: Action.QUARANTINE,
    Diagnosis.LABEL_FAULT: Action.QUARANTINE,
    Diagnosis.COVARIATE_SHIFT: Action.RETRAIN,
    Diagnosis.PRIOR_SHIFT: Action.RECALIBRATE,
    Diagnosis.CONCEPT_DRIFT: Action.RETRAIN,
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What the policies know beside the diagnosis."""

    windows_since_training: int = 0  # closed windows since the champion was trained, this one included
    auc_loss: float | None = None  # the training's AUC minus the realised (else the estimated) one; None: unknown


def decide(diagnosed: Diagnosed, policy: PolicySettings, context: Situation = Situation()) -> Action:
    """The action for one diagnosed window. A fault is quarantined under every policy, and never learned from."""
    if diagnosed.diagnosis is Diagnosis.DATA_FAULT:
        return Action.QUARANTINE
    if policy.name == "manual":
        return Action.NONE
    if policy.name == "scheduled":
        return Action.RETRAIN if context.windows_since_training >= policy.every else Action.NONE
    if not diagnosed.confirmed:
        return Action.NONE
    action = ON_DRIFT[diagnosed.diagnosis]
    if policy.name == "on_harm" and action is Action.RETRAIN and not _harmed(policy, context):
        return Action.NONE
    return action


def renews(diagnosis: Diagnosis, policy: PolicySettings, *, learned: int, known: int) -> bool:
    """Whether a champion made for a new world is worth making again: it learned from ``learned`` of its outcomes.

    The first challenger after a change comes early and learns from little. Nothing drifts after it, so no diagnosis
    would ever order the better model that more outcomes allow.
    """
    follows = policy.name in ("on_drift", "on_harm") and ON_DRIFT.get(diagnosis) is Action.RETRAIN
    return follows and policy.renew > 1.0 and learned > 0 and known >= policy.renew * learned


def _harmed(policy: PolicySettings, context: Situation) -> bool:
    return context.auc_loss is not None and context.auc_loss >= policy.harm_auc
