"""What a shadow costs the server that it scores beside: throughput, and processor time of both.

    python -m benchmarks.shadow [--quick] [--rounds N] [--seconds S] [--json] [--folder DIR]

One server answers /predict. A round without a shadow is followed by one in which the shadow scores what the round
before has logged, as it does every period of that length (by default a cycle comes every minute), on the same machine.
What was logged beside it is caught up with between the pairs and counted nowhere. Ratios are medians over the pairs;
processor time is that of each process by the kernel.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.serving import Running, load, prepare, processor_time, running
from riskloop.core.settings import ShadowSettings
from riskloop.loop.shadow import follow
from riskloop.store.home import Home
from riskloop.store.shadow import ShadowScores

CONNECTIONS: Final = 64
VERSION: Final = 2


class Round(NamedTuple):
    """One load of some seconds."""

    rate: float  # requests a second
    p99: float  # seconds
    server: float  # processor seconds of the server for a million requests
    shadow: float  # processor seconds of the shadow for a million decisions; 0 without one
    errors: int


def shadow_process(folder: Path) -> None:
    """Follow the log while told so on standard input; after each `off` and `catch up` tell what that took."""
    home = Home.open(folder)
    settings = home.settings.model_copy(update={"shadow": ShadowSettings(versions=(VERSION,), rows=1_000_000)})
    home = replace(home, settings=settings)
    kept = ShadowScores(home.database)

    def once() -> None:
        wrong = list(follow(home, 1, datetime.now(UTC), lambda: None))
        assert not wrong, wrong

    thread, before = Thread(), (0.0, 0)
    for line in sys.stdin:
        if line.strip() == "on":
            before = time.process_time(), _scored(kept)
            thread = Thread(target=once)
            thread.start()
            continue
        if line.strip() == "off":
            thread.join()
        else:
            once()
        print(json.dumps([time.process_time() - before[0], _scored(kept) - before[1]]), flush=True)


def _scored(kept: ShadowScores) -> int:
    count = kept.count(VERSION)
    return 0 if count is None else count.scored


def _tell(process: "subprocess.Popen[str]", word: str) -> tuple[float, int]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    if word == "on":
        return 0.0, 0
    seconds, rows = json.loads(process.stdout.readline())
    return float(seconds), int(rows)


def measured(server: Running, shadow: "subprocess.Popen[str]", folder: Path, seconds: float, *, with_it: bool) -> Round:
    """One load, with the shadow or without it."""
    if with_it:
        _tell(shadow, "on")
    before = processor_time(server)
    found = load(server.url, folder, CONNECTIONS, seconds)
    used = processor_time(server) - before
    took, rows = _tell(shadow, "off") if with_it else (0.0, 0)
    requests = found.rate * seconds
    theirs = 1e6 * took / rows if with_it and rows else 0.0
    return Round(found.rate, found.p99, 1e6 * used / requests, theirs, found.errors)


def measure(folder: Path, rounds: int, seconds: float) -> list[tuple[Round, Round]]:
    """Pairs of rounds, without and with the shadow."""
    command = [sys.executable, "-m", "benchmarks.shadow", "--shadow", str(folder)]
    pairs = []
    with (
        running("riskloop", folder) as server,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shadow,
    ):
        try:
            _tell(shadow, "catch up")  # it begins
            load(server.url, folder, CONNECTIONS, seconds)
            _tell(shadow, "catch up")
            for number in range(rounds):
                without, beside = (measured(server, shadow, folder, seconds, with_it=w) for w in (False, True))
                _tell(shadow, "catch up")
                sys.stderr.write(f"round {number + 1}: {without.rate:,.0f}/s, with a shadow {beside.rate:,.0f}/s\n")
                pairs.append((without, beside))
        finally:
            shadow.terminate()
    return pairs


def figures(pairs: list[tuple[Round, Round]]) -> dict[str, Any]:
    """Medians over the pairs, the extremes of the ratio, and its geometric mean with a t interval."""
    ratios = sorted(with_it.rate / without.rate for without, with_it in pairs)
    logs = np.log(ratios)
    reach = float(stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
    return {
        "rounds": len(pairs),
        "requests_per_second": [median(pair[i].rate for pair in pairs) for i in (0, 1)],
        "p99_ms": [1000 * median(pair[i].p99 for pair in pairs) for i in (0, 1)],
        "throughput_ratio": median(ratios),
        "mean_ratio": float(np.exp(logs.mean())),
        "mean_ratio_95": [float(np.exp(logs.mean() - reach)), float(np.exp(logs.mean() + reach))],
        "lowest_ratio": ratios[0],
        "highest_ratio": ratios[-1],
        "server_seconds_per_million": [median(pair[i].server for pair in pairs) for i in (0, 1)],
        "shadow_seconds_per_million": median(pair[1].shadow for pair in pairs),
        "errors": [sum(pair[i].errors for pair in pairs) for i in (0, 1)],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two pairs of two seconds each")
    parser.add_argument("--rounds", type=int, help="pairs; default 8, quick 2")
    parser.add_argument("--seconds", type=float, help="of each load; default 30, quick 2")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made; must be on the disk to be measured.")
    parser.add_argument("--shadow", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shadow is not None:
        shadow_process(options.shadow)
        return
    if shutil.which("wrk") is None:
        sys.exit("The load comes from wrk, which is not installed: `apt-get update && apt-get install -y wrk`.")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        home = prepare(folder, usual=False)
        first = home.ledger.model(1)  # its twin costs as much as any other of its kind
        home.ledger.register(
            created_at=first.created_at,
            learner=first.learner,
            artefact=first.artefact,
            sha256=first.sha256,
            origin=first.origin,
            auc=first.auc,
            case_id=1,
        )
        home.close()
        rounds, seconds = (
            options.rounds or (2 if options.quick else 10),
            options.seconds or (2 if options.quick else 30),
        )
        found = figures(measure(folder, rounds, seconds))
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        shown = value if isinstance(value, list) else [value]
        print(f"{name.replace('_', ' '):<28}" + "  ".join(f"{v:,.3f}".rstrip("0").rstrip(".") for v in shown))
    share = found["shadow_seconds_per_million"] / found["server_seconds_per_million"][0]
    print(f"A shadow takes {share:.1%} of the server's processor time for a decision.")


if __name__ == "__main__":
    main()
