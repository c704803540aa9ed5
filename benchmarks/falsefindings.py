"""How often do outcomes call an unchanged world changed, under every lender's conditions? Many cheap streams.

    python -m benchmarks.falsefindings [--seeds 4] [--first 701] [--quick]

A year of 2,000 decisions a month in which nothing changes, judged by a champion that knows each PD but for noise, with
the tests of level and ranking in each window and over time, and the diagnosis, as in the loop. What the features say is
not played here: `benchmarks.conditions` has the whole loop, in few streams. docs/loopbench.md shows the table.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np

from benchmarks._measured import share
from benchmarks.labelfaults import PAST, Book
from riskloop.core.settings import DriftSettings
from riskloop.core.types import DAY, Diagnosis, Finding, Severity
from riskloop.decide.diagnosis import diagnose
from riskloop.monitor.correlation import correlation_of
from riskloop.monitor.matured import Matured
from riskloop.monitor.overtime import over_time_findings
from riskloop.monitor.performance import performance_findings
from riskloop.monitor.selection import Comparison
from riskloop.simulation.conditions import APPROVED, EXPLORED, LEVELS, Conditions

PLAYED: Final[dict[str, tuple[Any, ...]]] = {
    "selection": LEVELS["selection"],
    "repetition": LEVELS["repetition"],
    "correlation": (*LEVELS["correlation"], 0.05),
    "base_rate": LEVELS["base_rate"],
}
YEAR: Final = 12
QUIET: Final = (Diagnosis.STABLE, Diagnosis.NOT_ENOUGH_DATA)
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE)
BY: Final = ("auc", "calibration", "calibration_slope", "level_over_time", "ranking_over_time")


@dataclass(frozen=True)
class Stream:
    """What was found in an unchanged year."""

    conditions: Conditions
    seed: int
    called: int  # windows
    confirmed: tuple[str, ...]  # by which checks, each window


def played(conditions: Conditions, seed: int, book: Book) -> Stream:
    """One lender's year."""
    settings, past = DriftSettings(), book.past
    history = Matured(book.probabilities[past], book.outcomes[past])
    days = book.times[past] // DAY
    floor = settings.asset_correlation_floor
    who = book.customers[past]
    allowed = correlation_of(days, history.probabilities, history.outcomes, given=None, floor=floor, customers=who)
    limit, rng = np.quantile(history.probabilities, APPROVED), np.random.default_rng((seed, 5))
    before: list[Finding] = []
    earlier: list[list[Finding]] = []
    called, confirmed = 0, []
    for month in range(YEAR):
        now = book.months == month
        p, declined = book.probabilities[now], book.probabilities[now] >= limit
        explored = rng.random(p.size) < (EXPLORED if conditions.selection == "explored" else 0.0)
        hidden = declined & ~explored & (conditions.selection != "all")
        y = np.where(hidden, np.nan, book.outcomes[now])
        compared = (p, y, history.probabilities, history.outcomes)
        over_time = over_time_findings(
            Comparison.of(*compared), allowed, before, alarm=settings.run_length, learns=True
        )
        before = over_time or before
        found = [*performance_findings(*compared, alpha=settings.alpha, correlation=allowed), *over_time]
        answer = diagnose(found, earlier, settings)
        earlier.append(found)
        called += answer.diagnosis not in QUIET
        if answer.confirmed:
            confirmed.append(" and ".join(f.check for f in found if f.check in BY and f.severity in MOVED))
    return Stream(conditions, seed, called, tuple(confirmed))


def streams(seeds: Sequence[int], quick: bool) -> Iterator[Stream]:
    """Every condition with every seed."""
    every = [replace(Conditions(), **dict(zip(PLAYED, values, strict=True))) for values in product(*PLAYED.values())]
    for seed in seeds:
        books: dict[tuple[Any, ...], Book] = {}
        for conditions in every[:: 13 if quick else 1]:
            key = conditions.repetition, conditions.correlation, conditions.base_rate
            if key not in books:
                books[key] = Book.of(conditions, seed, YEAR)
            yield played(conditions, seed, books[key])


def table(rows: Sequence[Stream]) -> str:
    """Of all windows, with intervals at the effective size; the streams of one seed and world are one cluster."""
    lines = ["| condition | windows called changed | confirmed |", "|---|---|---|"]
    parts = [("all", list(rows))]
    for name, levels in PLAYED.items():
        parts += [(f"{name} {level}", [r for r in rows if getattr(r.conditions, name) == level]) for level in levels]
    for name, part in parts:
        worlds: dict[tuple[Any, ...], list[Stream]] = {}
        for row in part:
            of = row.conditions
            worlds.setdefault((row.seed, of.repetition, of.correlation, of.base_rate), []).append(row)
        called, confirmed = (
            share([(float(sum(count(r) for r in some)), float(YEAR * len(some))) for some in worlds.values()])
            for count in (lambda r: r.called, lambda r: len(r.confirmed))
        )
        lines.append(f"| {name} | {called} | {confirmed} |")
    by = Counter(check for row in rows for check in row.confirmed)
    return "\n".join([*lines, "", "Confirmed by " + (", ".join(f"{k} {n}" for k, n in by.most_common()) or "nothing")])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=701, help="the first seed")
    parser.add_argument("--quick", action="store_true", help="one seed, a few conditions")
    given = parser.parse_args()
    found = []
    for row in streams(range(given.first, given.first + (1 if given.quick else given.seeds)), given.quick):
        found.append(row)
        print(row.seed, row.conditions, row.called, *row.confirmed, file=sys.stderr, flush=True)
    print(f"{PAST} months of past, a year, {len(found)} streams.\n\n{table(found)}")


if __name__ == "__main__":
    main()
