"""Is every fault of the features found in every lender's book? Windows at their closing, without the rest of the loop.

    python -m benchmarks.featurefaults [--seeds 1] [--first 801] [--kept books.jsonl] [--quick]

One champion of a year of each book (23 columns, 100, or a thousand levels; a panel or not) looks at eight
months in which nothing changes, and for every fault at the first two months of 2,000 that have it, with the month
before. Outcomes play no part. docs/loopbench.md shows the table.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from benchmarks._cells import PER_MONTH, world_of
from benchmarks._fraction import GROUPS, Planned
from benchmarks._measured import share
from riskloop.backtest.history import History
from riskloop.backtest.replay import first_champion
from riskloop.core.settings import Settings
from riskloop.core.types import Diagnosis, Finding, Json
from riskloop.decide.diagnosis import diagnose
from riskloop.loop.champion import ReferenceModel, load
from riskloop.loop.examine import Arrived, at_closing
from riskloop.monitor.profile import Profile
from riskloop.simulation.catalogue import STARTS
from riskloop.simulation.conditions import LEVELS, Conditions
from riskloop.store.home import Home

PLAYED: Final = ("width", "repetition")  # conditions that features depend on
MONTHS: Final = 8  # in which nothing changes
BROKEN: Final = 2
KEPT: Final = 3  # profiles of windows before


def played(conditions: Conditions, seed: int) -> Json:
    """One book: what its windows were called at closing, by scenario."""
    sound = _world("stable", conditions, seed, MONTHS)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        first = Path(folder) / "first"
        first_champion(first, sound)
        home = Home.open(first)
        try:
            champion = load(home, home.champion().version)
        finally:
            home.close()
        said = {"stable": called(champion, sound.settings, sound, 0)}
        for fault in GROUPS["faults"]:
            broken = _world(fault, conditions, seed, STARTS + BROKEN)
            said[fault] = called(champion, sound.settings, broken, STARTS - 1)
    return {"conditions": asdict(conditions), "seed": seed, "called": said}


def _world(scenario: str, conditions: Conditions, seed: int, months: int) -> History:
    return world_of(Planned("faults", 0, scenario, conditions, seed), PER_MONTH, months)


def called(champion: ReferenceModel, settings: Settings, history: History, since: int) -> list[str]:
    """The diagnoses of the windows from number ``since`` on."""
    before: list[Profile] = []
    findings: list[list[Finding]] = []
    said = []
    for number, period in enumerate(history.periods):
        rows = period.rows
        scores = champion.model.probabilities(rows.features)
        profile = champion.reference.profile(rows.features, scores, rows.times)
        if number >= since:
            arrived = Arrived(profile, rows.features, scores, rows.times)
            span = period.first, period.end
            found = at_closing(champion, settings, arrived, previous=before[-KEPT:], period=span, estimated=False)
            said.append(diagnose(found, findings, settings.drift).diagnosis.value)
            findings.append(found)
        before.append(profile)
    return said


def books(seeds: Sequence[int], done: Sequence[Json], quick: bool) -> Iterator[Json]:
    """Every book with every seed that is not ``done``."""
    known = {(one["seed"], tuple(one["conditions"].values())) for one in done}
    every = [
        replace(Conditions(), **dict(zip(PLAYED, values, strict=True)))
        for values in product(*(LEVELS[name] for name in PLAYED))
    ]
    for seed, conditions in product(seeds, every[: 1 if quick else None]):
        if (seed, tuple(asdict(conditions).values())) not in known:
            yield played(conditions, seed)


def table(rows: Sequence[Json]) -> str:
    """By level of each condition, with intervals at the effective size."""
    lines = [
        "| book | faults found in two windows | sound windows called faults | … called changed |",
        "|---|---|---|---|",
    ]
    parts = [("all", list(rows))]
    for name in PLAYED:
        parts += [(f"{name} {level}", [r for r in rows if r["conditions"][name] == level]) for level in LEVELS[name]]
    lines += [f"| {name} | {' | '.join(_figures(part))} |" for name, part in parts]
    missed = [
        f"{fault} ({', '.join(str(row['conditions'][name]) for name in PLAYED)}; seed {row['seed']})"
        for row in rows
        for fault in GROUPS["faults"]
        if not _found(row, fault)
    ]
    return "\n".join([*lines, "", "Missed: " + ("; ".join(missed) or "none")])


def _found(row: Json, fault: str) -> bool:
    return Diagnosis.DATA_FAULT.value in row["called"][fault][1:]


def _figures(rows: Sequence[Json]) -> Iterator[str]:
    faults = [(float(_found(row, fault)), 1.0) for row in rows for fault in GROUPS["faults"]]
    sound: list[list[Any]] = [row["called"]["stable"] for row in rows]
    quiet = (Diagnosis.STABLE.value, Diagnosis.NOT_ENOUGH_DATA.value)
    yield share(faults)
    yield share([(float(windows.count(Diagnosis.DATA_FAULT.value)), float(len(windows))) for windows in sound])
    yield share([(float(sum(one not in quiet for one in windows)), float(len(windows))) for windows in sound])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=801, help="the first seed")
    parser.add_argument("--kept", type=Path, help="finished books, as JSON lines: an interrupted run goes on")
    parser.add_argument("--quick", action="store_true", help="one book")
    given = parser.parse_args()
    done: list[Json] = []
    if given.kept is not None and given.kept.exists():
        done = [json.loads(line) for line in given.kept.read_text(encoding="utf-8").splitlines()]
    for row in books(range(given.first, given.first + (1 if given.quick else given.seeds)), done, given.quick):
        done.append(row)
        if given.kept is not None:
            with given.kept.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
        print(row["seed"], *row["conditions"].values(), row["called"]["stable"], file=sys.stderr, flush=True)
    print(table(done))


if __name__ == "__main__":
    main()
