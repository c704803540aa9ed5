"""The dashboard's pages. Thin: they check the key, ask, and hand over to a template."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from riskloop.core.errors import NotFound
from riskloop.store.documents import plain
from riskloop.web import assets, queries
from riskloop.web.guard import Viewer, Worker
from riskloop.web.overview import overview
from riskloop.web.shell import Page, page

router = APIRouter(route_class=Page, include_in_schema=False)


@router.get("/")
def show_overview(request: Request, service: Worker, _key: Viewer) -> Response:
    """What serves, whether it is healthy, what changed."""
    return page(request, "overview.html", title="Overview", here="overview", **overview(service.home, _now()))


@router.get("/dashboard/live")
def live(service: Worker, _key: Viewer) -> Response:
    """What pages poll: numbers that rise when something happens."""
    home = service.home
    champion = home.ledger.champion()
    midnight = _now().replace(hour=0, minute=0, second=0, microsecond=0)
    document = {
        **plain(queries.pulse(home.database)),
        "champion": None if champion is None else champion.version,
        "today": queries.served_since(home.database, midnight).decisions,
    }
    return JSONResponse(document, headers={"Cache-Control": "no-store"})


@router.get("/dashboard/{rest:path}")
def unknown(rest: str, _key: Viewer) -> Response:
    """What the menu does not lead to."""
    raise NotFound(f"There is no page /dashboard/{rest}; choose one from the menu.")


def _now() -> datetime:
    return datetime.now(UTC)


router.include_router(assets.router)
