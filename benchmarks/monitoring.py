"""Does the monitor tell drift from noise and from a fault, and how fast is it?

    python -m benchmarks.monitoring [--quick] [--json] [--part judgement|speed] [--data UCI.csv] [--seeds N] [--first S]

Judgement plays every scenario on seeds that no threshold was chosen with (101 and on; tuned on 1 to 30). Each seed
trains a champion on 15,000 rows by the project's own training; streams then come window by window, with 500, 2,000 and
10,000 rows, and are judged as the loop does it: at closing, and again with all outcomes. A window before any change is
judged once a seed and size, however many scenarios begin with it. All values may be missing and all levels unseen, so
that every fault reaches the monitor instead of being refused by the API. Beside it: "any PSI above 0.1" on the same
windows, and Evidently's default preset and its own PSI on the windows of the first seed, in sizes 500 and 2,000.

Speed profiles and tests windows of 23 columns, beside Evidently's preset and NumPy's sum of the same bytes.
"""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.judging import COVARIATE, Judge, Record, progress
from benchmarks.streams import World, course_of, worlds
from riskloop.core.settings import DriftSettings
from riskloop.core.types import Floats
from riskloop.data.scenarios import SCENARIOS
from riskloop.loop.champion import Served
from riskloop.monitor.drift import profile_findings

if TYPE_CHECKING:
    import pandas as pd

FIRST_SEED: Final = 101
SIZES: Final = (500, 2_000, 10_000)
QUIET: Final = ("stable", "not_enough_data")
OUTCOME: Final = ("concept_drift", "prior_shift")  # what can be seen when outcomes are final, and not before
LARGE_PSI: Final = 0.2

Rows = list[dict[str, Any]]


# --------------------------------------------------------------------------- judgement


def judgement(seeds: Sequence[int], sizes: tuple[int, ...], data: "pd.DataFrame | None") -> tuple[list[Record], Rows]:
    """One record a window, and Evidently's verdicts on some of them."""
    found: list[Record] = []
    beside: Rows = []
    started = time.perf_counter()
    for source, frame in [("embedded", None)] + ([("uci", data)] if data is not None else []):
        for world in worlds(source, list(seeds), frame):
            found += Judge(world).records(sizes)
            progress(world, started)
            if world.seed == seeds[0]:
                beside += evidently(world, [size for size in sizes if size <= 2_000])
                progress(world, started)
    return found, beside


def evidently(world: World, sizes: Sequence[int]) -> Rows:
    """Evidently's own verdicts: six stable windows, and the first changed one of every scenario."""
    found = []
    for size in sizes:
        for name, scenario in SCENARIOS.items():
            course = course_of(name, world.name, size)
            if course is None or name == "small_windows":
                continue
            windows = list(world.windows(name, size, course))
            chosen = windows[:6] if scenario.diagnosis == "stable" else windows[course.before : course.before + 1]
            for window in chosen:
                row = {"source": world.name, "scenario": name, "size": size, "truth": window.truth.diagnosis.value}
                for method in ("preset", "psi"):
                    row[method] = preset_share(world.served.features, window.rows.features, method)
                found.append(row)
    return found


def preset_share(reference: Floats, window: Floats, method: str = "preset") -> float:
    """The share of columns that Evidently's preset calls drifted."""
    from riskloop.monitor.drift import _quiet

    with _quiet():
        import pandas as pd
        from evidently import Report
        from evidently.presets import DataDriftPreset

        options = {} if method == "preset" else {"num_method": "psi", "cat_method": "psi"}
        names = [f"c{j}" for j in range(reference.shape[1])]
        frames = [pd.DataFrame(rows, columns=names).dropna(axis=1, how="all") for rows in (window, reference)]
        common = [name for name in names if name in frames[0] and name in frames[1]]
        snapshot = Report([DataDriftPreset(**options)]).run(*(frame[common] for frame in frames))
    value = snapshot.dict()["metrics"][0]["value"]
    return float(value["share"])


def summary(records: Sequence[Record], beside: Rows) -> dict[str, Rows]:
    """The tables."""
    keys = sorted({(r["source"], r["size"]) for r in records}, key=lambda key: (key[0], key[1]))
    groups = {key: [r for r in records if (r["source"], r["size"]) == key] for key in keys}
    return {
        "false alarms": [_false_alarms(*key, rows) for key, rows in groups.items()],
        "detection": [row for key, rows in groups.items() for row in _detection(*key, rows)],
        "faults": [_faults(*key, rows) for key, rows in groups.items()],
        "confusion": _confusion(records),
        "estimated AUC": [row for key, rows in groups.items() for row in _estimates(*key, rows)],
        "Evidently": _evidently_table(beside),
    }


def _false_alarms(source: str, size: int, rows: Sequence[Record]) -> dict[str, Any]:
    stable = [r for r in rows if r["truth"] == "stable"]
    return {
        "source": source,
        "rows": size,
        "windows": len(stable),
        "at closing": _share(r["closing"][0] not in QUIET for r in stable),
        "with outcomes": _share(r["final"][0] not in QUIET for r in stable),
        "confirmed": _share(r["final"][1] for r in stable),
        "any PSI > 0.1": _share(r["any_psi"] for r in stable),
    }


def _detection(source: str, size: int, rows: Sequence[Record]) -> Rows:
    table = []
    for name in dict.fromkeys(r["scenario"] for r in rows):
        runs: dict[int, list[Record]] = defaultdict(list)
        for r in rows:
            if r["scenario"] == name and (r["truth"] != "stable" or name == "recurring"):
                runs[r["seed"]].append(r)
        if not runs:
            continue
        look = "final" if any(r["truth"] in OUTCOME for r in next(iter(runs.values()))) else "closing"
        delays = [next((k + 1 for k, r in enumerate(run) if r[look][0] not in QUIET), None) for run in runs.values()]
        seen = [delay for delay in delays if delay is not None]
        changed = [r for run in runs.values() for r in run if r["truth"] != "stable"]
        table.append(
            {
                "source": source,
                "rows": size,
                "scenario": name,
                "truth": changed[0]["truth"],
                "runs": len(runs),
                "PSI score": float(np.median([r["score_psi"] for r in changed])),
                "PSI feature": float(np.median([r["feature_psi"] for r in changed])),
                "in 2 windows": _share(delay is not None and delay <= 2 for delay in delays),
                "confirmed in 2": _share(any(r[look][1] for r in run[:2]) for run in runs.values()),
                "delay": float(np.mean(seen)) if seen else None,
                "right": _share(r[look][0] == r["truth"] for r in changed if r[look][0] not in QUIET),
            }
        )
    return table


def _faults(source: str, size: int, rows: Sequence[Record]) -> dict[str, Any]:
    faulty = [r for r in rows if r["truth"] == "data_fault"]
    others = [r for r in rows if r["truth"] != "data_fault"]
    real = [r for r in others if r["truth"] != "stable"]
    return {
        "source": source,
        "rows": size,
        "faulty windows": len(faulty),
        "called faults": _share(r["closing"][0] == "data_fault" for r in faulty),
        "changed windows": len(real),
        "changes called faults": _share(r["closing"][0] == "data_fault" for r in real),
        "stable called faults": _share(r["closing"][0] == "data_fault" for r in others if r["truth"] == "stable"),
    }


def _confusion(records: Sequence[Record]) -> Rows:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for r in records:
        counts[r["truth"]][r["final"][0]] += 1
    answers = sorted({answer for row in counts.values() for answer in row})
    return [{"truth": truth, **{a: row[a] for a in answers}} for truth, row in sorted(counts.items())]


def _estimates(source: str, size: int, rows: Sequence[Record]) -> Rows:
    """How often the 95% bands hold, by method."""
    table = []
    for method in ("cbpe", "pape"):
        judged = [r for r in rows if r["scenario"] in COVARIATE and method in r]
        known = [r for r in judged if "true_auc" in r]
        if judged:
            errors = [r[method][0] - r["realised_auc"] for r in judged]
            table.append(
                {
                    "source": source,
                    "rows": size,
                    "method": method,
                    "runs": len(judged),
                    "realised in band": _share(r[method][1] <= r["realised_auc"] <= r[method][2] for r in judged),
                    "true in band": _share(r[method][1] <= r["true_auc"] <= r[method][2] for r in known),
                    "mean error": float(np.mean(errors)),
                    "band": float(np.mean([r[method][2] - r[method][1] for r in judged])),
                }
            )
    return table


def _evidently_table(beside: Rows) -> Rows:
    table = []
    for source, size in sorted({(row["source"], row["size"]) for row in beside}):
        rows = [row for row in beside if (row["source"], row["size"]) == (source, size)]
        for truth in dict.fromkeys(row["truth"] for row in rows):
            part = [row for row in rows if row["truth"] == truth]
            entry: dict[str, Any] = {"source": source, "rows": size, "truth": truth, "windows": len(part)}
            for method in ("preset", "psi"):
                entry[f"{method}: any column"] = _share(row[method] > 0.0 for row in part)
                entry[f"{method}: half"] = _share(row[method] >= 0.5 for row in part)
            table.append(entry)
    return table


def _share(truths: Any) -> float | None:
    values = [bool(value) for value in truths]
    return sum(values) / len(values) if values else None


# --------------------------------------------------------------------------- speed


def speed(quick: bool) -> Rows:
    """Milliseconds, the best of several."""
    (world,) = (w for w in worlds("embedded", [FIRST_SEED]))
    table = []
    for rows in (10_000, 100_000) if quick else (10_000, 1_000_000):
        table.append(_speed(world.served, rows))
        print(table[-1], file=sys.stderr, flush=True)
    return table


def _speed(served: Served, rows: int) -> dict[str, Any]:
    features, scores = distinct_rows(served, rows)
    reference = served.reference

    def tested(threads: int) -> None:
        profile = reference.profile(features, scores, threads=threads)
        profile_findings(reference, profile, DriftSettings())

    def counted() -> None:
        for j, bins in enumerate(reference.bins):
            bins.count(features[:, j])

    against = served.features if rows == 10_000 else features
    preset_share(served.features[:1_000], features[:1_000])  # the import is paid for
    entry = {
        "rows": rows,
        "NumPy sum": best(features.sum),
        "profile and tests": best(lambda: tested(1)),
        "with 2 threads": best(lambda: tested(2)),
        "counts alone": best(counted),
        "scoring": best(lambda: served.scorer.probabilities(features), 3),
        "Evidently's preset": best(lambda: preset_share(against, features), 1),
    }
    fastest = min(entry["profile and tests"], entry["with 2 threads"])
    return {
        **entry,
        "added to scoring": entry["profile and tests"] / entry["scoring"],
        "times Evidently": entry["Evidently's preset"] / fastest,
        "times the sum": fastest / entry["NumPy sum"],
    }


def distinct_rows(served: Served, rows: int) -> tuple[Floats, Floats]:
    """Rows as in production, hardly one of them a copy: amounts of the history's customers, a little changed."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(served.features), rows)
    features = served.features[drawn]
    for j, feature in enumerate(served.scorer.schema.features):
        if feature.name.startswith(("BILL", "PAY_AMT")):
            features[:, j] += rng.integers(0, 10, rows)
    return features, served.reference_scores[drawn]


def best(work: Callable[[], Any], times: int = 7) -> float:
    """The shortest of several runs, in milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken) * 1e3


# --------------------------------------------------------------------------- output


def table_text(title: str, rows: Rows) -> str:
    """A Markdown table."""
    if not rows:
        return ""
    heads = list(rows[0])
    cells = [[_cell(head, row.get(head)) for head in heads] for row in rows]
    lines = [heads, ["---"] * len(heads), *cells]
    return f"\n**{title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


NUMBERS: Final = ("PSI", "delay", "times", "NumPy", "profile and", "with 2", "counts", "scoring", "Evidently's")


def _cell(head: str, value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if head in ("mean error", "band"):
        return f"{value:.3f}"
    return f"{value:.2f}" if head.startswith(NUMBERS) else f"{value:.1%}"


def main() -> None:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(description="Does the monitor tell drift from noise and from a fault?")
    parser.add_argument("--quick", action="store_true", help="one seed, windows of 500 and 2,000 rows")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--part", choices=("judgement", "speed"), help="only this part")
    parser.add_argument("--data", type=Path, help="the UCI credit-card CSV, for streams of real rows")
    parser.add_argument("--seeds", type=int, help="worlds (default 20, quick 1)")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="the first seed")
    given = parser.parse_args()
    tables: dict[str, Rows] = {}
    if given.part != "speed":
        from riskloop.data.uci import load_uci

        seeds = range(given.first, given.first + (given.seeds or (1 if given.quick else 20)))
        data = load_uci(given.data) if given.data else None
        tables |= summary(*judgement(seeds, SIZES[:2] if given.quick else SIZES, data))
    if given.part != "judgement":
        tables["speed, milliseconds"] = speed(given.quick)
    if given.json:
        print(json.dumps(tables))
        return
    print("\n".join(table_text(title, rows) for title, rows in tables.items() if rows))


if __name__ == "__main__":
    main()
