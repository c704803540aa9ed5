"""How much of a history is the past: what the first model has to learn from before anything can be replayed."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np

from riskloop.core.english import counted
from riskloop.core.errors import ConfigError, DataError
from riskloop.core.periods import Period
from riskloop.core.settings import Settings, duration_text
from riskloop.core.types import Ints, Rows, to_micros
from riskloop.data.maturity import lessons
from riskloop.data.split import folds

TRAINED_SHARE: Final = 1 / 3  # of the periods, unless the caller says how many
PER_FOLD: Final = 10  # of each class, so that every fold has some


def past_of(
    rows: Rows, spans: Sequence[Period], edges: Ints, settings: Settings, wished: int | None, where: str
) -> tuple[int, list[str]]:
    """How many periods at the start the first model is trained on, and what a person has to know of that.

    A third, or as many more as it takes until their outcomes can be learned from and validated by time: with few
    defaults the loop would have had no model before. ``wished`` is taken as it is.
    """
    periods, by = len(spans), settings.windows.by
    if wished is not None and not 0 < wished < periods:
        raise ConfigError(
            f"--train-on {wished}: {where} has {periods} {by}s; leave at least one to train on and one to replay."
        )
    third = wished or max(1, math.ceil(TRAINED_SHARE * periods))
    enough = [first for first in range(third, periods) if wished or _enough(_known(rows, edges[first]), settings)]
    if not enough:
        least = settings.train.folds * PER_FOLD
        raise DataError(
            f"{where} has {len(rows):,} rows in {periods} {by}{'s' if periods > 1 else ''}. The first model needs at "
            f"least {least} known defaults and as many others, and one later {by} to be tried on; give a longer "
            "history, or shorter --windows."
        )
    learnable = (first for first in enough if wished or _learnable(_known(rows, edges[first]), spans[first], settings))
    first = next(learnable, enough[0])  # where none is, training says why
    past, notes = _known(rows, edges[first]), list[str]()
    defaults = 0 if past.target is None else int(past.target.sum())
    if first > third:
        notes.append(
            f"The first model learns from {spans[0].name} to {spans[first - 1].name}, {first} of {periods} {by}s: with "
            f"fewer defaults than the {defaults} there it cannot be trained and validated, so the loop "
            f"would have judged nothing before {spans[first].name}."
        )
    if early := _early(past, spans[first].first, settings):
        window = duration_text(settings.portfolio.outcome_window)
        notes.append(
            f"{counted(early, 'outcome')} of the {len(past):,} that the first model learned from had not had their "
            f"outcome window ({window}) when the replay begins: without them too few defaults are left. It knows more "
            "than a model of that day would have known."
        )
    return first, notes


def _known(rows: Rows, end: int) -> Rows:
    """The rows up to ``end`` whose outcome is known."""
    past = rows.take(np.arange(end))
    return past if past.target is None else past.take(~np.isnan(past.target))


def _enough(past: Rows, settings: Settings) -> bool:
    defaults = 0 if past.target is None else int(past.target.sum())
    return min(defaults, len(past) - defaults) >= settings.train.folds * PER_FOLD


def _learnable(past: Rows, begins: Period, settings: Settings) -> bool:
    """Whether a model of the past can be validated, as `train` does it."""
    window, parts = settings.portfolio.outcome_window, settings.train.folds
    learned = lessons(past, settings.row_schema, window, parts, begins.first)
    try:
        folds(learned.rows, parts, settings.train.seed, embargo=window)
    except DataError:
        return False
    return True


def _early(past: Rows, begins: datetime, settings: Settings) -> int:
    """How many outcomes are learned from though they were not final when the replay begins."""
    window, parts = settings.portfolio.outcome_window, settings.train.folds
    if lessons(past, settings.row_schema, window, parts, begins).immature:
        return 0
    return int(np.count_nonzero(past.times > to_micros(begins - window)))
