import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from riskloop.core.errors import StorageError
from riskloop.store.database import Database


def made(path: Path, word: str) -> Database:
    database = Database(f"sqlite:///{path}")
    with database.write() as connection:
        connection.execute(text("CREATE TABLE words (word TEXT)"))
        connection.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})
    return database


def words(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(text("SELECT word FROM words")).scalars())


def test_a_replaced_file_is_read_and_written_anew(tmp_path: Path) -> None:
    database, other = made(tmp_path / "a.db", "old"), made(tmp_path / "b.db", "backup")
    assert words(database) == ["old"]
    other.close()
    for name in ("a.db", "a.db-wal", "a.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "b.db").rename(tmp_path / "a.db")
    assert words(database) == ["backup"]
    with database.write() as connection:
        connection.execute(text("INSERT INTO words VALUES ('new')"))
    with sqlite3.connect(tmp_path / "a.db") as again:
        assert again.execute("SELECT word FROM words").fetchall() == [("backup",), ("new",)]
    again.close()
    database.close()


def test_a_file_that_is_gone_is_said_and_not_born_again(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db", "old")
    (tmp_path / "a.db").rename(tmp_path / "moved.db")
    with pytest.raises(StorageError, match="the database file is gone"):
        words(database)
    assert not (tmp_path / "a.db").exists()
    (tmp_path / "moved.db").rename(tmp_path / "a.db")
    assert words(database) == ["old"]
    database.close()
