"""The tables of LoopBench's fraction: figures with intervals at 95%, promises by every level of each condition.

Windows of one stream share a champion and are no independent witnesses: their shares have Wilson intervals at the
effective size (Korn & Graubard, Survey Methodology 24 (1998) 193–201), the streams being the clusters. Means over
streams have t intervals. Main effects are least squares in the design's own model, all conditions at once.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import numpy as np

from benchmarks._cells import GENERATION, LOOP
from benchmarks._fraction import GROUPS, SINGLE, coded, efficiency, takes_turns
from benchmarks._triggers import TOLD, TRIGGERS
from riskloop.core.stats import wilson_interval
from riskloop.core.types import Floats, Json
from riskloop.simulation.catalogue import STARTS
from riskloop.simulation.conditions import LEVELS, Conditions

LAST: Final = 3  # months at the end over which recovery is measured
FIRST_WINDOWS: Final = 2  # in which a fault has to be found
REAL: Final = ("covariate_shift", "prior_shift", "concept_drift")
FAULTS: Final = ("data_fault", "label_fault")
LEAST_LOSS: Final = 0.005  # of AUC, that `told` wins; of less there is nothing to recover
MONTH: Final = 30.44  # days
LEAST_CELLS: Final = 20  # of all groups together, from which on levels of conditions are told apart

Measure = Callable[[Json], tuple[float, float] | None]  # of a cell: a number and out of how many; None: says nothing


# --------------------------------------------------------------------------- one cell


def row(record: Json, policy: str = LOOP) -> Json | None:
    """What a policy did in a cell; None where it was not played."""
    return next((one for one in record["rows"] if one["policy"] == policy), None)


def change_of(record: Json) -> int:
    """Position of the first changed month; of the month after the last where nothing changes."""
    months = record["rows"][0]["months"]
    if record["group"] == "labels":
        return STARTS
    quiet = record["group"] == "stable"
    return len(months) if quiet else next((k for k, month in enumerate(months) if month[1] > 0.0), len(months))


def unchanged(record: Json) -> list[list[Any]]:
    """The loop's judged windows in which nothing had changed yet, nor the labels that they are judged by."""
    loop = row(record)
    assert loop is not None
    until = 1 if record["group"] == "labels" else change_of(record)
    return [window for window in loop["windows"][:until] if window[1] != "not_enough_data"]


def false_alarms(record: Json) -> tuple[float, float]:
    """Confirmed findings among windows in which nothing had changed."""
    windows = unchanged(record)
    return sum(w[2] and w[1] in (*REAL, *FAULTS) for w in windows), len(windows)


def quarantines(record: Json) -> tuple[float, float]:
    """Windows or outcomes set aside while nothing was broken, of all unchanged windows."""
    loop, until = row(record), _start(record)
    assert loop is not None
    labels = sum(case[1] == "label_fault" and case[0] < until for case in loop["cases"])
    # Where labels break, the customers' data stay sound to the end.
    sound = loop["windows"] if record["group"] == "labels" else unchanged(record)
    return sum(w[3] for w in sound) + labels, max(1, len(sound))


def retrained_unchanged(record: Json) -> tuple[float, float] | None:
    """Retrainings in a stable year; of streams that are stable to their end."""
    loop = row(record)
    return (len(loop["retrainings"]), 1) if loop is not None and record["group"] == "stable" else None


def retrained_at_all(record: Json) -> tuple[float, float] | None:
    """Whether a stable stream was retrained on."""
    found = retrained_unchanged(record)
    return None if found is None else (float(found[0] > 0), 1)


def delay(record: Json) -> tuple[float, float] | None:
    """Months from the first changed day until a real change opened a case, or was confirmed without one."""
    loop, months, start = row(record), record["rows"][0]["months"], change_of(record)
    if loop is None or record["group"] not in ("recession", "shifts"):
        return None
    begun = _month(months[start][0])
    opened = [case[0] for case in loop["cases"] if case[1] in REAL and _moment(case[0]) > begun]
    # Who the customers are is known when the window closes; a finding that costs nothing opens no case.
    seen = [k for k, w in enumerate(loop["windows"]) if k >= start and w[2] and w[1] == "covariate_shift"]
    waits = [(_moment(at) - begun).days / MONTH for at in opened] + [float(k + 1 - start) for k in seen]
    return (min(waits), 1) if waits else None


def found(record: Json) -> tuple[float, float] | None:
    """Whether a real change was found at all."""
    return (float(delay(record) is not None), 1) if record["group"] in ("recession", "shifts") else None


def recovery(record: Json) -> tuple[float, float] | None:
    """AUC won over never retraining in the last months, and what `told` won: a ratio of sums."""
    told, loop, never = row(record, TOLD), row(record), row(record, "never")
    if told is None or loop is None or never is None or end_of(told) - end_of(never) < LEAST_LOSS:
        return None
    return end_of(loop) - end_of(never), end_of(told) - end_of(never)


def fault_found(record: Json) -> tuple[float, float] | None:
    """Whether one of the first two broken windows was called a fault."""
    loop = row(record)
    if loop is None or record["group"] != "faults":
        return None
    start = change_of(record)
    return float(any(w[1] == "data_fault" for w in loop["windows"][start : start + FIRST_WINDOWS])), 1


def fault_learned(record: Json) -> tuple[float, float] | None:
    """Whether the loop retrained after a fault had come into the feed."""
    loop = row(record)
    if loop is None or record["group"] != "faults":
        return None
    first = record["rows"][0]["months"][change_of(record)][0]
    return float(any(period >= first for period in loop["retrainings"])), 1


def labels_found(record: Json) -> tuple[float, float] | None:
    """Whether a fault of the labels was found, and nothing learned from it went live unattended."""
    loop = row(record)
    if loop is None or record["group"] != "labels":
        return None
    said = loop["labels"] or any(case[1] == "label_fault" for case in loop["cases"])
    return float(bool(said) and not labels_learned(record)[0]), 1  # type: ignore[index]


def labels_learned(record: Json) -> tuple[float, float] | None:
    """Whether a model was promoted unattended after labels had broken."""
    loop = row(record)
    if loop is None or record["group"] != "labels":
        return None
    first = record["rows"][0]["months"][STARTS][0]
    return float(any(promotion["period"] >= first for promotion in loop["promotions"])), 1


def gain(record: Json, policy: str = LOOP) -> tuple[float, float] | None:
    """Mean AUC over all months less that of never retraining."""
    one, never = row(record, policy), row(record, "never")
    if one is None or never is None or one is never:
        return None
    pairs = [(a, b) for a, b in zip(one["auc"], never["auc"], strict=True) if a is not None and b is not None]
    return float(np.mean([a - b for a, b in pairs])), 1


def end_of(one: Json) -> float:
    """Mean AUC over the last months."""
    return float(np.mean([value for value in one["auc"][-LAST:] if value is not None]))


def _month(name: str) -> datetime:
    return datetime.fromisoformat(f"{name}-01T00:00:00+00:00")


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)


def _start(record: Json) -> str:
    """When the first changed month begins, as cases write their dates."""
    months, start = record["rows"][0]["months"], change_of(record)
    return f"{months[start][0]}-01" if start < len(months) else "9999"


# --------------------------------------------------------------------------- figures with intervals


def share(pairs: Sequence[tuple[float, float]]) -> str:
    """Events of trials, cell by cell, with the interval of their share at the effective size."""
    events, trials = (float(sum(pair[side] for pair in pairs)) for side in (0, 1))
    if not trials:
        return "–"
    p = events / trials
    effective = trials
    if 0.0 < p < 1.0 and len(pairs) > 1 and max(of for _, of in pairs) > 1:
        residual = np.array([e - p * n for e, n in pairs])
        variance = len(pairs) / (len(pairs) - 1) * float(residual @ residual) / trials**2
        effective = min(trials, max(1.0, p * (1.0 - p) / variance)) if variance else trials
    ends = wilson_interval(min(round(p * effective), round(effective)), max(1, round(effective)))
    return f"{_percent(p)} ({_percent(min(p, ends.lower))} to {_percent(max(p, ends.upper))}) of {trials:.0f}"


def mean(pairs: Sequence[tuple[float, float]], form: str = ".2f") -> str:
    """The mean over cells with a t interval."""
    values = np.array([value / of for value, of in pairs])
    if not values.size:
        return "–"
    if values.size == 1:
        return f"{values[0]:{form}} (one stream)"
    reach = _t(values.size - 1) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return f"{values.mean():{form}} ({values.mean() - reach:{form}} to {values.mean() + reach:{form}}) of {values.size}"


def ratio(pairs: Sequence[tuple[float, float]]) -> str:
    """Sum over sum, with the interval of the jackknife over cells."""
    if not pairs:
        return "–"
    won, there = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    value, n = won.sum() / there.sum(), len(pairs)
    if n == 1:
        return f"{value:.0%} (one stream)"
    without = (won.sum() - won) / (there.sum() - there)
    reach = _t(n - 1) * math.sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))
    return f"{value:.0%} ({value - reach:.0%} to {value + reach:.0%}) of {n}"


def _percent(value: float) -> str:
    return f"{value:.1%}" if 0.0 < value < 0.1 else f"{value:.0%}"


def _t(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


# --------------------------------------------------------------------------- the tables


class Promise:
    """What must hold, and how it is counted."""

    def __init__(self, name: str, goal: str, measure: Measure, figure: Callable[..., str], groups: str = "") -> None:
        self.name, self.goal, self.measure, self.figure = name, goal, measure, figure
        self.groups = groups.split() or list(GROUPS)

    def pairs(self, records: Sequence[Json]) -> list[tuple[float, float]]:
        """What the cells say that say something."""
        said = [self.measure(record) for record in records if record["group"] in self.groups]
        return [pair for pair in said if pair is not None]

    def of(self, records: Sequence[Json]) -> str:
        """The figure."""
        return self.figure(self.pairs(records))


PROMISES: Final = (
    Promise("false confirmed findings, of unchanged windows", "at most 1%", false_alarms, share),
    Promise("quarantines, of unchanged windows", "none", quarantines, share),
    Promise("stable years retrained in", "none", retrained_at_all, share, "stable"),
    Promise("real changes found, of streams", "–", found, share, "recession shifts"),
    Promise("months until a found change was found", "–", delay, mean, "recession shifts"),
    Promise("recession recovered, beside `told`", "at least 90%, recurring 80%", recovery, ratio, "recession"),
    Promise("faults found within two windows", "at least 90%", fault_found, share, "faults"),
    Promise("faults retrained on", "none", fault_learned, share, "faults"),
    Promise("label faults found before a promotion", "at least 95%", labels_found, share, "labels"),
    Promise("label faults learned unattended", "none", labels_learned, share, "labels"),
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
    lines = ["| `on_drift`, all conditions together | figure | must reach |", "|---|---|---|"]
    lines += [f"| {p.name} | {p.of(records)} | {p.goal} |" for p in PROMISES]
    worst = _worst(records)
    if worst:
        lines.append(f"| lowest mean gain in AUC over never retraining, by scenario | {worst} | at least -0.002 |")
    return "\n".join(lines)


def _worst(records: Sequence[Json], policy: str = LOOP) -> str:
    by: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if (pair := gain(record, policy)) is not None:
            by.setdefault(record["scenario"], []).append(pair)
    if not by:
        return ""
    name = min(by, key=lambda scenario: np.mean([value for value, _ in by[scenario]]))
    return f"{name} {mean(by[name], '+.4f')}"


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
    """Every promise at every level of every condition, the worst level marked."""
    shown = [
        p for p in PROMISES if p.name not in ("quarantines, of unchanged windows", "label faults learned unattended")
    ]
    heads: tuple[str, ...] = ("false findings", "stable years retrained in", "changes found", "months", "recovered")
    heads += ("faults found", "faults retrained on", "label faults found")
    lines = ["| condition | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, levels in LEVELS.items():
        for level in levels:
            part = [record for record in records if record["conditions"][name] == level]
            figures = " | ".join(promise.of(part) for promise in shown)
            lines.append(f"| {name} {level} | {figures} |")
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
        reach = _t(freedom) * math.sqrt(variance * float(at @ inverse @ at))
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
        lines.append(f"| {policy} | {yearly} | {stable} | {faults} | {won} | {_worst(both, policy)} |")
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
    if (won := gain(record)) is not None and won[0] < -0.002:
        said.append(f"{won[0]:+.4f} AUC against never retraining")
    return said


def _told(record: Json) -> str:
    return f"{Conditions(**record['conditions'])}, seed {record['seed']}"
