"""Cases: the list, and each one as a story from its first finding to its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import func, select

from riskloop.cases import Case, CaseState, CaseStep, events
from riskloop.core.errors import NotFound
from riskloop.core.types import Check, Json, Verdict
from riskloop.store.case_notes import attention, cares
from riskloop.store.cases import Cases, read_case
from riskloop.store.database import Database
from riskloop.store.deliveries import Deliveries
from riskloop.store.ledger import Ledger
from riskloop.store.tables import cases, windows
from riskloop.store.windows import Window, Windows
from riskloop.web.orders import orders_of, people_orders
from riskloop.web.queries import window_of

SIZE: Final = 25
Show = Literal["all", "open", "closed"]


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One step of a case, with what a page shows of it."""

    taken: CaseStep
    checks: Sequence[Check]  # of the gate
    verdict: Verdict | None
    record: events.Making | None  # how the challenger was made


def case_list(database: Database, show: Show, before: int | None) -> Json:
    """A page of cases, newest first; open ones can be seen alone."""
    query = select(cases).order_by(cases.c.id.desc()).limit(SIZE + 1)
    if show == "open":
        query = query.where(cases.c.closed_at.is_(None))
    elif show == "closed":
        query = query.where(cases.c.closed_at.is_not(None))
    if before is not None:
        query = query.where(cases.c.id < before)
    counted = select(func.count(), func.count(cases.c.closed_at)).select_from(cases)
    with database.read() as connection:
        rows = [read_case(row) for row in connection.execute(query)]
        total, closed = connection.execute(counted).one()
    first = {case.window_id for case in rows[:SIZE]}
    return {
        "people": cares(Cases(database), rows[:SIZE]),
        "cases": rows[:SIZE],
        "names": _window_names(database, first),
        "show": show,
        "counts": {"all": total, "open": total - closed, "closed": closed},
        "older": rows[SIZE - 1].id if len(rows) > SIZE else None,
        "first_page": before is None,
    }


def _window_names(database: Database, numbers: set[int]) -> dict[int, str]:
    query = select(windows.c.id, windows.c.name).where(windows.c.id.in_(numbers))
    with database.read() as connection:
        return {row.id: row.name for row in connection.execute(query)}


def story(cases: Cases, windows: Windows, deliveries: Deliveries, ledger: Ledger, number: int) -> Json:
    """One case from its first finding to its end, and what a person may do about it now."""
    case = cases.get(number)
    found = _windows(windows, case)
    taken = cases.steps(number)
    steps = [_step(one) for one in taken]
    champion = ledger.champion()
    people = attention(cases, case, taken)
    return {
        "notes": people.notes,
        "care": people.care,
        "remarks": people_orders(case, people),
        "case": case,
        "windows": found,
        "rungs": found[-1].rungs if found else (),
        "steps": steps,
        "judged": next((step for step in reversed(steps) if step.checks), None),
        "orders": orders_of(case, found, taken, deliveries.of_case(number)),
        "serves": champion is not None and champion.version == case.challenger,
        "ended_well": case.state is CaseState.PROMOTED,
    }


def _windows(windows: Windows, case: Case) -> list[Window]:
    """The case's windows; its first one may have gone over to a later case."""
    found = windows.of_case(case.id)
    if all(window.id != case.window_id for window in found):
        try:
            found.insert(0, window_of(windows, case.window_id))
        except NotFound:  # the transaction that stores it is still under way
            return found
    return found


def _step(taken: CaseStep) -> StoryStep:
    said = taken.event
    if not isinstance(said, events.Judged):
        return StoryStep(taken, (), None, None)
    return StoryStep(taken, said.report.checks, said.report.verdict, said.record)
