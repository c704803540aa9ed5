"""What PostgreSQL costs: /predict over a server beside the same portfolio over SQLite, every decision durable.

    python -m benchmarks.postgres --url postgresql+psycopg://… [--quick] [--rounds N] [--seconds S] [--folder DIR]

The URL names an empty database; put the server's files and --folder on the same disk. The two take turns, a few
seconds each, in every round; ratios are medians of the rounds' own ratios, so that a busy machine slows both alike.
Server, database and load (wrk) share the machine.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.serving import CONNECTIONS, Measured, load, prepare, running
from riskloop.store.adapters import open_database
from riskloop.store.home import CONFIG
from riskloop.store.transfer import copy

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
