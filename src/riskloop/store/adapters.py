"""Which database a `storage.url` means."""

from pathlib import Path
from typing import Final

from riskloop.core.errors import ConfigError, NotFound
from riskloop.store.database import Database
from riskloop.store.sqlite import Sqlite


def _sqlite(url: str, folder: Path, make: bool) -> Database:
    # What follows is the path as it is written: no character of a folder's name has a meaning of its own.
    path = (folder / url.removeprefix(Sqlite.scheme)).absolute()
    if not make and not path.is_file():
        raise NotFound(f"There is no database {path}.")
    return Sqlite(path)


def _postgres(url: str, _folder: Path, _make: bool) -> Database:
    try:
        from riskloop.store.postgres import Postgres
    except ImportError as error:
        raise ConfigError(
            f"PostgreSQL needs its driver ({error}); install it with `pip install 'riskloop[postgres]'`."
        ) from None
    return Postgres(url)


ADAPTERS: Final = {"sqlite:///": _sqlite, "postgresql+psycopg://": _postgres}  # by how their URLs begin


def open_database(url: str, folder: Path, *, make: bool = True) -> Database:
    """The database of a `storage.url`; a relative SQLite path starts at ``folder``.

    A SQLite file that is not there yet is made, or NotFound without ``make``.
    Raises ConfigError when it cannot keep a portfolio, StorageError when it does not answer.
    """
    for scheme, connect in ADAPTERS.items():
        if url.startswith(scheme):
            database = connect(url, folder, make)
            database.check()
            return database
    # Only its beginning is shown: the rest may hold a password.
    raise ConfigError(
        f"[storage] url begins with '{url.partition(':')[0][:40]}:', which is no database that riskloop knows; it must "
        f"begin with {' or '.join(ADAPTERS)}."
    )
