from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from tests.conftest import dumped

from riskloop.core.errors import StorageError
from riskloop.core.span import Span
from riskloop.store import counters, migrations
from riskloop.store.appender import Logged
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.migrations import upgrade
from riskloop.store.sqlite import Sqlite
from riskloop.store.tables import metadata, models, outcomes
from riskloop.store.windows import Windows

from .rows import scored


def test_migrated_database_equals_the_tables(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_head_is_the_newest_file() -> None:
    files = sorted(Path(migrations.__file__).parent.glob("versions/[0-9]*.py"))
    assert files[-1].name.startswith(migrations.HEAD)


def test_new_databases_of_these_tests_are_what_the_migrations_make(tmp_path: Path) -> None:
    """Most of them are copied from the first; see `migrated_once`."""
    contents = []
    for number, steps in enumerate([(migrations.HEAD,), (migrations.HEAD,), ("0001", migrations.HEAD)]):
        database = Sqlite(tmp_path / f"{number}.db")
        for target in steps:
            with database.write() as connection:
                migrations.run(connection, target)
        with database.read() as connection:
            contents.append(sorted(dumped(connection)))
        database.close()
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) > 40


def test_migrating_twice_changes_nothing(database: Database) -> None:
    upgrade(database)
    with database.read() as connection:
        assert migrations.revision(connection) == migrations.HEAD


def test_a_newer_database_is_refused_with_a_sentence(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="written by a newer one"):
        upgrade(database)


def test_windows_of_an_older_database_know_whether_they_were_counted(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "old.db")
    with database.write() as connection:
        migrations.run(connection, "0001")
        for number, name in enumerate(("2025-01", "#2"), start=1):
            values = f"({number}, '{name}', 0, 1, 1, 5, 5, 1, 1, 'stable', 0, 'none', '', '[]', x'00', 0)"
            connection.execute(
                text(
                    "INSERT INTO windows (id, name, first_time, end_time, first_id, last_id, rows, model_version, "
                    "closed_at, diagnosis, confirmed, action, sentence, rungs, profile, quarantined) VALUES " + values
                )
            )
    upgrade(database)
    assert [window.span for window in Windows(database).latest()] == [Span(start=0, end=1), Span(1, 5)]
    database.close()


def test_numbers_go_on_where_an_older_database_stopped(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "old.db")
    with database.write() as connection:
        migrations.run(connection, "0002")
        for number in (1, 2, 3):
            connection.execute(text(f"INSERT INTO decisions VALUES ({number}, '', 1, 1, 1, 0.5, 0, x'00', NULL)"))
        connection.execute(text("INSERT INTO outcomes VALUES (7, 1, 0, 1, 1)"))
    upgrade(database)
    assert DecisionLog(database).append(scored(2)) == Logged(4, 2)
    with database.write() as connection:
        assert [counters.take(connection, table) for table in (models, outcomes)] == [1, 8]
    database.close()
