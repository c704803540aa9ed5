"""Which kind of file is scored how: as it is where the API reads it byte for byte, else row by row."""

from pathlib import Path

from riskloop.batch.files import CsvFile, ParquetFile, ScoredFile, is_parquet
from riskloop.batch.rows import RowsFile
from riskloop.core.errors import ConfigError
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings
from riskloop.data.opening import kind_of, open_source
from riskloop.data.read import STANDARD, Screened
from riskloop.data.spelling import spelled
from riskloop.data.streams import packing_of


def open_file(
    source: Path,
    target: Path,
    *,
    dialect: DataSettings = STANDARD,
    schema: Schema | None = None,
    screened: Screened | None = None,
) -> ScoredFile:
    """The file, as it is to be sent: a standard CSV byte for byte, a Parquet file with its types, others as rows.

    Rows that ``screened`` refuses are left out. Raises ConfigError for an output that is neither CSV nor Parquet or is
    the input itself.
    """
    plain = Path(target.stem) if packing_of(target) is not None else target
    if plain.suffix.lower() != ".csv" and not is_parquet(target):
        raise ConfigError(f"{target.name} must end in .csv, .csv.gz, .csv.zst or .parquet: that is how it is written.")
    if source.resolve() == target.resolve():
        raise ConfigError(f"{target} is the input itself; name another output.")
    whole = screened is None or not screened.refused
    kind = kind_of(source) if source.is_file() else ""
    if whole and kind == "text" and is_standard(dialect):
        return CsvFile(source, target)
    if whole and kind == "parquet" and is_parquet(target):
        return ParquetFile(source)
    opened, used = open_source(str(source), dialect, str(source), target=None if schema is None else schema.target)
    return RowsFile(source, target, opened if schema is None else spelled(opened, schema), used, schema, screened)


def is_standard(dialect: DataSettings) -> bool:
    """Whether a text is UTF-8 with commas and a header line, and needs no second look."""
    laid_out = ("encoding", "delimiter", "quoting", "widths", "decimal", "skip", "header", "below", "columns", "footer")
    return all(getattr(dialect, name) == getattr(STANDARD, name) for name in laid_out)
