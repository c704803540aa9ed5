"""The two kinds of file that are sent as they are, and how the answers are put beside their rows.

A CSV keeps its bytes: each record is sent as it was read, however the file is packed and whatever is written, so that
the same rows are the same request; and it is written so, with the predictions appended.
"""

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.schema import APPENDED
from riskloop.core.settings import DataSettings
from riskloop.data.dialect import names_of
from riskloop.data.parse import TextParser
from riskloop.data.records import header_of, line_of, parts
from riskloop.data.streams import open_lines, packing_of
from riskloop.scoring.answers import refuse_taken

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows on their way."""

    number: int  # 0, 1, 2 …
    first_row: int  # counted from 1
    rows: int
    body: bytes  # as it is sent
    digest: bytes  # of the body
    share: float  # of the file that is read with it
    records: Any = None  # what `render` needs of the source


class ScoredFile(Protocol):
    """One kind of file."""

    media_type: ClassVar[str]
    source: Path

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """The file's rows in order, ``rows`` at a time."""
        ...

    def head(self) -> bytes:
        """How the partial output begins."""
        ...

    def render(self, chunk: Chunk, answers: "pa.Table") -> bytes:
        """A chunk's part of the partial output."""
        ...

    def finish(self, part: Path, rows: int) -> Path:
        """Make the complete output out of the partial one, beside it."""
        ...

    def place(self, row: int) -> str:
        """What a person looks for: a line of the CSV, a row of the Parquet file."""
        ...


def digest_of(body: bytes) -> bytes:
    """What tells one chunk from another."""
    return hashlib.blake2b(body, digest_size=16).digest()


def is_parquet(path: Path) -> bool:
    """Whether a file's name asks for Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


def parquet_part(table: "pa.Table", answers: "pa.Table") -> bytes:
    """Rows with their predictions behind them, as an Arrow stream of its own."""
    return stream_of(_texts(beside(table, answers)))


def beside(table: "pa.Table", answers: "pa.Table") -> "pa.Table":
    """Rows with their predictions behind them."""
    import pyarrow as pa

    for name in APPENDED:
        column = answers[name].combine_chunks()
        table = table.append_column(name, column.cast(pa.int8()) if name == "default" else column)
    return table


def stream_of(table: "pa.Table") -> bytes:
    """A table as an Arrow stream."""
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def finished(part: Path, target: Path) -> Path:
    """The partial output is the complete CSV, compressed if its name says so; Parquet is put together."""
    import pyarrow as pa

    done, packing = part.with_name(part.name + ".done"), packing_of(target)
    if is_parquet(target):
        _write_parquet(part, done)
        return done
    if packing is None:
        return part
    with part.open("rb") as plain, pa.output_stream(str(done), compression=packing) as out:
        while content := plain.read(2**22):
            out.write(content)
    return done


def _texts(table: "pa.Table") -> "pa.Table":
    """One schema for every chunk: a column that is empty in a chunk has no type of its own."""
    import pyarrow as pa

    kinds: list[Any] = [pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(kinds))


def _write_parquet(part: Path, done: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer = None
    size = part.stat().st_size
    with part.open("rb") as answers:
        while answers.tell() < size:
            table = pa.ipc.open_stream(answers).read_all()
            writer = writer or parquet.ParquetWriter(done, table.schema)
            writer.write_table(table.cast(writer.schema))
    if writer is not None:
        writer.close()


class CsvFile:
    """A standard CSV, packed or not, to CSV or Parquet."""

    media_type: ClassVar[str] = "text/csv"

    def __init__(self, source: Path, target: Path, content: Path | bytes | None = None) -> None:
        self.source, self._target = source, target
        self._content = source if content is None else content  # a ZIP's
        self._header = self._read_header()

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Whole records, unparsed, below the file's header."""
        size = max(self.source.stat().st_size, 1)
        with open_lines(self._content) as file:
            header_of(file)
            read = len(self._header)
            for number, part in enumerate(parts(file, rows)):
                body = b"\n".join([self._header, *part.records, b""])
                read += len(body) - len(self._header)
                share = min(read / size, 1.0)
                yield Chunk(number, part.first_row, len(part.records), body, digest_of(body), share, part.records)

    def head(self) -> bytes:
        """The header with the names of the predictions; Parquet has it in each part."""
        if is_parquet(self._target):
            return b""
        return b",".join([self._header, *(name.encode() for name in APPENDED)]) + b"\n"

    def render(self, chunk: Chunk, answers: "pa.Table") -> bytes:
        """The records with their predictions behind them, as one run of bytes."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if is_parquet(self._target):
            return parquet_part(self._table(chunk), answers)
        columns = [pa.array(chunk.records, pa.binary())]
        for name in APPENDED:
            column = answers[name].combine_chunks()
            if name == "default":
                column = column.cast(pa.int8())
            columns.append(column.cast(pa.string()).cast(pa.binary()))
        lines = pc.binary_join_element_wise(*columns, b",")
        whole = pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), b"\n")
        return bytes(whole[0].as_buffer()) + b"\n"

    def finish(self, part: Path, rows: int) -> Path:
        """See :func:`finished`."""
        return finished(part, self._target)

    def place(self, row: int) -> str:
        """The line on which the row begins."""
        with open_lines(self._content) as file:
            return f"line {line_of(file, row)}"

    def _table(self, chunk: Chunk) -> "pa.Table":
        """The records as text, column by column."""
        names = names_of(next(csv.reader([self._header.decode()])))
        content = b"\n".join([*chunk.records, b""])
        return TextParser(DataSettings(), names, str(self.source)).parse(content, 0, None, None).table

    def _read_header(self) -> bytes:
        with open_lines(self._content) as file:
            header = header_of(file)
        if not header:
            raise DataError(f"{self.source} is empty; it needs a header line and rows.")
        try:
            names = next(csv.reader(io.StringIO(header.decode("utf-8"))))
        except (UnicodeDecodeError, csv.Error, StopIteration):
            raise MalformedBody(f"{self.source} is not a CSV file in UTF-8; save it as comma-separated text.") from None
        refuse_taken(names, str(self.source))
        return header


class ParquetFile:
    """Parquet to Parquet. The partial output holds the answers only; the rows are put beside them at the end."""

    media_type: ClassVar[str] = "application/vnd.apache.arrow.stream"

    def __init__(self, source: Path, content: Path | bytes | None = None) -> None:
        self.source, self._content = source, source if content is None else content  # a ZIP's
        refuse_taken(list(self._open().schema_arrow.names), str(source))

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Record batches as Arrow streams."""
        import pyarrow as pa

        file = self._open()
        total, first = max(file.metadata.num_rows, 1), 1
        for number, batch in enumerate(file.iter_batches(batch_size=rows)):
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            done = (first - 1 + batch.num_rows) / total
            body = sink.getvalue()
            yield Chunk(number, first, batch.num_rows, body, digest_of(body), done)
            first += batch.num_rows

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def render(self, chunk: Chunk, answers: "pa.Table") -> bytes:
        """The answers as an Arrow stream of their own."""
        import pyarrow as pa

        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, answers.select(APPENDED).schema) as stream:
            stream.write_table(answers.select(APPENDED))
        return sink.getvalue()

    def finish(self, part: Path, rows: int) -> Path:
        """Rows and answers side by side, as Parquet."""
        import pyarrow as pa
        from pyarrow import parquet

        done = part.with_name(part.name + ".parquet")
        writer = None
        with part.open("rb") as answers:
            for batch in self._open().iter_batches(batch_size=rows):
                scored = pa.ipc.open_stream(answers).read_all()
                table = pa.Table.from_batches([batch])
                for name in APPENDED:
                    table = table.append_column(name, scored[name])
                writer = writer or parquet.ParquetWriter(done, table.schema)
                writer.write_table(table)
        if writer is not None:
            writer.close()
        return done

    def place(self, row: int) -> str:
        """The row, counted from 1."""
        return f"row {row}"

    def _open(self) -> Any:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            content = pa.BufferReader(self._content) if isinstance(self._content, bytes) else self._content
            return parquet.ParquetFile(content, pre_buffer=False)  # else a file stays whole in memory
        except (pa.ArrowInvalid, OSError) as error:
            raise MalformedBody(f"{self.source} is not a Parquet file: {str(error).splitlines()[0]}.") from None
