from datetime import UTC, datetime

from riskloop.cases import Case, CaseState
from riskloop.core.types import Diagnosis
from riskloop.store.home import Home
from riskloop.web.timeline import timeline

from .conftest import save, window


def case(number: int, opened: int, closed: int | None) -> Case:
    end = None if closed is None else datetime(2025, closed, 5, tzinfo=UTC)
    state = CaseState.WATCHING if closed is None else CaseState.ENDED
    opened_at = datetime(2025, opened, 5, tzinfo=UTC)
    return Case(number, opened_at, end, state, Diagnosis.CONCEPT_DRIFT, 1, None, 0, "It moved.")


def test_everything_is_in_the_column_where_it_happened(home: Home) -> None:
    for number in (1, 2, 3):
        save(home, window(number))
    line = timeline(home.windows.latest(12), [case(1, 1, 2), case(2, 2, 4), case(3, 3, 3)], home.ledger.models(), [])
    assert line.columns == 4
    shown = [[(span.width, span.case and span.case.id) for span in lane] for lane in line.lanes]
    assert shown == [[(2, 1), (1, 3), (1, None)], [(1, None), (3, 2)]]
    assert [[model.version for model in column] for column in line.trained] == [[], [], [], [1]]


def test_an_open_case_reaches_until_now(home: Home) -> None:
    for number in (1, 2, 3):
        save(home, window(number))
    line = timeline(home.windows.latest(12), [case(1, 3, None)], [], [])
    assert [(span.width, span.case is not None) for span in line.lanes[0]] == [(1, False), (1, False), (2, True)]
