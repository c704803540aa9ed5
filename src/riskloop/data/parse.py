"""The text of whole records becomes a block of an Arrow table; what a value means is for `data.columns` to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from riskloop.core.errors import MalformedBody
from riskloop.core.settings import DataSettings
from riskloop.core.types import Ints
from riskloop.core.values import MISSING_NUMBER
from riskloop.data.dialect import one_tab
from riskloop.data.streams import arrow_memory, is_utf8
from riskloop.data.widths import WIDE

Types = Mapping[str, pa.DataType]


class Block(NamedTuple):
    """Consecutive rows of a source."""

    table: pa.Table
    first: int  # position in the source of its first record, from 0; records that are no rows count
    kept: Ints | None = None  # positions within the block of the table's rows; None: all of them
    ragged: tuple[tuple[int, str], ...] = ()  # positions of records that are no rows, and why

    @property
    def positions(self) -> Ints:
        """Of the table's rows, in the source."""
        within = np.arange(self.table.num_rows) if self.kept is None else self.kept
        return np.asarray(self.first + within, dtype=np.int64)


@dataclass(frozen=True)
class TextParser:
    """Parses records of one text. It knows no file, so that it can be sent to other processes."""

    dialect: DataSettings
    names: list[str]
    where: str  # for messages
    quote: str = '"'

    def parse(self, content: bytes, first: int, columns: Sequence[str] | None, types: Types | None) -> Block:
        """Whole records, the first of which stands at position ``first``, as a block; see `Source.blocks`."""
        delimiter = self.dialect.delimiter
        if delimiter == " ":
            content, delimiter = one_tab(content.decode(errors="replace").replace("\r\n", "\n")).encode(), "\t"
        text = {name: pa.string() for name in self.names}
        wanted = list(columns) if columns is not None else self.names
        own = {*self.names}
        there = [name for name in wanted if name in own]
        ragged: list[tuple[int, str]] = []
        opened: list[str] = []
        trailing = False  # a record goes on with empty fields behind the last column

        def parse(types: Types, *, threads: bool) -> pa.Table:
            from pyarrow import csv as arrow_csv

            def note(row: Any) -> str:  # Arrow prints what is raised here, and goes on
                nonlocal trailing
                trailing = trailing or (row.actual_columns > row.expected_columns and row.text.endswith(delimiter))
                if "\n" in row.text.strip():
                    opened.append(row.text)
                ragged.append((row.number - 1, _uneven(row)))
                return "skip"

            return arrow_csv.read_csv(
                pa.BufferReader(arrow_memory(content)),
                read_options=arrow_csv.ReadOptions(column_names=self.names, use_threads=threads, block_size=1 << 21),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=delimiter,
                    quote_char=self.quote,
                    newlines_in_values=self.quote.encode() in content,
                    invalid_row_handler=None if threads else note,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types={name: kind for name, kind in types.items() if name in own},
                    include_columns=there,
                    null_values=_NULLS,
                    strings_can_be_null=False,
                    decimal_point=self.dialect.decimal,
                ),
            )

        threads, chosen = True, {**text, **(types or {})}
        for _ in range(5):
            try:
                ragged.clear()
                table = parse(chosen, threads=threads)
                if trailing:
                    content, trailing = _without_trailing(content, delimiter.encode(), len(self.names)), False
                    ragged.clear()
                    table = parse(chosen, threads=False)
                    trailing = False
                if opened:
                    raise open_quote(self.where, f"the line of '{opened[0][:40].splitlines()[0].strip()}'")
                kept = None if not ragged else _others(table.num_rows + len(ragged), [row for row, _ in ragged])
                return Block(completed(table, wanted), first, kept, tuple(ragged))
            except pa.ArrowInvalid as error:
                if "UTF8" in str(error):
                    content = content.decode(errors="replace").encode()
                elif "conversion error" in str(error):
                    chosen = text
                elif threads:
                    threads = False  # so that lines are told; Arrow hands them over as text, which has to be text
                    content = content if is_utf8(content) else content.decode(errors="replace").encode()
                else:
                    raise MalformedBody(f"{self.where} is not valid CSV: {str(error)[:160]}.") from None
        raise MalformedBody(f"{self.where} is not valid CSV.")


def _uneven(row: Any) -> str:
    """What is wrong with a record that Arrow refuses."""
    if row.text.endswith(WIDE):
        return "has a value that is wider than its column and runs into the next one"
    fields = f"{row.actual_columns} field{'s' * (row.actual_columns != 1)}"
    return f"has {fields} instead of {row.expected_columns}; every line needs as many as the header"


def _without_trailing(content: bytes, delimiter: bytes, columns: int) -> bytes:
    """Lines without the empty fields behind the last column, which some programs write in some of the rows."""
    lines = content.split(b"\n")
    for i, line in enumerate(lines):
        line = line.rstrip(b"\r")
        surplus = line.count(delimiter) + 1 - columns
        if surplus > 0 and line.endswith(delimiter * surplus) and b'"' not in line:
            lines[i] = line[: -surplus * len(delimiter)]
    return b"\n".join(lines)


def completed(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """A table with the columns ``names``, in their order; those that it does not have are missing in every row."""
    known = {*table.column_names}
    for name in names:
        if name not in known:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table if table.column_names == list(names) else table.select(list(names))


def open_quote(where: str, place: str) -> MalformedBody:
    """The error for a quote that nothing closes."""
    return MalformedBody(f"{where}: a quote that is opened in {place} is not closed there; double or remove it.")


_NULLS: Final = sorted(MISSING_NUMBER | {" ", "  "})


def _others(total: int, without: Sequence[int]) -> Ints:
    kept = np.ones(total, dtype=np.bool_)
    kept[list(without)] = False
    return np.asarray(np.flatnonzero(kept), dtype=np.int64)
