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
from scipy.stats import chi2, norm

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
from riskloop.monitor.steps import ALPHA

FIRST: Final = 2_000  # seed
HISTORY: Final = 8  # months
WINDOWS: Final = 12
ROWS: Final = 1_600  # a month
ODDS: Final = {"22%": -1.5, "3%": -4.0}  # log-odds of the usual customer; about so many default
FLOORS: Final = (0.0, 0.002, FLOOR, 0.01, 0.02)
MORE: Final = 1.45  # times the defaults
CORRELATIONS: Final = (0.03, 0.05)
CHECKS: Final = ("calibration", "level_over_time")
GRID: Final = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16)  # asset correlations
PRIOR: Final = (2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.5, 0.25)
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


def _month(rng: np.random.Generator, size: int, rho: float, number: int) -> tuple[Any, Floats, Floats]:
    """Days, PDs and outcomes of a month with a factor of its own."""
    pd = 1.0 / (1.0 + np.exp(1.5 - rng.standard_normal(size)))
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
    rng: np.random.Generator,
    streams: int,
    chance: float,
    moves: tuple[float, float],
    lower: float,
    known: str = "",
    grid: Sequence[float] = (),
) -> Floats:
    """The smallest p-value over up to seven latest months, for each of twelve months; (12, streams).

    A month's level has the variance ``chance``, a history's 1.6 times that, whose months have fewer rows. From the
    fourth month on the level is ``lower``; the floor and the factor move it by ``moves``. Beside the loop's own rule:
    the "correlation" or even the "level" is ``known``, or the p-value is a mixture over factors that move by the
    ``grid``, each as likely as it makes the history, and its own `PRIOR`.
    """
    least, move = moves
    past = rng.standard_normal((HISTORY, streams)) * np.sqrt(move**2 + 1.6 * chance)
    seen = np.maximum(np.square(past - past.mean(axis=0)).sum(axis=0) / (1.6 * chance), 1e-3)
    half = (HISTORY - 1) / 2.0
    likely = 2.0 * gammaincinv(half, 0.5 * gammainc(half, seen / 2.0))
    allowed = np.maximum(1.6 * chance * (seen / likely - 1.0), least**2)
    if known:
        allowed = np.full(streams, move**2)
    learned = (1.6 * chance + allowed) / HISTORY
    if known == "level":
        past, learned = np.zeros_like(past), np.zeros(streams)
    spreads, weights = [allowed], [np.ones(streams)]
    if grid:
        spreads = [np.full(streams, by**2) for by in grid]
        larger = [1.0 + by**2 / (1.6 * chance) for by in grid]
        weights = [a * chi2.pdf(seen / by, HISTORY - 1) / by for a, by in zip(PRIOR, larger, strict=True)]
    total = np.sum(weights, axis=0)
    now = rng.standard_normal((WINDOWS, streams)) * np.sqrt(move**2 + chance) - past.mean(axis=0)
    now[3:] += lower
    found = np.ones((WINDOWS, streams))
    for month in range(WINDOWS):
        for last in range(1, min(7, month + 1) + 1):
            off = np.abs(now[month - last + 1 : month + 1].mean(axis=0))
            p_value = np.zeros(streams)
            for spread, weight in zip(spreads, weights, strict=True):
                level = (1.6 * chance + spread) / HISTORY if grid else learned
                p_value += 2.0 * norm.sf(off / np.sqrt((spread + chance) / last + level)) * weight / total
            found[month] = np.minimum(found[month], p_value)
    return found


def lost(streams: int) -> Iterator[str]:
    """Where what is called of 40% fewer falls behind what is possible: step by step something more is known."""
    yield (
        "| defaults a month, asset correlation | as in the loop | correlation known | level known, too | 5% of sound "
        "streams called | day and direction known, 1% called | instead of the first: mixture over correlations, "
        "p < 0.001 | p < 0.002 | p < 0.003 |"
    )
    yield "|---|" + "---:|" * 8
    spread = norm.ppf((np.arange(200) + 0.5) / 200)
    for odds, defaults in ((-1.5, 440), (-1.5, 220), (-4.0, 60), (-4.0, 30), (-5.8, 10)):
        p = expit(odds + spread)
        rate, chance = float(p.mean()), float(p.mean() / (p * (1.0 - p)).mean()) / defaults
        lower = float(logit(0.6 * rate) - logit(rate))
        for rho in (0.0, 0.03):
            moves = level_error(p, FLOOR), level_error(p, rho)

            def played(by: float, known: str, moves: Any = moves, chance: float = chance) -> Floats:
                return _smallest(np.random.default_rng(FIRST), 200 * streams, chance, moves, by, known)[:8]

            cells = []
            for known in ("", "correlation", "level"):
                fewer, calm = played(lower, known), played(0.0, known)
                cells.append(_found(fewer, calm, 3e-4))
            cells.append(_found(fewer, calm, float(np.quantile(calm.min(axis=0), 0.05))))
            certain = -lower / np.sqrt((moves[1] ** 2 + chance) / 5)
            cells.append(f"{norm.sf(norm.isf(0.01) - certain):.0%}")
            grid = [level_error(p, asset) for asset in GRID]
            mixed = [
                _smallest(np.random.default_rng(FIRST), 40 * streams, chance, (0.0, moves[1]), by, "", grid)[:8]
                for by in (lower, 0.0)
            ]
            cells += [_found(mixed[0], mixed[1], below) for below in (1e-3, 2e-3, 3e-3)]
            yield f"| {defaults} of {rate:.1%}, {rho:g} | " + " | ".join(cells) + " |"


def _found(fewer: Floats, calm: Floats, below: float) -> str:
    """In how many streams it is called, and in which share of sound windows."""
    return f"{(fewer[3:] < below).any(axis=0).mean():.0%} ({(calm < below).mean():.1%})"


def _confirmed(called: Bools, p: Floats) -> float:
    """The share of windows that are called, and are the second of three that add to what was before."""
    adds = called.copy()
    adds[1:] &= p[1:] <= p[:-1]
    two = np.stack([adds[max(0, month - 2) : month + 1].sum(axis=0) >= 2 for month in range(WINDOWS)])
    return float((called & two).mean())


def steps(streams: int) -> Iterator[str]:
    """How often a gate that asks where a step of a size is not excluded asks, and how often it misses 40% fewer.

    By levels alone, as above: five months counted by the other definition, each judged with those before it; what
    moves together is allowed for by the 90% bound.
    """
    yield (
        "| defaults a month, asset correlation | "
        + " | ".join(f"{share:.0%}: missed, asked" for share in SHARES)
        + " | difference found: missed, asked |"
    )
    yield "|---|" + "---:|" * (len(SHARES) + 1)
    spread = norm.ppf((np.arange(200) + 0.5) / 200)
    for odds, defaults in ((-1.5, 440), (-1.5, 220), (-4.0, 60), (-4.0, 30), (-5.8, 10)):
        p = expit(odds + spread)
        rate, chance = float(p.mean()), float(p.mean() / (p * (1.0 - p)).mean()) / defaults

        def moved(times: float, rate: float = rate) -> float:
            return float(logit(min(times * rate, 0.999)) - logit(rate))

        for rho in (0.0, 0.03):
            moves = level_error(p, FLOOR), level_error(p, rho)
            ends = [_ends(np.random.default_rng(FIRST), 100 * streams, chance, moves, by) for by in (moved(0.6), 0.0)]
            cells = []
            for share in (*SHARES, 0.0):
                missed, asked = (
                    (low < moved(1.0 - share)) | (high > moved(1.0 / (1.0 - share)))
                    if share
                    else (low > 0.0) | (high < 0.0)
                    for low, high in ends
                )
                cells.append(f"{1.0 - missed.any(axis=1).all(axis=0).mean():.1%}, {asked.any(axis=1).mean():.0%}")
            yield f"| {defaults} of {rate:.1%}, {rho:g} | " + " | ".join(cells) + " |"


def _ends(
    rng: np.random.Generator, streams: int, chance: float, moves: tuple[float, float], lower: float
) -> tuple[Floats, Floats]:
    """Both ends of the level, in log-odds beside the champion's, of up to seven latest months; (5, 7, streams)."""
    least, move = moves
    past = rng.standard_normal((HISTORY, streams)) * np.sqrt(move**2 + 1.6 * chance)
    seen = np.maximum(np.square(past - past.mean(axis=0)).sum(axis=0) / (1.6 * chance), 1e-3)
    half = (HISTORY - 1) / 2.0
    bound = 2.0 * gammaincinv(half, 0.1 * gammainc(half, seen / 2.0))
    allowed = np.maximum(1.6 * chance * (seen / bound - 1.0), least**2)
    now = rng.standard_normal((8, streams)) * np.sqrt(move**2 + chance) - past.mean(axis=0)
    now[3:] += lower
    level, error = np.zeros((5, 7, streams)), np.full((5, 7, streams), np.nan)
    for look in range(5):
        for last in range(1, min(7, look + 4) + 1):
            level[look, last - 1] = now[look + 4 - last : look + 4].mean(axis=0)
            error[look, last - 1] = np.sqrt((allowed + chance) / last + (1.6 * chance + allowed) / HISTORY)
    reach = norm.isf(ALPHA) * error
    return level - reach, level + reach  # NaN where there are fewer months: nothing is asked


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
    "lost": lost,
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
