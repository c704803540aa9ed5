"""Does this version serve, keep, monitor and judge as fast as an earlier one, with the same figures?

    python -m benchmarks.before [--quick] [--commit C] [--rounds N] [--seconds S] [--only PART] [--needs PACKAGE ...]

Both commits (the present one without what is not committed) are checked out into a temporary folder and run in this
environment; what the earlier one needs beside it is installed into that folder (`--needs`). They train on the same
files under the same settings and take turns in every round. Times are of the processor, of each version's own
processes, so that a busy machine changes little. A row of the table is the ratio of this version to the earlier one:
the mean over the rounds with its 95% t interval. `wrk` makes the load; after it a server is killed under single
requests, and each answered decision is looked for in the log.

The models of the two versions differ, because training was changed on purpose; the figures of drift do not depend on
them, and are compared one by one.
"""

import argparse
import json
import math
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from statistics import mean, stdev
from typing import IO, Any, Final, NamedTuple, cast

import pandas as pd
import requests
from scipy.stats import t

from benchmarks.serving import CONNECTIONS, POST, load
from riskloop.data.config import infer_config
from riskloop.simulation import embedded

ROOT: Final = Path(__file__).resolve().parent.parent
MONTH_ROWS: Final = 2_000
FIRST: Final = "ee70378"
NEEDS: Final = ("fastapi-offline==1.7.7",)  # of that commit
IDLE: Final = 3.0  # seconds
TICKS: Final = os.sysconf("SC_CLK_TCK")


Pairs = dict[str, list[tuple[float, float]]]  # earlier and now, by what was measured


class Side(NamedTuple):
    """One of the two versions."""

    name: str
    sources: tuple[Path, ...]  # its src, and what it needs beside this environment
    folder: Path  # its portfolio

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its processes. Bytecode is kept: else every process compiles all that it imports."""
        own = {"PYTHONPATH": os.pathsep.join(map(str, self.sources)), "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": ""}

    @contextmanager
    def working(self) -> Iterator[Callable[[str, Path], Any]]:
        """One process of its that does the tasks of `_before.py`, each in a folder, and answers with what was found."""
        command = [sys.executable, str(Path(__file__).with_name("_before.py"))]
        with subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            asks, answers = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)

            def ask(task: str, folder: Path) -> Any:
                asks.write(f"{task} {folder}\n")
                asks.flush()
                for line in answers:
                    if line.startswith("{"):
                        return json.loads(line)
                raise SystemExit(f"{self.name} could not {task}; its own words are above.")

            try:
                yield ask
            finally:
                asks.close()

    @contextmanager
    def serving(self) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
        """Its API, ready to answer."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "riskloop.cli", "serve", "--config", str(self.folder / "riskloop.toml")]
        with (
            (self.folder / "server.log").open("wb") as log,
            subprocess.Popen([*command, "--port", str(port)], env=self.environment, stdout=log, stderr=log) as process,
        ):
            url = f"http://127.0.0.1:{port}"
            try:
                until = time.monotonic() + 60
                while not _ready(url):
                    if time.monotonic() > until or process.poll() is not None:
                        raise SystemExit(f"{self.name} does not serve: {Path(log.name).read_text()[-500:]}")
                    time.sleep(0.1)
                yield url, process
            finally:
                process.terminate()


def _ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def write_files(folder: Path) -> None:
    """The files of a portfolio that both versions understand."""
    history = embedded.simulate(embedded.month_starts(date(2024, 1, 1), 5), 1_000, seed=1)
    history.to_csv(folder / "history.csv", index=False)
    history.iloc[: len(history) // 2].to_csv(folder / "shorter.csv", index=False)
    text = infer_config(
        folder / "history.csv",
        target=embedded.TARGET,
        id=embedded.ID,
        time=embedded.TIME,
        folder=folder,
        outcome_window=timedelta(days=30),
    )
    (folder / "riskloop.toml").write_text(_understood(text))
    outcomes = []
    for number in (6, 7, 8):
        month = embedded.simulate(embedded.month_starts(date(2024, number, 1), 1), MONTH_ROWS, seed=number)
        month[embedded.ID] = month[embedded.ID].astype(str) + f"-{number}"
        month.drop(columns=embedded.TARGET).to_csv(folder / f"month-{number}.csv", index=False)
        outcomes.append(month[[embedded.ID, embedded.TARGET]].rename(columns={embedded.ID: "customer_id"}))
    pd.concat(outcomes).to_csv(folder / "outcomes.csv", index=False)
    rows = month.drop(columns=embedded.TARGET).head(2_000).to_dict("records")
    (folder / "requests.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "post.lua").write_text(POST)


def _understood(text: str) -> str:
    """Only [portfolio] and the features, and one learner: sections that an earlier version lacks are defaults here."""
    kept: list[str] = []
    for block in text.split("\n\n"):
        if block.lstrip("# ").startswith(("Inferred", "[portfolio]", "[features.")):
            kept.append(block)
    return "\n\n".join([*kept, '[train]\nlearners = ["lightgbm"]\n'])


def install(packages: Sequence[str], folder: Path) -> None:
    """Packages into a folder of their own, without what they need: that is here."""
    if packages:
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*uv, "--python", sys.executable, "--target", str(folder), *packages], check=True)


def lost_when_killed(side: Side) -> int:
    """Answered decisions that are not in the log, once each, after a SIGKILL under load."""
    answered: list[int] = []
    lines = (side.folder / "requests.ndjson").read_text().splitlines()
    with side.serving() as (url, process):

        def ask() -> None:
            with requests.Session() as session:
                for line in lines:
                    try:
                        answer = session.post(
                            f"{url}/predict", data=line, headers={"Content-Type": "application/json"}, timeout=10
                        )
                    except requests.RequestException:
                        return
                    answered.append(int(answer.json()["decision_id"]))

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        while len(answered) < 300:
            time.sleep(0.01)
        process.kill()
        for asker in askers:
            asker.join()
    (database,) = side.folder.glob("*.db")
    with sqlite3.connect(database) as connection:
        logged = [row[0] for row in connection.execute("SELECT id FROM decisions")]
    gaps: int = max(logged) - len(set(logged))
    return len(set(answered) - set(logged)) + len(answered) - len(set(answered)) + gaps


def processor(pid: int) -> float:
    """Seconds of processor that a process and those below it have used."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = path.read_text().rpartition(")")[2].split()
            stats[int(path.parent.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
    below = {pid}
    while more := {number for number, (parent, _) in stats.items() if parent in below} - below:
        below |= more
    return sum(stats[number][1] for number in below if number in stats) / TICKS


def serve_rounds(sides: tuple[Side, Side], count: int, seconds: int) -> Pairs:
    """Loads of /predict in turns."""
    found: Pairs = {}
    with ExitStack() as servers:
        running = [servers.enter_context(side.serving()) for side in sides]
        for side, (url, _) in zip(sides, running, strict=True):
            load(url, side.folder, CONNECTIONS[0], 5)  # what a server does once, at its start, is no part of a request
        for number in range(count):
            idle = [processor(process.pid) for _, process in running]
            time.sleep(IDLE)
            used = [1e3 * (processor(process.pid) - at) / IDLE for at, (_, process) in zip(idle, running, strict=True)]
            found.setdefault("idle server: ms of processor a second", []).append((used[0], used[1]))
            for connections in CONNECTIONS:
                spent, late = [0.0, 0.0], [0.0, 0.0]
                for i in (0, 1) if number % 2 == 0 else (1, 0):
                    url, process = running[i]
                    before = processor(process.pid)
                    measured = load(url, sides[i].folder, connections, seconds)
                    spent[i] = 1e3 * (processor(process.pid) - before) / (measured.rate * seconds)
                    late[i] = 1e3 * measured.p99
                name = f"/predict, {connections} connections"
                found.setdefault(f"{name}: ms of processor a request", []).append((spent[0], spent[1]))
                found.setdefault(f"{name}: 99th percentile, ms (wall)", []).append((late[0], late[1]))
            print(f"serving, round {number + 1} of {count}", file=sys.stderr, flush=True)
    return found


def task_rounds(sides: tuple[Side, Side], count: int, work: Path) -> Pairs:
    """Monitoring and the gate in turns, each on a copy of its portfolio. A first round only imports what is needed."""
    found: Pairs = {}
    with ExitStack() as workers:
        asks = [workers.enter_context(side.working()) for side in sides]
        for number in range(-1, count):
            for task in ("monitor", "gate"):
                done: list[Any] = [None, None]
                for i in (0, 1) if number % 2 == 0 else (1, 0):
                    copy = work / "copy"
                    shutil.copytree(sides[i].folder, copy)
                    done[i] = asks[i](task, copy)
                    shutil.rmtree(copy)
                old, new = done[0]["figures"], done[1]["figures"]
                if number < 0:
                    off = {key: abs(old[key] - new[key]) for key in sorted(old.keys() & new.keys())}
                    worst, *others = sorted(off, key=lambda key: off[key], reverse=True)
                    found[f"{task}: difference of {worst}"] = [(0.0, off[worst])]
                    found[f"{task}: largest difference of {len(others)} other figures"] = [(0.0, off[others[0]])]
                else:
                    seconds = (done[0]["seconds"], done[1]["seconds"])
                    found.setdefault(f"{task}: seconds of processor", []).append(seconds)
            print(f"monitor and gate, round {number + 1} of {count}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default=FIRST, help="the earlier version; by default the last commit of 0.1")
    parser.add_argument("--quick", action="store_true", help="two rounds of serving alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--needs", nargs="*", default=NEEDS, help="packages of the earlier version alone")
    parser.add_argument("--only", choices=("tasks", "serving"), help="a part of it")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.only = 2, "serving"
    with tempfile.TemporaryDirectory(prefix="riskloop-before-") as place:
        work = Path(place)
        commits = {"before": given.commit, "now": "HEAD"}
        for name, commit in commits.items():
            subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(work / f"{name}-source")], check=True)
            subprocess.run(["git", "-C", str(work / f"{name}-source"), "checkout", "-q", commit], check=True)
        (work / "files").mkdir()
        write_files(work / "files")
        install(given.needs, work / "needs")
        before, now = (Side(name, (work / f"{name}-source" / "src",), work / name) for name in commits)
        before = before._replace(sources=(*before.sources, work / "needs"))
        for side in (before, now):
            shutil.copytree(work / "files", side.folder)
            with side.working() as ask:
                ask("prepare", side.folder)
            print(f"{side.name} has trained and decided", file=sys.stderr, flush=True)
        found = {} if given.only == "serving" else task_rounds((before, now), given.rounds, work)
        found |= {} if given.only == "tasks" else serve_rounds((before, now), given.rounds, given.seconds)
        lost = {side.name: lost_when_killed(side) for side in (before, now)}
    if given.json:
        print(json.dumps({"pairs": found, "lost": lost}))
        return
    print("| measured | before | now | now / before (95%) |\n|---|---|---|---|")
    for name, pairs in found.items():
        before, now = (mean(column) for column in zip(*pairs, strict=True))
        print(f"| {name} | {before:.4g} | {now:.4g} | {_ratio(pairs)} |")
    print(f"| answered decisions lost by SIGKILL under load | {lost['before']} | {lost['now']} | |")


def _ratio(pairs: list[tuple[float, float]]) -> str:
    logs = [math.log(now / before) for before, now in pairs if before and now]
    if len(logs) < 2:
        return ""
    reach = float(t.ppf(0.975, len(logs) - 1)) * stdev(logs) / math.sqrt(len(logs))
    middle = mean(logs)
    return f"{math.exp(middle):.2f} ({math.exp(middle - reach):.2f} to {math.exp(middle + reach):.2f})"


if __name__ == "__main__":
    main()
