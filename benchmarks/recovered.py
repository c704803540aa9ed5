"""How much of a recession's loss the whole loop wins back where outcomes are the approved customers' only.

    nice -n 19 python -m benchmarks.recovered --kept rows.jsonl [--seeds 2]
    python -m benchmarks.recovered --kept rows.jsonl --seeds 0      # only the tables

Both recessions are played by the loop and by `told`, which knows every change beforehand, with outcomes on time, in a
monthly file, and of a panel. Cells are those of LoopBench under the conditions of lenders, with seeds of their own;
each finished one is a line of the --kept file. docs/monitoring.md shows the table.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._cells import GENERATION, LOOP, play
from benchmarks._fraction import Planned
from benchmarks._triggers import TOLD
from riskloop.backtest.policies import NEVER
from riskloop.core.types import Json
from riskloop.simulation.conditions import Conditions

FIRST: Final = 321  # seed
LAST: Final = 3  # months whose AUC counts
SCENARIOS: Final = ("recession", "recurring")
PLAYED: Final = {
    "on time": Conditions(selection="approved"),
    "a monthly file": Conditions(selection="approved", delivery="monthly"),
    "a monthly file, a panel": Conditions(selection="approved", delivery="monthly", repetition="panel"),
    "a monthly file, 3% of defaults": Conditions(selection="approved", delivery="monthly", base_rate=0.03),
}


def cells(seeds: int, first: int = FIRST, only: str = "") -> Iterator[tuple[str, Planned]]:
    """All conditions of one seed before the next one; ``only`` is in the name of scenario and conditions."""
    for seed in range(first, first + seeds):
        for name, conditions in PLAYED.items():
            for scenario in SCENARIOS:
                if only in f"{scenario}, {name}":
                    yield name, Planned("recession", 0, scenario, conditions, seed)


def kept(file: Path | None) -> list[Json]:
    """The finished cells."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file is not None and file.exists() else []


def told(record: Json) -> Json:
    """What one cell shows: its AUCs over the last months, and when the loop acted."""
    rows = {row["policy"]: row for row in record["rows"]}
    never, loop, best = (float(np.mean(rows[name]["auc"][-LAST:])) for name in (NEVER.name, LOOP, TOLD))
    row = rows[LOOP]
    changed = [k for k, (_, share, _) in enumerate(row["months"]) if share > 0.0]
    found = [k for k, window in enumerate(row["windows"]) if window[1] == "concept_drift" and k >= changed[0]]
    false = [window for k, window in enumerate(row["windows"]) if window[2] and k < changed[0]]
    return {
        "never": never,
        "loop": loop,
        "told": best,
        "of told": (loop - never) / (best - never),
        "found in": found[0] - changed[0] + 1 if found else None,
        "promotions": len(row["promotions"]),
        "false": len(false),
    }


def lines(records: Sequence[Json]) -> Iterator[str]:
    """The table, as Markdown."""
    yield (
        "| scenario | outcomes of the approved | seed | found in its month | AUC of the last months: never, loop, "
        "told | of `told` | promotions | false before |"
    )
    yield "|---|---|---:|---:|---|---:|---:|---:|"
    for scenario in SCENARIOS:
        for name in PLAYED:
            some = [r for r in records if (r["scenario"], r["outcomes"]) == (scenario, name)]
            for record in some:
                one = told(record)
                aucs = ", ".join(f"{one[key]:.3f}" for key in ("never", "loop", "told"))
                yield (
                    f"| {scenario} | {name} | {record['seed']} | {one['found in'] or '–'} | {aucs} | "
                    f"{one['of told']:.0%} | {one['promotions']} | {one['false']} |"
                )
        every = [told(r) for r in records if r["scenario"] == scenario]
        if every:
            gained, possible = (np.array([e[key] - e["never"] for e in every]) for key in ("loop", "told"))
            yield f"| {scenario} | all {len(every)} | | | | **{gained.sum() / possible.sum():.0%}** | | |"


def main() -> None:
    """Play what is not played yet, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=2, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--only", default="", help='cells whose name has this, such as "recurring, a monthly file"')
    parser.add_argument("--kept", type=Path, help="finished cells, as JSON lines")
    parser.add_argument("--quick", action="store_true", help="the first condition alone")
    given = parser.parse_args()
    records = kept(given.kept)
    done = {(r["scenario"], r["outcomes"], r["seed"]) for r in records if r["generation"] == GENERATION}
    for name, cell in islice(cells(given.seeds, given.first, given.only), 2 if given.quick else None):
        if (cell.scenario, name, cell.seed) in done:
            continue
        conditions = asdict(cell.conditions)
        record = {"scenario": cell.scenario, "outcomes": name, "conditions": conditions, "seed": cell.seed}
        records.append({**record, "generation": GENERATION, "rows": play(cell)})
        if given.kept is not None:
            with given.kept.open("a", encoding="utf-8") as out:
                out.write(json.dumps(records[-1]) + "\n")
        print(list(lines(records[-1:]))[2], flush=True)
    print(*lines(records), sep="\n")


if __name__ == "__main__":
    main()
