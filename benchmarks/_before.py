"""The tasks of `benchmarks.before`, with whatever riskloop stands on PYTHONPATH: only what both versions understand.

Reads a line for each task, `prepare|monitor|gate FOLDER`, and answers with one JSON object.
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def prepare(folder: Path) -> dict[str, Any]:
    """Trains two versions, of which the first serves, and logs decided months with their outcomes."""
    import pandas as pd

    from riskloop.portfolio import Portfolio

    portfolio = Portfolio.open(folder / "riskloop.toml")
    for name in ("history.csv", "shorter.csv"):
        portfolio.train(folder / name, now=datetime(2024, 6, 1, tzinfo=UTC))
    for number in (6, 7, 8):
        portfolio.score(pd.read_csv(folder / f"month-{number}.csv"))
    portfolio.record_outcomes(folder / "outcomes.csv", now=datetime(2025, 1, 1, tzinfo=UTC))
    return {}


def monitor(folder: Path) -> dict[str, Any]:
    """Closes and judges every month of the folder's copy."""
    from riskloop.portfolio import Portfolio

    portfolio = Portfolio.open(folder / "riskloop.toml")
    started = time.process_time()
    portfolio.cycle(now=datetime(2024, 9, 2, tzinfo=UTC))
    seconds = time.process_time() - started
    drift: Any = portfolio.drift(windows=1)  # a list in version 0.1
    documents = drift if isinstance(drift, list) else drift.windows
    psi = {
        found["subject"]: found["statistic"]
        for found in documents[-1]["findings"]
        if found["check"] == "psi" and found["statistic"] is not None
    }
    return {"seconds": seconds, "figures": psi}


def gate(folder: Path) -> dict[str, Any]:
    """Compares the two versions on the matured decisions."""
    from riskloop.portfolio import Portfolio

    portfolio = Portfolio.open(folder / "riskloop.toml")
    started = time.process_time()
    compared: Any = portfolio.compare(1, 2, now=datetime(2025, 1, 2, tzinfo=UTC))
    seconds = time.process_time() - started
    report = compared if isinstance(compared, dict) else compared.to_dict()
    return {"seconds": seconds, "figures": {key: report[key] for key in ("champion_auc", "challenger_auc")}}


if __name__ == "__main__":
    tasks = {"prepare": prepare, "monitor": monitor, "gate": gate}
    for line in sys.stdin:
        name, _, place = line.strip().partition(" ")
        print(json.dumps(tasks[name](Path(place))), flush=True)
