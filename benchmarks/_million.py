"""From a confirmed drift to the new champion answering requests, in real processes: server, worker, and this one."""

import json
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any, Final

import requests

from benchmarks._portfolios import AFTER, NOW, PAST, config, customers, decided, trained
from benchmarks.serving import running
from riskloop.cases import CaseState
from riskloop.core.manifest import RetrainOrder
from riskloop.core.types import Action, Diagnosis, to_micros
from riskloop.loop import snapshot
from riskloop.loop.champion import load
from riskloop.loop.making import make
from riskloop.portfolio import Portfolio
from riskloop.simulation import SCENARIOS
from riskloop.simulation.embedded import TARGET, TIME, simulate
from riskloop.store.home import CONFIG, Home

NEW: Final = 48_000  # decisions of the changed world, in three months
PATIENCE: Final = 900  # seconds

# The first training is not what is measured.
QUICK: Final = '\n[train]\nlearners = ["lightgbm"]\nfolds = 2'
# A recession moves the approval rate by more than the plan allows unasked; nobody is there to be asked.
WIDE: Final = "\n[gate]\nmax_approval_shift = 0.9\nmax_score_psi = 9.0"


def turnover(folder: Path, rows: int) -> dict[str, Any]:
    """Seconds from the confirmed drift to each step, with ``rows`` rows to learn from.

    ``cpu`` are the CPU seconds of the worker's whole cycle, which a busy machine changes little; ``mix`` is the time of
    making a challenger for a mere change of the mix on the same rows, density ratios included.
    """
    home = _prepared(folder, rows)
    command = [sys.executable, "-m", "riskloop.cli", "watch", "--once", "--now", NOW.isoformat(), "--json"]
    with (
        running("riskloop", folder) as server,
        (folder / "watch.log").open("w") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as worker,
    ):
        found: dict[str, Any] = _followed(home, server.url, folder, worker)
        worker.wait(PATIENCE)
        used = getrusage(RUSAGE_CHILDREN)
        found["cpu"] = round(used.ru_utime + used.ru_stime, 1)
    case = home.cases.latest(1)[0]
    judged = home.cases.judged(case.id)
    assert judged is not None
    assert judged.record is not None
    found |= {"rows": rows, "training": judged.record.training, "plan": judged.record.plan, "mix": _mix(home)}
    home.close()
    return found


def _prepared(folder: Path, rows: int) -> Home:
    past = simulate(PAST, (rows - NEW) // len(PAST), seed=1)
    text = config(folder, past)
    trained(folder, past, text.replace("\n[train]", QUICK, 1)).home.close()
    (folder / CONFIG).write_text(text.replace("\n[gate]", WIDE, 1), encoding="utf-8")
    home = Portfolio.open(folder).home
    recession = SCENARIOS["recession"].world
    assert recession is not None
    decided(home, customers(home, recession, AFTER, NEW, 2))
    (request,) = simulate(AFTER[:1], 1, 3).drop(columns=[TARGET, TIME]).to_dict("records")
    (folder / "requests.ndjson").write_text(json.dumps(request) + "\n", encoding="utf-8")
    return home


def _followed(home: Home, url: str, folder: Path, worker: "subprocess.Popen[bytes]") -> dict[str, float]:
    """When the case was confirmed, its challenger trained and promoted, and when the new version answered."""
    row = json.loads((folder / "requests.ndjson").read_text(encoding="utf-8"))
    seen: dict[str, float] = {}
    until = time.monotonic() + PATIENCE
    while "answering" not in seen:
        time.sleep(0.02)
        case = next(iter(home.cases.latest(1)), None)
        if time.monotonic() > until or (worker.poll() is not None and home.champion().version == 1):
            raise RuntimeError(f"Nothing was promoted: {(folder / 'watch.log').read_text(encoding='utf-8')}")
        if case is None or case.state is CaseState.WATCHING:
            continue
        seen.setdefault("confirmed", time.monotonic())
        if case.challenger is not None:
            seen.setdefault("judged", time.monotonic())
        if home.champion().version == 1:
            continue
        seen.setdefault("promoted", time.monotonic())
        if requests.post(f"{url}/predict", json=row, timeout=PATIENCE).json()["model_version"] != 1:
            seen["answering"] = time.monotonic()
    return {step: round(at - seen["confirmed"], 2) for step, at in seen.items()}


def _mix(home: Home) -> float:
    since = to_micros(home.windows.latest(len(AFTER))[0].first_time)
    order = RetrainOrder(
        1, Action.RETRAIN, Diagnosis.COVARIATE_SHIFT, since, snapshot.take(home.feed, home.windows, NOW)
    )
    started = time.monotonic()
    make(home.settings, home.decisions, home.artefacts, order, load(home, 1))
    return round(time.monotonic() - started, 2)
