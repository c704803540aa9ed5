"""The tests that a challenger must pass. Pure: scores and labels in, a verdict with its evidence out."""

from riskloop.gate.approval import Approval, approve, evidence_fingerprint
from riskloop.gate.budget import Level, level, tried
from riskloop.gate.evaluation import Applicants, Context, Coverage, Evaluation
from riskloop.gate.verdict import judge, sentences

__all__ = [
    "Applicants",
    "Approval",
    "Context",
    "Coverage",
    "Evaluation",
    "Level",
    "approve",
    "evidence_fingerprint",
    "judge",
    "level",
    "sentences",
    "tried",
]
