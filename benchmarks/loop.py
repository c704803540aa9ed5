"""LoopBench: does a loop recover what a changed world costs, and keep still when nothing, or only the feed, changed?

    python -m benchmarks.loop [--quick] [--json] [--data UCI.csv] [--seeds 11,12] [--scenarios a,b] [--policies a,b]

Every scenario is played for every seed; every policy decides on the same customers, and learns outcomes equally late.
docs/loopbench.md explains the measures. Streams are kept in --kept FILE, so an interrupted run goes on.
"""

import argparse
import json
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._looptable import REAL, end_of, goals, lines, summary, told
from benchmarks._triggers import TOLD, TRIGGERS, Refits, run_told, run_trigger
from riskloop.backtest.history import History
from riskloop.backtest.oracle import oracle_scores
from riskloop.backtest.policies import NEVER, policy_named
from riskloop.backtest.replay import first_champion, model_of, replay
from riskloop.backtest.request import Request
from riskloop.backtest.score import Scores
from riskloop.backtest.study import Run, collected
from riskloop.backtest.worlds import Game
from riskloop.backtest.worlds import play as play_scenario
from riskloop.core import stats
from riskloop.core.settings import Settings
from riskloop.core.types import Floats, Json
from riskloop.simulation import SCENARIOS, true_auc
from riskloop.simulation.uci import load_uci
from riskloop.store.home import Home

MONTHS: Final = 12
PER_MONTH: Final = 1000
LOOPS: Final = ("on_drift", "on_harm", "scheduled:3")
QUICK: Final = ("stable", "recession", "units_x100")


@dataclass(frozen=True)
class Task:
    """One stream and the policies that it is played for."""

    scenario: str
    seed: int
    policies: tuple[str, ...]
    months: int
    per_month: int
    data: str | None
    changes: tuple[str, ...]  # settings, as "drift.confirm = 1"


# --------------------------------------------------------------------------- one stream


def play(task: Task, cache: Path) -> list[Json]:
    """Every policy on one stream, one row of measures each."""
    history, game = _world(task)
    folder = Path(tempfile.mkdtemp(prefix="stream-", dir=cache))
    try:
        first = cache / f"first-{_past_key(history)}"
        first_champion(first, history)
        learner, scores = first_scores(first, history)
        never = still(history, NEVER.name, scores)
        best = oracle_scores(history, game, learner, scores)
        refits = Refits(history, learner)
        rows = []
        for name in ("never", *task.policies, "oracle"):
            if name == "never":
                run = never
            elif name == "oracle":
                run = still(history, name, best)
            elif name == TOLD:
                run = run_told(history, learner, scores)
            elif name in TRIGGERS:
                run = run_trigger(history, name, refits, scores)
            else:
                policy = policy_named(name)
                replay(folder / "policy", first, history, policy)
                run = collected(folder / "policy", history, policy)
                shutil.rmtree(folder / "policy")
            rows.append({"scenario": task.scenario, "seed": task.seed, **measures(task.scenario, history, run, best)})
        return rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _world(task: Task) -> tuple[History, Game]:
    frame = None if task.data is None else load_uci(task.data).drop(columns="ID")
    asked = Request(
        frame,
        target="default",
        scenario=task.scenario,
        months=task.months,
        per_month=task.per_month,
        seed=task.seed,
    )
    history, game = play_scenario(asked)
    settings = changed(history.settings, (*task.changes, "train.threads = 1"))
    return replace(history, settings=settings), game


def changed(settings: Settings, changes: Sequence[str]) -> Settings:
    """The settings with some of them set, each as TOML: ``gate.alpha = 0.1``."""
    content: dict[str, Any] = settings.model_dump()
    for change in changes:
        for section, entries in tomllib.loads(change).items():
            content[section] |= entries
    return Settings(**content)


def _past_key(history: History) -> str:
    """Streams of one seed share their past, and so the first training."""
    from hashlib import sha256

    digest = sha256(history.past.features.tobytes())
    digest.update(json.dumps(history.settings.model_dump(mode="json", include={"train", "threshold"})).encode())
    return digest.hexdigest()[:16]


def first_scores(folder: Path, history: History) -> tuple[str, list[Floats]]:
    """The first champion's learner, and its probabilities by period."""
    home = Home.open(folder)
    try:
        version = home.champion().version
        model = model_of(home.artefacts, home.ledger, version)
        return home.ledger.model(version).learner, [model.probabilities(p.rows.features) for p in history.periods]
    finally:
        home.close()


def still(history: History, name: str, scores: Sequence[Floats]) -> Run:
    """A run in which nothing is ever exchanged."""
    parts = [
        Scores(np.asarray(period.rows.target), p, p >= 1.0, period.true_pd)
        for period, p in zip(history.periods, scores, strict=True)
    ]
    story: Json = {"retrainings": [], "promotions": [], "rollbacks": 0, "windows": {}, "cases": []}
    return Run(name, "", tuple(parts), (None,) * len(parts), story)


# --------------------------------------------------------------------------- measures of one stream


def measures(scenario: str, history: History, run: Run, best: Sequence[Floats]) -> Json:
    """What one policy did on one stream, as plain numbers that can be added up."""
    labels = [period.name for period in history.periods]
    changed_at = next((k for k, period in enumerate(history.periods) if period.share > 0), None)
    at = [labels.index(entry["period"]) for entry in run.story["retrainings"]]
    promotions = run.story["promotions"]
    judged = [entry for entry in promotions if entry["wrong"] is not None]
    after = [k for k in at if changed_at is not None and k >= changed_at]
    truth = SCENARIOS[scenario].diagnosis.value
    return {
        "truth": truth,
        "policy": run.policy,
        "auc": [auc_of(part) for part in run.scores],
        "log_loss": _mean_loss(run),
        "regret": _mean_loss(run) - _mean_loss(still(history, "oracle", best)),
        "retrainings": len(at),
        "false": len(at) if truth == "stable" else len(at) - len(after),
        "on_faults": len(after) if truth == "data_fault" else 0,
        "delay": after[0] - changed_at if after and changed_at is not None and truth in REAL else None,
        "promotions": len(promotions),
        "judged": len(judged),
        "wrong": sum(entry["wrong"] for entry in judged),
        "wrong_by": [entry["difference"] for entry in judged if entry["wrong"]],
        "diagnoses": [window["diagnosis"] for window in run.story["windows"].values()],
        "cases": [[case["state"], case["diagnosis"], case["sentence"]] for case in run.story["cases"]],
    }


def auc_of(part: Scores) -> float | None:
    """The true one where it is known, which no luck of the labels disturbs."""
    if part.true_pd is not None:
        return true_auc(part.probabilities, part.true_pd)
    y = part.outcomes[part.known]
    return stats.auc(y, part.probabilities[part.known]) if 0 < y.sum() < len(y) else None


def _mean_loss(run: Run) -> float:
    y = np.concatenate([part.outcomes[part.known] for part in run.scores])
    return stats.log_loss(y, np.concatenate([part.probabilities[part.known] for part in run.scores]))


# --------------------------------------------------------------------------- all streams


def run_all(tasks: Sequence[Task], kept: Path | None, jobs: int) -> list[Json]:
    """The rows of all streams; those in ``kept`` are not played again."""
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    done = {(row["scenario"], row["seed"]) for row in rows}
    waiting = [task for task in tasks if (task.scenario, task.seed) not in done]
    with tempfile.TemporaryDirectory(prefix="loopbench-") as cache:
        # One stream of every seed goes first, so that the others find its first training.
        for number, (task, found) in enumerate(_played(waiting, Path(cache), jobs), start=1):
            rows += found
            if kept:
                with kept.open("a") as out:
                    out.writelines(json.dumps(row) + "\n" for row in found)
            print(f"{number}/{len(waiting)} {task.scenario} {task.seed}: {_told(found)}", file=sys.stderr, flush=True)
    wanted = {(task.scenario, task.seed) for task in tasks}
    return [row for row in rows if (row["scenario"], row["seed"]) in wanted]


def _played(tasks: Sequence[Task], cache: Path, jobs: int) -> Iterator[tuple[Task, list[Json]]]:
    if jobs == 1:
        for task in tasks:
            yield task, play(task, cache)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(play, task, cache): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _told(rows: Sequence[Json]) -> str:
    return ", ".join(f"{row['policy']} {end_of(row):.3f} ({row['retrainings']}/{row['promotions']})" for row in rows)


def main() -> None:
    """Print the table and which goals are reached, or JSON."""
    parser = argparse.ArgumentParser(description="LoopBench: whole loops on worlds whose truth is known.")
    parser.add_argument("--quick", action="store_true", help="three scenarios, one seed, small months")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--data", help="play on the rows of the UCI credit-card csv instead of the embedded portfolio")
    parser.add_argument("--seeds", default="102,103", help="with commas (1 to 101 chose the defaults)")
    parser.add_argument("--scenarios", help="with commas; all by default")
    parser.add_argument("--policies", default=",".join((*LOOPS, *TRIGGERS)), help="with commas")
    parser.add_argument("--months", type=int, default=MONTHS)
    parser.add_argument("--per-month", type=int, default=PER_MONTH)
    parser.add_argument("--set", action="append", default=[], help='a setting as TOML, such as "drift.confirm = 1"')
    parser.add_argument("--kept", type=Path, help="streams that are done, as JSON lines")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    scenarios = QUICK if given.quick else tuple(SCENARIOS)
    if given.scenarios:
        scenarios = tuple(given.scenarios.split(","))
    seeds = [int(seed) for seed in given.seeds.split(",")][: 1 if given.quick else None]
    tasks = [
        Task(
            scenario=scenario,
            seed=seed,
            policies=tuple(given.policies.split(",")) if given.policies else (),
            months=8 if given.quick else given.months,
            per_month=600 if given.quick else given.per_month,
            data=given.data,
            changes=tuple(given.set),
        )
        for seed in seeds
        for scenario in scenarios
    ]
    table = summary(run_all(tasks, given.kept, given.jobs))
    if given.json:
        document = {"seeds": seeds, "scenarios": scenarios, "data": given.data, "policies": table}
        print(json.dumps({**document, "goals": goals(table, tuple(TRIGGERS))}))
        return
    print(*lines(table), "", *told(goals(table, tuple(TRIGGERS))), sep="\n")


if __name__ == "__main__":
    main()
