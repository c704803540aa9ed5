"""Is every answered decision in the log, exactly once, after a day of faults? And does it recover without a hand?

    python -m benchmarks.storm [--quick] [--minutes N] [--every SECONDS] [--seed N] [--folder DIR]

`riskloop up` with two API processes and a cycle every five seconds answers single rows, batches under idempotency keys,
outcomes and pages, while a model is promoted every minute. In every minute one fault of a seeded list happens: see
`_faults.py`. When `up` itself is killed it is started again, as a service manager would; nothing else is done by hand.
At the end every answer is looked up in the log, every accepted outcome and promotion on record, and all is verified.
Exit code 1 when something answered is lost or doubled, when it did not recover, or when its memory goes on growing.
"""

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select

from benchmarks._faults import Faults, Proxy, family, memory
from benchmarks.durability import Answered, Batches, Load, _two_versions, check_log
from benchmarks.serving import prepare
from riskloop.portfolio import Portfolio
from riskloop.store.cycles import loop_state
from riskloop.store.home import Home
from riskloop.store.tables import outcomes, promotions

PAGES: Final = ("/", "/metrics", "/readyz", "/models", "/drift?windows=3", "/cases", "/dashboard/decisions")
SEED: Final = 16
GRACE: Final = 40.0  # seconds in which it may stop by itself
MOST_GROWTH: Final = 1.15  # of memory, from the middle third of the time to the last
REASON: Final = "every minute"


class Struck(NamedTuple):
    """A fault, and what was seen of it until the next one."""

    name: str
    begun: float
    memory: dict[str, float]  # MiB by kind of process, before it
    longest: float = 0.0  # seconds without an answered decision
    answered: int = 0
    refused: int = 0
    recovered: bool = False


class Service:
    """`riskloop up`, started again whenever it ends."""

    def __init__(self, folder: Path, port: int) -> None:
        self.restarts, self.said = -1, Counter[str]()
        self.last: dict[str, str] = {}  # what was said last, by what it is about
        self._folder, self._port, self._stop = folder, port, Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = Thread(target=self._run)
        self._thread.start()

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    def stop(self) -> None:
        self._stop.set()
        if self._process is not None:
            known = family(self._process.pid)
            self._process.terminate()
            self._thread.join(GRACE)
            for pid in known if self._thread.is_alive() else ():  # a cycle under way takes minutes
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._thread.join()

    def _run(self) -> None:
        command = [sys.executable, "-m", "riskloop.cli", "up", "--config", str(self._folder / "riskloop.toml")]
        command += ["--port", str(self._port), "--workers", "2", "--every", "5"]
        path = os.pathsep.join(filter(None, (str(self._folder), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "STORM_FOLDER": str(self._folder), "PYTHONPATH": path}
        while not self._stop.is_set():
            self.restarts += 1
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as self._process:
                assert self._process.stderr is not None
                for line in self._process.stderr:
                    if line.startswith("{"):
                        self._hear(json.loads(line))
            self._stop.wait(0.5)

    def _hear(self, said: dict[str, Any]) -> None:
        action = said.get("action", "")
        self.said[action] += 1
        self.last[action] = str(said.get("trace") or said.get("message", ""))[-1500:]


class Others:
    """Outcomes, pages and promotions beside the decisions."""

    def __init__(self, address: str, target: str, load: Load, versions: Sequence[int]) -> None:
        self.statuses: dict[str, Counter[int]] = {"outcomes": Counter(), "pages": Counter(), "promotions": Counter()}
        self.reported: set[int] = set()  # decisions whose outcome was accepted
        self._address, self._target, self._load, self._stop = address, target, load, Event()
        works = (self._outcomes, self._pages, lambda: self._promote(versions))
        self._threads = [Thread(target=work) for work in works]

    def __enter__(self) -> "Others":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, what: str, method: str, path: str, body: Any = None) -> int:
        """The answer's status; 0 when there was none."""
        status = 0
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        self.statuses[what][status] += 1
        return status

    def _outcomes(self) -> None:
        while not self._stop.wait(1.0):
            rows = [
                {"decision_id": one.document["decision_id"], self._target: number % 5 == 0}
                for number, one in enumerate(self._load.answers[-20:])
            ]
            if rows and self._ask("outcomes", "POST", "/outcomes", rows) == 200:
                self.reported |= {int(row["decision_id"]) for row in rows}

    def _pages(self) -> None:
        number = 0
        while not self._stop.wait(0.5):
            number += 1
            self._ask("pages", "GET", PAGES[number % len(PAGES)])

    def _promote(self, versions: Sequence[int]) -> None:
        number = 0
        while not self._stop.wait(60.0):
            number += 1
            body = {"reason": REASON, "force": True}
            self._ask("promotions", "POST", f"/models/{versions[number % len(versions)]}/promote", body)


def storm(folder: Path, minutes: float, every: float, seed: int) -> dict[str, Any]:
    """Run it; what was found."""
    home = prepare(folder, usual=False)
    target = home.schema.target
    home.close()
    versions = [row.version for row in _two_versions(folder)]
    lines = (folder / "requests.ndjson").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:2000]]
    proxy = Proxy(_free_port())
    service = Service(folder, proxy.target)
    faults = Faults(folder, lambda: service.pid, proxy, random.Random(seed))
    address, batches = f"127.0.0.1:{proxy.port}", Batches(rows)
    struck: list[Struck] = []
    try:
        _wait(proxy.target, rows[0])
        begun = time.monotonic()
        load = Load(f"http://{address}", rows, batches)
        with load, Others(address, target, load, versions) as others:
            queue: list[str] = []
            while time.monotonic() - begun < minutes * 60:
                queue = queue or faults.names()
                name = queue.pop(0)
                before = len(load.failures)
                struck.append(Struck(name, time.monotonic(), memory(service.pid)))
                getattr(faults, name)()
                over, until = time.monotonic(), struck[-1].begun + every
                time.sleep(max(0.0, until - over))
                struck[-1] = _seen(struck[-1], over, load.answers, len(load.failures) - before)
                sys.stderr.write(f"{struck[-1]}\n")
        seconds = time.monotonic() - begun
        state = _loop(folder)
    finally:
        service.stop()
    check_log(folder, load.answers, batches)
    check_record(folder, others)
    return {
        "seconds": seconds,
        "faults": struck,
        "answered": len(load.answers),
        "batches": len(batches.answered),
        "refused_or_broken": len(load.failures),
        "others": {name: dict(found) for name, found in others.statuses.items()},
        "restarts": service.restarts,
        "said": dict(service.said),
        "said_last": service.last,
        "cycle_failures_at_the_end": state,
    }


def check_record(folder: Path, others: Others) -> None:
    """Accepted outcomes and promotions are on record, and everything on record is as it was committed."""
    portfolio = Portfolio.open(folder)
    try:
        with portfolio.home.database.read() as connection:
            found = set(connection.execute(select(outcomes.c.decision_id)).scalars())
            query = select(func.count()).select_from(promotions).where(promotions.c.reason == REASON)
            promoted = connection.execute(query).scalar_one()
        lost = others.reported - found
        assert not lost, f"{len(lost)} outcomes were accepted and are not on record"
        assert promoted >= others.statuses["promotions"][200], "a promotion was answered and is not on record"
        proof = portfolio.record.verify(by="storm")
        assert proof.sound, proof.breaches
    finally:
        portfolio.home.close()


def growth(struck: Sequence[Struck]) -> float:
    """How much more memory all processes take in the last third of the time than in the middle one, by the medians."""
    sizes = [sum(one.memory.values()) for one in struck]
    third = len(sizes) // 3
    return median(sizes[-third:]) / median(sizes[third:-third]) if third else 1.0


def _seen(one: Struck, over: float, answers: Sequence[Answered], refused: int) -> Struck:
    """It has recovered when requests are answered that were sent after the fault was ``over``."""
    since = [a for a in answers if a.received >= one.begun]
    ends = [one.begun, *sorted(a.received for a in since), time.monotonic()]
    longest = max(second - first for first, second in pairwise(ends))
    recovered = any(a.asked >= over for a in since)
    return one._replace(longest=longest, answered=len(since), refused=refused, recovered=recovered)


def _loop(folder: Path) -> int:
    home = Home.open(folder)
    try:
        return loop_state(home.database).failures
    finally:
        home.close()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, row: Any) -> None:
    until = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", "/predict", json.dumps(row), {"Content-Type": "application/json"})
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > until:
            raise TimeoutError("The server did not answer within two minutes.")
        time.sleep(0.2)


def main() -> None:
    """Run the storm, print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="two minutes, a fault in every thirty seconds")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds from fault to fault")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    minutes, every = (2.0, 30.0) if given.quick else (given.minutes, given.every)
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        found = storm(Path(made), minutes, every, given.seed)
    print("| fault | longest time without an answer, s | answered until the next | refused or broken | MiB before |")
    print("|---|---:|---:|---:|---:|")
    for one in found["faults"]:
        size = sum(one.memory.values())
        name = one.name.replace("_", " ")
        print(f"| {name} | {one.longest:.1f} | {one.answered:,} | {one.refused:,} | {size:,.0f} |")
    print(json.dumps({name: value for name, value in found.items() if name != "faults"}, indent=1))
    print(json.dumps([{kind: round(size) for kind, size in one.memory.items()} for one in found["faults"]]))
    grown = growth(found["faults"])
    print(f"Memory in the last third of the time: {grown:.2f} times that in the middle one.")
    if not all(one.recovered for one in found["faults"]):
        sys.exit("It did not recover from every fault before the next one.")
    if grown > MOST_GROWTH:
        sys.exit("Its memory goes on growing.")


if __name__ == "__main__":
    main()
