"""Every way in as blocks of an Arrow table: text files, workbooks, Parquet, SAS, SPSS, Stata, ARFF, JSON, frames.

Text stays text here: what a value means is for `data.columns` to say, with the schema at hand.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa

from riskloop.core.errors import ConfigError, DataError, MalformedBody
from riskloop.core.settings import DataSettings
from riskloop.data.dialect import NAMED, find_delimiter, is_total, names_of, split
from riskloop.data.parse import Block, TextParser, Types, open_quote
from riskloop.data.streams import Bytes, read_start, text_blocks

ROWS: Final = 100_000  # of one block of a file that is no text
SHORT: Final = 2**16  # bytes of a block of text that goes with the one before


class Source(Protocol):
    """Something that holds rows."""

    names: list[str]
    unit: str  # what `places` counts: "line" of a text, "row" of everything else

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        """The rows, in order; text columns are text, or of ``types`` where every value of a block fits."""
        ...

    def places(self, positions: Sequence[int]) -> list[str]:
        """Where a person finds records: 'line 12', 'row 3'."""
        ...


# --------------------------------------------------------------------------- text


class TextSource:
    """A delimited text file, read block by block."""

    unit = "line"

    def __init__(
        self, source: Bytes, dialect: DataSettings, where: str, *, quote: str = '"', first_row: int = 1
    ) -> None:
        self.source, self.dialect, self.where, self.quote = source, dialect, where, quote
        self.first_row = first_row  # number of the first row, in messages about what is no file
        self.unit = "line" if isinstance(source, (Path, str)) else "row"
        self._begins = 0 if isinstance(source, (Path, str, bytes)) else source.tell()
        self.names, self._above = self._header()

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        first, parser = 0, self.parser
        for content in self.bodies():
            block = parser.parse(content, first, columns, types)
            first += block.table.num_rows + len(block.ragged)
            yield block

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
        return text_blocks(self.source, self.dialect.encoding, self.where)

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
                    names = names_of(record if delimiter != " " else [cell for cell in record if cell])
        except csv.Error as error:
            raise MalformedBody(f"{self.where} has no readable header ({error}); is it a text file?") from None
        self._check_names(names, content)
        return names, reader.line_num

    def _check_names(self, names: list[str], content: bytes) -> None:
        if len(names) == 1 and content.count(b"\n") > 1:
            seen = find_delimiter(content[:20_000].decode(errors="replace"))
            if seen != self.dialect.delimiter:
                raise MalformedBody(
                    f"{self.where} is separated by {NAMED[seen]}, not by {NAMED.get(self.dialect.delimiter)}; set "
                    f"delimiter in [data] of riskloop.toml, or give --delimiter."
                )
        refuse_repeats(names, self.where)

    def bodies(self) -> Iterator[bytes]:
        """The blocks of the rows, without what stands above the first and below the last of them."""
        above, before = self._above, b""
        for content in self._text():
            rows = content
            if above:
                rows, above = _below(content, above)
            if len(rows) < SHORT and before:  # totals may stand in the last two blocks
                before += rows
                continue
            if before:
                yield before
            before = rows
        if before := self._without_totals(before):
            self._refuse_open_quote(before)
            yield before

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
        for _ in range(self.dialect.footer):
            lines = content.rstrip().rsplit(b"\n", 1)
            record = split(lines[-1].decode(errors="replace"), self.dialect.delimiter)
            if len(lines) < 2 or not record or not is_total(record[0], len(self.names)):
                break
            content = lines[0] + b"\n"
        return content


def _below(content: bytes, lines: int) -> tuple[bytes, int]:
    """What stands below the first ``lines`` lines, and how many of them are still to come."""
    place = 0
    while lines and (end := content.find(b"\n", place)) >= 0:
        place, lines = end + 1, lines - 1
    return (b"", lines) if lines else (content[place:], 0)


def refuse_repeats(names: Sequence[str], where: str) -> None:
    """Raise DataError for a column name that comes twice."""
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{where} has the column '{repeated[0]}' twice; rename or remove one.")


# --------------------------------------------------------------------------- tables


@dataclass
class TableSource:
    """What is a table already: a frame, Parquet, a sheet, a data set of SAS, SPSS or Stata."""

    names: list[str]
    tables: Callable[[], Iterable[pa.Table]]
    unit: str = "row"
    first_row: int = 1  # number of the first row, for messages

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        first = 0
        for table in self.tables():
            yield Block(_plain_table(table if columns is None else table.select(list(columns))), first)
            first += table.num_rows

    def places(self, positions: Sequence[int]) -> list[str]:
        return [f"row {position + self.first_row}" for position in positions]


@dataclass
class ManySource:
    """Several files with the same columns, one after the other."""

    parts: Sequence[tuple[str, Source]]
    names: list[str] = field(init=False)
    unit: str = "line"

    def __post_init__(self) -> None:
        first_name, first = self.parts[0]
        self.names = first.names
        for name, part in self.parts[1:]:
            if set(part.names) != set(self.names):
                odd = sorted(set(part.names) ^ set(self.names))
                raise DataError(
                    f"{name} does not have the columns of {first_name}: '{odd[0]}' is in one of them only. Read them "
                    "one by one, or leave one out."
                )

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        first = 0
        for _, part in self.parts:
            end = first
            for block in part.blocks(columns or self.names, types):
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
    """Lists, objects and bytes as text; every other column as it is."""
    for i, kind in enumerate(table.schema.types):
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
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
                yield raw if raw.table is None else Raw(raw.table.select(source.names))
    else:
        for block in source.blocks():
            yield Raw(block.table)


# --------------------------------------------------------------------------- other kinds of files


def parquet_source(path: Path, where: str) -> TableSource:
    """A Parquet file, by row groups."""
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        names = list(file.schema_arrow.names)
    except (pa.ArrowInvalid, OSError) as error:
        text = str(error).split("\n")[0][:160]
        raise MalformedBody(f"{where} is not a valid Parquet file: {text}. Write it again.") from None

    def tables() -> Iterator[pa.Table]:
        try:
            for batch in parquet.ParquetFile(path).iter_batches(batch_size=ROWS):
                yield pa.Table.from_batches([batch])
        except (pa.ArrowInvalid, OSError) as error:
            raise MalformedBody(f"{where} is damaged: {str(error)[:160]}. Write it again.") from None

    refuse_repeats(names, where)
    return TableSource(names, tables)


STATISTICS: Final = {
    ".sav": "read_sav", ".zsav": "read_sav", ".por": "read_por", ".sas7bdat": "read_sas7bdat", ".xpt": "read_xport",
    ".dta": "read_dta",
}  # fmt: skip


def statistics_source(path: Path, where: str) -> TableSource:
    """A data set of SAS, SPSS or Stata, by pyreadstat; values without their labels.

    Raises ConfigError when pyreadstat is not installed, MalformedBody for a file that it cannot read.
    """
    try:
        import pyreadstat
    except ImportError:
        raise ConfigError(
            f"{where} needs pyreadstat: pip install 'riskloop[formats]', or save the file as CSV."
        ) from None
    read = getattr(pyreadstat, STATISTICS[path.suffix.lower()])
    try:
        _, meta = read(str(path), metadataonly=True)
    except Exception as error:  # noqa: BLE001 - of classes that pyreadstat does not name
        raise MalformedBody(f"{where} is not a valid {path.suffix} file: {str(error)[:160]}.") from None
    names = [str(name) for name in meta.column_names]

    def tables() -> Iterator[pa.Table]:
        for frame, _ in pyreadstat.read_file_in_chunks(read, str(path), chunksize=ROWS):
            yield next(iter(frame_source(frame, where).tables()))

    return TableSource(names, tables)


def arff_source(source: Bytes, where: str, dialect: DataSettings) -> TextSource:
    """An ARFF file: a text whose header names the columns one by one."""
    names, lines = [], 0
    start = read_start(source, 2**20).decode(dialect.encoding, errors="replace")
    for lines, line in enumerate(start.splitlines(), 1):  # noqa: B007 - used below
        if (found := re.match(r"\s*@attribute\s+('[^']*'|\"[^\"]*\"|\S+)", line, re.IGNORECASE)) is not None:
            names.append(found[1].strip("'\""))
        if re.match(r"\s*@data\b", line, re.IGNORECASE):
            break
    else:
        raise MalformedBody(f"{where} is an ARFF file without @data.")
    own = {"delimiter": ",", "decimal": ".", "skip": lines, "header": False, "columns": tuple(names)}
    return TextSource(source, dialect.model_copy(update=own), where, quote="'")


def rows_source(content: bytes, where: str) -> TableSource:
    """A JSON array of objects, or one object a line."""
    import msgspec

    try:
        if content.lstrip().startswith(b"["):
            rows = msgspec.json.decode(content, type=list[dict[str, Any]])
        else:
            rows = [msgspec.json.decode(line, type=dict[str, Any]) for line in content.splitlines() if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"{where} must be a JSON array of objects, or one object a line: {error}.") from None
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table([value_column([row.get(name) for row in rows]) for name in names], names=names)
    return TableSource(names, lambda: [table])
