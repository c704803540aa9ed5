"""The best that could have been had: models of the changed world that nobody could have trained in time."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from riskloop.backtest.history import History, Played
from riskloop.backtest.worlds import Game, rows_of
from riskloop.core import stats
from riskloop.core.settings import Settings
from riskloop.core.types import Floats, Rows
from riskloop.train.calibrate import fit_calibration
from riskloop.train.fit import fit, fit_once

OTHER_CUSTOMERS: Final = 104_729  # added to a game's seed
FOLDS: Final = 5
PLAIN_FOLDS: Final = 2


def oracle_scores(history: History, game: Game, learner: str, first: Sequence[Floats]) -> list[Floats]:
    """Probabilities by period; ``first`` are those of the first model, which has nothing to gain in an unchanged world.

    On the embedded portfolio a changed world's model learns from as many other customers of that very world as the
    first model had of its own. A file has no others: its changed months are scored out of fold, by models that saw the
    rest of them, with and without the past. In hindsight the better of all these is taken, month by month of one world.
    """
    worlds = sorted({period.share for period in history.periods if period.share > 0.0})
    scores = list(first)
    if game.scenario.is_fault or game.scenario.most is not None or not worlds:
        return scores
    groups = [worlds] if not game.source.takes_worlds else [[share] for share in worlds]
    for shares in groups:
        chosen = [k for k, period in enumerate(history.periods) if period.share in shares and len(period.rows)]
        rivals = (
            [_by_other_customers(history, game, learner, shares[0], chosen)]
            if game.source.takes_worlds
            else _out_of_fold(history, learner, chosen)
        )
        best = max([[scores[k] for k in chosen], *rivals], key=lambda rival: _auc(history, chosen, rival))
        for position, k in enumerate(chosen):
            scores[k] = best[position]
    return scores


def _auc(history: History, chosen: Sequence[int], scores: Sequence[Floats]) -> float:
    y = np.concatenate([_target(history.periods[k].rows) for k in chosen])
    p = np.concatenate(list(scores))
    known = ~np.isnan(y)
    return stats.auc(y[known], p[known])


def _by_other_customers(
    history: History, game: Game, learner: str, share: float, chosen: Sequence[int]
) -> list[Floats]:
    schema = history.settings.row_schema
    per_month = -(-len(history.past) // len(chosen))
    months = game.play(seed=game.seed + OTHER_CUSTOMERS, per_month=per_month)
    rows = together([rows_of(month, schema) for month in months if month.share == share])
    plain = _plain(history.settings)
    predict = fit(rows, plain, learners=(learner,)).predict
    return [predict(history.periods[k].rows.features) for k in chosen]


def _out_of_fold(history: History, learner: str, chosen: Sequence[int]) -> list[list[Floats]]:
    periods: list[Played] = [history.periods[k] for k in chosen]
    rows = together([period.rows for period in periods])
    target = _target(rows)
    fold = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    rivals = []
    for with_past in (False, True):
        raw = np.empty(len(rows))
        for number in range(FOLDS):
            used = rows.take(fold != number)
            learned = together([history.past, used]) if with_past else used
            raw[fold == number] = fit_once(learned, history.settings, learner)(rows.features[fold == number])
        scores = fit_calibration(raw, target).apply(raw)
        rivals.append(np.split(scores, np.cumsum([len(period.rows) for period in periods])[:-1]))
    return rivals


def _plain(settings: Settings) -> Settings:
    return settings.model_copy(update={"train": settings.train.model_copy(update={"folds": PLAIN_FOLDS})})


def _target(rows: Rows) -> Floats:
    return np.full(len(rows), np.nan) if rows.target is None else rows.target


def together(parts: Sequence[Rows]) -> Rows:
    """Rows of several sources, one after the other; a missing target is unknown outcomes."""
    return Rows(
        np.concatenate([part.features for part in parts]),
        [name for part in parts for name in part.ids],
        np.concatenate([part.times for part in parts]),
        np.concatenate([_target(part) for part in parts]),
    )
