"""The level of default where defaults move together, and windows in which customers have several rows: what is called.

    python -m benchmarks.levels [--streams 30] [--tables sound,floors]

Streams of PDs and outcomes alone, judged by the monitor's own tests, so that conditions are cheap to compare. The
history is of eight months, as folds leave it of a year, and its level is the champion's. docs/monitoring.md shows the
tables.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, gammainc, gammaincinv, logit
from scipy.stats import norm

from benchmarks._lenders import FLOOR, MOVED, SIZE
from riskloop.core.settings import DriftSettings
from riskloop.core.stats import wilson_interval
from riskloop.core.stats.correlated import given_factor, level_error
from riskloop.core.types import DAY, Bools, Finding, Floats, Ints, Severity
from riskloop.monitor.correlation import Correlation, correlation_of
from riskloop.monitor.labels import definition_finding
from riskloop.monitor.matured import Matured
from riskloop.monitor.overtime import over_time_findings
from riskloop.monitor.performance import level_errors, performance_findings
from riskloop.monitor.reports import Reports
from riskloop.monitor.selection import Comparison
from riskloop.monitor.steps import LevelStep, level_steps

FIRST: Final = 2_000  # seed
HISTORY: Final = 8  # months
WINDOWS: Final = 12
ROWS: Final = 1_600  # a month
ODDS: Final = {"22%": -1.5, "3%": -4.0}  # log-odds of the usual customer; about so many default
FLOORS: Final = (0.0, 0.002, FLOOR, 0.01, 0.02)
MORE: Final = 1.45  # times the defaults
CORRELATIONS: Final = (0.03, 0.05)
CHECKS: Final = ("calibration", "level_over_time")
SHARES: Final = (0.2, 0.3, 0.4, 0.5, 0.6)  # of the defaults, whose lack has to be excluded
ALL: Final = (*CHECKS, "auc", "calibration_slope", "ranking_over_time")


class Stream:
    """One lender: a history and months of decisions."""

    def __init__(self, seed: int, odds: float, before: float, now: float) -> None:
        """``before`` and ``now`` are the asset correlations of history and world."""
        self._rng, self._odds, self._now = np.random.default_rng(seed), odds, now
        months = [self._drawn(ROWS, before, 1.0) for _ in range(HISTORY)]
        p, self.outcomes = (np.concatenate(column) for column in zip(*months, strict=True))
        self.days = np.repeat(30 * np.arange(HISTORY) + 15, ROWS)  # the middles of eight months
        self._by = brentq(lambda by: float(expit(logit(p) + by).mean() - self.outcomes.mean()), -5.0, 5.0)
        self.probabilities: Floats = expit(logit(p) + self._by)

    def allowed(self, floor: float) -> Correlation:
        return correlation_of(self.days, self.probabilities, self.outcomes, given=None, floor=floor)

    def month(self, rows: int = ROWS, times: float = 1.0) -> tuple[Floats, Floats]:
        """The champion's PDs of a month, and what became of them."""
        p, y = self._drawn(rows, self._now, times)
        return expit(logit(p) + self._by), y

    def repeated(self, times: int) -> tuple[Floats, Floats, Ints]:
        """A month in which each customer has so many rows, nearly alike, and one outcome."""
        who = np.repeat(np.arange(ROWS // times), times)
        odds = self._odds + self._rng.standard_normal(ROWS // times)[who] + 0.2 * self._rng.standard_normal(who.size)
        y = self._rng.random(ROWS // times)[who] < expit(odds)
        return expit(odds + self._by), y.astype(np.float64), who

    def _drawn(self, rows: int, rho: float, times: float) -> tuple[Floats, Floats]:
        p = expit(self._odds + self._rng.standard_normal(rows))
        given = given_factor(np.minimum(times * p, 0.97), rho, self._rng.standard_normal(1))[0]
        return p, (self._rng.random(rows) < given).astype(np.float64)


def judged(
    stream: Stream,
    allowed: Correlation,
    month: tuple[Floats, Floats],
    before: Sequence[Finding],
    customers: Ints | None = None,
) -> list[Finding]:
    """What the tests that decide say of one window."""
    past = stream.probabilities, stream.outcomes
    drift = DriftSettings()
    found = performance_findings(*month, *past, alpha=drift.alpha, correlation=allowed, customers=customers)
    compared = Comparison.of(*month, *past, customers=customers)
    found += over_time_findings(compared, allowed, before, alarm=drift.run_length)
    return [f for f in found if f.check in ALL]


def sound(streams: int) -> Iterator[str]:
    """A history that moved as the world does, in which nothing else changes."""
    yield "| nothing changed: asset correlation | defaults | windows | called by the level | called and confirmed |"
    yield "|---|---|---:|---:|---:|"
    for base, odds in ODDS.items():
        for rho in CORRELATIONS:
            called = [_year(Stream(FIRST + k, odds, rho, rho)) for k in range(streams)]
            windows = streams * WINDOWS
            single, confirmed = (sum(part) / windows for part in zip(*called, strict=True))
            yield f"| {rho:g} | {base} | {windows} | {single:.1%} | {confirmed:.1%} |"


def _year(stream: Stream) -> tuple[int, int]:
    allowed, drift = stream.allowed(FLOOR), DriftSettings()
    before: list[Finding] = []
    moved: list[bool] = []
    confirmed = 0
    for _ in range(WINDOWS):
        before = judged(stream, allowed, stream.month(), before)
        level = [f for f in before if f.check in CHECKS and f.severity in MOVED]
        moved.append(bool(level))
        severe = any(f.severity is Severity.SEVERE for f in level)
        confirmed += bool(level) and (severe or sum(moved[-drift.among :]) >= drift.confirm)
    return sum(moved), confirmed


def floors(streams: int) -> Iterator[str]:
    """A history that did not move: what each floor of the correlation finds, and what it calls."""
    yield (
        "| floor | 45% more defaults in a window of 2,000, found | nothing changed, 0.03: called | 0.05: called | "
        "40% fewer reported: asked within 3 months |"
    )
    yield "|---:|---:|---:|---:|---:|"
    for floor in FLOORS:
        shares = [_single(streams, floor, rho, times) for rho, times in ((0.0, MORE), (0.03, 1.0), (0.05, 1.0))]
        asked = [_asked(np.random.default_rng(FIRST + k), 0.0, True, floor) for k in range(streams)]
        shares.append(float(np.mean([month is not None and month <= 3 for month in asked])))
        yield f"| {floor:g} | " + " | ".join(f"{share:.0%}" for share in shares) + " |"


def _single(streams: int, floor: float, rho: float, times: float) -> float:
    called = []
    for k in range(streams):
        stream = Stream(FIRST + k, ODDS["22%"], 0.0, rho)
        found = judged(stream, stream.allowed(floor), stream.month(2_000, times), [])
        called.append(any(f.check == "calibration" and f.severity in MOVED for f in found))
    return float(np.mean(called))


def definitions(streams: int) -> Iterator[str]:
    """A year of 2,000 reports a month, each thirty days after its decision: is a person asked, and confirmed?"""
    yield (
        "| a year of 2,000 reports a month, asset correlation in history and world | 40% fewer defaults reported: "
        "a person is asked within 3 months | within the 9 that follow | nothing changed: asked in the year |"
    )
    yield "|---:|---:|---:|---:|"
    for rho in (0.0, 0.01, 0.03):
        fewer, calm = (
            [_asked(np.random.default_rng(seed), rho, changed) for seed in range(streams)] for changed in (True, False)
        )
        shares = [
            f"{_share(counted, streams)}"
            for counted in (
                sum(month is not None and 0 < month <= 3 for month in fewer),
                sum(month is not None and month > 0 for month in fewer),
                sum(month is not None for month in calm),
            )
        ]
        yield f"| {rho:g} | " + " | ".join(shares) + " |"


def _share(hits: int, of: int) -> str:
    ends: Any = wilson_interval(hits, of)
    return f"{hits / of:.0%} ({ends.lower:.0%} to {ends.upper:.0%}) of {of}"


def _asked(rng: np.random.Generator, rho: float, fewer: bool, floor: float = FLOOR) -> int | None:
    """In which month since the fourth, or since the first where nothing changes, a person is asked."""
    history = [_month(rng, SIZE * 5 // 8, rho, number) for number in range(12)][4:]  # folds test two thirds
    days, scores, outcomes = (np.concatenate(column) for column in zip(*history, strict=True))
    allowed = correlation_of(days, scores, outcomes, given=None, floor=floor)
    _, learned = level_errors(scores, Matured(scores, outcomes), allowed.likely, allowed.periods)
    told: list[Any] = []
    before = False
    for number in range(12):
        days, scores, outcomes = _month(rng, SIZE, rho, number)
        kept = outcomes * (rng.random(SIZE) < 0.6) if fewer and number >= 3 else outcomes
        told.append((days * DAY, scores, kept))
        decided, p, y = (np.concatenate(column) for column in zip(*told[-8:], strict=True))
        numbers = np.arange(p.size)
        reports = Reports(numbers, numbers, y, p, decided, decided + 30 * DAY)
        said, _ = definition_finding(
            reports, moved=False, correlation=allowed.likely, learned=learned, begins=int(days.min()) * DAY
        )
        now = said.severity in MOVED and said.details["adds"]
        if now and before:
            return number - 2 if fewer else number + 1
        before = now
    return None


def _month(
    rng: np.random.Generator, size: int, rho: float, number: int, odds: float = -1.5
) -> tuple[Any, Floats, Floats]:
    """Days, PDs and outcomes of a month with a factor of its own."""
    pd = expit(odds + rng.standard_normal(size))
    given = given_factor(pd, rho, rng.standard_normal(1))[0]
    first, last = (np.array([number, number + 1]).astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    return np.sort(rng.integers(first, last, size)), pd, (rng.random(size) < given).astype(np.float64)


def thresholds(streams: int) -> Iterator[str]:
    """What each p-value finds and confirms, by levels alone: normal in log-odds, with errors by factor and chance.

    A thousand times as many as of whole streams; the correlation is estimated from eight months, as in the loop.
    """
    yield "| defaults a month, asset correlation | asked from p < | 40% fewer: called in 5 months | sound: confirmed |"
    yield "|---|---:|---:|---:|"
    spread = norm.ppf((np.arange(200) + 0.5) / 200)
    for odds, defaults in ((-1.5, 440), (-4.0, 60), (-4.0, 30), (-5.8, 10)):
        p = expit(odds + spread)
        rate, chance = float(p.mean()), float(p.mean() / (p * (1.0 - p)).mean()) / defaults
        lower = float(logit(0.6 * rate) - logit(rate))
        for rho in (0.0, 0.03):
            moves, rng = (level_error(p, FLOOR), level_error(p, rho)), np.random.default_rng(FIRST)
            fewer, calm = (_smallest(rng, 1_000 * streams, chance, moves, by) for by in (lower, 0.0))
            for below in (1e-4, 3e-4, 1e-3):
                found = (fewer[3:8] < below).any(axis=0).mean()
                false = _confirmed(calm < below, calm)
                yield f"| {defaults} of {rate:.1%}, {rho:g} | {below:g} | {found:.0%} | {false:.2%} |"


def _smallest(
    rng: np.random.Generator, streams: int, chance: float, moves: tuple[float, float], lower: float
) -> Floats:
    """The smallest p-value over up to seven latest months, for each of twelve months; (12, streams).

    A month's level has the variance ``chance``, a history's 1.6 times that, whose months have fewer rows. From the
    fourth month on the level is ``lower``; the floor and the factor move it by ``moves``.
    """
    least, move = moves
    past = rng.standard_normal((HISTORY, streams)) * np.sqrt(move**2 + 1.6 * chance)
    seen = np.maximum(np.square(past - past.mean(axis=0)).sum(axis=0) / (1.6 * chance), 1e-3)
    half = (HISTORY - 1) / 2.0
    likely = 2.0 * gammaincinv(half, 0.5 * gammainc(half, seen / 2.0))
    allowed = np.maximum(1.6 * chance * (seen / likely - 1.0), least**2)
    learned = (1.6 * chance + allowed) / HISTORY
    now = rng.standard_normal((WINDOWS, streams)) * np.sqrt(move**2 + chance) - past.mean(axis=0)
    now[3:] += lower
    found = np.ones((WINDOWS, streams))
    for month in range(WINDOWS):
        for last in range(1, min(7, month + 1) + 1):
            z = now[month - last + 1 : month + 1].mean(axis=0) / np.sqrt((allowed + chance) / last + learned)
            found[month] = np.minimum(found[month], 2.0 * norm.sf(np.abs(z)))
    return found


def _confirmed(called: Bools, p: Floats) -> float:
    """The share of windows that are called, and are the second of three that add to what was before."""
    adds = called.copy()
    adds[1:] &= p[1:] <= p[:-1]
    two = np.stack([adds[max(0, month - 2) : month + 1].sum(axis=0) >= 2 for month in range(WINDOWS)])
    return float((called & two).mean())


def steps(streams: int) -> Iterator[str]:
    """How often a gate that asks where a step of a size is not excluded asks, and how often it misses 40% fewer.

    Seven months, of which the latest five are counted by the other definition, each judged with those before it.
    """
    yield (
        "| defaults a month, asset correlation | "
        + " | ".join(f"{share:.0%}: missed, asked" for share in SHARES)
        + " | difference found: missed, asked |"
    )
    yield "|---|" + "---:|" * (len(SHARES) + 1)
    for odds, size in ((-1.5, 2_000), (-1.5, 1_000), (-4.0, 2_000), (-4.0, 1_000), (-5.8, 2_000)):
        for rho in (0.0, 0.03):
            looks = [_looks(np.random.default_rng((seed, size)), odds, size, rho) for seed in range(streams)]
            cells = []
            for share in (*SHARES, None):
                missed = sum(any(not _asks(look, share) for look in fewer) for fewer, _ in looks)
                asked = np.mean([_asks(look, share) for _, sound_ones in looks for look in sound_ones])
                cells.append(f"{missed / streams:.0%}, {asked:.0%}")
            count = round(float(np.mean([sound_ones[0][-1].expected / 3.0 for _, sound_ones in looks])))
            yield f"| {count} of {count / size:.1%}, {rho:g} | " + " | ".join(cells) + " |"


def _asks(look: Sequence[LevelStep], share: float | None) -> bool:
    """Whether a step by the share is left open; without one, whether a level differs."""
    if share is None:
        return any(step.fewest > 1.0 or step.most < 1.0 for step in look)
    return not all(step.within(share) for step in look)


def _looks(
    rng: np.random.Generator, odds: float, size: int, rho: float
) -> tuple[list[list[LevelStep]], list[list[LevelStep]]]:
    """What is left open after each month that may be counted otherwise: where 40% are not counted, and where all are.

    The history is of eight months, as folds leave it of a year.
    """
    history = [_month(rng, size, rho, number, odds) for number in range(HISTORY)]
    days, p, y = (np.concatenate(column) for column in zip(*history, strict=True))
    by = brentq(lambda by: float(expit(logit(p) + by).mean() - max(y.mean(), 0.5 / y.size)), -9.0, 9.0)
    p = expit(logit(p) + by)  # the champion's level is that of its history
    allowed = correlation_of(days, p, y, given=None, floor=FLOOR)
    _, learned = level_errors(p, Matured(p, y), allowed.asset, allowed.periods)
    told = [_month(rng, size, rho, HISTORY + number, odds) for number in range(7)]
    found: tuple[list[list[LevelStep]], list[list[LevelStep]]] = ([], [])
    for looks, kept in zip(found, (0.6, 1.0), strict=True):
        counted = [
            (days, expit(logit(p) + by), y * (rng.random(size) < kept) if number >= 2 else y)
            for number, (days, p, y) in enumerate(told)
        ]
        for last in range(3, 8):
            decided, p, y = (np.concatenate(column) for column in zip(*counted[:last], strict=True))
            ids, at = np.arange(p.size), decided * DAY
            reports = Reports(ids, ids, y, p, at, at + 30 * DAY)
            looks.append(level_steps(reports, allowed.asset, learned))
    return found


def repeated(streams: int) -> Iterator[str]:
    """Sound windows in which customers have several rows."""
    yield "| rows of each customer in a window | windows | called, counted as customers | counted as rows |"
    yield "|---:|---:|---:|---:|"
    for times in (1, 2, 4, 12):
        called = [[_repeating(FIRST + k, times, told) for k in range(streams)] for told in (True, False)]
        shares = [sum(part) / (streams * WINDOWS) for part in called]
        yield f"| {times} | {streams * WINDOWS} | " + " | ".join(f"{share:.1%}" for share in shares) + " |"


def _repeating(seed: int, times: int, told: bool) -> int:
    stream, called = Stream(seed, ODDS["22%"], 0.0, 0.0), 0
    before: list[Finding] = []
    allowed = stream.allowed(FLOOR)
    for _ in range(WINDOWS):
        p, y, who = stream.repeated(times)
        before = judged(stream, allowed, (p, y), before, who if told else None)
        called += any(f.severity in MOVED for f in before)
    return called


TABLES: Final[dict[str, Callable[[int], Iterator[str]]]] = {
    "sound": sound,
    "floors": floors,
    "definitions": definitions,
    "thresholds": thresholds,
    "steps": steps,
    "repeated": repeated,
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="three streams")
    parser.add_argument("--tables", default=",".join(TABLES), help="with commas")
    given = parser.parse_args()
    streams = 3 if given.quick else given.streams
    for number, name in enumerate(given.tables.split(",")):
        if number:
            print()
        for line in TABLES[name](streams if name != "repeated" else max(1, streams // 4)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
