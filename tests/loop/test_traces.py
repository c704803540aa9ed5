"""What stays out of a cycle's spans."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.spans import kept_spans

from riskloop.core.errors import Locked
from riskloop.portfolio import Portfolio
from riskloop.store.leases import held

Copy = Callable[[Path], Portfolio]


def test_a_cycle_that_fails_is_marked_by_its_kind_only(drifted_folder: Path, copied: Copy) -> None:
    portfolio = copied(drifted_folder)
    with kept_spans() as spans, held(portfolio.home.database, "loop"), pytest.raises(Locked):
        portfolio.cycle(now=datetime(2025, 5, 1, tzinfo=UTC))
    (root,) = spans.named("cycle")
    assert root.attributes["error.type"] == "Locked"
    assert root.status.description is None
    assert not root.events
