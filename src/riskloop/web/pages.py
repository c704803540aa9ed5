"""The dashboard's pages. Thin: they check the key, ask, and hand over to a template."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse

from riskloop import views
from riskloop.core.errors import NotFound
from riskloop.store import audit as events
from riskloop.store.documents import plain
from riskloop.web import (
    actions,
    assets,
    audit,
    cases,
    challenger,
    decisions,
    drift,
    incident,
    login,
    models,
    performance,
    queries,
    reports,
    search,
)
from riskloop.web.guard import Choice, Number, Operator, Owner, Serving, Viewer, Worker
from riskloop.web.overview import overview
from riskloop.web.shell import Page, page

FileFormat = Annotated[Literal["html", "docx"], Query(alias="format")]  # a PDF is printed by the browser

SIZES: Final = (12, 24, 52)  # windows at once

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
        "today": queries.counted_since(home.database, midnight),
    }
    return JSONResponse(document, headers={"Cache-Control": "no-store"})


# --------------------------------------------------------------------------- drift


@router.get("/dashboard/drift")
def show_drift(request: Request, service: Worker, _key: Viewer, size: int = 12, until: Choice = None) -> Response:
    """Features by windows."""
    home = service.home
    found = drift.drift(home.settings, home.windows, home.ledger, home.artefacts, _size(size), until)
    return page(request, "drift.html", title="Drift", here="drift", sizes=SIZES, **found)


@router.get("/dashboard/drift/{subject:path}")
def show_feature(request: Request, subject: str, service: Worker, _key: Viewer, window: Choice = None) -> Response:
    """One feature, then and now."""
    home = service.home
    found = drift.feature(home.settings, home.windows, home.ledger, home.artefacts, subject, window, SIZES[0])
    return page(
        request, "feature.html", title=f"{home.settings.called(subject)}, {found['chosen'].name}", here="drift", **found
    )


@router.get("/dashboard/windows/{number}")
def show_window(request: Request, number: Number, service: Worker, _key: Viewer) -> Response:
    """One window and its diagnosis."""
    home = service.home
    found = drift.window(home.windows, home.settings, number)
    return page(request, "window.html", title=f"Window {found['window'].name}", here="drift", **found)


@router.get("/dashboard/windows/{number}/report")
def show_report(number: Number, service: Worker, _key: Viewer) -> Response:
    """Evidently's page of a window."""
    return reports.report(service.home.windows, service.home.reports, number)


# --------------------------------------------------------------------------- performance, cases


@router.get("/dashboard/performance")
def show_performance(
    request: Request, service: Worker, _key: Viewer, size: int = 12, until: Choice = None, cohort: Choice = None
) -> Response:
    """Realised and estimated, by cohort."""
    found = performance.performance(service.home.settings, service.home.windows, _size(size), until, cohort)
    return page(request, "performance.html", title="Performance", here="performance", sizes=SIZES, **found)


@router.get("/dashboard/cases")
def show_cases(
    request: Request, service: Worker, _key: Viewer, show: cases.Show = "all", before: Choice = None
) -> Response:
    """Every case, newest first."""
    found = cases.case_list(service.home.database, show, before)
    return page(request, "cases.html", title="Cases", here="cases", **found)


@router.get("/dashboard/cases/{number}")
def show_case(request: Request, number: Number, service: Worker, _key: Viewer) -> Response:
    """One case as a story."""
    home = service.home
    found = cases.story(home.cases, home.windows, home.deliveries, home.ledger, number)
    cost = incident.incident(
        home.database, home.decisions, home.windows, home.settings.money, home.feed.maturity(_now()), found["windows"]
    )
    return page(request, "case.html", title=f"Case {number}", here="cases", incident=cost, **found)


@router.get("/dashboard/cases/{number}/challenger")
def show_challenger(request: Request, number: Number, service: Worker, portfolio: Owner, _key: Viewer) -> Response:
    """What an approver reads and signs."""
    found = challenger.file_page(service.home.cases, service.home.settings, portfolio.challenger_file(number))
    return page(request, "challenger.html", title=f"Challenger of case {number}", here="cases", **found)


@router.get("/dashboard/cases/{number}/document")
def show_case_document(number: Number, portfolio: Owner, _key: Viewer, how: FileFormat = "html") -> Response:
    """The gate's report of a case, for signature."""
    return reports.paper(portfolio.document("case", number, file_format=how))


# --------------------------------------------------------------------------- models


@router.get("/dashboard/models")
def show_models(
    request: Request, service: Worker, _key: Viewer, before: Choice = None, ledger_before: Choice = None
) -> Response:
    """Versions, the ledger, and which served when."""
    home = service.home
    found = models.models(home.database, home.ledger, _now(), before, ledger_before)
    found["shadow"] = views.shadow(home.database, home.settings.shadow, home.decisions)
    return page(request, "models.html", title="Models", here="models", **found)


@router.get("/dashboard/models/compare")
def show_comparison(
    request: Request, service: Worker, portfolio: Owner, _key: Viewer, a: Choice = None, b: Choice = None
) -> Response:
    """Two versions side by side."""
    first, second = models.pair_of(service.home.ledger, a, b)
    compared, kept = portfolio.side_by_side(first, second), portfolio.challenger_file_of(first, second)
    found = models.comparison(
        service.home.settings, service.home.ledger, service.home.artefacts, first, second, compared, kept
    )
    found["shadows"] = [one for one in portfolio.shadows() if one.version in (first, second)]
    return page(request, "compare.html", title=f"Versions {first} and {second}", here="models", **found)


@router.get("/dashboard/models/{version}/document")
def show_model_document(version: Number, portfolio: Owner, _key: Viewer, how: FileFormat = "html") -> Response:
    """The development and validation report of a version."""
    return reports.paper(portfolio.document("model", version, file_format=how))


# --------------------------------------------------------------------------- decisions


@router.get("/dashboard/decisions")
def show_decisions(request: Request, service: Worker, _key: Viewer) -> Response:
    """The search."""
    asked = dict(request.query_params)
    wanted = asked.get("id", "").strip()
    if wanted:
        return RedirectResponse(f"/dashboard/decisions/{decisions.number_of(wanted)}", 303)
    found = search.search(_desk(service), asked)
    return page(request, "decisions.html", title="Decisions", here="decisions", live=False, **found)


@router.get("/dashboard/decisions/export")
def export_decisions(request: Request, service: Worker, key: Viewer) -> Response:
    """What the search finds, as a file. Who took which rows is on record."""
    asked = dict(request.query_params)
    form = search.format_of(asked)
    parts = search.export(_desk(service), asked, form)
    document = {"format": form, "asked": search.fields_of(asked)}
    with service.home.database.write() as connection:
        events.record(connection, at=_now(), by=key, action="export", subject="decisions", document=document)
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/vnd.apache.parquet"
    headers = {"Content-Disposition": f'attachment; filename="decisions.{form}"', "Cache-Control": "no-store"}
    return StreamingResponse(parts, headers=headers, media_type=kind)


def _desk(service: Serving) -> search.Desk:
    home = service.home
    return search.Desk(home.decisions, home.windows, home.schema, home.settings.risk_levels)


@router.get("/dashboard/decisions/{number}")
def show_decision(
    request: Request, number: Number, service: Worker, portfolio: Owner, key: Viewer, replay: bool = False
) -> Response:
    """One decision with its inputs and reasons. Who reads it is on record."""
    if not replay:
        events.write(service.home.database, by=key, action="read decision", subject=f"decision {number}")
    replayed = portfolio.replay(number, by=key) if replay else None
    found = decisions.decision(service, number, replayed)
    return page(request, "decision.html", title=f"Decision {number}", here="decisions", live=False, **found)


@router.get("/dashboard/audit")
def show_audit(request: Request, service: Worker, key: Operator) -> Response:
    """Who did what; looking is on record, too."""
    asked = dict(request.query_params)
    events.write(service.home.database, by=key, action="read audit", subject="audit")
    found = audit.audit(service.home.database, asked)
    return page(request, "audit.html", title="Audit trail", here="audit", live=False, **found)


@router.get("/dashboard/audit.csv")
def export_audit(request: Request, service: Worker, key: Operator) -> Response:
    """The same as CSV."""
    events.write(service.home.database, by=key, action="export audit", subject="audit")
    body = audit.export(service.home.database, dict(request.query_params))
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"}
    return Response(body, media_type="text/csv; charset=utf-8", headers=headers)


def _size(asked: int) -> int:
    return asked if asked in SIZES else SIZES[0]


def _now() -> datetime:
    return datetime.now(UTC)


router.include_router(actions.router)


@router.get("/dashboard/models/{version}")
def show_model(request: Request, version: Number, service: Worker, _key: Viewer) -> Response:
    """One version."""
    found = models.model(service.home.ledger, service.home.artefacts, version)
    return page(request, "model.html", title=f"Version {version}", here="models", **found)


@router.get("/dashboard/{rest:path}")
def unknown(rest: str, _key: Viewer) -> Response:
    """What the menu does not lead to."""
    raise NotFound(f"There is no page /dashboard/{rest}; choose one from the menu.")


router.include_router(login.router)
router.include_router(assets.router)
