"""The clock of a replay: customers arrive by the week, and outcomes become known once, when they are final."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from riskloop.backtest.history import History, Played
from riskloop.backtest.policies import NEVER, policy_named
from riskloop.backtest.replay import Turn, arrivals, matured, turns
from riskloop.core.settings import Settings
from riskloop.core.types import Ints, Rows, to_micros

WINDOW = timedelta(days=30)
LOOP = policy_named("on_drift")
MONTHS = [datetime(2025, month, 1, tzinfo=UTC) for month in range(1, 6)]


def _rows(times: Ints) -> Rows:
    n = len(times)
    target = np.arange(n) % 3 == 0
    return Rows(np.zeros((n, 3)), [str(i) for i in range(n)], times, np.where(np.arange(n) % 7 == 0, np.nan, target))


def _history(settings: Settings, shifted: timedelta = timedelta(0)) -> History:
    """Four months of 50 customers; those of the second month carry dates that are ``shifted``."""
    periods = []
    for k, (first, end) in enumerate(pairwise(MONTHS)):
        times = np.linspace(to_micros(first), to_micros(end) - 1, 50).astype(np.int64)
        if k == 1:
            times[10:30] += round(shifted.total_seconds() * 1e6)
        name = f"{first:%Y-%m}"
        periods.append(Played(name, first, end, _rows(times)))
    return History(settings, _rows(np.empty(0, dtype=np.int64)), tuple(periods))


def _all_turns(history: History) -> list[tuple[int, Turn]]:
    return [(k, turn) for k in range(len(history.periods)) for turn in turns(history, k, LOOP)]


def test_a_month_is_played_in_weeks(settings: Settings) -> None:
    history = _history(settings)
    month = turns(history, 0, LOOP)
    assert len(month) == 4
    assert (month[0].first, month[-1].end) == (MONTHS[0], MONTHS[1])
    assert all(before.end == after.first for before, after in pairwise(month))
    for turn in month:
        times = history.periods[0].rows.times[turn.rows]
        assert len(times) in (12, 13)
        assert to_micros(turn.first) <= times.min() <= times.max() < to_micros(turn.end)
    assert [turn.rows for turn in turns(history, 0, NEVER)] == [slice(0, 50)]


@pytest.mark.parametrize("days", [0, -400, -20, 20, 400])
def test_every_row_arrives_once_and_in_order(settings: Settings, days: int) -> None:
    """Also when a broken feed dates it before or after everything else."""
    history = _history(settings, timedelta(days=days))
    for k in range(len(history.periods)):
        arrived = [row for turn in turns(history, k, LOOP) for row in range(50)[turn.rows]]
        assert arrived == list(range(50))


@pytest.mark.parametrize("days", [0, -400, -20, 20, 60])
def test_every_outcome_is_known_once_and_not_before_it_is_final(settings: Settings, days: int) -> None:
    history = _history(settings, timedelta(days=days))
    found: dict[int, datetime] = {}
    for k, turn in _all_turns(history):
        decided = 50 * k + turn.rows.stop
        for outcome in matured(history, k, turn, WINDOW):
            assert outcome.decision_id is not None
            assert outcome.decision_id not in found
            assert outcome.decision_id <= decided, "nobody can know of a customer who has not come yet"
            assert outcome.known_at <= turn.end
            found[outcome.decision_id] = turn.end
    times = np.concatenate([np.maximum(period.rows.times, arrivals(period)) for period in history.periods])
    target = np.concatenate([np.asarray(period.rows.target) for period in history.periods])
    final = (times <= to_micros(MONTHS[-1] - WINDOW)) & ~np.isnan(target)
    assert set(found) == set((np.flatnonzero(final) + 1).tolist())


@pytest.mark.parametrize("days", [-400, 400])
def test_a_broken_date_does_not_make_an_outcome_known_earlier(settings: Settings, days: int) -> None:
    """A customer of the end of the month is not final in its first week, whatever the feed says."""
    plain, broken = _history(settings).periods[1], _history(settings, timedelta(days=days)).periods[1]
    second = timedelta(seconds=1) / timedelta(microseconds=1)
    spread = (plain.end - plain.first) / timedelta(microseconds=1) / 50
    assert np.abs(arrivals(broken) - plain.rows.times).max() <= spread + second
    for k, turn in _all_turns(_history(settings, timedelta(days=days))):
        assert all(outcome.known_at >= MONTHS[0] + WINDOW for outcome in matured(_history(settings), k, turn, WINDOW))


def test_a_file_of_months_delivers_all_month_long(settings: Settings) -> None:
    """Every customer carries its first day. That is no reason to know the last one's outcome a month earlier."""
    months = _history(settings)
    period = replace(months.periods[0], rows=_rows(np.full(50, to_micros(MONTHS[0]), dtype=np.int64)))
    history = replace(months, periods=(period,))
    assert [len(range(50)[turn.rows]) for turn in turns(history, 0, LOOP)] == pytest.approx([12.5] * 4, abs=1)
    last = turns(history, 0, LOOP)[-1]
    known = [outcome.decision_id for outcome in matured(history, 0, last, WINDOW)]
    assert known == [2]  # the month has 31 days
