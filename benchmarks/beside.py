"""How soon do the features say that the world has turned? Ways of asking, side by side, and what anybody could know.

    python -m benchmarks.beside [--seeds 12] [--rates 0.22,0.03,0.005] [--kept rows.jsonl] [--quick]

The champion of a lender's year of past judges a year in which nothing changes, nine months with a recession from the
fourth on, and a year in which that recession is over after three months. Nothing is retrained and every outcome is
there, so that a stream takes seconds. Odd seeds have an asset correlation of 0.03. The ways are what
`riskloop.monitor.residual` does and what it did or could do instead; windows are held against one history of the first
window's selection. The bound is the likelihood ratio (Neyman & Pearson 1933) of somebody who knows both worlds' true
PDs, the month of the change and each month's level, and in a panel how much customers differ, and integrates over
what each is given to by all that was known of it since the first month of the past. docs/monitoring.md has the table.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import brentq
from scipy.special import expit, logit, logsumexp, ndtr, ndtri

from benchmarks._cells import PER_MONTH, world_of
from benchmarks._fraction import Planned
from riskloop.backtest.replay import first_champion
from riskloop.backtest.worlds import FIRST, PAST_MONTHS
from riskloop.core.errors import DataError
from riskloop.core.settings import DriftSettings
from riskloop.core.stats import wilson_interval
from riskloop.core.stats.residual import HARMLESS, HARMS, LEARNED, Residual, residual_evidence
from riskloop.core.types import Floats, Json
from riskloop.loop.champion import load
from riskloop.monitor.matured import Matured
from riskloop.monitor.residual import KEPT, OVER, SEVERE, Past
from riskloop.simulation.catalogue import STARTS
from riskloop.simulation.conditions import LASTING, Conditions, Lender
from riskloop.simulation.embedded import TARGET, World, month_starts
from riskloop.simulation.source import Call
from riskloop.store.home import Home

FROM: Final = 1001  # the first seed
MONTHS: Final = {"stable": 12, "recession": 9}
OVER_AGAIN: Final = STARTS + 3  # the first month after a recession that ends
REPETITIONS: Final = ("once", "panel")
SELECTIONS: Final = ("all", "approved")
ALARM: Final = DriftSettings().run_length
NODES: Final = 24
NONE: Final = [0.0, 0.0, 0.0]

Evidence = Callable[[Sequence[Residual], Residual, Floats, float], tuple[float, float]]


class Months(NamedTuple):
    """A scenario's windows: the champion's inputs and scores, outcomes and true PDs."""

    features: list[Floats]
    scores: list[Floats]
    outcomes: list[Floats]
    true: list[Floats]


class Champion(NamedTuple):
    """What the monitor keeps of it."""

    past: Past
    threshold: float
    months: dict[str, Months]


def champion_of(conditions: Conditions, seed: int) -> Champion:
    """Trained on the year of past, with both courses of the world."""
    worlds = {
        name: world_of(Planned("recession", 0, name, conditions, seed), PER_MONTH, count)
        for name, count in MONTHS.items()
    }
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        first_champion(Path(folder) / "first", worlds["stable"])
        home = Home.open(Path(folder) / "first")
        try:
            model = load(home, home.champion().version)
        finally:
            home.close()
    months = {}
    for name, world in worlds.items():
        rows = [period.rows for period in world.periods]
        months[name] = Months(
            [one.features[:, model.inputs] for one in rows],
            [model.best_estimate(model.model.probabilities(one.features)) for one in rows],
            [np.asarray(one.target, dtype=np.float64) for one in rows],
            [np.asarray(period.true_pd, dtype=np.float64) for period in world.periods],
        )
    scores = (model.best_estimate(p) for p in (model.probabilities, model.reference_scores))
    held_against, own = scores
    past = Past(model.bases, held_against, model.outcomes, own, model.customers)
    return Champion(past, model.model.threshold, months)


# --------------------------------------------------------------------------- ways of asking


def history_alone(windows: Sequence[Residual], history: Residual, spread: Floats, again: float) -> tuple[float, float]:
    """As it was before: windows before a change teach nothing, and a customer's rows in several are worth less."""
    known = np.linalg.pinv(history.information, hermitian=True)
    calm = LEARNED * known + HARMLESS**2 * np.diag(spread)
    ratios = []
    for start in range(len(windows)):
        worth = 1.0 + (len(windows) - start - 1) * again
        score = np.sum([w.score for w in windows[start:]], axis=0) / worth
        information = np.sum([w.information for w in windows[start:]], axis=0) / worth
        left, noise = score - information @ known @ history.score, information + information @ calm @ information
        noise += 1e-9 * max(1.0, float(np.trace(noise))) * np.eye(len(left))
        wider = [noise + harm**2 * information @ np.diag(spread) @ information for harm in HARMS]
        ratios.append(
            float(np.mean(np.exp(np.minimum([density(left, c) - density(left, noise) for c in wider], 60.0))))
        )
    return float(sum(ratios)), ratios[-1]


def density(values: Floats, covariance: Floats) -> float:
    """Log of a normal density around 0, without its constant."""
    return -0.5 * float(values @ np.linalg.solve(covariance, values) + np.linalg.slogdet(covariance)[1])


def windows_before(windows: Sequence[Residual], history: Residual, spread: Floats, again: float) -> tuple[float, float]:
    """As it is."""
    return residual_evidence(windows, history, spread, again=again)


WAYS: Final[dict[str, tuple[Evidence, tuple[int, ...]]]] = {  # how, and along which of the bases
    "history alone, ten directions": (history_alone, (0,)),
    "history alone, both": (history_alone, (0, 1)),
    "windows before, ten directions": (windows_before, (0,)),
    "windows before, what the champion reads": (windows_before, (1,)),
    "windows before, both": (windows_before, (0, 1)),
}
BEFORE: Final = "history alone, ten directions"
SHIPPED: Final = "windows before, both"


def courses(champion: Champion, selection: str) -> dict[str, dict[str, list[list[float]]]]:
    """By scenario and way, each month's evidence, that of the month alone, and whether it made it stronger."""
    past = champion.past
    history: list[Residual] = []
    parts: dict[str, list[list[Residual]]] = {}
    for name, months in champion.months.items():
        parts[name] = []
        for features, scores, outcomes in zip(months.features, months.scores, months.outcomes, strict=True):
            y = np.where((scores >= champion.threshold) & (selection == "approved"), np.nan, outcomes)
            window, there = Matured.of(scores, y), ~np.isnan(y)
            each: list[Residual] = []
            try:
                if window.enough:
                    history = history or past.like(scores, y)
                    each = [
                        Residual.of(window.outcomes == 1.0, window.probabilities, along(features[there]))
                        for along, _ in past.bases
                    ]
            except DataError:
                each = []
            parts[name].append(each)
    parts["recurring"] = [
        *parts["stable"][:STARTS],
        *parts["recession"][STARTS:OVER_AGAIN],
        *parts["stable"][OVER_AGAIN:],
    ]
    return {
        name: {
            way: followed(some, history, [past.bases[k][0].spread for k in along], along, how)
            for way, (how, along) in WAYS.items()
        }
        for name, some in parts.items()
    }


def followed(
    windows: Sequence[list[Residual]],
    history: Sequence[Residual],
    spreads: Sequence[Floats],
    along: Sequence[int],
    how: Evidence,
) -> list[list[float]]:
    """The evidence month by month, with what `riskloop.monitor.residual` keeps and forgets."""

    def mean(some: Sequence[list[Residual]]) -> tuple[float, float]:
        each = [
            how([window[k] for window in some], history[k], spread, history[k].again)
            for k, spread in zip(along, spreads, strict=True)
        ]
        return float(np.mean([e for e, _ in each])), float(np.mean([last for _, last in each]))

    kept: list[list[Residual]] = []
    found, now = [], NONE
    for window in windows:
        if window:
            kept = [*kept, window][-KEPT:]
            without = mean(kept[:-1])[0] if len(kept) > 1 else 0.0
            evidence, last = mean(kept)
            now = [evidence, last, float(evidence > without)]
            if evidence < OVER * without:
                kept = kept[-1:]
                now = [*mean(kept), 0.0]
        else:
            now = [*now[:2], 0.0]
        found.append(now)
    return found


def confirmed(course: Sequence[Sequence[float]], *, twice: bool) -> list[bool]:
    """In which months a case would be opened by this evidence alone; ``twice``: two months have to be called."""
    settings = DriftSettings()
    called = [bool(evidence >= ALARM and adds) for evidence, _, adds in course]
    found = []
    for k, (evidence, last, _) in enumerate(course):
        witnesses = sum(called[max(0, k + 1 - settings.among) : k + 1])
        if not twice and called[k] and evidence - last >= ALARM:
            witnesses = max(witnesses, 2)
        severe = called[k] and evidence >= SEVERE * ALARM
        found.append(evidence >= ALARM and (severe or witnesses >= settings.confirm))
    return found


# --------------------------------------------------------------------------- what anybody could know


def bound(champion: Champion, conditions: Conditions, seed: int, selection: str) -> list[float]:
    """Log likelihood ratio of the recession after each month since it began; months move by themselves otherwise."""
    old, new = (champion.months[name] for name in ("stable", "recession"))
    count = MONTHS["recession"]
    known = [scores < champion.threshold if selection == "approved" else scores > -1.0 for scores in new.scores]
    outcomes = [np.where(k, y, np.nan) for k, y in zip(known, new.outcomes, strict=True)]
    usual = [levelled(p, q, k) for p, q, k in zip(old.true[:count], new.true, known, strict=True)]
    if conditions.repetition == "once":
        each = [
            float(np.nansum(y * np.log(q / p) + (1.0 - y) * np.log((1.0 - q) / (1.0 - p))))
            for p, q, y in zip(usual, new.true, outcomes, strict=True)
        ]
        return np.cumsum(each[STARTS:]).tolist()
    calls = [Call(month, PER_MONTH, World(), chosen=False) for month in month_starts(FIRST, PAST_MONTHS)]
    batches = [next(pool) for pool in Lender(conditions, PER_MONTH).pools(calls, seed)]
    before = sum(of_customers(np.asarray(b.true_pd), b.frame[TARGET].to_numpy().astype(np.float64)) for b in batches)
    before = before + sum(of_customers(p, y) for p, y in zip(old.true[:STARTS], outcomes[:STARTS], strict=True))
    calm, turned, ratios = before, before, []
    for p, q, y in zip(usual[STARTS:], new.true[STARTS:], outcomes[STARTS:], strict=True):
        calm, turned = calm + of_customers(p, y), turned + of_customers(q, y)
        ratios.append(integrated(turned) - integrated(calm))
    return ratios


def levelled(old: Floats, new: Floats, known: Any) -> Floats:
    """The old world's PDs at the new one's level among those whose outcome is known."""
    offset = brentq(lambda c: float(np.mean(expit(logit(old[known]) + c)) - new[known].mean()), -10.0, 10.0)
    return np.asarray(expit(logit(old) + offset))


def of_customers(pd: Floats, outcomes: Floats) -> Floats:
    """Log likelihood (n, nodes) of each customer's outcome at each node of what it is given to; 0 where unknown."""
    nodes = hermegauss(NODES)[0]
    chance = ndtr((ndtri(pd)[:, None] - math.sqrt(LASTING) * nodes) / math.sqrt(1.0 - LASTING))
    chance = np.clip(chance, 1e-15, 1.0 - 1e-15)
    y = outcomes[:, None]
    return np.where(np.isnan(y), 0.0, np.where(y == 1.0, np.log(chance), np.log1p(-chance)))


def integrated(likelihoods: Floats) -> float:
    """Over what each customer is given to."""
    weights = np.log(hermegauss(NODES)[1] / math.sqrt(2.0 * math.pi))
    return float(logsumexp(likelihoods + weights, axis=1).sum())


# --------------------------------------------------------------------------- streams and tables


def played(rate: float, repetition: str, seed: int) -> Iterator[Json]:
    """One lender, by selection."""
    told: dict[str, Any] = {"repetition": repetition, "base_rate": rate, "correlation": 0.03 if seed % 2 else 0.0}
    conditions = Conditions(**told)
    champion = champion_of(conditions, seed)
    for selection in SELECTIONS:
        best = bound(champion, conditions, seed, selection) if conditions.correlation == 0.0 else None
        key = {"rate": rate, "repetition": repetition, "seed": seed, "selection": selection}
        yield {**key, "courses": courses(champion, selection), "bound": best}


def table(rows: Sequence[Json]) -> Iterator[str]:
    """Shares of streams, with Wilson intervals; windows of sound years by number."""
    yield (
        "| defaults | customers | outcomes of | way | confirmed within 3 months | within 6 | called before, within 3 | "
        "sound windows called, confirmed | recession of three months: confirmed in it | months confirmed after it |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    keys = dict.fromkeys((row["rate"], row["repetition"], row["selection"]) for row in rows)
    for key in keys:
        some = [row for row in rows if (row["rate"], row["repetition"], row["selection"]) == key]
        yield from (f"| {key[0]:.1%} | {key[1]} | {key[2]} | {line}" for line in lines(some))


def lines(rows: Sequence[Json]) -> Iterator[str]:
    """One for each way, once as cases were opened and once as they are, and the bound."""
    asked = [(BEFORE, True), *((way, False) for way in WAYS)]
    for way, twice in asked:
        seen = {name: [row["courses"][name][way] for row in rows] for name in ("recession", "stable", "recurring")}
        sure = {name: [confirmed(course, twice=twice) for course in some] for name, some in seen.items()}
        called = [[month[0] >= ALARM for month in course] for course in seen["recession"]]
        sound = [month[0] >= ALARM for course in seen["stable"] for month in course]
        name = f"{way}, called twice" if twice else way
        yield (
            f"{f'**{name}**' if way == SHIPPED else name} | {within(sure['recession'], 3)} | "
            f"{within(sure['recession'], 6)} | {within(called, 3)} | "
            f"{sum(sound)}, {sum(map(sum, sure['stable']))} of {len(sound)} | {within(sure['recurring'], 3)} | "
            f"{sum(sum(one[OVER_AGAIN:]) for one in sure['recurring'])} |"
        )
    best = [[value >= math.log(ALARM) for value in row["bound"]] for row in rows if row["bound"] is not None]
    if best:
        yield f"bound | {within(best, 3, 0)} | {within(best, 6, 0)} | – | – | {within(best, 3, 0)} | – |"


def within(streams: Sequence[Sequence[bool]], months: int, since: int = STARTS) -> str:
    """The share of streams that say so in one of so many months of the change."""
    found = sum(any(one[since : since + months]) for one in streams)
    ends = wilson_interval(found, len(streams))
    return f"{found / len(streams):.0%} ({ends.lower:.0%} to {ends.upper:.0%}) of {len(streams)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=12, help=f"from {FROM} on")
    parser.add_argument("--rates", default="0.22,0.03,0.005")
    parser.add_argument("--kept", type=Path, help="finished streams, as JSON lines: an interrupted run goes on")
    parser.add_argument("--quick", action="store_true", help="one seed, 3% of defaults")
    given = parser.parse_args()
    rows: list[Json] = []
    if given.kept is not None and given.kept.exists():
        rows = [json.loads(line) for line in given.kept.read_text(encoding="utf-8").splitlines()]
    known = {(row["rate"], row["repetition"], row["seed"]) for row in rows}
    rates = [0.03] if given.quick else [float(rate) for rate in given.rates.split(",")]
    seeds = [FROM + 1] if given.quick else range(FROM, FROM + given.seeds)
    for rate, seed, repetition in ((r, s, p) for r in rates for s in seeds for p in REPETITIONS):
        if (rate, repetition, seed) in known:
            continue
        for row in played(rate, repetition, seed):
            rows.append(row)
            if given.kept is not None:
                with given.kept.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")
        print(rate, repetition, seed, file=sys.stderr, flush=True)
    print(*table(rows), sep="\n")


if __name__ == "__main__":
    main()
