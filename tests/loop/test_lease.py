"""One cycle at a time, across processes; a dead worker's place is taken at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from riskloop.core.errors import Locked
from riskloop.core.types import to_micros
from riskloop.portfolio import Portfolio
from riskloop.store import leases
from riskloop.store.leases import Lease, held
from riskloop.store.tables import leases as table

NOW = datetime(2025, 1, 10, tzinfo=UTC)
HOLD = """
import sys, time
from riskloop.portfolio import Portfolio
from riskloop.store.leases import held
with held(Portfolio.open(sys.argv[1]).home.database, "loop"):
    print("held", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def other_worker(trained_folder: Path, copied: Callable[[Path], Portfolio]) -> tuple[Portfolio, subprocess.Popen[str]]:
    """Another process that holds the lease of this portfolio's loop."""
    portfolio = copied(trained_folder)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(portfolio.home.folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return portfolio, process


def test_a_second_worker_is_refused_until_the_first_is_killed(
    other_worker: tuple[Portfolio, subprocess.Popen[str]],
) -> None:
    portfolio, process = other_worker
    with process:
        with pytest.raises(Locked, match=str(process.pid)):
            portfolio.cycle(now=NOW)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        assert portfolio.cycle(now=NOW).closed == []


def test_a_lease_of_another_machine_has_to_run_out(trained_folder: Path, copied: Callable[[Path], Portfolio]) -> None:
    portfolio = copied(trained_folder)
    database = portfolio.home.database
    Lease(database, "loop").take()
    with database.write() as connection:
        connection.execute(update(table).values(holder="elsewhere:1:abc"))
    with pytest.raises(Locked, match="elsewhere"):
        portfolio.cycle(now=NOW)
    with database.write() as connection:
        connection.execute(update(table).values(expires_at=to_micros(datetime.now(UTC) - timedelta(seconds=1))))
    assert portfolio.cycle(now=NOW).closed == []


def test_a_long_step_keeps_its_lease(
    trained_folder: Path, copied: Callable[[Path], Portfolio], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", timedelta(milliseconds=20))
    database = copied(trained_folder).home.database

    def ends() -> int:
        with database.read() as connection:
            return int(connection.execute(select(table.c.expires_at)).scalar_one())

    with held(database, "loop"):
        first, until = ends(), time.monotonic() + 30
        while ends() == first:
            assert time.monotonic() < until, "nobody renews the lease"
            time.sleep(0.02)


def test_who_lost_the_lease_is_told_at_the_next_step(
    trained_folder: Path, copied: Callable[[Path], Portfolio], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", timedelta(milliseconds=20))
    database = copied(trained_folder).home.database
    with held(database, "loop") as lease:
        with database.write() as connection:
            connection.execute(update(table).values(holder="elsewhere:1:abc"))
        with pytest.raises(Locked, match="elsewhere"):
            lease.renew()
