"""Any other file that can be scored: read by `data`, without the rows that were set aside, sent as Arrow."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from riskloop.batch.files import Chunk, beside, digest_of, finished, is_parquet, parquet_part, stream_of
from riskloop.core.schema import APPENDED, Schema
from riskloop.core.settings import DataSettings
from riskloop.data.columns import Problems, is_text, read_numbers
from riskloop.data.read import Screened
from riskloop.data.tables import Source
from riskloop.scoring.answers import refuse_taken


class RowsFile:
    """Rows of any source to CSV (UTF-8, commas) or Parquet, whichever the output's name says."""

    media_type: ClassVar[str] = "application/vnd.apache.arrow.stream"

    def __init__(
        self,
        source: Path,
        target: Path,
        opened: Source,
        dialect: DataSettings,
        schema: Schema | None,
        screened: Screened | None,
    ) -> None:
        refuse_taken(opened.names, str(source))
        self.source, self._target = source, target
        self._opened, self._dialect, self._schema = opened, dialect, schema
        self._without = np.array([] if screened is None else [r.position for r in screened.refused], dtype=np.int64)
        self._rows = max(1, screened.read - len(screened.refused)) if screened else None

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """The kept rows, ``rows`` at a time, as Arrow streams."""
        first, number = 1, 0
        for table in self._parts(rows):
            body = stream_of(self._sent(table))
            share = 0.5 if self._rows is None else min(1.0, (first - 1 + table.num_rows) / self._rows)
            yield Chunk(number, first, table.num_rows, body, digest_of(body), share, table)
            first, number = first + table.num_rows, number + 1

    def head(self) -> bytes:
        """The header of a CSV."""
        if is_parquet(self._target):
            return b""
        out = io.BytesIO()
        names = [*self._opened.names, *APPENDED]
        pa.csv.write_csv(pa.table({n: pa.array([], pa.string()) for n in names}), out, _NEEDED)
        return out.getvalue().replace(b'"', b"") if not any('"' in n or "," in n for n in names) else out.getvalue()

    def render(self, chunk: Chunk, answers: pa.Table) -> bytes:
        """The rows as they were read, with their predictions behind them."""
        if is_parquet(self._target):
            return parquet_part(chunk.records, answers)
        out = io.BytesIO()
        options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
        pa.csv.write_csv(beside(chunk.records, answers), out, options)
        return out.getvalue()

    def finish(self, part: Path, rows: int) -> Path:
        """See :func:`riskloop.batch.files.finished`."""
        return finished(part, self._target)

    def place(self, row: int) -> str:
        """Where the ``row``-th of the kept rows stands in the file."""
        position = row - 1
        for refused in np.sort(self._without).tolist():
            position += refused <= position
        return self._opened.places([position])[0]

    def _parts(self, rows: int) -> Iterator[pa.Table]:
        waiting: list[pa.Table] = []
        count = 0
        for block in self._opened.blocks():
            kept = np.flatnonzero(~np.isin(block.positions, self._without))
            table = block.table if len(kept) == block.table.num_rows else block.table.take(pa.array(kept))
            for start in range(0, table.num_rows, rows):
                part = table.slice(start, rows)
                while count + part.num_rows >= rows:
                    yield _joined([*waiting, part.slice(0, rows - count)])
                    part, waiting, count = part.slice(rows - count), [], 0
                if part.num_rows:
                    waiting.append(part)
                    count += part.num_rows
        if waiting:
            yield _joined(waiting)

    def _sent(self, table: pa.Table) -> pa.Table:
        """Numbers as numbers: their decimal sign is this file's affair."""
        if self._schema is None:
            return table
        for feature in self._schema.features:
            if (
                feature.kind == "number"
                and feature.written != "date"
                and feature.name in table.column_names
                and is_text(table[feature.name].type)
            ):
                ignored = Problems(positions=np.arange(table.num_rows))
                column = table[feature.name]
                values = read_numbers(column, feature, ignored, self._schema, self._dialect.decimal)
                if not ignored.total:
                    place = table.column_names.index(feature.name)
                    table = table.set_column(place, feature.name, pa.array(values, from_pandas=True))
        return table


_NEEDED: Final = pa.csv.WriteOptions(include_header=True, quoting_style="needed")


def _joined(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")
