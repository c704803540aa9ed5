"""The one place that says which outcomes count: watermark, inference, silence, quarantine, lateness."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from riskloop.core.errors import DataError
from riskloop.core.types import Decisions, to_micros
from riskloop.store.deliveries import hold, release
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome

DAY = timedelta(days=1)
MAY = datetime(2025, 5, 1, tzinfo=UTC)
CONFIG = '[portfolio]\ntarget = "bad"\noutcome_window = "30d"\n[features.debt]\n'
PER_DAY = 10


def opened(folder: Path, extra: str = "", window: str = "30d") -> Home:
    """Sixty days with ten decisions each, of which every fifth is declined."""
    (folder / "riskloop.toml").write_text(CONFIG.replace("30d", window) + extra)
    home = Home.open(folder)
    count = 60 * PER_DAY
    times = [to_micros(MAY + DAY * (i // PER_DAY)) for i in range(count)]
    declined = np.arange(count) % 5 == 0
    p = np.where(declined, 0.8, 0.2)
    ids = [str(i) for i in range(count)]
    home.decisions.append(Decisions(ids, times, times[-1], 1, p, declined, np.zeros((count, 1))))
    return home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = opened(tmp_path)
    yield found
    found.close()


def report(
    home: Home, days: range, at: datetime, *, approved_only: bool = False, until: datetime | None = None
) -> None:
    ids = [1 + day * PER_DAY + k for day in days for k in range(PER_DAY)]
    chosen = [number for number in ids if not approved_only or (number - 1) % 5]
    home.outcomes.record(
        [Outcome(number % 7 == 0, at, decision_id=number) for number in chosen], at, complete_until=until
    )


def day_of(micros: int) -> int:
    return (micros - to_micros(MAY)) // (DAY // timedelta(microseconds=1))


@pytest.mark.parametrize("approved_only", [False, True])
def test_without_a_watermark_what_arrived_says_how_far_it_is_complete(home: Home, approved_only: bool) -> None:
    now = MAY + 50 * DAY  # outcomes of the first 20 days are final, and the file of day 45 brought those of 15
    assert home.feed.maturity(now).until < to_micros(MAY)
    report(home, range(15), MAY + 45 * DAY, approved_only=approved_only)
    known = home.feed.maturity(now)
    assert day_of(known.until) == 14
    assert not known.given
    frame = home.decisions.frame(known=known)
    assert np.count_nonzero(~np.isnan(frame.outcomes)) == 15 * (8 if approved_only else 10)
    assert home.outcomes.matured(0, known) == 15 * (8 if approved_only else 10)


def test_what_has_come_counts_when_it_was_waited_for_long_enough(home: Home) -> None:
    report(home, range(5), MAY + 60 * DAY)  # and then nothing more
    assert day_of(home.feed.maturity(MAY + 60 * DAY).until) == 4
    assert day_of(home.feed.maturity(MAY + 95 * DAY).until) == 20


def test_a_watermark_decides_alone(home: Home) -> None:
    now = MAY + 70 * DAY
    report(home, range(40), MAY + 70 * DAY)
    assert home.outcomes.record([], now, complete_until=MAY + 50 * DAY).notes == ()
    known = home.feed.maturity(now)
    assert known.given
    assert day_of(known.until) == 19, "outcomes that were final before the fiftieth day"
    (note,) = home.outcomes.record([], now, complete_until=MAY + 40 * DAY).notes
    assert home.feed.maturity(now) == known, "a file of the past takes nothing back"
    assert "changes nothing" in note
    assert f"up to {MAY + 50 * DAY:%Y-%m-%d}" in note, "and that is said"
    assert home.outcomes.record([], now, complete_until=MAY + 50 * DAY).notes == ()
    assert day_of(home.feed.maturity(MAY + 45 * DAY).until) == 15, "and nothing is final before its time"
    with pytest.raises(DataError, match="in the future"):
        home.outcomes.record([], now, complete_until=now + DAY)


def test_where_only_defaults_are_reported_silence_up_to_the_watermark_is_good(tmp_path: Path) -> None:
    home = opened(tmp_path, '[outcomes]\nreported = "defaults"\n')
    assert home.outcomes.matured(0, home.feed.maturity(MAY + 80 * DAY)) == 0
    defaults = [Outcome(True, MAY + 35 * DAY, decision_id=number) for number in (3, 4, 13)]
    home.outcomes.record(defaults, MAY + 45 * DAY, complete_until=MAY + 40 * DAY)
    known = home.feed.maturity(MAY + 45 * DAY)
    frame = home.decisions.frame(known=known)
    assert np.nansum(frame.outcomes) == 3
    assert np.count_nonzero(frame.outcomes == 0.0) == 10 * 8 - 3
    assert home.outcomes.matured(0, known) == 80
    home.close()


def test_what_is_in_quarantine_counts_nowhere_until_it_is_released(home: Home) -> None:
    now = MAY + 60 * DAY
    report(home, range(10), MAY + 50 * DAY)
    report(home, range(10, 20), MAY + 51 * DAY)
    last = home.deliveries.latest()[-1]
    with home.database.write() as connection:
        hold(connection, [last.id], case_id=7)
    assert day_of(home.feed.maturity(now).until) == 9
    assert home.outcomes.matured(0, home.feed.maturity(now)) == 100
    assert home.feed.state(now).held == (last.id,)
    report(home, range(10, 20), MAY + 52 * DAY)  # the same values in another file are no repetition
    assert home.deliveries.latest()[-1].recorded == 100
    with home.database.write() as connection:
        release(connection, [delivery.id for delivery in home.deliveries.of_case(7)])
    assert home.feed.state(now).held == ()
    assert home.outcomes.matured(0, home.feed.maturity(now)) == 200


def test_a_file_that_is_due_and_not_there_is_late(tmp_path: Path) -> None:
    home = opened(tmp_path, '[outcomes]\ndue = "month"\ngrace = "10d"\n', window="31d")
    june, july = datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)
    assert home.feed.state(july + 5 * DAY).late is None, "it may come until the eleventh"
    state = home.feed.state(july + 11 * DAY)
    assert state.due == july
    assert "due on 2025-07-01 is late: none ever came" in str(state.late)
    assert home.feed.state(june + 15 * DAY).late is None, "no outcome was final before June"
    report(home, range(10), july + 12 * DAY)
    assert home.feed.state(july + 13 * DAY).late is None
    report(home, range(10), july + 13 * DAY, until=july - 5 * DAY)
    assert "complete up to 2025-06-26" in str(home.feed.state(july + 14 * DAY).late)
    home.close()


def test_a_feed_without_dates_is_late_when_nothing_comes_for_too_long(home: Home) -> None:
    assert home.feed.state(MAY + 70 * DAY).late is None
    assert "none ever came" in str(home.feed.state(MAY + 80 * DAY).late)
    report(home, range(30), MAY + 80 * DAY)
    assert home.feed.state(MAY + 120 * DAY).late is None
    assert "the last one came on 2025-07-20" in str(home.feed.state(MAY + 130 * DAY).late)
