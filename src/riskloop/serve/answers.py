"""The answers to many rows: as JSON array, NDJSON, CSV or Arrow stream."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from riskloop.core.types import Decisions, Reason
from riskloop.serve.champion import Answer, Champion, Explain, moment_text

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Answered:
    """Logged decisions of one model, in the order of their rows."""

    champion: Champion
    first_id: int
    scored: Decisions
    reasons: dict[int, list[Reason]]

    def structs(self) -> list[Answer]:
        """One answer a row, as `/predict` gives it."""
        scored, model, scored_at = self.scored, self.champion.model, moment_text(self.scored.scored_at)
        flags: Sequence[str | None] = scored.flags or [None] * len(scored)
        return [
            Answer(
                str(self.first_id + i),
                customer or None,
                default,
                probability,
                model.risk_level(probability),
                model.threshold,
                scored.model_version,
                self.reasons.get(i, []),
                scored_at,
                msgspec.Raw(flag.encode()) if flag is not None else msgspec.UNSET,
            )
            for i, (customer, default, probability, flag) in enumerate(
                zip(scored.customer_ids, scored.defaults.tolist(), scored.probabilities.tolist(), flags, strict=True)
            )
        ]

    def table(self, explain: Explain) -> "pa.RecordBatch":
        """One column a field; reasons as JSON text, and only if asked for."""
        import pyarrow as pa

        scored, n = self.scored, len(self.scored)
        columns: dict[str, Any] = {
            "decision_id": pa.array(range(self.first_id, self.first_id + n), pa.int64()).cast(pa.string()),
            "customer_id": pa.array([c or None for c in scored.customer_ids], pa.string()),
            "default": pa.array(scored.defaults),
            "probability": pa.array(scored.probabilities),
            "risk_level": pa.array(self.champion.model.risk_levels(scored.probabilities), pa.string()),
            "threshold": pa.repeat(pa.scalar(self.champion.model.threshold, pa.float64()), n),
            "model_version": pa.repeat(pa.scalar(scored.model_version, pa.int64()), n),
            "scored_at": pa.repeat(moment_text(scored.scored_at), n),
        }
        if explain != "none":
            encode = msgspec.json.encode
            columns["reasons"] = pa.array([encode(self.reasons.get(i, [])).decode() for i in range(n)], pa.string())
        return pa.RecordBatch.from_pydict(columns)


class Writer(Protocol):
    """Writes blocks of answers one after the other."""

    def write(self, answered: Answered) -> bytes:
        """The bytes of a block."""
        ...

    def end(self) -> bytes:
        """What follows the last block."""
        ...


class JsonWriter:
    """One array."""

    def __init__(self, _explain: Explain) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._begun = False

    def write(self, answered: Answered) -> bytes:
        """The elements of a block, with what separates them from the block before."""
        before = b"," if self._begun else b"["
        self._begun = True
        return before + self._encode(answered.structs())[1:-1]

    def end(self) -> bytes:
        """The closing bracket."""
        return b"]"


class LinesWriter:
    """One JSON object a line."""

    def __init__(self, _explain: Explain) -> None:
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, answered: Answered) -> bytes:
        """A block's lines."""
        return self._encode(answered.structs())

    def end(self) -> bytes:
        """Nothing."""
        return b""


class CsvWriter:
    """A header and one line a row; `default` is 1 or 0, as in the history."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._begun = False

    def write(self, answered: Answered) -> bytes:
        """A block's lines, the header before the first."""
        import pyarrow as pa
        from pyarrow import csv

        batch = answered.table(self._explain)
        batch = batch.set_column(2, "default", batch["default"].cast(pa.int8()))
        options = csv.WriteOptions(include_header=not self._begun, quoting_style="needed")
        sink = io.BytesIO()
        csv.write_csv(batch, sink, options)
        self._begun = True
        return sink.getvalue()

    def end(self) -> bytes:
        """Nothing."""
        return b""


class ArrowWriter:
    """Arrow's streaming format."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._sink = io.BytesIO()
        self._stream: Any = None

    def write(self, answered: Answered) -> bytes:
        """A block as record batch, the stream's schema before the first."""
        import pyarrow as pa

        batch = answered.table(self._explain)
        if self._stream is None:
            self._stream = pa.ipc.new_stream(self._sink, batch.schema)
        self._stream.write_batch(batch)
        return self._taken()

    def end(self) -> bytes:
        """The end-of-stream mark."""
        self._stream.close()
        return self._taken()

    def _taken(self) -> bytes:
        content = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return content
