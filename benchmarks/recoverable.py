"""How soon anybody could know of a recession among the approved: bounds by the true PDs of both worlds.

    python -m benchmarks.recoverable [--runs 200] [--rates 0.22,0.03,0.005] [--quick]

The customers are those of `benchmarks.recovered`: 2,000 a month, of whom the old world's true PDs approve 80%. Nobody
can test better than by the likelihood ratio of the true PDs (Neyman & Pearson 1933), which knows the new world
beforehand and learns nothing. "Level known" recalibrates the old world to the new level first, so that only the ranking
is left to tell by. "In ten directions" does not know which way the features turn, and knows the old world from twelve
months: a χ² test of as much information (Wald 1943), which takes the whole turn to lie in ten directions, and no panel.
What riskloop's own directions show, in panels too, is measured by `benchmarks.beside`. "Gate" is
riskloop's first try, with the new world's true PDs as the challenger: no fit on few outcomes ranks better. Months are
those of decisions whose outcomes are known. docs/monitoring.md shows the table.
"""

import argparse
import math
from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import chi2, ncx2

from riskloop.core import stats
from riskloop.core.settings import DriftSettings, GateSettings
from riskloop.core.types import Floats
from riskloop.gate.budget import information
from riskloop.simulation import SCENARIOS, true_auc
from riskloop.simulation.conditions import APPROVED, shift_to
from riskloop.simulation.embedded import World, month_starts, simulate_with_truth

PER_MONTH: Final = 2_000
MONTHS: Final = 12
HISTORY: Final = 12  # months
DIRECTIONS: Final = 10
EVIDENCE: Final = 50.0  # likelihood ratio that a case of the loop asks for
POWER: Final = 0.8


class Book(NamedTuple):
    """One month's approved customers: true PDs (n,) in the old world, in the new one, and in the old at its level."""

    old: Floats
    new: Floats
    levelled: Floats


def book(base_rate: float, seed: int) -> tuple[list[Book], float, float]:
    """The months, and the AUCs of the old world's PDs on all applicants of the new world, and of the new one's own."""
    recession = SCENARIOS["recession"].world
    assert recession is not None
    shift = shift_to(base_rate)
    months = month_starts(date(2021, 1, 1), MONTHS)
    worlds = [World(base=shift), World(**{**vars_of(recession), "base": recession.base + shift})]
    # Both worlds have the same customers: what differs is how their data map to default.
    old, new = (simulate_with_truth(months, PER_MONTH, seed, world)[1] for world in worlds)
    good = old < np.quantile(old, APPROVED)
    offset = brentq(lambda c: float(np.mean(expit(logit(old[good]) + c)) - new[good].mean()), -10.0, 10.0)
    levelled = expit(logit(old) + offset)
    parts = [np.flatnonzero(part) + PER_MONTH * k for k, part in enumerate(good.reshape(MONTHS, PER_MONTH))]
    return [Book(old[p], new[p], levelled[p]) for p in parts], true_auc(old, new), true_auc(new, new)


def vars_of(world: World) -> dict[str, float]:
    """The world's knobs."""
    return {name: getattr(world, name) for name in World.__dataclass_fields__}


def ratios(books: Sequence[Book], outcomes: Sequence[Floats], reference: str) -> Floats:
    """Log likelihood ratio of the new world after each month, shape (months,)."""
    each = []
    for part, y in zip(books, outcomes, strict=True):
        p0 = getattr(part, reference)
        each.append(float(np.sum(y * np.log(part.new / p0) + (1.0 - y) * np.log((1.0 - part.new) / (1.0 - p0)))))
    return np.cumsum(each)


def gate_passes(books: Sequence[Book], outcomes: Sequence[Floats], settings: GateSettings) -> list[bool]:
    """Whether a first try after each month would promote the new world's true PDs over the old one's."""
    found = []
    for month in range(1, len(books) + 1):
        y = np.concatenate(outcomes[:month])
        if y.sum() < settings.min_defaults:
            found.append(False)
            continue
        old, new = (np.concatenate([getattr(part, name) for part in books[:month]]) for name in ("old", "new"))
        test = stats.paired_delong(y, old, new)
        p = stats.normal_tail((test.difference - settings.least_gain) / test.std_error)
        found.append(p <= settings.alpha * information(test.std_error, settings.detect - settings.least_gain, settings))
    return found


def first(found: Sequence[bool]) -> float:
    """The first month that says so; infinity where none does."""
    return next((month + 1.0 for month, yes in enumerate(found) if yes), math.inf)


def told(months: Sequence[float]) -> str:
    """Median, and the month by which four of five runs have it."""
    middle, most = np.quantile(months, (0.5, POWER), method="inverted_cdf")
    return " / ".join(month(value) for value in (middle, most))


def line(base_rate: float, runs: int, seed: int) -> str:
    """One row of the table."""
    books, before, best = book(base_rate, seed)
    rng = np.random.default_rng(seed)
    settings, alpha = GateSettings(), DriftSettings().alpha
    both, ranking, gate, seen = [], [], [], []
    old_area = float(np.mean([true_auc(part.old, part.old) for part in books]))
    new_area = float(np.mean([true_auc(part.old, part.new) for part in books]))
    for _ in range(runs):
        outcomes = [(rng.random(part.new.size) < part.new).astype(np.float64) for part in books]
        both.append(first(list(ratios(books, outcomes, "old") >= math.log(EVIDENCE))))
        ranking.append(first(list(ratios(books, outcomes, "levelled") >= math.log(EVIDENCE))))
        gate.append(first(gate_passes(books, outcomes, settings)))
        seen.append(first(areas_fallen(books, outcomes, old_area, alpha)))
    defaults = np.mean([part.new.sum() for part in books])
    cells = (
        f"{base_rate:.1%}",
        f"{defaults:.0f}",
        f"{old_area:.3f}, {new_area:.3f}",
        f"{before:.3f}, {best:.3f}",
        told(both),
        told(ranking),
        month(unknown_directions(books)),
        told(seen),
        told(gate),
    )
    return f"| {' | '.join(cells)} |"


def month(value: float) -> str:
    """A number of months, or that there is none."""
    return f"{value:.0f}" if np.isfinite(value) else f"over {MONTHS}"


def unknown_directions(books: Sequence[Book]) -> float:
    """The first month in which a χ² test has its power; twice the Kullback–Leibler divergence is its noncentrality."""
    each = np.mean([np.sum(divergence(part.new, part.levelled)) for part in books])
    bound = chi2.ppf(1.0 - 1.0 / EVIDENCE, DIRECTIONS)
    powers = [ncx2.sf(bound, DIRECTIONS, 2.0 * each * m / (1.0 + m / HISTORY)) for m in range(1, MONTHS + 1)]
    return first([power >= POWER for power in powers])


def divergence(new: Floats, old: Floats) -> Floats:
    """Kullback–Leibler divergence of a customer's outcome, (n,), in nats."""
    apart: Floats = new * np.log(new / old) + (1.0 - new) * np.log((1.0 - new) / (1.0 - old))
    return apart


def areas_fallen(books: Sequence[Book], outcomes: Sequence[Floats], expected: float, alpha: float) -> list[bool]:
    """Whether the AUC of the old PDs on all months so far is below the expected one, one-sided."""
    found = []
    for month in range(1, len(books) + 1):
        y = np.concatenate(outcomes[:month])
        old = np.concatenate([part.old for part in books[:month]])
        if y.sum() < 2:
            found.append(False)
            continue
        z = (expected - stats.auc(y, old)) / math.sqrt(stats.delong_variance(y, old))
        found.append(stats.normal_tail(z) <= alpha)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="five runs")
    parser.add_argument("--rates", default="0.22,0.03,0.005")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    columns = (
        "defaults of the history",
        "a month, approved, new world",
        "AUC of the old PDs among the approved: old, new world",
        "AUC in the new world, all applicants: old, new PDs",
        "likelihood ratio",
        "level known",
        "in ten directions",
        "by the AUC alone",
        "gate",
    )
    print(f"| {' | '.join(columns)} |", f"|{'---:|' * len(columns)}", sep="\n")
    for rate in given.rates.split(","):
        print(line(float(rate), 5 if given.quick else given.runs, given.seed), flush=True)


if __name__ == "__main__":
    main()
