"""Several portfolios in one server: each under its name with its own store, keys and pages, and one inventory."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from riskloop import views
from riskloop.app import CONFIG_VARIABLE, App, create_app
from riskloop.core.errors import RiskloopError
from riskloop.core.types import Json
from riskloop.portfolio import Portfolio
from riskloop.serve.door import PRIVATE, Receive, Scope, Send, require_own_page
from riskloop.serve.mount import Mount, names_of
from riskloop.serve.service import Service
from riskloop.serve.workers import Families
from riskloop.store.home import Home
from riskloop.store.keys import Role
from riskloop.web import assets, shell
from riskloop.web.overview import standing


class Served:
    """One of the portfolios."""

    def __init__(self, portfolio: Portfolio, name: str) -> None:
        self.home = portfolio.home
        self.app: App = create_app(portfolio.home, portfolio)
        self.service: Service = self.app.pages.state.service
        self.mount = Mount(self.app, name)

    def may_view(self, scope: Scope) -> bool:
        """Whether whoever asks may see what this portfolio does."""
        try:
            self.service.access.require(Role.VIEW, self.mount.within(scope))
        except RiskloopError:
            return False
        return True

    def entry(self, scope: Scope, tell: Callable[[Home], Json]) -> Json:
        """This portfolio's line of the inventory, with what ``tell`` says of it; to a stranger its name only."""
        known = tell(self.home) if self.may_view(scope) else None
        return {"name": self.mount.name, "title": self.home.settings.portfolio.name, "standing": known}


class Several:
    """An ASGI application of portfolios, each under its name."""

    def __init__(self, homes: Sequence[Home]) -> None:
        names = names_of([(home.settings.portfolio.name, home.config) for home in homes])
        self.served = [Served(Portfolio(home), name) for home, name in zip(homes, names, strict=True)]
        self._mounts = {one.mount.name: one.mount for one in self.served}
        routes = [
            Route("/", self._inventory),
            Route("/metrics", self._metrics),
            Route("/healthz", _healthz),
            Route("/readyz", self._readyz),
            Route("/static/{version}/{name}", _asset),
        ]
        self._own = Starlette(routes=routes, lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: a portfolio's own, or one about all of them."""
        if scope["type"] == "http":
            mount = self._mounts.get(scope["path"].split("/", 2)[1])
            if mount is not None:
                await mount(scope, receive, send)
                return
            try:
                require_own_page(scope)
            except RiskloopError as error:
                await JSONResponse(error.as_json(), error.status)(scope, receive, send)
                return
        await self._own(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            for one in self.served:
                await stack.enter_async_context(one.app.pages.router.lifespan_context(one.app.pages))
            yield {"service": self.served[0].service}  # whose limits hold for connections that have not asked yet

    async def _inventory(self, request: Request) -> Response:
        as_json = "application/json" in request.headers.get("accept", "")
        tell = (lambda home: views.status(home, datetime.now(UTC))) if as_json else standing
        entries = await asyncio.gather(*(asyncio.to_thread(one.entry, request.scope, tell) for one in self.served))
        return JSONResponse(entries, headers=_private()) if as_json else shell.inventory(entries)

    async def _readyz(self, _request: Request) -> Response:
        ready = {one.mount.name: one.service.readiness()[0] for one in self.served}
        document = {"ready": all(ready.values()), "portfolios": ready}
        return JSONResponse(document, 200 if document["ready"] else 503, headers=_private())

    async def _metrics(self, request: Request) -> Response:
        """The metrics of every portfolio that whoever asks may view, told apart by the label `portfolio`."""
        families: dict[str, Metric] = {}
        for one in self.served:
            if await asyncio.to_thread(one.may_view, request.scope):
                text = await asyncio.to_thread(one.service.exposition)
                _add(families, text.decode(), one.mount.name)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Families(list(families.values())))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST, headers=_private())


def create_from_environment() -> Several:
    """The factory that uvicorn calls in each worker process; the configurations' paths are in RISKLOOP_CONFIG."""
    return Several([Home.open(Path(config)) for config in os.environ[CONFIG_VARIABLE].split(os.pathsep)])


def _add(families: dict[str, Metric], text: str, name: str) -> None:
    for family in text_string_to_metric_families(text):
        labelled = [sample._replace(labels={"portfolio": name, **sample.labels}) for sample in family.samples]
        known = families.setdefault(family.name, family)
        known.samples = labelled if known is family else known.samples + labelled


def _private() -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in PRIVATE}


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"ok": True})


async def _asset(request: Request) -> Response:
    return assets.asset(request.path_params["version"], request.path_params["name"], request)
