"""What an address names or a pipe holds, as a file of this machine: from there on one reader serves every way in.

A copy, and no stream: rows are read several times (their layout, what is wrong with them, the decisions), and a table
may change in between. It lies in a folder of its own that only this user can read, and goes when the work is done.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from riskloop.core.errors import ConfigError, DataError, NotFound, RiskloopError, StorageError
from riskloop.data.address import Address, DatabaseAddress, StoreAddress, address_of
from riskloop.data.joined import Joined
from riskloop.data.tables import value_column

if TYPE_CHECKING:
    import pyarrow as pa

ROWS: Final = 20_000  # of a query that are in memory at once
PIECE: Final = 2**23  # bytes of an object that are
_WHOLE: Final = 2**63

S = TypeVar("S")


@contextmanager
def fetched(source: S) -> Iterator[S | Path]:
    """The source itself, or the copy of what an address names or a pipe holds; errors about the copy name the address.

    Raises ConfigError, NotFound or StorageError when nothing can be fetched.
    """
    if isinstance(source, Joined):
        with _copied(source.history) as history, _copied(source.outcomes) as outcomes:
            yield cast(S, Joined(history, outcomes))
    else:
        with _copied(source) as here:
            yield here


@contextmanager
def _copied(source: S) -> Iterator[S | Path]:
    address = address_of(source)
    if address is None and not _is_pipe(source):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="riskloop-") as folder, speaking_of(folder, str(address or source)):
        place = Path(folder)
        if address is None:
            yield _drained(Path(str(source)), place)
        else:
            yield from_store(address, place) if isinstance(address, StoreAddress) else from_database(address, place)


def _is_pipe(source: Any) -> bool:
    return isinstance(source, str | Path) and Path(source).is_fifo()


def _drained(pipe: Path, folder: Path) -> Path:
    """What a pipe holds, such as /dev/stdin behind `zcat`: it can be read once, and rows are read several times."""
    copy = folder / pipe.name
    with pipe.open("rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, PIECE)
    return copy


def where_of(source: Any) -> str:
    """How messages call a file, a folder, a pattern or an address."""
    return str(address_of(source) or source)


@contextmanager
def speaking_of(copy: str, address: str) -> Iterator[None]:
    """Refusals tell of what a person knows, which is no temporary copy."""
    try:
        yield
    except RiskloopError as error:
        for entry in sorted(Path(copy).iterdir()):
            error.message = error.message.replace(str(entry), address.rstrip("/"))
        error.args = (error.message,)
        raise


# --------------------------------------------------------------------------- object stores


def open_store(address: StoreAddress) -> tuple[Any, str]:
    """The file system of an object store, and the path in it. Raises ConfigError for an address that is none."""
    import pyarrow as pa
    from pyarrow import fs

    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(address.url)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ConfigError(f"{address} cannot be used: {first_line(error)}") from None
    return found


def from_store(address: StoreAddress, folder: Path) -> Path:
    """Copies of the objects: one file, or a folder of several."""
    store, path = open_store(address)
    try:
        keys = _keys(store, path)
        if not keys:
            raise NotFound(f"There is nothing at {address}; check the address.")
        if keys != [path]:
            folder = folder / "objects"
            folder.mkdir()
        for key in keys:
            _copy(store, key, folder / Path(key).name)
    except OSError as error:
        raise unreadable(address, error) from error
    return folder / Path(path).name if keys == [path] else folder


def _keys(store: Any, path: str) -> list[str]:
    from pyarrow import fs

    parent, _, name = path.rpartition("/")
    if any(mark in name for mark in "*?["):
        found = store.get_file_info(fs.FileSelector(parent, allow_not_found=True))
        return sorted(info.path for info in found if info.is_file and fnmatch(info.base_name, name))
    info = store.get_file_info(path)
    if info.is_file:
        return [path]
    found = store.get_file_info(fs.FileSelector(path.rstrip("/"), allow_not_found=True))
    # As in a folder of this machine: what begins so is no part of the data.
    return sorted(i.path for i in found if i.is_file and not i.base_name.startswith((".", "_")))


def _copy(store: Any, key: str, target: Path) -> None:
    with store.open_input_stream(key, compression=None) as source, target.open("wb") as out:
        while content := source.read(PIECE):
            out.write(content)


# --------------------------------------------------------------------------- databases


def from_database(address: DatabaseAddress, folder: Path) -> Path:
    """The rows of a query as a Parquet file, with the types that the database has."""
    path = folder / "rows.parquet"
    try:
        kept = _Kept(folder)
        for table in _tables(address):
            kept.add(table)
        return kept.as_one(path)
    except OSError as error:
        raise unreadable(address, error) from error


def _tables(address: DatabaseAddress) -> Iterator["pa.Table"]:
    if address.scheme == "duckdb":
        return _from_duckdb(address)
    return _from_adbc(address) if address.scheme.startswith("adbc+") else _from_sqlalchemy(address)


def _from_sqlalchemy(address: DatabaseAddress) -> Iterator["pa.Table"]:
    import pyarrow as pa
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    with connected(address) as connection:
        try:
            # The driver has no parameters here, so that a colon in a text of the query is none.
            query = text(address.query.replace(":", r"\:"))
            result = connection.execution_options(stream_results=True, max_row_buffer=ROWS).execute(query)
            names = list(result.keys())
            empty = True
            for rows in result.partitions(ROWS):
                empty = False
                columns = [_column(values) for values in zip(*rows, strict=True)]
                yield pa.Table.from_arrays(columns, names=names)
            if empty:
                yield pa.Table.from_arrays([pa.nulls(0)] * len(names), names=names)
        except SQLAlchemyError as error:
            raise unreadable(address, error) from None


@contextmanager
def connected(address: DatabaseAddress, *, writing: bool = False) -> Iterator[Any]:
    """A connection in a transaction of its own; one that only reads cannot write, where the database knows that."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        url, password = make_url(address.url), address.password()
        engine = create_engine(url if password is None else url.set(password=password), poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise ConfigError(_without_driver(address, error)) from None
    options: dict[str, Any] = {}
    if engine.dialect.name == "postgresql" and not writing:
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    try:
        connection = engine.connect().execution_options(**options)
    except SQLAlchemyError as error:
        raise unreadable(address, error) from None
    try:
        if engine.dialect.name == "sqlite" and not writing:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        yield connection
    finally:
        with suppress(SQLAlchemyError):
            connection.close()
        engine.dispose()


def _column(values: Sequence[Any]) -> "pa.Array":
    """Values of a driver; decimals become the nearest doubles, as they would out of a text."""
    if {type(value) for value in values if value is not None} == {Decimal}:
        whole = all(v is None or (v.is_finite() and v == v.to_integral_value()) for v in values)
        fits = whole and all(v is None or abs(v) < _WHOLE for v in values)
        values = [None if v is None else int(v) if fits else str(v) if whole else float(v) for v in values]
    return value_column(values)


def _from_duckdb(address: DatabaseAddress) -> Iterator["pa.Table"]:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(_without_driver(address, error)) from None
    path = address.url.partition("?")[0].removeprefix("duckdb://")
    if path and not Path(path).is_file():
        raise NotFound(f"The database {path} does not exist; check the path.")
    try:
        with duckdb.connect(path or ":memory:", read_only=bool(path)) as connection:
            rows = connection.sql(address.query)
            reader = rows.to_arrow_reader if hasattr(rows, "to_arrow_reader") else rows.fetch_arrow_reader
            yield from _batches(reader(ROWS))
    except duckdb.Error as error:
        raise unreadable(address, error) from None


def _from_adbc(address: DatabaseAddress) -> Iterator["pa.Table"]:
    import importlib

    name = address.scheme.removeprefix("adbc+")
    try:
        dbapi = importlib.import_module(f"adbc_driver_{name}.dbapi")
    except ImportError as error:
        raise ConfigError(_without_driver(address, error)) from None
    url, password = address.url.removeprefix("adbc+"), address.password()
    if password is not None:
        from sqlalchemy import make_url

        url = make_url(url).set(password=password).render_as_string(hide_password=False)
    try:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            if name == "postgresql":
                cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(address.query)
            yield from _batches(cursor.fetch_record_batch())
    except dbapi.Error as error:
        raise unreadable(address, error) from None


def _batches(reader: Any) -> Iterator["pa.Table"]:
    """Decimals become the nearest doubles; a type that only a database knows becomes what it is stored as."""
    import pyarrow as pa

    empty = True
    for batch in reader:
        empty = False
        table = pa.Table.from_batches([batch])
        for place, kind in enumerate(table.schema.types):
            if pa.types.is_decimal(kind) or isinstance(kind, pa.BaseExtensionType):
                values = table.column(place).to_pylist()
                if getattr(kind, "type_name", "") == "numeric":  # ADBC's way to hand over PostgreSQL's numbers
                    values = [None if value is None else Decimal(value) for value in values]
                table = table.set_column(place, table.column_names[place], _column(values))
        yield table
    if empty:
        yield pa.Table.from_arrays([pa.nulls(0)] * len(reader.schema), names=reader.schema.names)


class _Kept:
    """Tables on their way into one Parquet file; a column that has no value in the first of them has no type there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[Path] = []
        self._writer: Any = None

    def add(self, table: "pa.Table") -> None:
        """Append rows; they begin another part where their types are not those of the part before."""
        from pyarrow import parquet

        if self._writer is None or self._writer.schema != table.schema:
            self._close()
            self._parts.append(self._folder / f"part-{len(self._parts)}.parquet")
            self._writer = parquet.ParquetWriter(self._parts[-1], table.schema)
        self._writer.write_table(table)

    def as_one(self, path: Path) -> Path:
        """All rows in one file."""
        import pyarrow as pa
        from pyarrow import parquet

        self._close()
        if len(self._parts) == 1:
            return self._parts[0].rename(path)
        files = [parquet.ParquetFile(part, pre_buffer=False) for part in self._parts]
        schema = _common([file.schema_arrow for file in files])
        with parquet.ParquetWriter(path, schema) as writer:
            for file, part in zip(files, self._parts, strict=True):
                for batch in file.iter_batches(batch_size=ROWS):
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))
                part.unlink()
        return path

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _common(schemas: "Iterable[pa.Schema]") -> "pa.Schema":
    """Types that hold every value: of several kinds that have nothing in common, text."""
    import pyarrow as pa

    first, *others = schemas
    common = first
    for schema in others:
        fields = []
        for one, other in zip(common, schema, strict=True):
            try:
                fields.append(pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive")[0])
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                fields.append(pa.field(one.name, pa.string()))
        common = pa.schema(fields)
    return common


# --------------------------------------------------------------------------- what can be wrong


def unreadable(address: Address, error: Exception) -> RiskloopError:
    """What a driver or a store said, as one of ours; it never holds the password."""
    cause = getattr(error, "orig", None) or error
    said = first_line(cause)
    if isinstance(address, DatabaseAddress) and type(cause).__name__ in _QUERIES:
        return DataError(f"{address} cannot be asked: {said}.")
    verb = "read" if isinstance(address, StoreAddress) else "asked"
    return StorageError(f"{address} cannot be {verb}: {said}. Check the address, the rights and the network.")


# Drivers agree on the names of PEP 249: these say that the query is wrong, and no network mends that.
_QUERIES: Final = ("ProgrammingError", "UndefinedTable", "UndefinedColumn", "SyntaxError", "CatalogException",
                   "BinderException", "ParserException", "InsufficientPrivilege", "ReadOnlySqlTransaction")  # fmt: skip


def first_line(error: BaseException) -> str:
    """Of what an error says, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(". ")


_EXTRAS: Final = {"postgresql+psycopg": "riskloop[postgres]", "duckdb": "riskloop[duckdb]"}


def _without_driver(address: DatabaseAddress, error: Exception) -> str:
    name = address.scheme.removeprefix("adbc+")
    package = f"adbc-driver-{name}" if address.scheme.startswith("adbc+") else _EXTRAS.get(address.scheme, "its driver")
    how = f"pip install '{package}'" if package != "its driver" else "install its driver for SQLAlchemy"
    return f"{address.scheme}:// cannot be used ({first_line(error)}); {how}."
