"""The tables of LoopBench's fraction: promises, and figures by every level of each condition.

Figures and their intervals are those of `_measured`. Main effects are least squares in the design's own model, all
conditions at once.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from benchmarks._cells import GENERATION, LOOP
from benchmarks._fraction import GROUPS, SINGLE, coded, efficiency, takes_turns
from benchmarks._measured import (
    FAULTS,
    REAL,
    Measure,
    delay,
    false_alarms,
    fault_found,
    fault_learned,
    found,
    gain,
    labels_found,
    labels_learned,
    mean,
    quarantines,
    ratio,
    recovery,
    retrained_at_all,
    row,
    share,
    t_quantile,
    unchanged,
)
from benchmarks._triggers import TRIGGERS
from riskloop.core.types import Floats, Json
from riskloop.simulation.conditions import LEVELS, Conditions

LEAST_GAIN: Final = -0.002  # of AUC, that a scenario may lose beside never retraining
LEAST_CELLS: Final = 20  # of all groups together, from which on levels of conditions are told apart


class Promise:
    """What must hold, and how it is counted."""

    def __init__(
        self,
        name: str,
        goal: str,
        measure: Measure,
        figure: Callable[..., str],
        groups: str = "",
        *,
        most: float = math.inf,
        least: float = -math.inf,
    ) -> None:
        self.name, self.goal, self.measure, self.figure = name, goal, measure, figure
        self.groups = groups.split() or list(GROUPS)
        self.most, self.least = most, least

    def pairs(self, records: Sequence[Json]) -> list[tuple[float, float]]:
        """What the cells say that say something."""
        said = [self.measure(record) for record in records if record["group"] in self.groups]
        return [pair for pair in said if pair is not None]

    def of(self, records: Sequence[Json]) -> str:
        """The figure."""
        return self.figure(self.pairs(records))

    def verdict(self, records: Sequence[Json]) -> str:
        """Whether the figure is what it must be; its interval stands beside it."""
        pairs = self.pairs(records)
        if math.isinf(self.most) and math.isinf(self.least):
            return "–"
        if not sum(of for _, of in pairs):
            return "not played"
        value = sum(won for won, _ in pairs) / sum(of for _, of in pairs)
        return "reached" if self.least <= value <= self.most else "**MISSED**"


def _recovers(scenario: str) -> Measure:
    """What a scenario recovers of what `told` does."""
    return lambda record: recovery(record) if record["scenario"] == scenario else None


PROMISES: Final = (
    Promise("false confirmed findings, of unchanged windows", "at most 1%", false_alarms, share, most=0.01),
    Promise("quarantines, of unchanged windows", "none", quarantines, share, most=0.0),
    Promise("stable years retrained in", "none", retrained_at_all, share, "stable", most=0.0),
    Promise("real changes found, of streams", "–", found, share, "recession shifts"),
    Promise("months until a found change was found", "–", delay, mean, "recession shifts"),
    Promise("recession, recovered of what `told` recovers", "at least 90%", _recovers("recession"), ratio, least=0.9),
    Promise("recurring one, recovered of what `told` does", "at least 80%", _recovers("recurring"), ratio, least=0.8),
    Promise("faults found within two windows", "at least 90%", fault_found, share, "faults", least=0.9),
    Promise("faults retrained on", "none", fault_learned, share, "faults", most=0.0),
    Promise("label faults found before a promotion", "at least 95%", labels_found, share, "labels", least=0.95),
    Promise("label faults learned unattended", "none", labels_learned, share, "labels", most=0.0),
)
SHOWN: Final = (  # of each level of each condition
    ("false findings", false_alarms, share),
    ("stable years retrained in", retrained_at_all, share),
    ("changes found", found, share),
    ("months", delay, mean),
    ("recovered", recovery, ratio),
    ("faults found", fault_found, share),
    ("faults retrained on", fault_learned, share),
    ("label faults found", labels_found, share),
)


def document(records: Sequence[Json], planned: int | None = None) -> str:
    """All tables as Markdown; ``planned`` cells make a whole run."""
    if not records:
        return "No cell is finished yet."
    parts = [_played(records, planned or len(records)), _overall(records), _one_by_one(records), _by_scenario(records)]
    few = f"Fewer than {LEAST_CELLS} cells say nothing of single conditions; with more, their tables stand here."
    parts += [_by_condition(records), _effects(records)] if len(records) >= LEAST_CELLS else [few]
    parts += [_beside(records), _missed(records)]
    return "\n\n".join(part for part in parts if part)


def _played(records: Sequence[Json], planned: int) -> str:
    """What the tables rest on."""
    commits = Counter(record["commit"] for record in records)
    seeds = sorted({record["seed"] for record in records})
    said = ", ".join(f"{count} by {commit}" for commit, count in commits.items())
    lines = ["| group | cells | scenarios | D-efficiency |", "|---|---|---|---|"]
    for group in GROUPS:
        part = [record for record in records if record["group"] == group]
        designed = sum(_number(record) < SINGLE for record in part)
        good = f"{efficiency(group, designed):.0%}" if designed and efficiency(group, designed) else "too few cells"
        names = len({record["scenario"] for record in part})
        lines.append(f"| {group} | {len(part)} | {names} of {len(GROUPS[group])} | {good} |")
    stale = [record["cell"] for record in records if record.get("generation", 1) < GENERATION]
    old = (
        f" **{len(stale)} of them are stale**: played before the latest change of what is measured (generation "
        f"{GENERATION}), counted below as they were, and to be played again: {', '.join(stale)}."
        if stale
        else " All of them were played by the latest generation."
    )
    head = f"**{len(records)} of {planned} cells are played**, {len(seeds)} seeds ({seeds[0]} to {seeds[-1]}): {said}."
    return "\n".join([head + old, "", *lines])


def _number(record: Json) -> int:
    return int(record["cell"].split(":")[1])


def _one_by_one(records: Sequence[Json]) -> str:
    """The cells in which one condition alone is not the usual one."""
    single = [record for record in records if _number(record) >= SINGLE]
    if not single:
        return ""
    lines = [
        "| one condition changed | scenario | false findings | months until found | of `told` | promotions |",
        "|---|---|---|---|---|---|",
    ]
    for record in sorted(single, key=_number):
        events, of = false_alarms(record)
        waited, pair, loop = delay(record), recovery(record), row(record)
        usual = asdict(Conditions())
        told = [f"{name} {level}" for name, level in record["conditions"].items() if level != usual[name]]
        months, won = "–" if waited is None else f"{waited[0]:.1f}", "–" if pair is None else f"{pair[0] / pair[1]:.0%}"
        cells = (", ".join(told) or "none", record["scenario"], f"{events:.0f} of {of:.0f}", months, won)
        lines.append(f"| {' | '.join(cells)} | {len((loop or {}).get('promotions', []))} |")
    return "\n".join(lines)


def _overall(records: Sequence[Json]) -> str:
    lines = ["| `on_drift`, all conditions together | figure | must reach | |", "|---|---|---|---|"]
    lines += [f"| {p.name} | {p.of(records)} | {p.goal} | {p.verdict(records)} |" for p in PROMISES]
    if worst := _worst(records):
        name, pairs = worst
        reached = "reached" if np.mean([value for value, _ in pairs]) >= LEAST_GAIN else "**MISSED**"
        figure, bound = f"{name} {mean(pairs, '+.4f')}", f"at least {LEAST_GAIN}"
        lines.append(f"| lowest mean gain in AUC over never retraining, by scenario | {figure} | {bound} | {reached} |")
    return "\n".join(lines)


def _worst(records: Sequence[Json], policy: str = LOOP) -> tuple[str, list[tuple[float, float]]] | None:
    """The scenario with the lowest mean gain, and its gains."""
    by: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if (pair := gain(record, policy)) is not None:
            by.setdefault(record["scenario"], []).append(pair)
    return min(by.items(), key=lambda item: np.mean([value for value, _ in item[1]]), default=None)


def _by_scenario(records: Sequence[Json]) -> str:
    lines = [
        "| scenario | streams | found | months until found, or recovered | gain over never |",
        "|---|---|---|---|---|",
    ]
    for group, names in GROUPS.items():
        measure = {"faults": fault_found, "labels": labels_found, "stable": None}.get(group, found)
        for name in names:
            part = [record for record in records if record["scenario"] == name and record["group"] == group]
            if not part:
                continue
            seen = "–" if measure is None else share([x for r in part if (x := measure(r)) is not None])
            late = mean([x for r in part if (x := delay(r)) is not None])
            if group == "recession":
                late += "; " + ratio([x for r in part if (x := recovery(r)) is not None])
            gained = mean([x for r in part if (x := gain(r)) is not None], "+.4f")
            lines.append(f"| {name} | {len(part)} | {seen} | {late} | {gained} |")
    return "\n".join(lines)


def _by_condition(records: Sequence[Json]) -> str:
    """What was found at every level of every condition."""
    heads = " | ".join(name for name, _, _ in SHOWN)
    lines = [f"| condition | {heads} |", "|---" * (len(SHOWN) + 1) + "|"]
    for name, levels in LEVELS.items():
        for level in levels:
            part = [record for record in records if record["conditions"][name] == level]
            figures = [figure([x for r in part if (x := measure(r)) is not None]) for _, measure, figure in SHOWN]
            lines.append(f"| {name} {level} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _effects(records: Sequence[Json]) -> str:
    """Adjusted means: what each level would give, the other conditions being played evenly."""
    asked = {"months until found": (delay, "recession"), "gain in AUC, recession": (gain, "recession")}
    columns = {name: adjusted(records, measure, group) for name, (measure, group) in asked.items()}
    columns = {name: found for name, found in columns.items() if found}
    if not columns:
        return ""
    lines = ["| main effect, recession | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, levels in LEVELS.items():
        for level in levels:
            lines.append(
                f"| {name} {level} | " + " | ".join(c.get((name, level), "–") for c in columns.values()) + " |"
            )
    return "\n".join(lines)


def adjusted(records: Sequence[Json], measure: Measure, group: str) -> dict[tuple[str, Any], str]:
    """By condition and level: the mean by the design's model with its t interval; empty where cells do not suffice."""
    said = [
        (record, pair[0]) for record in records if record["group"] == group and (pair := measure(record)) is not None
    ]
    if not said:
        return {}
    x = coded(group, [(record["scenario"], Conditions(**record["conditions"])) for record, _ in said])
    y, freedom = np.array([value for _, value in said]), len(said) - x.shape[1]
    if freedom < 2 or np.linalg.matrix_rank(x) < x.shape[1]:
        return {}
    inverse = np.linalg.inv(x.T @ x)
    effects = inverse @ x.T @ y
    variance = float(np.square(y - x @ effects).sum()) / freedom
    means = {}
    for name, level, at in _levels_of(group, x.shape[1]):
        reach = t_quantile(freedom) * math.sqrt(variance * float(at @ inverse @ at))
        means[name, level] = f"{at @ effects:.3f} ± {reach:.3f}"
    return means


def _levels_of(group: str, width: int) -> Iterator[tuple[str, Any, Floats]]:
    """The contrast of every level of every condition, as `coded` codes them."""
    first = 1 if takes_turns(group) else len(GROUPS[group])  # the mean, and the scenarios' effects
    for name, levels in LEVELS.items():
        known = [level for level in levels if not (group == "labels" and level == "corrected")]
        for position, level in enumerate(known):
            at = np.zeros(width)
            at[0] = 1.0
            at[first : first + len(known) - 1] = -1.0 if position == len(known) - 1 else 0.0
            if position < len(known) - 1:
                at[first + position] = 1.0
            yield name, level, at
        first += len(known) - 1


def _beside(records: Sequence[Json]) -> str:
    """The usual triggers and the loop in the cells in which both were played."""
    both = [record for record in records if row(record, "always") is not None]
    if not both:
        return ""
    lines = [
        f"| {len(both)} cells with all policies | retrainings a year | … in stable worlds | … on faults, of streams "
        "| gain over never, recession | worst scenario |",
        "|---|---|---|---|---|---|",
    ]
    for policy in (LOOP, *TRIGGERS):
        yearly = mean([(12.0 * len(one["retrainings"]), len(one["months"])) for one in _rows(both, policy)])
        stable = mean([(len(one["retrainings"]), 1) for one in _rows(both, policy, "stable")])
        faults = share([(float(_after(one)), 1) for one in _rows(both, policy, "faults")])
        won = mean([x for r in both if r["group"] == "recession" and (x := gain(r, policy))], "+.4f")
        worst = _worst(both, policy)
        told = "–" if worst is None else f"{worst[0]} {mean(worst[1], '+.4f')}"
        lines.append(f"| {policy} | {yearly} | {stable} | {faults} | {won} | {told} |")
    return "\n".join(lines)


def _rows(records: Sequence[Json], policy: str, group: str = "") -> list[Json]:
    return [one for record in records if group in ("", record["group"]) and (one := row(record, policy)) is not None]


def _after(one: Mapping[str, Any]) -> bool:
    """Whether there was a retraining after the fault had come."""
    first = next(month[0] for month in one["months"] if month[1] > 0.0)
    return any(period >= first for period in one["retrainings"])


def _missed(records: Sequence[Json]) -> str:
    """Every cell that breaks a promise, by name, so that anybody can play it."""
    lines = [
        f"- `{record['cell']}` {record['scenario']} ({_told(record)}): {what}"
        for record in records
        for what in misses(record)
    ]
    return "Cells that miss a promise:\n\n" + "\n".join(lines) if lines else "No cell misses a promise."


def misses(record: Json) -> list[str]:
    """Which promises a cell breaks, in words."""
    said = []
    if (events := false_alarms(record)[0]) > 0:
        names = ", ".join(f"{w[0]} {w[1]}" for w in unchanged(record) if w[2] and w[1] in (*REAL, *FAULTS))
        said.append(f"{events:.0f} false confirmed ({names})")
    if quarantines(record)[0] > 0:
        said.append("a quarantine while nothing was broken")
    if (retrained_at_all(record) or (0,))[0]:
        said.append("retrained in a stable world")
    if (found(record) or (1,))[0] == 0.0:
        said.append("the change was not found")
    if (pair := recovery(record)) is not None and pair[0] < (0.9 if record["scenario"] == "recession" else 0.8) * pair[
        1
    ]:
        said.append(f"{pair[0] / pair[1]:.0%} of what `told` recovers")
    if (fault_found(record) or (1,))[0] == 0.0:
        said.append("the fault was not found in two windows")
    if (fault_learned(record) or (0,))[0]:
        said.append("retrained on the fault")
    if (labels_found(record) or (1,))[0] == 0.0:
        said.append("label fault learned" if (labels_learned(record) or (0,))[0] else "label fault not found")
    if (won := gain(record)) is not None and won[0] < LEAST_GAIN:
        said.append(f"{won[0]:+.4f} AUC against never retraining")
    return said


def _told(record: Json) -> str:
    return f"{Conditions(**record['conditions'])}, seed {record['seed']}"
