"""Rows a second and memory of `riskloop score`: a file through the API, every decision logged, to a file.

    python -m benchmarks.batch [--quick] [--rows N] [--kind csv|parquet] [--json] [--folder DIR]

Client and server share the machine. Their resident memory is read from /proc four times a second; it is flat when the
last quarter of the run needs no more than the second. Beside it, in the same run: pandas and a scikit-learn pipeline
from file to file in one process, with neither API nor log, because rows a second mean little without the machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.servers import PIPELINE
from benchmarks.serving import prepare, running
from riskloop.simulation import embedded as simulate
from riskloop.store.home import Home

ROWS: Final = 1_000_000
QUICK_ROWS: Final = 100_000
DIFFERENT: Final = 100_000  # customers; the file repeats them under new ids
GOAL: Final = 60_000.0  # rows a second, on a machine where the local run makes …
LOCAL: Final = 167_000.0  # … so many, so that the ratio of the two is the goal on any machine
FLAT: Final = 1.1  # most that the last quarter may need of the second
EVERY: Final = 0.25  # seconds between two looks at the memory


def write_customers(path: Path, rows: int) -> None:
    """Customers to score, as a lender's file has them."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    months = simulate.month_starts(date(2024, 7, 1), 10)
    customers = simulate.simulate(months, min(rows, DIFFERENT) // 10, seed=5).drop(columns=[simulate.TARGET])
    first = pa.Table.from_pandas(customers, preserve_index=False)
    place = first.column_names.index(simulate.ID)
    make = csv.CSVWriter if path.suffix == ".csv" else parquet.ParquetWriter
    with make(path, first.schema) as writer:  # part by part: ten million need as little memory as one
        for start in range(0, rows, len(first)):
            ids = pa.array(range(start, start + len(first)), first.schema.field(place).type)
            writer.write_table(first.set_column(place, first.schema.field(place), ids).slice(0, rows - start))


def resident(pid: int) -> float:
    """Resident memory of a process in MB; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * 4096 / 1e6


def score(folder: Path, kind: str) -> dict[str, Any]:
    """Run the command against a server of its own; what both needed."""
    source, target = folder / f"in.{kind}", folder / f"out.{kind}"
    with running("riskloop", folder) as server:
        before = Path(folder / "riskloop.db").stat().st_size
        command = [
            sys.executable,
            "-m",
            "riskloop.cli",
            "score",
            str(source),
            str(target),
            "--url",
            server.url,
            "--json",
        ]
        client = subprocess.Popen(command, stdout=subprocess.PIPE)
        memory: list[tuple[float, float]] = []
        while client.poll() is None:
            memory.append((resident(client.pid), resident(server.process.pid)))
            time.sleep(EVERY)
        assert client.stdout is not None
        summary = json.loads(client.stdout.read())
        assert client.returncode == 0, summary
    of_client, of_server = zip(*memory, strict=True)
    grown = Path(folder / "riskloop.db").stat().st_size - before
    return {
        "kind": kind,
        "rows": summary["rows"],
        "seconds": summary["seconds"],
        "rows_per_second": summary["rows_per_second"],
        "bytes_per_decision": grown / summary["rows"],
        "client_mb": quarters(of_client),
        "server_mb": quarters(of_server),
    }


def score_locally(folder: Path, kind: str) -> float:
    """Rows a second of pandas and the usual pipeline on all cores: the file in, the file out, nothing logged."""
    import pandas as pd
    from skops import io as skops_io

    path = folder / PIPELINE
    pipeline = skops_io.load(path, trusted=skops_io.get_untrusted_types(file=path))
    pipeline[-1].set_params(n_jobs=-1)
    source, target = folder / f"in.{kind}", folder / f"locally.{kind}"
    started = time.perf_counter()
    frame = pd.read_csv(source) if kind == "csv" else pd.read_parquet(source)
    probability = pipeline.predict_proba(frame)[:, 1]
    scored = frame.assign(probability=probability, default=probability >= 0.5)
    scored.to_csv(target, index=False) if kind == "csv" else scored.to_parquet(target, index=False)
    return len(frame) / (time.perf_counter() - started)


def quarters(memory: Sequence[float]) -> dict[str, float]:
    """Medians of the second and the last quarter, and the peak."""
    n = max(len(memory) // 4, 1)
    return {"second": median(memory[n : 2 * n] or memory), "last": median(memory[-n:]), "peak": max(memory)}


def check(folder: Path, rows: int, runs: int) -> None:
    """Every row of every run is logged once."""
    home = Home.open(folder)
    assert home.decisions.count() == home.decisions.last_id() >= rows * runs
    home.close()


def goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What must be reached, and whether it was."""
    values = [
        ("rows a second", found["rows_per_second"], GOAL, True),
        (
            "rows a second / locally, without API or log",
            found["rows_per_second"] / found["locally"],
            GOAL / LOCAL,
            True,
        ),
    ]
    for who in ("client", "server"):
        memory = found[f"{who}_mb"]
        values.append((f"memory of the {who}, last quarter / second", memory["last"] / memory["second"], FLAT, False))
    return [
        {"goal": name, "value": value, "bound": bound, "reached": value >= bound if least else value <= bound}
        for name, value, bound, least in values
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows")
    parser.add_argument("--rows", type=int, help=f"default {ROWS:,}")
    parser.add_argument("--kind", choices=("csv", "parquet"), action="append", help="default both")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made; must be on the disk to be measured.")
    options = parser.parse_args()
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    found = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        prepare(folder).close()
        kinds = options.kind or ["csv", "parquet"]
        for kind in kinds:
            write_customers(folder / f"in.{kind}", rows)
            found.append(score(folder, kind) | {"locally": score_locally(folder, kind)})
        check(folder, rows, len(kinds))
    if options.json:
        print(json.dumps([{**one, "goals": goals(one)} for one in found]))
        return
    for one in found:
        print(f"{one['kind']}: {one['rows']:,} rows in {one['seconds']:.1f} s, {one['rows_per_second']:,.0f} a second")
        print(f"  locally, with pandas and scikit-learn: {one['locally']:,.0f} a second")
        print(f"  {one['bytes_per_decision']:.0f} bytes of database for each decision")
        for who in ("client", "server"):
            second, last, peak = one[f"{who}_mb"].values()
            print(f"  {who}: {second:.0f} MB in the second quarter, {last:.0f} in the last, {peak:.0f} at most")
        for goal in goals(one):
            reached = "reached" if goal["reached"] else "MISSED"
            print(f"  {reached:<8} {goal['goal']}: {goal['value']:,.2f} ({goal['bound']:g})")


if __name__ == "__main__":
    main()
