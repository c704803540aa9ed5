"""Where rows lie beside files: in an object store, or behind a query of a database. One text wherever a file is named.

    s3://bucket/history.parquet          gs://…, abfs://…; a key, a folder that ends in /, or a pattern
    postgresql+psycopg://risk@db/lake SELECT * FROM customers       any database of SQLAlchemy
    adbc+postgresql://risk@db/lake customers                        the same through ADBC; a table's name is enough
    duckdb:///data/lake.duckdb SELECT …                             DuckDB; `duckdb://` alone reads files

An address holds no password: it is written into configurations, shells' histories and messages. The password comes from
the environment (`?password_env=NAME`), a file (`?password_file=/run/secrets/lake`), or the driver's own way.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from riskloop.core.addresses import secret_in
from riskloop.core.errors import ConfigError

STORES: Final = ("s3", "gs", "gcs", "abfs", "abfss")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)://")
_QUERY: Final = re.compile(r"\s*\(*\s*(?:select|with|from|values|table)\s", re.IGNORECASE)
_TABLE: Final = re.compile(r'(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+)){0,2}')
_SHOWN: Final = 60  # characters of a query in messages


@dataclass(frozen=True)
class StoreAddress:
    """One object, or several, of an object store."""

    url: str  # as `pyarrow.fs` reads it

    def __str__(self) -> str:
        return self.url.partition("?")[0]


@dataclass(frozen=True)
class DatabaseAddress:
    """A query, or a table, of a database."""

    url: str  # without a password, and without what says where it is
    asked: str  # a query, or a table's name
    password_env: str | None = None
    password_file: str | None = None

    def __str__(self) -> str:
        text = " ".join(self.asked.split())
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        return f"{self.url.partition('?')[0]} {shown}"

    @property
    def scheme(self) -> str:
        """Which driver it is for."""
        return self.url.partition(":")[0]

    @property
    def is_query(self) -> bool:
        """A query can be read only; rows can be written to a table."""
        return _QUERY.match(f"{self.asked} ") is not None

    @property
    def query(self) -> str:
        """What is asked of the database."""
        return self.asked if self.is_query else f"SELECT * FROM {self.asked}"

    def password(self, environ: Mapping[str, str] | None = None) -> str | None:
        """None where the driver finds it by itself. Raises ConfigError when it is not where the address says."""
        environ = os.environ if environ is None else environ
        if self.password_env is not None:
            if not environ.get(self.password_env):
                raise ConfigError(f"{self} needs its password in the environment as {self.password_env}.")
            return environ[self.password_env]
        if self.password_file is None:
            return None
        try:
            return Path(self.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "is not UTF-8"
            raise ConfigError(f"{self} needs its password in {self.password_file}: {why}.") from None


Address = StoreAddress | DatabaseAddress


def address_of(source: Any) -> Address | None:
    """What a text names that is no file of this machine; None for a path, and for everything that is no text.

    Raises ConfigError for an address that nobody can read, and for one that holds a password.
    """
    found = _SCHEME.match(source) if isinstance(source, str) else None
    if found is None:
        return None
    url, *rest = source.strip().split(maxsplit=1)
    asked = "".join(rest)
    scheme = found[1].lower()
    if (place := secret_in(source.strip())) is not None:
        held = {"user": "a password or a key", "query": "a password in its query"}.get(
            place, f"a password in '{place}'"
        )
        raise ConfigError(
            f"The address {scheme}://… holds {held}, which would be seen in configurations and messages. "
            + (
                "Leave it out: the store's own environment variables or profiles say who asks."
                if scheme in STORES
                else "Write ?password_env=NAME or ?password_file=PATH behind it instead."
            )
        )
    if scheme in STORES:
        return StoreAddress(source.strip())
    if scheme.startswith(("http", "ftp", "file")):
        raise ConfigError(
            f"{scheme}:// is no address that riskloop reads: name a file, {', '.join(f'{s}://' for s in STORES)} or "
            "a database with a query."
        )
    return _database(url, asked)


def short_name(source: str | Path) -> str:
    """What a file, an object or a table is called, without where it lies."""
    address = address_of(source)
    if isinstance(address, DatabaseAddress):
        named = re.search(r"\bfrom\s+([\w.]+)", address.query, re.IGNORECASE)
        return named[1].rpartition(".")[2] if named else "query"
    return Path(str(address or source).rstrip("/")).name


def _database(url: str, asked: str) -> DatabaseAddress:
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    env, file = options.pop("password_env", None), options.pop("password_file", None)
    kept = "&".join(part for part in query.split("&") if part.partition("=")[0] in options)
    found = DatabaseAddress(base + (f"?{kept}" if kept else ""), asked.rstrip("; \n"), env, file)
    if not asked:
        raise ConfigError(f"{found}needs a query or a table behind the database, such as '{found}SELECT * FROM loans'.")
    if not found.is_query and not _TABLE.fullmatch(found.asked):
        raise ConfigError(f"'{found.asked[:_SHOWN]}' is neither a table's name nor a query that begins with SELECT.")
    if re.match(r"sqlite[^:]*:///[^/]", base):
        raise ConfigError(
            f"{base} names a file by a relative path; write the whole one, as in sqlite:////data/lake.db."
        )
    return found
