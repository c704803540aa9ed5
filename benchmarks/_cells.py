"""One cell of the fraction, played by the loop and by what it is held against."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._fraction import Planned
from benchmarks._triggers import TRIGGERS, Refits, handed_in, run_told, run_trigger
from benchmarks.loop import auc_of, changed, first_scores, still
from riskloop.backtest.history import History
from riskloop.backtest.policies import NEVER, policy_named
from riskloop.backtest.replay import first_champion, model_of, replay
from riskloop.backtest.request import Request
from riskloop.backtest.study import Run, collected
from riskloop.backtest.worlds import embedded_world
from riskloop.core.types import Bools, Floats, Json, Severity
from riskloop.simulation.catalogue import STARTS
from riskloop.simulation.conditions import EXPLORED, Lender
from riskloop.simulation.feeds import FEEDS, SimulatedFeed
from riskloop.store.home import Home

# Raise it when a change of riskloop would give cells other outcomes: those of before are stale, and played again.
# 1: first cells. 2: what the features say beside the score is judged. 3: late reports, and the labels of few defaults.
# 4: evidence on the level counts defaults, and that of panels is summed by customer.
# 5: a probation weighs what made the case for the new champion.
# 6: evidence over windows is no witness of itself; correlation by calendar months; a champion at its own level.
# 7: learners start small; bonds, levels and rare values are held against chance over everything that was looked at.
# 8: what the features say is learned from the windows before, too, and looked for along what the champion reads.
GENERATION: Final = 8
PER_MONTH: Final = 2_000
MONTHS: Final = {"stable": 12, "recession": 12, "shifts": 9, "labels": 8, "faults": 6}
LOOP: Final = "on_drift"
WITH_TRIGGERS: Final = 7  # the usual triggers are played in every seventh cell of a group, beginning with the third
CHEAPER: Final = ('train.learners = ["lightgbm"]', "train.search = 0", "train.folds = 3", "train.threads = 1")
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE, Severity.FAULT)


def play(cell: Planned, per_month: int = PER_MONTH, months: int | None = None, extra: Sequence[str] = ()) -> list[Json]:
    """Measures of each policy; ``extra`` are settings, as "drift.confirm = 1"."""
    history = world_of(cell, per_month, months or MONTHS[cell.group], extra)
    folder = Path(tempfile.mkdtemp(prefix="cell-"))
    try:
        first = folder / "first"
        first_champion(first, history)
        learner, scores = first_scores(first, history)
        never = still(history, NEVER.name, scores)
        policy = policy_named(LOOP, approve=cell.group != "labels")  # a person would see that the labels are broken
        replay(folder / LOOP, first, history, policy, feed=feed_of(cell, history))
        runs = [never, collected(folder / LOOP, history, policy)]
        said = of_labels(folder / LOOP, history)
        known = handed_in(history, feed_of(cell, history), _declined(first, cell, scores))
        if cell.group == "recession":
            runs.append(run_told(history, learner, scores, known))
        if cell.number % WITH_TRIGGERS == 2:
            refits = Refits(history, learner, known)
            runs += [run_trigger(history, name, refits, scores) for name in TRIGGERS]
        return [{**measures(history, run), "labels": said if run.policy == LOOP else None} for run in runs]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def world_of(cell: Planned, per_month: int, months: int, extra: Sequence[str] = ()) -> History:
    """The past and the months of production."""
    scenario = "stable" if cell.scenario in FEEDS else cell.scenario
    asked = Request(scenario=scenario, months=months, per_month=per_month, seed=cell.seed)
    history, _ = embedded_world(asked, Lender(cell.conditions, per_month))
    settings = changed(history.settings, (*cell.conditions.settings, *CHEAPER, *extra))
    return replace(history, settings=settings)


def feed_of(cell: Planned, history: History) -> SimulatedFeed:
    """A new feed; broken labels begin with the fourth month of production, by the date of the report."""
    window = history.settings.portfolio.outcome_window
    if cell.scenario not in FEEDS:
        return cell.conditions.feed(window, cell.seed)
    return cell.conditions.feed(window, cell.seed, FEEDS[cell.scenario].labels, history.periods[STARTS].first)


def of_labels(folder: Path, history: History) -> bool:
    """Whether anything was found about the outcome feed."""
    home = Home.open(folder, history.settings)
    try:
        found = [f for w in home.windows.latest(1000) for f in home.windows.findings(w.id)]
        return any(f.check.startswith("labels_") and f.severity in MOVED for f in found)
    finally:
        home.close()


def _declined(first: Path, cell: Planned, scores: Sequence[Floats]) -> list[Bools]:
    """Whom the first model declines, those explored apart."""
    home = Home.open(first)
    try:
        limit = model_of(home.artefacts, home.ledger, home.champion().version).threshold
    finally:
        home.close()
    rate = EXPLORED if cell.conditions.selection == "explored" else 0.0
    rng = np.random.default_rng(cell.seed)
    return [(p >= limit) & (rng.random(len(p)) >= rate) for p in scores]


def measures(history: History, run: Run) -> Json:
    """What one policy did, as it is on record; the tables are made of these."""
    return {
        "policy": run.policy,
        "months": [[period.name, period.share, len(period.rows)] for period in history.periods],
        "auc": [auc_of(part) for part in run.scores],
        "retrainings": [entry["period"] for entry in run.story["retrainings"]],
        "promotions": [
            {key: entry.get(key) for key in ("period", "kind", "by", "difference", "measure", "wrong")}
            for entry in run.story["promotions"]
        ],
        "windows": [
            [w["name"], w["diagnosis"], w["confirmed"], w["quarantined"], w["mature"]]
            for w in run.story["windows"].values()
        ],
        "cases": [
            [case["opened_at"], case["diagnosis"], case["state"], case["sentence"]] for case in run.story["cases"]
        ],
    }
