"""`POST /predict/batch`: many rows are checked first, all of them, then scored and logged block by block.

A body that holds one bad row logs nothing. A long one is read twice, from disk, so that neither the body nor the
answer is ever in memory as a whole.
"""

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, Final

from riskloop.core.errors import DataError, RiskloopError, UnsupportedMedia
from riskloop.core.settings import Settings
from riskloop.core.types import Decisions, Rows
from riskloop.scoring.answers import Answers
from riskloop.scoring.bodies import READERS, laid_out_blocks
from riskloop.scoring.decide import Explain, decide, reasons
from riskloop.scoring.model import Model
from riskloop.scoring.writers import WRITERS
from riskloop.serve.metrics import ServingMetrics
from riskloop.serve.reload import Reloader
from riskloop.store.appender import Appender, ChunkKey, Logged
from riskloop.store.decisions import DecisionLog
from riskloop.tracing import Trace


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request: its body, already on disk or in memory, and what the caller wants back."""

    body: BinaryIO
    kind: str  # media type of the body
    answer: str  # media type of the answer
    explain: Explain
    first_row: int  # number of the first row in messages
    chunk: ChunkKey | None  # the idempotency key and the body's fingerprint
    trace: Trace | None = None


def content_type(header: str | None, *, of: str = "/predict/batch", kinds: Collection[str] = tuple(READERS)) -> str:
    """A Content-Type header as one of ``kinds``: one type, to the letter, with or without parameters.

    Leniency opens a door: `text/plain;x=y,text/csv` is plain text to a browser, which then asks nobody whether another
    site's page may send it.
    """
    named = (header or "").partition(";")[0].strip().lower()
    if named not in kinds or "," in (header or ""):
        sent = f"not '{header}'" if header else "and the request does not say what it sends"
        raise UnsupportedMedia(f"{of} reads {', '.join(kinds)}, {sent}; set the Content-Type header.")
    return named


def accepted(header: str | None, fallback: str) -> str:
    """The first type of an Accept header that a batch can be answered in; ``fallback`` when there is none."""
    named = (part.partition(";")[0].strip().lower() for part in (header or "").split(","))
    return next((kind for kind in named if kind in READERS), fallback)


_LAYOUT: Final = {
    "encoding",
    "delimiter",
    "quoting",
    "widths",
    "gaps",
    "decimal",
    "skip",
    "header",
    "below",
    "columns",
    "footer",
}


class Bulk:
    """Scores batches in worker threads; each thread has its own connection to the log."""

    def __init__(self, log: DecisionLog, reloader: Reloader, settings: Settings, metrics: ServingMetrics) -> None:
        self._log = log
        self._reloader = reloader
        self._max_reasons = settings.serve.max_reasons
        laid_out = settings.data.model_dump(include=_LAYOUT, exclude_defaults=True)
        self._layout = settings.data if laid_out else None
        self._exploration = settings.exploration.rate
        self._metrics = metrics
        self._local = threading.local()
        self._appenders: list[Appender] = []

    def not_read(self, body: BinaryIO, kind: str) -> tuple[str, ...]:
        """The columns of a CSV or Arrow body that the model does not know; the body stands at its start afterwards."""
        import pyarrow as pa

        from riskloop.data.read import STANDARD, not_read
        from riskloop.data.tables import TextSource

        try:
            if kind == "text/csv":
                names = TextSource(body, self._layout or STANDARD, "The body").names
            elif kind == "application/vnd.apache.arrow.stream":
                names = list(pa.ipc.open_stream(body).schema.names)
            else:
                return ()
        except (RiskloopError, pa.ArrowInvalid, OSError):  # whoever reads the rows says what is wrong
            return ()
        finally:
            body.seek(0)
        return not_read(names, self._reloader.model.schema)

    def answers(self, batch: BatchRequest) -> Iterator[bytes]:
        """The answer's bytes, block by block; every row was checked before the first block is logged.

        Raises DataError (nothing was logged), Conflict (the key belongs to another body), StorageError.
        """
        self._reloader.look()  # a promotion may be newer than the last look
        model = self._reloader.model
        read = READERS[batch.kind]
        if batch.kind == "text/csv" and self._layout is not None:
            read = partial(laid_out_blocks, dialect=self._layout)
        blocks = _traced(read(batch.body, model, batch.first_row), batch.trace)
        first = next(blocks, None)
        second = next(blocks, None)
        if second is not None:
            for _ in blocks:
                pass
            batch.body.seek(0)
            blocks = _traced(read(batch.body, model, batch.first_row), batch.trace)
        elif first is not None:
            blocks = iter([first])
        else:
            raise DataError("The body holds no rows.")
        writer = WRITERS[batch.answer](batch.explain)
        for number, block in enumerate(blocks):
            yield writer.write(self._answers(model, block, batch, _part(batch.chunk, number)))
        yield writer.end()

    def _answers(self, model: Model, rows: Rows, batch: BatchRequest, chunk: ChunkKey | None) -> Answers:
        known = None if chunk is None else self._log.find_chunk(chunk)
        if known is not None:
            return self._again(known, batch.explain)
        started = time.time_ns()
        decisions = decide(model, rows, started // 1000, self._exploration)
        scored = time.time_ns()
        logged = self._append(decisions, chunk)
        if batch.trace is not None:
            batch.trace.part("score", started, scored, rows=len(rows))
            batch.trace.part("commit", scored, time.time_ns(), rows=len(rows), repeated=logged.repeated)
        if logged.repeated:
            return self._again(logged, batch.explain)
        if batch.trace is not None:
            batch.trace.decided(logged.first_id, len(rows), model.version)
        self._metrics.scored(model.version, decisions.probabilities, "batch")
        return self._explained(model, decisions, logged.first_id, batch.explain)

    def _again(self, known: Logged, explain: Explain) -> Answers:
        """The decisions of a chunk that came before, from the log, with the words of the model of that day."""
        decisions = self._log.chunk(known.first_id, known.rows)
        return self._explained(self._reloader.version(decisions.model_version), decisions, known.first_id, explain)

    def _explained(self, model: Model, decisions: Decisions, first_id: int, explain: Explain) -> Answers:
        return Answers(model, decisions, first_id, reasons(model, decisions, explain, self._max_reasons))

    def close(self) -> None:
        """Close the threads' connections, after their last work."""
        for appender in self._appenders:
            appender.close()

    def _append(self, decisions: Decisions, chunk: ChunkKey | None) -> Logged:
        appender: Appender | None = getattr(self._local, "appender", None)
        if appender is None:
            appender = self._local.appender = self._log.appender(checkpoints=False)
            self._appenders.append(appender)
        logged = appender.append([decisions], chunk)
        if logged is None:
            raise appender.busy()
        return logged[0]


def _traced(blocks: Iterator[Rows], trace: Trace | None) -> Iterator[Rows]:
    return blocks if trace is None else trace.each("decode", blocks, len)


def _part(chunk: ChunkKey | None, number: int) -> ChunkKey | None:
    if chunk is None or number == 0:
        return chunk
    return replace(chunk, key=f"{chunk.key}\n{number}")  # no header holds a line break, so no caller's key is this one
