"""The change of the champion, and the watch over the new one."""

from riskloop.promote.probation import Probation, ProbationState, judge_probation, settle
from riskloop.promote.switch import promote, rollback

__all__ = ["Probation", "ProbationState", "judge_probation", "promote", "rollback", "settle"]
