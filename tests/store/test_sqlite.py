"""What only SQLite has: a file that can be moved, filled up, locked as a whole, and read by others."""

import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from riskloop.core.errors import ConfigError, StorageError
from riskloop.core.manifest import Manifest
from riskloop.store.adapters import open_database
from riskloop.store.appender import Logged
from riskloop.store.artefacts import Artefacts
from riskloop.store.decisions import DecisionLog
from riskloop.store.home import Home
from riskloop.store.migrations import upgrade
from riskloop.store.sqlite import Sqlite, SqliteAppender, file_system

from .rows import scored


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Sqlite]:
    database = Sqlite(tmp_path / "riskloop.db")
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def log(database: Sqlite) -> DecisionLog:
    return DecisionLog(database)


@pytest.fixture
def appender(database: Sqlite) -> Iterator[SqliteAppender]:
    appender = database.appender(waits=False, checkpoints=False)
    yield appender
    appender.close()


def made(path: Path, word: str) -> Sqlite:
    database = Sqlite(path)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE words (word TEXT)"))
        connection.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})
    return database


def words(database: Sqlite) -> list[str]:
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


def test_a_locked_log_is_told_apart_from_a_broken_one(database: Sqlite, appender: SqliteAppender) -> None:
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert appender.append([scored(1)]) is None
    other.execute("ROLLBACK")
    other.close()
    assert appender.append([scored(1)]) == [Logged(1, 1)]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_refuses_and_heals(database: Sqlite, appender: SqliteAppender) -> None:
    appender.append([scored(10)])
    with file_size_limit(100_000), pytest.raises(StorageError, match="Nothing was logged"):
        appender.append([scored(2000, width=23)])
    assert DecisionLog(database).count() == 10
    assert appender.append([scored(1)]) == [Logged(11, 1)]


def test_a_log_that_was_moved_away_refuses_and_is_not_born_again(database: Sqlite, appender: SqliteAppender) -> None:
    appender.append([scored(1)])
    path = database.path
    path.rename(path.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(StorageError):
            appender.append([scored(1)])
    assert not path.exists()
    path.with_suffix(".away").rename(path)
    assert appender.append([scored(1)]) is not None


def test_the_write_ahead_log_begins_anew(database: Sqlite, appender: SqliteAppender) -> None:
    wal = Path(f"{database.path}-wal")
    appender.append([scored(2000, width=23)])
    size = wal.stat().st_size
    for k in range(5):
        assert appender.checkpoint() > 0
        appender.checkpoint(restart=True)
        appender.append([scored(2000, width=23, start=k)])
    assert wal.stat().st_size < 2 * size


ODD = [
    "a b",
    "a%20b",
    "a?b",
    "a?mode=memory",
    "a#b",
    "a&b=c",
    "a%3Fb",
    "büro",
    "a:b",
    "it's",
    '"q"',
    "[a]",
    ":memory:",
    "file:a",
    "@",
]


@pytest.mark.parametrize("name", ODD)
def test_a_folders_name_means_nothing(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "riskloop.toml").write_text('[portfolio]\ntarget = "bad"\n[features.debt]\n')
    for opened in (folder, folder / "riskloop.toml"):
        home = Home.open(opened)
        home.decisions.append(scored(1))
        home.close()
    home = Home.open(folder)
    assert home.decisions.count() == 2
    home.close()
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {f"{name}/riskloop.toml", f"{name}/riskloop.db"}


@pytest.mark.parametrize("name", ODD)
def test_a_path_in_the_url_is_taken_as_it_is_written(tmp_path: Path, name: str) -> None:
    database = open_database(f"sqlite:///{name}/x.db", tmp_path)
    upgrade(database)
    database.close()
    assert (tmp_path / name / "x.db").stat().st_size > 0


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_whatever_the_umask_only_the_owner_can_read(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "deep" / "er" / "riskloop.db")
    upgrade(database)
    log = DecisionLog(database)
    log.append(scored(1))
    Artefacts(tmp_path / "some" / "models").write(Manifest(), {"a.json": b"{}"})
    with database.read():
        made = list(tmp_path.rglob("*"))
        assert {path.name for path in made} >= {"riskloop.db", "riskloop.db-wal", "riskloop.db-shm", "er", "models"}
        for path in made:
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o077 == 0, f"{path} is {mode:o}"
            assert mode & 0o600 == 0o600, f"{path} is {mode:o}"
    database.close()


MOUNTS = "/dev/sda1 / ext4 rw 0 0\nserver:/bank /mnt/bank nfs4 rw 0 0\nd /mnt/my\\040bank/local xfs rw 0 0\n"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/home/a.db", "ext4"), ("/mnt/bank/a.db", "nfs4"), ("/mnt/banks/a.db", "ext4"), ("/mnt/my bank/local/a", "xfs")],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskloop.store.sqlite.file_system", lambda *_: "nfs4")
    with pytest.raises(ConfigError, match="several machines would damage it"):
        open_database("sqlite:///a.db", tmp_path)


def test_every_commit_is_synchronised(database: Sqlite) -> None:
    with database.read() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_file_that_is_no_database_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    with pytest.raises(StorageError, match="not a database"):
        upgrade(Sqlite(tmp_path / "x.db"))


# --------------------------------------------------------------------------- where nothing may be written

_LOOK = """
import sys
from pathlib import Path
from sqlalchemy import text
from riskloop.core.errors import StorageError
from riskloop.store.migrations import upgrade
from riskloop.store.sqlite import Sqlite

database = Sqlite(Path(sys.argv[1]))
upgrade(database)
with database.read() as connection:
    print(connection.execute(text("SELECT count(*) FROM promotions")).scalar())
try:
    with database.write() as connection:
        print("written")
except StorageError as error:
    print(error.message)
"""


def _without_rights_of_root() -> None:
    import ctypes

    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root obeys the modes of files, too
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="drops the rights of root as Linux has them")
@pytest.mark.parametrize("running", [False, True])
def test_a_database_that_may_only_be_read_is_read(running: bool, tmp_path: Path) -> None:
    folder = tmp_path / "a %20? folder"
    path = folder / "riskloop.db"
    database = Sqlite(path)
    upgrade(database)
    if not running:
        database.engine.dispose()
        assert not Path(f"{path}-wal").exists()
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK, str(path)],
            capture_output=True, text=True, check=False, preexec_fn=_without_rights_of_root,
        )  # fmt: skip
    finally:
        folder.chmod(0o700)
    assert done.stderr == ""
    count, refused = done.stdout.splitlines()
    assert count == "0"
    assert refused == (
        f"The database {path} may not be written here, only read; give this user the right to write the file and its "
        "folder, or run the command where they may be written."
    )
    database.engine.dispose()


OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint=0")
print(connection.execute("SELECT count(*) FROM words").fetchone()[0], flush=True)
for line in sys.stdin:
    connection.execute("INSERT INTO words SELECT hex(randomblob(500)) FROM pragma_function_list LIMIT ?", (int(line),))
    print("written", flush=True)
"""


def test_a_log_that_others_still_use_is_not_begun_anew_until_they_let_go(tmp_path: Path) -> None:
    """Their index is about the log that was replaced: a checkpoint by it would write wrong pages into the database."""
    database = made(tmp_path / "riskloop.db", "first")
    log = tmp_path / "riskloop.db-wal"
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(database.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def write(count: int) -> None:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write(f"{count}\n")
            other.stdin.flush()
            assert other.stdout.readline() == "written\n"

        assert other.stdout.readline() == "1\n"
        write(100)
        copy = log.with_suffix(".copy")
        copy.write_bytes(log.read_bytes())
        copy.replace(log)
        assert "was replaced" in str(database.trouble())
        assert "other processes still use" in str(database.trouble())  # the copy is whole, but they work on the other
        write(20)  # it begins its own log again from the front, and nobody told it
        for _ in range(3):
            assert "other processes still use" in str(database.trouble())
    assert database.trouble() is None
    assert database.examine() is None
    assert len(words(database)) >= 101
    database.close()


@pytest.mark.parametrize("others", [0, 1])
def test_an_older_copy_of_the_log_takes_nothing_back(
    database: Sqlite, appender: SqliteAppender, log: DecisionLog, others: int
) -> None:
    """What was committed after the copy was made is saved from the log that it replaced; the copy is not replayed."""
    command = [sys.executable, "-c", OTHER.replace("words", "decisions"), str(database.path)]
    appender.append([scored(3)])
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(others)
    ]
    for other in running:
        assert other.stdout is not None
        assert other.stdout.readline() == "3\n"
    path = Path(f"{database.path}-wal")
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    for _ in range(5):
        appender.append([scored(4)])
    copy.replace(path)
    assert "was replaced" in str(database.trouble())
    for other in running:
        other.communicate("")
    assert database.trouble() is None
    assert database.examine() is None
    assert log.count() == 23


def test_after_damage_no_file_stays_open(database: Sqlite, appender: SqliteAppender) -> None:
    appender.append([scored(3)])
    appender.close()
    database.close()
    with closing(sqlite3.connect(database.path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'decisions_time'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    whole = database.path.read_bytes()
    database.path.write_bytes(whole[: (page - 1) * size] + os.urandom(size) + whole[page * size :])
    assert "is damaged" in str(database.examine())
    opened = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}  # noqa: PTH208
    assert not {path for path in opened if path.startswith(str(database.path))}
    database.path.write_bytes(whole)
    assert database.examine() is None
