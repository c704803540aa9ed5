"""What grows with the log: outcomes handed in, `status`, the dashboard's pages and one cycle, on a log of millions.

    python -m benchmarks.grown [--quick] [--rows N --rows M] [--url postgresql+psycopg://…] [--folder DIR] [--json]

The log is made of segments, 100,000 decisions a day, which the champion decides on as the engines do, with their
profiles; it grows from size to size, up to the day whose outcomes are just final, so that how far the feed is complete
has to be told by all of it. With --url, of an empty database on this machine, the same is measured on PostgreSQL.
Seconds are the clock's; the processor's stand beside them, for a machine that others use, with a server's own.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._processor import measured, seconds_of
from benchmarks.postgres import server_of, twin
from benchmarks.serving import prepare
from benchmarks.web import measure
from riskloop.core.types import DAY, Rows, to_micros
from riskloop.portfolio import Portfolio
from riskloop.scoring.decide import decide
from riskloop.simulation import embedded as simulate

SIZES: Final = (1_000_000, 3_000_000, 10_000_000)
QUICK: Final = (100_000,)
SEGMENT: Final = 100_000
LABELS: Final = 1_000_000  # handed in at once
DAYS: Final = 100  # of decisions at most
PAGES: Final = {
    "overview": "/",
    "decisions": "/dashboard/decisions",
    "of a customer": "/dashboard/decisions?customer=no-such-customer",
    "drift": "/dashboard/drift",
    "performance": "/dashboard/performance",
    "models": "/dashboard/models",
    "cases": "/dashboard/cases",
    "audit": "/dashboard/audit",
    "a decision": "/dashboard/decisions/1000",
    "a window": "/dashboard/windows/1",
    "a version": "/dashboard/models/1",
}


def day_of(portfolio: Portfolio) -> Rows:
    """A day's applicants, as the history has them."""
    months = simulate.month_starts(date(2024, 1, 1), 5)
    frame = simulate.simulate(months, SEGMENT // 5, seed=9).drop(columns=[simulate.TARGET])
    features = np.column_stack(
        [frame[f.name].map(f.codes) if f.kind == "category" else frame[f.name] for f in portfolio.home.schema.features]
    ).astype(np.float64)
    return Rows(features, [""] * len(features), np.zeros(len(features), dtype=np.int64))


def grow(portfolio: Portfolio, day: Rows, rows: int) -> None:
    """Let the log grow to so many decisions."""
    home, champion = portfolio.home, portfolio.champion_now()
    first = home.decisions.last_id()
    newest = datetime.now(UTC) - home.settings.portfolio.outcome_window
    origin = to_micros(newest) // DAY * DAY - DAYS * DAY
    decisions = decide(champion.model, day, origin)
    names = champion.model.schema.names
    for start in range(first, rows, SEGMENT):
        times = origin + start // SEGMENT * DAY + np.arange(len(day)) * (DAY // (len(day) + 1))
        ids = [f"c{number}" for number in range(start, start + len(day))]
        one = replace(decisions, customer_ids=ids, times=times.tolist())
        assert champion.profiler is not None
        written = home.segments.files.write(one, names, champion.profiler(one.features, one.probabilities, times))
        run = f"grown-{start}"
        assert home.segments.register(run, run, [written], seq=champion.promotion.seq) is not None


def timed(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds on the wall and of this process."""
    wall, own = time.perf_counter(), time.process_time()
    call()
    return {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - own}


def hand_in(portfolio: Portfolio, folder: Path, by: str, rows: int) -> dict[str, float]:
    """Outcomes of the newest decisions, from a file."""
    import pyarrow as pa
    from pyarrow import csv

    last = portfolio.home.decisions.last_id()
    numbers = np.arange(last - rows, last) + 1
    ids = pa.array(numbers) if by == "decision_id" else pa.array([f"c{n - 1}" for n in numbers.tolist()])
    defaulted = pa.array((np.random.default_rng(len(by)).random(rows) < 0.2).astype(np.int8))
    path = folder / "labels.csv"
    csv.write_csv(pa.table({by: ids, portfolio.home.schema.target: defaulted}), path)
    return timed(lambda: portfolio.record_outcomes(path))


def command(folder: Path, *words: str) -> dict[str, float]:
    """A command in a process of its own, with the peak of its memory in MB."""
    return measured([sys.executable, "-m", "riskloop.cli", *words, "--config", str(folder), "--json"])


def look(folder: Path, rows: int, url: str | None) -> dict[str, Any]:
    """Everything about a log of one size."""
    portfolio = Portfolio.open(folder)
    found: dict[str, Any] = {"rows": rows, "database": portfolio.home.database.engine.dialect.name}
    day = day_of(portfolio)
    labels = min(LABELS, rows) // 2
    found["labels"] = labels
    server = None if url is None or found["database"] == "sqlite" else server_of(url)
    steps: dict[str, Callable[[], dict[str, float]]] = {
        "grow": lambda: timed(lambda: grow(portfolio, day, rows)),
        "by id": lambda: hand_in(portfolio, folder, "decision_id", labels),
        "by customer": lambda: hand_in(portfolio, folder, simulate.ID, labels),
        "cycle": lambda: command(folder, "watch", "--once"),
        "status": lambda: command(folder, "status"),
    }
    for name, step in steps.items():
        before = 0.0 if server is None else seconds_of(server)
        found[name] = step()
        found[name]["server"] = 0.0 if server is None else seconds_of(server) - before
        sys.stderr.write(f"{found['database']}, {rows:,}: {name} {found[name]['cpu']:.1f} s of processor\n")
    cases = portfolio.home.cases.latest(1)
    more = {"a case": f"/dashboard/cases/{cases[-1].id}"} if cases else {}
    found["pages"] = measure(portfolio, PAGES | more, 5)
    portfolio.home.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK[0]:,} rows")
    parser.add_argument("--rows", type=int, action="append", help=f"default {SIZES}; ascending")
    parser.add_argument("--url", help="Of an empty PostgreSQL database.")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name) / "sqlite"
        folder.mkdir()
        prepare(folder, usual=False).close()
        folders = [folder] + ([twin(folder, options.url)] if options.url else [])
        for rows in options.rows or (QUICK if options.quick else SIZES):
            for place in folders:
                found.append(look(place, rows, options.url))
                if not options.json:
                    tell(found[-1])
    if options.json:
        print(json.dumps(found))


def tell(one: dict[str, Any]) -> None:
    """One size, for people."""
    print(f"{one['database']}, {one['rows']:,} decisions; load {os.getloadavg()[0]:.0f}", flush=True)
    for name in ("by id", "by customer", "cycle", "status"):
        what = f"{one['labels']:,} outcomes {name}" if name.startswith("by") else name
        memory = f", {one[name]['mb']:.0f} MB" if "mb" in one[name] else ""
        server = f" and {one[name]['server']:.1f} s of the server's" if one[name]["server"] else ""
        print(f"  {what}: {one[name]['seconds']:.1f} s, {one[name]['cpu']:.1f} s of processor{server}{memory}")
    for unit in ("median", "processor"):
        print(f"  pages, ms, {unit}: " + ", ".join(f"{name} {took[unit]:.0f}" for name, took in one["pages"].items()))
    print(f"  this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB at most", flush=True)


if __name__ == "__main__":
    main()
