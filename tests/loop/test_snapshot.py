"""What may be learned from: final outcomes of windows that were looked at and found sound."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from riskloop.core.manifest import Snapshot
from riskloop.core.types import Diagnosis
from riskloop.loop import snapshot
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import World

from .conftest import live

Copy = Callable[[Path], Portfolio]
LATER = datetime(2025, 3, 28, tzinfo=UTC)


def test_rows_that_no_closed_window_holds_are_not_learned_from(trained_folder: Path, copied: Copy) -> None:
    """They come late with old dates, and their outcomes are known: nobody has looked whether the feed was sound."""
    portfolio = copied(trained_folder)
    home = portfolio.home
    assert len(snapshot.read(home.decisions, snapshot.take_judged(home.feed, home.windows, LATER))) == 0
    live(portfolio, date(2025, 1, 1), 1, World(), n=600)
    live(portfolio, date(2025, 2, 1), 2, World(), n=600)
    portfolio.cycle(now=datetime(2025, 3, 4, tzinfo=UTC))
    before = snapshot.take_judged(home.feed, home.windows, LATER)
    looked_at = len(snapshot.read(home.decisions, before))
    assert looked_at == home.decisions.last_id()
    live(portfolio, date(2025, 1, 1), 3, World(), n=300)
    live(portfolio, date(2025, 3, 1), 4, World(), n=300)
    judged, taken = snapshot.take_judged(home.feed, home.windows, LATER), snapshot.take(home.feed, home.windows, LATER)
    assert len(snapshot.read(home.decisions, judged)) == looked_at
    assert snapshot.count_matured(home.outcomes, judged, 0) == snapshot.count_matured(home.outcomes, before, 0)
    assert snapshot.count_matured(home.outcomes, taken, 0) > snapshot.count_matured(home.outcomes, judged, 0)
    assert msgspec.convert(msgspec.to_builtins(judged), Snapshot) == judged
    portfolio.cycle(now=datetime(2025, 4, 4, tzinfo=UTC))
    assert home.windows.latest(1)[0].diagnosis is Diagnosis.DATA_FAULT, "half of March's rows carry January's dates"
    later = snapshot.take_judged(home.feed, home.windows, datetime(2025, 4, 4, tzinfo=UTC))
    assert len(snapshot.read(home.decisions, later)) == looked_at
