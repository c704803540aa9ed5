"""Decisions as immutable Parquet files, named by the hash of their bytes, in a folder or an object store.

Whoever scores many customers writes such files; only what `segments` has registered is in the log. Light on purpose:
the workers of an engine import it without a database.

A file has one row for each decision, in the order of their ids: `customer_id`, `time` (microseconds), `probability`,
`declined`, `flags` (JSON or null), and `features`, the vector that was scored, under the names of the schema.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from riskloop.core.errors import ArtefactError, ConfigError, StorageError
from riskloop.core.exploration import EXPLORED
from riskloop.core.types import Decisions, from_micros
from riskloop.store.files import FILE, make_folder

if TYPE_CHECKING:
    import pyarrow as pa

GROUP: Final = 50_000  # rows of a row group: what is read to get one decision
STAGING: Final = ".writing-"
OLD: Final = 86_400.0  # seconds; longer than any run takes
_NAME: Final = 32  # hex digits of the hash that name the file
_VERSION: Final = b"riskloop.segment"  # key of the format's number in the file's own metadata
_FORMAT: Final = b"1"
MARK: Final = {_VERSION: _FORMAT}  # metadata that every file of this format carries


@dataclass(frozen=True, slots=True)
class Written:
    """A file that holds decisions of one model; until it is registered it does not count."""

    path: str  # below the root
    sha256: str
    rows: int
    model_version: int
    scored_at: int  # microseconds
    first_time: int
    last_time: int
    declined: int
    explored: int
    total: float  # sum of the probabilities
    profile: bytes | None = None  # of `monitor.profile`, over the bins of the model that decided


class SegmentFiles:
    """The place below which segments lie: a folder, or `s3://…`, `gs://…`, `abfs://…` as `pyarrow.fs` names them."""

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self._verified: set[Any] = set()

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return "://" not in self.root

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system and the root in it."""
        import pyarrow as pa
        from pyarrow import fs

        if self.is_local:
            return fs.LocalFileSystem(), str(Path(self.root).absolute())
        try:
            found: tuple[Any, str] = fs.FileSystem.from_uri(self.root)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise ConfigError(f"[storage] segments = '{self.root}' cannot be used: {_line(error)}") from None
        return found

    def write(self, decisions: Decisions, names: Sequence[str], profile: bytes | None = None) -> Written:
        """Write one file; ``names`` are those of the features. The same decisions have the same file.

        Raises StorageError when the disk or the object store refuses; then nothing is left behind.
        """
        path, sha256 = self.keep(f"{from_micros(decisions.scored_at):%Y-%m-%d}", encode(decisions, names))
        times = np.asarray(decisions.times, dtype=np.int64)
        flags = decisions.flags or ()
        return Written(
            path=path,
            sha256=sha256,
            rows=len(decisions),
            model_version=decisions.model_version,
            scored_at=decisions.scored_at,
            first_time=int(times.min()),
            last_time=int(times.max()),
            declined=int(np.count_nonzero(decisions.defaults)),
            explored=sum(flag is not None and f'"{EXPLORED}"' in flag for flag in flags),
            total=float(decisions.probabilities.sum()),
            profile=profile,
        )

    def keep(self, folder: str, encoded: Any) -> tuple[str, str]:
        """Write the bytes of a file below a folder, under a name made of their hash; returns path and sha256.

        Raises StorageError when the disk or the object store refuses; then nothing is left behind.
        """
        content = memoryview(encoded)
        sha256 = hashlib.sha256(content).hexdigest()
        path = f"{folder}/{sha256[:_NAME]}.parquet"
        try:
            self._put(path, content)
        except OSError as error:
            raise StorageError(
                f"The decisions cannot be written to {self.root}: {error.strerror or _line(error)}. Nothing was "
                "logged; free space or rights, then run it again."
            ) from error
        return path, sha256

    def exists(self, path: str) -> bool:
        """Whether there is such a file, as far as its place can be reached."""
        system, root = self._place
        try:
            return bool(system.get_file_info(f"{root}/{path}").is_file)
        except OSError:
            return False

    def read(self, path: str, sha256: str, columns: Sequence[str] | None, rows: slice | None = None) -> "pa.Table":
        """Columns of a file (None: all), of a run of its rows if that is given.

        The hash is checked when a process reads a file for the first time. Raises ArtefactError when the file is
        missing or altered.
        """
        import pyarrow as pa
        from pyarrow import parquet

        system, root = self._place
        where = f"{root}/{path}"
        try:
            self._verify(system, where, sha256)
            with parquet.ParquetFile(system.open_input_file(where)) as file:
                return _rows(file, columns, rows)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(path, error) from None

    def check(self, path: str, sha256: str) -> None:
        """Hash a file again, whatever was known of it; ArtefactError when it is missing or altered."""
        self._verified.clear()
        system, root = self._place
        try:
            self._verify(system, f"{root}/{path}", sha256)
        except OSError as error:
            raise self._unreadable(path, error) from None

    def _unreadable(self, path: str, error: Exception) -> ArtefactError:
        return ArtefactError(
            f"The segment {self.root}/{path}, which holds decisions on record, cannot be read: {_line(error)} "
            "Restore it from a backup."
        )

    def copy_to(self, other: "SegmentFiles", paths: Sequence[str]) -> None:
        """Copy files, those that are there already left out."""
        system, root = self._place
        for path in paths:
            with system.open_input_file(f"{root}/{path}") as file:
                other._put(path, memoryview(file.read_buffer()))

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files that were never registered."""
        system, root = self._place
        for path in paths:
            with suppress(OSError):
                system.delete_file(f"{root}/{path}")

    def listed(self, older_than: float = 0.0) -> list[str]:
        """The files that are there, registered or not, and were written that many seconds ago or earlier."""
        from pyarrow import fs

        system, root = self._place
        found = system.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        limit = time.time() - older_than
        inside = (f for f in found if f.is_file and f.mtime_ns is not None and f.mtime_ns / 1e9 <= limit)
        return sorted(f.path[len(root) :].lstrip("/") for f in inside)

    def _put(self, path: str, content: memoryview) -> None:
        system, root = self._place
        if not self.is_local:
            with system.open_output_stream(f"{root}/{path}") as out:
                out.write(content)
            return
        final = Path(root) / path
        if final.exists():
            return
        make_folder(final.parent)
        staging = final.with_name(f"{STAGING}{os.getpid()}-{final.name}")
        try:
            with staging.open("wb") as out:
                os.fchmod(out.fileno(), FILE)
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            staging.rename(final)
            _sync(final.parent)
        finally:
            staging.unlink(missing_ok=True)

    def _verify(self, system: Any, where: str, sha256: str) -> None:
        info = system.get_file_info(where)
        seen = (where, sha256, info.size, info.mtime_ns)
        if seen in self._verified:
            return
        with system.open_input_file(where) as file:
            found = hashlib.sha256(file.read_buffer()).hexdigest()
        if found != sha256:
            raise OSError("its bytes are not those that were registered.")
        self._verified.add(seen)


def encode(decisions: Decisions, names: Sequence[str]) -> Any:
    """The bytes of a file, as a buffer."""
    import pyarrow as pa
    from pyarrow import parquet

    features = decisions.features.astype(np.float64, copy=False)
    columns = [pa.array(np.ascontiguousarray(features[:, j])) for j in range(len(names))]
    flags = pa.nulls(len(decisions), pa.string()) if decisions.flags is None else pa.array(decisions.flags, pa.string())
    table = pa.table(
        {
            "customer_id": pa.array(decisions.customer_ids, pa.string()),
            "time": pa.array(decisions.times, pa.int64()),
            "probability": pa.array(decisions.probabilities, pa.float64()),
            "declined": pa.array(np.asarray(decisions.defaults, dtype=np.bool_)),
            "flags": flags,
            "features": pa.StructArray.from_arrays(columns, names=list(names)),
        },
        metadata={
            **MARK,
            b"model_version": b"%d" % decisions.model_version,
            b"scored_at": b"%d" % decisions.scored_at,
        },
    )
    sink = pa.BufferOutputStream()
    # A dictionary of doubles costs three times what it saves: zstd finds the repeated ones.
    parquet.write_table(
        table,
        sink,
        row_group_size=GROUP,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
    )
    return sink.getvalue()


def _rows(file: Any, columns: Sequence[str] | None, rows: slice | None) -> "pa.Table":
    if file.schema_arrow.metadata is None or file.schema_arrow.metadata.get(_VERSION) != _FORMAT:
        raise OSError(f"it is no segment of format {_FORMAT.decode()}; upgrade riskloop.")
    wanted = None if columns is None else list(columns)
    if rows is None:
        return file.read(columns=wanted)
    ends = np.cumsum([file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)])
    first, last = int(np.searchsorted(ends, rows.start, "right")), int(np.searchsorted(ends, rows.stop - 1, "right"))
    before = 0 if first == 0 else int(ends[first - 1])
    groups = list(range(first, min(last, len(ends) - 1) + 1))
    return file.read_row_groups(groups, columns=wanted).slice(rows.start - before, rows.stop - rows.start)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
