"""How long `riskloop backtest` takes on three years of customers whose world changes in the second.

    python -m benchmarks.backtest [--quick] [--json] [--policies on_drift,scheduled:3]

The command itself runs, on a CSV file, with the baselines that it always adds, and writes both its files. The memory is
the largest of any of its processes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any, Final

from riskloop.simulation import SCENARIOS
from riskloop.simulation.embedded import ID, TARGET, TIME, World, month_starts, simulate

MONTHS: Final = 36
PER_MONTH: Final = 2000
CHANGED: Final = 5 / 9  # of the months pass before the world changes
SECONDS: Final = 120  # on two cores


def history(months: int, per_month: int, folder: Path) -> Path:
    """A CSV of the embedded portfolio that runs into a recession."""
    import pandas as pd

    starts = month_starts(date(2022, 1, 1), months)
    turn = round(CHANGED * months)
    changed = SCENARIOS["recession"].world or World()
    before = simulate(starts[:turn], per_month, seed=1)
    after = simulate(starts[turn:], per_month, seed=1, world=changed)
    path = folder / "history.csv"
    pd.concat([before, after]).to_csv(path, index=False)
    return path


def measured(source: Path, policies: str) -> dict[str, Any]:
    """Run the command once; seconds, megabytes, and what it found."""
    out = source.with_name("out.json")
    options = ["--target", TARGET, "--time", TIME, "--id", ID, "--policy", policies]
    files = ["--json", str(out), "--html", str(out.with_suffix(".html"))]
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "riskloop.cli", "backtest", str(source), *options, *files],
        check=True,
        cwd=source.parent,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    document = json.loads(out.read_text(encoding="utf-8"))
    return {
        "seconds": seconds,
        "megabytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "page_megabytes": out.with_suffix(".html").stat().st_size / 1e6,
        "policies": {
            name: {key: entry[key] for key in ("auc", "retrainings", "promotions", "wrong_promotions")}
            for name, entry in document["policies"].items()
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a year of 500 customers a month")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--policies", default="on_drift", help="with commas; never and always are there anyway")
    given = parser.parse_args()
    months, per_month = (12, 500) if given.quick else (MONTHS, PER_MONTH)
    with tempfile.TemporaryDirectory(prefix="backtest-") as folder:
        found = measured(history(months, per_month, Path(folder)), given.policies)
    cores = len(os.sched_getaffinity(0))
    found |= {"months": months, "per_month": per_month, "cores": cores, "reached": found["seconds"] < SECONDS}
    if given.json:
        print(json.dumps(found))
        return
    print(
        f"{months} months of {per_month:,} customers on {cores} cores: {found['seconds']:.0f} s, "
        f"{found['megabytes']:.0f} MB at most, a page of {found['page_megabytes']:.1f} MB"
    )
    for name, entry in found["policies"].items():
        counts = ", ".join(
            f"{entry[key]} {key.replace('_', ' ')}" for key in ("retrainings", "promotions", "wrong_promotions")
        )
        print(f"  {name:<12} AUC {entry['auc']:.4f}, {counts}")
    print(f"{'reached' if found['reached'] else 'MISSED':<8} seconds: {found['seconds']:.0f} ({SECONDS})")


if __name__ == "__main__":
    main()
