"""LoopBench's table: what the policies did over all streams, and whether the default one does what it promises."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from riskloop.core.types import Json

LAST: Final = 3  # months at the end over which recovery is measured
LEAST_LOSS: Final = 0.005  # of AUC; of less there is nothing to recover
REAL: Final = ("covariate_shift", "prior_shift", "concept_drift")
HOPELESS: Final = "label_noise"  # concept drift by its labels, and nothing can be learned from it

PROMISED: Final = "on_drift"
RECOVERED: Final = 0.9
WRONG: Final = 0.02
STABLE_RETRAININGS: Final = 1
NEVER_WORSE: Final = -0.002


def end_of(row: Mapping[str, Any]) -> float:
    """Mean AUC over the last months."""
    return float(np.mean([value for value in row["auc"][-LAST:] if value is not None]))


def _yearly(row: Mapping[str, Any]) -> float:
    """Retrainings in twelve months."""
    return float(row["retrainings"] * 12 / len(row["auc"]))


def _whole(row: Mapping[str, Any]) -> float:
    return float(np.mean([value for value in row["auc"] if value is not None]))


def summary(rows: Sequence[Json]) -> Json:
    """One entry a policy, over all its streams."""
    by = {(row["scenario"], row["seed"], row["policy"]): row for row in rows}
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    return {policy: _entry(policy, [row for row in rows if row["policy"] == policy], by) for policy in policies}


def _entry(policy: str, rows: Sequence[Json], by: Mapping[tuple[str, int, str], Json]) -> Json:
    gains: dict[str, list[float]] = {}
    recovered: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        never, oracle = (by[row["scenario"], row["seed"], name] for name in ("never", "oracle"))
        gains.setdefault(row["scenario"], []).append(_whole(row) - _whole(never))
        if row["truth"] in REAL and row["scenario"] != HOPELESS:
            recovered.setdefault(row["scenario"], []).append(
                (end_of(row) - end_of(never), end_of(oracle) - end_of(never))
            )
    shares = {
        name: sum(won for won, _ in pairs) / sum(lost for _, lost in pairs)
        for name, pairs in recovered.items()
        if np.mean([lost for _, lost in pairs]) >= LEAST_LOSS
    }
    won, lost = (sum(pair[side] for pairs in recovered.values() for pair in pairs) for side in (0, 1))
    real = [row for row in rows if row["truth"] in REAL and row["scenario"] != HOPELESS]
    delays = [row["delay"] for row in real if row["delay"] is not None]
    stable = [row for row in rows if row["truth"] == "stable"]
    means = {name: float(np.mean(values)) for name, values in gains.items()}
    worst = min(means, key=lambda name: means[name])
    return {
        "streams": len(rows),
        "recovered": float(np.mean(list(shares.values()))) if shares else None,
        "recovered_of_all": won / lost if lost > 0 else None,
        "recovered_by_scenario": shares,
        "regret": float(np.mean([row["regret"] for row in real])) if real else None,
        "delay": float(np.mean(delays)) if delays else None,
        "missed": sum(row["delay"] is None for row in real),
        "retrainings": float(np.mean([_yearly(row) for row in rows])),
        "stable_retrainings": float(np.mean([_yearly(row) for row in stable])) if stable else None,
        "stable_most": max((_yearly(row) for row in stable), default=None),
        "false": sum(row["false"] for row in rows),
        "on_faults": sum(row["on_faults"] for row in rows),
        "promotions": sum(row["promotions"] for row in rows),
        "judged": sum(row["judged"] for row in rows),
        "wrong": sum(row["wrong"] for row in rows),
        "stable_losses": _losses(stable, by) if stable else None,
        "worst_scenario": worst,
        "worst_gain": means[worst],
        "gain_by_scenario": means,
    }


def _losses(rows: Sequence[Json], by: Mapping[tuple[str, int, str], Json]) -> int:
    return sum(_whole(row) < _whole(by[row["scenario"], row["seed"], "never"]) - 1e-9 for row in rows)


HEAD: Final = (
    "policy            recovered   regret  delay missed  retrain/yr  false  faults  promoted  wrong  worst scenario"
)


def lines(table: Json) -> Iterator[str]:
    """The table for people."""
    yield HEAD
    for policy, e in table.items():
        wrong = _share(e["wrong"] / e["judged"] if e["judged"] else None)
        quality = f"{_share(e['recovered']):>10} {_float(e['regret'], '8.4f'):>8} {_float(e['delay'], '6.1f'):>6}"
        counts = f"{e['missed']:>6} {e['retrainings']:>11.2f} {e['false']:>6} {e['on_faults']:>7} {e['promotions']:>9}"
        yield f"{policy:<16} {quality} {counts} {wrong:>6}  {e['worst_scenario']} {e['worst_gain']:+.4f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _float(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


# --------------------------------------------------------------------------- what is promised


def goals(table: Json, triggers: Sequence[str]) -> list[Json]:
    """What the default policy must reach; a goal that these streams cannot show is left out.

    Better than a trigger: as much recovered, with no more retrainings and no more of them on faults.
    """
    if PROMISED not in table:
        return []
    e = table[PROMISED]
    wrong = e["wrong"] / e["judged"] if e["judged"] else None
    values = [
        ("recovered, mean over the scenarios of real change that lose AUC", e["recovered"], RECOVERED, True),
        ("retrainings on faults", e["on_faults"], 0, False),
        ("wrong promotions, share", wrong, WRONG, False),
        ("retrainings on a stable stream, at most", e["stable_most"], STABLE_RETRAININGS, False),
        ("stable streams that lose AUC", e["stable_losses"], 0, False),
        (f"gain over never in the worst scenario, {e['worst_scenario']}", e["worst_gain"], NEVER_WORSE, True),
    ]
    found = [
        {"goal": goal, "value": value, "bound": bound, "reached": value >= bound if least else value <= bound}
        for goal, value, bound, least in values
        if value is not None
    ]
    return found + [_beside(e, name, table[name]) for name in triggers if name in table and e["recovered"] is not None]


def _beside(ours: Json, name: str, theirs: Json) -> Json:
    better = [
        ours["recovered"] >= theirs["recovered"],
        ours["retrainings"] <= theirs["retrainings"],
        ours["on_faults"] <= theirs["on_faults"],
    ]
    values = [f"{e['recovered']:.0%}, {e['retrainings']:.2f} a year, {e['on_faults']}" for e in (ours, theirs)]
    goal = f"recovered, retrainings, on faults: no worse than '{name}'"
    return {"goal": goal, "value": values[0], "bound": values[1], "reached": all(better)}


def told(found: Sequence[Json]) -> Iterator[str]:
    """The goals for people."""
    for goal in found:
        value, bound = (x if isinstance(x, str) else f"{x:g}" for x in (_round(goal["value"]), goal["bound"]))
        yield f"{'reached' if goal['reached'] else 'MISSED':<8} {goal['goal']}: {value} ({bound})"


def _round(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
