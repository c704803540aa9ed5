"""Rows a second of `score --engine local` and of Spark, beside polars and LightGBM from file to file without any log.

    python -m benchmarks.scale [--quick] [--rows N] [--kind csv|parquet] [--engine local|spark] [--rounds N] [--json]

All in one run, in turns, each in a process of its own that starts from nothing, with as many cores as the machine has;
the median of the rounds counts. Beside the wall clock stands the processors' time: on a machine that others use it is
the figure that can be compared. The peak of the resident memory is that of the command and of its largest process;
`--alone --rows 1000000 --rows 10000000` shows whether it is flat. Needs polars, and PySpark for its engine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

import pyarrow.parquet as pq
from sqlalchemy import func, select

from benchmarks._parts import parts
from benchmarks._processor import measured
from benchmarks.batch import write_customers
from benchmarks.serving import prepare
from riskloop.loop.champion import load
from riskloop.monitor.profile import Profile
from riskloop.simulation.embedded import ID
from riskloop.store.home import Home
from riskloop.store.tables import segments

ROWS: Final = 1_000_000
QUICK: Final = 100_000
GOALS: Final = {"parquet": 200_000.0, "csv": 130_000.0}  # rows a second on two cores that nobody else uses
BESIDE: Final = 0.9  # of polars and LightGBM
SPARK: Final = 1.3  # most times the local engine, warm

_POLARS: Final = """
import sys, time, os
started = time.perf_counter()
import lightgbm, numpy as np, polars as pl
from pathlib import Path
source, target, model, inputs, levels = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].split(","), eval(sys.argv[5])
booster = lightgbm.Booster(model_file=model)
read = pl.read_csv if source.endswith("csv") else pl.read_parquet
frame = read(source)
columns = [
    pl.col(name).cast(pl.String).replace_strict(levels[name], default=None, return_dtype=pl.Float64) if name in levels
    else pl.col(name).cast(pl.Float64) for name in inputs
]
matrix = frame.select(columns).to_numpy()
probability = booster.predict(matrix, num_threads=os.cpu_count())
scored = frame.with_columns(pl.Series("probability", probability), pl.Series("default", probability >= 0.3))
scored.write_csv(target) if target.endswith("csv") else scored.write_parquet(target)
"""

_SPARK: Final = """
import json, os, sys, time
from benchmarks._processor import seconds_of
from riskloop.batch.spark import session
from riskloop.portfolio import Portfolio
from riskloop import spark
folder, source = sys.argv[1], sys.argv[2]
portfolio, own = Portfolio.open(folder), session("local[*]")
own.sparkContext.setLogLevel("ERROR")
found = {}
for turn in ("cold", "warm"):
    started, used = time.perf_counter(), seconds_of(os.getpid())
    frame = spark.score(own.read.parquet(source), portfolio, run_key=f"{turn}-{time.time_ns()}")
    frame.write.mode("overwrite").parquet(f"{folder}/spark.parquet")
    found |= {turn: time.perf_counter() - started, f"{turn}_cpu": seconds_of(os.getpid()) - used}
print(json.dumps(found))
"""


def local(folder: Path, kind: str, rows: int, turn: int) -> dict[str, float]:
    """The command, under a run key of its own."""
    command = [sys.executable, "-m", "riskloop.cli", "score", str(folder / f"in-{rows}.{kind}"),
               str(folder / f"out.{kind}"), "--engine", "local", "--run-key", f"{kind}-{rows}-{turn}",
               "--config", str(folder), "--json"]  # fmt: skip
    return measured(command)


def polars(folder: Path, kind: str, rows: int, home: Home) -> dict[str, float]:
    """The usual few lines: nothing is checked, nothing logged, nothing profiled."""
    version = home.champion().version
    schema, path = home.artefact(version).manifest.schema, home.artefact(version).path / "model.txt"
    features = [schema.features[j] for j in schema.model_columns]
    levels = {f.name: {text: float(code) for code, text in enumerate(f.categories)} for f in features if f.categories}
    names = ",".join(f.name for f in features)
    source, target = folder / f"in-{rows}.{kind}", folder / f"polars.{kind}"
    return measured([sys.executable, "-c", _POLARS, str(source), str(target), str(path), names, repr(levels)])


def spark(folder: Path, rows: int) -> dict[str, float]:
    """Seconds of a first and of a second run in one session, by the clock and of processors; Parquet."""
    command = [sys.executable, "-c", _SPARK, str(folder), str(folder / f"in-{rows}.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def same(folder: Path, home: Home) -> bool:
    """Whether the last runs of both engines gave every customer the same score, and profiles with the same sum."""
    columns = [ID, "probability"]
    mine, theirs = (
        pq.read_table(folder / name, columns=columns).sort_by(ID) for name in ("out.parquet", "spark.parquet")
    )
    reference, sums = load(home, home.champion().version).reference, []
    with home.database.read() as connection:
        newest = {s.run.partition("-")[0]: s.run for s in home.segments.within(connection)}
        for kind in ("parquet", "warm"):
            runs = [s for s in home.segments.within(connection) if s.run == newest[kind]]
            made = (Profile.from_bytes(home.segments.profile(connection, one) or b"") for one in runs)
            sums.append(sum(made, reference.empty).to_bytes())
    return bool(mine.equals(theirs)) and sums[0] == sums[1]


def sizes(folder: Path, home: Home) -> tuple[int, int]:
    """Bytes of all segments, and of the rows of the database about them."""
    with home.database.read() as connection:
        rows = connection.execute(
            select(func.coalesce(func.sum(func.length(segments.c.profile) + 500), 0))
        ).scalar_one()
    return sum(p.stat().st_size for p in (folder / "segments").rglob("*.parquet")), int(rows)


def middle(found: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: median(one[name] for one in found) for name in found[0]}


def compare(
    folder: Path, home: Home, kind: str, rows: int, rounds: int, engines: list[str], alone: bool
) -> dict[str, Any]:
    """Everything about one kind of file, in turns; ``alone`` without polars."""
    write_customers(folder / f"in-{rows}.{kind}", rows)
    of_local, of_polars, of_spark = [], [], []
    before = sizes(folder, home)
    for turn in range(rounds):
        of_local.append(local(folder, kind, rows, turn))
        if not alone:
            of_polars.append(polars(folder, kind, rows, home))
        if "spark" in engines and kind == "parquet":
            of_spark.append(spark(folder, rows))
    one = middle(of_local)
    grown = [(now - then) / rows / rounds for now, then in zip(sizes(folder, home), before, strict=True)]
    found: dict[str, Any] = {
        "kind": kind, "rows": rows, "local": one, "rows_per_second": rows / one["seconds"],
        "segment_bytes": grown[0], "database_bytes": grown[1],
    }  # fmt: skip
    if of_polars:
        other = found["polars"] = middle(of_polars)
        found |= {"beside": other["seconds"] / one["seconds"], "beside_cpu": other["cpu"] / one["cpu"]}
    if of_spark:
        found["spark"] = middle(of_spark)
        found["spark_times_local"] = found["spark"]["warm"] / one["seconds"]
        found["spark_times_local_cpu"] = found["spark"]["warm_cpu"] / one["cpu"]
        assert same(folder, home), "Spark and the local engine differ"
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} rows, one round")
    parser.add_argument("--rows", type=int, action="append", help=f"default {ROWS:,}; repeatable")
    parser.add_argument("--kind", choices=("csv", "parquet"), action="append", help="default both")
    parser.add_argument("--engine", choices=("local", "spark"), action="append", help="default local")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without polars: the memory of many rows")
    parser.add_argument("--parts", action="store_true", help="what each part of the local engine costs, instead")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made; must be on the disk to be measured.")
    options = parser.parse_args()
    sizes = options.rows or [QUICK if options.quick else ROWS]
    found = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        home = prepare(folder, usual=False)
        if options.parts:
            tell_parts(folder, options.kind or ["parquet", "csv"], sizes[0])
            home.close()
            return
        for rows in sizes:
            for kind in options.kind or ["parquet", "csv"]:
                rounds = 1 if options.quick else options.rounds
                found.append(compare(folder, home, kind, rows, rounds, options.engine or ["local"], options.alone))
        count = home.decisions.count()
        assert count == home.decisions.last_id(), "ids have a gap"
        home.close()
    if options.json:
        print(json.dumps(found))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for one in found:
        tell(one)


def tell_parts(folder: Path, kinds: list[str], rows: int) -> None:
    """Where the processors' time goes, for people."""
    for kind in kinds:
        source = folder / f"in-{rows}.{kind}"
        write_customers(source, rows)
        print(f"{kind}, {rows:,} rows in one process, microseconds of processor a row")
        for part, micros in parts(folder, source, rows).items():
            print(f"  {micros:6.2f}  {part}", flush=True)


def tell(one: dict[str, Any]) -> None:
    """One comparison, for people."""
    mine, other, goal = one["local"], one.get("polars"), GOALS[one["kind"]]
    print(f"{one['kind']}, {one['rows']:,} rows, every decision logged: {one['rows_per_second']:,.0f} rows a second")
    print(f"  local engine: {mine['seconds']:.1f} s, {mine['cpu']:.1f} s of processors, {mine['mb']:.0f} MB")
    if other is not None:
        print(f"  polars and LightGBM, no log: {other['seconds']:.1f} s, {other['cpu']:.1f} s, {other['mb']:.0f} MB")
        print(f"  ratio {one['beside']:.2f} by the clock, {one['beside_cpu']:.2f} by processors ({BESIDE:g} aimed)")
    print(f"  {one['segment_bytes']:.0f} bytes of segments a decision, {one['database_bytes']:.2f} of the database")
    print(f"  goal {goal:,.0f} rows a second, on two cores that nobody else uses")
    if "spark" in one:
        times = one["spark_times_local"]
        print(f"  Spark, warm: {one['spark']['warm']:.1f} s, {times:.2f} times the local engine (at most {SPARK})")
        print(
            f"  by processors {one['spark_times_local_cpu']:.2f} times; every score and the sum of profiles are equal"
        )


if __name__ == "__main__":
    main()
