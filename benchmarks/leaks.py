"""How often an honest column is called a leak, and how often a planted one is not.

    nice -n 19 python -m benchmarks.leaks [--quick] [--columns N] [--seed K]

Each column is drawn with an outcome of its own: 300 to 20,000 rows, of which 0.5% to 40% default. Honest ones know the
risk before the outcome: scores that rank with an AUC of up to 0.86, counts, categories, columns that are mostly zero,
gaps that say something. Planted ones were written after it: amounts recovered, states, months on book, scores that
were renewed, flags that are set for a part of the defaults. Their names say nothing.
"""

import argparse
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from scipy.stats import norm

from riskloop.core.stats import auc
from riskloop.core.types import Bools, Floats
from riskloop.data.leaks import bins_of, evidence_of_leak

Draw = Callable[[np.random.Generator, Bools], Any]
MOST_HONEST: Final = 0.86  # AUC of one column; the best bureau scores have less


def _score(rng: np.random.Generator, bad: Bools) -> Floats:
    """Normal with the same spread in both classes: AUC = Φ(distance / √2)."""
    distance = np.sqrt(2.0) * norm.ppf(rng.uniform(0.5, MOST_HONEST))
    return np.asarray(rng.normal(size=len(bad)) + distance * bad)


def _points(rng: np.random.Generator, bad: Bools) -> Floats:
    return np.asarray(np.round(650 - 60 * _score(rng, bad)))


def _amount(rng: np.random.Generator, bad: Bools) -> Floats:
    return np.asarray(np.exp(9 - 0.6 * _score(rng, bad)).round(2))


def _count(rng: np.random.Generator, bad: Bools) -> Floats:
    mean, times = rng.uniform(0.1, 2.0), rng.uniform(1, 4)
    counts = rng.poisson(mean * np.where(bad, times, 1.0)).astype(np.float64)
    return np.asarray(counts) if auc(bad, counts) <= MOST_HONEST else _count(rng, bad)


def _mostly_zero(rng: np.random.Generator, bad: Bools) -> Floats:
    there = rng.random(len(bad)) < rng.uniform(0.02, 0.3) * np.where(bad, rng.uniform(1, 3), 1.0)
    return np.asarray(np.where(there, rng.lognormal(6, 1, len(bad)).round(), 0.0))


def _level(rng: np.random.Generator, bad: Bools) -> Any:
    weights = rng.dirichlet(np.full(6, 2.0)), rng.dirichlet(np.full(6, 2.0))
    mixed = 0.7 * weights[0] + 0.3 * weights[1]
    levels = np.where(bad, rng.choice(6, len(bad), p=mixed), rng.choice(6, len(bad), p=weights[0]))
    return np.array([f"L{level}" for level in levels.tolist()], dtype=object)


def _with_gaps(rng: np.random.Generator, bad: Bools) -> Floats:
    gone = rng.random(len(bad)) < rng.uniform(0.1, 0.4) * np.where(bad, rng.uniform(0.5, 2), 1.0)
    return np.asarray(np.where(gone, np.nan, _score(rng, bad)))


HONEST: Final[dict[str, Draw]] = {
    "score": _score, "points": _points, "amount": _amount, "count": _count, "mostly zero": _mostly_zero,
    "level": _level, "with gaps": _with_gaps,
}  # fmt: skip


def _money(rng: np.random.Generator, bad: Bools) -> Floats:
    return np.asarray(rng.lognormal(6, 1, len(bad)).round(2))


def _long(rng: np.random.Generator, bad: Bools) -> Any:
    return rng.integers(20, 36, len(bad))


def _reason(rng: np.random.Generator, bad: Bools) -> Any:
    reasons = rng.choice(["job", "death"], len(bad)).astype(object)
    reasons[~bad] = None
    return reasons


def _part(rng: np.random.Generator, bad: Bools) -> Bools:
    """At least four defaults in ten."""
    return np.asarray(bad & (rng.random(len(bad)) < rng.uniform(0.4, 1.0)))


PLANTED: Final[dict[str, Draw]] = {
    "an amount of some defaults": lambda rng, bad: np.where(_part(rng, bad), _money(rng, bad), 0.0),
    "a value of some defaults": lambda rng, bad: np.where(_part(rng, bad), rng.normal(size=len(bad)), np.nan),
    "a state": lambda rng, bad: np.where(bad, "K7", rng.choice(["K1", "K2"], len(bad))).astype(object),
    "a reason of defaults": _reason,
    "months on book": lambda rng, bad: np.where(bad, rng.integers(1, 14, len(bad)), _long(rng, bad)) * 1.0,
    "a renewed score": lambda rng, bad: np.where(
        bad & (rng.random(len(bad)) < 0.6), rng.integers(300, 480, len(bad)), rng.integers(481, 850, len(bad))
    ) * 1.0,
    "the outcome with slips": lambda rng, bad: np.where(rng.random(len(bad)) < 0.02, ~bad, bad) * 1.0,
    "a payment of the others": lambda rng, bad: np.where(bad, 0.0, _money(rng, bad)),
}  # fmt: skip


def outcomes(rng: np.random.Generator) -> Bools:
    """Who defaulted: at least 40 customers, so that something can be said."""
    rows = int(np.exp(rng.uniform(np.log(300), np.log(20_000))))
    rate = max(np.exp(rng.uniform(np.log(0.005), np.log(0.4))), 40 / rows)
    return np.asarray(rng.permutation(rows) < round(rate * rows))


def called(draws: dict[str, Draw], columns: int, seed: int) -> dict[str, tuple[int, int]]:
    """For each kind of column, how many were drawn, and how many of them were called leaks."""
    found = dict.fromkeys(draws, (0, 0))
    for number in range(columns):
        kind = list(draws)[number % len(draws)]
        rng = np.random.default_rng([seed, number])
        bad = outcomes(rng)
        values = draws[kind](rng, bad)
        drawn, told = found[kind]
        found[kind] = (drawn + 1, told + (evidence_of_leak("x17", values, bad, bins_of(values)) is not None))
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="140 columns of each sort")
    parser.add_argument("--columns", type=int, default=1400, help="of each sort")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    columns = 140 if given.quick else given.columns
    for sort, draws in (("honest", HONEST), ("planted", PLANTED)):
        table = called(draws, columns, given.seed)
        drawn, told = (sum(part[i] for part in table.values()) for i in (0, 1))
        print(f"{sort}: {told:,} of {drawn:,} called leaks")
        for kind, (all_, some) in table.items():
            print(f"  {kind:<28} {some:>5} of {all_}")


if __name__ == "__main__":
    main()
