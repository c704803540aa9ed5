"""How long commands take to start: processor time, as a multiple of `python -c pass` on the same machine.

    python -m benchmarks.startup [--quick] [--profile]

Each command runs in a process of its own, in a folder with a small trained portfolio, and the least of several runs
counts. `--profile` adds which packages `riskloop status` loads, and what each of them costs with all that it brings.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from riskloop.data.config import infer_config
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate

COMMANDS = (("--version",), ("--help",), ("status", "--help"), ("status",), ("models", "list"), ("cases", "list"))
PACKAGE = re.compile(r"import time:\s+\d+ \|\s+(\d+) \| (\s*)([\w.]+)")


def make(folder: Path) -> None:
    """A portfolio with a champion and a month of decisions."""
    history = simulate(month_starts(date(2024, 1, 1), 8), 300, 1)
    history.to_csv(folder / "history.csv", index=False)
    text = infer_config(
        folder / "history.csv", target=TARGET, id=ID, time=TIME, folder=folder, outcome_window=timedelta(days=30)
    )
    (folder / "riskloop.toml").write_text(
        re.sub(r"(?m)^(\[train\].*)$", r'\1\nlearners = ["scorecard"]', text), encoding="utf-8"
    )
    portfolio = Portfolio.open(folder)
    portfolio.train(folder / "history.csv", now=datetime(2024, 8, 31, tzinfo=UTC))
    portfolio.score(simulate(month_starts(date(2024, 9, 1), 1), 300, 2).drop(columns=TARGET))
    portfolio.home.close()


def seconds(command: list[str], folder: Path, runs: int) -> float:
    """Processor seconds, user and system, of the cheapest run."""
    least = float("inf")
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, capture_output=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        least = min(least, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return least


def profile(folder: Path) -> None:
    """The packages that `riskloop status` loads, the dearest first."""
    command = [sys.executable, "-X", "importtime", "-m", "riskloop.cli", "status"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stderr
    costs: dict[str, int] = {}
    for cost, _, name in PACKAGE.findall(said):
        if "." not in name or name.startswith(("sqlalchemy.dialects.", "riskloop.")):
            costs[name] = max(costs.get(name, 0), int(cost))
    print("\npackage that status loads, with all that it brings: share of all imports")
    whole = sum(int(cost) for cost, indent, _ in PACKAGE.findall(said) if not indent)
    for name, cost in sorted(costs.items(), key=lambda item: -item[1])[:25]:
        print(f"  {name:<36} {cost / whole:6.1%}")


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three runs of each instead of fifteen")
    parser.add_argument("--profile", action="store_true", help="show what `status` imports")
    given = parser.parse_args()
    runs = 3 if given.quick else 15
    program = str(Path(sys.executable).with_name("riskloop"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        nothing = seconds([sys.executable, "-c", "pass"], folder, runs)
        print(f"{'command':<24} times `python -c pass` ({nothing * 1000:.0f} ms)")
        for words in COMMANDS:
            print(f"riskloop {' '.join(words):<15} {seconds([program, *words], folder, runs) / nothing:6.1f}")
        if given.profile:
            profile(folder)


if __name__ == "__main__":
    main()
