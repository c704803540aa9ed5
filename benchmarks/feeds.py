"""Outcome feeds as lenders have them: does the loop wait for them, and does it find their faults before it learns?

    python -m benchmarks.feeds [--quick] [--seeds N] [--kinds on_time,inverted,…]

Every feed of `simulation/feeds.py` reports the outcomes of portfolios whose world does not change. Labels that break do
so from 1 May on. A fault counts as found when outcomes were quarantined or a finding about the feed moved; "learned"
counts portfolios with a promotion that no person approved. A sound feed must give no such finding and no promotion.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from riskloop.core.stats import wilson_interval
from riskloop.core.types import Diagnosis, Json, Severity, to_micros
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.portfolio import Portfolio
from riskloop.scoring import decide
from riskloop.scoring.model import load_model
from riskloop.simulation.embedded import ID, TARGET, TIME, World, month_starts, simulate
from riskloop.simulation.feeds import FEEDS, FeedKind, SimulatedFeed
from riskloop.store.windows import Window

WEEK: Final = timedelta(days=7)
TRAINED: Final = datetime(2024, 12, 31, tzinfo=UTC)
MONTHS: Final = month_starts(date(2025, 1, 1), 6)
BROKEN: Final = datetime(2025, 5, 1, tzinfo=UTC)
EXTRA: Final = """
[train]
learners = ["scorecard"]
folds = 3
[drift]
evidently_rows = 0
"""
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE, Severity.FAULT)


@dataclass
class Book:
    """A portfolio in production, whose outcomes come by one kind of feed."""

    portfolio: Portfolio
    feed: SimulatedFeed
    judged: dict[str, datetime] = field(default_factory=dict)  # windows, and when they were first

    def live(self, month: date, seed: int, world: World, rows: int) -> None:
        """A month of decisions and of weekly cycles."""
        home = self.portfolio.home
        frame = simulate([month], rows, seed, world)
        customers = rows_from(frame[frame["EDUCATION"] != 0], home.schema, target="required", where="the simulation")
        assert customers.target is not None
        start = datetime(month.year, month.month, 1, tzinfo=UTC)
        ends = [*(start + WEEK * k for k in (1, 2, 3)), (start + timedelta(days=32)).replace(day=1)]
        for first, last in zip([start, *ends], ends, strict=False):
            at = np.flatnonzero((customers.times >= to_micros(first)) & (customers.times < to_micros(last)))
            part = customers.take(at)
            version = home.champion().version
            decided = decide(load_model(home.artefact(version), version), part, to_micros(last), 0.0)
            logged = home.decisions.append(decided)
            self.feed.decided(logged.first_id, part.times, customers.target[at], decided.defaults)
            self.turn(last)

    def turn(self, now: datetime) -> Json:
        """What was handed in until now, and a cycle."""
        for file in self.feed.due(now):
            self.portfolio.home.outcomes.record(file.outcomes, file.at, complete_until=file.complete_until)
        done = self.portfolio.cycle(now=now + timedelta(hours=1))
        for window in done.matured:
            self.judged.setdefault(window["name"], now)
        return done.to_dict()

    def wait(self, weeks: int, since: datetime) -> None:
        """Weekly cycles without customers."""
        for week in range(1, weeks + 1):
            self.turn(since + WEEK * week)

    @property
    def windows(self) -> list[Window]:
        """All, oldest first."""
        return self.portfolio.home.windows.latest(1000)


def contract(kind: FeedKind) -> str:
    """The [outcomes] table that fits a feed."""
    return "[outcomes]\n" + "".join(f'{name} = "{value}"\n' for name, value in kind.settings.items())


@contextmanager
def book(kind: FeedKind, seed: int, extra: str = EXTRA, since: datetime | None = None) -> Iterator[Book]:
    """A trained portfolio with a feed, in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        history = simulate(month_starts(date(2024, 1, 1), 12), 300, seed)
        history.to_csv(folder / "history.csv", index=False)
        window = timedelta(days=30)
        text = infer_config(folder / "history.csv", target=TARGET, id=ID, time=TIME, outcome_window=window)
        text = text.split("[train]", 1)[0]
        (folder / "riskloop.toml").write_text(text + extra + contract(kind), encoding="utf-8")
        portfolio = Portfolio.open(folder)
        try:
            portfolio.train(folder / "history.csv", now=TRAINED)
            yield Book(portfolio, SimulatedFeed(kind, portfolio.home.settings.portfolio.outcome_window, seed, since))
        finally:
            portfolio.home.close()


def played(kind: FeedKind, seed: int, rows: int) -> Json:
    """Half a year of an unchanged world, and what the loop made of the feed."""
    broken = kind.labels not in ("sound", "corrected")
    with book(kind, seed, since=BROKEN if broken else None) as one:
        for number, month in enumerate(MONTHS):
            one.live(month, 1000 * seed + number, World(), rows)
        one.wait(6, datetime(2025, 7, 1, tzinfo=UTC))
        home = one.portfolio.home
        windows = [window for window in one.windows if window.rows]
        feed = [f for w in windows for f in home.windows.findings(w.id) if f.check.startswith("labels_")]
        cases = home.cases.latest(100)
        said = any(f.severity in MOVED for f in feed) or any(c.diagnosis is Diagnosis.LABEL_FAULT for c in cases)
        return {
            "found": said,
            "learned": len(home.ledger.promotions()) - 1,
            "judged": sum(window.matured_at is not None for window in windows[:5]),
            "changed": sum(
                window.diagnosis in (Diagnosis.PRIOR_SHIFT, Diagnosis.CONCEPT_DRIFT, Diagnosis.COVARIATE_SHIFT)
                for window in windows
            ),
            "windows": len(windows),
        }


def table(kinds: Sequence[str], seeds: Sequence[int], rows: int) -> str:
    """One line for every kind of feed."""
    lines = [
        "| feed | portfolios | fault found | learned unattended | windows called changed | judged of five |",
        "|---|---|---|---|---|---|",
    ]
    for name in kinds:
        runs: list[Json] = [played(FEEDS[name], seed, rows) for seed in seeds]
        found = _share(sum(run["found"] for run in runs), len(runs))
        learned = _share(sum(run["learned"] > 0 for run in runs), len(runs))
        changed = _share(sum(run["changed"] for run in runs), sum(run["windows"] for run in runs))
        judged = sum(run["judged"] for run in runs) / len(runs)
        lines.append(f"| {name} | {len(runs)} | {found} | {learned} | {changed} | {judged:.1f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def _share(count: int, of: int) -> str:
    interval: Any = wilson_interval(count, of)
    return f"{count} of {of} ({interval.lower:.0%} to {interval.upper:.0%})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=600, help="decisions a month")
    parser.add_argument("--kinds", default=",".join(FEEDS))
    given = parser.parse_args()
    seeds = range(101, 101 + (2 if given.quick else given.seeds))
    kinds = given.kinds.split(",")
    print(table(kinds, seeds, given.rows))


if __name__ == "__main__":
    main()
