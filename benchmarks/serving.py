"""Requests a second and latencies of /predict, beside what others do with the same model on the same machine.

    python -m benchmarks.serving [--quick] [--rounds N] [--seconds S] [--json] [--folder DIR]

The servers take turns, a few seconds each, in every round; figures are medians over the rounds, so that a busy
machine slows all of them alike. riskloop commits every decision to SQLite with full synchronisation before it
answers; the others log nothing. The load comes from wrk (`apt install wrk`) on the same machine.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import requests

from riskloop.data.config import infer_config
from riskloop.portfolio import Portfolio
from riskloop.simulation import embedded as simulate
from riskloop.store.home import CONFIG, Home

SERVERS: Final = ("riskloop", "bare", "pydantic", "usual")
CONNECTIONS: Final = (1, 8, 64)
HISTORY_ROWS: Final = 20_000
ROWS: Final = 2000  # different requests
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}

POST: Final = """
local requests, i = {}, 0
init = function(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("POST", "/predict", nil, line) end
end
request = function() i = i % #requests + 1; return requests[i] end
"""


class Measured(NamedTuple):
    """One server under one load for a few seconds."""

    rate: float  # requests a second
    p50: float  # seconds
    p99: float
    errors: int


def prepare(folder: Path, *, usual: bool = True) -> Home:
    """A portfolio with a trained LightGBM champion, requests to send, and the usual design's pipeline."""
    months = simulate.month_starts(date(2024, 1, 1), 5)
    history = simulate.simulate(months, HISTORY_ROWS // 5, seed=1)
    history.to_csv(folder / "history.csv", index=False)
    text = infer_config(
        folder / "history.csv",
        target=simulate.TARGET,
        id=simulate.ID,
        time=simulate.TIME,
        outcome_window=timedelta(days=30),
        chosen={"train": {"learners": ["lightgbm"]}},
    )
    (folder / CONFIG).write_text(text)
    portfolio = Portfolio.open(folder)
    portfolio.train(folder / "history.csv")
    customers = simulate.simulate(simulate.month_starts(date(2024, 7, 1), 1), ROWS, seed=2).drop(
        columns=simulate.TARGET
    )
    customers = customers.sample(frac=1.0, random_state=3)  # customers do not come in the order of their numbers
    lines = (json.dumps(row) for row in customers.to_dict("records"))
    (folder / "requests.ndjson").write_text("\n".join(lines) + "\n")
    (folder / "post.lua").write_text(POST)
    if usual:
        _write_pipeline(folder, portfolio.home, history)
    return portfolio.home


def _write_pipeline(folder: Path, home: Home, history: Any) -> None:
    from lightgbm import LGBMClassifier
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from skops import io as skops_io

    from benchmarks.servers import PIPELINE

    inputs = [home.schema.features[i] for i in home.schema.model_columns]
    numbers = [f.name for f in inputs if f.kind == "number"]
    levels = [f.name for f in inputs if f.kind == "category"]
    columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), levels))
    model = LGBMClassifier(n_estimators=250, num_leaves=8, learning_rate=0.05, verbose=-1, n_jobs=1)
    pipeline = make_pipeline(columns.set_output(transform="default"), model)
    pipeline.fit(history[[f.name for f in inputs]], history[simulate.TARGET])
    skops_io.dump(pipeline, folder / PIPELINE)


class Running(NamedTuple):
    """A server in a process of its own."""

    url: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def running(name: str, folder: Path, **variables: str) -> Iterator[Running]:
    """One of the servers, ready to answer, with these environment variables; it is stopped at the end."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.servers", name, str(port), str(folder)]
    with (
        (folder / f"{name}.log").open("w") as log,
        subprocess.Popen(command, stderr=log, env={**os.environ, **variables}) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(url, json.loads((folder / "requests.ndjson").read_text().split("\n", 1)[0]))
            yield Running(url, process)
        finally:
            process.terminate()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, row: Any) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            answer = requests.post(f"{url}/predict", json=row, timeout=10)
            answer.raise_for_status()
            return
        except (requests.ConnectionError, requests.HTTPError, requests.Timeout):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def load(url: str, folder: Path, connections: int, seconds: float) -> Measured:
    """wrk's figures for one server."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(folder / "post.lua"), url]
    out = subprocess.run([*command, "--", str(folder / "requests.ndjson")], capture_output=True, text=True, check=True)
    text = out.stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = (int(failed[1]) if failed else 0) + (sum(map(int, broken.groups())) if broken else 0)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None, text
    return Measured(float(rate[1]), _latency(text, "50"), _latency(text, "99"), errors)


def processor_time(server: Running) -> float:
    """Seconds of processor that a server has used so far, by the kernel (Linux)."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _latency(text: str, percentile: str) -> float:
    found = re.search(rf"{percentile}%\s+([\d.]+)(us|ms|s)\b", text)
    assert found is not None, text
    return float(found[1]) * _SECONDS[found[2]]


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, dict[int, Measured]]:
    """Medians over interleaved rounds, by server and number of connections."""
    found: dict[tuple[str, int], list[Measured]] = {}
    with ExitStack() as stack:
        urls = {name: stack.enter_context(running(name, folder)).url for name in SERVERS}
        for number in range(rounds):
            for connections in CONNECTIONS:
                for name, url in urls.items():
                    measured = load(url, folder, connections, seconds)
                    found.setdefault((name, connections), []).append(measured)
                    sys.stderr.write(f"round {number + 1} {name} x{connections}: {measured.rate:,.0f}/s\n")
    return {name: {c: _median(found[name, c]) for c in CONNECTIONS} for name in SERVERS}


def _median(values: list[Measured]) -> Measured:
    rate, p50, p99 = (median(column) for column in list(zip(*values, strict=True))[:3])
    return Measured(rate, p50, p99, sum(v.errors for v in values))


def goals(found: dict[str, dict[int, Measured]]) -> list[dict[str, Any]]:
    """What must be reached, and whether it was."""
    ours, one = found["riskloop"][64], found["riskloop"][1]
    values = [
        ("rate at 64 / bare function", ours.rate / found["bare"][64].rate, 0.5, True),
        ("rate at 64 / FastAPI and pydantic without a model", ours.rate / found["pydantic"][64].rate, 1.2, True),
        ("rate at 64 / the usual design", ours.rate / found["usual"][64].rate, 50.0, True),
        ("p99 / p50 at 64", ours.p99 / ours.p50, 3.0, False),
        ("p50 at 1 above the bare function's, ms", 1000 * (one.p50 - found["bare"][1].p50), 1.5, False),
        ("errors", float(sum(m.errors for m in found["riskloop"].values())), 0.0, False),
    ]
    return [
        {"goal": name, "value": value, "bound": bound, "reached": value >= bound if least else value <= bound}
        for name, value, bound, least in values
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of two seconds each")
    parser.add_argument("--rounds", type=int, help="default 5, quick 1")
    parser.add_argument("--seconds", type=float, help="of each load; default 4, quick 2")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made; must be on the disk to be measured.")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("The load comes from wrk, which is not installed: `apt-get update && apt-get install -y wrk`.")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        prepare(folder).close()
        found = measure(
            folder, options.rounds or (1 if options.quick else 5), options.seconds or (2 if options.quick else 4)
        )
    reached = goals(found)
    if options.json:
        print(
            json.dumps(
                {"measured": {n: {c: m._asdict() for c, m in by.items()} for n, by in found.items()}, "goals": reached}
            )
        )
        return
    print(f"{'server':<10}{'connections':>12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}")
    for name, by in found.items():
        for connections, m in by.items():
            print(f"{name:<10}{connections:>12}{m.rate:>12,.0f}{1000 * m.p50:>9.2f}{1000 * m.p99:>9.2f}{m.errors:>8}")
    for goal in reached:
        print(
            f"{'reached' if goal['reached'] else 'MISSED ':<8} {goal['goal']}: {goal['value']:.2f} ({goal['bound']:g})"
        )


if __name__ == "__main__":
    main()
