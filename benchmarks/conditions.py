"""LoopBench under the conditions of lenders: late, partial, repeated, correlated, wide and rare outcomes.

    nice -n 19 python -m benchmarks.conditions --kept cells.jsonl --minutes 60 [--into docs/loopbench.md]
    python -m benchmarks.conditions --kept cells.jsonl --minutes 0 --into docs/loopbench.md

Cells of a designed fraction (benchmarks/_fraction.py) are played one after the other in one process, the groups in
turns. Each finished cell is a line of the --kept file, with the commit that played it, so a run that is cut off goes on
where it stopped. Cells of an earlier generation (`_cells.GENERATION`) are stale: they are played again, and until then
the tables count them and say how many they are. docs/loopbench.md explains them.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks._cells import GENERATION, play
from benchmarks._conditiontables import document
from benchmarks._fraction import GROUPS, Planned, design, one_by_one
from riskloop.core.types import Json

CELLS: Final = 140  # of the design, all groups together; those with one condition changed come on top


def named(cell: Planned) -> str:
    """A cell's name: the group and its number."""
    return f"{cell.group}:{cell.number}"


def kept_cells(kept: Path | None) -> dict[str, Json]:
    """The finished cells by name; of one that was played twice the later counts."""
    if kept is None or not kept.exists():
        return {}
    records = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    return {record["cell"]: record for record in records}


def belongs(record: Json, cell: Planned) -> bool:
    """Whether a record is of this very cell: a design that was changed since plays it again."""
    return all(
        record[key] == value
        for key, value in {"scenario": cell.scenario, "seed": cell.seed, "conditions": asdict(cell.conditions)}.items()
    )


def is_stale(record: Json) -> bool:
    """Whether it was played before riskloop changed in what it measures."""
    return int(record.get("generation", 1)) < GENERATION


def run(cells: Sequence[Planned], kept: Path | None, minutes: float, again: Sequence[str] = ()) -> Iterator[Json]:
    """The records of all cells that are finished when no time is left."""
    done, until = kept_cells(kept), time.monotonic() + 60.0 * minutes
    commit = _commit()
    # Those that are asked for again come first: a mend is to be seen.
    for cell in sorted(cells, key=lambda cell: named(cell) not in again):
        record = done.get(named(cell))
        if record is None or not belongs(record, cell) or is_stale(record) or named(cell) in again:
            if time.monotonic() >= until:
                if record is not None and belongs(record, cell):
                    yield record
                continue
            started = time.process_time()
            record = {
                "cell": named(cell),
                "group": cell.group,
                "scenario": cell.scenario,
                "seed": cell.seed,
                "conditions": asdict(cell.conditions),
                "commit": commit,
                "generation": GENERATION,
                "rows": play(cell),
            }
            if kept is not None:
                with kept.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(record) + "\n")
            took = time.process_time() - started
            print(f"{named(cell)} {cell.scenario} ({cell.conditions}): {took:.0f} s", file=sys.stderr, flush=True)
        yield record


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def write_into(page: Path, text: str, what: str = "conditions") -> None:
    """Put the tables between the two marks of a page."""
    begin, end = f"<!-- {what}: begin -->", f"<!-- {what}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin, 1)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def main() -> None:
    """Play what is not played yet, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="one cell of each group")
    parser.add_argument("--kept", type=Path, help="finished cells, as JSON lines")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no cell after so long; 0: only the tables")
    parser.add_argument("--cells", type=int, default=CELLS, help="of the design, all groups together")
    parser.add_argument("--groups", default=",".join(GROUPS), help="with commas")
    parser.add_argument("--again", default="", help="cells that are played again, as stable:3, with commas")
    parser.add_argument("--into", type=Path, help="a page whose tables are renewed")
    given = parser.parse_args()
    groups = given.groups.split(",")
    cells = list(islice(design(groups), len(groups) if given.quick else given.cells))
    if not given.quick:
        cells += one_by_one(groups)
    again = [name for name in given.again.split(",") if name]
    text = document(list(run(cells, given.kept, given.minutes, again)), planned=len(cells))
    if given.into is not None:
        write_into(given.into, text)
    print(text)


if __name__ == "__main__":
    main()
