"""Which kind of file is scored how: as it is where the API reads it byte for byte, else row by row."""

from pathlib import Path

from riskloop.batch.files import CsvFile, ParquetFile, ScoredFile, is_parquet
from riskloop.batch.rows import RowsFile
from riskloop.core.errors import ConfigError, NotFound
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings
from riskloop.data.opening import files_of, open_source, table_in
from riskloop.data.read import STANDARD, Screened
from riskloop.data.refused import keep_apart
from riskloop.data.spelling import spelled
from riskloop.data.streams import packing_of


def paths_of(source: Path, target: Path, refused: Path | None) -> list[Path]:
    """The files of a source, after everything that can be wrong with the paths of a run was looked at."""
    files = files_of(source)
    if not files[0].is_file():
        raise NotFound(f"The file {source} does not exist; check the path.")
    if not target.parent.is_dir():
        raise NotFound(f"The folder {target.parent} for {target.name} does not exist; make it, or check the path.")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; name a file for the output.")
    if target.exists() and not target.is_file():
        raise ConfigError(f"{target} is a pipe or a device, and the output takes its place at once; name a file.")
    if any(target.resolve() == path.resolve() for path in files):
        raise ConfigError(f"{target} is the input itself; name another output.")
    if refused is not None:
        keep_apart(refused, [*files, target])
    return files


def open_file(
    source: Path,
    target: Path,
    *,
    dialect: DataSettings = STANDARD,
    schema: Schema | None = None,
    screened: Screened | None = None,
) -> ScoredFile:
    """The file, as it is to be sent: a standard CSV byte for byte, a Parquet file with its types, others as rows.

    Rows that ``screened`` refuses are left out. Raises ConfigError for an output that is neither CSV nor Parquet.
    """
    plain = Path(target.stem) if packing_of(target) is not None else target
    if plain.suffix.lower() != ".csv" and not is_parquet(target):
        raise ConfigError(f"{target.name} must end in .csv, .csv.gz, .csv.zst or .parquet: that is how it is written.")
    whole = screened is None or not screened.refused
    kind, content = table_in(source) if source.is_file() else ("", source)
    if whole and kind == "text" and is_standard(dialect):
        return CsvFile(source, target, content)
    if whole and kind == "parquet" and is_parquet(target):
        return ParquetFile(source, content)
    opened, used = open_source(str(source), dialect, str(source), target=None if schema is None else schema.target)
    return RowsFile(source, target, opened if schema is None else spelled(opened, schema), used, schema, screened)


def is_standard(dialect: DataSettings) -> bool:
    """Whether a text is UTF-8 with commas and a header line, and needs no second look."""
    laid_out = ("encoding", "delimiter", "quoting", "widths", "decimal", "skip", "header", "below", "columns", "footer")
    return all(getattr(dialect, name) == getattr(STANDARD, name) for name in laid_out)
