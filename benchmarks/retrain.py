"""How much of a new world does a challenger learn, and does the gate see it?

    python -m benchmarks.retrain [--quick] [--json] [--seeds N]

The embedded portfolio after a change, champion and challengers by the project's own training. `recovery` is the share
of the AUC between the champion and an oracle (the same learner on 150,000 rows of the new world), for both ways of
testing a challenger. `weights` compares density-ratio weights with none where only the mix of customers changes.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from riskloop.core.settings import Settings, parse_settings
from riskloop.core.stats import auc, density_ratio_weights
from riskloop.core.types import Action, DecisionFrame, Diagnosis, Floats, Ints, Rows
from riskloop.data.infer import infer_config
from riskloop.data.read import rows_from
from riskloop.data.scenarios import SCENARIOS
from riskloop.data.simulate import ID, TARGET, TIME, World, month_starts, simulate
from riskloop.gate import Context, Evaluation, judge
from riskloop.retrain.challenger import ChallengerPlan, plan_challenger
from riskloop.retrain.dataset import Pool, Weighting, choose, pool, training_set, unseen_by
from riskloop.retrain.plan import Plan, evaluation_plan, latest_block
from riskloop.train.candidate import Candidate
from riskloop.train.fit import fit, fit_once

HISTORY: Final = month_starts(date(2023, 1, 1), 12)
AFTER: Final = month_starts(date(2024, 1, 1), 5)
LATER: Final = month_starts(date(2025, 1, 1), 3)
SHIFTS: Final = ("new_channel_sudden", "ageing", "policy_change")

Row = dict[str, Any]


class Portfolio:
    """Settings and rows of one seed's worlds."""

    def __init__(self, seed: int, history: int) -> None:
        self.seed = seed
        frame = simulate(HISTORY, history // len(HISTORY), seed)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "history.csv"
            frame.to_csv(path, index=False)
            self.text = infer_config(path, target=TARGET, id=ID, time=TIME)
        self.history = self._rows(frame, self.settings("holdout"))

    def settings(self, how: str) -> Settings:
        """The inferred config with one way of testing challengers."""
        settings = parse_settings(self.text)
        return settings.model_copy(update={"gate": settings.gate.model_copy(update={"evaluation": how})})

    def rows(self, world: World, months: list[date], n: int, offset: int) -> Rows:
        """``n`` customers of a world."""
        frame = simulate(months, n // len(months), self.seed + offset, world)
        return self._rows(frame, self.settings("holdout"))

    def _rows(self, frame: Any, settings: Settings) -> Rows:
        return rows_from(frame, settings.row_schema, target="required", where="the simulation")


def labels(rows: Rows) -> Floats:
    """The target, which simulated rows always carry."""
    assert rows.target is not None
    return rows.target


def logged(rows: Rows) -> DecisionFrame:
    """Labelled rows as matured decisions."""
    n = len(rows)
    ids: Ints = np.arange(1, n + 1, dtype=np.int64)
    return DecisionFrame(ids, rows.ids, rows.times, np.ones(n, np.int64), np.full(n, 0.2), rows.features, labels(rows))


def chosen_weighting(rows: Pool, plan: Plan, recipe: ChallengerPlan, settings: Settings, since: int) -> Weighting:
    """As the loop does it: every weighting on the latest block of what may be learned from."""
    index = plan.splits[0].train
    block = latest_block(rows, index, index[rows.rows.times[index] >= since], 0.3, timedelta(0))
    found = []
    for weighting in recipe.weightings:
        made = training_set(rows, block.train, settings.retrain, weighting=weighting, since=since)
        score = fit_once(made.rows, settings, recipe.learners[0], made.weights)
        found.append((weighting, auc(rows.labels[block.test], score(rows.rows.features[block.test]))))
    return choose(found)


def challenge(portfolio: Portfolio, champion: Candidate, new: Rows, how: str) -> tuple[Candidate, Row]:
    """A challenger after a concept change, and what the gate says of it."""
    settings, started = portfolio.settings(how), time.perf_counter()
    rows = pool(portfolio.history, logged(new))
    since = int(new.times.min())
    plan = evaluation_plan(rows, settings.gate, unseen=unseen_by(None, rows), outcome_window=timedelta(0), since=since)
    recipe = plan_challenger(
        Action.RETRAIN,
        Diagnosis.CONCEPT_DRIFT,
        champion_learner=champion.learner,
        rows=len(rows),
        train=settings.train,
        retrain=settings.retrain,
    )
    weighting = chosen_weighting(rows, plan, recipe, settings, since)

    def fitted(index: Ints, learners: tuple[str, ...]) -> Candidate:
        made = training_set(rows, index, settings.retrain, weighting=weighting, since=since)
        present = made.rows.times >= since
        return fit(made.rows, settings, weights=made.weights, learners=learners, present=present)

    learners, scores = recipe.learners, []
    for split in plan.splits:
        candidate = fitted(split.train, learners)
        learners = (candidate.learner,)
        scores.append(candidate.predict(rows.rows.features[split.test]))
    if plan.final is not None:
        candidate = fitted(plan.final, learners)
    tested = rows.rows.features[plan.tested]
    thresholds = [float(c.manifest["threshold"]) for c in (champion, candidate)]
    evaluation = Evaluation(
        rows.labels[plan.tested], champion.predict(tested), np.concatenate(scores), thresholds[0], thresholds[1]
    )
    moment = time.perf_counter()
    report = judge(evaluation, settings.gate, _context(candidate.learner))
    return candidate, {
        "verdict": report.verdict.value,
        "sentence": report.sentence,
        "learner": candidate.learner,
        "weighting": weighting.name,
        "seconds": round(moment - started, 1),
    }


def _context(learner: str) -> Context:
    from datetime import UTC, datetime

    names = ("scorecard", "lightgbm", "hist_gradient_boosting")
    return Context(datetime(2025, 1, 1, tzinfo=UTC), 1, 2, learner, names, ("x",), ("x",))


def recovery(seeds: int, sizes: tuple[int, ...], history: int) -> list[Row]:
    """After the recession: champion, oracle and the challengers of both ways."""
    world = SCENARIOS["recession"].world
    assert world is not None
    table = []
    for seed in range(1, seeds + 1):
        portfolio = Portfolio(seed, history)
        settings = portfolio.settings("holdout")
        champion = fit(portfolio.history, settings)
        test = portfolio.rows(world, LATER, 60_000, 1000)
        oracle = fit(portfolio.rows(world, LATER, 150_000, 2000), settings, learners=["lightgbm", "scorecard"])
        low, high = (auc(labels(test), model.predict(test.features)) for model in (champion, oracle))
        for n in sizes:
            new = portfolio.rows(world, AFTER, n, 3000)
            for how in ("holdout", "out_of_fold"):
                candidate, row = challenge(portfolio, champion, new, how)
                reached = auc(labels(test), candidate.predict(test.features))
                row |= {"seed": seed, "rows": n, "how": how, "champion": low, "challenger": reached, "oracle": high}
                row["recovered"] = (reached - low) / (high - low)
                table.append(row)
                print(_line(row), file=sys.stderr, flush=True)
    return table


def weights(seeds: int, history: int) -> list[Row]:
    """Under covariate shift: the champion's learner on history and new rows, with density ratios and without."""
    table = []
    for name in SHIFTS:
        world = SCENARIOS[name].world
        assert world is not None
        for seed in range(1, seeds + 1):
            portfolio = Portfolio(seed, history)
            settings = portfolio.settings("holdout")
            new, test = portfolio.rows(world, AFTER, 2000, 3000), portfolio.rows(world, LATER, 60_000, 1000)
            rows = pool(portfolio.history, logged(new))
            index = np.arange(len(rows), dtype=np.int64)
            columns = list(settings.row_schema.model_columns)
            ratios = np.ones(len(rows))
            features = rows.rows.features[:, columns]
            old = rows.sources < 0
            ratios[old] = density_ratio_weights(features[old], features[~old]).weights
            row: Row = {"scenario": name, "seed": seed}
            for weighting in (Weighting("uniform"), Weighting("density_ratio", density=True)):
                made = training_set(rows, index, settings.retrain, weighting=weighting, ratios=ratios)
                score = fit_once(made.rows, settings, "lightgbm", made.weights)
                row[weighting.name] = auc(labels(test), score(test.features))
                row["effective_size"] = made.effective_size
            table.append(row)
            print(row, file=sys.stderr, flush=True)
    return table


def _line(row: Row) -> str:
    return (
        f"{row['rows']:>6} {row['how']:<12} {row['seed']:>4}  {row['champion']:.4f} → {row['challenger']:.4f} of "
        f"{row['oracle']:.4f}  {row['recovered']:>4.0%}  {row['weighting']:<12} {row['learner']:<10} "
        f"{row['verdict']:<22} {row['seconds']:>6.1f} s"
    )


def main() -> None:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(description="How much of a new world does a challenger learn?")
    parser.add_argument("--quick", action="store_true", help="one seed, small history")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--seeds", type=int, help="worlds per cell (default 5, quick 1)")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds, history = given.seeds or (1 if given.quick else 5), 10_000 if given.quick else 30_000
    recovered = recovery(seeds, (5_000,) if given.quick else (5_000, 20_000), history)
    weighted = weights(seeds, history)
    if given.json:
        print(json.dumps({"recovery": recovered, "weights": weighted}))
        return
    print("\n".join(_line(row) for row in recovered))
    print("\n".join(str(row) for row in weighted))


if __name__ == "__main__":
    main()
