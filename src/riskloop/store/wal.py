"""The three files of a SQLite database: itself, its write-ahead log, and the index of the log that processes share.

An open file can be deleted or replaced, and whoever has it open would not notice: commits would go into a log that
nobody will ever read. So each transaction asks whether the files are still those that this process opened. If not,
everything is let go of before anything is opened again, because all connections of a process share one index.
"""

import fcntl
import os
import sqlite3
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

Identity = tuple[int, int]
PARTS: Final = {"": "database file", "-wal": "write-ahead log", "-shm": "index of the write-ahead log"}

_HEADER: Final = 32  # bytes; two of its numbers are drawn anew whenever a log begins
# Of SQLite's file format, "The WAL-Index File Format" and "The WAL File Format": whoever has the index open holds a
# shared lock on this byte of it; the index begins with a header of this size, twice; a frame with one of that size.
_SHARED, _INDEX_HEADER, _FRAME_HEADER = 128, 48, 24


def identity(path: str | Path) -> Identity | None:
    """What tells a file from another one that has taken its place; None when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - on the path of every commit
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _beginning(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return file.read(_HEADER)
    except OSError:
        return None


class FilesChanged(sqlite3.OperationalError):
    """One of the files is not the one that this process works on."""


class OpenFiles:
    """Which files this process works on: known with its first connection, forgotten with its last."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._paths = [f"{path}{suffix}" for suffix in PARTS]
        self._connect = connect
        self._lock = threading.Lock()
        self._known: list[Identity | None] | None = None
        self._log: int | None = None  # the log that belongs to them, to compare with
        self._open: set[int] = set()  # connections, by their identity
        self._unsettled = False  # the log was lost, and no new one has begun yet
        self._former: bytes | None = None  # how the lost log began
        self._lost: deque[str] = deque(maxlen=1)  # what happened to a file, until somebody asked; threads share it

    def changed(self) -> str | None:
        """What happened to a file, None when all are there."""
        known = self._known
        if known is None:
            return None
        for path, name, before in zip(self._paths, PARTS.values(), known, strict=True):
            now = identity(path)
            if now != before:
                self._unsettled = True
                problem = f"the {name} {'is gone' if now is None else 'was replaced'}"
                self._lost.append(problem)
                return problem
        return None

    def lost(self) -> str | None:
        """What happened to a file since this was asked last, although it may be right again."""
        self.changed()
        try:
            return self._lost.pop()
        except IndexError:
            return None

    def require(self) -> None:
        """Raise FilesChanged when a file is not the one that was opened."""
        problem = self.changed()
        if problem is not None:
            raise FilesChanged(problem)

    def before_opening(self) -> None:
        """Raise FilesChanged while a connection to other files is open, or others still read a lost log."""
        with self._lock:
            self.require()
            if identity(self._paths[0]) is None:
                raise FilesChanged("the database file is gone")
            if self._unsettled and not self._open:
                self._settle()

    def opened(self, connection: object) -> None:
        """A connection was made, and has read something: now the log and its index are there, too."""
        with self._lock:
            self._open.add(id(connection))
            if self._known is None:
                self._known = [identity(path) for path in self._paths]
                self._log = os.open(self._paths[1], os.O_RDONLY | os.O_CLOEXEC)  # no lock is ever taken on this file

    def closed(self, connection: object) -> None:
        """A connection was closed; one that never came to be opened is not counted."""
        with self._lock:
            if id(connection) not in self._open:
                return
            self._open.remove(id(connection))
            if not self._open and self._log is not None:
                self._former = os.pread(self._log, _HEADER, 0)
                os.close(self._log)
                self._known = self._log = None

    def rescue(self, connection: sqlite3.Connection) -> bool:
        """Move what a lost log holds into the database, through a connection that has it open; False if impossible.

        Only as long as nobody has begun another log in its place: then the index is about that one.
        """
        known, log = self._known, self._log
        if known is None or log is None or identity(self._paths[1]) == known[1]:
            return False  # nothing happened to the log
        with self._alone():
            if _beginning(self._paths[1]) not in (None, os.pread(log, _HEADER, 0)):
                return False
            try:
                _busy, held, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.Error:
                return False
        return bool(held == moved)

    def _settle(self) -> None:
        """Begin a new log, as the only one who has the index open: then SQLite makes the index anew from the log.

        While another process works on the log that was lost, the index is about that one. A checkpoint would take what
        lies in the present log at the same places for its pages, and write them into the database. Where others have
        begun a new log already, the index agrees with it; a copy of the lost log is none.
        """
        with self._alone():
            if self._shared():
                if _beginning(self._paths[1]) == self._former or not self._agree():
                    raise FilesChanged("other processes still use a write-ahead log that is gone; stop and start them")
                self._unsettled = False
                return
            missing = identity(self._paths[1]) is None
            try:
                with closing(self._connect()) as connection:
                    busy, _held, _moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise FilesChanged("other processes still use a write-ahead log that is gone; stop and start them")
            except sqlite3.Error:
                if missing:  # whoever has the old one takes an empty one for a sign that it was given up
                    Path(self._paths[1]).unlink(missing_ok=True)
                raise
        self._unsettled = False

    def _shared(self) -> bool:
        """Whether another process has the index open. This one has not, or its locks would be gone afterwards."""
        try:
            index = os.open(self._paths[2], os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _SHARED)
        except OSError:
            return True
        finally:
            os.close(index)
        return False

    def _agree(self) -> bool:
        """Whether the last frame of which the index knows lies in the log; the log is written first."""
        try:
            with open(self._paths[2], "rb") as index, open(self._paths[1], "rb") as log:  # noqa: PTH123 - as above
                known = index.read(_INDEX_HEADER)
                if len(known) < _INDEX_HEADER or known != index.read(_INDEX_HEADER):
                    return False
                size, last = struct.unpack_from("=HI", known, 14)
                sums, salts = struct.unpack_from("=II", known, 24), known[32:40]
                if last == 0:
                    return log.read(_HEADER)[16:24] in (b"", salts)
                log.seek(_HEADER + (last - 1) * ((65_536 if size == 1 else size) + _FRAME_HEADER))
                frame = log.read(_FRAME_HEADER)
        except OSError:
            return False
        return len(frame) == _FRAME_HEADER and frame[8:16] == salts and struct.unpack(">II", frame[16:]) == sums

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process saves a lost log, or begins a new one, meanwhile."""
        folder = os.open(Path(self._paths[0]).parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
