"""What people do without a gate: a trigger, and a refit on all known outcomes that goes live untested.

Every trigger looks at the same windows and, when it fires, exchanges the model for the same refit of that month, so
that they differ in nothing but when they fire. After a retraining the new training rows are the reference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from riskloop.backtest.history import History, Played
from riskloop.backtest.oracle import together
from riskloop.backtest.replay import arrivals
from riskloop.backtest.score import Scores, exchange
from riskloop.backtest.study import Run
from riskloop.core import stats
from riskloop.core.settings import Settings
from riskloop.core.types import Bools, Diagnosis, Floats, Json, Rows, to_micros
from riskloop.simulation import true_auc
from riskloop.simulation.feeds import SimulatedFeed
from riskloop.train.calibrate import fit_calibration
from riskloop.train.fit import fit_once

EVERY: Final = 3
PSI: Final = 0.25
DRIFTED_SHARE: Final = 0.5  # Evidently's default for a data set
SAMPLE: Final = 3000  # rows of a reference that Evidently's tests are given
CHUNK_ERRORS: Final = 3.0  # NannyML's default threshold: three standard deviations of the reference's chunks
HELD_BACK: Final = 0.2  # of the rows, the latest, that the refit is calibrated on
TOLD: Final = "told"  # not a trigger: what a loop could do that is told of every change beforehand
TOLD_SHARE: Final = 0.8  # of all weight, that outcomes of the coming month's world carry
ALIKE: Final = 0.25  # worlds whose changes have gone as far, up to this, count as the same


@dataclass(frozen=True)
class Model:
    """A served model and the rows that it is compared with."""

    predict: Callable[[Floats], Floats]
    reference: Floats  # (m, k)
    held_back: Floats  # (h,) probabilities of rows that it had not seen …
    outcomes: Floats  # (h,) … and what became of them


@dataclass(frozen=True)
class Window:
    """What a trigger sees at the end of a period."""

    number: int
    since: int  # periods since the last retraining
    features: Floats
    scores: Floats
    model: Model
    settings: Settings


Trigger = Callable[[Window], bool]


def always(window: Window) -> bool:
    """Every period."""
    return True


def schedule(window: Window) -> bool:
    """Every third period."""
    return window.since >= EVERY


def psi_above(window: Window) -> bool:
    """Any model input with a PSI above 0.25."""
    schema = window.settings.row_schema
    for column in schema.model_columns:
        feature = schema.features[column]
        then, now = window.model.reference[:, column], window.features[:, column]
        bins = stats.level_bins(feature.categories) if feature.kind == "category" else stats.fit_numeric_bins(then)
        if stats.psi(bins.count(then), bins.count(now)) > PSI:
            return True
    return False


def evidently_share(window: Window) -> bool:
    """Half of the inputs drifted by Evidently's own choice of tests and thresholds, on a sample of the reference."""
    import pandas as pd
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    schema = window.settings.row_schema
    step = max(1, len(window.model.reference) // SAMPLE)
    drifted = 0
    for column in schema.model_columns:
        kind = ColumnType.Categorical if schema.features[column].kind == "category" else ColumnType.Numerical
        then = pd.Series(window.model.reference[::step, column]).dropna()
        now = pd.Series(window.features[:, column]).dropna()
        if now.empty:
            drifted += 1
            continue
        test = get_stattest(then, now, kind, None)
        drifted += bool(test(then, now, kind, None).drifted)
    return drifted >= DRIFTED_SHARE * len(schema.model_columns)


def cbpe_below(window: Window) -> bool:
    """The AUC estimated before outcomes is three standard deviations of the reference's chunks below their mean."""
    model, size = window.model, max(200, len(window.scores))
    line = stats.recalibrate(model.outcomes, model.held_back)
    rng = np.random.default_rng(0)
    chunks = [
        stats.cbpe(rng.choice(model.held_back, size), line).auc.value  # drawn, because few chunks were held back
        for _ in range(20)
    ]
    estimate = stats.cbpe(window.scores, line).auc.value
    return bool(estimate < np.mean(chunks) - CHUNK_ERRORS * np.std(chunks))


TRIGGERS: Final[dict[str, Trigger]] = {
    "always": always,
    "schedule:3": schedule,
    "psi > 0.25": psi_above,
    "evidently share": evidently_share,
    "cbpe": cbpe_below,
}


Known = Callable[[int], Rows]  # the past and the rows whose outcomes are known at the end of a period; -1: the past


class Refits:
    """The untested refit of each period, fitted once for all triggers."""

    def __init__(self, history: History, learner: str, known: Known | None = None) -> None:
        self._history, self._learner = history, learner
        self._known = known or on_time(history)
        self._kept: dict[int, Model] = {}

    def first(self) -> Model:
        """Of the past alone."""
        return self.after(-1)

    def after(self, number: int) -> Model:
        """On the past and all outcomes that are known at the end of the period."""
        if number not in self._kept:
            self._kept[number] = self._fit(self._known(number))
        return self._kept[number]

    def _fit(self, rows: Rows) -> Model:
        settings = self._history.settings
        target = np.asarray(rows.target)
        tested = np.arange(len(rows)) >= (1 - HELD_BACK) * len(rows)
        raw = fit_once(rows.take(~tested), settings, self._learner)(rows.features[tested])
        line = fit_calibration(raw, target[tested])
        final = fit_once(rows, settings, self._learner)
        return Model(lambda features: line.apply(final(features)), rows.features, line.apply(raw), target[tested])


def on_time(history: History) -> Known:
    """Everybody's outcomes, on the day on which they are final."""
    return partial(_matured, history)


def handed_in(history: History, feed: SimulatedFeed, declined: Sequence[Bools]) -> Known:
    """What a feed hands in of the first model's decisions: each outcome as it was last said by then."""
    sizes = [len(period.rows) for period in history.periods]
    said, by_period = np.full(sum(sizes), np.nan), []
    for first, period, refused in zip(np.cumsum([0, *sizes]).tolist(), history.periods, declined, strict=False):
        times = np.maximum(period.rows.times, arrivals(period))
        feed.decided(first, times, np.asarray(period.rows.target), refused)
        for file in feed.due(period.end):
            for outcome in file.outcomes:
                assert outcome.decision_id is not None
                said[outcome.decision_id] = outcome.defaulted
        by_period.append(said.copy())

    def known(number: int) -> Rows:
        if number < 0:
            return history.past
        rows = together([period.rows for period in history.periods[: number + 1]])
        labelled = replace(rows, target=by_period[number][: len(rows)])
        return together([history.past, labelled.take(~np.isnan(np.asarray(labelled.target)))])

    return known


def _matured(history: History, number: int) -> Rows:
    parts = [history.past]
    if number >= 0:
        until = to_micros(history.periods[number].end - history.settings.portfolio.outcome_window)
        for period in history.periods[: number + 1]:
            target = np.asarray(period.rows.target)
            parts.append(period.rows.take((period.rows.times <= until) & ~np.isnan(target)))
    return together(parts)


def run_trigger(history: History, name: str, refits: Refits, first: Sequence[Floats]) -> Run:
    """The periods under one trigger; ``first`` are the first champion's probabilities, which all policies share."""
    trigger = TRIGGERS[name]
    model, version, since = refits.first(), 0, 0
    models = {0: model}
    scores: list[Scores] = []
    champions: list[int | None] = []
    retrained: list[int] = []
    for number, period in enumerate(history.periods):
        p = first[number] if version == 0 else model.predict(period.rows.features)
        scores.append(Scores(np.asarray(period.rows.target), p, p >= 1.0, period.true_pd))
        champions.append(version + 1)
        since += 1
        if len(period.rows) and trigger(Window(number, since, period.rows.features, p, model, history.settings)):
            model, version, since = refits.after(number), version + 1, 0
            models[version] = model
            retrained.append(number)
    promotions = [_exchange(history, scores, models, first, k, at, retrained) for k, at in enumerate(retrained)]
    labels = [history.periods[number].name for number in retrained]
    story: Json = {
        "retrainings": [{"period": label} for label in labels],
        "promotions": promotions,
        "rollbacks": 0,
        "windows": {},
        "cases": [],
    }
    return Run(name, (trigger.__doc__ or "").strip(), tuple(scores), tuple(champions), story)


def _exchange(
    history: History,
    scores: Sequence[Scores],
    models: dict[int, Model],
    first: Sequence[Floats],
    position: int,
    at: int,
    retrained: Sequence[int],
) -> Json:
    until = retrained[position + 1] if position + 1 < len(retrained) else len(history.periods) - 1
    served = [k for k in range(at + 1, until + 1) if history.periods[k].truth is not Diagnosis.DATA_FAULT]
    old = [first[k] if position == 0 else models[position].predict(history.periods[k].rows.features) for k in served]
    new = [models[position + 1].predict(history.periods[k].rows.features) for k in served]
    found = exchange([scores[k] for k in served], old, new)
    return {"period": history.periods[at].name, "periods": len(served), **found}


# --------------------------------------------------------------------------- what late outcomes allow


def run_told(history: History, learner: str, first: Sequence[Floats], known: Known | None = None) -> Run:
    """Every changed month is scored by a refit on the outcomes known by then, the month's own world weighing most.

    Nobody is told which world a month will be of. This is what outcomes allow that come late, while the oracle shows
    what there was to win: a loop that does better than this was lucky. Where it ranks better, the first model stays.
    """
    scores = []
    for number, period in enumerate(history.periods):
        told = (
            _told(history, learner, number, known or on_time(history))
            if period.share > 0.0 and period.truth is not Diagnosis.DATA_FAULT
            else None
        )
        y, p = np.asarray(period.rows.target), first[number]
        if told is not None and _area(period, told) > _area(period, p):
            p = told
        scores.append(Scores(y, p, p >= 1.0, period.true_pd))
    story: Json = {"retrainings": [], "promotions": [], "rollbacks": 0, "windows": {}, "cases": []}
    return Run(TOLD, "", tuple(scores), (None,) * len(scores), story)


def _area(period: Played, p: Floats) -> float:
    return stats.auc(np.asarray(period.rows.target), p) if period.true_pd is None else true_auc(p, period.true_pd)


def _told(history: History, learner: str, number: int, known: Known) -> Floats | None:
    """Probabilities of one month; None where no outcome of its world is known."""
    coming = history.periods[number]
    rows = known(number - 1)
    alike = np.zeros(len(rows), dtype=np.bool_)
    for period in history.periods[:number]:
        if period.share > 0.0 and abs(period.share - coming.share) <= ALIKE:
            alike |= (rows.times >= to_micros(period.first)) & (rows.times < to_micros(period.end))
    if not alike.any():
        return None
    weights = np.where(alike, TOLD_SHARE / alike.sum(), (1.0 - TOLD_SHARE) / (~alike).sum())
    raw = fit_once(rows, history.settings, learner, weights / weights.mean())(coming.rows.features)
    return 1.0 / (1.0 + np.exp(-raw))
