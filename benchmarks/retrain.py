"""How much of a new world does a challenger learn, does the gate see it, and how soon does it answer?

    python -m benchmarks.retrain [--quick] [--json] [--seeds N] [--only recovery,weights,million] [--folder DIR]

Everything is made by the loop itself: a trained portfolio, logged decisions with their outcomes, an order. `recovery`
is the share of the AUC between the champion and an oracle (the better of two learners on 150,000 rows of the new
world) after a recession, for both ways of testing a challenger; beside it what equal weights and the new rows alone
would have given, and the gate's page on the first challenger. `weights` compares density-ratio weights with none where
only the mix of customers changes. `million` is the time from a confirmed drift to the new champion's first
answer, in processes of their own.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._goals import Goal, lines
from benchmarks._million import turnover
from benchmarks._portfolios import NOW, PAST, config, customers, decided, labels, trained
from riskloop.core.manifest import RetrainOrder
from riskloop.core.settings import RetrainSettings
from riskloop.core.stats import auc, density_ratio_weights
from riskloop.core.types import Action, Diagnosis, Floats, Rows
from riskloop.gate import judge, sentences
from riskloop.loop import snapshot
from riskloop.loop.champion import load
from riskloop.loop.evidence import context, evaluate
from riskloop.loop.making import make
from riskloop.loop.register import register
from riskloop.loop.trainer import Challenger
from riskloop.retrain.dataset import Pool, Weighting, training_set
from riskloop.scoring.model import load_model
from riskloop.simulation import SCENARIOS
from riskloop.simulation.embedded import World, month_starts, simulate
from riskloop.store.home import Home
from riskloop.train.fit import fit_once

AFTER: Final = month_starts(date(2024, 1, 1), 3)
LATER: Final = month_starts(date(2025, 1, 1), 3)
SHIFTS: Final = ("new_channel_sudden", "ageing", "policy_change")
WAYS: Final = ("out_of_fold", "holdout")
NEEDED: Final = {5_000: 0.80, 20_000: 0.90}  # share of the oracle's AUC to be recovered, by matured rows
SHIFTED: Final = 2_000  # matured decisions after a change of the mix
TEST_ROWS: Final = 60_000
ORACLE_ROWS: Final = 150_000
MILLION: Final = 1_000_000
FITS: Final = ("challenger", "pooled", "new alone")
PARTS: Final = ("recovery", "weights", "million")

Row = dict[str, Any]


# --------------------------------------------------------------------------- worlds


@contextmanager
def first_model(seed: int, history: int) -> Iterator[Home]:
    """A portfolio whose champion learned from ``history`` customers of the old world."""
    with tempfile.TemporaryDirectory() as name:
        past = simulate(PAST, history // len(PAST), seed)
        home = trained(Path(name), past, config(Path(name), past)).home
        yield home
        home.close()


@contextmanager
def after(home: Home, new: Rows, how: str = WAYS[0]) -> Iterator[Home]:
    """A copy of the portfolio in which the new customers were decided on."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "copy"
        shutil.copytree(home.folder, place)
        copy = Home.open(place)
        decided(copy, new)
        gate = copy.settings.gate.model_copy(update={"evaluation": how})
        yield replace(copy, settings=copy.settings.model_copy(update={"gate": gate}))
        copy.close()


def world(name: str) -> World:
    """The changed world of a scenario."""
    found = SCENARIOS[name].world
    assert found is not None
    return found


def made(home: Home, new: Rows, diagnosis: Diagnosis) -> Challenger:
    """The challenger that the loop makes."""
    order = RetrainOrder(
        1, Action.RETRAIN, diagnosis, int(new.times.min()), snapshot.take(home.feed, home.windows, NOW)
    )
    return make(home.settings, home.decisions, home.artefacts, order, load(home, 1))


# --------------------------------------------------------------------------- recovery


def recovery(seeds: int, sizes: Sequence[int], history: int) -> list[Row]:
    """After the recession: champion, oracle and the challengers of both ways."""
    recession, table = world("recession"), []
    for seed in range(1, seeds + 1):
        with first_model(seed, history) as home:
            test = customers(home, recession, LATER, TEST_ROWS, seed + 1000)
            low, high = reached(load(home, 1).model.probabilities, test), oracle(home, recession, test, seed)
            for n in sizes:
                new = customers(home, recession, AFTER, n, seed + 3000)
                for how in WAYS:
                    with after(home, new, how) as copy:
                        row = challenge(copy, new, test)
                    row |= {"seed": seed, "rows": n, "how": how, "champion": low, "oracle": high}
                    for name in FITS:
                        row[f"recovered {name}"] = (row[name] - low) / (high - low)
                    table.append(row)
                    print(_line(row), file=sys.stderr, flush=True)
    return table


def reached(score: Any, test: Rows) -> float:
    """AUC on customers whom nobody has learned from."""
    return auc(labels(test), score(test.features))


def oracle(home: Home, changed: World, test: Rows, seed: int) -> float:
    """The better of two learners on as much of the new world as anyone could want."""
    rows = customers(home, changed, LATER, ORACLE_ROWS, seed + 2000)
    return max(reached(fit_once(rows, home.settings, name), test) for name in ("lightgbm", "scorecard"))


def challenge(home: Home, new: Rows, test: Rows) -> Row:
    """What the loop makes of the new rows, and what the gate says of it."""
    started, champion = time.perf_counter(), load(home, 1)
    work = made(home, new, Diagnosis.CONCEPT_DRIFT)
    candidate, trained_on = work.candidate, work.trained_on
    version = register(
        home.artefacts, home.ledger, candidate, trained_on.rows, origin=work.recipe.origin, parent=1, now=NOW
    )
    model = load_model(home.artefact(version), version)
    plan, scores = work.plan, work.scores
    evaluation = evaluate(
        home.settings, champion, model, work.rows, plan.tested, scores, work.frame, work.recipe.origin, plan.blocks
    )
    report = judge(
        evaluation,
        home.settings.gate,
        context(home.settings, home.ledger, home.windows, champion, version, candidate.manifest, NOW),
    )
    learner, since = candidate.learner, int(new.times.min())
    return {
        "verdict": report.verdict.value,
        "page": sentences(report),
        "learner": learner,
        "weighting": work.choice.weighting.name,
        "seconds": round(time.perf_counter() - started, 1),
        "challenger": reached(model.probabilities, test),
        "pooled": reached(weighted(work.rows, home, learner, Weighting("uniform"), since), test),
        "new alone": reached(weighted(work.rows, home, learner, Weighting("new", credibility=0.0), since), test),
    }


def weighted(
    rows: Pool, home: Home, learner: str, weighting: Weighting, since: int, ratios: Floats | None = None
) -> Any:
    """One fit on everything with a given weighting."""
    index = np.arange(len(rows), dtype=np.int64)
    used = training_set(rows, index, home.settings.retrain, weighting=weighting, since=since, ratios=ratios)
    return fit_once(used.rows, home.settings, learner, used.weights)


# --------------------------------------------------------------------------- weights


def weights(seeds: int, history: int) -> list[Row]:
    """Under covariate shift: the champion's learner with density ratios, without, and as validation chooses."""
    table = []
    for seed in range(1, seeds + 1):
        with first_model(seed, history) as home:
            for name in SHIFTS:
                new = customers(home, world(name), AFTER, SHIFTED, seed + 3000)
                test = customers(home, world(name), LATER, TEST_ROWS, seed + 1000)
                with after(home, new) as copy:
                    row = {"scenario": name, "seed": seed} | shifted(copy, new, test)
                table.append(row)
                print(row, file=sys.stderr, flush=True)
    return table


def shifted(home: Home, new: Rows, test: Rows) -> Row:
    """AUC by weighting on the changed mix."""
    work = made(home, new, Diagnosis.COVARIATE_SHIFT)
    rows, since = work.rows, int(new.times.min())
    inputs = list(home.schema.model_columns)
    old, ratios = rows.sources < 0, np.ones(len(rows))
    found = density_ratio_weights(rows.rows.features[old][:, inputs], rows.rows.features[~old][:, inputs])
    ratios[old] = found.weights
    learner = work.candidate.learner
    return {
        "none": reached(weighted(rows, home, learner, Weighting("uniform"), since), test),
        "density": reached(weighted(rows, home, learner, Weighting("density", density=True), since, ratios), test),
        "validated": reached(work.candidate.predict, test),
        "chosen": work.choice.weighting.name,
        "effective_old": round(found.effective_m),
    }


# --------------------------------------------------------------------------- what must be reached


def goals(found: dict[str, Any]) -> list[Goal]:
    """One for each thing that must be reached, as far as it was measured."""
    reached_ = []
    for n, bound in NEEDED.items():
        rows = [r for r in found.get("recovery", ()) if r["rows"] == n and r["how"] == WAYS[0]]
        if rows:
            mean = float(np.mean([r["recovered challenger"] for r in rows]))
            reached_.append(Goal(f"share of the oracle's AUC recovered with {n:,} rows", mean, bound, least=True))
    if "weights" in found:
        low, high = extremes(found["weights"], "density")
        fine = (low >= 0.0 and high >= 0.0) or RetrainSettings().weighting != "density_ratio"
        what = "density ratios no worse than none in any shift and better in one, or not the default (1: yes)"
        reached_.append(Goal(what, float(fine), 1.0, least=True))
        what = "default weights − none, AUC in the worst shift, + 2 standard errors"
        reached_.append(Goal(what, extremes(found["weights"], "validated")[0], 0.0, least=True))
    if "million" in found:
        million = found["million"]
        what = f"seconds from a confirmed drift to the new champion answering, {million['rows']:,} rows"
        reached_.append(Goal(what, million["answering"], 90.0))
    return reached_


def extremes(table: Sequence[Row], kind: str) -> tuple[float, float]:
    """The worst shift's gain with two standard errors added, and the best one's with two taken off."""
    by = [gain(table, name, kind) for name in SHIFTS]
    return min(mean + 2.0 * error for mean, error in by), max(mean - 2.0 * error for mean, error in by)


def gain(table: Sequence[Row], scenario: str, kind: str) -> tuple[float, float]:
    """Mean over the seeds of the gain in AUC over no weights, and its standard error."""
    gains = np.array([row[kind] - row["none"] for row in table if row["scenario"] == scenario])
    return float(gains.mean()), float(gains.std(ddof=1) / gains.size**0.5) if gains.size > 1 else 0.0


# --------------------------------------------------------------------------- printing


def _line(row: Row) -> str:
    return (
        f"{row['rows']:>6} {row['how']:<12} {row['seed']:>4}  {row['champion']:.4f}  {row['challenger']:.4f}  "
        f"{row['oracle']:.4f}  {row['recovered challenger']:>6.0%}  {row['recovered pooled']:>6.0%}  "
        f"{row['recovered new alone']:>6.0%}  {row['weighting']:<12} {row['learner']:<22} {row['verdict']:<22} "
        f"{row['seconds']:>5.1f} s"
    )


def _report(found: dict[str, Any]) -> Iterator[str]:
    if "recovery" in found:
        yield "  rows tested as    seed champion  new     oracle  recovered  pooled  alone  weighting, learner, verdict"
        yield from map(_line, found["recovery"])
        for n in NEEDED:
            for how in WAYS:
                rows = [r for r in found["recovery"] if (r["rows"], r["how"]) == (n, how)]
                if rows:
                    means = {k: np.mean([r[f"recovered {k}"] for r in rows]) for k in FITS}
                    yield f"{n:>6} {how:<12} mean of {len(rows)}: " + ", ".join(
                        f"{k} {m:.1%}" for k, m in means.items()
                    )
        yield from ("", *found["recovery"][0]["page"], "")
    if "weights" in found:
        yield "scenario             none    density (gain ± error)     validated (gain ± error)   chosen"
        for name in SHIFTS:
            rows = [r for r in found["weights"] if r["scenario"] == name]
            mean = {kind: float(np.mean([r[kind] for r in rows])) for kind in ("none", "density", "validated")}
            (d, e), (v, w) = gain(rows, name, "density"), gain(rows, name, "validated")
            chosen = sum(r["chosen"] == "density_ratio" for r in rows)
            yield (
                f"{name:<20} {mean['none']:.4f}  {mean['density']:.4f} ({d:+.4f} ± {e:.4f})  "
                f"{mean['validated']:.4f} ({v:+.4f} ± {w:.4f})  density ratio in {chosen} of {len(rows)}"
            )
    if "million" in found:
        yield from (f"{key:<12} {value}" for key, value in found["million"].items())


def main() -> None:
    """Print the tables and the goals, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, small history, 100,000 rows for a million")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--seeds", type=int, help="worlds per cell (default 5, quick 1)")
    parser.add_argument("--only", default=",".join(PARTS), help="some of the parts, with commas between")
    parser.add_argument("--folder", type=Path, help="where the million rows are kept meanwhile")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    parts = given.only.split(",")
    seeds, history = given.seeds or (1 if given.quick else 5), 10_000 if given.quick else 30_000
    found: dict[str, Any] = {}
    if "recovery" in parts:
        found["recovery"] = recovery(seeds, (5_000,) if given.quick else tuple(NEEDED), history)
    if "weights" in parts:
        found["weights"] = weights(seeds, history)
    if "million" in parts:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            found["million"] = turnover(Path(name), 100_000 if given.quick else MILLION)
    if given.json:
        print(json.dumps({**found, "goals": [goal.to_json() for goal in goals(found)]}))
        return
    print("\n".join((*_report(found), *lines(goals(found)))))


if __name__ == "__main__":
    main()
