"""How much later is a change found because outcomes come late, in files, corrected, or of the approved only?

    python -m benchmarks.delays [--seeds 3] [--kept streams.jsonl] [--quick]

Every change of LoopBench with the same customers under perfect outcomes (on time, all) and under each delivery and
selection of a lender. One champion of a year of past judges months of 2,000 by the same checks as the loop, at
closing, every week when outcomes are complete, and again when some are corrected; nothing is retrained, so that
streams are cheap and only the first finding counts: the first confirmed diagnosis of a change in a changed month.
docs/loopbench.md shows the table.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import t as student

from benchmarks._cells import PER_MONTH, world_of
from benchmarks._fraction import Planned
from riskloop.backtest.history import History, Played
from riskloop.backtest.replay import first_champion
from riskloop.core.maturity import complete_days
from riskloop.core.stats import wilson_interval
from riskloop.core.types import DAY, Bools, Diagnosis, Finding, Floats, Ints, Json, to_micros
from riskloop.decide.diagnosis import POPULATION, diagnose
from riskloop.loop.champion import ReferenceModel, load
from riskloop.loop.examine import Arrived, at_closing, correlation, when_matured
from riskloop.monitor.labels import definition_finding
from riskloop.monitor.matured import Matured
from riskloop.monitor.onset import CHANGED
from riskloop.monitor.performance import level_errors
from riskloop.monitor.reports import Reports, joined
from riskloop.simulation import SCENARIOS
from riskloop.simulation.catalogue import STARTS
from riskloop.simulation.conditions import EXPLORED, Conditions
from riskloop.store.home import Home

FIRST: Final = 901  # seed
MONTHS: Final = {"new_channel_gradual": 9, "ageing": 12}
SHORT: Final = 7  # of other changes
WAITED: Final = 3  # months after the last one, for its outcomes
CHANGES: Final = tuple(
    name for name, one in SCENARIOS.items() if one.diagnosis is not Diagnosis.STABLE and not one.is_fault
)
PERFECT: Final = Conditions()
PLAYED: Final = (
    PERFECT,
    *(replace(PERFECT, delivery=delivery) for delivery in ("monthly", "late", "corrected")),
    *(
        replace(PERFECT, delivery=delivery, selection=selection)
        for selection in ("approved", "explored")
        for delivery in ("on_time", "monthly")
    ),
)
FOUND: Final = (Diagnosis.COVARIATE_SHIFT, Diagnosis.PRIOR_SHIFT, Diagnosis.CONCEPT_DRIFT)
MONTH: Final = 30.44  # days
EARLIER: Final = 6  # windows before, as in the loop
WEEK: Final = timedelta(days=7)


@dataclass
class Stream:
    """One scenario with one champion, and what was judged of it so far: the same content is judged once."""

    champion: ReferenceModel
    history: History
    scores: list[Floats] = field(default_factory=list)
    closings: list[list[Finding]] = field(default_factory=list)
    judged: dict[tuple[Any, ...], list[Finding]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for period in self.history.periods:
            rows = period.rows
            self.scores.append(self.champion.model.probabilities(rows.features))
            profile = self.champion.reference.profile(rows.features, self.scores[-1], rows.times)
            arrived = Arrived(profile, rows.features, self.scores[-1], rows.times)
            span = (period.first, period.end)
            self.closings.append(
                at_closing(self.champion, self.history.settings, arrived, period=span, estimated=False)
            )

    def by_outcomes(self, month: int, outcomes: Floats, before: Sequence[Finding]) -> list[Finding]:
        """What a month's outcomes say, carrying on the evidence of the month judged before it."""
        key = (month, outcomes.tobytes(), id(before) if before else 0)
        if key not in self.judged:
            drifted = any(f.check in POPULATION and f.severity in CHANGED for f in self.closings[month])
            features = self.history.periods[month].rows.features
            self.judged[key] = when_matured(
                self.champion, self.history.settings, features, self.scores[month], outcomes, None, before, drifted
            )
        return self.judged[key]


@dataclass
class Lender:
    """What one lender knows of a stream week by week, and when the change is found."""

    stream: Stream
    conditions: Conditions
    seed: int

    def __post_init__(self) -> None:
        history = self.stream.history
        limit, rng = self.stream.champion.model.threshold, np.random.default_rng((self.seed, 5))
        rate = EXPLORED if self.conditions.selection == "explored" else 0.0
        self.feed = self.conditions.feed(history.settings.portfolio.outcome_window, self.seed)
        self.waits: list[Bools] = []  # whose outcome is expected, as far as completeness goes
        self.known: list[Floats] = []
        self.reported: list[Ints] = []  # microseconds; of a corrected one the first report
        self.allowed = correlation(self.stream.champion, history.settings)
        first = 1
        for period, scores in zip(history.periods, self.stream.scores, strict=True):
            declined = (scores >= limit) & (rng.random(scores.size) >= rate)
            self.feed.decided(first, period.rows.times, _labels(period), declined)
            self.waits.append(~declined)
            self.known.append(np.full(scores.size, np.nan))
            self.reported.append(np.zeros(scores.size, dtype=np.int64))
            first += scores.size

    def found(self) -> datetime | None:
        """The first turn at which a change is confirmed in a changed month."""
        periods = self.stream.history.periods
        judged: dict[int, list[Finding]] = {}
        told: dict[int, list[Finding]] = {}  # with what the features say
        seen: dict[int, bytes] = {}
        end = periods[-1].end + WAITED * timedelta(days=31)
        now = periods[0].end
        while now <= end:
            fresh = self._handed_in(now)
            for month in range(len(periods)):
                if periods[month].end > now:
                    break
                whole = self._settled(month, now)
                state = self.known[month].tobytes() if whole else b""
                if month in seen and (seen[month] == state or not fresh):
                    continue
                seen[month] = state
                findings = list(self.stream.closings[month])
                if whole:
                    before = next((judged[k] for k in range(month - 1, -1, -1) if k in judged), [])
                    judged[month] = self.stream.by_outcomes(month, self.known[month], before)
                    findings += [*judged[month], *self._definition(month, judged[month])]
                told[month] = findings
                earlier = [told[k] for k in range(month) if k in told]
                answer = diagnose(findings, earlier, self.stream.history.settings.drift)
                if month >= STARTS and answer.confirmed and answer.diagnosis in FOUND:
                    return now
            now += WEEK
        return None

    def _definition(self, month: int, realised: Sequence[Finding]) -> list[Finding]:
        """Whether a person is asked about the level, by this month and those before."""
        moved = {f.check for f in realised if f.severity in CHANGED}
        if "auc" in moved:
            return []
        champion, parts = self.stream.champion, []
        for k in range(max(0, month - EARLIER), month + 1):
            rows = np.flatnonzero(~np.isnan(self.known[k]))
            ids, times = rows + k * PER_MONTH, self.stream.history.periods[k].rows.times[rows]
            p = champion.best_estimate(self.stream.scores[k][rows])
            parts.append(Reports(ids, ids, self.known[k][rows], p, times, self.reported[k][rows]))
        past = Matured.of(champion.best_estimate(champion.probabilities), champion.outcomes)
        likely, periods = self.allowed.likely, self.allowed.periods
        found, _ = definition_finding(
            joined(parts),
            moved="calibration" in moved,
            correlation=likely,
            learned=level_errors(past.probabilities, past, likely, periods)[1],
            begins=int(parts[-1].decided.min()),
        )
        return [found]

    def _handed_in(self, now: datetime) -> bool:
        files = self.feed.due(now)
        for file in files:
            for outcome in file.outcomes:
                month, row = divmod(int(outcome.decision_id or 0) - 1, PER_MONTH)
                if np.isnan(self.known[month][row]):
                    self.reported[month][row] = to_micros(file.at)
                self.known[month][row] = float(outcome.defaulted)
        return bool(files)

    def _settled(self, month: int, now: datetime) -> bool:
        """Whether its outcomes are final, and nearly all are there on each day."""
        settings = self.stream.history.settings
        period = self.stream.history.periods[month]
        if period.end + settings.portfolio.outcome_window > now:
            return False
        days = period.rows.times // DAY - int(period.rows.times.min()) // DAY
        expected = np.bincount(days[self.waits[month]])
        there = self.waits[month] & ~np.isnan(self.known[month])
        known = np.bincount(days[there], minlength=expected.size)
        waited = period.end + settings.portfolio.outcome_window + settings.outcomes.patience <= now
        return waited or complete_days(expected, known, 1.0) == expected.size


def _labels(period: Played) -> Floats:
    return np.asarray(period.rows.target, dtype=np.float64)


def champion_of(seed: int, folder: Path) -> ReferenceModel:
    """The first model of a lender with the usual conditions; its past is the same in each scenario."""
    first_champion(folder, world_of(Planned("recession", 0, "recession", PERFECT, seed), PER_MONTH, 1))
    home = Home.open(folder)
    try:
        return load(home, home.champion().version)
    finally:
        home.close()


def streams(seeds: Sequence[int], scenarios: Sequence[str], done: Sequence[Json]) -> Iterator[Json]:
    """All streams that are not ``done``: months until the change was found, by conditions."""
    known = {(one["scenario"], one["seed"]) for one in done}
    for seed in seeds:
        wanted = [name for name in scenarios if (name, seed) not in known]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="delays-") as folder:
            champion = champion_of(seed, Path(folder) / "first")
        for name in wanted:
            planned = Planned("recession", 0, name, PERFECT, seed)
            stream = Stream(champion, world_of(planned, PER_MONTH, MONTHS.get(name, SHORT)))
            begun = stream.history.periods[STARTS].first
            months = {}
            for conditions in PLAYED:
                found = Lender(stream, conditions, seed).found()
                months[_named(conditions)] = None if found is None else (found - begun).days / MONTH
            last = (stream.history.periods[-1].end - begun).days / MONTH + WAITED
            yield {"scenario": name, "seed": seed, "months": months, "last": last}


def _named(conditions: Conditions) -> str:
    return f"{conditions.delivery}, {conditions.selection}"


def table(rows: Sequence[Json]) -> str:
    """Months until found, more than with perfect outcomes (95% t interval over streams), and shares beyond a month."""
    perfect = _named(PERFECT)
    lines = [
        "| outcomes | streams | found | months until found | more than with perfect outcomes | over one month more |",
        "|---|---:|---|---:|---|---|",
    ]
    for name in map(_named, PLAYED):
        both = [(row["months"][perfect], row["months"][name], row["last"]) for row in rows]
        there = [now for _, now, _ in both if now is not None]
        mean = f"{np.mean(there):.1f}" if there else "–"
        line = f"| {name.replace('_', ' ')} | {len(both)} | {len(there)} | {mean} |"
        lines.append(line + (" – | – |" if name == perfect else _more(both)))
    return "\n".join(lines)


def _more(both: Sequence[tuple[float | None, float | None, float]]) -> str:
    """One that is not found counts as found when the stream ends, and as over a month more where the other is."""
    more = np.array([(last if now is None else now) - (last if usual is None else usual) for usual, now, last in both])
    half = float(student.ppf(0.975, more.size - 1) * more.std(ddof=1) / np.sqrt(more.size)) if more.size > 1 else np.nan
    over = sum(usual is not None and (now is None or now - usual > 1.0 + 1.0 / MONTH) for usual, now, _ in both)
    ends: Any = wilson_interval(over, len(both))
    return (
        f" {more.mean():+.2f} ({more.mean() - half:+.2f} to {more.mean() + half:+.2f}) "
        f"| {over / len(both):.0%} ({ends.lower:.0%} to {ends.upper:.0%}) |"
    )


def by_scenario(rows: Sequence[Json]) -> str:
    """The months of each scenario, one value a seed, under each condition."""
    names = [_named(conditions) for conditions in PLAYED]
    lines = [
        "| change | " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        some = [row for row in rows if row["scenario"] == scenario]
        cells = [
            ", ".join("–" if row["months"][name] is None else f"{row['months'][name]:.1f}" for row in some)
            for name in names
        ]
        lines.append(f"| {scenario} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=3, help=f"from {FIRST} on")
    parser.add_argument("--only", default=",".join(CHANGES), help="scenarios, with commas")
    parser.add_argument("--kept", type=Path, help="finished streams, as JSON lines: an interrupted run goes on")
    parser.add_argument("--quick", action="store_true", help="one seed, two scenarios")
    given = parser.parse_args()
    done: list[Json] = []
    if given.kept is not None and given.kept.exists():
        done = [json.loads(line) for line in given.kept.read_text(encoding="utf-8").splitlines()]
    scenarios = given.only.split(",")[: 2 if given.quick else None]
    for row in streams(range(FIRST, FIRST + (1 if given.quick else given.seeds)), scenarios, done):
        done.append(row)
        if given.kept is not None:
            with given.kept.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
        print(row["scenario"], row["seed"], row["months"], file=sys.stderr, flush=True)
    print(table(done), by_scenario(done), sep="\n\n")


if __name__ == "__main__":
    main()
