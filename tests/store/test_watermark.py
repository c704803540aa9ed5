"""A watermark only rises, unless a person takes it back for a reason; that is on record, and proven like all else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from riskloop.core.errors import DataError
from riskloop.store import audit
from riskloop.store.deliveries import hold
from riskloop.store.home import Home
from riskloop.store.verify import recompute
from riskloop.store.watermark import ACTION, refuse_future

DAY = timedelta(days=1)
MAY = datetime(2025, 5, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text('[portfolio]\ntarget = "bad"\n[features.debt]\n')
    found = Home.open(tmp_path)
    yield found
    found.close()


def say(home: Home, days: int, reason: str | None = None, at: int = 300) -> tuple[str, ...]:
    return home.outcomes.record([], MAY + at * DAY, complete_until=MAY + days * DAY, reason=reason, by="anna").notes


@pytest.mark.parametrize("wrong", [61, 150, 290])
def test_a_watermark_goes_back_for_a_reason_and_rises_again_from_there(home: Home, wrong: int) -> None:
    for days in (30, wrong):
        say(home, days)
    (refused,) = say(home, 60)
    assert "changes nothing" in refused
    assert "--reason" in refused, "what can be done is said"
    assert home.deliveries.watermark() == MAY + wrong * DAY
    (note,) = say(home, 60, "the year was mistyped")
    assert "goes back" in note
    assert home.deliveries.watermark() == MAY + 60 * DAY
    say(home, 45)
    assert home.deliveries.watermark() == MAY + 60 * DAY, "it only rises again"
    say(home, 90)
    assert home.deliveries.watermark() == MAY + 90 * DAY
    (event,) = [one for _, one in audit.search(home.database, audit.AuditFilter(action=ACTION))]
    assert event.by == "anna"
    assert event.document["reason"] == "the year was mistyped"
    assert event.document["before"] == (MAY + wrong * DAY).isoformat()
    assert [one.reason for one in home.deliveries.latest() if one.reason] == ["the year was mistyped"]


def test_what_takes_nothing_back_is_refused_in_a_sentence(home: Home) -> None:
    with pytest.raises(DataError, match="none is in force"):
        say(home, 30, "why not")
    say(home, 30)
    with pytest.raises(DataError, match="takes nothing back: the one in force is 2025-05-31"):
        say(home, 40, "why not")
    with pytest.raises(DataError, match="the reason is empty"):
        say(home, 20, " ")
    with pytest.raises(DataError, match="give its date, too"):
        home.outcomes.record([], MAY + 300 * DAY, reason="why not")
    assert home.deliveries.watermark() == MAY + 30 * DAY
    assert say(home, 20, "mistyped") != ()
    (again,) = say(home, 20, "mistyped")
    assert "already" in again, "a request that is sent twice"
    assert len(audit.search(home.database, audit.AuditFilter(action=ACTION))) == 1


def test_the_word_of_a_person_counts_however_sound_the_file_is_that_it_came_with(home: Home) -> None:
    say(home, 200)
    say(home, 60, "mistyped")
    with home.database.write() as connection:
        hold(connection, [one.id for one in home.deliveries.latest()], case_id=1)
    assert home.deliveries.watermark() == MAY + 60 * DAY
    say(home, 90)
    assert home.deliveries.watermark() == MAY + 90 * DAY


def test_a_reason_is_proven_and_a_changed_one_is_found(home: Home) -> None:
    say(home, 200)
    say(home, 60, "mistyped")
    assert recompute(home.database).sound
    with home.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET reason = 'ordered' WHERE reason IS NOT NULL")
    assert not recompute(home.database).sound


def test_the_future_is_refused(home: Home) -> None:
    for days in (301, 3000, 13_000):
        with pytest.raises(DataError, match="in the future"):
            say(home, days)
    refuse_future(None, MAY)
    refuse_future(MAY, MAY)
    with pytest.raises(DataError, match="Nothing was trained"):
        refuse_future(MAY + DAY, MAY, "trained")
