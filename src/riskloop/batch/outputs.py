"""What a bulk engine writes beside the decisions: the rows as they came, with their predictions behind them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pyarrow import parquet

from riskloop.batch.opening import is_standard
from riskloop.core.errors import ConfigError
from riskloop.core.schema import APPENDED
from riskloop.core.settings import DataSettings
from riskloop.core.types import Ints
from riskloop.data.records import parts
from riskloop.data.streams import packing_of
from riskloop.data.tables import ManySource, Source, TextSource

PARQUET: Final = (".parquet", ".pq")
Told = dict[str, pa.Array]  # `scoring.answers.told_columns`
Form = Literal["records", "csv", "arrow"]  # lines with the bytes of the input's records; lines; a table


class Output(Protocol):
    """One kind of output, which takes what `rendered` makes."""

    form: Form

    def append(self, part: Any) -> None:
        """The rows of a block."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def output_for(target: Path, part: Path, source: Source, dialect: DataSettings) -> Output:
    """How the rows of a source are written to ``part``, as the name of ``target`` says; ConfigError for other names."""
    suffix, packing = target.suffix.lower(), packing_of(target)
    if suffix in PARQUET:
        return ParquetOutput(part)
    if suffix != ".csv" and not (packing and Path(target.stem).suffix.lower() == ".csv"):
        raise ConfigError(f"{target.name} must end in .csv, .csv.gz, .csv.zst or .parquet: that is how it is written.")
    return TextOutput(part, packing, source.names, "records" if is_plain_text(source, dialect) else "csv")


def is_plain_text(source: Source, dialect: DataSettings) -> bool:
    """Whether the bytes of its records are those of a standard CSV."""
    texts = [part for _, part in source.parts] if isinstance(source, ManySource) else [source]
    return is_standard(dialect) and all(
        isinstance(text, TextSource) and text.quote == '"' and is_standard(text.dialect) and text.names == source.names
        for text in texts
    )


class TextOutput:
    """A CSV in UTF-8 with commas; a standard one keeps its bytes, with the predictions appended to each record."""

    def __init__(self, part: Path, packing: str | None, names: Sequence[str], form: Form) -> None:
        self.form = form
        self._out = pa.output_stream(str(part), compression=packing)
        self._out.write(header(names))

    def append(self, part: Any) -> None:
        """See :class:`Output`."""
        self._out.write(part)

    def close(self) -> None:
        """See :class:`Output`."""
        self._out.close()


def rendered(rows: "bytes | pa.Table", kept: Ints, told: Told, form: Form) -> "pa.Buffer | pa.Table":
    """The rows at ``kept`` of the records of a text, or all of a table, with their predictions, as an output takes it.

    ``kept`` (n,) and the columns of ``told`` are as long as the rows that are meant.
    """
    if isinstance(rows, bytes):
        return _lines(rows, kept, told)
    for name in APPENDED:
        rows = rows.append_column(name, told[name] if form == "arrow" else _plain(name, told[name]))
    if form == "arrow":
        return rows
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(rows, sink, pa.csv.WriteOptions(include_header=False, quoting_style="needed"))
    return sink.getvalue()


def _lines(content: bytes, kept: Ints, told: Told) -> pa.Buffer:
    records = _records(content)
    if len(kept) != len(records):
        records = [records[i] for i in kept.tolist()]
    columns = [pa.array(records, pa.binary())]
    columns += [_plain(name, told[name]).cast(pa.string()).cast(pa.binary()) for name in APPENDED]
    columns.append(pa.repeat(pa.scalar(b"", pa.binary()), len(records)))
    lines = pc.binary_join_element_wise(*columns[:-2], pc.binary_join_element_wise(*columns[-2:], b"\n"), b",")
    _, offsets, values = lines.buffers()
    return values.slice(0, int(np.frombuffer(offsets, np.int32)[len(lines)]))


def _records(content: bytes) -> list[bytes]:
    if b'"' not in content and b"\r" not in content:
        return [record for record in content.split(b"\n") if record]
    return [record for part in parts(io.BytesIO(content), 2**31) for record in part.records]


def header(names: Sequence[str]) -> bytes:
    """The names of the columns and of the predictions."""
    out = io.BytesIO()
    whole = [*names, *APPENDED]
    options = pa.csv.WriteOptions(include_header=True, quoting_style="needed")
    pa.csv.write_csv(pa.table({name: pa.array([], pa.string()) for name in whole}), out, options)
    plain = not any(mark in name for name in whole for mark in '",\n')
    return out.getvalue().replace(b'"', b"") if plain else out.getvalue()


def _plain(name: str, column: pa.Array) -> pa.Array:
    return column.cast(pa.int8()) if name == "default" else column


class ParquetOutput:
    """Parquet with the types that the rows have."""

    form: Form = "arrow"

    def __init__(self, part: Path) -> None:
        self._part = part
        self._writer: Any = None

    def append(self, part: Any) -> None:
        """See :class:`Output`."""
        rows: pa.Table = part
        if self._writer is None:
            # A column that is empty in the first block has no type of its own.
            kinds = [pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in rows.schema]
            self._writer = parquet.ParquetWriter(self._part, pa.schema(kinds))
        self._writer.write_table(rows.cast(self._writer.schema))

    def close(self) -> None:
        """See :class:`Output`."""
        if self._writer is not None:
            self._writer.close()
