"""Files that are no delimited text: Parquet, SAS, SPSS, Stata, ARFF, JSON."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from riskloop.core.errors import ConfigError, MalformedBody
from riskloop.core.settings import DataSettings
from riskloop.data.labels import labels_of
from riskloop.data.streams import Bytes, find_encoding, read_start, text_blocks
from riskloop.data.tables import TableSource, TextSource, frame_source, refuse_repeats, value_column

ROWS: Final = 100_000  # of one block


def parquet_source(path: Path | bytes, where: str) -> TableSource:
    """A Parquet file, by row groups."""
    from pyarrow import parquet

    source = pa.BufferReader(path) if isinstance(path, bytes) else path
    try:
        file = parquet.ParquetFile(source)
        names = list(file.schema_arrow.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise MalformedBody(f"{where} is not a valid Parquet file: {_told(error)}. Write it again.") from None

    def tables() -> Iterator[pa.Table]:
        try:
            # What is buffered before it is read stays in memory until the end of the file.
            for batch in parquet.ParquetFile(source, pre_buffer=False).iter_batches(batch_size=ROWS):
                yield pa.Table.from_batches([batch])
        except (pa.ArrowInvalid, OSError) as error:
            raise MalformedBody(f"{where} is damaged: {_told(error)}. Write it again.") from None

    refuse_repeats(names, where)
    return TableSource(names, tables)


def _told(error: Exception) -> str:
    """What a library says, in one line."""
    return " ".join(str(error).split())[:160].rstrip(". ")


def arrow_source(path: Path, where: str, kind: str) -> TableSource:
    """An Arrow file (Feather) or an ORC file, whole."""
    try:
        if kind == "orc":
            from pyarrow import orc

            table = orc.ORCFile(str(path)).read()
        else:
            with pa.memory_map(str(path)) as file:
                opened = pa.ipc.open_stream if kind == "arrow stream" else pa.ipc.open_file
                table = opened(file).read_all()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise MalformedBody(f"{where} is damaged: {_told(error)}. Write it again.") from None
    names = list(table.column_names)
    refuse_repeats(names, where)
    return TableSource(names, lambda: [table])


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

    labels = {str(name): labels_of(said) for name, said in meta.variable_value_labels.items()}
    return TableSource(names, tables, labels=labels)


def arff_source(source: Bytes, where: str, dialect: DataSettings) -> TextSource:
    """An ARFF file: a text whose header names the columns one by one."""
    names, firsts, lines = list[str](), list[str](), 0
    start = read_start(source, 2**20).decode(dialect.encoding, errors="replace")
    for lines, line in enumerate(start.splitlines(), 1):  # noqa: B007 - used below
        if (found := _ATTRIBUTE.match(line)) is not None:
            names.append(found[1].strip("'\""))
            firsts.append((found[2] or "0").strip())  # what a sparse row does not name: 0, or the first level
        if re.match(r"\s*@data\b", line, re.IGNORECASE):
            break
    else:
        raise MalformedBody(f"{where} is an ARFF file without @data.")
    below = next((line for line in start.splitlines()[lines:] if line.strip() and not line.startswith("%")), "")
    if below.lstrip().startswith("{"):
        source, lines = _filled(source, dialect.encoding, firsts, lines, where), 0
    own = {"delimiter": ",", "decimal": ".", "skip": lines, "header": False, "columns": tuple(names)}
    return TextSource(source, dialect.model_copy(update=own), where, quote="'")


_ATTRIBUTE: Final = re.compile(
    r"\s*@attribute\s+('[^']*'|\"[^\"]*\"|\S+)\s*(?:\{\s*('(?:[^'\\]|\\.)*'|[^,}]*))?", re.IGNORECASE
)
_ENTRY: Final = re.compile(r"(\d+)\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,]+)")


def _filled(source: Bytes, encoding: str, firsts: list[str], lines: int, where: str) -> bytes:
    """The rows of a sparse ARFF file, {1 5, 3 yes}, as those of a dense one; ``firsts`` stand where none is named."""
    whole = b"".join(text_blocks(source, encoding, where, lines=True)).decode(errors="replace").splitlines()
    rows = []
    for number, line in enumerate(whole[lines:], lines + 1):
        text = line.strip()
        if not text or text.startswith("%"):
            rows.append("")
            continue
        row, inside = [*firsts], text.removeprefix("{").removesuffix("}").strip()
        entries = _ENTRY.findall(inside)
        places = [int(place) for place, _ in entries]
        if not (text.startswith("{") and text.endswith("}")) or not all(place < len(row) for place in places):
            raise MalformedBody(f"{where}, line {number}: is no row of a sparse ARFF file, such as {{1 5, 3 yes}}.")
        for place, value in zip(places, (value.strip() for _, value in entries), strict=True):
            row[place] = f"'{value[1:-1]}'" if value.startswith('"') else value
        rows.append(",".join(row))
    return "\n".join([*rows, ""]).encode()


def rows_source(content: bytes, where: str) -> TableSource:
    """A JSON document of rows: an array of objects, one object a line, or one of the ways in which pandas writes."""
    if (encoding := find_encoding(content[:4096])).startswith(("utf-16", "utf-32")):
        content = content.decode(encoding, errors="replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    return records_source(_rows_of(content, where))


def records_source(rows: list[dict[str, Any]]) -> TableSource:
    """Rows as their values by name; objects within them become columns of their own."""
    rows = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table([value_column([row.get(name) for row in rows]) for name in names], names=names)
    return TableSource(names, lambda: [table])


def _rows_of(content: bytes, where: str) -> list[dict[str, Any]]:
    import msgspec

    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    try:
        if document is None:
            lines = (line.strip().rstrip(b",") for line in content.splitlines())
            return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines if line.strip(b"[]")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(
            f"{where} must be a JSON array of objects, or one object a line: {_place(content, error)}."
        ) from None
    if (rows := _rows_within(document)) is None:
        raise MalformedBody(f"{where} must be a JSON array of objects, or one object a line; it holds no such array.")
    return rows


def _place(content: bytes, error: Exception) -> str:
    """What is wrong with the JSON, with the line in which it is."""
    for number, line in enumerate(content.splitlines(), 1):
        if (found := re.search(rb":\s*(NaN|-?Infinity)\b", line)) is not None:
            return f"line {number} holds {found[1].decode()}, which JSON does not have; write null"
    return str(error)


def _rows_within(document: Any, depth: int = 0) -> list[dict[str, Any]] | None:
    """The rows of a document: an array of objects; the only one within it, as services answer; or columns of a frame.

    pandas writes {"columns": […], "data": [[…]]}, {"x": {"0": 1}} by column or {"0": {"x": 1}} by row.
    """
    if isinstance(document, list):
        if len(document) > 1 and all(isinstance(row, list) and len(row) == len(document[0]) for row in document):
            names, *rows = document  # a first row of names
            if names and all(isinstance(name, str) for name in names) and len({*names}) == len(names):
                return [dict(zip(names, row, strict=True)) for row in rows]
        return document if document and all(isinstance(row, dict) for row in document) else None
    if not isinstance(document, dict) or depth > 3:
        return None
    names, data = document.get("columns"), document.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, names), row, strict=False)) for row in data]
    inner = list(document.values())
    if len(inner) > 1 and all(isinstance(column, list) and len(column) == len(inner[0]) for column in inner):
        plain = not any(isinstance(value, (dict, list)) for column in inner for value in column)
        if plain and inner[0]:
            return [dict(zip(document, row, strict=True)) for row in zip(*inner, strict=True)]
    keys = [list(value) for value in inner if isinstance(value, dict)]
    if len(keys) == len(inner) > 1 and all(some == keys[0] for some in keys):
        rows = [*document] if all(name.isdecimal() for name in document) else keys[0]
        by_row = rows is not keys[0]
        return list(inner) if by_row else [{name: document[name][row] for name in document} for row in rows]
    found: list[list[dict[str, Any]]] = [
        value for value in inner if isinstance(value, list) and _rows_within(value) is not None
    ]
    found = found or [inside for value in inner if (inside := _rows_within(value, depth + 1)) is not None]
    return found[0] if len(found) == 1 else [document] if not depth and not keys else None


def _flat(row: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Objects within a row as columns of their own: {"a": {"b": 1}} is a.b; MongoDB's {"$date": …} is its value."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
            flat[above + name] = next(iter(value.values()))
        elif isinstance(value, dict) and value and above.count(".") < 3:
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[above + name] = value
    return flat
