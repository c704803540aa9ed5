"""Which combinations of scenario and conditions are played: a fraction of all, near D-optimal at every length.

All combinations of 31 scenarios with 432 conditions would take weeks. Main effects of each condition are to be
estimable from few of them, and those of the scenarios where a group has few; many take turns. Cells are chosen one
after the other, each the one that adds most to det(X'X) of the model with these main effects: the sequential
construction of Dykstra (Technometrics 13 (1971) 682–688), begun from a small prior precision (DuMouchel & Jones,
Technometrics 36 (1994) 37–47), so that a run that stops early has still played a good design. Groups take turns.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, product
from typing import Any, Final

import numpy as np

from riskloop.core.types import Floats
from riskloop.simulation import SCENARIOS
from riskloop.simulation.conditions import LEVELS, Conditions

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "stable": ("stable", "small_windows", "seasonal_mix"),
    "recession": ("recession", "recurring"),
    "faults": tuple(name for name, scenario in SCENARIOS.items() if scenario.is_fault),
    "labels": ("definition", "inverted", "goods_late"),  # feeds, in a world that does not change
    "shifts": ("prior_shift", "new_channel_sudden", "new_channel_gradual", "ageing", "policy_change", "label_noise"),
}
SEEDS: Final = tuple(range(301, 309))  # taken in turns; none was looked at before
SINGLE: Final = 1000  # numbers from here on are of cells in which one condition alone is not the usual one
SINGLE_SEEDS: Final = tuple(range(311, 319))
SINGLE_SCENARIO: Final = "recession"  # that is played with one condition changed at a time
MOST_ESTIMATED: Final = 3  # scenarios of a group whose effects are estimated; more take turns
PRIOR: Final = 1e-3  # precision of each effect at the start
DRAWN: Final = 13  # seed of the order in which equal candidates stand


@dataclass(frozen=True)
class Planned:
    """One cell of the design."""

    group: str
    number: int  # its place in the group, from 0 on
    scenario: str
    conditions: Conditions
    seed: int


def design(groups: Sequence[str] = tuple(GROUPS)) -> Iterator[Planned]:
    """The cells without end, group after group in turns."""
    orders = {group: _ordered(group) for group in groups}
    number = 0
    while True:
        for group, cells in orders.items():
            scenario, conditions = next(cells)
            yield Planned(group, number, scenario, conditions, SEEDS[number % len(SEEDS)])
        number += 1


def one_by_one(groups: Sequence[str] = tuple(GROUPS)) -> Iterator[Planned]:
    """Cells of the lasting recession with the usual conditions, and with one of them changed.

    A fraction tells main effects; these tell what a lender has who is unusual in one way only.
    """
    usual = asdict(Conditions())
    changed = [Conditions()] + [
        Conditions(**(usual | {name: level}))
        for name, levels in LEVELS.items()
        for level in levels
        if level != usual[name]
    ]
    for k, one in enumerate(changed):
        if "recession" in groups:
            yield Planned("recession", SINGLE + k, SINGLE_SCENARIO, one, SINGLE_SEEDS[k % len(SINGLE_SEEDS)])


def takes_turns(group: str) -> bool:
    """Whether a group's scenarios are too many to estimate the effect of each: then all are played equally often."""
    return len(GROUPS[group]) > MOST_ESTIMATED


def candidates(group: str) -> list[tuple[str, Conditions]]:
    """All combinations of a group; labels break in feeds that correct nothing: a feed has one kind of labels."""
    combinations = [
        Conditions(**dict(zip(LEVELS, values, strict=True)))
        for values in product(*LEVELS.values())
        if not (group == "labels" and values[0] == "corrected")
    ]
    return list(product(GROUPS[group], combinations))


def coded(group: str, cells: Sequence[tuple[str, Conditions]]) -> Floats:
    """The model matrix (n, p): a mean, and the main effects of the scenario and of each condition, coded to sum to 0.

    Scenarios that take turns have no effects in it.
    """
    levels: dict[str, Sequence[Any]] = {**LEVELS} if takes_turns(group) else {"scenario": GROUPS[group], **LEVELS}
    if group == "labels":
        levels["delivery"] = [level for level in LEVELS["delivery"] if level != "corrected"]
    parts = [np.ones((len(cells), 1))]
    for name, known in levels.items():
        values = [cell[0] if name == "scenario" else getattr(cell[1], name) for cell in cells]
        at = np.array([list(known).index(value) for value in values])
        parts.append(np.vstack([np.eye(len(known) - 1), -np.ones(len(known) - 1)])[at])
    return np.hstack(parts)


def efficiency(group: str, runs: int) -> float:
    """D-efficiency of the first ``runs`` cells, beside all combinations: 1 would be an orthogonal design."""
    everything, chosen = candidates(group), list(islice(_ordered(group), runs))
    signs, logs = zip(
        *(np.linalg.slogdet(x.T @ x / len(x)) for x in (coded(group, chosen), coded(group, everything))), strict=True
    )
    width = coded(group, chosen[:1]).shape[1]
    return float(np.exp((logs[0] - logs[1]) / width)) if signs[0] > 0 else 0.0


def _ordered(group: str) -> Iterator[tuple[str, Conditions]]:
    cells, rng = candidates(group), np.random.default_rng(DRAWN)
    order = rng.permutation(len(cells))
    turns = rng.permutation(GROUPS[group]).tolist() if takes_turns(group) else []
    scenarios = np.array([cells[at][0] for at in order])
    x = coded(group, cells)[order]
    inverse, number = np.eye(x.shape[1]) / PRIOR, 0
    while True:
        gains = np.einsum("ij,jk,ik->i", x, inverse, x)
        if turns:
            gains = np.where(scenarios == turns[number % len(turns)], gains, -1.0)
        best, number = int(np.argmax(gains)), number + 1
        along = inverse @ x[best]
        inverse -= np.outer(along, along) / (1.0 + gains[best])
        yield cells[int(order[best])]
