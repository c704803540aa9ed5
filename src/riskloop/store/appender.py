"""Appending to the decision log: one durable transaction for whatever is committed together.

Ids are consecutive and given inside the write transaction, so a gap would be a lost decision. Appending goes
straight to the driver: at tens of thousands of decisions a second, a layer between costs more than the disk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final, Protocol

from riskloop.core.chain import Link, decisions_digest, link
from riskloop.core.errors import Conflict, StorageError
from riskloop.core.types import Decisions

DECISION_COLUMNS: Final = "id, customer_id, time, scored_at, model_version, probability, is_default, features, flags"


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """A part of a file under an idempotency key."""

    key: str
    fingerprint: str  # of the body: the same key with other rows is a mistake, not a repetition


@dataclass(frozen=True, slots=True)
class Logged:
    """Where decisions are in the log."""

    first_id: int
    rows: int
    repeated: bool = False  # they were there before: the chunk had been sent already


class Appender(Protocol):
    """A connection that appends decisions. It belongs to one thread at a time.

    After any failure the connection is opened anew by the next call, so that a full disk, a locked file or a server
    that was away heals by itself.
    """

    remote: bool  # whether a call waits for a network: then it belongs into a thread

    def append(
        self, groups: Sequence[Decisions], chunk: ChunkKey | None = None, *, seq: int | None = None
    ) -> list[Logged] | None:
        """Log the groups in one durable transaction, in order.

        With ``seq`` they were decided by the champion of that promotion: when the ledger has gone on since, nothing is
        written, and the list is empty.
        With ``chunk`` there is one group, and it is logged once however often it is sent. Returns None when
        others write for so long that this one does not wait for them: nothing was written, try again.
        Raises StorageError when the log cannot be written; its message says whether anything is in it. Raises
        Conflict when the chunk's key was used with other rows.
        """
        ...

    def busy(self) -> StorageError:
        """What a caller says when others wrote for too long."""
        ...

    def tidy(self) -> None:
        """Housekeeping, about once a second."""
        ...

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        ...


def linked_decisions(number: int, before: bytes, rows: Sequence[tuple[Any, ...]]) -> Link:
    """The link of a group of rows as `decision_tuples` gives them, after the link ``before``."""
    first, last, at, digest = rows[0][0], rows[-1][0], rows[0][3], decisions_digest(rows)
    return Link(
        number, "decisions", first, last, at, digest, link(before, number, "decisions", first, last, at, digest)
    )


def repeated(chunk: ChunkKey, fingerprint: str, first_id: int, rows: int) -> Logged:
    """A chunk that is in the log already; Conflict when its key was used with other rows."""
    if fingerprint != chunk.fingerprint:
        raise Conflict(
            f"The idempotency key '{chunk.key}' was used before with other rows; use a new key for new rows. "
            "Nothing was logged."
        )
    return Logged(first_id, rows, repeated=True)


def decision_tuples(first_id: int, decisions: Decisions) -> Iterator[tuple[Any, ...]]:
    """The rows of `decisions`, in the order of `DECISION_COLUMNS`."""
    width = decisions.features.shape[1] * 8
    content = memoryview(decisions.features.astype("<f8", copy=False).tobytes())
    return zip(
        range(first_id, first_id + len(decisions)),
        decisions.customer_ids,
        decisions.times,
        repeat(decisions.scored_at),
        repeat(decisions.model_version),
        decisions.probabilities.tolist(),
        decisions.defaults.tolist(),
        (content[i : i + width] for i in range(0, len(decisions) * width, width)),
        repeat(None) if decisions.flags is None else decisions.flags,
        strict=False,  # `repeat` has no end
    )
