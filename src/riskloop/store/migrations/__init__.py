"""Alembic migrations, run from inside the package so that no alembic.ini has to exist on the machine."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from riskloop.core.errors import StorageError
from riskloop.store.database import Database

HEAD: Final = "0020"  # the newest file in versions/; a test holds the two together


def upgrade(database: Database) -> str | None:
    """Bring the database to HEAD; returns the revision that it was at, None for an empty one.

    A second process waits for the first and then finds nothing to do.
    """
    with database.read() as connection:
        found = revision(connection)
    if found == HEAD:
        return found
    with database.write() as connection:
        database.alone(connection)
        found = revision(connection)
        if found != HEAD:
            run(connection, HEAD)
    return found


def revision(connection: Connection) -> str | None:
    """The revision that the database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


def run(connection: Connection, target: str) -> None:
    """Bring the database up to the revision ``target`` in the caller's transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    found = revision(connection)
    try:
        if found is not None:
            ScriptDirectory.from_config(config).get_revision(found)
        command.upgrade(config, target)
    except CommandError:
        raise StorageError(
            f"The database is at revision '{found}', which this version of riskloop does not know; "
            "it was written by a newer one. Install that version or restore a backup."
        ) from None
