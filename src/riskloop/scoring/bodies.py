"""Many rows out of one body: JSON array, NDJSON, CSV or Arrow stream, read a block at a time."""

import csv
import io
import json
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec
import numpy as np

from riskloop.core.cells import FUTURE
from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.types import Problem, Rows
from riskloop.scoring.decoder import CLOCK_SKEW, MAX_ROW, Parsed
from riskloop.scoring.model import Model

if TYPE_CHECKING:
    from riskloop.core.settings import DataSettings

BLOCK_ROWS: Final = 5000  # that are scored and committed together: at some 40 ms a live request hardly notices
MAX_PROBLEMS: Final = 20  # listed in one error
PIECE_BYTES: Final = 2**20  # of a JSON array at a time
TRIES: Final = 10  # to find the last complete element of a piece


Reader = Callable[[BinaryIO, Model, int], Iterator[Rows]]  # file, model, number of the first row


def json_blocks(file: BinaryIO, model: Model, first_row: int) -> Iterator[Rows]:
    """A JSON array of rows."""
    return _decoded(_elements(file), model, first_row)


def ndjson_blocks(file: BinaryIO, model: Model, first_row: int) -> Iterator[Rows]:
    """One JSON object a line; blank lines are left out."""
    return _decoded((line for line in iter(lambda: file.readline(MAX_ROW), b"") if line.strip()), model, first_row)


def csv_blocks(file: BinaryIO, model: Model, first_row: int) -> Iterator[Rows]:
    """CSV with a header."""
    from riskloop.data.records import header_of, parts

    header = header_of(file)
    empty = True
    for part in parts(file, BLOCK_ROWS, first_row=first_row):
        empty = False
        yield _table_block(io.BytesIO(b"\n".join([header, *part.records, b""])), model, part.first_row)
    if empty:
        _table_block(io.BytesIO(header + b"\n"), model, first_row)  # says what is missing
        raise DataError("The body holds no rows.")


def laid_out_blocks(file: BinaryIO, model: Model, first_row: int, dialect: "DataSettings") -> Iterator[Rows]:
    """CSV as the portfolio's files are laid out, where ``dialect`` says so and the header is none of a standard CSV."""
    from riskloop.data.dialect import names_of
    from riskloop.data.opening import without_target
    from riskloop.data.read import refuse_ragged
    from riskloop.data.records import header_of
    from riskloop.data.tables import TextSource

    begins = file.tell()
    header = header_of(file).replace(b"\0", b"").decode(errors="replace")
    names = names_of(next(csv.reader([header]), []))
    file.seek(begins)
    if not {*names}.isdisjoint(model.schema.names):
        yield from csv_blocks(file, model, first_row)
        return
    dialect = without_target(model.schema.target, file, dialect)
    source = TextSource(file, dialect, "The body", first_row=first_row)
    for block in source.blocks():
        refuse_ragged(block, source, "The body")
        for start in range(0, block.table.num_rows, BLOCK_ROWS):
            part, number = block.table.slice(start, BLOCK_ROWS), first_row + block.first + start
            yield table_rows(part, model, where="The body", first_row=number, dialect=dialect)


def arrow_blocks(file: BinaryIO, model: Model, first_row: int) -> Iterator[Rows]:
    """Arrow's streaming format."""
    import pyarrow as pa

    try:
        stream = pa.ipc.open_stream(file)
        for batch in stream:
            for start in range(0, batch.num_rows, BLOCK_ROWS):
                part = batch.slice(start, BLOCK_ROWS)
                part.validate(full=True)  # these bytes are used as they are, and anybody may have written them
                yield _table_block(part, model, first_row)
                first_row += part.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise MalformedBody(f"The body is not an Arrow stream: {str(error).splitlines()[0]}.") from None


def _elements(file: BinaryIO) -> Iterator[msgspec.Raw]:
    """The elements of a JSON array, read piece by piece.

    A piece is cut behind its last element, which is a brace and a comma outside of any element: what stands before
    such a place is valid JSON, what stands before one inside of an element is not.
    """
    rest = file.read(PIECE_BYTES).lstrip()
    if not rest.startswith(b"["):
        raise MalformedBody("The body must be a JSON array of rows: it does not begin with '['.")
    rest, count = rest[1:], 0
    while piece := file.read(PIECE_BYTES):
        elements, rest = _cut(rest + piece)
        if len(rest) > MAX_ROW + PIECE_BYTES:
            if (yield from _until_no_number(rest)):
                return
            raise MalformedBody(f"The body is not a JSON array of rows of at most {MAX_ROW} bytes, after row {count}.")
        yield from elements
        count += len(elements)
    try:
        elements = _array(b"[" + rest)
    except (msgspec.DecodeError, RecursionError) as error:
        if (yield from _until_no_number(rest)):
            return
        where = f" after row {count}" if count else ""
        raise MalformedBody(f"The body must be a JSON array of rows: {error}{where}.") from None
    if count and not elements:
        raise MalformedBody(f"The body must be a JSON array of rows: it has a comma behind row {count}, the last one.")
    yield from elements


_gap: Final[Any] = re.compile(r"[\s,]*").match


def _until_no_number(content: bytes) -> Generator[msgspec.Raw, None, bool]:
    """The elements up to the first that holds NaN or Infinity, which Python writes and JSON does not have.

    The row's own reader then names its field, as it does for a single row. Returns whether there is such an element.
    """
    if not any(word in content for word in (b"NaN", b"Infinity")):
        return False
    text, place, read = content.decode(errors="replace"), 0, json.JSONDecoder().raw_decode
    found: list[msgspec.Raw] = []
    with suppress(ValueError, RecursionError):
        while True:
            start = _gap(text, place).end()
            _, place = read(text, start)
            element = text[start:place]
            found.append(msgspec.Raw(element.encode()))
            try:
                msgspec.json.decode(element)
            except msgspec.DecodeError:
                yield from found
                return True
    return False


def _cut(content: bytes) -> tuple[list[msgspec.Raw], bytes]:
    """The elements that are complete, and what stands behind them."""
    end = len(content)
    for _ in range(TRIES):
        end = content.rfind(b"}", 0, end)
        behind = content[end + 1 : end + 1 + PIECE_BYTES].lstrip() if end >= 0 else b""
        if behind.startswith(b","):
            with suppress(msgspec.DecodeError, RecursionError):
                return _array(b"[%b]" % content[: end + 1]), content[content.index(b",", end) + 1 :]
    return [], content


_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _decoded(rows: Iterable[bytes | msgspec.Raw], model: Model, first_row: int) -> Iterator[Rows]:
    source = iter(rows)
    while lines := list(islice(source, BLOCK_ROWS)):
        yield _decode(lines, model, first_row)
        first_row += len(lines)


def _decode(lines: Sequence[bytes | msgspec.Raw], model: Model, first_row: int) -> Rows:
    now = time.time_ns() // 1000
    parsed: list[Parsed] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, first_row):
        try:
            parsed.append(model.decoder.row(line, now))
        except MalformedBody as error:
            raise MalformedBody(f"Row {number}: {error.message}") from None
        except DataError as error:
            problems += [Problem(p.field, f"row {number}: {p.problem}", p.value) for p in error.details]
    if len(parsed) < len(lines):
        raise rows_refused(problems)
    return model.decoder.rows(parsed)


def rows_refused(problems: Sequence[Problem], total: int | None = None) -> DataError:
    """One error for ``problems`` of a block's rows, or for the first ones of ``total``."""
    others = (total or len(problems)) - 3
    named = "; ".join(f"{p.field}, {p.problem}" for p in problems[:3])
    more = f"; and {others:,} more" if others > 0 else ""
    return DataError(f"Rows break the schema: {named}{more}. No row was logged.", problems[:MAX_PROBLEMS])


def _table_block(source: Any, model: Model, first_row: int) -> Rows:
    """CSV bytes or a record batch, read as the files of history are."""
    return table_rows(source, model, where="The body", first_row=first_row)


def table_rows(
    source: Any,
    model: Model,
    *,
    where: str,
    first_row: int = 1,
    now: int | None = None,
    dialect: "DataSettings | None" = None,
) -> Rows:
    """The rows of a table (CSV bytes, frame, Arrow table or batch) that ``model`` is to decide on.

    ``now`` (microseconds; the clock's by default) bounds their times. Raises DataError, MalformedBody.
    """
    from riskloop.data.read import rows_from

    rows = rows_from(source, model.schema, target="absent", where=where, first_row=first_row, dialect=dialect)
    latest = (time.time_ns() // 1000 if now is None else now) + CLOCK_SKEW
    late = np.flatnonzero(rows.times > latest)
    if late.size:
        field, shown = str(model.schema.time), late[:MAX_PROBLEMS].tolist()
        raise rows_refused([Problem(field, f"row {first_row + row}: {FUTURE}") for row in shown], late.size)
    return rows


READERS: Final[dict[str, Reader]] = {
    "application/json": json_blocks,
    "application/x-ndjson": ndjson_blocks,
    "text/csv": csv_blocks,
    "application/vnd.apache.arrow.stream": arrow_blocks,
}
