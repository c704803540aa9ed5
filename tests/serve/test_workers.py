"""One worker is asked, and answers for all of them."""

import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from riskloop.serve.workers import FOLDER_VARIABLE, PARENT_VARIABLE, STALE, Workers


def exposition(count: float) -> bytes:
    registry = CollectorRegistry()
    Counter("asked", "Requests.", registry=registry).inc(count)
    return generate_latest(registry)


def totals(text: bytes) -> list[float]:
    families = text_string_to_metric_families(text.decode())
    return sorted(s.value for family in families for s in family.samples if s.name == "asked_total")


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids that the next workers get, in turn."""
    found = [11, 12, 13]
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(os, "getpid", lambda: found[0])
    return found


def worker(pids: list[int], name: str = "lender") -> Workers:
    made = Workers(name)
    pids.pop(0)
    return made


def test_every_workers_last_figures_are_told_once(pids: list[int]) -> None:
    one, other = worker(pids), worker(pids)
    one.leave(exposition(1))
    other.leave(exposition(20))
    other.leave(exposition(30))
    assert totals(one.together(exposition(2))) == [2.0, 30.0]
    assert totals(other.together(exposition(31))) == [1.0, 31.0]


def test_a_worker_that_is_gone_and_another_portfolio_are_left_out(pids: list[int], tmp_path: Path) -> None:
    one, gone, stranger = worker(pids), worker(pids), worker(pids, "another")
    gone.leave(exposition(5))
    (left,) = tmp_path.glob("*.prom")
    past = left.stat().st_mtime - STALE - 1
    os.utime(left, (past, past))
    stranger.leave(exposition(7))
    assert totals(one.together(exposition(2))) == [2.0]


def test_alone_it_answers_for_itself_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    alone = Workers("lender")
    alone.leave(exposition(1))
    assert alone.together(b"as it is") == b"as it is"
    assert list(tmp_path.iterdir()) == []
    assert not alone.orphaned()


def test_a_worker_whose_parent_is_another_one_by_now_knows_it(pids: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
    assert not Workers("lender").orphaned()
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid() + 1))
    assert Workers("lender").orphaned()
