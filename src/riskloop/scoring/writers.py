"""The answers to many rows, block by block: as JSON array, NDJSON, CSV or Arrow stream."""

import io
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from riskloop.scoring.answers import Answers
from riskloop.scoring.decide import Explain


class Writer(Protocol):
    """Writes blocks of answers one after the other."""

    def write(self, answers: Answers) -> bytes:
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

    def write(self, answers: Answers) -> bytes:
        """The elements of a block, with what separates them from the block before."""
        before = b"," if self._begun else b"["
        self._begun = True
        return before + self._encode(list(answers.each()))[1:-1]

    def end(self) -> bytes:
        """The closing bracket."""
        return b"]"


class LinesWriter:
    """One JSON object a line."""

    def __init__(self, _explain: Explain) -> None:
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, answers: Answers) -> bytes:
        """A block's lines."""
        return self._encode(list(answers.each()))

    def end(self) -> bytes:
        """Nothing."""
        return b""


class CsvWriter:
    """A header and one line a row; `default` is 1 or 0, as in the history."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._begun = False

    def write(self, answers: Answers) -> bytes:
        """A block's lines, the header before the first."""
        import pyarrow as pa
        from pyarrow import csv

        batch = answers.table(with_reasons=self._explain != "none")
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

    def write(self, answers: Answers) -> bytes:
        """A block as record batch, the stream's schema before the first."""
        import pyarrow as pa

        batch = answers.table(with_reasons=self._explain != "none")
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


WRITERS: Final[Mapping[str, Callable[[Explain], Writer]]] = {
    "application/json": JsonWriter,
    "application/x-ndjson": LinesWriter,
    "text/csv": CsvWriter,
    "application/vnd.apache.arrow.stream": ArrowWriter,
}
