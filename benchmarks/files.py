"""How long `init`, reading and training take on a wide file, and how much memory: each in a process of its own.

    python -m benchmarks.files [--quick] [--rows N] [--columns K] [--keep FILE.csv] [--train]

The file is generated: amounts, counts, codes, words and dates, some with gaps. `init` is what `riskloop init` does to
it but for the table on the terminal; `read` makes checked rows of it; `train` reads it and trains one LightGBM. The
goals are for a million rows of 200 columns. Seconds are the clock's; the processor's beside them say what a busy
machine adds. Memory is the process's peak, less what it had after its imports.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

GOAL_SECONDS, GOAL_TIMES = 20.0, 2.0
STEPS: Final = ("init", "read", "train")
CHUNK: Final = 50_000


def write_file(path: Path, rows: int, columns: int) -> None:
    """A history of so many rows; the last column is the target."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv

    words = np.array(["salaried", "self-employed", "retired", "student", "other", ""])
    with path.open("wb") as file:
        for start in range(0, rows, CHUNK):
            rng, n = np.random.default_rng(start), min(CHUNK, rows - start)
            late = rng.poisson(0.5, n)
            table: dict[str, Any] = {
                "loan_id": np.arange(start, start + n) + 10_000_000,
                "applied": np.datetime_as_string(np.datetime64("2019-01-01") + np.arange(start, start + n) // 700),
                "late": late,
            }
            for j in range(columns - 4):
                kind = j % 10
                if kind < 5:
                    values: Any = rng.lognormal(8, 1, n).round(2)
                elif kind < 7:
                    values = rng.integers(0, 40, n)
                elif kind < 9:
                    values = np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n).round(4))
                else:
                    values = words[rng.integers(0, 6, n)]
                table[f"v{j:03d}"] = pa.array(values, from_pandas=True)
            table["default"] = (rng.random(n) < 1 / (1 + np.exp(2.5 - 0.7 * late))).astype(np.int8)
            options = csv.WriteOptions(include_header=start == 0, quoting_style="none")
            csv.write_csv(pa.table(table), file, options)


def step(name: str, path: Path) -> dict[str, float]:
    """Do one of the steps here, and say what it took."""
    from riskloop.core.settings import parse_settings
    from riskloop.data.config import config_text
    from riskloop.data.infer import Wanted, examine
    from riskloop.data.read import read_rows

    config = path.with_suffix(".toml")
    if name != "init":
        from riskloop.train.fit import fit

        settings = parse_settings(config.read_text(encoding="utf-8"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, spent = time.monotonic(), time.process_time()
    if name == "init":
        config.write_text(config_text(examine(path, Wanted("default"))), encoding="utf-8")
    else:
        rows = read_rows(path, settings.row_schema, target="required", where=path.name, dialect=settings.data).rows
        if name == "train":
            chosen = settings.train.model_copy(update={"search": 0, "folds": 2})
            fit(rows, settings.model_copy(update={"train": chosen}), learners=["lightgbm"])
    return {
        "seconds": time.monotonic() - started,
        "processor": time.process_time() - spent,
        "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50,000 rows of 40 columns")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="use this file, and write it if it is not there")
    parser.add_argument("--train", action="store_true", help="train, too")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step is not None:
        print(json.dumps(step(given.step, given.keep)))
        return
    rows, columns = (50_000, 40) if given.quick else (given.rows, given.columns)
    with tempfile.TemporaryDirectory() as folder:
        path = given.keep or Path(folder) / "history.csv"
        if not path.exists():
            write_file(path, rows, columns)
        size = path.stat().st_size
        print(f"{path.name}: {rows:,} rows of {columns} columns, {size / 1e6:,.0f} MB; {os.cpu_count()} cores")
        print(f"{'step':<6} {'seconds':>8} {'processor':>10} {'memory':>10} {'x file':>7}")
        for name in STEPS[: 3 if given.train else 2]:
            command = [sys.executable, "-m", "benchmarks.files", "--step", name, "--keep", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            took = json.loads(done.stdout)
            print(
                f"{name:<6} {took['seconds']:>8.1f} {took['processor']:>10.1f} {took['memory'] / 1e6:>7,.0f} MB "
                f"{took['memory'] / size:>7.2f}",
                flush=True,
            )
    print(f"Goals for init on 1,000,000 x 200: {GOAL_SECONDS:g} s, {GOAL_TIMES:g} x the file.")


if __name__ == "__main__":
    main()
