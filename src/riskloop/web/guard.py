"""Who may see and who may act. Roles are those of the API; a browser shows the cookie of its session.

Acting needs two proofs that the form was ours: the browser names this very site as the origin, and the form repeats
the token of a cookie that other sites can neither read nor have sent (SameSite=Strict).
"""

import asyncio
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Protocol, cast
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Path, Query, Request, Response

from riskloop.commands import CaseCommands
from riskloop.core.errors import Forbidden, Refused, RiskloopError
from riskloop.identity.access import Access, Caller
from riskloop.identity.client import is_secure
from riskloop.identity.logins import Logins
from riskloop.identity.oidc import Provider
from riskloop.results import (
    ChallengerFileResult,
    DocumentResult,
    PromotionResult,
    ReplayResult,
    ShadowResult,
    SideBySideResult,
)
from riskloop.scoring.model import Model
from riskloop.store.home import Home
from riskloop.store.keys import Role

COOKIE: Final = "riskloop_form"
FIELD: Final = "token"
MAX_FORM_BYTES: Final = 16 * 2**10
NAME: Final = 100  # characters of a person's name
LARGEST: Final = 2**63 - 1  # whole number that a database keeps


Number = Annotated[int, Path(le=LARGEST)]  # in an address
Choice = Annotated[int | None, Query(ge=1, le=LARGEST)]  # behind its question mark


class Models(Protocol):
    """Loads model versions."""

    def version(self, version: int) -> Model:
        """A version, kept loaded."""
        ...


class Serving(Protocol):
    """What the dashboard needs of the process that serves."""

    home: Home
    access: Access
    logins: Logins
    provider: Provider | None

    @property
    def reloader(self) -> Models:
        """Loads model versions."""
        ...

    def refuse(self, error: Exception) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """Status, JSON body and headers of a failed request; counts and logs it."""
        ...


class Operations(CaseCommands, Protocol):
    """What the pages may order beside what is done about cases."""

    def rollback(self, *, by: str | None, reason: str, seq: int | None) -> PromotionResult:
        """Put the champion before that of promotion ``seq`` back."""
        ...

    def side_by_side(self, first: int, second: int) -> SideBySideResult:
        """Two versions on the same customers."""
        ...

    def shadows(self) -> list[ShadowResult]:
        """What versions that do not serve would have decided on live traffic."""
        ...

    def challenger_file(self, number: int) -> ChallengerFileResult:
        """What an approver reads of a case's challenger."""
        ...

    def challenger_file_of(self, champion: int, challenger: int) -> ChallengerFileResult | None:
        """The same by two versions."""
        ...

    def document(
        self, about: Literal["model", "case"], number: int, *, file_format: Literal["html", "docx"]
    ) -> DocumentResult:
        """The report of a version or a case as a file."""
        ...

    def replay(self, decision_id: str | int, *, by: str | None = None) -> ReplayResult:
        """Score a logged decision again."""
        ...


@dataclass(frozen=True)
class SentForm:
    """A form that was sent by somebody who may act."""

    by: str
    form: dict[str, str]

    @property
    def note(self) -> str:
        """Why; it is required, because it stays on record."""
        text = self.form.get("note", "").strip()
        if not text:
            raise Refused("Write a note: it stays on record with your decision. Nothing was done.")
        return text


def service_of(request: Request) -> Serving:
    """The serving process's parts."""
    return cast("Serving", request.app.state.service)


def portfolio_of(request: Request) -> Operations:
    """The portfolio that is served."""
    return cast("Operations", request.app.state.portfolio)


def _viewer(request: Request) -> str:
    return _named(request, Role.VIEW)


def _operator(request: Request) -> str:
    return _named(request, Role.OPERATE)


async def _ordered(request: Request) -> SentForm:
    by = await asyncio.to_thread(_named, request, Role.OPERATE)
    form = await sent_form(request)
    return SentForm(form.get("by", "").strip()[:NAME] or by if keyless(request) else by, form)


Viewer = Annotated[str, Depends(_viewer)]
Operator = Annotated[str, Depends(_operator)]
Ordered = Annotated[SentForm, Depends(_ordered)]
Worker = Annotated[Serving, Depends(service_of)]
Owner = Annotated[Operations, Depends(portfolio_of)]


def keyless(request: Request) -> bool:
    """Whether nobody has to say who they are; then a person's name is what the form says it is."""
    return not service_of(request).access.asks


def may_operate(request: Request) -> bool:
    """Whether the one who looks may also act."""
    found = caller_of(request)
    return found is not None and Role.OPERATE in found.roles


def caller_of(request: Request) -> Caller | None:
    """Who looks; None when that is not known."""
    try:
        return service_of(request).access.caller(request.scope)
    except RiskloopError:
        return None


def _named(request: Request, role: Role) -> str:
    return service_of(request).access.require(role, request.scope)


def token_of(request: Request) -> str:
    """The token that this browser's forms carry; a new one at the first visit."""
    return request.cookies.get(COOKIE) or secrets.token_urlsafe(32)


def keep_token(request: Request, response: Response, token: str) -> None:
    """Give the browser its token."""
    if request.cookies.get(COOKIE) != token:
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure(request))


def renew_token(request: Request, response: Response) -> None:
    """Another token for the forms of another session."""
    keep_token(request, response, secrets.token_urlsafe(32))


def secure(request: Request) -> bool:
    """Whether cookies of this answer are for TLS only."""
    return is_secure(request.scope, service_of(request).home.settings.access)


async def sent_form(request: Request) -> dict[str, str]:
    """The fields of a form that this server's own page sent; raises Forbidden for any other."""
    form = await form_of(request)
    _check_form(request, form.get(FIELD, ""))
    return form


def _check_form(request: Request, sent: str) -> None:
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    elsewhere = site not in (None, "same-origin") or (
        origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    )
    known = request.cookies.get(COOKIE, "")
    if elsewhere or not known or not hmac.compare_digest(sent.encode(), known.encode()):
        raise Forbidden(
            "This form was not sent from the dashboard, or is too old; open its page again. Nothing was done."
        )


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form, the first value of each."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise Refused(f"The form is larger than {MAX_FORM_BYTES:,} bytes; write a shorter note.")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise Refused("The form cannot be read; open its page again.") from None
    if any("\0" in value for values in fields.values() for value in values):
        raise Refused("The form holds the character NUL, which not every database can keep. Nothing was done.")
    return {name: values[0] for name, values in fields.items()}
