"""What the commands take on a raw export of a million rows and 200 columns: seconds, processor seconds, memory.

    python -m benchmarks.files [--quick] [--rows N] [--columns K] [--parquet] [--train] [--limit MB] [--work FOLDER]
                              [--steps Arrow,init]

The file is made chunk by chunk: amounts, counts, shares with gaps, codes, dates, categories of 2 to 5,000 levels, an
id, a customer, the date of the decision, a target. Every command runs in a process of its own. Memory is the peak of
what it and its processes hold together, Python and libraries included, looked at four times a second; ``own`` leaves
out pages of files, which the kernel can let go. For comparison the file is read once by Arrow alone, block by block.
`train` runs where --train says so, with one LightGBM of two folds: what it holds does not depend on how many learners
compete, how long it takes does. With --limit no process may hold more data than so many MB, and all of them together
are killed when they do. --steps runs some only, on what earlier ones left in the --work
folder. The goals, 20 s and twice the file, are for `init` on 1,000,000 x 200.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks._largefile import TARGET, write_file, write_outcomes
from benchmarks._processor import watched

GOAL_SECONDS, GOAL_TIMES = 20.0, 2.0
STEPS: Final = ("Arrow", "init", "train", "check", "score", "outcomes")
READ: Final = (
    "import sys\nfrom pyarrow import csv\nfor _ in csv.open_csv(sys.argv[1], csv.ReadOptions(block_size=1 << 23)): pass"
)
LEARN: Final = '\n[train]\nlearners = ["lightgbm"]\nfolds = 2\nsearch = 0\nbenchmark = false'


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 rows of 60 columns")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--parquet", action="store_true", help="Parquet instead of CSV")
    parser.add_argument("--train", action="store_true", help="train on the whole file; by default on its first part")
    parser.add_argument("--limit", type=int, default=0, help="MB that a command may hold")
    parser.add_argument("--work", type=Path, help="a folder whose files are kept and used again")
    parser.add_argument("--steps", default=",".join(STEPS), help="with commas")
    given = parser.parse_args()
    rows, columns = (20_000, 60) if given.quick else (given.rows, given.columns)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.work or Path(temporary)
        folder.mkdir(exist_ok=True)
        suffix, steps = ".parquet" if given.parquet else ".csv", given.steps.split(",")
        measure(folder, rows, columns, suffix, given.train, given.limit << 20, steps)
    print(f"Goals for init on 1,000,000 x 200: {GOAL_SECONDS:g} s, {GOAL_TIMES:g} x the file.")


def measure(
    folder: Path, rows: int, columns: int, suffix: str, train: bool, limit: int, steps: Sequence[str] = STEPS
) -> None:
    """The commands on files in the folder."""
    history, month, outcomes, small = (
        folder / name for name in (f"history{suffix}", f"month{suffix}", "outcomes.csv", f"small{suffix}")
    )
    for path, n, production in ((history, rows, False), (month, rows, True), (small, min(rows, 20_000), False)):
        if not path.exists():
            write_file(path, n, columns, production=production)
    if not outcomes.exists():
        write_outcomes(outcomes, rows)
    sizes = {path: path.stat().st_size for path in (history, month, outcomes, small)}
    held = f"; no more than {limit >> 20:,} MB" if limit else ""
    shape = f"{rows:,} rows of {columns} columns, {sizes[history] / 1e6:,.0f} MB"
    print(f"{history.name}: {shape}; {os.cpu_count()} cores{held}")
    print(f"{'step':<9} {'seconds':>8} {'processor':>10} {'memory':>10} {'own':>9} {'x file':>7} {'x reading':>10}")
    config = folder / "riskloop.toml"
    riskloop = [sys.executable, "-m", "riskloop.cli"]
    learned = history if train else small
    reading = 0.0
    for name, path, command in (
        ("Arrow", history, [sys.executable, "-c", READ, str(history)]),
        ("init", history, [*riskloop, "init", str(history), "--target", TARGET, "--yes", "--force"]),
        ("train", learned, [*riskloop, "train", str(learned)]),
        ("check", month, [*riskloop, "check", str(month)]),
        ("score", month, [*riskloop, "score", str(month), f"scored{suffix}", "--engine", "local"]),
        ("outcomes", outcomes, [*riskloop, "outcomes", str(outcomes)]),
    ):
        if name not in steps or (name == "Arrow" and suffix == ".parquet"):
            continue
        if name == "train":
            config.write_text(config.read_text(encoding="utf-8").replace("\n[train]", LEARN, 1), encoding="utf-8")
        took = watched(command, folder, 0 if name == "Arrow" else limit)
        spent, size = float(took["cpu"]), sizes[path]
        reading = reading or spent
        print(
            f"{name:<9} {took['seconds']:>8.1f} {spent:>10.1f} {float(took['all']) / 1e6:>7,.0f} MB "
            f"{float(took['own']) / 1e6:>6,.0f} MB {float(took['all']) / size:>7.2f} {spent / reading:>10.1f}"
            + (f"  exit code {took['code']}: {took['said']}" if took["code"] else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
