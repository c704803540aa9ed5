"""`POST /predict/batch`: many rows are checked first, all of them, then scored and logged block by block.

A body that holds one bad row logs nothing. A long one is read twice, from disk, so that neither the body nor the
answer is ever in memory as a whole.
"""

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

import numpy as np

from riskloop.core.errors import DataError, UnsupportedMedia
from riskloop.core.exploration import explore
from riskloop.core.types import Decisions
from riskloop.serve.answers import Answered, ArrowWriter, CsvWriter, JsonWriter, LinesWriter, Writer
from riskloop.serve.batcher import explained, flag_texts
from riskloop.serve.blocks import READERS, Block
from riskloop.serve.champion import Champion, Explain
from riskloop.serve.metrics import Metrics
from riskloop.serve.reload import Reloader
from riskloop.store.appender import Appender, Chunk, Logged
from riskloop.store.decisions import DecisionLog

WRITERS: Final[dict[str, Any]] = {
    "application/json": JsonWriter,
    "application/x-ndjson": LinesWriter,
    "text/csv": CsvWriter,
    "application/vnd.apache.arrow.stream": ArrowWriter,
}


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: its body, already on disk or in memory, and what the caller wants back."""

    body: BinaryIO
    kind: str  # media type of the body
    answer: str  # media type of the answer
    explain: Explain
    first_row: int  # number of the first row in messages
    chunk: Chunk | None  # the idempotency key and the body's fingerprint


def media_type(
    header: str | None,
    fallback: str | None = None,
    *,
    of: str = "/predict/batch",
    kinds: Collection[str] = tuple(READERS),
) -> str:
    """A Content-Type or Accept header as one of ``kinds``; ``fallback`` when it names none of them."""
    named = (part.partition(";")[0].strip().lower() for part in (header or "").split(","))
    found = next((kind for kind in named if kind in kinds), fallback)
    if found is None:
        sent = f"not '{header}'" if header else "and the request does not say what it sends"
        raise UnsupportedMedia(f"{of} reads {', '.join(kinds)}, {sent}; set the Content-Type header.")
    return found


class Bulk:
    """Scores batches in worker threads; each thread has its own connection to the log."""

    def __init__(self, log: DecisionLog, reloader: Reloader, metrics: Metrics) -> None:
        self._log = log
        self._reloader = reloader
        self._metrics = metrics
        self._local = threading.local()

    def answers(self, batch: Batch) -> Iterator[bytes]:
        """The answer's bytes, block by block; every row was checked before the first block is logged.

        Raises DataError (nothing was logged), Conflict (the key belongs to another body), StorageError.
        """
        self._reloader.look()  # a promotion may be newer than the last look
        champion = self._reloader.champion
        read = READERS[batch.kind]
        blocks = read(batch.body, champion, batch.first_row)
        first = next(blocks, None)
        second = next(blocks, None)
        if second is not None:
            for _ in blocks:
                pass
            batch.body.seek(0)
            blocks = read(batch.body, champion, batch.first_row)
        elif first is not None:
            blocks = iter([first])
        else:
            raise DataError("The body holds no rows.")
        writer: Writer = WRITERS[batch.answer](batch.explain)
        for number, block in enumerate(blocks):
            yield writer.write(self._answered(champion, block, batch, _part(batch.chunk, number)))
        yield writer.end()

    def _answered(self, champion: Champion, block: Block, batch: Batch, chunk: Chunk | None) -> Answered:
        known = None if chunk is None else self._log.find_chunk(chunk)
        if known is not None:
            return self._again(known, batch.explain)
        scored = _scored(champion, block)
        logged = self._append(scored, chunk)
        if logged.repeated:
            return self._again(logged, batch.explain)
        self._metrics.scored(champion.version, scored.probabilities, "batch")
        return _explained(champion, logged.first_id, scored, batch.explain)

    def _again(self, known: Logged, explain: Explain) -> Answered:
        """The decisions of a chunk that came before, from the log, with the words of the model of that day."""
        scored = self._log.chunk(known.first_id, known.rows)
        return _explained(self._reloader.version(scored.model_version), known.first_id, scored, explain)

    def _append(self, scored: Decisions, chunk: Chunk | None) -> Logged:
        appender: Appender | None = getattr(self._local, "appender", None)
        if appender is None:
            appender = self._local.appender = self._log.appender(checkpoints=False)
        logged = appender.append([scored], chunk)
        if logged is None:
            raise appender.busy()
        return logged[0]


def _part(chunk: Chunk | None, number: int) -> Chunk | None:
    if chunk is None or number == 0:
        return chunk
    return replace(chunk, key=f"{chunk.key}\n{number}")  # no header holds a line break, so no caller's key is this one


def _scored(champion: Champion, block: Block) -> Decisions:
    now = time.time_ns() // 1000
    probabilities = champion.model.probabilities(block.features)
    defaults, flags = probabilities >= champion.model.threshold, block.flags
    if champion.exploration:
        defaults, flags = explore(
            defaults, block.customer_ids, block.features, champion.version, champion.exploration, flags
        )
    return Decisions(
        customer_ids=block.customer_ids,
        times=[now] * len(block) if block.times is None else block.times,
        scored_at=now,
        model_version=champion.version,
        probabilities=probabilities,
        defaults=defaults,
        features=np.ascontiguousarray(block.features),
        flags=flag_texts(flags),
    )


def _explained(champion: Champion, first_id: int, scored: Decisions, explain: Explain) -> Answered:
    chosen = explained(scored.defaults, [explain] * len(scored))
    return Answered(champion, first_id, scored, champion.reasons(scored.features, chosen))
