"""Where a result goes that is no file of this machine: an object store, or a table of a database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from riskloop.core.errors import ConfigError, Conflict, DataError
from riskloop.data.address import Address, DatabaseAddress, StoreAddress, address_of
from riskloop.data.fetch import connected, open_store, speaking_of, unreadable

if TYPE_CHECKING:
    import pyarrow as pa

ROWS: Final = 10_000  # that are in memory at once
RUN: Final = "run_key"  # the column that makes a delivery happen once
DECISION: Final = "decision_id"
LONGEST: Final = 200  # characters of a run key: some databases want to know for a primary key


@dataclass(frozen=True)
class Parcel:
    """A file that is written here, and goes to where it was meant for when it is complete."""

    path: Path
    address: Address | None

    def send(self, run: str) -> None:
        """Hand it over, all of it or nothing; the same run twice leaves what is there.

        Raises Conflict when a table holds other rows of that run, ConfigError when it lacks what is needed, DataError
        for values that its types do not take, StorageError.
        """
        if isinstance(self.address, StoreAddress):
            to_store(self.path, self.address)
        elif self.address is not None:
            to_table(self.path, self.address, run)


@contextmanager
def parcel(target: str | Path) -> Iterator[Parcel]:
    """Where to write what is meant for ``target``; errors about the copy name the target."""
    address = address_of(target)
    if address is None:
        yield Parcel(Path(target), None)
        return
    if isinstance(address, DatabaseAddress):
        check_table(address)
        name = "rows.parquet"
    else:
        name = Path(str(address)).name
    with TemporaryDirectory(prefix="riskloop-") as folder, speaking_of(folder, str(address)):
        yield Parcel(Path(folder) / name, address)


def to_store(path: Path, address: StoreAddress) -> None:
    """An object appears when it is complete: a copy that breaks leaves what was there."""
    from pyarrow import fs

    store, key = open_store(address)
    try:
        fs.copy_files(str(path), key, source_filesystem=fs.LocalFileSystem(), destination_filesystem=store)
    except OSError as error:
        raise unreadable(address, error) from error


# --------------------------------------------------------------------------- tables


def check_table(address: DatabaseAddress) -> None:
    """Whether rows can be delivered, asked before anybody is decided on. Raises ConfigError, StorageError."""
    if address.is_query:
        raise ConfigError(f"Rows can be written to a table, not to a query: name one behind {address.url}.")
    if address.scheme.startswith(("adbc+", "duckdb")):
        raise ConfigError(f"{address.scheme}:// is for reading; write to a database through SQLAlchemy, or to a file.")
    with connected(address, writing=True) as connection:
        _found(connection, address)


def to_table(path: Path, address: DatabaseAddress, run: str) -> None:
    """Append the rows of a Parquet file to a table in one transaction, once for each run.

    A table that is not there is made, with the columns of the rows. One that is there gets the columns that it has; it
    needs `decision_id` and `run_key`. Raises as `Parcel.send` does.
    """
    from pyarrow import parquet
    from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

    file = parquet.ParquetFile(path, pre_buffer=False)
    with connected(address, writing=True) as connection:
        try:
            table = _table(connection, address, _written(file.schema_arrow))
            _alone(connection, table)
            if not _is_there(connection, table, run, file.metadata.num_rows, address):
                for batch in file.iter_batches(batch_size=ROWS):
                    connection.execute(table.insert(), _rows(batch, run, table))
            connection.commit()
        except IntegrityError as error:
            raise Conflict(
                f"{address} refuses the rows of run {run}; nothing was written: {str(error.orig).splitlines()[0]}."
            ) from None
        except DBAPIError as error:
            if type(error).__name__ == "DataError":
                raise DataError(
                    f"{address} does not take the values; nothing was written: {str(error.orig).splitlines()[0]}."
                ) from None
            raise unreadable(address, error) from None
        except SQLAlchemyError as error:
            raise unreadable(address, error) from None


def _written(schema: "pa.Schema") -> dict[str, Any]:
    """Column to type: a moment is one, and no text."""
    import pyarrow as pa

    kinds = {field.name: field.type for field in schema}
    return {**kinds, "scored_at": pa.timestamp("us", "UTC"), DECISION: pa.int64()}


def _found(connection: Any, address: DatabaseAddress) -> Any:
    """The table as it is; None when it is not there. Raises ConfigError when it lacks what makes a run happen once."""
    from sqlalchemy import MetaData, Table
    from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

    schema, name = _names(address)
    try:
        table = Table(name, MetaData(), schema=schema, autoload_with=connection)
    except NoSuchTableError:
        return None
    except SQLAlchemyError as error:
        raise unreadable(address, error) from None
    lacking = [column for column in (RUN, DECISION) if column not in table.columns]
    if lacking:
        raise ConfigError(
            f"The table {address} has no column {' and no column '.join(lacking)}: it needs both, so that a run is "
            "written once. Add them, or name a table that is not there yet: it will be made."
        )
    return table


def _names(address: DatabaseAddress) -> tuple[str | None, str]:
    *schema, name = [part.strip('"') for part in address.asked.split(".")]
    return (schema[-1] if schema else None), name


def _table(connection: Any, address: DatabaseAddress, kinds: Mapping[str, Any]) -> Any:
    from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table

    if (table := _found(connection, address)) is not None:
        return table
    schema, name = _names(address)
    columns = [Column(RUN, String(LONGEST)), *(Column(column, _sql_type(kind)) for column, kind in kinds.items())]
    made = Table(name, MetaData(), *columns, PrimaryKeyConstraint(RUN, DECISION), schema=schema)
    made.create(connection)
    return made


def _sql_type(kind: Any) -> Any:
    import pyarrow as pa
    from sqlalchemy import BigInteger, Boolean, Date, DateTime, Double, Text

    if pa.types.is_boolean(kind):
        return Boolean()
    if pa.types.is_integer(kind):
        return BigInteger()
    if pa.types.is_floating(kind):
        return Double()
    if pa.types.is_timestamp(kind):
        return DateTime(timezone=kind.tz is not None)
    return Date() if pa.types.is_date(kind) else Text()


def _alone(connection: Any, table: Any) -> None:
    """Two runs at once write one after the other."""
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")


def _is_there(connection: Any, table: Any, run: str, rows: int, address: DatabaseAddress) -> bool:
    from sqlalchemy import func, select

    known = connection.execute(select(func.count()).select_from(table).where(table.c[RUN] == run)).scalar_one()
    if known not in (0, rows):
        raise Conflict(
            f"{address} holds {known:,} rows of run {run}, and there are {rows:,} now; nothing was written. Remove "
            "those, or give another --run-key."
        )
    return bool(known)


def _rows(batch: "pa.RecordBatch", run: str, table: Any) -> list[dict[str, Any]]:
    """Rows as the table takes them: numbers that a CSV wrote as text become numbers where a column wants them."""
    import pyarrow as pa

    names = [name for name in batch.schema.names if name in table.columns]
    columns = []
    for name in names:
        column = batch.column(name)
        if name == "scored_at":
            column = column.cast(pa.timestamp("us", "UTC"))
        columns.append(_fitting(column, table.columns[name], name).to_pylist())
    return [{RUN: run, **dict(zip(names, row, strict=True))} for row in zip(*columns, strict=True)]


def _fitting(column: "pa.Array", wanted: Any, name: str) -> "pa.Array":
    import pyarrow as pa
    from sqlalchemy import Float, Integer, Numeric, String

    target = None
    if isinstance(wanted.type, Integer):
        target = pa.int64()
    elif isinstance(wanted.type, Float | Numeric):
        target = pa.float64()
    elif isinstance(wanted.type, String):
        target = pa.string()
    if target is None or column.type == target:
        return column
    if pa.types.is_string(column.type):
        column = pa.array([None if text is None or not text.strip() else text.strip() for text in column.to_pylist()])
    try:
        return column.cast(target)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"Column '{name}' does not fit {wanted.type} of the table: {error}. Nothing was written."
        ) from None
