"""Champions and the streams of windows that a monitor has to judge, from scenarios whose truth is known."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from riskloop.core.stats import auc, psi
from riskloop.core.types import Floats, Ints, Rows
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.loop.champion import ReferenceModel, load
from riskloop.portfolio import Portfolio
from riskloop.simulation import SCENARIOS, CustomerSource, Embedded, FrameSource, Month, Scenario, stream, true_auc
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate, spread_over

if TYPE_CHECKING:
    import pandas as pd

HISTORY_MONTHS: Final = month_starts(date(2023, 1, 1), 12)
HISTORY_ROWS: Final = 15_000
PRODUCTION: Final = date(2024, 1, 1)
SOURCES: Final = ("embedded", "uci")
LATER: Final = 5_000  # added to a seed: production's customers are not history's


@dataclass(frozen=True)
class Course:
    """How a scenario is played: unchanged windows, then changed ones, the first of them ``since`` months into it."""

    before: int
    changed: int
    since: int = 0

    @property
    def months(self) -> list[date]:
        """The calendar of the stream."""
        return month_starts(PRODUCTION, self.before + self.changed)


def course_of(name: str, source: str, size: int) -> Course | None:
    """How ``name`` is played; None where a frame's rows do not suffice, or nothing new would be seen."""
    scenario = SCENARIOS[name]
    stable = scenario.diagnosis == "stable"
    if source == "embedded":
        if name == "recurring":  # for two windows it is the recession, which every size has
            return Course(2, 7) if size == 2_000 else None
        return Course(0, 12) if stable else Course(2, {"new_channel_gradual": 6, "ageing": 12}.get(name, 2))
    if name == "recurring":
        return None
    if size > 2_000:
        # 15,000 real rows make one such window, and none for scenarios that choose among rows.
        return None if scenario.keep is not None else Course(0, 1)
    if stable:
        return Course(0, 3 if name != "stable" else 12 if size == 500 else 6)
    # Slow changes are played near their end: that many disjoint real rows do not exist.
    return Course(1, 2, {"new_channel_gradual": 2, "ageing": 10}.get(name, 0))


@dataclass(frozen=True)
class Window:
    """One window as the monitor gets it, and the truth beside it."""

    truth: Month
    period: tuple[datetime, datetime]
    rows: Rows
    scores: Floats


class World:
    """One seed's history, champion and production."""

    def __init__(self, source: str, seed: int, frame: "pd.DataFrame | None", folder: Path) -> None:
        self.name, self.seed = source, seed
        self._production: CustomerSource = Embedded()
        if frame is None:
            history = simulate(HISTORY_MONTHS, HISTORY_ROWS // 12, seed)
        else:
            shuffled = frame.sample(frac=1.0, random_state=seed)
            dates = [spread_over(month, HISTORY_ROWS // 12) for month in HISTORY_MONTHS]
            history = shuffled[:HISTORY_ROWS].assign(**{TIME: np.concatenate(dates)})
            self._production = FrameSource(shuffled[HISTORY_ROWS:], skip=[ID])
        self.champion, self.portfolio = trained(history, folder)
        self.settings = self.portfolio.home.settings

    def windows(self, name: str, size: int, course: Course) -> Iterator[Window]:
        """The scenario's windows of ``size`` rows a month."""
        scenario = SCENARIOS[name]
        shifted = replace(scenario, course=_later(scenario, course.since))
        months = course.months
        ends = [*months[1:], month_starts(months[-1], 2)[1]]
        played = stream(shifted, self._production, months, size, self.seed + LATER, starts_at=course.before)
        for month, end in zip(played, ends, strict=True):
            # A file with the same customer twice is refused at the door; single requests are not.
            delivered = month.frame.assign(**{ID: np.arange(len(month.frame))})
            rows = rows_from(delivered, self.champion.model.schema, target="absent", where="the stream")
            yield Window(month, (_midnight(month.start), _midnight(end)), rows, self._scores(rows))

    def true_psi(self, windows: list[Window]) -> tuple[float, float]:
        """PSI of the champion's score, and the largest of a feature with at least a fifth of its importance."""
        reference, own = self.champion.reference, self.champion.reference.own
        features = np.concatenate([w.rows.features for w in windows])
        scores = np.concatenate([w.scores for w in windows])
        important = [n for n, share in self.champion.manifest.importance.items() if share >= self.settings.drift.share]
        columns = [reference.schema.names.index(name) for name in important]
        by_feature = [psi(own.counts[j], reference.bins[j].count(features[:, j])) for j in columns]
        return psi(own.score_counts, reference.score_bins.count(scores)), max(by_feature, default=0.0)

    def true_moves(self, windows: list[Window]) -> tuple[float, float]:
        """How far the champion's AUC and the default rate moved from the history's: a difference, and a ratio less 1.

        By the true PDs where they are known, else by the outcomes.
        """
        scores = np.concatenate([w.scores for w in windows])
        outcomes = np.concatenate([labels(w.truth) for w in windows])
        truths = [w.truth.true_pd for w in windows if w.truth.true_pd is not None]
        pd = np.concatenate(truths) if len(truths) == len(windows) else outcomes
        before = auc(self.champion.outcomes, self.champion.probabilities)
        return true_auc(scores, pd) - before, float(pd.mean() / self.champion.outcomes.mean()) - 1.0

    def _scores(self, rows: Rows) -> Floats:
        return self.champion.model.probabilities(rows.features) if len(rows) else np.empty(0)


def _later(scenario: Scenario, months: int) -> Any:
    return lambda since, month: scenario.course(since + months, month)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def trained(history: "pd.DataFrame", folder: Path, learner: str = "lightgbm") -> tuple[ReferenceModel, Portfolio]:
    """A champion by the project's own training, from its own artefact."""
    path = folder / "history.csv"
    history.to_csv(path, index=False)
    config = infer_config(path, target=TARGET, id=ID, time=TIME, outcome_window=timedelta(days=30))
    # No value is refused at the door: every fault has to be told by the monitor.
    config = config.replace("\nkind = ", "\nnullable = true\nkind = ").replace("\n# unseen = ", "\nunseen = ")
    config = config.replace("\n[train]", f'\n[train]\nlearners = ["{learner}"]\nthreads = 1')
    (folder / "riskloop.toml").write_text(config, encoding="utf-8")
    portfolio = Portfolio.open(folder)
    version = portfolio.train(history).version
    return load(portfolio.home, version), portfolio


def worlds(source: str, seeds: list[int], frame: "pd.DataFrame | None" = None) -> Iterator[World]:
    """One world after the other; its files live as long as it is in use."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            world = World(source, seed, frame, Path(folder))
            try:
                yield world
            finally:
                world.portfolio.home.close()


def labels(month: Month) -> Floats:
    """The outcomes as the monitor reads them."""
    target: Ints = month.target
    return target.astype(np.float64)
