"""Cases: what they are, the machine that moves them, and what their steps say. Pure: the time is an argument.

A room just above `core`: the store below the stages keeps cases, and the pages show them.
"""

from riskloop.cases.case import BY_OUTCOMES, CLOSED, LOOP, Case, CaseState, CaseStep, Move, Task, ended, known_harm
from riskloop.cases.machine import OF_VERDICT, TABLE, Rule, Signal, may, move

__all__ = [
    "BY_OUTCOMES",
    "CLOSED",
    "LOOP",
    "OF_VERDICT",
    "TABLE",
    "Case",
    "CaseState",
    "CaseStep",
    "Move",
    "Rule",
    "Signal",
    "Task",
    "ended",
    "known_harm",
    "may",
    "move",
]
