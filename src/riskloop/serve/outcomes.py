"""Bodies of `POST /outcomes`: JSON, read by a decoder that knows the fields, or a file of any kind that is read here.

Memory grows with the body and no faster, or `streams.check_size` times as fast where it is packed.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec

from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.schema import Schema
from riskloop.core.types import Problem
from riskloop.data.fetch import speaking_of
from riskloop.data.streams import check_packed

if TYPE_CHECKING:
    import pyarrow as pa

Value = str | int | float | bool | None
JSON, CSV = "application/json", "text/csv"
FILES: Final[Mapping[str, str]] = {  # content types, and how a file of the kind ends; none that a form may send
    "text/tab-separated-values": ".tsv",
    "text/html": ".html",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.stream": ".arrows",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/x-ndjson": ".ndjson",
    "application/x-spss-sav": ".sav",
    "application/x-stata-dta": ".dta",
    "application/zip": ".zip",
    "application/gzip": ".gz",
    "application/zstd": ".zst",
    "application/octet-stream": "",
}
KINDS: Final = (JSON, CSV, *FILES)
_FIELDS: Final = ("decision_id", "customer_id", "default", "known_at")


@contextmanager
def outcome_source(body: BinaryIO, kind: str, schema: Schema) -> "Iterator[pa.Table | BinaryIO | Path]":
    """A body of one of `KINDS` as something that `data.outcomes` reads, as long as it is needed.

    Raises as `outcome_table` does, MalformedBody for what unpacks to too much.
    """
    if kind == JSON:
        yield outcome_table(body.read(), schema)
    elif kind == CSV:
        yield body
    else:
        with tempfile.TemporaryDirectory(prefix="riskloop-") as folder, speaking_of(folder, "The body"):
            path = Path(folder) / f"outcomes{FILES[kind]}"
            with path.open("wb") as file:
                shutil.copyfileobj(body, file)
            check_packed(path)
            yield path


def outcome_table(body: bytes, schema: Schema) -> "pa.Table":
    """A JSON array of outcomes as columns of text; `data.outcomes` reads their values.

    Raises MalformedBody for what is no JSON array of objects, DataError for a field that no outcome has, by name.
    """
    import pyarrow as pa

    names = tuple(dict.fromkeys(name for name in (*_FIELDS, schema.id, schema.target, schema.known_at) if name))
    try:
        rows = _decoder(names).decode(body)
    except msgspec.ValidationError as error:
        raise _wrong(str(error), names) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse_no_number(body)
        raise MalformedBody(f"The body must be a JSON array of objects: {error}. Nothing was recorded.") from None
    columns = {name: [_text(getattr(row, f"f{i}")) for row in rows] for i, name in enumerate(names)}
    there = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    return pa.table({name: pa.array(column, pa.string()) for name, column in (there or columns).items()})


@lru_cache(maxsize=8)
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[list[Any]]:
    fields = [(f"f{i}", Value, None) for i in range(len(names))]  # a target may have any name, also 'class'
    rename = {f"f{i}": name for i, name in enumerate(names)}
    row = msgspec.defstruct("OutcomeRow", fields, rename=rename, forbid_unknown_fields=True)
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


def _wrong(message: str, names: tuple[str, ...]) -> DataError | MalformedBody:
    """msgspec's sentence with the row and the field that it means."""
    problem, _, place = message.partition(" - at `$")
    if "unknown field" in problem:
        field = problem.partition("`")[2].rstrip("`")
        row = place.partition("[")[2].partition("]")[0]
        where = f"row {int(row) + 1}" if row.isdigit() else "a row"
        return DataError(
            f"The field '{field}' ({where}) is none of an outcome, which has {', '.join(names)}. Nothing was recorded.",
            [Problem(field, "is not known")],
        )
    return MalformedBody(f"The body must be a JSON array of objects: {problem}. Nothing was recorded.")


def _refuse_no_number(body: bytes) -> None:
    """Raise DataError with row and field of the first NaN or Infinity, which Python writes and JSON does not have."""
    if not any(word in body for word in (b"NaN", b"Infinity")):
        return
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError):
        return
    for number, row in enumerate(rows if isinstance(rows, list) else [], 1):
        for field, value in row.items() if isinstance(row, dict) else ():
            if isinstance(value, float) and not math.isfinite(value):
                raise DataError(
                    f"The field '{field}' (row {number}) is {value}, which JSON does not have; write null where there "
                    "is no value. Nothing was recorded.",
                    [Problem(field, f"row {number}: is no value of JSON", str(value))],
                )


def _text(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else repr(value)
