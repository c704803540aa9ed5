"""What pages ask of the log: as many queries for many decisions as for few, and right."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.store.rows import MAY, scored
from tests.store.test_segments import NAMES, SIZES, groups

from riskloop.core.types import from_micros
from riskloop.store.adapters import open_database
from riskloop.store.decisions import DecisionLog
from riskloop.store.migrations import upgrade
from riskloop.store.segments import Segments
from riskloop.web import queries


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DecisionLog]:
    database = open_database("sqlite:///riskloop.db", tmp_path)
    upgrade(database)
    yield DecisionLog(database, Segments(database, tmp_path / "segments"))
    database.close()


@pytest.mark.parametrize("points", [2, 3, 64])
def test_decisions_since_a_moment_are_those_that_were_scored_since(
    log: DecisionLog, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and segments in turns; the first and the last moment are before and after all."""
    monkeypatch.setattr(queries, "POINTS", points)
    assert queries.served_since(log.database, from_micros(MAY)).decisions == 0
    for number, group in enumerate(groups(1)):
        if number % 2:
            written = log.segments.files.write(group, NAMES)
            assert log.segments.register(f"run{number}", "f", [written], seq=0) is not None
        else:
            log.append(group)
    at = [log.scored_at(number) or 0 for number in range(1, sum(SIZES) + 1)]
    for moment in range(MAY - 1, MAY + len(SIZES) + 1):
        assert queries.served_since(log.database, from_micros(moment)).decisions == sum(one >= moment for one in at)


def test_many_decisions_need_as_many_queries_as_few(log: DecisionLog) -> None:
    said: list[str] = []

    @event.listens_for(log.database.engine, "before_cursor_execute")
    def _heard(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    counts, moments = [], 0
    for rows in (10, 500):  # a commit
        for _ in range(20):
            moments += 1
            log.append(replace(scored(rows, start=rows * moments), scored_at=MAY + moments))
        middle = from_micros(MAY + moments // 2)
        said.clear()
        found = queries.served_since(log.database, middle)
        counts.append(len(said))
        assert 0 < found.decisions < log.last_id()
    assert counts[1] <= counts[0] + 4, "a search of 10,000 rows goes by 64 at a time, and its sample is 2,000 rows"
