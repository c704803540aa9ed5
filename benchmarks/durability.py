"""Is every answered decision in the log, exactly once, whatever happens to the server?

    python -m benchmarks.durability [--quick] [--kills N] [--held N] [--seconds N] [--json] [--folder DIR]
                                    [--url postgresql+psycopg://…]

`kills`: under load, single rows and batches, the server is killed (SIGKILL) at random moments and started again on the
same folder, without any repair; on PostgreSQL with --url, of an empty database. After every kill the ids of the log
have no gap, every answered decision is in it once, as it was answered, and a batch that is sent again under its key is
logged once.
`held`: under load, somebody holds the lock of the log for 30 seconds. What is answered meanwhile says that nothing was
logged; afterwards it goes on by itself, and the log is as after a kill.
`promotions`: under load, a model is promoted every second. No request fails, and every answer comes from a model that
was champion at some moment between its request and its answer.
Exit code 1 when a promise was broken.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from benchmarks.postgres import twin
from benchmarks.serving import prepare, running
from riskloop.portfolio import Portfolio
from riskloop.store import counters
from riskloop.store.home import Home
from riskloop.store.tables import decisions

CLIENTS: Final = 8
BATCH: Final = 200  # rows
_HEADERS: Final = {"Content-Type": "application/json"}


class Answered(NamedTuple):
    """One answer of /predict, and when it was asked for and received."""

    asked: float
    received: float
    customer: str
    document: dict[str, Any]


class Load:
    """Clients that ask for decisions until they are told to stop, and remember every answer."""

    def __init__(self, url: str, rows: Sequence[dict[str, Any]], batches: "Batches | None" = None) -> None:
        self.answers: list[Answered] = []
        self.failures: list[str] = []
        self._address = str(urlsplit(url).netloc)
        self._rows = rows
        self._stop = Event()
        self._threads = [Thread(target=self._ask, args=(k,)) for k in range(CLIENTS)]
        if batches is not None:
            self._threads.append(Thread(target=batches.send, args=(self._address, self._stop)))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        chance = random.Random(number)
        while not self._stop.is_set():
            row = chance.choice(self._rows)
            asked = time.monotonic()
            try:
                connection.request("POST", "/predict", json.dumps(row), _HEADERS)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.failures.append(repr(error))
                time.sleep(0.01)
                continue
            if answer.status == 200:
                self.answers.append(Answered(asked, time.monotonic(), str(row["ID"]), json.loads(content)))
            else:
                self.failures.append(content.decode())


class Batches:
    """Batches under idempotency keys; one that got no answer is sent again, by the next call if need be."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self._body = json.dumps(rows[:BATCH])
        self._number = 0
        self.answered: list[list[int]] = []  # ids of the decisions of each batch
        self.repeated = 0

    def send(self, address: str, stop: Event) -> None:
        """Send until told to stop."""
        while not stop.is_set():
            connection = http.client.HTTPConnection(address, timeout=30)
            try:
                headers = {**_HEADERS, "Idempotency-Key": f"batch-{self._number}"}
                connection.request("POST", "/predict/batch?reasons=none", self._body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                self.repeated += 1
                time.sleep(0.01)
                continue
            finally:
                connection.close()
            if answer.status == 200:
                self.answered.append([int(one["decision_id"]) for one in json.loads(content)])
                self._number += 1


def kills(folder: Path, rows: Sequence[dict[str, Any]], count: int, seed: int = 1) -> dict[str, Any]:
    """Kill the server ``count`` times; what was checked."""
    chance = random.Random(seed)
    answers: list[Answered] = []
    batches = Batches(rows)
    starts = []
    for number in range(count):
        begun = time.monotonic()
        with running("riskloop", folder) as server:
            starts.append(time.monotonic() - begun)
            with Load(server.url, rows, batches) as load:
                time.sleep(chance.uniform(0.05, 1.5))
                server.process.kill()
                server.process.wait()
            answers += load.answers
        check_log(folder, answers, batches)
        sys.stderr.write(f"kill {number + 1}: {len(answers):,} answers so far\n")
    with running("riskloop", folder) as server, Load(server.url, rows, batches):
        time.sleep(1.0)  # the last batch is sent again
    check_log(folder, answers, batches)
    return {
        "kills": count,
        "answered": len(answers),
        "batches": len(batches.answered),
        "batches_sent_again": batches.repeated,
        "logged": _count(folder),
        "slowest_start_seconds": max(starts),
    }


def held(folder: Path, rows: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Hold the log's lock under load; what was checked."""
    batches = Batches(rows)
    portfolio = Portfolio.open(folder)
    with running("riskloop", folder) as server, Load(server.url, rows, batches) as load:
        time.sleep(2.0)
        with portfolio.home.database.write() as connection:
            counters.lock(connection, decisions)
            begun, failures = time.monotonic(), len(load.failures)
            time.sleep(seconds)
            meanwhile = [a for a in load.answers if a.asked > begun]
            refused = load.failures[failures:]
        released = time.monotonic()
        time.sleep(3.0)
    portfolio.home.close()
    check_log(folder, load.answers, batches)
    assert refused
    assert all("Nothing was logged" in said for said in refused), refused[:3]
    after = [a for a in load.answers if a.received > released]
    return {
        "seconds": seconds,
        "answered": len(load.answers),
        "answered_meanwhile": len(meanwhile),
        "refused_meanwhile": len(refused),
        "seconds_until_the_next_answer": min(a.received for a in after) - released,
        "batches": len(batches.answered),
    }


def _count(folder: Path) -> int:
    home = Home.open(folder)
    try:
        return home.decisions.count()
    finally:
        home.close()


def check_log(folder: Path, answers: Sequence[Answered], batches: Batches) -> None:
    """Every answer is in the log exactly once, as it was given; ids have no gap; no batch is there twice."""
    home = Home.open(folder)
    frame = home.decisions.frame()
    home.close()
    assert frame.ids.tolist() == list(range(1, len(frame) + 1)), "the log has a gap"
    given = [int(a.document["decision_id"]) for a in answers]
    taken = [number for ids in batches.answered for number in ids]
    assert len({*given, *taken}) == len(given) + len(taken), "two answers have one decision"
    probabilities = frame.probabilities.tolist()
    for number, answer in zip(given, answers, strict=True):
        assert number <= len(frame), f"decision {number} was answered and is not in the log"
        logged = frame.customer_ids[number - 1], probabilities[number - 1], int(frame.model_versions[number - 1])
        document = answer.document
        assert logged == (answer.customer, document["probability"], document["model_version"]), number


class Promoted(NamedTuple):
    """A promotion, and the moments between which it was committed."""

    version: int
    before: float
    after: float


@contextmanager
def promoting(folder: Path, versions: Sequence[int]) -> Iterator[list[Promoted]]:
    """Promote one version after the other, every second."""
    portfolio, stop = Portfolio.open(folder), Event()
    done: list[Promoted] = []

    def promote() -> None:
        number = 0
        while not stop.wait(1.0):
            number += 1
            version = versions[number % len(versions)]
            before = time.monotonic()
            portfolio.promote(version, by="benchmark", reason="every second", force=True)
            done.append(Promoted(version, before, time.monotonic()))

    thread = Thread(target=promote)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()
        portfolio.home.close()


def promotions(folder: Path, rows: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Promote every second under load; what was checked."""
    versions = [row.version for row in _two_versions(folder)]
    with running("riskloop", folder) as server:
        begun = Promoted(versions[0], 0.0, time.monotonic())
        with Load(server.url, rows) as load, promoting(folder, versions) as done:
            time.sleep(seconds)
    tenures = [begun, *done]
    strangers = [a for a in load.answers if not _was_champion(a, tenures)]
    waited = sorted(a.received - a.asked for a in load.answers)
    return {
        "promotions": len(done),
        "answered": len(load.answers),
        "failed": len(load.failures),
        "by_a_model_that_was_not_champion": len(strangers),
        "longest_answer_seconds": waited[-1],
        "median_answer_seconds": waited[len(waited) // 2],
    }


def _was_champion(answer: Answered, tenures: Sequence[Promoted]) -> bool:
    """Whether the answer's model may have been champion at a moment between request and answer."""
    ends = [following.after for following in tenures[1:]] + [float("inf")]
    return any(
        one.version == answer.document["model_version"] and one.before <= answer.received and answer.asked <= end
        for one, end in zip(tenures, ends, strict=True)
    )


def _two_versions(folder: Path) -> list[Any]:
    """The champion, and a model of the same learner from other rows."""
    import pandas as pd

    portfolio = Portfolio.open(folder)
    history = pd.read_csv(folder / "history.csv")
    half = folder / "half.csv"
    history.sample(frac=0.5, random_state=1).to_csv(half, index=False)
    portfolio.train(half)
    found = portfolio.home.ledger.models()
    portfolio.home.close()
    return found[:2]


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 kills, 7 seconds of a lock, 10 of promotions")
    parser.add_argument("--kills", type=int, help="default 50")
    parser.add_argument("--held", type=float, help="seconds of the lock; default 30")
    parser.add_argument("--seconds", type=float, help="of promotions; default 60")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made; must be on the disk to be measured.")
    parser.add_argument("--url", help="Of an empty PostgreSQL database.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name) / "sqlite"
        folder.mkdir()
        prepare(folder, usual=False).close()
        folder = twin(folder, options.url) if options.url else folder
        rows = [json.loads(line) for line in (folder / "requests.ndjson").read_text().splitlines()]
        count = (5 if options.quick else 50) if options.kills is None else options.kills
        killed = kills(folder, rows, count) if count else {}
        locked = held(folder, rows, options.held or (7 if options.quick else 30))
        promoted = promotions(folder, rows, options.seconds or (10 if options.quick else 60))
    if options.json:
        print(json.dumps({"kills": killed, "held": locked, "promotions": promoted}))
    else:
        print("kills: every answered decision is in the log exactly once; ids have no gap")
        print("".join(f"  {key}: {value:,.6g}\n" for key, value in killed.items()), end="")
        print("held: what was not answered was not logged")
        print("".join(f"  {key}: {value:,.6g}\n" for key, value in locked.items()), end="")
        print("promotions")
        print("".join(f"  {key}: {value:,.6g}\n" for key, value in promoted.items()), end="")
    if promoted["failed"] or promoted["by_a_model_that_was_not_champion"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
