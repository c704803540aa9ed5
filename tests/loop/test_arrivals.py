"""Silence is judged by when decisions were scored. The dates of an old file say nothing about the feed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event

from riskloop.core.periods import periods_between
from riskloop.core.types import Decisions, Diagnosis, from_micros, to_micros
from riskloop.loop.arrivals import Feed
from riskloop.loop.observe import Due, _period, due
from riskloop.store.home import Home
from riskloop.store.windows import next_file_due, save

from .test_watching import window

Opened = Callable[[str], Home]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOW = datetime(2025, 12, 10, tzinfo=UTC)
CONFIG = '[portfolio]\ntarget = "bad"\n[features.debt]\n[windows]\n'


def of(month: int, day: int = 1) -> datetime:
    return datetime(2025, month, day, tzinfo=UTC)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    homes: list[Home] = []

    def open_with(settings: str) -> Home:
        (tmp_path / "riskloop.toml").write_text(CONFIG + settings)
        homes.append(Home.open(tmp_path))
        return homes[-1]

    yield open_with
    for home in homes:
        home.close()


def score(home: Home, first: datetime, end: datetime, scored_at: datetime | None = None) -> None:
    """One customer a day, scored on the day or all at once."""
    days = [first + n * DAY for n in range((end - first).days)]
    groups = [(days, scored_at)] if scored_at else [([day], day) for day in days]
    for dated, at in groups:
        n = len(dated)
        home.decisions.append(
            Decisions(
                [f"c{d:%m%d}" for d in dated],
                [to_micros(d) for d in dated],
                to_micros(at),
                1,
                np.full(n, 0.5),
                np.zeros(n, dtype=bool),
                np.ones((n, 1)),
            )
        )


def closed(home: Home, now: datetime) -> list[Due]:
    """The windows that a cycle closes; they are on record from then on."""
    found = []
    for one in due(home.decisions, home.windows, home.settings, now):
        number = home.windows.count() + 1
        times = {"name": one.name, "first_time": one.first, "end_time": one.end}
        ids = {"id": number, "first_id": one.ids[0], "last_id": one.ids[1], "rows": one.rows}
        with home.database.write() as connection:
            save(connection, replace(window(1, Diagnosis.STABLE, final=False), **times, **ids), [], b"")  # type: ignore[arg-type]
        found.append(one)
    return found


def names(home: Home, now: datetime) -> list[tuple[str, int]]:
    return [(one.name, one.rows) for one in closed(home, now)]


# --------------------------------------------------------------------------- live


def test_a_live_feed_that_stops_is_one_silence(opened: Opened) -> None:
    home = opened("")
    score(home, of(1), of(3))
    assert names(home, of(3)) == [("2025-01", 31), ("2025-02", 28)]
    assert names(home, of(3, 31)) == []
    assert names(home, of(4)) == [("2025-03", 0)]
    assert names(home, NOW) == []


def test_a_silence_is_found_also_when_the_worker_looks_late(opened: Opened) -> None:
    home = opened("")
    score(home, of(1), of(2))
    score(home, of(3), of(4))
    assert names(home, of(4)) == [("2025-01", 31), ("2025-02", 0), ("2025-03", 31)]


def test_wrong_dates_of_a_live_feed_make_a_window(opened: Opened) -> None:
    home = opened("")
    score(home, of(1), of(2))
    assert names(home, of(2)) == [("2025-01", 31)]
    score(home, of(1, 5), of(1, 15), scored_at=of(2, 10))
    (february,) = closed(home, of(3))
    assert (february.rows, february.late) == (0, 10)


# --------------------------------------------------------------------------- an old file


@pytest.mark.parametrize("by", ["day", "week", "month"])
def test_after_an_old_file_nothing_is_silent(opened: Opened, by: str) -> None:
    """Whatever is scored of the past, in whatever order: only windows with rows are closed."""
    home = opened(f'by = "{by}"')
    score(home, of(1), of(3), scored_at=NOW)
    assert sum(rows for _, rows in names(home, NOW + HOUR)) == 59
    score(home, of(1, 5), of(1, 6), scored_at=NOW + HOUR)  # one more customer of January
    assert names(home, NOW + 2 * HOUR) == []
    score(home, of(5), of(6), scored_at=NOW + 2 * HOUR)  # and a later file, with a gap in between
    found = closed(home, NOW + 3 * HOUR)
    assert sum(one.rows for one in found) == 31
    assert min(one.rows for one in found) > 0
    assert found[0].late == 1, "what came late is counted where rows come again"
    assert names(home, NOW + 4 * HOUR) == []


def test_after_an_old_file_a_silence_begins_with_the_next_period(opened: Opened) -> None:
    home = opened("")
    score(home, of(1), of(3), scored_at=NOW)
    names(home, NOW)
    assert names(home, datetime(2026, 1, 31, tzinfo=UTC)) == []
    assert names(home, datetime(2026, 2, 1, tzinfo=UTC)) == [("2026-01", 0)]


@pytest.mark.parametrize(
    ("settings", "scored_at", "expected"),
    [
        ("", NOW, [(of(1, 10), of(2)), (of(2), of(2, 21))]),
        ("", None, [None, None]),  # decided day by day: the rest is missing
        ('due = "month"', NOW, [None, None]),  # a file is due for whole months
        ('due = "any"', NOW, [(of(1, 10), of(2)), (of(2), of(2, 21))]),
    ],
)
def test_an_old_file_may_begin_and_end_within_a_period(
    opened: Opened, settings: str, scored_at: datetime | None, expected: list[object]
) -> None:
    home = opened(settings)
    score(home, of(1, 10), of(2, 21), scored_at=scored_at)
    assert [one.covered for one in closed(home, NOW + DAY)][:2] == expected


# --------------------------------------------------------------------------- files that are due


def test_a_file_that_is_due_is_awaited_until_its_grace_is_over(opened: Opened) -> None:
    home = opened('due = "month"\ngrace = "5d"')
    assert next_file_due(home.decisions, home.settings) is None
    score(home, of(1), of(2), scored_at=of(2, 2))
    assert names(home, of(2, 2)) == [("2025-01", 31)]
    assert next_file_due(home.decisions, home.settings) == of(3, 6)
    assert names(home, of(3, 5)) == []
    score(home, of(2), of(3), scored_at=of(3, 5))
    assert names(home, of(3, 5)) == [("2025-02", 28)]
    assert names(home, of(4, 5)) == []
    assert names(home, of(4, 6)) == [("2025-03", 0)]
    assert names(home, NOW) == []


def test_weeks_of_a_monthly_file_are_not_silent_before_it_is_due(opened: Opened) -> None:
    home = opened('by = "week"\ndue = "month"')
    score(home, of(1), of(2), scored_at=of(2, 2))
    assert sum(rows for _, rows in names(home, of(2, 3))) == 31
    assert all(rows for _, rows in names(home, of(3, 3)))
    assert names(home, of(3, 4)) == [("2025-W06", 0)]


def test_at_any_time_no_silence_is_a_fault(opened: Opened) -> None:
    home = opened('due = "any"')
    score(home, of(1), of(2))
    assert names(home, NOW) == [("2025-01", 31)]
    assert next_file_due(home.decisions, home.settings) is None


# --------------------------------------------------------------------------- dates far from now


def walked(home: Home, now: datetime) -> list[tuple[str, int, int]]:
    """The windows that are due, with every period asked for by itself."""
    found: list[tuple[str, int, int]] = []
    windows, logged = home.settings.windows, home.decisions.times()
    assert logged is not None
    assert windows.by != "count"
    silent, seen = False, 0
    for period in periods_between(from_micros(logged.earliest), now, windows.by):
        feed = Feed(home.decisions.scored_at, windows, period, seen, now)
        one = _period(home.decisions, home.settings, period, seen, logged)
        if to_micros(period.first) > logged.latest and feed.came_later:
            continue
        if one.rows == 0:
            if feed.is_awaited:
                break
            if (feed.is_silent and silent and not one.late) or (
                not feed.is_silent and not (one.late and feed.came_in_time)
            ):
                continue
        silent = one.rows == 0
        seen = max(seen, one.ids[1])
        found.append((one.name, one.rows, one.late))
    return found


@pytest.mark.parametrize("due_by", ["always", "any", "week", "month"])
@pytest.mark.parametrize("seed", range(6))
def test_skipped_silences_change_no_window(opened: Opened, due_by: str, seed: int) -> None:
    """Decisions of random days, some of them dated long before they were scored."""
    chance = np.random.default_rng(seed)
    home = opened(f'by = "{chance.choice(["day", "week"])}"\ndue = "{due_by}"\n')
    at = of(3)
    for _ in range(12):
        at += int(chance.integers(0, 25)) * DAY
        back = int(chance.choice([0, 0, 0, 1, 9, 200]))
        score(home, at - back * DAY, at - back * DAY + int(chance.integers(1, 4)) * DAY, at + HOUR)
    expected = walked(home, NOW)
    assert [(one.name, one.rows, one.late) for one in due(home.decisions, home.windows, home.settings, NOW)] == expected


def test_one_old_date_costs_a_few_queries(opened: Opened) -> None:
    """45 years of empty days are skipped by one question."""
    home = opened('by = "day"\n')
    score(home, datetime(1980, 1, 2, tzinfo=UTC), datetime(1980, 1, 3, tzinfo=UTC), of(11))
    score(home, of(11), of(11, 4))
    asked: list[str] = []
    event.listen(home.database.engine, "before_cursor_execute", lambda *found: asked.append(found[2]))
    assert len(list(due(home.decisions, home.windows, home.settings, of(11, 6)))) >= 4
    assert len(asked) < 100
