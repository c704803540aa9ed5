"""Orders of a person. A page (or a dialog of it) asks for a note and confirms; only its form can order."""

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from riskloop.core.errors import Conflict, NotFound
from riskloop.results import CaseResult
from riskloop.store.case_notes import attention
from riskloop.store.cases import Cases
from riskloop.store.deliveries import Deliveries
from riskloop.store.windows import Windows
from riskloop.web.guard import Number, Operator, Ordered, Owner, Worker
from riskloop.web.orders import CASE_ORDERS, WITHOUT_NOTE, PersonOrder, orders_of, people_orders, rollback_order
from riskloop.web.shell import Page, page

router = APIRouter(route_class=Page, include_in_schema=False)


@router.get("/dashboard/models/rollback")
def ask_rollback(request: Request, service: Worker, _key: Operator) -> Response:
    """The form of a rollback."""
    order = rollback_order(service.home.ledger.champion())
    if order is None:
        raise NotFound("There is no earlier champion to roll back to.")
    return _form(request, order, back="/dashboard/models")


@router.post("/dashboard/models/rollback")
def do_rollback(portfolio: Owner, ordered: Ordered) -> Response:
    """Put the earlier champion back, if the present one is still the one that the person has seen."""
    seen = ordered.form.get("seq", "")
    if not seen.isdecimal():
        raise Conflict("The form does not say which promotion it is about; open the models page again.")
    portfolio.rollback(by=ordered.by, reason=ordered.note, seq=int(seen))
    return _done("/dashboard/models")


@router.get("/dashboard/cases/{number}/{name}")
def ask_case(number: Number, name: str, request: Request, service: Worker, _key: Operator) -> Response:
    """The form of an order about a case."""
    home = service.home
    order = _order(home.cases, home.windows, home.deliveries, number, name)
    return _form(request, order, back=f"/dashboard/cases/{number}")


@router.post("/dashboard/cases/{number}/{name}")
def do_case(number: Number, name: str, portfolio: Owner, ordered: Ordered) -> Response:
    """Decide about a case, or say something about it."""
    form = ordered.form
    deeds: dict[str, Callable[..., CaseResult]] = {
        "approve": partial(portfolio.approve, evidence=form.get("evidence", "")),  # without one it is refused
        "reject": portfolio.reject,
        "release": portfolio.release,
        "close": portfolio.close,
        "comment": portfolio.comment,
        "assign": partial(portfolio.assign, to=form.get("to", "").strip() or None),
        "acknowledge": portfolio.acknowledge,
    }
    if name not in deeds:
        raise NotFound(f"There is no order '{name}' about a case; there are {', '.join(CASE_ORDERS)}.")
    note = form.get("note", "").strip() if name in WITHOUT_NOTE else ordered.note
    deeds[name](number, by=ordered.by, note=note)
    return _done(f"/dashboard/cases/{number}")


def _order(cases: Cases, windows: Windows, deliveries: Deliveries, number: int, name: str) -> PersonOrder:
    case, held, steps = cases.get(number), deliveries.of_case(number), cases.steps(number)
    said = people_orders(case, attention(cases, case, steps))
    for order in [*orders_of(case, windows.of_case(number), steps, held), *said]:
        if order.name == name:
            return order
    if name in CASE_ORDERS:
        raise Conflict(f"Case {number} is '{case.state}' now; there is nothing to {name}.")
    raise NotFound(f"There is no order '{name}' about a case; there are {', '.join(CASE_ORDERS)}.")


def _form(request: Request, order: PersonOrder, *, back: str) -> Response:
    return page(request, "order.html", title=order.title, live=False, order=order, back=back)


def _done(address: str) -> Response:
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})
