"""The seam between riskloop and its database. Everything else in `store/` is written once, in SQLAlchemy Core.

An adapter hides how its database locks and keeps the time; callers rely on these promises only:

- `read` sees one moment: what others commit meanwhile is not seen.
- `write` is durable when its block ends, and undone when the block raises. Writers may run side by side. Who must keep
  others out takes or locks a counter (`counters`); who swaps relies on a constraint. What was noted for the chain
  (`chain`) is linked when the block ends.
- `now` is one clock for every machine that uses the database.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, Final

from sqlalchemy import Connection, Engine, Table, insert
from sqlalchemy.exc import DBAPIError

from riskloop.core.addresses import without_options
from riskloop.core.errors import NotFound, StorageError
from riskloop.core.types import Ints
from riskloop.store import chain
from riskloop.store.appender import Appender

SETTINGS: Final = "riskloop.settings"  # under which a writing connection knows it
FILLED: Final = 10_000  # rows that are inserted at a time: as objects they take several times the memory
BUSY_SECONDS = 10.0  # that long a writer waits for another one


class Database(ABC):
    """An engine with `read` and `write` blocks; every failure of the database leaves as a StorageError."""

    scheme: ClassVar[str]  # with which its URLs begin
    engine: Engine
    settings: str | None = None  # fingerprint of what its writers go by; it goes into the audit trail
    _stop_examining: Callable[[], object] | None = None

    @property
    def name(self) -> str:
        """What messages call it: the URL without its password."""
        return without_options(self.engine.url.render_as_string(hide_password=True))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading one moment; its transaction is rolled back at the end."""
        with self._translated(), self._reading() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: committed durably when the block ends, rolled back when it raises."""
        ended = False
        try:
            with self._translated(), self._writing() as connection, connection.begin():
                chain.forget(connection)
                connection.info[SETTINGS] = self.settings
                yield connection
                chain.seal(connection, self.now)
                ended = True
        except StorageError as error:
            if ended and isinstance(cause := error.__cause__, DBAPIError) and cause.connection_invalidated:
                raise StorageError(
                    f"The connection to {self.name} broke while it committed, so nobody knows whether this was "
                    "written. Look before you repeat it."
                ) from cause
            raise

    @abstractmethod
    def now(self, connection: Connection) -> int:
        """The database's clock, in microseconds."""

    @abstractmethod
    def alone(self, connection: Connection) -> None:
        """Let one migration run at a time: a second one waits here until the first one's transaction ends."""

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigError when this database cannot keep a portfolio, whatever it is asked."""

    def trouble(self) -> str | None:
        """Why what is written now may never be read again; None when nothing speaks for that. Cheap: asked each second.

        Whatever was opened of it is let go of, so that it can be opened anew when it is right again.
        """
        return None

    @abstractmethod
    def examine(self) -> str | None:
        """What the database's own check of its pages finds damaged; None when it finds nothing. It may take minutes.

        Raises StorageError when it cannot be checked now.
        """

    def stop_examining(self) -> None:
        """Break off a check that runs in another thread; `examine` then raises StorageError."""
        stop, self._stop_examining = self._stop_examining, None
        if stop is not None:
            stop()

    @abstractmethod
    def appender(self, *, waits: bool = True, checkpoints: bool = True) -> Appender:
        """A connection of its own that appends decisions; see :class:`Appender`."""

    def fill(self, connection: Connection, table: Table, columns: Mapping[str, Ints]) -> None:
        """Insert many rows of whole numbers, given column by column, each (n,)."""
        for start in range(0, len(next(iter(columns.values()))), FILLED):
            part = [values[start : start + FILLED].tolist() for values in columns.values()]
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*part, strict=True)]
            connection.execute(insert(table), rows)

    def continue_numbers(self, connection: Connection) -> None:  # noqa: B027 - nothing to do unless a database says so
        """After rows were written with their keys: keys that the database gives itself go on behind the last one."""

    def close(self) -> None:
        """Return every pooled connection."""
        self.engine.dispose()

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """A connection whose transaction reads one moment."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Connection]:
        """A connection that may write."""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, OverflowError) as error:
            if isinstance(error, OverflowError) or self._too_large(error):
                raise NotFound("This number is too large: decisions, versions and cases are counted from 1.") from None
            raise StorageError(
                f"The database {self.name} refused: {_first_line(error)}. Nothing was written; it can be tried again."
            ) from error

    def _too_large(self, error: DBAPIError) -> bool:
        """Whether a person's number went beyond the 64 bits of the database's own."""
        return False


def _first_line(error: DBAPIError) -> str:
    """What the driver says, without the statement and its position."""
    return str(error.orig).partition("\n")[0].rstrip(".")
