"""What the steps of a case say, typed; stored as JSON with the number of their format.

Steps are never rewritten, so old formats keep their reader. To raise the number: add to the structs what is new with a
default, or write a reader `_format_N` beside the one that is here; a committed example of each format is tested.
"""

from typing import Any, Final

import msgspec

from riskloop.core.errors import StorageError
from riskloop.core.types import GateReport, Json

FORMAT: Final = 2


class Making(msgspec.Struct, frozen=True):
    """How a challenger was made."""

    plan: str
    evaluation: str
    training: str
    weighting: str
    learner: str
    validation: dict[str, float]  # AUC of each way that was tried
    effective_size: float
    fingerprint: str  # of the rows
    blended: bool = False


class Note(msgspec.Struct, frozen=True, tag="note"):
    """Nothing beside the sentence."""


class Waits(msgspec.Struct, frozen=True, tag="waits"):
    """More outcomes have to mature."""

    matured: int  # of the new world, now
    next: int | None  # from which the case is tried again


class Judged(msgspec.Struct, frozen=True, tag="judged"):
    """A challenger was trained, and the gate has judged it."""

    report: GateReport
    sentences: list[str]
    fingerprint: str  # of version and report: what an approval is bound to
    evaluation: str | None  # artefact with the tested decisions and both scores
    record: Making | None
    matured: int
    next: int | None
    champion: int
    seq: int  # promotion in force when it was judged


class Asks(msgspec.Struct, frozen=True, tag="asks"):
    """A person has to decide on the report of this fingerprint."""

    fingerprint: str


Event = Note | Waits | Judged | Asks
NOTHING_MORE: Final = Note()


class _Stored(msgspec.Struct):
    format: int = 1


def dumps(event: Event) -> str:
    """JSON text of an event. ValueError for what JSON cannot hold."""
    return msgspec.json.encode({"format": FORMAT, **plain(event)}).decode()


def plain(event: Event) -> Json:
    """The event as what JSON knows."""
    document: Json = msgspec.to_builtins(event)
    return document


def loads(text: str | bytes) -> Event:
    """The inverse of :func:`dumps`, for every format so far; StorageError for one of a newer riskloop."""
    number = msgspec.json.decode(text, type=_Stored).format
    if number == 1:
        return _format_1(msgspec.json.decode(text))
    if number > FORMAT:
        raise StorageError(
            f"A step of a case has format {number}; this riskloop reads formats up to {FORMAT}. Install a newer one."
        )
    event: Event = msgspec.json.decode(text, type=Event)
    return event


def _format_1(document: Json) -> Event:
    """riskloop 0.1: no kinds; what is there says what it is."""
    if "report" in document:
        known: dict[str, Any] = {"evaluation": None, "record": None, "next": None, **document}
        return msgspec.convert({**known, "type": "judged"}, type=Judged)
    if document.get("fingerprint"):
        return Asks(document["fingerprint"])
    if document.get("matured") is not None:
        return Waits(int(document["matured"]), document.get("next"))
    return Note()
