"""What is found in outcomes of the approved only and of panels: by the ranking, the level, and beside the score.

    python -m benchmarks.selective [--seeds 2] [--only recession,stable]

One champion of a year of a lender's past judges months of 2,000 applicants, twelve in which nothing changes, or three
and then three of a recession. Their outcomes are all there: the monitor alone, without the loop, so that conditions are
cheap to compare. docs/monitoring.md shows the table; each stream is told as soon as it is played.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._cells import PER_MONTH, world_of
from benchmarks._fraction import Planned
from riskloop.backtest.replay import first_champion
from riskloop.core.types import Finding, Floats, Severity
from riskloop.loop.champion import load
from riskloop.loop.examine import when_matured
from riskloop.simulation.conditions import Conditions
from riskloop.store.home import Home

MONTHS: Final = {"stable": 12}
SHORT: Final = 6  # of other scenarios: the change begins with the fourth
FIRST: Final = 501  # seed
BY: Final = {
    "ranking": ("auc", "ranking_over_time"),
    "level": ("calibration", "level_over_time"),
    "features": ("features_over_time",),
}
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE)
USUAL: Final = Conditions(selection="approved")
PLAYED: Final = (
    replace(USUAL, selection="all"),
    USUAL,
    replace(USUAL, selection="explored"),
    replace(USUAL, repetition="panel"),
    replace(USUAL, correlation=0.05),
    replace(USUAL, width="wide"),
    replace(USUAL, width="levels"),
    replace(USUAL, base_rate=0.03),
    replace(USUAL, repetition="panel", correlation=0.05),
    replace(USUAL, repetition="panel", base_rate=0.03),
)


@dataclass(frozen=True)
class Course:
    """What was found in each month, by what."""

    scenario: str
    conditions: Conditions
    moved: dict[str, list[bool]]


def played(scenario: str, conditions: Conditions, seed: int) -> Course:
    """One year of one lender."""
    history = world_of(Planned("recession", 0, scenario, conditions, seed), PER_MONTH, MONTHS.get(scenario, SHORT), ())
    with tempfile.TemporaryDirectory(prefix="selective-") as folder:
        first = Path(folder) / "first"
        first_champion(first, history)
        home = Home.open(first)
        try:
            champion = load(home, home.champion().version)
        finally:
            home.close()
    before: list[Finding] = []
    moved: dict[str, list[bool]] = {name: [] for name in BY}
    rng = np.random.default_rng(seed)
    for period in history.periods:
        scores = champion.model.probabilities(period.rows.features)
        outcomes = _seen(np.asarray(period.rows.target), scores, champion.model.threshold, conditions, rng)
        before = when_matured(champion, history.settings, period.rows.features, scores, outcomes, before=before)
        called = {f.check for f in before if f.severity in MOVED}
        for name, checks in BY.items():
            moved[name].append(not called.isdisjoint(checks))
    course = Course(scenario, conditions, moved)
    print(*list(lines([course]))[2:], file=sys.stderr, flush=True)
    return course


def _seen(target: Floats, scores: Floats, limit: float, conditions: Conditions, rng: np.random.Generator) -> Floats:
    """The outcomes that such a lender learns."""
    explored = 0.05 if conditions.selection == "explored" else 0.0
    known = (scores < limit) | (rng.random(scores.size) < explored)
    return np.where(known | (conditions.selection == "all"), target, np.nan)


def lines(courses: Sequence[Course]) -> Iterator[str]:
    """The table, as Markdown."""
    yield "| scenario | conditions | streams | " + " | ".join(f"by {name}" for name in BY) + " |"
    yield "|---|---|---:|" + "---:|" * len(BY)
    for scenario, conditions in dict.fromkeys((c.scenario, c.conditions) for c in courses):
        some = [c for c in courses if (c.scenario, c.conditions) == (scenario, conditions)]
        told = [_told(scenario, [c.moved[name] for c in some]) for name in BY]
        yield f"| {scenario} | {_named(conditions)} | {len(some)} | " + " | ".join(told) + " |"


def _told(scenario: str, streams: Sequence[Sequence[bool]]) -> str:
    if scenario == "stable":
        return f"{sum(map(sum, streams))} of {sum(map(len, streams))}"
    before, after = [s[:3] for s in streams], [s[3:] for s in streams]
    first = [part.index(True) + 1 if any(part) else None for part in after]
    delays = ", ".join("–" if k is None else str(k) for k in first)
    return f"{delays} (and {sum(map(sum, before))} of {sum(map(len, before))} before)"


def _named(conditions: Conditions) -> str:
    usual = Conditions()
    parts = [
        str(getattr(conditions, name)) for name in ("selection", "repetition", "correlation", "width", "base_rate")
        if name == "selection" or getattr(conditions, name) != getattr(usual, name)
    ]  # fmt: skip
    return ", ".join(parts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=2, help=f"from {FIRST} on")
    parser.add_argument("--only", default="stable,recession", help="scenarios, with commas")
    parser.add_argument("--quick", action="store_true", help="one seed, and two conditions")
    given = parser.parse_args()
    courses = [
        played(scenario, conditions, seed)
        for scenario in given.only.split(",")
        for conditions in PLAYED[: 2 if given.quick else None]
        for seed in range(FIRST, FIRST + (1 if given.quick else given.seeds))
    ]
    print(*lines(courses), sep="\n")


if __name__ == "__main__":
    main()
