"""Which combinations of scenario and conditions are played: a fraction of all, near D-optimal at every length.

All combinations of 30 scenarios with 432 conditions would take weeks. Main effects of each condition, and of the
scenarios of a group, are to be estimable from few of them. Cells are chosen one after the other, each the one that
adds most to det(X'X) of the model with these main effects: the sequential construction of Dykstra (Technometrics 13
(1971) 682–688), begun from a small prior precision (DuMouchel & Jones, Technometrics 36 (1994) 37–47), so that a run
that stops early has still played a good design. Groups take turns.
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
SINGLE_GROUPS: Final = ("recession", "stable")  # where one condition at a time is played, too
URGENCY: Final = {"recession": 3, "labels": 2, "faults": 2, "stable": 2, "shifts": 1}  # cells of a group before others
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


def one_by_one(groups: Sequence[str] = SINGLE_GROUPS) -> Iterator[Planned]:
    """Cells with the usual conditions, and with one of them changed, for each of a group's first two scenarios.

    A fraction tells main effects; these tell what a lender has who is unusual in one way only.
    """
    usual = asdict(Conditions())
    changed = [Conditions()] + [
        Conditions(**(usual | {name: level}))
        for name, levels in LEVELS.items()
        for level in levels
        if level != usual[name]
    ]
    for group in SINGLE_GROUPS:
        played = [(scenario, one) for one in changed for scenario in GROUPS[group][: 2 if group == "recession" else 1]]
        for k, (scenario, one) in enumerate(played):
            if group in groups:
                yield Planned(group, SINGLE + k, scenario, one, SINGLE_SEEDS[k % len(SINGLE_SEEDS)])


def urgent_first(cells: Sequence[Planned]) -> list[Planned]:
    """The cells that say most first: groups by their urgency, those with one condition changed between the others."""
    return sorted(cells, key=lambda cell: (cell.number % SINGLE + (cell.number < SINGLE) / 2) / URGENCY[cell.group])


def candidates(group: str) -> list[tuple[str, Conditions]]:
    """All combinations of a group; labels break in feeds that correct nothing: a feed has one kind of labels."""
    combinations = [
        Conditions(**dict(zip(LEVELS, values, strict=True)))
        for values in product(*LEVELS.values())
        if not (group == "labels" and values[0] == "corrected")
    ]
    return list(product(GROUPS[group], combinations))


def coded(group: str, cells: Sequence[tuple[str, Conditions]]) -> Floats:
    """The model matrix (n, p): a mean, and the scenario's and each condition's main effects, coded to sum to 0."""
    levels: dict[str, Sequence[Any]] = {"scenario": GROUPS[group], **LEVELS}
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
    cells = candidates(group)
    order = np.random.default_rng(DRAWN).permutation(len(cells))
    x = coded(group, cells)[order]
    inverse = np.eye(x.shape[1]) / PRIOR
    while True:
        gains = np.einsum("ij,jk,ik->i", x, inverse, x)
        best = int(np.argmax(gains))
        along = inverse @ x[best]
        inverse -= np.outer(along, along) / (1.0 + gains[best])
        yield cells[int(order[best])]
