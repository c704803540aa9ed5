"""`riskloop score --engine local`: a file through all cores of one machine, without a server, into segments of the log.

Blocks are checked and decided on side by side; each becomes a file that does not count yet. When all is known, the
files are registered in one transaction: the whole run is in the log, or nothing of it is. The output is written
meanwhile, with the ids that the run will have if nobody else logs decisions in the same minutes. If somebody did, it is
written again from the segments, as it is when a run is repeated.
"""

import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from riskloop.batch.blocks import Numbered
from riskloop.batch.client import Steady, Summary, Tick, digest_of_files
from riskloop.batch.opening import paths_of
from riskloop.batch.outputs import Form, Output, output_for
from riskloop.batch.pool import Asked, ScorerPool
from riskloop.batch.scorer import Done, Profiling, Scorer, Todo
from riskloop.core.errors import Conflict, DataError, StorageError
from riskloop.core.manifest import ModelManifest
from riskloop.core.settings import DataSettings
from riskloop.core.span import EVERYTHING
from riskloop.core.types import Bools, Floats, Promotion
from riskloop.data.columns import Problems, RefusedRow
from riskloop.data.deliver import parcel
from riskloop.data.fetch import fetched
from riskloop.data.opening import files_of, open_source
from riskloop.data.read import Screened, not_read, open_rows, refuse_share
from riskloop.data.refused import reason_lines, write_refused
from riskloop.data.repeats import RowKeys, repeated_rows
from riskloop.data.spelling import spelled
from riskloop.data.streams import BLOCK
from riskloop.data.tables import ManySource, Source, TextSource, raw_blocks
from riskloop.data.unsigned import reading_notes
from riskloop.scoring.answers import refuse_taken
from riskloop.scoring.decoder import CLOCK_SKEW
from riskloop.scoring.model import Model, load_model
from riskloop.store.artefacts import Artefact, Packed
from riskloop.store.pieces import Segment
from riskloop.store.segment_files import Written
from riskloop.store.segments import Segments

AHEAD: Final = 2  # blocks a process, that are read before the first of them is done
TRIES: Final = 3  # how often a run begins anew because another champion was promoted meanwhile


@dataclass(frozen=True)
class Champion:
    """Who decides now."""

    promotion: Promotion
    model: Model
    profiler: Profiling | None


@dataclass(frozen=True)
class LocalEngine:
    """What a run needs of a portfolio."""

    segments: Segments
    exploration: float
    champion: Callable[[], Champion]
    packed: Callable[[int], Packed]  # the artefact of any version
    artefact: Callable[[int], Artefact[ModelManifest]]
    processes: int = 0  # 0: as many as cores

    def model(self, version: int) -> Model:
        """Any version, loaded."""
        return load_model(self.artefact(version), version)

    def score(
        self,
        source: str | Path,
        target: str | Path,
        dialect: DataSettings,
        refused: Path | None = None,
        run_key: str | None = None,
        progress: Tick | None = None,
    ) -> Summary:
        """Score the rows of ``source`` and write them, in order, with their predictions to ``target``.

        As `client.score_file`, but all or nothing: after any error nothing of this run is in the log. ``run_key``, by
        default the digest of the file, makes it idempotent. Raises DataError naming lines, Conflict for a run key that
        was used for other rows, StorageError.
        """
        with fetched(source) as here, parcel(target) as out:
            summary = self._score(Path(here), out.path, dialect, refused, run_key, progress)
            out.send(summary.run_key)
        return summary

    def _score(
        self,
        source: Path,
        target: Path,
        dialect: DataSettings,
        refused: Path | None,
        run_key: str | None,
        progress: Tick | None,
    ) -> Summary:
        started = time.perf_counter()
        files = paths_of(source, target, refused)
        watched, digest = Steady(source), digest_of_files(files)
        run, tick = run_key or digest, progress or (lambda _sentence, _share: None)
        self.segments.sweep()
        with _part_of(target) as part:
            known = self.segments.of_run(run, digest)
            for _ in range(TRIES):
                one = _FileRun(self, source, target, part, dialect, tick, refused)
                if known:
                    one.repeat(known)
                elif not one.decide(run, digest, watched):
                    continue
                part.replace(target)
                return one.summary(run, time.perf_counter() - started, repeated=bool(known))
        raise Conflict("The champion changed again and again while the file was scored; nothing was logged. Try later.")


class _FileRun:
    """One attempt."""

    def __init__(
        self,
        engine: LocalEngine,
        source: Path,
        target: Path,
        part: Path,
        dialect: DataSettings,
        tick: Tick,
        refused: Path | None = None,
    ) -> None:
        self.engine, self.source, self.target, self.part, self.tick = engine, source, target, part, tick
        self.refused = refused
        schema = engine.champion().model.schema
        opened, self.dialect = open_source(str(source), dialect, str(source), target=schema.target)
        self.opened = spelled(opened, schema)
        refuse_taken(self.opened.names, str(source))
        self.texts = _texts(self.opened)
        self.latest = time.time_ns() // 1000 + CLOCK_SKEW
        self.problems = Problems(encoding=dialect.encoding)
        self.read = 0
        self.begins: list[int] = []  # where each block does, once the rows have been walked through
        self.repeats: list[RefusedRow] = []  # rows whose id came before
        self.segments: list[Segment] = []
        self.written: list[Written] = []
        self.expected = 0  # the first id, if nobody else logs decisions meanwhile

    def decide(self, run: str, digest: str, watched: Steady) -> bool:
        """Score, register, and finish the output; False when another champion was promoted meanwhile.

        Raises DataError for a file that is not what its digest was made of.
        """
        champion = self.engine.champion()
        model = champion.model
        self._require_columns(model)
        try:
            self._score(champion)
            if self._find_repeats(model):
                self._drop()
                self._score(champion)
            watched.refuse_changed()
            self._judge()
            registered = self.engine.segments.register(run, digest, self.written, seq=champion.promotion.seq)
        except BaseException:
            self._drop()
            raise
        if registered is None:
            self._drop()
            return False
        self.segments = registered
        own = [s.sha256 for s in registered] == [w.sha256 for w in self.written]
        if not own:  # another process was faster with the same run
            self._drop()
        if not own or registered[0].first_id != self.expected:
            self._tell(model)
        return True

    def repeat(self, segments: Sequence[Segment]) -> None:
        """Write the output of decisions that are in the log already."""
        self.segments = list(segments)
        self.latest = segments[0].scored_at + CLOCK_SKEW
        model = self.engine.model(segments[0].model_version)
        self._require_columns(model)  # the same bytes may be read by another [data] than when they were decided on
        self._check(model)
        self._find_repeats(model)
        self._tell(model)
        self._judge()

    def summary(self, run: str, seconds: float, *, repeated: bool) -> Summary:
        """What the run did."""
        rows, screened = sum(s.rows for s in self.segments), self.screened()
        schema = self.engine.model(self.segments[0].model_version).schema
        return Summary(
            rows=rows,
            defaults=sum(s.declined for s in self.segments),
            chunks=len(self.segments),
            resumed=0,
            first_version=self.segments[0].model_version,
            last_version=self.segments[-1].model_version,
            seconds=seconds,
            rows_per_second=rows / seconds,
            run_key=run,
            refused=len(screened.refused),
            reasons=tuple(reason_lines(screened)),
            not_read=not_read(self.opened.names, schema),
            notes=reading_notes(self.opened, schema),
            repeated=repeated,
        )

    def screened(self) -> Screened:
        """The refused rows, as every reader tells of them."""
        return Screened(tuple(self.problems.refused()), self.read, self.problems, self.opened)

    def _require_columns(self, model: Model) -> None:
        open_rows(str(self.source), model.schema, "absent", str(self.source), self.dialect)

    # ----------------------------------------------------------------------- passes over the rows

    def _score(self, champion: Champion) -> None:
        """Decide on every block, and write the output with the ids that are expected."""
        self.written, self.keys = [], RowKeys()
        self.expected = following = self.engine.segments.last_id() + 1
        with self._output() as output, self._pool(champion.model, output.form, champion.profiler) as pool:
            lines = _Lines(output, pool.count)
            for block, done in self._done(pool, decide=True):
                if done.written is None:
                    continue
                self.written.append(done.written)
                lines.add(block, [Numbered(following)])
                following += done.written.rows
            lines.finish()

    def _check(self, model: Model) -> None:
        """Look at every row, decide on none."""
        self.keys = RowKeys()
        with self._pool(model, None) as pool:
            for _ in self._done(pool, decide=False):
                pass

    def _tell(self, model: Model) -> None:
        """Write the output from the segments."""
        logged, self.keys = LoggedRun(self.engine.segments, self.segments), RowKeys()
        with self._output() as output, self._pool(model, output.form) as pool:
            lines = _Lines(output, pool.count)
            for block, done in self._done(pool, decide=False):
                if len(done.kept):
                    lines.add(block, logged.parts(len(done.kept)))
            lines.finish()
        if logged.left:
            raise Conflict(
                f"{self.source} has other rows than those that were scored under this run key; give another --run-key."
            )

    def _done(self, pool: ScorerPool, *, decide: bool) -> Iterator[tuple[Asked, Done]]:
        """Each block, in order, and what became of it."""
        known, self.begins = self.begins, []
        self.problems, self.read = Problems(encoding=self.dialect.encoding), 0
        for entry in self.repeats:
            self.problems.found.append(entry)
            self.problems.total += 1
        under_way: deque[Asked] = deque()
        for todo in self._todo(known, decide=decide):
            under_way.append(pool.ask(todo))
            if len(under_way) > AHEAD * pool.count:
                yield self._taken(under_way.popleft())
        while under_way:
            yield self._taken(under_way.popleft())
        if not self.read:
            raise DataError(f"{self.source} holds no rows.")

    def _taken(self, block: Asked) -> tuple[Asked, Done]:
        done, begins = block.done(), self.read
        self.begins.append(begins)
        self.read += done.read
        self.keys.add(done.keys, begins + done.places)
        self.problems.found += [replace(entry, position=begins + entry.position) for entry in done.refused]
        self.problems.total += done.problems - len(done.columns)
        for problem in done.columns:
            self.problems.reject_column(problem.field, problem.problem)
        self.tick(f"{self.read:,} rows", 0.5)
        return block, done

    def _todo(self, begins: Sequence[int], *, decide: bool) -> Iterator[Todo]:
        places = {id(text): place for place, text in enumerate(self.texts)}
        repeats = np.array([entry.position for entry in self.repeats], dtype=np.int64)
        for number, raw in enumerate(raw_blocks(self.opened)):
            without = repeats - begins[number] if len(repeats) else None
            if raw.text is None:
                yield Todo(raw.table, without=without, decide=decide)
            else:
                yield Todo(None, raw.content, places[id(raw.text)], without, decide)

    def _find_repeats(self, model: Model) -> bool:
        """Whether there are rows whose id came before."""
        self.repeats = repeated_rows(self.opened, model.schema, self.keys.alike())
        return bool(self.repeats)

    # ----------------------------------------------------------------------- what a pass needs

    def _judge(self) -> None:
        """Say which rows cannot be read. Raises DataError when they are too many, or a whole column."""
        where, screened = str(self.source), self.screened()
        if self.refused is not None:
            write_refused(screened, self.refused)
        if self.dialect.strict or self.problems.columns:
            self.problems.raise_if_any(where, self.opened.places)
        refuse_share(screened, where, self.dialect.max_refused)

    def _drop(self) -> None:
        """Remove files that nobody will register."""
        self.engine.segments.files.remove([one.path for one in self.written])

    def _pool(self, model: Model, form: Form | None, profiler: Profiling | None = None) -> ScorerPool:
        scorer = Scorer(
            artefact=self.engine.packed(model.version),
            version=model.version,
            exploration=self.engine.exploration,
            segments=self.engine.segments.files.root,
            names=self.opened.names,
            dialect=self.dialect,
            latest=self.latest,
            profiler=profiler,
            parsers=[text.parser for text in self.texts],
        )
        return ScorerPool(scorer, self.engine.processes or min(cores(), _blocks(self.source)), form)

    @contextmanager
    def _output(self) -> Iterator[Output]:
        output = output_for(self.target, self.part, self.opened, self.dialect)
        try:
            yield output
        finally:
            output.close()


class _Lines:
    """The rows of blocks on their way to the output, in order."""

    def __init__(self, output: Output, processes: int) -> None:
        self._output, self._most = output, 2 * processes
        self._waiting: deque[Future[Any]] = deque()

    def add(self, block: Asked, parts: list[Numbered]) -> None:
        """A block is told of with these ids."""
        self._waiting.append(block.tell(parts))
        while len(self._waiting) > self._most:
            self._output.append(self._waiting.popleft().result())

    def finish(self) -> None:
        """Wait for the last of them."""
        while self._waiting:
            self._output.append(self._waiting.popleft().result())


class LoggedRun:
    """The decisions of a run, read from its segments in order."""

    def __init__(self, segments: Segments, of_run: Sequence[Segment]) -> None:
        self._segments = segments
        self._waiting = deque(of_run)
        self._parts: deque[tuple[int, int, Floats, Bools]] = deque()  # first id, moment, probabilities, declined

    @property
    def left(self) -> bool:
        """Whether there are more of them."""
        return bool(self._waiting or self._parts)

    def parts(self, n: int) -> list[Numbered]:
        """The next ``n`` decisions."""
        found: list[Numbered] = []
        while n:
            if not self._parts:
                self._read()
            first, moment, probabilities, declined = self._parts.popleft()
            if len(declined) > n:
                self._parts.appendleft((first + n, moment, probabilities[n:], declined[n:]))
            found.append(Numbered(first, moment, probabilities[:n], declined[:n]))
            n -= min(n, len(declined))
        return found

    def _read(self) -> None:
        if not self._waiting:
            raise Conflict(
                "The file has more rows than were scored under this run key; give another --run-key to decide on them."
            )
        segment = self._waiting.popleft()
        piece = self._segments.piece(segment, EVERYTHING, ["probability", "declined"])
        part = segment.first_id, segment.scored_at, piece.column("probability"), piece.column("declined")
        self._parts.append(part)


def _blocks(source: Path) -> int:
    """About how many blocks a source has: a process that gets none costs more to start than it saves."""
    return 1 + sum(path.stat().st_size for path in files_of(source)) // BLOCK


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _texts(source: Source) -> list[TextSource]:
    parts = [part for _, part in source.parts] if isinstance(source, ManySource) else [source]
    return [part for part in parts if isinstance(part, TextSource)]


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """Where the output is written until it is complete; one run at a time."""
    part, lock = target.with_name(target.name + ".part"), target.with_name(target.name + ".lock")
    try:
        with lock.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(held.fileno()), lock.stat()):  # that run has just ended
                    raise BlockingIOError
            except (BlockingIOError, FileNotFoundError):
                raise Conflict(
                    f"Another run is writing {target} at this moment; wait for it, or name another."
                ) from None
            try:
                yield part
            finally:
                part.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}. Mend that, then try again."
        ) from error
