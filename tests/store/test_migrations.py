from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from riskloop.core.errors import StorageError
from riskloop.store import migrations
from riskloop.store.database import Database
from riskloop.store.tables import metadata


def test_migrated_database_equals_the_tables(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_head_is_the_newest_file() -> None:
    files = sorted(Path(migrations.__file__).parent.glob("versions/[0-9]*.py"))
    assert files[-1].name.startswith(migrations.HEAD)


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()
    with database.read() as connection:
        assert migrations.revision(connection) == migrations.HEAD


def test_a_newer_database_is_refused_with_a_sentence(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="written by a newer one"):
        database.migrate()


def test_every_commit_is_synchronised(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_file_that_is_no_database_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    with pytest.raises(StorageError, match="not a database"):
        Database(f"sqlite:///{tmp_path}/x.db").migrate()
