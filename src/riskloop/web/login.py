"""Logging in and out in a browser. These pages show nothing of the portfolio: everybody may open them."""

import asyncio
import re
from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from riskloop.core.errors import NotFound, Refused, TooManyTries, Unauthorised, Unreachable
from riskloop.identity.access import COOKIE, SECURE_COOKIE
from riskloop.identity.oidc import Begun, Provider
from riskloop.web.guard import Worker, caller_of, renew_token, secure, sent_form, service_of
from riskloop.web.shell import Page, bare

START: Final = "/"
BEGUN: Final = 600  # seconds that a login at the provider may take
_LOCAL: Final = re.compile(
    r"/(?![/\\])[!-\[\]-~]*"
)  # printable ASCII without a backslash, which browsers take for a slash

router = APIRouter(route_class=Page, include_in_schema=False)


def local_path(asked: str) -> str:
    """Where to go after the login: a path of this server, or the start for anything else."""
    found = _LOCAL.fullmatch(asked) is not None and len(asked) <= 2000
    return asked if found and not re.match(r"/(login|logout)\b", asked) else START


@router.get("/login")
def show_login(request: Request, next: str = START) -> Response:  # noqa: A002 - the parameter's usual name
    """The form; whoever is logged in already goes on."""
    after = local_path(next)
    service = service_of(request)
    if not service.access.asks or caller_of(request) is not None:
        return RedirectResponse(after, 303, {"Cache-Control": "no-store"})
    sso = service.provider is not None
    return bare(request, "login.html", title="Log in", after=after, problem=None, sso=sso)


@router.post("/login")
async def log_in(request: Request, service: Worker) -> Response:
    """Begin a session with a name and its password, or with a key alone."""
    form = await sent_form(request)
    after, name, secret = local_path(form.get("next", "")), form.get("name", "").strip(), form.get("secret", "")
    try:
        if not secret:
            raise Refused("Type the password or the key.")
        if name:
            token = await asyncio.to_thread(service.logins.with_password, request.scope, name, secret)
        else:
            token = await asyncio.to_thread(service.logins.with_key, request.scope, secret.strip())
    except (Refused, Unauthorised) as error:
        status, _, headers = service.refuse(error)
        answer = bare(
            request,
            "login.html",
            status=status,
            title="Log in",
            after=after,
            problem=error.message,
            sso=service.provider is not None,
        )
        if isinstance(error, TooManyTries):
            answer.headers.update({k.decode(): v.decode() for k, v in headers if k == b"retry-after"})
        return answer
    answer = RedirectResponse(after, 303, {"Cache-Control": "no-store"})
    keep_session(request, answer, token)
    return answer


@router.get("/login/sso")
async def begin_sso(request: Request, service: Worker, next: str = START) -> Response:  # noqa: A002 - as above
    """Send the browser to the provider of single sign-on."""
    provider = required(service.provider)
    address, begun = await asyncio.to_thread(provider.begin, local_path(next))
    answer = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
    # Lax, not Strict: the provider's page leads back here. It holds no session and lives for minutes.
    answer.set_cookie(begun_cookie(request), begun.text(), BEGUN, httponly=True, samesite="lax", secure=secure(request))
    return answer


@router.get("/login/sso/callback")
async def finish_sso(request: Request, service: Worker) -> Response:
    """Begin a session for whom the provider names; the answer must belong to a login that was begun in this browser."""
    provider = required(service.provider)
    try:
        begun = Begun.of(request.cookies.get(begun_cookie(request), ""))
        query = request.query_params
        if len(query.multi_items()) != len(query):
            raise Unauthorised("The provider's answer says something twice. Begin again at /login.")
        finish = partial(provider.finish, begun, dict(query))
        token = await asyncio.to_thread(service.logins.with_provider, request.scope, finish)
    except (Unauthorised, Unreachable) as error:
        status, _, headers = service.refuse(error)
        answer = bare(
            request, "login.html", status=status, title="Log in", after=START, problem=error.message, sso=True
        )
        if isinstance(error, TooManyTries):
            answer.headers.update({k.decode(): v.decode() for k, v in headers if k == b"retry-after"})
        _forget(request, answer)
        return answer
    # A page, no redirect: browsers send a strict cookie only when our own page leads on.
    answer = bare(request, "onward.html", title="Logged in", address=local_path(begun.after))
    keep_session(request, answer, token)
    _forget(request, answer)
    return answer


def required(provider: Provider | None) -> Provider:
    """The provider; NotFound where there is none."""
    if provider is None:
        raise NotFound("This server has no single sign-on ([sso] issuer).")
    return provider


def begun_cookie(request: Request) -> str:
    """The name of the cookie of a login that has begun."""
    return "__Host-riskloop_sso" if secure(request) else "riskloop_sso"


def _forget(request: Request, answer: Response) -> None:
    answer.delete_cookie(begun_cookie(request), httponly=True, samesite="lax", secure=secure(request))


@router.post("/logout")
async def log_out(request: Request, service: Worker) -> Response:
    """End the session."""
    await sent_form(request)
    await asyncio.to_thread(service.logins.out, request.scope)
    answer = RedirectResponse("/login", 303, {"Cache-Control": "no-store"})
    answer.delete_cookie(session_cookie(request), httponly=True, samesite="strict", secure=secure(request))
    renew_token(request, answer)
    return answer


def session_cookie(request: Request) -> str:
    """The name of the session's cookie."""
    return SECURE_COOKIE if secure(request) else COOKIE


def keep_session(request: Request, answer: Response, token: str) -> None:
    """Give the browser its new session, and a new token for its forms. It forgets both when it is closed."""
    cookie = session_cookie(request)
    answer.set_cookie(cookie, token, httponly=True, samesite="strict", secure=secure(request), path="/")
    renew_token(request, answer)
