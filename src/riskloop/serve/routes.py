"""The HTTP routes other than the fast path. Thin: they check the key, call, and shape JSON."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, Final, Protocol, TypeVar, cast

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator

from riskloop import views
from riskloop.core.errors import BodyTooLarge, DataError, MalformedBody, RiskloopError, StorageError
from riskloop.core.schema import NUL
from riskloop.core.types import Json, Problem, as_utc
from riskloop.results import OutcomesResult, PromotionResult
from riskloop.scoring.answers import described
from riskloop.scoring.decide import Explain
from riskloop.serve.bulk import BatchRequest, accepted, content_type
from riskloop.serve.door import SMALL_BODY, body_of
from riskloop.serve.outcomes import KINDS, outcome_source
from riskloop.serve.predict import compressed
from riskloop.serve.service import Service
from riskloop.store import audit
from riskloop.store.appender import ChunkKey
from riskloop.store.keys import Role
from riskloop.tracing import trace_of

IN_MEMORY: Final = 8 * 2**20  # a longer body goes through a temporary file

_CSV: Final = "text/csv"
T = TypeVar("T", bound=msgspec.Struct)


class Commands(Protocol):
    """What the routes ask of the layer above them."""

    def promote(self, version: int, *, by: str | None, reason: str, force: bool) -> PromotionResult:
        """Make a version the champion, if the gate agrees."""
        ...

    def record_outcomes(
        self, labels: Any, *, complete_until: str | None, reason: str | None, by: str, strict: bool
    ) -> OutcomesResult:
        """Store what happened, and up to when that is complete; ``labels`` is a frame or a CSV file."""
        ...


class PromotionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /models/{version}/promote`."""

    reason: Annotated[
        str, msgspec.Meta(min_length=1, max_length=2000, pattern=r"\S", description="Why; it stays in the ledger.")
    ]
    force: Annotated[bool, msgspec.Meta(description="Promote although the gate does not say so.")] = False


def _service(request: Request) -> Service:
    return cast("Service", request.app.state.service)


def _portfolio(request: Request) -> Commands:
    return cast("Commands", request.app.state.portfolio)


def allowed(role: Role) -> Any:
    """A dependency that gives the name of the key, if it has the role."""

    def check(request: Request) -> str:
        return _service(request).access.require(role, request.scope)

    return Depends(check)


Worker = Annotated[Service, Depends(_service)]
Owner = Annotated[Commands, Depends(_portfolio)]
Scoring = Annotated[str, allowed(Role.SCORE)]
Reporter = Annotated[str, allowed(Role.OUTCOMES)]
Viewer = Annotated[str, allowed(Role.VIEW)]
Operator = Annotated[str, allowed(Role.OPERATE)]


def _digits(text: str) -> str:
    """Only digits name a thing: '+1' and '1_0' are numbers to Python and no address."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("a number is written with digits only")
    return text


Number = Annotated[int, BeforeValidator(_digits), Path(le=2**63 - 1)]  # what the database can hold
MOST_NAMED: Final = 30  # columns in a header
ROOMY: Final = frozenset(("/outcomes", "/predict/batch"))  # may send files

router = APIRouter()


@router.get("/healthz", tags=["health"])
def healthz() -> Json:
    """The process answers."""
    return {"ok": True}


@router.get("/readyz", tags=["health"])
def readyz(request: Request, service: Worker) -> JSONResponse:
    """A champion is loaded. Who may view is told more: `problems` deserve a look although requests are served."""
    ready, document = service.readiness()
    try:
        service.access.require(Role.VIEW, request.scope)
    except RiskloopError:  # probes have no key, and strangers learn nothing of what is inside
        document = {"ready": ready}
    return JSONResponse(document, 200 if ready else 503)


@router.get("/metrics", tags=["health"])
def metrics(service: Worker, _key: Viewer) -> Response:
    """Prometheus text."""
    return Response(service.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/model", tags=["models"])
def model(service: Worker, _key: Viewer) -> Json:
    """The champion: version, quality, threshold, schema."""
    champion = service.reloader.model
    return {
        **views.model(service.home.ledger, service.home.artefacts, champion.version),
        "schema": msgspec.to_builtins(champion.schema),
    }


@router.get("/models", tags=["models"])
def models(service: Worker, _key: Viewer) -> list[Json]:
    """Every version and when it served."""
    return views.models(service.home.ledger)


@router.get("/models/at/{moment}", tags=["models"])
def model_at(moment: datetime, service: Worker, _key: Viewer) -> Json:
    """Which version served at a moment: ISO 8601, UTC unless it names a zone."""
    try:
        utc = as_utc(moment)
    except ValueError as error:
        raise DataError(f"The moment {error}.", [Problem("moment", "is out of range", str(moment))]) from None
    return views.champion_at(service.home.ledger, utc, datetime.now(UTC))


@router.post("/models/{version}/promote", tags=["models"])
async def promote(request: Request, version: Number, portfolio: Owner, service: Worker, key: Operator) -> Json:
    """Make a version the champion, if the gate agrees or `force` is set. Every worker has it within a second."""
    asked = decoded(await body_of(request.receive, SMALL_BODY), PromotionRequest)
    service.soundness.require()
    done = await asyncio.to_thread(portfolio.promote, version, by=key, reason=asked.reason, force=asked.force)
    return done.to_dict()


def decoded(body: bytes, kind: type[T]) -> T:
    """A small JSON body as ``kind``; MalformedBody for what is no JSON, DataError for another content."""
    try:
        found = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$")
        field = where.rstrip("`").lstrip(".") or (problem.split("`")[1] if "field `" in problem else "body")
        raise DataError(
            f"The request is not as /docs says: {field}: {problem}. Nothing was changed.", [Problem(field, problem)]
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"The body is not valid JSON: {error}. Nothing was changed.") from None
    odd = [field for field, value in msgspec.structs.asdict(found).items() if isinstance(value, str) and "\0" in value]
    if odd:
        problems = [Problem(field, NUL) for field in odd]
        raise DataError(f"The request is not as /docs says: {odd[0]} {NUL}. Nothing was changed.", problems)
    return found


@router.get("/drift", tags=["monitoring"])
def drift(service: Worker, _key: Viewer, windows: Annotated[int, Query(ge=1, le=1000)] = 12) -> list[Json]:
    """The newest windows with their findings and diagnoses."""
    return views.drift(service.home.windows, windows)


@router.get("/cases", tags=["monitoring"])
def cases(service: Worker, _key: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Json]:
    """The newest cases."""
    return views.cases(service.home.cases, limit)


@router.get("/cases/{number}", tags=["monitoring"])
def case(number: Number, service: Worker, _key: Viewer) -> Json:
    """One case with every step."""
    return views.case_story(service.home.cases, number)


@router.get("/decisions/{decision_id}", tags=["scoring"])
def decision(decision_id: Number, service: Worker, key: Viewer) -> Json:
    """One logged decision as it was answered, with the features that it was made on. Who reads it is on record."""
    found = service.home.decisions.get(decision_id)
    audit.write(service.home.database, by=key, action="read decision", subject=f"decision {decision_id}")
    model = service.reloader.version(found.model_version)
    return described(model, found, service.home.settings.serve.max_reasons)


@router.post("/outcomes", tags=["outcomes"])
async def outcomes(
    request: Request,
    portfolio: Owner,
    service: Worker,
    key: Reporter,
    complete_until: Annotated[
        str | None, Query(max_length=40, description="Up to when the feed is complete: 2025-06-30 includes that day.")
    ] = None,
    reason: Annotated[
        str | None, Query(max_length=2000, description="Why `complete_until` goes back to an earlier date.")
    ] = None,
) -> Json:
    """What happened: decision_id or the customer's id, the target, optionally known_at.

    A JSON array, CSV, or another file that the command line reads: a workbook, Parquet, a page with a table, packed.

    With `complete_until` the feed's watermark rises, with a `reason` it goes back; an empty array is enough for that.
    """
    kind = content_type(request.headers.get("content-type"), of="/outcomes", kinds=KINDS)
    with service.batch():
        body, _ = await _spooled(request, service.home.settings.serve.max_body)

        def record() -> OutcomesResult:
            with outcome_source(body, kind, service.home.schema) as labels:
                return portfolio.record_outcomes(
                    labels, complete_until=complete_until, reason=reason, by=key, strict=True
                )

        with body:
            return (await service.in_bulk(record)).to_dict()


@router.post("/predict/batch", tags=["scoring"], response_class=Response)
async def predict_batch(
    request: Request,
    service: Worker,
    _key: Scoring,
    reasons: Annotated[Explain | None, Query(description="Which decisions get reasons.")] = None,
    first_row: Annotated[int, Query(ge=0, le=2**53, description="Number of the first row, in messages.")] = 1,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=150)] = None,
) -> Response:
    """Many rows at once: JSON array, NDJSON, CSV or Arrow stream in, the same kind out (or what `Accept` names).

    All rows are checked before one is logged. With an `Idempotency-Key` the same body sent twice is logged once. The
    header `Riskloop-Not-Read` names the columns of a CSV or Arrow body that the model does not know, as a JSON array.
    """
    if (refusal := compressed(request.headers.raw)) is not None:
        raise refusal
    kind = content_type(request.headers.get("content-type"))
    answer = accepted(request.headers.get("accept"), kind)
    explain: Explain = reasons or ("default" if answer.endswith("json") else "none")
    done = ExitStack()
    done.enter_context(service.batch())
    with done:
        body, fingerprint = await _spooled(request, service.home.settings.serve.max_body)
        done.callback(body.close)
        chunk = None if idempotency_key is None else ChunkKey(idempotency_key, fingerprint)
        further = await service.in_bulk(lambda: service.bulk.not_read(body, kind))
        blocks = service.bulk.answers(
            BatchRequest(body, kind, answer, explain, first_row, chunk, trace_of(request.scope))
        )
        first = await service.in_bulk(lambda: next(blocks))
        answers = _Answers(service, first, blocks, answer, done.pop_all())
        if further:
            answers.headers["Riskloop-Not-Read"] = json.dumps(further[:MOST_NAMED])
        return answers


class _Answers(Response):
    """Sends the blocks as they are made."""

    def __init__(
        self, service: Service, first: bytes, blocks: Iterator[bytes], media_type: str, done: ExitStack
    ) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._service, self._first, self._blocks, self._done = service, first, blocks, done

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        with self._done:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            block: bytes | None = self._first
            while block is not None:
                await send({"type": "http.response.body", "body": block, "more_body": True})
                try:
                    block = await self._service.in_bulk(lambda: next(self._blocks, None))
                except RiskloopError as error:  # too late for another status: the answer breaks off
                    self._service.broke_off(error)
                    return
            await send({"type": "http.response.body", "body": b""})


async def _spooled(request: Request, most: int) -> tuple[BinaryIO, str]:
    """The request's body as a file at its start, and its sha256. The caller closes it."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(most)
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed when the answer is out
    digest, size = hashlib.sha256(), 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise _too_large(most)
            digest.update(piece)
            file.write(piece)
    except OSError as error:
        file.close()
        raise StorageError(
            f"The server has no room for the body: {error.strerror or error} in {tempfile.gettempdir()}. "
            "Nothing was logged; it can be tried again."
        ) from error
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return cast("BinaryIO", file), digest.hexdigest()


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than {most} bytes ([serve] max_body); send it in parts. Nothing was logged."
    )
