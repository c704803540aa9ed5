import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from riskloop.cases import CaseState, Move
from riskloop.cases.events import Waits
from riskloop.core.errors import NotFound
from riskloop.core.span import Span
from riskloop.core.types import Action, Diagnosis, Finding, Rung, Severity, to_micros
from riskloop.store.cases import Cases, move_case, open_case
from riskloop.store.database import Database
from riskloop.store.windows import Window, Windows, save, set_quarantine

MAY = datetime(2025, 5, 1, tzinfo=UTC)

WINDOW = Window(
    id=1,
    name="2025-05",
    first_time=MAY,
    end_time=MAY + timedelta(days=31),
    first_id=1,
    last_id=2000,
    rows=2000,
    model_version=1,
    closed_at=MAY + timedelta(days=31),
    matured_at=None,
    diagnosis=Diagnosis.DATA_FAULT,
    confirmed=True,
    action=Action.QUARANTINE,
    sentence="BILL_AMT1 is 100 times larger.",
    rungs=(Rung(Diagnosis.DATA_FAULT, True, ("scale",), ()),),
    report="1.html",
    quarantined=True,
    case_id=None,
)

FINDING = Finding("psi", "AGE", Severity.DRIFTED, 0.3, 0.1, "same", "Lewis 1994", 2000, 20000, "AGE moved.", {"a": [1]})


def test_a_window_and_its_findings_come_back(database: Database) -> None:
    with database.write() as connection:
        save(connection, WINDOW, [FINDING])
    windows = Windows(database)
    assert windows.get(1) == WINDOW
    assert windows.latest() == [WINDOW]
    assert windows.findings(1) == [FINDING]
    assert windows.unjudged(to_micros(WINDOW.end_time)) == [WINDOW]
    assert windows.unjudged(to_micros(WINDOW.end_time) - 1) == []


def test_saving_again_replaces(database: Database) -> None:
    windows = Windows(database)
    with database.write() as connection:
        save(connection, WINDOW, [FINDING, FINDING])
    with database.write() as connection:
        save(connection, WINDOW, [FINDING])
    assert windows.count() == 1
    assert len(windows.findings(1)) == 1


def test_a_statistic_that_is_not_a_number_is_stored_as_none(database: Database) -> None:
    odd = Finding("psi", "AGE", Severity.UNKNOWN, float("nan"), None, "same", "x", 0, 0, "nothing")
    with database.write() as connection:
        save(connection, WINDOW, [odd])
    assert Windows(database).findings(1)[0].statistic is None


def test_a_released_quarantine_is_gone(database: Database) -> None:
    with database.write() as connection:
        save(connection, WINDOW, [])
    assert [window.id for window in Windows(database).quarantined()] == [WINDOW.id]
    with database.write() as connection:
        set_quarantine(connection, 1, False)
    assert Windows(database).quarantined() == []


def test_a_case_keeps_every_step(database: Database) -> None:
    with database.write() as connection:
        case = open_case(
            connection,
            Move(CaseState.WATCHING, "PAY_0 moved."),
            at=MAY,
            diagnosis=Diagnosis.COVARIATE_SHIFT,
            window_id=1,
            champion=1,
        )
        case = move_case(
            connection,
            case,
            Move(CaseState.TRAINED, "Trained.", event=Waits(5, 9), changes={"challenger": 2}),
            at=MAY,
        )
        move_case(connection, case, Move(CaseState.REJECTED, "No better.", changes={"tries": 1}), at=MAY, by="ann")
    cases = Cases(database)
    final = cases.get(case.id)
    assert (final.state, final.challenger, final.tries, final.is_open) == (CaseState.REJECTED, 2, 1, False)
    assert [step.state for step in cases.steps(case.id)] == ["watching", "trained", "rejected"]
    assert cases.steps(case.id)[1].event == Waits(5, 9)
    assert cases.latest(only_open=True) == []


def test_an_unknown_case_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="no case 3"):
        Cases(database).get(3)


MANY, LARGE = 60, 100_000


@pytest.fixture
def many(database: Database) -> Windows:
    """Windows of two model versions in turn, each with a profile of 100 KB."""
    with database.write() as connection:
        for number in range(1, MANY + 1):
            save(connection, replace(WINDOW, id=number, model_version=1 + number % 2), [FINDING], bytes(LARGE))
    return Windows(database)


def test_windows_are_listed_and_counted_without_their_profiles(many: Windows) -> None:
    queries: list[str] = []

    def remember(_connection: object, _cursor: object, query: str, *_rest: object) -> None:
        queries.append(query)

    event.listen(many.database.engine, "before_cursor_execute", remember)
    looks: dict[str, Callable[[], int]] = {
        "count": lambda: many.count(1) + many.count() - 90,
        "latest": lambda: len(many.latest(1000)),
        "unjudged": lambda: len(many.unjudged(to_micros(WINDOW.end_time))),
        "quarantined": lambda: len(many.quarantined()),
        "of_model": lambda: len(many.of_model(1, 1000, before=MANY)) + 31,
        "get": lambda: many.count() if many.get(3) else 0,
    }
    for name, look in looks.items():
        tracemalloc.start()
        assert look() in (0, MANY), name
        assert tracemalloc.get_traced_memory()[1] < 10 * LARGE, f"{name} reads profiles"
        tracemalloc.stop()
    assert queries
    assert not any("windows.profile" in query for query in queries)
    assert [len(profile) for profile in many.profiles([3, 1])] == [LARGE, LARGE]


def test_the_windows_of_a_model_are_the_last_ones_before_a_number(many: Windows) -> None:
    assert [window.id for window in many.of_model(2, before=20, limit=3)] == [15, 17, 19]
    assert [window.id for window in many.of_model(1, before=3, limit=3)] == [2]
    assert [window.id for window in many.of_model(2, limit=2)] == [window.id for window in many.of_model(2, 1000)][-2:]


def test_judging_a_window_again_keeps_its_profile(many: Windows) -> None:
    with many.database.write() as connection:
        save(connection, replace(WINDOW, matured_at=MAY), [])
    assert many.profiles([1]) == [bytes(LARGE)]


def test_a_window_knows_its_decisions_when_it_is_made() -> None:
    assert WINDOW.span == Span.between(WINDOW.first_time, WINDOW.end_time)
    assert replace(WINDOW, counted=True).span == Span(1, 2000)
