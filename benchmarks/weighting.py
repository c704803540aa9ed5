"""How much should the first outcomes of a changed world weigh against the history? AUC on the new world and on the old.

    python -m benchmarks.weighting [--quick] [--json] [--data UCI.csv] [--seeds 1,2,3,4]

The history and the first customers of a recession are learned from, the new ones with different shares of all weight:
fixed ones, the best of these on the latest 30% of the new, and credibility's n / (n + K), n their defaults. A blend is
half such a refit, half the old world's model corrected by the new rows. The old world counts, because a change may end.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks._portfolios import labels
from riskloop.backtest.oracle import together
from riskloop.backtest.request import Request
from riskloop.backtest.worlds import embedded_world, frame_world, rows_of
from riskloop.core.settings import Settings
from riskloop.core.stats import auc
from riskloop.core.types import Floats, Json, Rows
from riskloop.simulation import true_auc
from riskloop.simulation.uci import load_uci
from riskloop.train.fit import fit_once

SIZES: Final = (500, 1000, 2000, 4000, 7000)
FIXED: Final[Mapping[str, float]] = {"all alike": 0.0, "50%": 0.5, "80%": 0.8, "new alone": 1.0}
VALIDATED: Final = "best of these"
HALVES: Final = (100, 200, 400)  # defaults that earn half of all weight
BLEND: Final = "blend"  # with the middle one of these
LEARNER: Final = "lightgbm"
LATEST: Final = 0.3
OTHERS: Final = 1000  # added to the seed: customers whom nobody has learned from

Score = Callable[[Floats], Floats]


def table(seeds: Sequence[int], sizes: Sequence[int], data: str | None) -> list[Json]:
    """One row a seed, size and way to weigh."""
    found = []
    for seed in seeds:
        world = _real(seed, data) if data else _embedded(seed)
        for n in sizes:
            if n < len(world.new):
                found += [{"seed": seed, "rows": n, **row} for row in world.tried(n)]
                print(f"seed {seed}, {n} rows", file=sys.stderr, flush=True)
    return found


class Changed:
    """A past, customers of the new world in their order, and how well a score does in either world."""

    def __init__(self, settings: Settings, past: Rows, new: Rows, judge: Callable[[Score, int], tuple[float, float]]):
        self.settings, self.past, self.new, self.judge = settings, past, new, judge

    def tried(self, n: int) -> Iterator[Json]:
        """Every way to weigh the first ``n`` new customers."""
        first = self.new.take(np.arange(n))
        defaults = float(labels(first).sum())
        shares = FIXED | {f"n / (n + {half})": defaults / (defaults + half) for half in HALVES}
        reached = {name: self.judge(self._fit(first, share), n) for name, share in shares.items()}
        reached[VALIDATED] = reached[self._chosen(first)]
        reached[BLEND] = self.judge(self._fit(first, shares[f"n / (n + {HALVES[1]})"], blended=True), n)
        for name, (new, old) in reached.items():
            yield {"way": name, "new": new, "old": old}

    def _chosen(self, first: Rows) -> str:
        """The fixed share that ranks the latest new customers best."""
        cut = round((1.0 - LATEST) * len(first))
        earlier, latest = first.take(np.arange(cut)), first.take(np.arange(cut, len(first)))
        scores = {name: self._fit(earlier, share)(latest.features) for name, share in FIXED.items()}
        return max(scores, key=lambda name: auc(labels(latest), scores[name]))

    def _fit(self, first: Rows, share: float, *, blended: bool = False) -> Score:
        if share == 1.0:
            return fit_once(first, self.settings, LEARNER)
        rows = together([self.past, first])
        if share == 0.0:
            return fit_once(rows, self.settings, LEARNER)
        new = np.arange(len(rows)) >= len(self.past)
        weights = np.where(new, share / new.sum(), (1.0 - share) / (~new).sum())
        return fit_once(rows, self.settings, LEARNER, weights / weights.mean(), new if blended else None)


def _embedded(seed: int) -> Changed:
    """True AUCs on other customers of both worlds."""
    history, game = embedded_world(Request(scenario="recession", months=12, per_month=1000, seed=seed))
    schema = history.settings.row_schema
    months = list(game.play(seed=seed + OTHERS, per_month=3000))
    sides = []
    for share in (1.0, 0.0):
        chosen = [month for month in months if month.share == share][:3]
        truth = np.concatenate([np.asarray(month.true_pd) for month in chosen])
        sides.append((together([rows_of(month, schema) for month in chosen]).features, truth))

    def judge(score: Score, _: int) -> tuple[float, float]:
        new, old = (true_auc(score(features), truth) for features, truth in sides)
        return new, old

    changed = [period.rows for period in history.periods if period.share > 0]
    return Changed(history.settings, history.past, together(changed), judge)


def _real(seed: int, data: str) -> Changed:
    """Realised AUCs on the rows of the new world that were not learned from, and on the unchanged months."""
    frame = load_uci(data).drop(columns="ID")
    history, _ = frame_world(Request(frame, target="default", scenario="recession", months=12, seed=seed))
    new = together([period.rows for period in history.periods if period.share > 0])
    old = together([period.rows for period in history.periods if period.share == 0])

    def judge(score: Score, n: int) -> tuple[float, float]:
        left = new.take(np.arange(n, len(new)))
        return auc(labels(left), score(left.features)), auc(labels(old), score(old.features))

    return Changed(history.settings, history.past, new, judge)


def lines(found: Sequence[Json]) -> Iterator[str]:
    """Means over the seeds."""
    ways = list(dict.fromkeys(row["way"] for row in found))
    yield f"{'new rows':<9}" + "".join(f"{way:>17}" for way in ways)
    for n in sorted({row["rows"] for row in found}):
        means = []
        for way in ways:
            rows: list[Any] = [row for row in found if (row["rows"], row["way"]) == (n, way)]
            means.append(f"{np.mean([r['new'] for r in rows]):.4f} / {np.mean([r['old'] for r in rows]):.4f}")
        yield f"{n:<9}" + "".join(f"{mean:>17}" for mean in means)


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, two sizes")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--data", help="the UCI credit-card csv, instead of the embedded portfolio")
    parser.add_argument("--seeds", default="1,2,3,4", help="with commas (1 to 101 may choose defaults)")
    given = parser.parse_args()
    seeds = [1] if given.quick else [int(seed) for seed in given.seeds.split(",")]
    found = table(seeds, SIZES[1:3] if given.quick else SIZES, given.data)
    print(
        json.dumps({"rows": found}) if given.json else "\n".join(("AUC on the new world / on the old", *lines(found)))
    )


if __name__ == "__main__":
    main()
