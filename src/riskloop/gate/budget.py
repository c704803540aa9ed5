"""The alpha budget: how often a no-better challenger may pass by luck when the gate is tried again and again.

Every try against one champion may use α·i·r², where r is the share of the run's budget that is left and i ≤ 1 is the
try's information: the squared error at which the test has its power, over the squared error it has. Whatever is tried
and however the tries overlap, their levels never add up to more than the budget (Bonferroni), so no assumption about
the dependence of weekly tests on overlapping data is needed. The square lets the first try use α in full and the
later ones fall like 1/k², slowly enough for a real gain to pass late; i keeps early looks cheap, as the linear
spending function of Lan & DeMets (Biometrika 70 (1983) 659–663) does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from riskloop.core.settings import GateSettings
from riskloop.core.stats import upper_quantile
from riskloop.core.types import GateReport, Try

SOURCE: Final = "Bonferroni over tries; spending after Lan & DeMets, Biometrika 70 (1983) 659–663"
_LEAST: Final = 1e-6  # a spent budget: no number of defaults helps, and none must be divided by
IMPROVEMENT: Final = ("auc_gain", "log_loss_gain")  # the checks that spend the budget


@dataclass(frozen=True, slots=True)
class Level:
    """What one more try may use."""

    alpha: float
    tries: int  # earlier ones that count
    left: float  # of the budget, before this try


def level(
    tries: Sequence[Try], settings: GateSettings, *, champion: int, now: datetime, evidence: str, information: float
) -> Level:
    """The level of the next try. The same evidence gets the level it had: a repeated look is the same look."""
    since = now - settings.budget_period
    counted = [t for t in tries if t.champion == champion and t.at > since]
    same = next((t for t in counted if t.evidence == evidence), None)
    others = [t for t in counted if t.evidence != evidence]
    left = max(0.0, settings.run_alpha - math.fsum(t.alpha for t in others))
    if same is not None:
        return Level(same.alpha, len(others), left)
    share = left / settings.run_alpha
    return Level(settings.alpha * min(1.0, information) * share**2, len(others), left)


def following(granted: Level, settings: GateSettings) -> float:
    """The level that a further try with full information will have."""
    share = max(0.0, granted.left - granted.alpha) / settings.run_alpha
    return max(_LEAST, settings.alpha * share**2)


def information(std_error: float, difference: float, settings: GateSettings) -> float:
    """(squared error at which a true ``difference`` is found with the settings' power) / (squared error), up to 1."""
    wanted = difference / (upper_quantile(1.0 - settings.power) + upper_quantile(settings.alpha))
    return 1.0 if std_error <= wanted else (wanted / std_error) ** 2


def tried(report: GateReport, champion: int, at: datetime) -> Try | None:
    """The try that a report is a record of; None when it tested nothing, and so spent nothing."""
    check = next((c for c in report.checks if c.name in IMPROVEMENT and c.details), None)
    if check is None:
        return None
    return Try(champion, at, float(check.details["level"]), str(check.details["evidence"]))
