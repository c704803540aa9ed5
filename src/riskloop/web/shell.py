"""The frame around every page: templates, headers, and errors as pages."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from riskloop.core import numbers
from riskloop.core.errors import NotFound, Unauthorised
from riskloop.core.titles import CHECKS
from riskloop.core.types import Json
from riskloop.store.documents import plain
from riskloop.version import __version__
from riskloop.web import assets, words
from riskloop.web.guard import caller_of, keep_token, keyless, may_operate, service_of, token_of
from riskloop.web.queries import pulse

# No inline script and no inline style sheet. Plotly alone needs exceptions, on pages with charts: style attributes,
# and two style elements, named by their hashes: an empty one that it fills rule by rule, and the style of its maps.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; {plotly}img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PLOTLY: Final = (
    "style-src-elem 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-gG0b4ixT/IQUp7JJLbyKcpYcYDjq2Wp8NGv3f+aasqo='; style-src-attr 'unsafe-inline'; "
)
POLLED: Final = frozenset(("/dashboard/live",))  # asked for by scripts, which have no use for a login page
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    figures: dict[str, Json] | None = None,
    live: bool = True,
    **context: Any,
) -> Response:
    """A whole page. ``figures`` are Plotly figures by the id of the element that shows them.

    A ``live`` page is shown anew by its script when something has happened in the loop.
    """
    home = service_of(request).home
    return _rendered(
        request,
        template,
        status,
        POLICY.format(plotly=PLOTLY if figures else ""),
        {
            **context,
            "portfolio": home.settings.portfolio.name,
            "called": home.settings.called,
            "path": request.url.path,
            "figures": {name: _script(figure) for name, figure in (figures or {}).items()},
            "pulse": pulse(home.database) if live and status < 400 else None,
            "operator": status < 400 and may_operate(request),
            "nameless": keyless(request),
            "caller": caller_of(request),
        },
    )


def bare(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page for strangers: without menu, and without anything of the portfolio."""
    return _rendered(request, template, status, POLICY.format(plotly=""), context)


def _rendered(request: Request, template: str, status: int, policy: str, context: dict[str, Any]) -> Response:
    token = token_of(request)
    body = _templates().get_template(template).render(**context, token=token, version=__version__)
    response = Response(body, status, headers={**HEADERS, "Content-Security-Policy": policy}, media_type="text/html")
    keep_token(request, response, token)
    return response


def inventory(entries: Sequence[Json]) -> Response:
    """All portfolios of one server. Nobody's form is on it."""
    body = _templates().get_template("inventory.html").render(entries=entries, title="Portfolios", version=__version__)
    headers = {**HEADERS, "Content-Security-Policy": POLICY.format(plotly="")}
    return Response(body, headers=headers, media_type="text/html")


class Page(APIRoute):
    """A route of the dashboard: whatever it refuses is a page with the API's sentence and status."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler with errors turned into pages."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except Exception as error:  # noqa: BLE001 - the last line of defence, as in the API
                return await asyncio.to_thread(failure, request, error)

        return handle


def failure(request: Request, error: Exception) -> Response:
    """The page of a refusal."""
    if isinstance(error, RequestValidationError):
        error = NotFound(f"There is no page {request.url.path} with these parameters; choose one from the menu.")
    if (answer := to_login(request, error)) is not None:
        return answer
    status, body, headers = service_of(request).refuse(error)
    message = json.loads(body)["error"]["message"]
    if caller_of(request) is None:
        response = bare(request, "refused.html", status=status, title="Not possible", message=message)
    else:
        response = page(request, "error.html", status=status, title="Not possible", message=message, code_number=status)
    for name, value in headers:
        if name not in (b"content-type", b"content-length"):
            response.headers[name.decode()] = value.decode()
    return response


def to_login(request: Request, error: Exception) -> Response | None:
    """Where a browser without a session goes that asked for a page; None when the refusal is the answer."""
    unknown = type(error) is Unauthorised and service_of(request).access.asks
    if not unknown or request.method != "GET" or request.url.path in POLLED:
        return None
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        # A link on another site brought the browser here, so it kept the session's cookie back. It sends it with
        # what this page asks for: the same address again.
        return bare(request, "onward.html", title="One moment", address=own_address(request))
    return RedirectResponse(f"/login?next={quote(own_address(request), safe='/')}", 303, {"Cache-Control": "no-store"})


def own_address(request: Request) -> str:
    """Path and query of a request, as they were sent."""
    query = request.url.query
    return quote(request.url.path, safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")


def _script(figure: Json) -> Markup:
    """A figure as JSON that cannot end its own script element."""
    text = json.dumps(plain(figure), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("riskloop.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "percent", "signed", "points", "chance", "between", "between_shares"):
        environment.filters[name] = getattr(numbers, name)
    for name in ("sentence", "moment", "moment_day", "when", "day", "age", "feature_value", "measured", "decided"):
        environment.filters[name] = getattr(words, name)
    for name in ("DIAGNOSES", "ACTIONS", "STATES", "VERDICTS", "SEVERITIES", "KINDS", "RISK_LEVELS", "SIDES"):
        environment.globals[name.lower()] = getattr(words, name)
    environment.globals["checks"] = CHECKS
    environment.globals["asset"] = assets.address
    return environment
