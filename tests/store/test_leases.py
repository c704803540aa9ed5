from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from riskloop.core.errors import Locked
from riskloop.core.types import to_micros
from riskloop.store.database import Database
from riskloop.store.leases import Lease, held
from riskloop.store.tables import leases


def test_a_second_worker_is_told(database: Database) -> None:
    with held(database, "loop"), pytest.raises(Locked, match="Another worker"):
        Lease(database, "loop").take()


def test_a_released_lease_is_free(database: Database) -> None:
    with held(database, "loop"):
        pass
    with held(database, "loop") as lease:
        lease.renew()


def test_a_dead_workers_lease_runs_out(database: Database) -> None:
    Lease(database, "loop").take()
    past = to_micros(datetime.now(UTC) - timedelta(seconds=1))
    with database.write() as connection:
        connection.execute(update(leases).values(expires_at=past))
    Lease(database, "loop").take()


def test_who_lost_the_lease_cannot_renew_it(database: Database) -> None:
    slow = Lease(database, "loop")
    slow.take()
    with database.write() as connection:
        connection.execute(update(leases).values(holder="another:1:x"))
    with pytest.raises(Locked):
        slow.renew()
