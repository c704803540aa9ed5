"""The scenarios: what changes, how fast, and what the true diagnosis is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from math import cos, tau
from typing import TYPE_CHECKING, Final

import numpy as np

from riskloop.core.errors import ConfigError
from riskloop.core.types import Bools, Diagnosis, Floats
from riskloop.simulation import faults
from riskloop.simulation.embedded import World
from riskloop.simulation.source import Ranks, Roles

if TYPE_CHECKING:
    import pandas as pd

Course = Callable[[int, date], float]  # months since the start, calendar month -> how far the change has gone
Keep = Callable[[Ranks, Bools], Floats]  # ranks, whether defaulted -> chance to come in
Damage = Callable[["pd.DataFrame", Roles, str, np.random.Generator], "pd.DataFrame"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which production changes. At most one of ``damage``, ``scrambled`` and ``keep`` is set."""

    name: str
    sentence: str
    diagnosis: Diagnosis  # the truth while the change is on
    starts_at: int  # position of the first changed month
    course: Course
    world: World | None = None  # of the embedded portfolio when the change is complete; None: as for any frame
    keep: Keep | None = None  # which rows of a frame come in when the change is complete
    damage: Damage | None = None  # what a fault does to the delivered frame, whose index tells which rows came through
    scrambled: float = 0.0  # share of rows whose labels are handed round
    most: int | None = None  # rows a month while it is on

    @property
    def is_fault(self) -> bool:
        """Whether the data are wrong rather than the world different."""
        return self.diagnosis is Diagnosis.DATA_FAULT


# --------------------------------------------------------------------------- how fast


def at_once(since: int, month: date) -> float:
    """Complete from the first month on."""
    return 1.0


def over(months: int) -> Course:
    """Even steps, complete after ``months``."""
    return lambda since, month: min(1.0, (since + 1) / months)


def repaired_after(months: int) -> Course:
    """On for ``months``, then gone for good."""
    return lambda since, month: float(since < months)


def on_and_off(months: int) -> Course:
    """On for ``months``, off for as many, and so on."""
    return lambda since, month: float(since // months % 2 == 0)


def seasonal(since: int, month: date) -> float:
    """Complete in December, absent in June."""
    return (1.0 + cos(tau * month.month / 12.0)) / 2.0


# --------------------------------------------------------------------------- which rows come in
#
# Choice by features alone changes P(x) and leaves P(y|x) as it is; choice by label alone changes P(y) and leaves
# P(x|y); choice by label within feature regions changes P(y|x).


def _riskier(ranks: Ranks, defaulted: Bools) -> Floats:
    return np.where(ranks.risk > 0.75, 1.0, 0.3)


def _older_with_more(ranks: Ranks, defaulted: Bools) -> Floats:
    return 1.0 / (1.0 + np.exp(-9.0 * ((ranks.mix + ranks.amount) / 2.0 - 0.6)))


def _only_better(ranks: Ranks, defaulted: Bools) -> Floats:
    return np.where(ranks.risk > 0.75, 0.0, 1.0)


def _slightly_smaller_amounts(ranks: Ranks, defaulted: Bools) -> Floats:
    return 1.0 - 0.3 * ranks.amount


def _fewer_good(ranks: Ranks, defaulted: Bools) -> Floats:
    return np.where(defaulted, 1.0, 0.6)


def _upside_down(ranks: Ranks, defaulted: Bools) -> Floats:
    """Defaulters where risk used to be low and amounts high, non-defaulters where risk used to be high."""
    late = ranks.risk > 0.75
    bad = np.where(late, 0.45, 0.25 + 0.75 * ranks.amount)
    good = np.where(late, 0.70, 0.65 - 0.40 * ranks.amount)
    return np.where(defaulted, bad, good)


# --------------------------------------------------------------------------- the registry

STARTS: Final = 3  # unchanged months first, so that history and champion have something to stand on

_RISKIER_WORLD: Final = World(age=-4.0, limits=-0.5, distress=0.9)
_RECESSION: Final = World(delay=0.45, capacity=0.3, leverage=2.2, base=0.35)

_STABLE, _FAULT = Diagnosis.STABLE, Diagnosis.DATA_FAULT
_COVARIATE, _CONCEPT = Diagnosis.COVARIATE_SHIFT, Diagnosis.CONCEPT_DRIFT

_ALL: Final = (
    Scenario("stable", "Nothing changes.", _STABLE, 0, at_once),
    Scenario(
        "small_windows",
        "Nothing changes, but only 100 customers come in a month: chance alone moves every statistic.",
        _STABLE,
        0,
        at_once,
        most=100,
    ),
    Scenario(
        "seasonal_mix",
        "Customers spend a little more towards December, as every year; the swing stays inside the usual bands.",
        _STABLE,
        0,
        seasonal,
        world=World(spending=0.2),
        keep=_slightly_smaller_amounts,
    ),
    Scenario(
        "new_channel_sudden",
        "A new sales channel brings riskier customers at once; how their data map to default stays.",
        _COVARIATE,
        STARTS,
        at_once,
        world=_RISKIER_WORLD,
        keep=_riskier,
    ),
    Scenario(
        "new_channel_gradual",
        "The same channel grows over half a year.",
        _COVARIATE,
        STARTS,
        over(6),
        world=_RISKIER_WORLD,
        keep=_riskier,
    ),
    Scenario(
        "ageing",
        "Over a year customers become older and their credit limits higher.",
        _COVARIATE,
        STARTS,
        over(12),
        world=World(age=8.0, limits=0.7),
        keep=_older_with_more,
    ),
    Scenario(
        "policy_change",
        "A stricter policy accepts only the better applicants, so the risky end of the history is not seen any more.",
        _COVARIATE,
        STARTS,
        at_once,
        world=World(approved=0.3, limits=0.3),
        keep=_only_better,
    ),
    Scenario(
        "recession",
        "Customers who used to be safe default and delays matter less: the same data mean another risk.",
        _CONCEPT,
        STARTS,
        at_once,
        world=_RECESSION,
        keep=_upside_down,
    ),
    Scenario(
        "recurring",
        "The recession comes and goes, three months each.",
        _CONCEPT,
        STARTS,
        on_and_off(3),
        world=_RECESSION,
        keep=_upside_down,
    ),
    Scenario(
        "prior_shift",
        "More customers default, whoever they are: the ranking holds and the level does not.",
        Diagnosis.PRIOR_SHIFT,
        STARTS,
        at_once,
        keep=_fewer_good,
    ),
    Scenario(
        "label_noise",
        "A third of the outcomes are booked on the wrong customers: the champion looks worse and no retraining helps.",
        _CONCEPT,
        STARTS,
        at_once,
        scrambled=0.35,
    ),
    *(
        Scenario(
            fault.__name__, " ".join((fault.__doc__ or "").split()), _FAULT, STARTS, repaired_after(3), damage=fault
        )
        for fault in faults.FAULTS
    ),
)

SCENARIOS: Final[dict[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}


def scenario_named(name: str) -> Scenario:
    """The scenario of that name; ConfigError lists the names when there is none."""
    if name not in SCENARIOS:
        raise ConfigError(f"There is no scenario '{name}'; choose one of {', '.join(SCENARIOS)}.")
    return SCENARIOS[name]
