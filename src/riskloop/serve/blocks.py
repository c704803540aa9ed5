"""Many rows out of one body: JSON array, NDJSON, CSV or Arrow stream, read a block at a time."""

import io
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, Final, cast

import msgspec
import numpy as np

from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.types import Floats, Problem
from riskloop.scoring.decoder import CLOCK_SKEW, MAX_ROW, Parsed
from riskloop.serve.champion import Champion

BLOCK: Final = 5000  # rows that are scored and committed together: at some 40 ms a live request hardly notices
SHOWN: Final = 20  # problems listed in one refusal
PIECE: Final = 2**20  # bytes of a JSON array at a time
TRIES: Final = 10  # to find the last complete element of a piece


@dataclass(frozen=True, slots=True)
class Block:
    """Checked rows that have no scores yet."""

    customer_ids: Sequence[str]
    times: Sequence[int] | None  # microseconds; None: the rows do not say
    features: Floats
    flags: Sequence[dict[str, Any] | None]

    def __len__(self) -> int:
        return len(self.customer_ids)


Reader = Callable[[BinaryIO, Champion, int], Iterator[Block]]  # file, model, number of the first row


def json_blocks(file: BinaryIO, champion: Champion, first_row: int) -> Iterator[Block]:
    """A JSON array of rows."""
    return _decoded(_elements(file), champion, first_row)


def ndjson_blocks(file: BinaryIO, champion: Champion, first_row: int) -> Iterator[Block]:
    """One JSON object a line; blank lines are left out."""
    return _decoded((line for line in iter(lambda: file.readline(MAX_ROW), b"") if line.strip()), champion, first_row)


def csv_blocks(file: BinaryIO, champion: Champion, first_row: int) -> Iterator[Block]:
    """CSV with a header."""
    from riskloop.data.records import header_of, parts

    header = header_of(file)
    empty = True
    for part in parts(file, BLOCK, first_row=first_row):
        empty = False
        try:
            yield _table_block(io.BytesIO(b"\n".join([header, *part.records, b""])), champion, part.first_row)
        except MalformedBody as error:
            raise MalformedBody(_counted(error.message, part.first_row)) from None
    if empty:
        _table_block(io.BytesIO(header + b"\n"), champion, first_row)  # says what is missing
        raise DataError("The body holds no rows.")


def _counted(message: str, first_row: int) -> str:
    """The parser counts the records of its part, the header among them."""
    return re.sub(r"Row #(\d+)", lambda found: f"row {first_row + int(found[1]) - 2}", message)


def arrow_blocks(file: BinaryIO, champion: Champion, first_row: int) -> Iterator[Block]:
    """Arrow's streaming format."""
    import pyarrow as pa

    try:
        stream = pa.ipc.open_stream(file)
        for batch in stream:
            for start in range(0, batch.num_rows, BLOCK):
                part = batch.slice(start, BLOCK)
                part.validate(full=True)  # these bytes are used as they are, and anybody may have written them
                yield _table_block(part, champion, first_row)
                first_row += part.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise MalformedBody(f"The body is not an Arrow stream: {str(error).splitlines()[0]}.") from None


def _elements(file: BinaryIO) -> Iterator[msgspec.Raw]:
    """The elements of a JSON array, read piece by piece.

    A piece is cut behind its last element, which is a brace and a comma outside of any element: what stands before
    such a place is valid JSON, what stands before one inside of an element is not.
    """
    rest = file.read(PIECE).lstrip()
    if not rest.startswith(b"["):
        raise MalformedBody("The body must be a JSON array of rows: it does not begin with '['.")
    rest, count = rest[1:], 0
    while piece := file.read(PIECE):
        elements, rest = _cut(rest + piece)
        if len(rest) > MAX_ROW + PIECE:
            raise MalformedBody(f"The body is not a JSON array of rows of at most {MAX_ROW} bytes, after row {count}.")
        yield from elements
        count += len(elements)
    try:
        elements = _array(b"[" + rest)
    except (msgspec.DecodeError, RecursionError) as error:
        where = f" after row {count}" if count else ""
        raise MalformedBody(f"The body must be a JSON array of rows: {error}{where}.") from None
    if count and not elements:
        raise MalformedBody(f"The body must be a JSON array of rows: it has a comma behind row {count}, the last one.")
    yield from elements


def _cut(content: bytes) -> tuple[list[msgspec.Raw], bytes]:
    """The elements that are complete, and what stands behind them."""
    end = len(content)
    for _ in range(TRIES):
        end = content.rfind(b"}", 0, end)
        behind = content[end + 1 : end + 1 + PIECE].lstrip() if end >= 0 else b""
        if behind.startswith(b","):
            with suppress(msgspec.DecodeError, RecursionError):
                return _array(b"[%b]" % content[: end + 1]), content[content.index(b",", end) + 1 :]
    return [], content


_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _decoded(rows: Iterable[bytes | msgspec.Raw], champion: Champion, first_row: int) -> Iterator[Block]:
    source = iter(rows)
    while lines := list(islice(source, BLOCK)):
        yield _decode(lines, champion, first_row)
        first_row += len(lines)


def _decode(lines: Sequence[bytes | msgspec.Raw], champion: Champion, first_row: int) -> Block:
    now = time.time_ns() // 1000
    parsed: list[Parsed] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, first_row):
        try:
            parsed.append(champion.decoder.row(line, now))
        except MalformedBody as error:
            raise MalformedBody(f"Row {number}: {error.message}") from None
        except DataError as error:
            problems += [Problem(p.field, f"row {number}: {p.problem}", p.value) for p in error.details]
    if len(parsed) < len(lines):
        raise rows_refused(problems)
    return Block(
        customer_ids=[p.customer_id for p in parsed],
        times=[now if p.time is None else p.time for p in parsed],
        features=champion.matrix(b"".join([p.features for p in parsed])),
        flags=[p.flags for p in parsed],
    )


def rows_refused(problems: Sequence[Problem]) -> DataError:
    """One error for the rows of a block that break the schema."""
    named = "; ".join(f"{p.field}, {p.problem}" for p in problems[:3])
    more = f"; and {len(problems) - 3:,} more" if len(problems) > 3 else ""
    return DataError(f"Rows break the schema: {named}{more}. No row of this request was logged.", problems[:SHOWN])


def _table_block(source: Any, champion: Champion, first_row: int) -> Block:
    """CSV bytes or a record batch, read as the files of history are."""
    import pyarrow as pa

    from riskloop.data.read import read_table, rows_from

    schema = champion.schema
    where = "The body"
    table = (
        pa.Table.from_batches([source])
        if isinstance(source, pa.RecordBatch)
        else read_table(source, schema, where=where)
    )
    rows = rows_from(table, schema, target="absent", where=where, first_row=first_row)
    return Block(
        customer_ids=[""] * len(rows) if schema.id is None else rows.ids,
        times=_times(rows.times, schema.time, first_row) if schema.time in table.column_names else None,
        features=rows.features,
        flags=_flags(table, rows.features, champion),
    )


def _times(times: Any, name: str | None, first_row: int) -> list[int]:
    late = np.flatnonzero(times > time.time_ns() // 1000 + CLOCK_SKEW)
    if late.size:
        raise rows_refused(
            [Problem(str(name), f"row {first_row + int(row)}: is in the future") for row in late[:SHOWN]]
        )
    return cast("list[int]", times.tolist())


def _flags(table: Any, features: Floats, champion: Champion) -> list[dict[str, Any] | None]:
    flags: list[dict[str, Any] | None] = [None] * len(features)
    for position, feature in enumerate(champion.schema.features):
        if feature.nullable:
            for row in np.flatnonzero(np.isnan(features[:, position])).tolist():
                flags[row] = flags[row] or {}
                cast("dict[str, Any]", flags[row]).setdefault("missing", []).append(feature.name)
        if feature.kind == "category" and feature.unseen == "flag":
            for row in np.flatnonzero(features[:, position] == len(feature.categories)).tolist():
                flags[row] = flags[row] or {}
                text = str(table[feature.name][row].as_py())
                cast("dict[str, Any]", flags[row]).setdefault("unseen", {})[feature.name] = text
    return flags


READERS: Final[dict[str, Reader]] = {
    "application/json": json_blocks,
    "application/x-ndjson": ndjson_blocks,
    "text/csv": csv_blocks,
    "application/vnd.apache.arrow.stream": arrow_blocks,
}
