"""Which database a `storage.url` means."""

from pathlib import Path
from typing import Final

from riskloop.core.errors import ConfigError
from riskloop.store.database import Database
from riskloop.store.sqlite import Sqlite


def _sqlite(url: str, folder: Path) -> Database:
    # What follows is the path as it is written: no character of a folder's name has a meaning of its own.
    return Sqlite((folder / url.removeprefix(Sqlite.scheme)).absolute())


ADAPTERS: Final = {Sqlite.scheme: _sqlite}  # by how their URLs begin
SCHEMES: Final = " or ".join(ADAPTERS)


def open_database(url: str, folder: Path) -> Database:
    """The database of a `storage.url`; a relative SQLite path starts at ``folder``.

    Raises ConfigError when it cannot keep a portfolio, StorageError when it does not answer.
    """
    for scheme, connect in ADAPTERS.items():
        if url.startswith(scheme):
            database = connect(url, folder)
            database.check()
            return database
    raise ConfigError(f"riskloop does not know the database of [storage] url = '{url}'; begin it with {SCHEMES}.")
