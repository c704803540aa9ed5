"""What the chain costs /predict, in a paired run, and how fast everything on record is verified.

    python -m benchmarks.trust [--quick] [--rounds N] [--seconds S] [--rows N] [--json] [--folder DIR]

Two servers of the same portfolio take turns, in an order that changes from round to round: riskloop, and riskloop
without the code that links a group. The figure is the median of the rounds' ratios, by the clock and by the server's
processor time. Verification reads a million
decisions that were committed in groups of 5,000, and a hundred thousand that were committed one by one.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.stats import binom

from benchmarks.serving import load, prepare, running
from riskloop.core.types import Decisions
from riskloop.store.migrations import upgrade
from riskloop.store.sqlite import Sqlite
from riskloop.store.verify import recompute

CONNECTIONS: Final = (1, 64)
MOST_COST: Final = 0.03
COMMITS: Final = 20  # of a way in one turn
WIDTH: Final = 23  # features


class Cost(NamedTuple):
    """What the chain takes, as a share: the median of the rounds' ratios, with its 95% interval."""

    share: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Cost":
        """From with / without."""
        low, high = _interval(ratios)
        return cls(median(ratios) - 1, low - 1, high - 1)


def cost(folder: Path, rounds: int, seconds: float) -> dict[int, dict[str, Any]]:
    """By connections: requests a second with and without the chain, and what it adds to the time for a request.

    Once by the clock, once by the server's processor time, which others on the machine disturb less.
    """
    folders = {"riskloop": folder / "chained", "unchained": folder / "unchained"}
    folders["riskloop"].mkdir()
    prepare(folders["riskloop"], usual=False).close()
    shutil.copytree(folders["riskloop"], folders["unchained"])
    rates: dict[tuple[str, int], list[float]] = {}
    spent: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(name, place)) for name, place in folders.items()}
        for number in range(rounds):
            for connections in CONNECTIONS:
                for name in sorted(servers, reverse=bool(number % 2)):
                    before, begun = _processor(servers[name].process.pid), time.perf_counter()
                    measured = load(servers[name].url, folders[name], connections, seconds)
                    requests = measured.rate * (time.perf_counter() - begun)
                    if measured.errors:
                        sys.exit(f"{name} answered {measured.errors} requests with an error.")
                    rates.setdefault((name, connections), []).append(measured.rate)
                    took = (_processor(servers[name].process.pid) - before) / requests * 1e6
                    spent.setdefault((name, connections), []).append(took)
                    sys.stderr.write(
                        f"round {number + 1} {name} x{connections}: {measured.rate:,.0f}/s, {took:.0f} µs\n"
                    )
    return {
        connections: {
            "with": median(rates["riskloop", connections]),
            "without": median(rates["unchained", connections]),
            "clock": Cost.of(_ratios(rates["unchained", connections], rates["riskloop", connections])),
            "processor": Cost.of(_ratios(spent["riskloop", connections], spent["unchained", connections])),
        }
        for connections in CONNECTIONS
    }


def _ratios(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


def _processor(pid: int) -> float:
    """Seconds that a process has had of the processor, its own and the system's for it."""
    user, system = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def commits(folder: Path, rounds: int = 150) -> dict[int, dict[str, Any]]:
    """By decisions in a commit: processor time without the chain, and what the chain adds to it, in microseconds.

    Each round runs both in turns, and its difference is taken within the round: what others do on the machine meets
    both.
    """
    from benchmarks import servers
    from riskloop.store import sqlite

    chained = sqlite._insert
    servers._without_chain()
    ways = {"without": sqlite._insert, "with": chained}
    found: dict[int, dict[str, Any]] = {}
    for size in (1, 25):
        group, times = _decisions(size, 0), {name: list[float]() for name in ways}
        with ExitStack() as stack:
            appenders = {}
            for name in ways:
                database = Sqlite(folder / f"commits-{name}-{size}.db")
                stack.callback(database.close)
                upgrade(database)
                appenders[name] = database.appender(checkpoints=False)
                stack.callback(appenders[name].close)
            for number in range(-1, rounds):
                for name, insert in ways.items():
                    sqlite._insert = insert
                    begun = time.process_time()
                    for _ in range(COMMITS):
                        appenders[name].append([group])
                    if number >= 0:
                        times[name].append((time.process_time() - begun) / COMMITS * 1e6)
                    if number % 10 == 0:
                        appenders[name].tidy()
        added = [one - other for one, other in zip(times["with"], times["without"], strict=True)]
        found[size] = {"without": median(times["without"]), "added": (median(added), *_interval(added))}
    sqlite._insert = chained
    return found


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of a median by order statistics: no shape is assumed."""
    ordered = sorted(values)
    low, high = binom.interval(0.95, len(ordered), 0.5)
    return ordered[max(0, int(low) - 1)], ordered[min(len(ordered) - 1, int(high))]


def verification(folder: Path, rows: int, group: int) -> dict[str, float]:
    """Seconds for a million rows that were committed in groups of a size."""
    database = Sqlite(folder / f"verified-{group}.db")
    upgrade(database)
    appender = database.appender()
    for start in range(0, rows, group):
        appender.append([_decisions(group, start)])
    appender.close()
    begun = time.perf_counter()
    found = recompute(database)
    seconds = time.perf_counter() - begun
    database.close()
    if not found.sound or found.rows["decisions"] != rows:
        sys.exit("The verification found something wrong.")
    return {"rows": rows, "group": group, "seconds": seconds, "per_million": seconds / rows * 1e6}


def _decisions(rows: int, start: int) -> Decisions:
    rng = np.random.default_rng(start)
    probabilities = rng.uniform(size=rows)
    return Decisions(
        customer_ids=[f"customer-{start + i}" for i in range(rows)],
        times=list(range(start, start + rows)),
        scored_at=start,
        model_version=1,
        probabilities=probabilities,
        defaults=probabilities > 0.5,
        features=rng.normal(size=(rows, WIDTH)),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds of two seconds, a tenth of the rows")
    parser.add_argument("--rounds", type=int, help="default 11, quick 2")
    parser.add_argument("--seconds", type=float, help="of each load; default 4, quick 2")
    parser.add_argument("--rows", type=int, help="to verify; default 1,000,000")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made; must be on the disk to be measured.")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("The load comes from wrk, which is not installed: `apt-get update && apt-get install -y wrk`.")
    rows = options.rows or (100_000 if options.quick else 1_000_000)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        cpu = commits(folder)
        speeds = [verification(folder, rows, 5000), verification(folder, rows // 10, 1)]
        costs = cost(
            folder, options.rounds or (2 if options.quick else 11), options.seconds or (2 if options.quick else 4)
        )
    if options.json:
        print(json.dumps({"cost": costs, "commits": cpu, "verification": speeds}))
        return
    print(f"{'connections':>11}{'without/s':>12}{'with/s':>10}  cost by the clock, by processor time")
    for connections, one in costs.items():
        said = (f"{c.share:.1%} ({c.low:.1%} to {c.high:.1%})" for c in (one["clock"], one["processor"]))
        print(f"{connections:>11}{one['without']:>12,.0f}{one['with']:>10,.0f}  {', '.join(said)}")
    for size, one in cpu.items():
        added, low, high = one["added"]
        more = f"{added:.0f} more with it ({low:.0f} to {high:.0f})"
        print(f"a commit of {size}: {one['without']:.0f} µs of processor time without the chain, {more}")
    for speed in speeds:
        print(
            f"{speed['rows']:,} decisions in groups of {speed['group']:,.0f}: {speed['per_million']:.1f} s per million"
        )
    for connections, one in costs.items():
        share = one["processor"].share
        reached = "reached" if share <= MOST_COST else "MISSED "
        print(f"{reached:<8} processor time at {connections}: {share:.1%} ({MOST_COST:.0%})")


if __name__ == "__main__":
    main()
