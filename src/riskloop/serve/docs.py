"""`GET /docs`: Swagger UI out of this package. Nothing comes from elsewhere, and the browser is told so."""

from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from riskloop import bundles
from riskloop.core.errors import Unauthorised
from riskloop.serve.case_routes import BODIES
from riskloop.serve.openapi import (
    KEY_SCHEMES,
    OPEN,
    batch_operation,
    components,
    link,
    outcomes_operation,
    predict_operation,
    with_body,
    with_refusals,
)
from riskloop.serve.routes import PromotionRequest
from riskloop.serve.service import Service

POLICY: Final = (  # Swagger UI starts itself by a script in its page, and styles elements in place
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def add_docs(pages: FastAPI, service: Service) -> None:
    """Serve the OpenAPI document and a page that shows it, to whoever has any key."""

    def openapi(request: Request) -> Response:
        service.access.require(None, request.scope)
        return JSONResponse(document(pages, service))

    def docs(request: Request) -> Response:
        try:
            service.access.require(None, request.scope)
        except Unauthorised as error:
            browses = "text/html" in request.headers.get("accept", "") and service.access.asks
            if type(error) is not Unauthorised or not browses:
                raise
            return RedirectResponse("/login?next=/docs", 303)
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=pages.title,
            swagger_js_url=f"{root}/docs/files/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/files/swagger-ui.css",
            swagger_favicon_url="data:,",
            swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": -1, "validatorUrl": None},
        )
        page.headers["Content-Security-Policy"] = POLICY
        return page

    pages.add_api_route("/openapi.json", openapi, include_in_schema=False)
    pages.add_api_route("/docs", docs, include_in_schema=False)
    pages.mount("/docs/files", StaticFiles(directory=bundles.FOLDER))


def document(pages: FastAPI, service: Service) -> dict[str, Any]:
    """FastAPI's document with what FastAPI cannot know: the champion's fields, bodies that are streams, keys."""
    found = pages.openapi()
    schema = service.documented_schema
    paths = {
        **found["paths"],
        "/predict": {"post": predict_operation(schema)},
        "/predict/batch": {"post": batch_operation(found["paths"]["/predict/batch"]["post"], schema)},
        "/outcomes": {"post": outcomes_operation(found["paths"]["/outcomes"]["post"], schema)},
    }
    for path, kind in {"/models/{version}/promote": PromotionRequest, **BODIES}.items():
        paths[path] = {"post": with_body(paths[path]["post"], kind)}
    parts = found.get("components", {})
    schemas = {**parts.get("schemas", {}), **components(schema)}
    described = {**parts, "schemas": schemas, "securitySchemes": KEY_SCHEMES}
    paths = {
        path: {method: with_refusals(how, method=method, path=path) for method, how in item.items()}
        for path, item in paths.items()
    }
    link(paths)
    secured = {
        path: item if path in OPEN else {method: {**how, "security": _ANY} for method, how in item.items()}
        for path, item in paths.items()
    }
    return {**found, "paths": secured, "components": described}


_ANY: Final[list[dict[str, list[str]]]] = [{name: []} for name in KEY_SCHEMES]
