"""Does the monitor tell drift from noise and from a fault, and how fast is it?

    python -m benchmarks.monitoring [--quick] [--json] [--part judgement|small|lenders|evidently|speed] [--data UCI.csv]
                                    [--records FOLDER] [--seeds N] [--large N] [--first S]

Judgement plays every scenario on seeds that no threshold was chosen with (101 and on; tuned on 1 to 30). Each seed
trains a champion on 15,000 rows by the project's own training; streams then come window by window, with 500, 2,000 and
10,000 rows, and are judged as the loop does it: at closing, and again with all outcomes. A window before any change is
judged once a seed and size, however many scenarios begin with it. All values may be missing and all levels unseen, so
that every fault reaches the monitor instead of being refused by the API. Beside it: "any PSI above 0.1" on the same
windows, and Evidently's default preset and its own PSI on windows of the first seed, of 500 and 2,000 rows.

With --records a run that was interrupted goes on where it stopped. Windows of 10,000 rows may be given fewer worlds
(--large), because they take most of the time.

Small histories give champions whose own calibration slope is not 1: how many months of an unchanged world are called a
change because of it?

Speed profiles and tests windows of 23 columns, beside Evidently's preset and NumPy's sum of the same bytes.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks._evidently import evidently
from benchmarks._judgement import JUDGES, PLAYERS, Kept, Rows, goals, summary
from benchmarks._lenders import lenders
from benchmarks._small import small_histories
from benchmarks._speed import speed, speed_goals
from benchmarks.judging import Judge, Record, progress
from benchmarks.streams import worlds

if TYPE_CHECKING:
    import pandas as pd

FIRST_SEED: Final = 101
SIZES: Final = (500, 2_000)
LARGE: Final = 10_000
GOALS: Final = "goals"
PARTS: Final = ("judgement", "small", "lenders", "evidently", "speed")
LENDER_WORLDS: Final = 3
SMALL_WORLDS: Final = 5


def judgement(source: str, seeds: Sequence[int], large: int, data: "pd.DataFrame | None", kept: Kept) -> list[Record]:
    """One record a window; the first ``large`` seeds have windows of 10,000 rows too."""
    found: list[Record] = []
    started = time.perf_counter()
    for position, seed in enumerate(seeds):
        sizes = (*SIZES, LARGE) if position < large else SIZES
        missing = [size for size in sizes if kept.get(f"{source}-{seed}-{size}") is None]
        for world in worlds(source, [seed] if missing else [], data):
            for size in missing:
                kept.put(f"{source}-{seed}-{size}", list(Judge(world).records(size)))
            progress(world, started)
        for size in sizes:
            found += kept.get(f"{source}-{seed}-{size}") or []
    return found


def beside(source: str, seed: int, data: "pd.DataFrame | None", kept: Kept) -> Rows:
    """Evidently's verdicts on some windows of one seed."""
    key = f"{source}-{seed}-evidently"
    if kept.get(key) is None:
        for world in worlds(source, [seed], data):
            kept.put(key, evidently(world, SIZES))
    return kept.get(key) or []


# --------------------------------------------------------------------------- output


def table_text(title: str, rows: Rows) -> str:
    """A Markdown table."""
    heads = list(rows[0])
    cells = [[_cell(head, row.get(head)) for head in heads] for row in rows]
    lines = [heads, ["---"] * len(heads), *cells]
    return f"\n**{title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


NUMBERS: Final = ("PSI", "delay", "times", "NumPy", "profile", "with 2", "counts", "scoring", "Evidently's")
THREE: Final = ("mean error", "band", "AUC moves")


def _cell(head: str, value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if head in THREE:
        return f"{value:.3f}"
    return f"{value:.2f}" if head.startswith(NUMBERS) else f"{value:.1%}"


def goal_text(goal: dict[str, Any]) -> str:
    """One line: reached or MISSED, what, the value, and the bound."""
    shares = goal["of"] is not None
    value, bound = (
        ("–" if v is None else f"{v:.2%}" if shares else f"{v:.2f}") for v in (goal["value"], goal["bound"])
    )
    counted = f" of {goal['of']:,}" if shares else ""
    return f"{'reached' if goal['reached'] else 'MISSED ':<8} {goal['goal']}: {value}{counted} ({bound})"


def judged(given: argparse.Namespace) -> tuple[dict[str, Rows], Rows]:
    """Tables and goals of what is asked for of the judgement."""
    from riskloop.simulation.uci import load_uci

    seeds = range(given.first, given.first + (given.seeds or (1 if given.quick else 20)))
    large = given.large if given.large is not None else 0 if given.quick else len(seeds)
    sources = {"embedded": None, "uci": load_uci(given.data)} if given.data else {"embedded": None}
    records: list[Record] = []
    others: Rows = []
    for source, data in sources.items():
        if given.part != "evidently":
            records += judgement(source, seeds, large, data, Kept(given.records, JUDGES))
        if given.part != "judgement":
            others += beside(source, seeds[0], data, Kept(given.records, PLAYERS))
    return summary(records, others), goals(records) if records else []


def main() -> None:
    """Print the tables and what was reached, or JSON."""
    parser = argparse.ArgumentParser(description="Does the monitor tell drift from noise and from a fault?")
    parser.add_argument("--quick", action="store_true", help="one seed, windows of 500 and 2,000 rows")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--part", choices=PARTS, help="only this part")
    parser.add_argument("--data", type=Path, help="the UCI credit-card CSV, for streams of real rows")
    parser.add_argument("--records", type=Path, help="a folder to keep judged windows in, to go on from")
    parser.add_argument("--seeds", type=int, help="worlds (default 20, quick 1)")
    parser.add_argument("--large", type=int, help="worlds with windows of 10,000 rows too (default all, quick 0)")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="the first seed")
    given = parser.parse_args()
    tables: dict[str, Rows] = {}
    reached: Rows = []
    if given.part in (None, "judgement", "evidently"):
        tables, reached = judged(given)
    if given.part in (None, "small"):
        count = 1 if given.quick else min(SMALL_WORLDS, given.seeds or SMALL_WORLDS)
        tables["small histories, nothing changed"] = small_histories(range(given.first, given.first + count))
    if given.part in (None, "lenders"):
        count = 1 if given.quick else min(LENDER_WORLDS, given.seeds or LENDER_WORLDS)
        tables |= lenders(range(given.first, given.first + count), given.quick)
    if given.part in (None, "speed"):
        for world in worlds("embedded", [FIRST_SEED]):
            tables["speed, milliseconds"] = speed(world.champion, given.quick)
        reached += speed_goals(tables["speed, milliseconds"])
    if given.json:
        print(json.dumps({**tables, GOALS: reached}))
        return
    print("\n".join(table_text(title, rows) for title, rows in tables.items() if rows))
    print("\n" + "\n".join(goal_text(goal) for goal in reached))


if __name__ == "__main__":
    main()
