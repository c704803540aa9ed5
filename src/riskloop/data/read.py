"""Files and frames into checked rows: nothing is guessed, nothing is filled in, every refusal names its place.

CSV is read by pyarrow with the schema's types, so that a million rows take about a second; text is looked at
again only to say which line is wrong.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np
import pyarrow as pa

from riskloop.core.errors import DataError, MalformedBody, NotFound
from riskloop.core.schema import Schema
from riskloop.core.types import Ints, Problem, Rows
from riskloop.data.columns import Problems, read_ids, read_levels, read_numbers, read_target, read_times, unseen_texts

if TYPE_CHECKING:
    import pandas as pd

MISSING: Final = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")  # spellings of a missing value in a CSV

Source = Any  # Path | str | BinaryIO | pandas.DataFrame | pyarrow.Table | pyarrow.RecordBatch
Purpose = Literal["required", "absent"]


def rows_from(
    source: "Path | str | BinaryIO | pd.DataFrame | pa.Table | pa.RecordBatch",
    schema: Schema,
    *,
    target: Purpose,
    where: str,
    first_row: int = 1,
) -> Rows:
    """Checked rows in the schema's feature order; the order of the source's columns is free.

    ``target="required"`` is for history; with ``"absent"`` a target column is dropped, and a missing time column
    makes all times zero. ``where`` names the source in messages; ``first_row`` is the number of its first row
    when it is a part of something longer.

    Raises NotFound, MalformedBody, or DataError naming line, column, value and problem of the first few.
    """
    table = table_of(source, schema, where=where)
    csv_source = source if isinstance(source, (Path, str)) and not _is_parquet(Path(source)) else None
    check_columns(table.column_names, schema, target, where)
    if table.num_rows == 0:
        raise DataError(f"{where} holds no rows.")
    problems = Problems(where, *_numbering(csv_source, first_row))
    features = np.empty((table.num_rows, len(schema)))
    unseen: dict[int, dict[str, str]] = {}
    for position, feature in enumerate(schema.features):
        column = table[feature.name]
        read = read_levels if feature.kind == "category" else read_numbers
        features[:, position] = read(column, feature, problems)
        if feature.kind == "category" and feature.unseen == "flag":
            for row, text in unseen_texts(column, features[:, position], feature).items():
                unseen.setdefault(row, {})[feature.name] = text
    times: Ints | None = None
    if schema.time is not None and schema.time in table.column_names:
        times = read_times(table[schema.time], schema.time, problems)
    ids: Sequence[str]
    if schema.id is None:
        # A history's rows need names for its fingerprint; customers to be decided on have none.
        ids = [str(number + 1) if target == "required" else "" for number in range(table.num_rows)]
    else:
        ids = read_ids(table[schema.id], schema.id, times, problems)
    outcome = read_target(table[schema.target], schema.target, problems) if target == "required" else None
    problems.raise_if_any()
    if outcome is not None and np.all(outcome == outcome[0]):
        raise DataError(
            f"{where} has the same value {outcome[0]:.0f} in column '{schema.target}' of every row; "
            "training needs defaults (1) and others (0)."
        )
    times = np.zeros(len(features), dtype=np.int64) if times is None else times
    return Rows(features, ids, times, outcome, unseen)


def read_table(
    source: Path | str | BinaryIO, schema: Schema | None = None, *, as_text: bool = False, where: str = ""
) -> pa.Table:
    """A CSV or Parquet file as an Arrow table: the schema's columns with its types, or all columns as they look.

    With ``as_text`` the columns of a CSV stay the text that they are.

    Raises NotFound for a path that is none, MalformedBody for bytes that are no table.
    """
    if isinstance(source, (Path, str)):
        path, where = Path(source), where or str(source)
        if not path.is_file():
            raise NotFound(f"The file {path} does not exist; check the path.")
        if _is_parquet(path):
            return _read_parquet(path, where)
        with pa.input_stream(str(path), compression="detect") as stream:
            return _read_csv(stream.read(), schema, where, as_text=as_text)
    return _read_csv(source.read(), schema, where or "The CSV", as_text=as_text)


def check_columns(names: Sequence[str], schema: Schema, target: Purpose, where: str) -> None:
    """Raise DataError for the columns that the schema does not know, and for those that are not there."""
    optional = {schema.target, schema.time} if target == "absent" else set()
    expected = [*schema.names, *(n for n in (schema.id, schema.time, schema.target) if n is not None)]
    problems = [Problem(n, "appears twice") for n in _repeated(names)]
    problems += [Problem(n, "is missing") for n in expected if n not in names and n not in optional]
    problems += [Problem(n, "is not in the schema") for n in names if n not in expected and n not in schema.ignored]
    if problems:
        listed = "; ".join(f"column '{p.field}' {p.problem}" for p in problems[:8])
        more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise DataError(
            f"{where} does not have the columns of the schema: {listed}{more}. Correct the header, "
            "or add the column to riskloop.toml ([features.NAME], or 'ignore' of [portfolio]).",
            problems,
        )


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


# --------------------------------------------------------------------------- CSV and Parquet


def _read_csv(content: bytes, schema: Schema | None, where: str, *, as_text: bool) -> pa.Table:
    from pyarrow import csv as arrow_csv

    header = _header(content, where)
    if repeated := _repeated(header):
        raise DataError(f"{where} has the column '{repeated[0]}' twice; rename or remove one.")
    text = {name: pa.string() for name in header}
    # Types come from the schema: guessed ones would turn '007' into 7 and stop at the first odd value.
    types = text if schema is None else {**text, **_types(schema)}

    def parse(column_types: dict[str, pa.DataType] | None, *, threads: bool = True) -> pa.Table:
        return arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(use_threads=threads, block_size=1 << 22),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=b'"' in content),
            convert_options=arrow_csv.ConvertOptions(
                column_types=column_types,
                null_values=MISSING,
                strings_can_be_null=True,
                include_columns=None if schema is None else [n for n in header if n not in schema.ignored],
            ),
        )

    for column_types in (types if schema is not None or as_text else None, text):
        try:
            return parse(column_types)
        except pa.ArrowInvalid as error:
            if "conversion error" not in str(error):
                raise _malformed(lambda: parse(text, threads=False), error, where) from None
    raise MalformedBody(f"{where} is not valid CSV: it holds bytes that are not UTF-8 text. Save it as UTF-8.")


def _malformed(parse_slowly: Any, error: Exception, where: str) -> MalformedBody:
    """Parsed by one thread, pyarrow can tell the row."""
    try:
        parse_slowly()
    except pa.ArrowInvalid as slow:
        error = slow
    text = str(error).removeprefix("CSV parse error: ").split("\n")[0][:160]
    return MalformedBody(f"{where} is not valid CSV: {text}. Every line needs as many fields as the header.")


def _header(content: bytes, where: str) -> list[str]:
    if not content.strip():
        raise DataError(f"{where} is empty; it needs a header line and rows.")
    line = content.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    try:
        header = next(csv.reader(io.StringIO(line.decode("utf-8"))), [])
    except (UnicodeDecodeError, csv.Error):
        raise MalformedBody(f"{where} is not a CSV file in UTF-8; save it as comma-separated UTF-8 text.") from None
    if "\0" in line.decode():
        raise MalformedBody(f"{where} is not a CSV file but binary data; give a CSV or Parquet file.")
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise MalformedBody(f"{where} is separated by semicolons or tabs; save it with commas.")
    return header


def _types(schema: Schema) -> dict[str, pa.DataType]:
    levels = pa.dictionary(pa.int32(), pa.string())
    types = {f.name: pa.float64() if f.kind == "number" else levels for f in schema.features}
    types[schema.target] = levels
    if schema.time is not None:
        types[schema.time] = levels
    if schema.id is not None:
        types[schema.id] = pa.string()
    return types


def _is_parquet(path: Path) -> bool:
    if path.suffix.lower() in (".parquet", ".pq"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


def _read_parquet(path: Path, where: str) -> pa.Table:
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        text = str(error).split("\n")[0][:160]
        raise MalformedBody(f"{where} is not a valid Parquet file: {text}. Write it again.") from None


# --------------------------------------------------------------------------- frames


def table_of(source: Source, schema: Schema | None = None, *, as_text: bool = False, where: str) -> pa.Table:
    """Any source as an Arrow table; without a schema its columns stay as they look."""
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if isinstance(source, (Path, str)) or hasattr(source, "read"):
        return read_table(source, schema, as_text=as_text, where=where)
    names = [str(name) for name in source.columns]
    if repeated := _repeated(names):
        raise DataError(f"{where} has the column '{repeated[0]}' twice; rename or remove one.")
    return pa.table([_frame_column(source.iloc[:, i]) for i in range(len(names))], names=names)


def _frame_column(series: "pd.Series[Any]") -> pa.ChunkedArray:
    try:
        column = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Mixed objects, such as 1, 2, "x": as text the offending row can be named.
        missing = series.isna()
        column = pa.array([None if m else str(v) for v, m in zip(series, missing, strict=True)], pa.string())
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _numbering(path: Path | str | None, first_row: int) -> tuple[str, Any]:
    """What a person looks for: the line of a CSV, or the row counted from ``first_row``."""
    if path is None:
        return "row", lambda rows: [row + first_row for row in rows]

    def lines(rows: Sequence[int]) -> list[int]:
        with pa.input_stream(str(path), compression="detect") as stream:
            return _lines(io.TextIOWrapper(io.BytesIO(stream.read()), "utf-8-sig", newline=""), rows)

    return "line", lines


def _lines(file: Iterable[str], rows: Sequence[int]) -> list[int]:
    """The line on which each row begins: blank lines and quoted line ends make it more than row + 2."""
    wanted, found = set(rows), {}
    reader = csv.reader(file)
    row, before = -2, 0
    for record in reader:
        row += bool(record)
        if row in wanted:
            found[row] = before + 1
        before = reader.line_num
        if row >= max(wanted, default=-1):
            break
    return [found.get(row, row + 2) for row in rows]
