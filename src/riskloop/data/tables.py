"""Every way in as blocks of an Arrow table: text files, tables that there are already, several files in a row.

Text stays text here: what a value means is for `data.columns` to say, with the schema at hand.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.settings import DataSettings
from riskloop.data.dialect import NAMED, find_delimiter, is_total, names_of, repeated, split
from riskloop.data.labels import NO_LABELS, Labels
from riskloop.data.parse import Block, TextParser, Types, completed, open_quote
from riskloop.data.quoting import as_csv
from riskloop.data.streams import Bytes, ahead, text_blocks
from riskloop.data.widths import CUT, WIDE, cut

SHORT: Final = 2**16  # bytes of a block of text that goes with the one before


class Source(Protocol):
    """Something that holds rows."""

    names: list[str]
    labels: Mapping[str, Labels]  # the names that a column's numbers have, by column
    repeated: frozenset[str]  # names that the header has more than once; the copies are x_2, x_3
    unit: str  # what `places` counts: "line" of a text, "row" of everything else

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it, after it was read."""
        ...

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        """The rows, in order; text columns are text, or of ``types`` where every value of a block fits.

        Of ``columns`` those that the source does not have are missing in every row.
        """
        ...

    def places(self, positions: Sequence[int]) -> list[str]:
        """Where a person finds records: 'line 12', 'row 3'."""
        ...


# --------------------------------------------------------------------------- text


class TextSource:
    """A delimited text file, read block by block."""

    unit = "line"
    labels: Mapping[str, Labels] = NO_LABELS
    repeated: frozenset[str] = frozenset()
    said: tuple[str, ...] = ()  # notes of whoever opened it
    _head = b""  # the line of the header

    def __init__(
        self, source: Bytes, dialect: DataSettings, where: str, *, quote: str = '"', first_row: int = 1
    ) -> None:
        dialect = dialect.model_copy(update={"delimiter": CUT}) if dialect.widths else dialect
        self.source, self.dialect, self.where, self.quote = source, dialect, where, quote
        self.first_row = first_row  # number of the first row, in messages about what is no file
        self.unit = "line" if isinstance(source, (Path, str)) else "row"
        self._begins = 0 if isinstance(source, (Path, str, bytes)) else source.tell()
        self._again = 0  # lines that repeat the header, as files have that were put together
        self.names, self._above = self._header()

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        return ahead(self._parsed(columns, types))

    def _parsed(self, columns: Sequence[str] | None, types: Types | None) -> Iterator[Block]:
        first, parser = 0, self.parser
        for content in self.bodies():
            block = parser.parse(content, first, columns, types)
            first += block.table.num_rows + len(block.ragged)
            yield block

    @property
    def notes(self) -> tuple[str, ...]:
        if not self._again:
            return self.said
        said = "1 line has" if self._again == 1 else f"{self._again:,} lines have"
        return (*self.said, f"{said} the header once more, as in files that were put together: left out.")

    @property
    def parser(self) -> TextParser:
        """What makes tables of its bodies."""
        return TextParser(self.dialect, self.names, self.where, self.quote)

    def places(self, positions: Sequence[int]) -> list[str]:
        if self.unit == "row":
            return [f"row {position + self.first_row}" for position in positions]
        wanted, found = set(positions), {}
        row, line = 0, self._above + 1
        for content in self.bodies():
            text = io.StringIO(content.decode(errors="replace"), newline="")
            reader = csv.reader(text, delimiter=self.dialect.delimiter, quotechar=self.quote)
            before = 0
            for record in reader:
                if record:
                    if row in wanted:
                        found[row] = line + before
                    row += 1
                before = reader.line_num
            line += before
            if len(found) == len(wanted):
                break
        return [f"line {found.get(position, position + self._above + 1)}" for position in positions]

    def _text(self) -> Iterator[bytes]:
        if not isinstance(self.source, (Path, str, bytes)):
            self.source.seek(self._begins)
        widths, quoting, delimiter = self.dialect.widths, self.dialect.quoting, self.dialect.delimiter
        if not widths and quoting == "double":
            return text_blocks(self.source, self.dialect.encoding, self.where)
        blocks = text_blocks(self.source, self.dialect.encoding, self.where, lines=True)
        if not widths:
            return (as_csv(block.decode(errors="replace"), delimiter, quoting).encode() for block in blocks)
        return (cut(block, widths, gaps=self.dialect.gaps) for block in blocks)

    def _header(self) -> tuple[list[str], int]:
        """The names of the columns, and how many lines stand above the first row."""
        content = next(iter(self._text()), b"")
        if not content.strip():
            raise DataError(f"{self.where} is empty; it needs a header line and rows.")
        text = io.StringIO(content.decode(errors="replace"), newline="")
        delimiter = self.dialect.delimiter
        reader = csv.reader(text, delimiter=delimiter, quotechar=self.quote, skipinitialspace=delimiter == " ")
        names, skip = list(self.dialect.columns), self.dialect.skip
        try:
            for number in range(skip + self.dialect.header + self.dialect.below):
                record = next(reader, [])
                while number == skip and self.dialect.header and not record and reader.line_num < content.count(b"\n"):
                    record = next(reader, [])  # blank lines before the header
                if number == skip and self.dialect.header:
                    record = [cell for cell in record if cell != WIDE and (cell or delimiter != " ")]
                    names, self.repeated = names_of(record), repeated(record)
                    self._head = content.split(b"\n")[reader.line_num - 1].strip(b"\r")
        except csv.Error as error:
            raise MalformedBody(f"{self.where} has no readable header ({error}); is it a text file?") from None
        self._check_names(names, content)
        return names, reader.line_num

    def _check_names(self, names: list[str], content: bytes) -> None:
        if len(names) == 1 and content.count(b"\n") > 1:
            seen = find_delimiter(content[:20_000].decode(errors="replace"))
            if seen != self.dialect.delimiter and seen in content[:20_000].decode(errors="replace"):
                raise MalformedBody(
                    f"{self.where} is separated by {NAMED[seen]}, not by {NAMED.get(self.dialect.delimiter)}; set "
                    f"delimiter in [data] of riskloop.toml, or say --delimiter {json.dumps(seen)}."
                )
        refuse_repeats(names, self.where)

    def bodies(self) -> Iterator[bytes]:
        """The blocks of the rows, without what stands above the first and below the last of them."""
        above, before, self._again = self._above, b"", 0
        for content in self._text():
            rows = content
            if above:
                rows, above = _below(content, above)
            rows = self._cleaned(rows)
            if len(rows) < SHORT and before:  # totals may stand in the last two blocks
                before += rows
                continue
            if before:
                yield before
            before = rows
        if before := self._without_totals(before):
            self._refuse_open_quote(before)
            yield before

    def _cleaned(self, content: bytes) -> bytes:
        """Without what programs write beside the rows: the header once more, ="007" of Excel, comments of ARFF.

        A blank line takes the place of each line that goes, so that lines are counted on.
        """
        if self._head and self._head in content:
            whole = re.compile(rb"^(?:\xef\xbb\xbf)?" + re.escape(self._head) + rb"\r?$", re.MULTILINE)
            content, found = whole.subn(b"", content)
            self._again += found
        if len(self.names) > 1 and self.dialect.delimiter != " ":
            content = without_nothing(content, self.dialect.delimiter.encode(), self.quote.encode())
        if b'="' in content:
            content = _FORMULA.sub(rb"\1\2\3", content)
        if self.quote == "'":
            content = re.sub(rb"^\s*%.*$", b"", content, flags=re.MULTILINE).replace(b"\\'", b"''")
        return content

    def _refuse_open_quote(self, content: bytes) -> None:
        """A quote that nothing closes would take all rows to the end of the file for one field."""
        if content.count(self.quote.encode()) % 2 == 0 or self.dialect.delimiter == " ":
            return
        text = io.StringIO(content.decode(errors="replace"), newline="")
        reader = csv.reader(text, delimiter=self.dialect.delimiter, quotechar=self.quote, strict=True)
        line = 0
        try:
            for _ in reader:
                line = reader.line_num
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                begins = content.split(b"\n", line + 1)[line]
                shown = begins.decode(errors="replace")[:40].strip()
                raise open_quote(self.where, f"the line of '{shown}'") from None

    def _without_totals(self, content: bytes) -> bytes:
        """Without as many lines of totals as the dialect says; lines of delimiters only are none, and go, too."""
        left = self.dialect.footer
        while left:
            lines = content.rstrip().rsplit(b"\n", 1)
            record = split(lines[-1].decode(errors="replace").replace(WIDE, ""), self.dialect.delimiter)
            if len(lines) < 2 or not record or not is_total(record[0], len(self.names)):
                break
            content = lines[0] + b"\n"
            left -= any(cell.strip() for cell in record[0])
        return content


def without_nothing(content: bytes, delimiter: bytes, quote: bytes) -> bytes:
    """The lines with a blank one for each record of delimiters, blanks and empty quotes: spreadsheets leave such below
    and between the rows of a table.
    """
    sign = re.escape(delimiter)
    ends = rb"(?:" + sign + rb'|[ \t]|"")*\r?(?=\n|\Z)'
    letters = np.frombuffer(content, dtype=np.uint8)
    first = letters[np.flatnonzero(letters[:-1] == ord("\n")) + 1]
    begins = [begin for begin in (delimiter, b" ", b"\t", b'""') if (first == begin[0]).any()]
    found = sorted({
        match.span() for begin in begins for match in re.finditer(re.escape(b"\n" + begin) + ends, content)
    })  # fmt: skip
    parts, done, quotes = [], 0, 0
    for start, end in found:
        quotes += content.count(quote, done, start)
        within = quotes % 2 == 1  # a text of several lines
        parts += [content[done:start], content[start:end] if within else b"\n"]
        quotes += content.count(quote, start, end)
        done = end
    return b"".join([*parts, content[done:]]) if found else content


# A cell that Excel shall not take for a number: ="007", or in quotes "=""007""".
_FORMULA: Final = re.compile(rb'(^|[,;\t|])(?:"=""([^"\r\n]*)"""|="([^"\r\n]*)")(?=[,;\t|\r\n]|$)', re.MULTILINE)


def _below(content: bytes, lines: int) -> tuple[bytes, int]:
    """What stands below the first ``lines`` lines, and how many of them are still to come."""
    place = 0
    while lines and (end := content.find(b"\n", place)) >= 0:
        place, lines = end + 1, lines - 1
    return (b"", lines) if lines else (content[place:], 0)


def refuse_repeats(names: Collection[str], where: str) -> None:
    """Raise DataError for a column name that comes twice."""
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"{where} has the column '{twice[0]}' twice; rename or remove one.")


def refuse_copies(source: Source, names: Collection[str | None], where: str) -> None:
    """Raise DataError where a header has one of ``names`` more than once: nobody says which one is meant."""
    if twice := sorted(source.repeated & {*names}):
        raise DataError(f"{where} has the column '{twice[0]}' twice; rename or remove one.")


# --------------------------------------------------------------------------- tables


@dataclass
class TableSource:
    """What is a table already: a frame, Parquet, a sheet, a data set of SAS, SPSS or Stata."""

    names: list[str]
    tables: Callable[[], Iterable[pa.Table]]
    unit: str = "row"
    first_row: int = 1  # number of the first row, for messages
    labels: Mapping[str, Labels] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    said: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return self.said

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        first = 0
        for table in self.tables():
            yield Block(_plain_table(table if columns is None else completed(table, columns)), first)
            first += table.num_rows

    def places(self, positions: Sequence[int]) -> list[str]:
        return [f"row {position + self.first_row}" for position in positions]


@dataclass
class ManySource:
    """Several files, one after the other; a column that some of them do not have is missing in their rows.

    Raises DataError for a file that has fewer than half of the columns: it is no part of the others.
    """

    parts: Sequence[tuple[str, Source]]
    names: list[str] = field(init=False)
    unit: str = "line"
    labels: Mapping[str, Labels] = field(default_factory=dict)
    repeated: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = list(dict.fromkeys(name for _, part in self.parts for name in part.names))
        self.repeated = frozenset[str]().union(*(part.repeated for _, part in self.parts))
        self.labels = {name: said for _, part in self.parts for name, said in part.labels.items()}
        partial = self.partial
        usual = [name for name in self.names if partial.get(name, len(self.parts)) >= 0.5 * len(self.parts)]
        for name, part in self.parts:
            if 2 * len(set(part.names) & set(usual)) < len(usual) or not set(part.names) & set(usual):
                lacking = next((column for column in usual if column not in part.names), "")
                raise DataError(
                    f"{name} does not have the columns of the other files: it lacks '{lacking}' and more than half of "
                    "the others. Leave it out, for example by a pattern such as 'loans_*.csv'."
                )

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for _, part in self.parts for note in part.notes))

    @property
    def partial(self) -> dict[str, int]:
        """The columns that not all files have, and the number of files that have them."""
        counts = {name: sum(name in part.names for _, part in self.parts) for name in self.names}
        return {name: count for name, count in counts.items() if count < len(self.parts)}

    @property
    def gone(self) -> frozenset[str]:
        """The columns that the last file does not have, and files to come hardly will."""
        return frozenset(self.names) - {*self.parts[-1][1].names}

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        first = 0
        wanted = list(columns) if columns is not None else self.names
        for _, part in self.parts:
            end = first
            for block in part.blocks(wanted, types):
                yield block._replace(first=first + block.first)
                end = first + block.first + block.table.num_rows + len(block.ragged)
            first = end

    def places(self, positions: Sequence[int]) -> list[str]:
        said = {}
        first = 0
        for name, part in self.parts:
            rows = sum(block.table.num_rows + len(block.ragged) for block in part.blocks(part.names[:1]))
            inside = [position for position in positions if first <= position < first + rows]
            places = part.places([position - first for position in inside])
            said.update({p: f"{Path(name).name} {place}" for p, place in zip(inside, places, strict=True)})
            first += rows
        return [said[position] for position in positions]


@dataclass
class PartitionSource:
    """A file of a folder that is called after values, as in year=2023: columns that all of its rows share."""

    part: Source
    values: Mapping[str, str | None]
    names: list[str] = field(init=False)
    unit: str = field(init=False)
    labels: Mapping[str, Labels] = field(init=False)
    repeated: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.values = {name: value for name, value in self.values.items() if name not in self.part.names}
        self.names = [*self.part.names, *self.values]
        self.unit, self.labels, self.repeated = self.part.unit, self.part.labels, self.part.repeated

    @property
    def notes(self) -> tuple[str, ...]:
        return self.part.notes

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        wanted = self.names if columns is None else list(columns)
        own = [name for name in wanted if name not in self.values] or self.part.names[:1]
        for block in self.part.blocks(own, types):
            table = block.table
            for name in (name for name in wanted if name in self.values):
                table = table.append_column(name, pa.repeat(pa.scalar(self.values[name], pa.string()), len(table)))
            yield block._replace(table=table.select(wanted))

    def places(self, positions: Sequence[int]) -> list[str]:
        return self.part.places(positions)


def frame_source(frame: Any, where: str, first_row: int = 1) -> TableSource:
    """A pandas frame, an Arrow table or a record batch."""
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    if not isinstance(frame, pa.Table):
        names = [str(name) for name in frame.columns]
        refuse_repeats(names, where)
        frame = pa.table([frame_column(frame.iloc[:, i]) for i in range(len(names))], names=names)
    table: pa.Table = frame
    return TableSource(list(table.column_names), lambda: [table], first_row=first_row)


def _plain_table(table: pa.Table) -> pa.Table:
    """Lists, objects and bytes as text, durations in days; every other column as it is."""
    for i, kind in enumerate(table.schema.types):
        if pa.types.is_duration(kind):
            micros = table.column(i).cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64())
            table = table.set_column(i, table.column_names[i], pc.divide(micros, 86_400e6))
        elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            texts = [None if value is None else _told(value) for value in table.column(i).to_pylist()]
            table = table.set_column(i, table.column_names[i], pa.array(texts, pa.string()))
        elif str(kind) in ("string_view", "binary_view"):
            table = table.set_column(i, table.column_names[i], table.column(i).cast(pa.string()))
    return table


def _told(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else json.dumps(value, default=str)


def frame_column(series: Any) -> pa.ChunkedArray:
    """A column of a frame; mixed objects, such as 1, 2, 'x', as text, so that the offending row can be named."""
    try:
        column = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        missing = series.isna()
        column = pa.array([None if m else str(v) for v, m in zip(series, missing, strict=True)], pa.string())
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def value_column(values: Sequence[Any]) -> pa.Array:
    """Python values as a column: of their type where they have one, else as text."""
    cells = [None if value is None or (isinstance(value, str) and not value.strip()) else value for value in values]
    kinds = {type(value) for value in cells if value is not None}
    if kinds <= {int, float} or len(kinds) == 1:
        try:
            return pa.array(cells)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            pass
    return pa.array([None if value is None else _cell_text(value) for value in cells], pa.string())


def _cell_text(value: Any) -> str:
    from riskloop.core.values import level_text

    return value if isinstance(value, str) else level_text(value)


class Raw(NamedTuple):
    """Consecutive rows of a source, not looked at yet: a table, or the text of whole records and who can parse it."""

    table: pa.Table | None
    content: bytes = b""
    text: "TextSource | None" = None


def raw_blocks(source: Source) -> Iterator[Raw]:
    """The rows of any source, for engines that parse on several cores."""
    if isinstance(source, TextSource):
        for content in source.bodies():
            yield Raw(None, content, source)
    elif isinstance(source, ManySource):
        for _, part in source.parts:
            for raw in raw_blocks(part):
                yield raw if raw.table is None else Raw(completed(raw.table, source.names))
    else:
        for block in source.blocks():
            yield Raw(block.table)
