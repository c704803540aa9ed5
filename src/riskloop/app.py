"""The ASGI application: the fast path in front, FastAPI behind it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from riskloop.alerts import notify_silence
from riskloop.core.errors import DataError, MalformedBody, NotFound, RiskloopError, WrongMethod
from riskloop.scoring.decoder import shown
from riskloop.serve import case_routes, routes
from riskloop.serve.docs import add_docs
from riskloop.serve.door import Door, Receive, Scope, Send
from riskloop.serve.predict import Predict
from riskloop.serve.service import Service
from riskloop.store.home import Home
from riskloop.tracing import TracedRequests, flush, tracer
from riskloop.version import __version__
from riskloop.web import pages as dashboard

CONFIG_VARIABLE: Final = "RISKLOOP_CONFIG"  # how a worker process learns which portfolio it serves
LOOK_EVERY: Final = 30.0  # seconds between looks at whether the loop stands still


class App:
    """`POST /predict` straight to its function, everything else to FastAPI."""

    def __init__(self, predict: Predict, pages: FastAPI, service: Service) -> None:
        self._predict = predict
        self.pages = pages
        made = tracer(service.home.settings.portfolio.name)
        self._answer = self._route if made is None else TracedRequests(made, self._route)
        self._door = Door(pages, service.refuse, roomy=routes.ROOMY, most=service.home.settings.serve.max_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._answer(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            await self._predict(scope, receive, send)
        else:
            await self._door(scope, receive, send)


def create_app(home: Home, portfolio: routes.Commands) -> App:
    """The application of one portfolio. It loads the champion when the server starts, not before."""
    service = Service(home)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Service]]:
        await service.start()
        watching = asyncio.create_task(_watch_silence(home))
        try:
            yield {"service": service}  # for connections that are refused before there is a request
        finally:
            watching.cancel()
            await service.stop()
            await asyncio.to_thread(flush)

    pages = FastAPI(
        title=f"riskloop: {home.settings.portfolio.name}",
        version=__version__,
        description="Scores customers with the champion, and logs every decision before it answers.",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # Its own spans and logs would hold addresses with what people search for, and the values of refused requests.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    predict = Predict(service)
    pages.state.service = service
    pages.state.portfolio = portfolio
    pages.include_router(routes.router)
    pages.include_router(case_routes.router)
    pages.include_router(dashboard.router)
    _handle_errors(pages, service)
    pages.router.routes.append(Route("/predict", predict, methods=["POST"]))  # refuses other methods
    add_docs(pages, service)
    return App(predict, pages, service)


def create_from_environment() -> App:
    """The factory that uvicorn calls in each worker process; the configuration's path is in RISKLOOP_CONFIG."""
    from riskloop.portfolio import Portfolio

    portfolio = Portfolio.open(os.environ[CONFIG_VARIABLE])
    return create_app(portfolio.home, portfolio)


async def _watch_silence(home: Home) -> None:
    """A loop that stands still cannot say so; who serves does."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        await asyncio.to_thread(notify_silence, home.database, home.settings)


def _handle_errors(pages: FastAPI, service: Service) -> None:
    def refused(_request: Request, error: Exception) -> Response:
        status, body, headers = service.refuse(_translated(error))
        response = Response(body, error.status_code if isinstance(error, HTTPException) else status)
        response.raw_headers = headers
        if isinstance(error, HTTPException):
            response.headers.update(error.headers or {})
        return response

    def gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    pages.add_exception_handler(ClientDisconnect, gone)
    for kind in (RiskloopError, RequestValidationError, HTTPException, Exception):
        pages.add_exception_handler(kind, refused)


def _translated(error: Exception) -> Exception:
    """FastAPI's and Starlette's errors in riskloop's one shape."""
    if isinstance(error, RequestValidationError):
        found = error.errors()
        if found[0]["type"] == "json_invalid":
            return MalformedBody(f"The body is not valid JSON: {found[0]['ctx']['error']}. Nothing was changed.")
        problems = [shown(e["msg"], e.get("input"), ".".join(map(str, e["loc"][1:])) or "body") for e in found]
        listed = "; ".join(f"{p.field}: {p.problem}" for p in problems)
        return DataError(f"The request is not as /docs says: {listed}. Nothing was changed.", problems)
    if isinstance(error, HTTPException):
        if error.status_code == MalformedBody.status:
            return MalformedBody("The body is not valid JSON in UTF-8. Nothing was changed.")
        kind = WrongMethod if error.status_code == WrongMethod.status else NotFound
        return kind(f"{error.detail}; /docs lists what there is.")
    return error
