"""What PostgreSQL costs: /predict over a server beside the same portfolio over SQLite, every decision durable.

    python -m benchmarks.postgres --url postgresql+psycopg://… [--quick] [--rounds N] [--seconds S] [--folder DIR]

The URL names an empty database; put the server's files and --folder on the same disk. The two take turns, a few
seconds each, in every round; ratios are medians of the rounds' own ratios, so that a busy machine slows both alike.
Server, database and load (wrk) share the machine.

With --machines one API process with 64 connections, two with 32 each, and two with 64 each take turns over PostgreSQL.
Beside the rates stand the commits, which come one after the other, and the processors' seconds of API, database and
load for a request: what two cores of one's own could do.
"""

import argparse
import json
import re
import resource
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks._processor import seconds_of
from benchmarks.serving import CONNECTIONS, Measured, load, prepare, running
from riskloop.store.adapters import open_database
from riskloop.store.home import CONFIG
from riskloop.store.transfer import copy

TWICE: Final = 1.6  # times the rate of one API process that two on two cores reach
GOAL: Final = 0.7  # of SQLite's rate at 64 connections


def twin(folder: Path, url: str) -> Path:
    """The same portfolio over another database."""
    place = folder.with_name("postgres")
    shutil.copytree(folder, place)
    config = place / CONFIG
    text, count = re.subn(r'# url = "sqlite:.*', f'url = "{url}"', config.read_text())
    assert count == 1
    config.write_text(text)
    old, new = open_database("sqlite:///riskloop.db", folder), open_database(url, place)
    copy(old, new)
    old.close()
    new.close()
    return place


def measure(folders: dict[str, Path], rounds: int, seconds: float) -> dict[int, list[dict[str, Measured]]]:
    """Rounds of both, by the number of connections."""
    found: dict[int, list[dict[str, Measured]]] = {connections: [] for connections in CONNECTIONS}
    with ExitStack() as stack:
        urls = {name: stack.enter_context(running("riskloop", folder)).url for name, folder in folders.items()}
        for _ in range(rounds):
            for connections in CONNECTIONS:
                one = {name: load(url, folders[name], connections, seconds) for name, url in urls.items()}
                found[connections].append(one)
                sys.stderr.write(f"x{connections}: " + ", ".join(f"{n} {m.rate:,.0f}/s" for n, m in one.items()) + "\n")
    return found


def machines(folder: Path, url: str, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """One process, two that share its connections, and two with as many each: medians of the rounds.

    Requests a second, commits a second and rows of each, and microseconds of processor a request, of each part.
    """
    import psycopg

    database = server_of(url)
    settings = {"one": (1, 64), "two": (2, 32), "two, 64 each": (2, 64)}  # processes, connections of each
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in settings}
    with ExitStack() as stack:
        servers = [stack.enter_context(running("riskloop", folder)) for _ in range(2)]
        log = stack.enter_context(psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True))

        def used(asked: list[Any]) -> tuple[float, ...]:
            done = log.execute("SELECT count(*) FROM links WHERE kind = 'decisions'").fetchone()
            own = seconds_of(database), sum(seconds_of(one.process.pid) for one in asked), _of_children()
            return (*own, 0.0 if done is None else float(done[0]))

        for _ in range(rounds):
            for name, (count, connections) in settings.items():
                asked = servers[:count]
                before = used(asked)
                with ThreadPoolExecutor(count) as pool:
                    loads = [pool.submit(load, one.url, folder, connections, seconds) for one in asked]
                    done = [one.result() for one in loads]
                *parts, commits = (now - then for now, then in zip(used(asked), before, strict=True))
                rate = sum(one.rate for one in done)
                each = [1e6 * part / (rate * seconds) for part in parts]
                found = {"rate": rate, "commits": commits / seconds, "rows": rate * seconds / commits}
                taken[name].append(found | dict(zip(("database", "api", "load"), each, strict=True)))
    return {name: {key: median(one[key] for one in each) for key in each[0]} for name, each in taken.items()}


def server_of(url: str) -> int:
    """The process of a server on this machine, of which all its others are children."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        found = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert found is not None
    return int(str(found[0]).split("\n", 1)[0])


def _of_children() -> float:
    """Processor seconds of the loads that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tell_machines(found: dict[str, dict[str, float]]) -> None:
    """What was measured, and what two cores of one's own would do by it."""
    for name, one in found.items():
        parts = ", ".join(f"{part} {one[part]:.0f}" for part in ("api", "database", "load"))
        print(
            f"{name}: {one['rate']:,.0f} requests/s in {one['commits']:,.0f} commits of {one['rows']:.1f} rows; ",
            end="",
        )
        print(f"microseconds of processor a request: {parts}")
    one = found["one"]
    alone = 1e6 / max(one["api"], sum(one[part] for part in ("api", "database", "load")) / 2)
    for name in ("two", "two, 64 each"):
        two = found[name]
        both = 2e6 / sum(two[part] for part in ("api", "database", "load"))
        free = 2 * one["api"] / two["api"]  # database and load on machines of their own
        print(
            f"{name}: {two['rate'] / one['rate']:.2f} of one by the clock; by processors {both / alone:.2f} with ",
            end="",
        )
        print(f"everything on two cores, {free:.2f} with database and load on other machines (goal {TWICE})")


def summary(connections: int, rounds: list[dict[str, Measured]]) -> dict[str, Any]:
    """Medians, and the ratio of the rates."""
    document: dict[str, Any] = {"connections": connections}
    for name in rounds[0]:
        document[name] = {
            "rate": median(r[name].rate for r in rounds),
            "p50": median(r[name].p50 for r in rounds),
            "p99": median(r[name].p99 for r in rounds),
            "errors": sum(r[name].errors for r in rounds),
        }
    document["ratio"] = median(r["postgres"].rate / r["sqlite"].rate for r in rounds)
    return document


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="Of an empty database.")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds each")
    parser.add_argument("--rounds", type=int, help="default 5, quick 1")
    parser.add_argument("--seconds", type=float, help="of each load; default 4, quick 2")
    parser.add_argument("--machines", action="store_true", help="one API process and two instead")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made; must be on the disk to be measured.")
    options = parser.parse_args()
    if options.url is None:
        print("Not measured: name an empty database with --url.")
        return
    rounds, seconds = options.rounds or (1 if options.quick else 5), options.seconds or (2 if options.quick else 4)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name) / "sqlite"
        folder.mkdir()
        prepare(folder, usual=False).close()
        if options.machines:
            told = machines(twin(folder, options.url), options.url, rounds, seconds)
            print(json.dumps(told)) if options.json else tell_machines(told)
            return
        found = measure({"sqlite": folder, "postgres": twin(folder, options.url)}, rounds, seconds)
    rows = [summary(connections, measured) for connections, measured in found.items()]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'connections':>11}{'database':>10}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}{'ratio':>8}")
    for row in rows:
        for database in ("sqlite", "postgres"):
            m = row[database]
            ratio = f"{row['ratio']:.2f}" if database == "postgres" else ""
            print(
                f"{row['connections']:>11}{database:>10}{m['rate']:>12,.0f}{1000 * m['p50']:>9.2f}"
                f"{1000 * m['p99']:>9.2f}{m['errors']:>8}{ratio:>8}"
            )
    reached = rows[-1]["ratio"] >= GOAL
    print(f"{'reached' if reached else 'MISSED '} PostgreSQL / SQLite at 64: {rows[-1]['ratio']:.2f} ({GOAL:g})")


if __name__ == "__main__":
    main()
