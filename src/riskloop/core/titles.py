"""What people call the checks of the gate, on pages and in documents."""

from collections.abc import Mapping
from typing import Final

CHECKS: Final[Mapping[str, str]] = {
    "evidence": "Defaults in the test",
    "auc_gain": "Ranking (AUC)",
    "log_loss_gain": "Log loss, to be better",
    "log_loss": "Log loss, not to be worse",
    "money_gain": "Gain in money an applicant",
    "calibration": "Defaults missed by grades",
    "approval_ratio": "Approval ratio of the worst group",
    "latency": "Time to score",
    "reasons": "Reasons",
    "auc_range": "Ranking, too good to be true",
    "approval_shift": "Approval rate",
    "score_shift": "Shift of the scores",
    "learner": "Learner",
    "feature_set": "Features",
    "promotion_rate": "Promotions in a month",
    "labels": "Labels",
    "outcome_coverage": "Whose outcome is known",
    "reject_inference": "The declined",
    "brier": "Brier score",
    "mean_pd": "Mean PD",
}
