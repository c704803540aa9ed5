"""Is every fault of the labels found under every lender's conditions? The checks of the feed alone, in many streams.

    python -m benchmarks.labelfaults [--seeds 2] [--first 601] [--limit 36] [--kept streams.jsonl] [--quick]

A whole cell of `benchmarks.conditions` takes half a minute, so that few are played. Here there is neither store nor
learning: a champion that knows each PD but for noise, eight months of 2,000, and a feed whose labels break for reports
from April on, or do not. Deliveries are looked at every week and windows when their outcomes are there, by the same
functions as in the loop. Beside faults of the feed the world may change (`WORLDS`), with a sound feed or with another
definition of the same day. All 108 conditions that labels depend on are played with each seed. docs/loopbench.md shows
the table.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from riskloop.cases.case import BY_OUTCOMES
from riskloop.core.settings import DriftSettings
from riskloop.core.stats import wilson_interval
from riskloop.core.types import Bools, Finding, Floats, Ints, Json, Severity, to_micros
from riskloop.decide.diagnosis import diagnose
from riskloop.monitor.correlation import Correlation, correlation_of
from riskloop.monitor.labels import (
    definition_doubt,
    definition_finding,
    delivery_findings,
    enough,
    promotion_doubt,
    ranked_otherwise,
    window_findings,
)
from riskloop.monitor.lateness import LATE, STRAGGLERS
from riskloop.monitor.matured import Matured
from riskloop.monitor.overtime import over_time_findings
from riskloop.monitor.performance import level_errors, performance_findings
from riskloop.monitor.reports import DAY, Reports, joined
from riskloop.monitor.selection import Comparison
from riskloop.monitor.steps import LevelStep, level_steps, step_doubt
from riskloop.simulation.conditions import APPROVED, EXPLORED, LASTING, LEVELS, Conditions, Lender
from riskloop.simulation.embedded import TARGET, TIME, World, month_starts
from riskloop.simulation.feeds import FEEDS, KEPT, FeedFile
from riskloop.simulation.source import Batch, Call

KINDS: Final = ("inverted", "goods_late", "definition", "none")
WORLDS: Final = {  # what the customers of the same day on are like, beside a sound feed or another definition
    "recession": World(delay=0.45, capacity=0.3, leverage=2.2, base=0.35),
    "prior_shift": World(base=0.5),
}
PER_MONTH: Final = 2_000
PAST: Final = 12
MONTHS: Final = 8
BREAKS: Final = 3  # number of the month of production from which on labels are broken, by the date of the report
EARLIER: Final = 6  # windows before, as in the loop
NOISE: Final = 0.35  # of the champion's log-odds
WINDOW: Final = timedelta(days=30)
PATIENCE: Final = timedelta(days=45)
SHARES: Final = (0.2, 0.3, 0.4, 0.5, 0.6)  # of the defaults, whose lack has to be excluded: 0.4 is the gate's default
SOME: Final = 0.05  # of the outcomes, by the other definition: fewer move no level
LACKING: Final = 0.02  # of the approved, whose outcomes nobody waits for
ALPHA: Final = 0.01  # of sound streams that the best possible test calls broken, too
DRAWS: Final = 500  # streams that its power is computed from
GROUPS: Final = 25  # of customers with like PDs
NODES: Final = 101  # of a month's factor
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE, Severity.FAULT)
TOLD: Final = {  # conditions that labels depend on
    name: [level for level in levels if level != "corrected"] for name, levels in LEVELS.items() if name != "width"
}


@dataclass
class Book:
    """A year of past and the months of production of one lender: each row's time, PD by the champion, and outcome."""

    times: Ints
    months: Ints  # 0 is the first of production
    probabilities: Floats
    outcomes: Floats
    true: Floats  # the true PDs
    customers: Ints  # a number of each row's

    @classmethod
    def of(cls, conditions: Conditions, seed: int, months: int = MONTHS, later: World | None = None) -> "Book":
        """``later`` is the world of those whose outcomes come when labels break; the champion does not know it."""
        rng = np.random.default_rng((seed, 7))
        starts = month_starts(date(2020, 1, 1), PAST + months)
        pools = Lender(conditions, PER_MONTH).pools(
            [Call(month, PER_MONTH, World(), chosen=False) for month in starts], seed
        )
        changed: dict[int, Batch] = {}
        if later is not None:
            since = range(PAST + BREAKS - 1, PAST + months)
            calls = [Call(starts[number], PER_MONTH, later, chosen=False) for number in since]
            batches = (next(pool) for pool in Lender(conditions, PER_MONTH).pools(calls, seed))
            changed = dict(zip(since, batches, strict=True))
        parts = []
        for number, pool in enumerate(pools):
            batch = next(pool)
            now = changed.get(number, batch)  # the same customers
            assert batch.true_pd is not None
            assert now.true_pd is not None
            odds = np.clip(batch.true_pd, 1e-7, 1.0 - 1e-7)
            noisy = odds / (1.0 - odds) * np.exp(NOISE * rng.standard_normal(odds.size))
            p = noisy / (1.0 + noisy)
            at = now.frame[TIME].to_numpy().astype("datetime64[us]").astype(np.int64)
            order = np.argsort(at, kind="stable")
            y = now.frame[TARGET].to_numpy().astype(np.float64)
            level = p * batch.true_pd.mean() / p.mean()
            who = np.arange(p.size) + (0 if conditions.repetition == "panel" else p.size * number)
            columns = at, np.full(p.size, number - PAST), level, y, now.true_pd, who
            parts.append(tuple(column[order] for column in columns))
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @property
    def past(self) -> Bools:
        """The rows that the champion learned from."""
        return self.months < 0


@dataclass
class Watch:
    """What the loop knows of one feed: deliveries as they come, and what was found."""

    book: Book
    approved: Bools  # (n,) of the rows of production
    correlation: Correlation
    found: list[tuple[str, str]] = field(default_factory=list)  # day and check
    waiting: list[Reports] = field(default_factory=list)
    counted: list[Reports] = field(default_factory=list)  # deliveries that are not held
    judged: list[int] = field(default_factory=list)
    before: list[list[Finding]] = field(default_factory=list)  # what each judged window said
    acts: tuple[str, str] | None = None  # first day of a confirmed change that labels may explain, and its name
    looks: list[Json] = field(default_factory=list)  # of each judged window: what the gate would know then
    last_id: int = 0

    def __post_init__(self) -> None:
        self.rows = np.flatnonzero(~self.book.past)
        self.history = Matured(self.book.probabilities[self.book.past], self.book.outcomes[self.book.past])

    def handed_in(self, file: FeedFile) -> None:
        """A delivery; decisions are numbered from 1 on."""
        numbers = np.array([outcome.decision_id for outcome in file.outcomes], dtype=np.int64)
        rows = self.rows[numbers - 1]
        self.last_id += numbers.size
        self.waiting.append(
            Reports(
                np.arange(self.last_id - numbers.size, self.last_id),
                numbers,
                np.array([outcome.defaulted for outcome in file.outcomes], dtype=np.float64),
                self.book.probabilities[rows],
                self.book.times[rows],
                np.full(numbers.size, to_micros(file.at)),
            )
        )

    def turn(self, now: datetime) -> None:
        """Look at the deliveries, then at the windows whose outcomes are there."""
        group: list[Reports] = []
        for position, delivery in enumerate(self.waiting):
            group.append(delivery)
            whole = joined(group)
            if not enough(len(whole), int(whole.outcomes.sum())):
                continue
            if not self._note(now, delivery_findings(whole, 0, 0), Severity.FAULT):
                self.counted += group
            group = []
            if position + 1 == len(self.waiting):
                break
        self.waiting = group
        for month in range(MONTHS):
            if month not in self.judged and self._settled(month, now):
                self.judged.append(month)
                findings = self._of_window(month)
                self._note(now, [f for f in findings if f.check.startswith("labels_")], *MOVED)
                answer = diagnose(findings, self.before, DriftSettings())
                self.before.append(findings)
                acts = answer.confirmed and answer.diagnosis in BY_OUTCOMES
                if acts and self.acts is None:
                    self.acts = f"{now:%Y-%m-%d}", answer.diagnosis.value
                self.looks.append(
                    {"acts": answer.diagnosis.value if acts else None, "doubt": promotion_doubt(findings) is not None}
                    | self._look(now)
                )

    def _look(self, now: datetime) -> Json:
        """What the gate would know of the labels: called or not, and what is left open of the level, month by month."""
        closed = [month for month in range(MONTHS) if _start(month + 1) <= now][-EARLIER - 1 :]
        reports = joined([self._reports(month) for month in closed])
        bound, periods = self.correlation.asset, self.correlation.periods
        learned = level_errors(self.history.probabilities, self.history, bound, periods)[1]
        steps = level_steps(reports, bound, learned)
        return {
            "called": any(check not in (LATE.name, STRAGGLERS.name) for _, check in self.found),
            "ranked": ranked_otherwise(self.before[-EARLIER - 1 :]),
            "open": [[step.fewest, step.most] for step in steps],
            "other": float((reports.reported >= to_micros(_start(BREAKS))).mean()),
        }

    def _note(self, now: datetime, found: Sequence[Finding], *severities: Severity) -> bool:
        said = [f.check for f in found if f.severity in severities and f.check != "labels_coverage"]
        self.found += [(f"{now:%Y-%m-%d}", check) for check in said]
        return bool(said)

    def _reports(self, month: int) -> Reports:
        everything = joined([*self.counted, *self.waiting])
        return everything.take(self.book.months[self.rows[everything.decisions - 1]] == month)

    def _settled(self, month: int, now: datetime) -> bool:
        """Whether the month's outcomes are final and there, or were waited for long enough."""
        end = _start(month + 1) + WINDOW
        if now < end or not (self.counted or self.waiting):
            return False
        expected = self.approved & (self.book.months[self.rows] == month)
        there = np.zeros(self.rows.size, dtype=np.bool_)
        there[self._reports(month).decisions - 1] = True
        return now >= end + PATIENCE or bool((expected & ~there).sum() <= LACKING * expected.sum())

    def _of_window(self, month: int) -> list[Finding]:
        reports, *earlier = (self._reports(k) for k in (month, *reversed(self.judged[:-1][-EARLIER:])))
        if not len(reports):
            return []
        found = window_findings(reports, WINDOW // timedelta(microseconds=1), (1, 1), (1, 1), earlier)
        inside = self.book.months[self.rows] == month
        outcomes = np.full(self.rows.size, np.nan)
        outcomes[reports.decisions - 1] = reports.outcomes
        realised = performance_findings(
            self.book.probabilities[self.rows][inside],
            outcomes[inside],
            self.history.probabilities,
            self.history.outcomes,
            alpha=0.01,
            correlation=self.correlation,
        )
        compared = Comparison.of(
            self.book.probabilities[self.rows][inside],
            outcomes[inside],
            self.history.probabilities,
            self.history.outcomes,
        )
        realised += over_time_findings(
            compared, self.correlation, self.before[-1] if self.before else (), alarm=DriftSettings().run_length
        )
        found += realised
        moved = {f.check for f in found if f.severity in MOVED}
        doubt = definition_doubt(reports, moved)
        if doubt is None:
            return found
        likely, periods = self.correlation.likely, self.correlation.periods
        said, _ = definition_finding(
            joined([reports, *earlier]),
            moved="calibration" in moved,
            correlation=likely,
            learned=level_errors(self.history.probabilities, self.history, likely, periods)[1],
            in_order=moved.isdisjoint((LATE.name, STRAGGLERS.name)),
            begins=int(reports.decided.min()),
            doubt=doubt,
        )
        return [*found, said]

    def judged_reports(self) -> Iterator[tuple[Floats, Bools]]:
        """Of each judged month the true PDs of those reported, and whether by the other definition."""
        since = to_micros(_start(BREAKS))
        for month in self.judged:
            reports = self._reports(month)
            yield self.book.true[self.rows[reports.decisions - 1]], reports.reported >= since


def _start(month: int) -> datetime:
    first = month_starts(date(2021, 1, 1), MONTHS + 1)[month]
    return datetime(first.year, first.month, first.day, tzinfo=UTC)


def played(kind: str, conditions: Conditions, seed: int, book: Book) -> Json:
    """One stream, and when what was found about its labels."""
    fault = "definition" if kind.endswith("definition") else kind
    labels = None if kind == "none" or kind in WORLDS else FEEDS[fault].labels
    feed = conditions.feed(WINDOW, seed, labels, None if labels is None else _start(BREAKS))
    declined = book.probabilities >= np.quantile(book.probabilities[book.past], APPROVED)
    if conditions.selection == "explored":
        declined &= np.random.default_rng((seed, 5)).random(declined.size) >= EXPLORED
    now = ~book.past
    correlation = correlation_of(
        book.times[~now] // DAY,
        book.probabilities[~now],
        book.outcomes[~now],
        given=None,
        floor=DriftSettings().asset_correlation_floor,
        customers=book.customers[~now],
    )
    watch = Watch(book, ~declined[now] | (conditions.selection == "all"), correlation)
    feed.decided(1, book.times[now], book.outcomes[now], declined[now])
    for turn in range(1, 4 * MONTHS + 1):
        at = (
            _start((turn - 1) // 4) + (_start((turn - 1) // 4 + 1) - _start((turn - 1) // 4)) * ((turn - 1) % 4 + 1) / 4
        )
        for file in feed.due(at):
            watch.handed_in(file)
        watch.turn(at)
    told = {"possible": possible(conditions, watch.judged_reports(), seed)} if kind == "definition" else {}
    return {
        "kind": kind,
        "seed": seed,
        "conditions": asdict(conditions),
        "found": watch.found[:3],
        "acts": watch.acts,
        "looks": watch.looks,
        **told,
    }


# --------------------------------------------------------------------------- what is possible at all


def possible(conditions: Conditions, months: Iterator[tuple[Floats, Bools]], seed: int) -> float:
    """In which share of such streams the likelihood ratio finds another definition, by one who knows everything else.

    That is each true PD, the asset correlation, in a panel how much each customer is given to default, and date and
    size of the change, if there is one. With a false alarm in 1% of streams no other test finds more (Neyman & Pearson,
    Philosophical Transactions A 231 (1933) 289–337).
    """
    rng = np.random.default_rng((seed, 11))
    told = [_drawn(rng, conditions, *month) for month in months]
    sound, broken = (sum(month[which] for month in told) for which in (0, 1))
    return float(np.mean(broken > np.quantile(sound, 1.0 - ALPHA)))


def _drawn(rng: np.random.Generator, conditions: Conditions, p: Floats, other: Bools) -> tuple[Floats, Floats]:
    """Log likelihood ratios of many such months, by the sound definition and by the other one; each (DRAWS,)."""
    rho, lasting = conditions.correlation, LASTING if conditions.repetition == "panel" else 0.0
    own = np.sqrt(1.0 - rho - lasting)
    latent = (ndtri(p) - np.sqrt(lasting) * rng.standard_normal(p.size)) / own
    groups = [part for flag in (False, True) for part in np.array_split(np.sort(latent[other == flag]), GROUPS)]
    thinned = np.repeat((1.0, KEPT), GROUPS)[[part.size > 0 for part in groups]]
    groups = [part for part in groups if part.size]
    size = np.array([part.size for part in groups])

    def rates(factor: Floats) -> Floats:
        moved = factor * np.sqrt(rho) / own
        return np.stack([ndtr(part[None, :] - moved[:, None]).mean(axis=1) for part in groups], axis=1)

    node, weight = np.polynomial.hermite_e.hermegauss(NODES if rho else 1)
    known, factors = rates(node), rates(rng.standard_normal(DRAWS))

    def likelihood(counts: Ints, kept: Floats) -> Floats:
        q = np.clip(known * kept, 1e-12, 1.0 - 1e-12)
        each = counts @ np.log(q).T + (size - counts) @ np.log1p(-q).T
        return np.asarray(logsumexp(each, axis=1, b=weight / weight.sum()))

    def ratio(kept: Floats) -> Floats:
        counts = rng.binomial(size, factors * kept)
        return likelihood(counts, thinned) - likelihood(counts, np.ones_like(thinned))

    return ratio(np.ones_like(thinned)), ratio(thinned)


def streams(
    seeds: Sequence[int], kinds: Sequence[str], done: Sequence[Json], quick: bool, limit: int | None = None
) -> Iterator[Json]:
    """All streams that are not ``done``; each third is balanced, so that a part of them says something."""
    known = {(one["kind"], one["seed"], tuple(one["conditions"].values())) for one in done}
    every = [Conditions(**dict(zip(TOLD, values, strict=True))) for values in product(*TOLD.values())]
    places = list(product(*(range(len(values)) for values in TOLD.values())))
    order = sorted(range(len(every)), key=lambda number: sum(places[number]) % 3)
    for seed, number in product(seeds, range(0, len(every), 35) if quick else order):
        conditions, own = every[number], 1_000 * seed + number  # a history of its own for each lender
        wanted = [kind for kind in kinds if (kind, own, tuple(asdict(conditions).values())) not in known]
        books: dict[str, Book] = {}
        for kind in wanted:
            world = next((name for name in WORLDS if kind.startswith(name)), "")
            if world not in books:
                books[world] = Book.of(conditions, own, later=WORLDS.get(world))
            yield played(kind, conditions, own, books[world])


def table(rows: Sequence[Json]) -> str:
    """Found in how many streams, by kind and level of each condition, with 95% Wilson intervals."""
    kinds = [
        kind
        for kind in dict.fromkeys((*KINDS, *(row["kind"] for row in rows)))
        if any(row["kind"] == kind for row in rows)
    ]
    lines = ["| condition | " + " | ".join(kinds) + " | definition: possible |", "|---" * (len(kinds) + 2) + "|"]
    parts = [("all", rows)]
    for name, levels in TOLD.items():
        parts += [(f"{name} {level}", [r for r in rows if r["conditions"][name] == level]) for level in levels]
    for name, part in parts:
        shares = [_share([r for r in part if r["kind"] == kind]) for kind in kinds]
        best = [row["possible"] for row in part if "possible" in row]
        lines.append(f"| {name} | " + " | ".join([*shares, f"{np.mean(best):.0%}" if best else "–"]) + " |")
    return "\n".join([*lines, "", *_months(rows, kinds), *_before_a_promotion(rows, kinds)])


def _share(rows: Sequence[Json]) -> str:
    if not rows:
        return "–"
    hits = sum(bool(row["found"]) for row in rows)
    ends: Any = wilson_interval(hits, len(rows))
    return f"{hits / len(rows):.0%} ({ends.lower:.0%} to {ends.upper:.0%}) of {len(rows)}"


def _months(rows: Sequence[Json], kinds: Sequence[str]) -> Iterator[str]:
    broken = _start(BREAKS)
    for kind in kinds:
        found = [row["found"][0] for row in rows if row["kind"] == kind and row["found"]]
        if found and kind != "none":
            waits = [(datetime.fromisoformat(day).replace(tzinfo=UTC) - broken).days / 30.44 for day, _ in found]
            checks = [check for _, check in found]
            first = ", ".join(f"`{name}` {checks.count(name)}" for name in sorted(set(checks), key=checks.count)[::-1])
            late = f"{np.median(waits):.1f} months (median; nine of ten after {np.quantile(waits, 0.9):.1f})"
            yield f"- {kind}: found after {late}, first by {first}."


def _before_a_promotion(rows: Sequence[Json], kinds: Sequence[str]) -> Iterator[str]:
    """What the loop would do by itself: a diagnosis that acts before anything is said of the labels."""
    played_ones = {kind: [row for row in rows if row["kind"] == kind and "looks" in row] for kind in kinds}
    for kind, part in played_ones.items():
        for name in ("prior_shift", "concept_drift") if part else ():
            hits = sum(_acts_first(row, name) for row in part)
            yield f"- {kind}: a confirmed `{name}` before a finding about the labels in {_of(hits, len(part))} streams."
    yield ""
    yield "| a person is asked where the level is not known to | " + " | ".join(f"{s:.0%}" for s in SHARES) + " |"
    yield "|---|" + "---:|" * len(SHARES)
    for kind, part in played_ones.items():
        wrong = [[look for look in row["looks"] if look["other"] >= SOME] for row in part]
        if kind.endswith("definition"):
            yield _asked(f"{kind}: at each look at outcomes of both definitions", [one for one in wrong if one])
        yield _asked(f"{kind}: looks, each for itself", [[look] for row in part for look in row["looks"]])
        first = [next((look for look in row["looks"] if look["acts"] == "concept_drift"), None) for row in part]
        yield _asked(f"{kind}: when concept drift is confirmed", [[look] for look in first if look is not None])


def _asked(name: str, parts: Sequence[Sequence[Json]]) -> str:
    """By the share that has to be excluded, in how many parts a person is asked at every look."""
    hits = [sum(all(_asks(look, share) for look in looks) for looks in parts) for share in SHARES]
    return f"| {name} | " + " | ".join(_of(hit, len(parts)) if parts else "–" for hit in hits) + " |"


def _asks(look: Json, share: float) -> bool:
    """Whether a promotion would need a person then."""
    steps = [LevelStep(0, 0, 0.0, *ends) for ends in look["open"]]
    return look["called"] or look["doubt"] or step_doubt(steps, share, ranked=look["ranked"]) is not None


def _acts_first(row: Json, name: str) -> bool:
    """Whether such a diagnosis is confirmed before a finding about the labels is there to ask a person."""
    return (
        row["acts"] is not None and row["acts"][1] == name and (not row["found"] or row["acts"][0] < row["found"][0][0])
    )


def _of(hits: int, of: int) -> str:
    ends: Any = wilson_interval(hits, of)
    return f"{hits} of {of} ({ends.lower:.0%} to {ends.upper:.0%})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=601, help="the first seed")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--kept", type=Path, help="finished streams, as JSON lines: an interrupted run goes on")
    parser.add_argument("--limit", type=int, help="conditions of each seed; 36 and 72 are balanced")
    parser.add_argument("--quick", action="store_true", help="one seed, a few conditions")
    given = parser.parse_args()
    done: list[Json] = []
    if given.kept is not None and given.kept.exists():
        done = [json.loads(line) for line in given.kept.read_text(encoding="utf-8").splitlines()]
    seeds = range(given.first, given.first + (1 if given.quick else given.seeds))
    for row in streams(seeds, given.kinds.split(","), done, given.quick, given.limit):
        done.append(row)
        if given.kept is not None:
            with given.kept.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
        print(row["kind"], row["seed"], *row["conditions"].values(), row["found"][:1], file=sys.stderr, flush=True)
    print(table(done))


if __name__ == "__main__":
    main()
