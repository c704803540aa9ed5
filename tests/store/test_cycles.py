from datetime import timedelta

import pytest
from sqlalchemy import update

from riskloop.core.errors import ArtefactError, Locked, NotReady, RiskloopError
from riskloop.store.cycles import give_up, loop_state, recorded
from riskloop.store.database import Database
from riskloop.store.leases import held
from riskloop.store.tables import cycles

HOUR = timedelta(hours=1)


def ended(database: Database, error: Exception | None = None) -> None:
    with recorded(database):
        if error is not None:
            raise error


def test_before_the_first_model_there_is_nothing_to_watch(database: Database) -> None:
    state = loop_state(database)
    assert (state.finished_at, state.age, state.waits, state.trouble(HOUR)) == (None, None, None, None)


@pytest.mark.parametrize("error", [ArtefactError("The file is cut off."), ValueError("odd")])
def test_failures_are_counted_until_a_cycle_goes_well(database: Database, error: Exception) -> None:
    for count in (1, 2):
        with pytest.raises(type(error)):
            ended(database, error)
        state = loop_state(database)
        assert state.failures == count
        assert str(error) in str(state.trouble(HOUR))
    ended(database)
    assert loop_state(database).trouble(HOUR) is None


@pytest.mark.parametrize("kind", [Locked, NotReady])
def test_to_wait_is_no_failure(database: Database, kind: type[RiskloopError]) -> None:
    with pytest.raises(kind):
        ended(database, kind("wait"))
    assert loop_state(database).failures == 0


def test_a_silent_loop_is_found_by_the_databases_clock(database: Database) -> None:
    ended(database)
    with database.write() as connection:
        long_ago = database.now(connection) - HOUR // timedelta(microseconds=1)
        connection.execute(update(cycles).values(finished_at=long_ago))
    state = loop_state(database)
    assert state.age is not None
    assert state.age >= HOUR
    assert state.trouble(2 * HOUR) is None
    assert "no cycle has finished since" in str(state.trouble(HOUR))
    with held(database, "loop"):
        assert "under way" in str(loop_state(database).trouble(HOUR))


def test_a_loop_that_was_given_up_stands_still(database: Database) -> None:
    ended(database)
    give_up(database, "The worker ended with code 3, 20 times in a row.")
    assert "code 3" in str(loop_state(database).trouble(HOUR))
    ended(database)
    assert not loop_state(database).stands_still(HOUR)
