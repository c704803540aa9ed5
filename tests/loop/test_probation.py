"""The watch over a new champion: when it changed is on record to the minute, and harm brings the old one back, once."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from riskloop.core.types import PromotionKind, to_micros
from riskloop.loop import probation
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import World
from riskloop.store import audit

from .conftest import TRAINED, live, recession

LATER = datetime(2025, 7, 5, tzinfo=UTC)


@pytest.fixture
def promoted(promoted_folder: Path, copied: Callable[[Path], Portfolio]) -> Portfolio:
    return copied(promoted_folder)


def _watch(portfolio: Portfolio, now: datetime = LATER) -> str:
    return probation.watch(portfolio.home, now, lambda: now)


def test_the_ledger_says_when_the_champion_changed(promoted: Portfolio) -> None:
    """The old model served while the new one was trained."""
    assert promoted.home.champion().at == TRAINED
    served = [promoted.champion_at(TRAINED + timedelta(seconds=s)).version for s in (-1, 0)]
    assert served == [1, 2]


def test_matured_harm_brings_the_old_champion_back_once(promoted: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the worker dies between the rollback and the record of its look."""
    live(promoted, date(2025, 5, 1), 400, World(), n=3000)  # the recession is over
    with monkeypatch.context() as dying:
        dying.setattr(audit, "record", _die)
        with pytest.raises(KeyboardInterrupt):
            probation.watch(promoted.home, LATER, lambda: LATER + timedelta(minutes=1))
    back = promoted.home.champion()
    assert (back.version, back.kind, back.at) == (1, PromotionKind.PROBATION, LATER + timedelta(minutes=1))
    assert "worse than the old one" in back.reason
    assert back.evidence["rolls_back"] == 2
    assert _watch(promoted) == ""
    assert promoted.home.champion() == back


def test_outcomes_of_earlier_customers_count_when_nobody_knew_them(promoted: Portfolio) -> None:
    """A month of them is still to come when a champion changes; what the gate tested is not counted again."""
    assert "No outcome that is new" in _watch(promoted) or _watch(promoted) == ""
    live(promoted, date(2025, 4, 1), 600, recession())
    assert "on probation" in _watch(promoted)
    look = [e for e in audit.latest(promoted.home.database)[::-1] if e.action == probation.ACTION][-1].document
    known = promoted.home.decisions.frame(known=promoted.home.feed.maturity(LATER))
    assert look["matured"] == sum(time >= to_micros(datetime(2025, 4, 1, tzinfo=UTC)) for time in known.times) > 900


def test_a_few_calm_months_do_not_take_back_what_a_recession_showed(promoted: Portfolio) -> None:
    live(promoted, date(2025, 5, 1), 400, World(), n=1000)
    assert "stays" in _watch(promoted)
    assert promoted.home.champion().version == 2
    live(promoted, date(2025, 5, 1), 401, World(), n=3000)
    assert "Rolled back" in _watch(promoted)


def _die(*_args: object, **_named: object) -> None:
    raise KeyboardInterrupt


def test_before_outcomes_the_gates_own_rows_are_asked(promoted: Portfolio) -> None:
    live(promoted, date(2025, 5, 1), 500, recession(), known=False)
    assert "on probation" in _watch(promoted)
    look = [e for e in audit.latest(promoted.home.database)[::-1] if e.action == probation.ACTION][-1].document
    assert (look["state"], look["matured"], look["spent"]) == ("watching", 0, 0.0)
    assert "estimated" in look["checks"][0]
    assert _watch(promoted) == ""  # nothing new: no further look
