"""Does this version serve, keep, monitor and judge as fast as an earlier one, with the same figures?

    python -m benchmarks.before [--commit COMMIT] [--rounds N] [--seconds S] [--quick] [--json]

What the earlier commit needs and this one does not has to be installed first (0.1: plotly and fastapi-offline).

Both commits (the present one without what is not committed) are checked out into a temporary folder and run in this
environment. They train on the same files under the same settings and take turns in every round, so that a busy
machine slows both alike. A row of the table is the ratio of this version to the earlier one: the mean over the rounds
with its 95% t interval. `wrk` makes the load; after it a server is killed under single requests, and each answered
decision is looked for in the log.
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Final, NamedTuple

import pandas as pd
import requests
from scipy.stats import t

from benchmarks.serving import POST, load
from riskloop.data.config import infer_config
from riskloop.simulation import embedded

ROOT: Final = Path(__file__).resolve().parent.parent
MONTH_ROWS: Final = 2_000
FIRST: Final = "ee70378"


class Side(NamedTuple):
    """One of the two versions."""

    name: str
    source: Path  # its src
    folder: Path  # its portfolio

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its processes."""
        return {**os.environ, "PYTHONPATH": str(self.source), "OMP_NUM_THREADS": "1"}

    def task(self, name: str, folder: Path | None = None) -> Any:
        """Runs a task of `_before.py` in a process of its own."""
        script = str(Path(__file__).with_name("_before.py"))
        done = subprocess.run(
            [sys.executable, script, name, str(folder or self.folder)],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])

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


def rounds(sides: tuple[Side, Side], count: int, seconds: int, work: Path) -> dict[str, list[tuple[float, float]]]:
    """Pairs of figures, earlier and now, by what was measured."""
    found: dict[str, list[tuple[float, float]]] = {}
    figures: dict[str, list[Any]] = {"monitor": [], "gate": []}
    with ExitStack() as servers:
        urls = [servers.enter_context(side.serving())[0] for side in sides]
        for number in range(count):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            for connections in (1, 8, 64):
                pair = {i: load(urls[i], sides[i].folder, connections, seconds) for i in order}
                found.setdefault(f"/predict, {connections} connections: requests a second", []).append(
                    (pair[0].rate, pair[1].rate)
                )
                found.setdefault(f"/predict, {connections} connections: 99th percentile", []).append(
                    (pair[0].p99, pair[1].p99)
                )
    for number in range(count):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for task in ("monitor", "gate"):
            done = {}
            for i in order:
                copy = work / f"{sides[i].name}-{task}-{number}"
                shutil.copytree(sides[i].folder, copy)
                done[i] = sides[i].task(task, copy)
            found.setdefault(f"{task}: seconds", []).append((done[0]["seconds"], done[1]["seconds"]))
            figures[task].append((done[0]["figures"], done[1]["figures"]))
    for task, pairs in figures.items():
        for old, new in pairs[:1]:
            off = max((abs(old[key] - new[key]) for key in old.keys() & new.keys()), default=math.nan)
            found[f"{task}: largest difference of {len(old.keys() & new.keys())} figures"] = [(0.0, off)]
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default=FIRST, help="the earlier version; by default the last commit of 0.1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds, loads of a second")
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds = 2, 1
    with tempfile.TemporaryDirectory(prefix="riskloop-before-") as place:
        work = Path(place)
        commits = {"before": given.commit, "now": "HEAD"}
        for name, commit in commits.items():
            subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(work / f"{name}-source")], check=True)
            subprocess.run(["git", "-C", str(work / f"{name}-source"), "checkout", "-q", commit], check=True)
        (work / "files").mkdir()
        write_files(work / "files")
        before, now = (Side(name, work / f"{name}-source" / "src", work / name) for name in commits)
        for side in (before, now):
            shutil.copytree(work / "files", side.folder)
            side.task("prepare")
        found = rounds((before, now), given.rounds, given.seconds, work)
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
