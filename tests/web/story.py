"""A loop that has been through the demo's months, smaller: built in this process, served by a real one."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx

from riskloop.cases import Case
from riskloop.data.config import infer_config
from riskloop.portfolio import Portfolio
from riskloop.simulation import SCENARIOS, Embedded, stream
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate

from .browser import WAIT

SEED: Final = 7
PER_MONTH: Final = 1000
# The demo's months, and at the end a fault that is still there. A challenger waits for a person by then.
PLOT: Final = (
    ("stable", 1),
    ("units_x100", 1),
    ("stable", 1),
    ("new_channel_sudden", 2),
    ("recession", 3),
    ("units_x100", 1),
)
SETTINGS: Final = {
    "train": 'learners = ["scorecard"]\nfolds = 3',
    "gate": "max_approval_shift = 0.0",  # every promotion needs a person
}


@dataclass(frozen=True)
class Loop:
    """A served portfolio."""

    url: str
    portfolio: Portfolio
    challenged: Case  # as it was when it waited for an approval


def play(folder: Path) -> Portfolio:
    """Train, then month by month: decisions, last month's outcomes, one cycle."""
    history = folder / "history.csv"
    simulate(month_starts(date(2024, 1, 1), 12), 600, SEED).to_csv(history, index=False)
    chosen = {"portfolio": {"name": "Credit cards"}}
    text = infer_config(
        history, target=TARGET, id=ID, time=TIME, folder=folder, outcome_window=timedelta(days=30), chosen=chosen
    )
    for section, lines in SETTINGS.items():
        text = re.sub(rf"(?m)^(\[{section}\].*)$", rf"\1\n{lines}", text)
    (folder / "riskloop.toml").write_text(text, encoding="utf-8")
    portfolio = Portfolio.open(folder)
    portfolio.train(history, now=datetime(2024, 12, 31, tzinfo=UTC))
    first, known = date(2025, 1, 1), None
    for position, (name, length) in enumerate(PLOT):
        months = month_starts(first, length + 1)
        for month in stream(SCENARIOS[name], Embedded(), months[:-1], PER_MONTH, SEED + position, starts_at=0):
            start = datetime(month.start.year, month.start.month, 1, tzinfo=UTC)
            portfolio.score(month.frame)
            if known is not None:
                portfolio.record_outcomes(known)
            portfolio.cycle(now=start + timedelta(days=35))
            known = month.frame[[ID]].copy()
            known[TARGET] = month.target
            known["known_at"] = (start + timedelta(days=62)).isoformat()
        first = months[-1]
    return portfolio


@contextmanager
def served(folder: Path, *options: str, command: str = "serve") -> Iterator[str]:
    """`riskloop serve`, or `up`, in a process of its own on a free port of 127.0.0.1; its address."""
    words = [sys.executable, "-m", "riskloop.cli", command, "--config", str(folder), "--port", "0", *options]
    log = folder / "server.log"  # a pipe that nobody reads would fill, and the server would wait
    with log.open("w") as said, subprocess.Popen(words, stderr=said) as server:
        try:
            yield _ready(log, server)
        finally:
            server.terminate()


def _ready(log: Path, server: "subprocess.Popen[bytes]") -> str:
    """The server's address, once it answers there; it is given as long as a page."""
    until = time.monotonic() + WAIT / 1000
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < until and server.poll() is None:
            found = re.search(r"http://[\d.]+:\d+", log.read_text())
            try:
                if found is not None and client.get(f"{found[0]}/readyz", timeout=WAIT / 1000).status_code == 200:
                    return found[0]
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise AssertionError(f"The server did not answer (exit code {server.poll()}): {log.read_text()}")
