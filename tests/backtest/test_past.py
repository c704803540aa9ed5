from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from riskloop.backtest.history import History, read_history
from riskloop.backtest.request import Request
from riskloop.data.maturity import lessons
from riskloop.data.split import folds

Customers = Callable[..., pd.DataFrame]
Written = Callable[[pd.DataFrame], Path]


def read(source: Path, outcome_window: timedelta) -> History:
    """The history of a source whose columns are named."""
    asked = Request(source, target="default", time="period", id="id", outcome_window=outcome_window)
    return read_history(asked)


def rare(customers: Customers, share: int, until: int = 0) -> pd.DataFrame:
    """A history with one of so many defaults of `customers`, and none at all up to a period."""
    frame = customers(24, 100)
    default = (frame["default"] == 1) & (frame["id"] % share == 0) & (frame["period"] > until)
    return frame.assign(default=default.astype(int))


@pytest.mark.parametrize(("share", "until"), [(8, 0), (4, 4), (3, 4), (2, 6)])
def test_few_defaults_make_the_past_longer_and_it_is_said(
    customers: Customers, file: Written, share: int, until: int
) -> None:
    """What is cut off can be validated by time, as training does it, and one period less could not be."""
    history = read(file(rare(customers, share, until)), timedelta(days=30))
    trained = 24 - len(history.periods)
    assert trained > 8
    begins = history.periods[0].first
    schema, train = history.settings.row_schema, history.settings.train
    learned = lessons(history.past, schema, timedelta(days=30), train.folds, begins)
    assert folds(learned.rows, train.folds, train.seed, embargo=timedelta(days=30))
    (note,) = [note for note in history.notes if note.startswith("The first model learns from")]
    assert f"from 1 to {trained}, {trained} of 24 months" in note
    assert f"would have judged nothing before {history.periods[0].name}." in note


def test_outcomes_that_were_not_final_when_the_replay_begins_are_said(customers: Customers, file: Written) -> None:
    few = rare(customers, 5)
    (note,) = [n for n in read(file(few), timedelta(days=90)).notes if "outcome window (90d)" in n]
    assert "knows more than a model of that day" in note
    many = read(file(customers(24, 100)), timedelta(days=90))
    assert not [n for n in many.notes if "outcome window" in n or "The first model learns" in n]
