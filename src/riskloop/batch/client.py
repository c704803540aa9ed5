"""`riskloop score`: a file through the API, in order, each row once, whatever is interrupted.

Beside the output lie two files until it is complete: OUT.part, what is written so far, and OUT.resume, how far that
is and under which run's name the chunks were sent. The same command again goes on from there; chunks that were sent
but not written are sent again under the same idempotency keys, so that the server logs them once.
"""

import fcntl
import hashlib
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from riskloop.batch.api import Api, Say
from riskloop.batch.files import Chunk, ScoredFile
from riskloop.batch.opening import open_file, paths_of
from riskloop.core.errors import Conflict, DataError, RiskloopError, StorageError
from riskloop.core.progress import silent
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import Problem
from riskloop.data.deliver import parcel
from riskloop.data.fetch import fetched
from riskloop.data.opening import contents, files_of
from riskloop.data.read import STANDARD, Screened, not_read, screen_rows
from riskloop.data.refused import reason_lines, write_refused
from riskloop.data.unsigned import reading_notes
from riskloop.scoring.decoder import CLOCK_SKEW

if TYPE_CHECKING:
    import pyarrow as pa

AGO: Final = timedelta(seconds=5)  # decisions that much older than the run were made by an earlier one
SAVE_EVERY: Final = 1.0  # seconds between two points from which a run can go on

Tick = Callable[[str, float], None]  # a sentence, and the share done


@dataclass(frozen=True)
class Summary:
    """What a run did."""

    rows: int
    defaults: int
    chunks: int
    resumed: int  # chunks that an interrupted run had done already
    first_version: int  # of the model; another one may have been promoted on the way
    last_version: int
    seconds: float
    rows_per_second: float
    run_key: str  # what makes the run the same one when it is repeated
    refused: int = 0  # rows that were set aside
    reasons: tuple[str, ...] = ()  # why, the most frequent first
    not_read: tuple[str, ...] = ()  # columns that the model's schema does not know
    notes: tuple[str, ...] = ()  # what a person should know of how the file was read
    repeated: bool = False  # the same file was scored before under this run key: these are its decisions


@dataclass(frozen=True)
class Progress:
    """How far a run is; the content of OUT.resume."""

    run: str  # the run key: the same rows under the same key are decided on once
    chunk_rows: int
    chunks: int = 0  # written
    rows: int = 0
    defaults: int = 0
    size: int = 0  # bytes of OUT.part
    read: str = ""  # hash of what these chunks held, to notice an input that changed
    first_version: int = 0
    last_version: int = 0


def score_file(
    source: str | Path,
    target: str | Path,
    url: str,
    *,
    chunk_rows: int = 5000,
    in_flight: int = 3,
    key: str | None = None,
    progress: Tick | None = None,
    patience: float = 60.0,
    dialect: DataSettings = STANDARD,
    refused: Path | None = None,
    run_key: str | None = None,
    say: Say | None = None,
) -> Summary:
    """Score the rows of ``source`` and write them, in order, with their predictions to ``target``.

    ``source`` is anything that `riskloop init` reads, ``target`` a file, an object of a store or a table (see
    `data.address`); a standard CSV keeps its bytes. Rows that the champion's schema
    refuses are set aside, into the CSV ``refused`` if it is named. ``run_key``, by default the digest of the file,
    makes the run idempotent: the same file again gives the same decisions and logs nobody twice. ``target`` appears
    when it is complete. ``say`` is told, once, when the API does not answer. Raises DataError naming lines,
    Unreachable, StorageError …; what was
    scored until then is kept, and the same call goes on from it. When nothing was scored, nothing is left behind.
    """
    with fetched(source) as here, parcel(target) as out:
        summary = _score_file(
            Path(here), out.path, Api(url, key, patience, say), chunk_rows, in_flight,
            progress or (lambda _sentence, _share: None), dialect, refused, run_key,
        )  # fmt: skip
        out.send(summary.run_key)
    return summary


def _score_file(
    source: Path,
    target: Path,
    api: Api,
    chunk_rows: int,
    in_flight: int,
    tick: Tick,
    dialect: DataSettings,
    refused: Path | None,
    run_key: str | None,
) -> Summary:
    started = time.perf_counter()
    files = paths_of(source, target, refused)
    schema, watched = api.schema(), Steady(source)
    tick("Reading the rows", 0.0)
    screened = None if schema is None else _screened(source, schema, dialect, refused)
    file = open_file(source, target, dialect=dialect, schema=schema, screened=screened)
    begun = datetime.now(UTC)
    try:
        run = run_key or digest_of_files(files)
        watched.refuse_changed()
        with _Output(target, file, chunk_rows, run) as output:
            resumed = output.progress.chunks
            _run(file, output, api, in_flight, tick)
            done = output.progress
            if done.rows == 0:
                raise DataError(f"{source} holds no rows.")
            output.complete(file)
    except OSError as error:
        raise _not_stored(error, source, target) from error
    seconds = time.perf_counter() - started
    return Summary(
        rows=done.rows,
        defaults=done.defaults,
        chunks=done.chunks,
        resumed=resumed,
        first_version=done.first_version,
        last_version=done.last_version,
        seconds=seconds,
        rows_per_second=done.rows / seconds,
        run_key=run,
        refused=0 if screened is None else len(screened.refused),
        reasons=() if screened is None else tuple(reason_lines(screened)),
        not_read=() if screened is None or schema is None else not_read(screened.source.names, schema),
        notes=() if screened is None or schema is None else reading_notes(screened.source, schema),
        repeated=output.oldest is not None and not resumed and output.oldest < begun - AGO,
    )


def _screened(source: Path, schema: Schema, dialect: DataSettings, refused: Path | None) -> Screened:
    """What of the file the champion would refuse; strictly for what will be sent byte for byte."""
    latest = time.time_ns() // 1000 + CLOCK_SKEW
    aside = silent if refused is None else partial(write_refused, path=refused)
    return screen_rows(str(source), schema, where=str(source), dialect=dialect, latest=latest, aside=aside)


def digest_of_files(files: Sequence[Path]) -> str:
    """What makes two runs the same one: the content of the files, however they are packed."""
    found = hashlib.blake2b(digest_size=12)
    for path in files:
        for content in contents(path):
            found.update(content)
    return found.hexdigest()


class Steady:
    """Files that are expected to stay as they are while they are scored: none that is still being written."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._first = self._state()

    def refuse_changed(self) -> None:
        """Raise DataError when a file is not what it was at the beginning."""
        if self._state() != self._first:
            raise DataError(
                f"{self._source} changed while it was read: it may still be written. Nothing was logged; run the same "
                "command again when it is complete."
            )

    def _state(self) -> list[tuple[Path, int, int, int]]:
        there = [(path, path.stat()) for path in files_of(self._source) if path.exists()]
        return [(path, stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in there]


def _not_stored(error: OSError, source: Path, target: Path) -> StorageError:
    part = target.with_name(target.name + ".part")
    kept = f"What was scored is kept in {part}" if part.exists() else "Nothing was scored"
    what = f"{source} cannot be read" if error.filename == str(source) else f"{target} cannot be written"
    return StorageError(f"{what}: {error.strerror or error}. {kept}; mend that, then run the same command again.")


def _run(file: ScoredFile, output: "_Output", api: Api, in_flight: int, tick: Tick) -> None:
    """Keep ``in_flight`` requests under way and write their answers in the order of the file."""
    under_way: deque[tuple[Chunk, Future[pa.Table]]] = deque()

    def finish_first() -> None:
        chunk, answer = under_way.popleft()
        output.write(chunk, _result(answer, file))
        tick(f"{output.progress.rows:,} rows", chunk.share)

    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="riskloop-score")
    try:
        for chunk in output.remaining(file):
            key = _key(output.progress.run, chunk)
            sent = pool.submit(api.score, chunk.body, file.media_type, key, chunk.first_row)
            under_way.append((chunk, sent))
            if len(under_way) > in_flight:
                finish_first()
        while under_way:
            finish_first()
    finally:
        api.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        if api.may_have_logged or output.went_on:
            output.save()
        else:
            output.discard()


def _key(run: str, chunk: Chunk) -> str:
    """The same rows of the same run have the same key; rows that were corrected in between have another."""
    return f"{run}-{chunk.number}-{chunk.digest.hex()}"


def _result(answer: "Future[pa.Table]", file: ScoredFile) -> "pa.Table":
    try:
        return answer.result()
    except DataError as error:
        raise _placed(error, file) from None


def _placed(error: DataError, file: ScoredFile) -> DataError:
    """The server counts rows; a person looks for lines of the file."""

    def places(text: str) -> str:
        return re.sub(r"\b[Rr]ow (\d+)\b", lambda found: file.place(int(found[1])), text)

    details = [Problem(p.field, places(p.problem), p.value) for p in error.details]
    return type(error)(places(error.message).replace("The body", str(file.source)), details)


class _Output:
    """OUT.part and OUT.resume."""

    def __init__(self, target: Path, file: ScoredFile, chunk_rows: int, run: str) -> None:
        self.target = target
        self.part = target.with_name(target.name + ".part")
        self.state = target.with_name(target.name + ".resume")
        self.state_written = target.with_name(target.name + ".resume.new")
        self.progress = Progress(run, chunk_rows)
        self._hash = hashlib.blake2b(digest_size=16)
        self._file = file
        self._saved = time.monotonic()
        self.oldest: datetime | None = None  # moment of a decision in the output
        self.went_on = False  # with what an interrupted run had begun
        self._out: IO[bytes]

    def __enter__(self) -> "_Output":
        self._out = self._alone()
        before = self._load()
        self.went_on = before is not None
        self.progress = before or self.progress
        try:
            self._out.truncate(self.progress.size)
            self._out.seek(self.progress.size)
            if not self.went_on:
                head = self._file.head()
                self._out.write(head)
                self.progress = replace(self.progress, size=len(head))
                self.save()
        except BaseException:
            if not self.went_on:
                self.discard()
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        """On a full disk closing fails too, for what is still in the buffer; then there is another error already."""
        with suppress(OSError):
            self._out.close()

    def _alone(self) -> IO[bytes]:
        """The partial output, opened by this run and no other."""
        file = os.fdopen(os.open(self.part, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), self.part.stat()):  # that run has just ended
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            file.close()
            raise Conflict(
                f"Another run is writing {self.target} at this moment; wait for it, or name another."
            ) from None
        return file

    def remaining(self, file: ScoredFile) -> Iterator[Chunk]:
        """The chunks that are not written yet. Raises DataError when the others are not what they were."""
        done, read = self.progress.chunks, self.progress.read
        for chunk in file.chunks(self.progress.chunk_rows):
            if chunk.number >= done:
                yield chunk
                continue
            self._hash.update(chunk.digest)
            if chunk.number == done - 1 and self._hash.hexdigest() != read:
                raise DataError(
                    f"{file.source} is not what it was when {self.target} was begun; "
                    f"to start again, remove {self.state}."
                )

    def write(self, chunk: Chunk, answers: "pa.Table") -> None:
        """Append a chunk; now and then make a point from which a run can go on."""
        if answers.num_rows != chunk.rows:
            raise RiskloopError(f"The API answered {answers.num_rows} rows to a chunk of {chunk.rows}; report this.")
        content = self._file.render(chunk, answers)
        self._out.write(content)
        self._hash.update(chunk.digest)
        before = self.progress
        version = int(answers["model_version"][0].as_py())
        at = datetime.fromisoformat(str(answers["scored_at"][0].as_py()))
        self.oldest = at if self.oldest is None else min(self.oldest, at)
        self.progress = replace(
            before,
            chunks=before.chunks + 1,
            rows=before.rows + chunk.rows,
            defaults=before.defaults + int(answers["default"].to_numpy().sum()),
            size=before.size + len(content),
            read=self._hash.hexdigest(),
            first_version=before.first_version or version,
            last_version=version,
        )
        if time.monotonic() - self._saved > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """First the rows to the disk, then the note that they are there."""
        self._out.flush()
        os.fsync(self._out.fileno())
        with self.state_written.open("w", encoding="utf-8") as out:
            json.dump(asdict(self.progress), out)
            out.flush()
            os.fsync(out.fileno())
        self.state_written.replace(self.state)
        self._saved = time.monotonic()

    def complete(self, file: ScoredFile) -> None:
        """The output takes its name, and the notes go. Until then no other run may take up the partial output."""
        self._out.flush()
        file.finish(self.part, self.progress.chunk_rows).replace(self.target)
        self.discard()

    def discard(self) -> None:
        """Remove what was kept for going on."""
        for path in (self.state, self.state_written, self.part):
            path.unlink(missing_ok=True)

    def _load(self) -> Progress | None:
        try:
            found = Progress(**json.loads(self.state.read_text(encoding="utf-8")))
            return found if self.part.stat().st_size >= found.size else None
        except (OSError, ValueError, TypeError):
            return None
