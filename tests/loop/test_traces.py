"""A cycle as a trace: every stage is a span, and what stays out of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.spans import kept_spans

from riskloop.core.errors import Locked
from riskloop.portfolio import Portfolio
from riskloop.store.leases import held

Copy = Callable[[Path], Portfolio]


def test_the_stages_of_a_cycle_are_spans_of_one_trace(drifted_folder: Path, copied: Copy) -> None:
    portfolio = copied(drifted_folder)
    with kept_spans() as spans:
        done = portfolio.cycle(now=datetime(2025, 5, 1, tzinfo=UTC))
    (root,) = spans.named("cycle")
    stages = spans.below(root)
    assert {span.context.trace_id for span in spans.all()} == {root.context.trace_id}
    closed = [span.attributes["riskloop.window"] for span in stages if span.name == "close window"]
    assert closed == [window["name"] for window in done.to_dict()["closed"]]
    names = {span.name for span in stages}
    assert {"examine outcomes", "judge window", "renew", "train challenger", "follow verdict", "retain"} <= names
    (trained,) = spans.named("train challenger")
    assert trained.attributes["riskloop.case"] == done.to_dict()["cases"][0]["id"]
    assert trained.end_time <= spans.named("follow verdict")[0].start_time


def test_a_cycle_that_fails_is_marked_by_its_kind_only(drifted_folder: Path, copied: Copy) -> None:
    portfolio = copied(drifted_folder)
    with kept_spans() as spans, held(portfolio.home.database, "loop"), pytest.raises(Locked):
        portfolio.cycle(now=datetime(2025, 5, 1, tzinfo=UTC))
    (root,) = spans.named("cycle")
    assert root.attributes["error.type"] == "Locked"
    assert root.status.description is None
    assert not root.events
