"""What people do about cases, over HTTP: a ticket tool drives the same orders as the pages and the commands."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final, cast

import msgspec
from fastapi import APIRouter, Depends, Request

from riskloop.commands import CaseCommands
from riskloop.core.types import Json
from riskloop.results import CaseResult
from riskloop.serve.door import SMALL_BODY, body_of
from riskloop.serve.routes import Number, Operator, T, Worker, decoded

_Note = Annotated[
    str, msgspec.Meta(min_length=1, max_length=2000, pattern=r"\S", description="Why; it stays on record.")
]
_Remark = Annotated[str, msgspec.Meta(max_length=2000, description="It stays on record.")]
_PATH: Final = "/cases/{number}/"

router = APIRouter(tags=["cases"])


class CaseRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of an order that needs a note."""

    note: _Note


class ApprovalRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /cases/{number}/approve`."""

    note: _Note
    evidence: Annotated[
        str,
        msgspec.Meta(
            min_length=8,
            max_length=64,
            description="`fingerprint` of the report that was read, of its event of the case, or its beginning. "
            "Where the case has another report by now, the approval is refused.",
        ),
    ]


class AssignmentRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /cases/{number}/assign`."""

    to: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"\S", description="A person.")] | None
    note: _Remark = ""


class AcknowledgementRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /cases/{number}/acknowledge`; `{}` is enough."""

    note: _Remark = ""


def _commands(request: Request) -> CaseCommands:
    return cast("CaseCommands", request.app.state.portfolio)


People = Annotated[CaseCommands, Depends(_commands)]


@router.post(f"{_PATH}approve")
async def approve(request: Request, number: Number, people: People, service: Worker, key: Operator) -> Json:
    """Make the challenger of a case that waits for a person the champion, at once. 409 when the case asks nobody."""
    asked = await _asked(request, ApprovalRequest)
    service.soundness.require()
    return await _done(people.approve, number, by=key, note=asked.note, evidence=asked.evidence)


@router.post(f"{_PATH}reject")
async def reject(request: Request, number: Number, people: People, key: Operator) -> Json:
    """Reject the challenger of a case that waits for a person: the champion stays, the case is closed."""
    asked = await _asked(request, CaseRequest)
    return await _done(people.reject, number, by=key, note=asked.note)


@router.post(f"{_PATH}release")
async def release(request: Request, number: Number, people: People, key: Operator) -> Json:
    """Release the quarantined windows and deliveries of outcomes of a case: they are learned from and counted again."""
    asked = await _asked(request, CaseRequest)
    return await _done(people.release, number, by=key, note=asked.note)


@router.post(f"{_PATH}close")
async def close(request: Request, number: Number, people: People, key: Operator) -> Json:
    """Close a quarantined case as fixed at its source; what is quarantined stays out of every training."""
    asked = await _asked(request, CaseRequest)
    return await _done(people.close, number, by=key, note=asked.note)


@router.post(f"{_PATH}comment")
async def comment(request: Request, number: Number, people: People, key: Operator) -> Json:
    """Say something about a case, open or closed. It stays on record and moves nothing."""
    asked = await _asked(request, CaseRequest)
    return await _done(people.comment, number, asked.note, by=key)


@router.post(f"{_PATH}assign")
async def assign(request: Request, number: Number, people: People, key: Operator) -> Json:
    """Give a case to a person, or with `null` to nobody. 409 where that changes nothing or nothing is left to do."""
    asked = await _asked(request, AssignmentRequest)
    return await _done(people.assign, number, asked.to, by=key, note=asked.note)


@router.post(f"{_PATH}acknowledge")
async def acknowledge(request: Request, number: Number, people: People, key: Operator) -> Json:
    """Say that a case was seen: its alert is not repeated. 409 where it asks for nothing, or was seen already."""
    asked = await _asked(request, AcknowledgementRequest)
    return await _done(people.acknowledge, number, by=key, note=asked.note)


BODIES: Final[dict[str, type]] = {
    f"{_PATH}approve": ApprovalRequest,
    f"{_PATH}reject": CaseRequest,
    f"{_PATH}release": CaseRequest,
    f"{_PATH}close": CaseRequest,
    f"{_PATH}comment": CaseRequest,
    f"{_PATH}assign": AssignmentRequest,
    f"{_PATH}acknowledge": AcknowledgementRequest,
}


async def _asked(request: Request, kind: type[T]) -> T:
    return decoded(await body_of(request.receive, SMALL_BODY), kind)


async def _done(deed: Callable[..., CaseResult], *about: Any, **how: Any) -> Json:
    return (await asyncio.to_thread(deed, *about, **how)).to_dict()
