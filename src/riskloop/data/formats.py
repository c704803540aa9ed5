"""Files that are no delimited text: Parquet, SAS, SPSS, Stata, ARFF, JSON."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from riskloop.core.errors import ConfigError, MalformedBody
from riskloop.core.settings import DataSettings
from riskloop.data.streams import Bytes, read_start
from riskloop.data.tables import TableSource, TextSource, frame_source, refuse_repeats, value_column

ROWS: Final = 100_000  # of one block


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

    labelled = frozenset(name for name, labels in meta.variable_value_labels.items() if len(labels) > 1)
    return TableSource(names, tables, labelled=labelled)


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
        elif (found := _array_within(content)) is not None:
            rows = found
        else:
            rows = [msgspec.json.decode(line, type=dict[str, Any]) for line in content.splitlines() if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"{where} must be a JSON array of objects, or one object a line: {error}.") from None
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table([value_column([row.get(name) for row in rows]) for name in names], names=names)
    return TableSource(names, lambda: [table])


def _array_within(content: bytes) -> list[dict[str, Any]] | None:
    """The rows of a document that holds one array of objects, as services answer: {"count": 2, "data": [{…}, {…}]}."""
    import msgspec

    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    arrays = [v for v in document.values() if isinstance(v, list) and v and all(isinstance(row, dict) for row in v)]
    return arrays[0] if len(arrays) == 1 else None
