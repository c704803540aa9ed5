"""How often does the gate promote? Simulated challengers whose true difference in AUC is known.

    python -m benchmarks.gate [--quick] [--json] [--runs N] [--seed S]

Scores are binormal with an AUC of 0.77 for the champion and a default rate of 22%; the PDs are the exact Bayes
probabilities, so that log loss and calibration behave as with real models. Champion and challenger correlate within
each class by 0.95, as a boosted model does with its refit on mostly the same customers of the UCI data (measured 0.93
to 0.96), or by 0.90, as with a refit on other customers (0.90 to 0.94). The challengers of a run of weekly tries share
half of what sets them apart from the champion; the windows they are tested on overlap.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks._goals import Goal, lines
from riskloop.core import stats
from riskloop.core.settings import GateSettings
from riskloop.core.types import Floats, Ints, Try, Verdict
from riskloop.gate import Context, Evaluation, judge, tried

GAINS: Final = (-0.005, 0.0, 0.002, 0.005, 0.01)
DEFAULTS: Final = (100, 300, 1500, 5000)
CORRELATIONS: Final = (0.95, 0.90)
TIMES: Final = (2, 3, 6, 12)  # how often every customer comes
LASTING: Final = 0.9  # share of the variance of a score that stays when a customer comes again
FRESH: Final = (0.05, 0.25, 1.0)  # share of the tested window that is new in every weekly try
CHAMPION_AUC: Final = 0.77
DEFAULT_RATE: Final = 0.22
TRIES: Final = 12
NO_BETTER: Final = (-0.005, 0.0)
RESAMPLES: Final = 200
START: Final = datetime(2025, 1, 6, tzinfo=UTC)
RULES: Final = ("gate", "by row", "gate without budget", "AUC higher", "AUC + 0.005", "bootstrap")

Row = dict[str, Any]
Generator = np.random.Generator


class World(NamedTuple):
    """Rows in time order with everything that challengers' scores are made of."""

    labels: Floats
    champion: Floats  # its noise, standard normal within each class
    shared: Floats  # what all challengers of a run see differently


def world(defaults: int, fresh: float, tries: int, rng: Generator) -> tuple[World, int, int]:
    """The world, the number of rows of one window, and the step from one window to the next."""
    size = round(defaults / DEFAULT_RATE)
    step = max(1, round(fresh * size))
    n = size + step * (tries - 1)
    labels = (rng.random(n) < DEFAULT_RATE).astype(np.float64)
    return World(labels, rng.standard_normal(n), rng.standard_normal(n)), size, step


def probabilities(labels: Floats, noise: Floats, auc: float) -> Floats:
    """Bayes PDs of a binormal score with this AUC: the log-odds are logit(π) + d·s − d²/2."""
    distance = NormalDist().inv_cdf(auc) * 2**0.5
    log_odds = np.log(DEFAULT_RATE / (1 - DEFAULT_RATE)) + distance * (distance * labels + noise) - distance**2 / 2
    pd: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return pd


def challenger_noise(part: World, correlation: float, rng: Generator) -> Floats:
    """Standard normal noise with this correlation to the champion's."""
    own = rng.standard_normal(part.labels.size)
    different = (part.shared + own) / 2**0.5
    noise: Floats = correlation * part.champion + (1.0 - correlation**2) ** 0.5 * different
    return noise


def bootstrap_better(labels: Floats, champion: Floats, challenger: Floats, rng: Generator) -> bool:
    """Is the challenger's AUC higher in 95% of the resampled data sets?"""
    n = labels.size
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=RESAMPLES).astype(np.float64)
    better = _weighted_auc(labels, challenger, counts) > _weighted_auc(labels, champion, counts)
    return bool(np.mean(better) >= 0.95)


def _weighted_auc(labels: Floats, scores: Floats, counts: Floats) -> Floats:
    order = np.argsort(scores)
    defaults = counts[:, order] * labels[order]
    others = counts[:, order] * (1.0 - labels[order])
    wins = np.sum(defaults * (np.cumsum(others, axis=1) - others), axis=1)
    auc: Floats = wins / (defaults.sum(axis=1) * others.sum(axis=1))
    return auc


def again(part: World, noise: Floats, times: int, rng: Generator) -> tuple[World, Floats, Ints | None]:
    """Every customer of ``part`` comes so many times; scores are as good as before, and the customers are told."""
    if times == 1:
        return part, noise, None
    who = np.tile(np.arange(part.labels.size), times)
    kept, new = LASTING**0.5, (1.0 - LASTING) ** 0.5
    both = rng.standard_normal(who.size)  # what changes about a customer is seen by both models
    return (
        World(part.labels[who], kept * part.champion[who] + new * both, part.shared[who]),
        kept * noise[who] + new * (0.95 * both + (1 - 0.95**2) ** 0.5 * rng.standard_normal(who.size)),
        who,
    )


def one_run(
    defaults: int,
    gain: float,
    correlation: float,
    fresh: float,
    tries: int,
    rng: Generator,
    *,
    bootstrap: bool,
    times: int = 1,
) -> dict[str, bool]:
    """Which rules promote at least once in a run of ``tries``?"""
    settings = GateSettings()
    whole, size, step = world(defaults, fresh, tries, rng)
    promoted = dict.fromkeys(RULES, False)
    spent: list[Try] = []
    for number in range(tries):
        span = slice(number * step, number * step + size)
        part = World(whole.labels[span], whole.champion[span], whole.shared[span])
        part, noise, customers = again(part, challenger_noise(part, correlation, rng), times, rng)
        before = probabilities(part.labels, part.champion, CHAMPION_AUC)
        after = probabilities(part.labels, noise, CHAMPION_AUC + gain)
        now = START + timedelta(weeks=number)
        if not promoted["gate"]:
            evaluation = Evaluation(
                part.labels, before, after, 0.2, 0.2, latency_ms=1.0, reasons=True, customers=customers
            )
            if customers is not None:
                blind = judge(replace(evaluation, customers=None), settings, _context(now, ()))
                promoted["by row"] |= blind.verdict is Verdict.PROMOTE
            report = judge(evaluation, settings, _context(now, tuple(spent)))
            promoted["gate"] = passes = report.verdict is Verdict.PROMOTE
            # A budget only lowers the level: without one, a try can pass only where the full level would let it.
            if (
                not passes
                and spent
                and len(report.checks) > 1
                and (report.checks[1].statistic or 0.0) <= settings.alpha
            ):
                passes = judge(evaluation, settings, _context(now, ())).verdict is Verdict.PROMOTE
            promoted["gate without budget"] |= passes
            spent += [t for t in [tried(report, 1, now)] if t is not None]
        difference = stats.auc(part.labels, after) - stats.auc(part.labels, before)
        promoted["AUC higher"] |= difference > 0.0
        promoted["AUC + 0.005"] |= difference > 0.005
        if bootstrap and not promoted["bootstrap"]:
            promoted["bootstrap"] = bootstrap_better(part.labels, before, after, rng)
    return promoted


def _context(now: datetime, tries: tuple[Try, ...]) -> Context:
    return Context(now, 1, 2, "lightgbm", ("lightgbm",), ("x",), ("x",), tries=tries)


def cells(quick: bool) -> Iterator[tuple[int, float, float, float, int, int]]:
    """(defaults, gain, correlation, fresh, tries, times) of every cell."""
    defaults = (100, 1500) if quick else DEFAULTS
    correlations = CORRELATIONS[:1] if quick else CORRELATIONS
    for count, gain, correlation in product(defaults, GAINS, correlations):
        yield count, gain, correlation, 1.0, 1, 1
    for count, gain, correlation, fresh in product(
        (1500,) if quick else (300, 1500), (0.0, 0.01), correlations, FRESH[1:2] if quick else FRESH
    ):
        yield count, gain, correlation, fresh, TRIES, 1
    for times, count, gain in product(TIMES[-1:] if quick else TIMES, (300, 1500), (0.0, 0.01)):
        yield count, gain, CORRELATIONS[0], 1.0, 1, times
    for times in TIMES[-1:] if quick else TIMES[1::2]:
        yield 300, 0.0, CORRELATIONS[0], FRESH[1], TRIES, times


def measure(quick: bool, runs: int, seed: int) -> list[Row]:
    """The share of runs in which each rule promotes, one row per cell."""
    table: list[Row] = []
    for number, (defaults, gain, correlation, fresh, tries, times) in enumerate(cells(quick)):
        rng = np.random.default_rng([seed, number])
        repeats = max(min(runs, 200), min(runs, runs * 1500 // (defaults * tries * times)))
        resampled = min(
            repeats, 300, 60_000 // (defaults * tries * times)
        )  # a hundred times slower than all else together
        found = [
            one_run(defaults, gain, correlation, fresh, tries, rng, bootstrap=i < resampled, times=times)
            for i in range(repeats)
        ]
        rates: Row = {rule: float(np.mean([run[rule] for run in found])) for rule in RULES}
        rates["bootstrap"] = float(np.mean([run["bootstrap"] for run in found[: max(1, resampled)]]))
        row: Row = {"defaults": defaults, "gain": gain, "correlation": correlation, "fresh": fresh, "tries": tries}
        row["times"] = times
        table.append(row | {"runs": repeats, "bootstrap_runs": resampled, "promoted": rates})
        print(_line(table[-1]), file=sys.stderr, flush=True)
    return table


# --------------------------------------------------------------------------- the test itself


def delong(rows: int, seed: int) -> Row:
    """Seconds of one paired test on ``rows`` rows with ties, and the largest distance from the definition."""
    rng = np.random.default_rng(seed)
    labels, first, second = _tied(rows, 4, rng)
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        stats.paired_delong(labels, first, second)
        taken.append(time.perf_counter() - started)
    distance = max(_distance(*_tied(500, decimals, rng)) for decimals in (0, 1, 2, 9))
    return {"rows": rows, "seconds": float(np.median(taken)), "distance": distance}


def _tied(n: int, decimals: int, rng: Generator) -> tuple[Floats, Floats, Floats]:
    labels = (rng.random(n) < DEFAULT_RATE).astype(np.float64)
    first = labels + rng.standard_normal(n)
    return labels, first.round(decimals), (first + 0.5 * rng.standard_normal(n)).round(decimals)


def _distance(labels: Floats, first: Floats, second: Floats) -> float:
    """From every pair of a default and another: the difference of the AUCs and its standard error."""
    wins = []
    for scores in (first, second):
        above = scores[labels == 1.0][:, None] - scores[labels == 0.0]
        wins.append((above > 0.0) + 0.5 * (above == 0.0))
    apart = wins[1] - wins[0]
    error = sum(apart.mean(axis=axis).var(ddof=1) / apart.shape[1 - axis] for axis in (0, 1)) ** 0.5
    test = stats.paired_delong(labels, first, second)
    return float(max(abs(test.difference - apart.mean()), abs(test.std_error - error)))


# --------------------------------------------------------------------------- what must be reached


def goals(table: Sequence[Row], tested: Row) -> list[Goal]:
    """The worst cell of every kind counts, not the mean."""

    def rates(
        rule: str, tries: int, gains: tuple[float, ...], defaults: int | None = None, *, repeated: bool = False
    ) -> list[float]:
        return [
            row["promoted"][rule]
            for row in table
            if row["tries"] == tries
            and row["gain"] in gains
            and defaults in (None, row["defaults"])
            and (row["times"] > 1) is repeated
        ]

    return [
        Goal("no-better challengers promoted by the gate, single tries", max(rates("gate", 1, NO_BETTER)), 0.05),
        Goal(f"… in runs of {TRIES} tries", max(rates("gate", TRIES, NO_BETTER)), 0.10),
        Goal("equal challengers promoted by 'AUC higher'", min(rates("AUC higher", 1, (0.0,))), 0.45, least=True),
        Goal("+0.01 with 1,500 defaults promoted by the gate", min(rates("gate", 1, (0.01,), 1500)), 0.80, least=True),
        Goal(
            "no-better, customers come up to 12 times, single tries", max(rates("gate", 1, (0.0,), repeated=True)), 0.05
        ),
        Goal(f"… in runs of {TRIES} tries", max(rates("gate", TRIES, (0.0,), repeated=True)), 0.10),
        Goal(
            "+0.01 with 1,500 customers who default and come up to 12 times",
            min(rates("gate", 1, (0.01,), 1500, repeated=True)),
            0.75,
            least=True,
        ),
        Goal(f"seconds of DeLong's test on {tested['rows']:,} rows", tested["seconds"], 2.0),
        Goal("distance of DeLong's test from the definition", tested["distance"], 1e-10),
    ]


# --------------------------------------------------------------------------- printing


def _line(row: Row) -> str:
    head = (
        f"{row['tries']:>5} {row['times']:>5} {row['defaults']:>8} {row['gain']:>+7.3f} "
        f"{row['correlation']:>5.2f} {row['fresh']:>5.0%}"
    )
    return head + f" {row['runs']:>6} " + " ".join(f"{row['promoted'][rule]:>12.1%}" for rule in RULES)


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description="How often does the gate promote?")
    parser.add_argument("--quick", action="store_true", help="few cells and runs")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--runs", type=int, help="simulations per small cell (default 500, quick 200)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    tested = delong(1_000_000, given.seed)
    table = measure(given.quick, given.runs or (200 if given.quick else 500), given.seed)
    reached = goals(table, tested)
    if given.json:
        document = {"seed": given.seed, "cells": table, "delong": tested, "goals": [goal.to_json() for goal in reached]}
        print(json.dumps(document))
        return
    print("tries times defaults    gain  corr fresh   runs " + " ".join(f"{rule[:12]:>12}" for rule in RULES))
    for row in table:
        print(_line(row))
    print("\n".join(lines(reached)))


if __name__ == "__main__":
    main()
