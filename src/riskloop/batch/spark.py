"""Scoring on Spark: the same blocks, the same step, the same segments as on one machine, on the executors of a cluster.

One job writes, for each row, what was decided on it, and for each block the segment with the decisions. The rows are
staged, so that of a task that ran twice one attempt counts: only segments that the staged rows name are registered.
Then the driver registers them in one transaction, and the rows get their ids.

Executors need this package with NumPy, PyArrow, msgspec, pydantic and LightGBM; they see the segments' root
(`storage.segments`), and no database. The model travels with the job, is checked by its hashes, and is loaded once in
each process.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from riskloop.batch.scorer import Scorer, Todo
from riskloop.core.errors import Conflict, DataError
from riskloop.core.schema import APPENDED
from riskloop.core.settings import DataSettings
from riskloop.data.refused import write_rows
from riskloop.scoring.answers import told_columns
from riskloop.store.pieces import HERE, Piece, PieceRequest, T, read_piece
from riskloop.store.segment_files import SegmentFiles, Written

if TYPE_CHECKING:
    import pyarrow as pa

    from riskloop.batch.local import Champion
    from riskloop.store.pieces import Segment
    from riskloop.store.segments import Segments

ROWS: Final = 100_000  # of one segment
TASKS: Final = 16  # segments for each core, read before the next ones are
SHOWN: Final = 5  # problems in a message
_MARK: Final = "_riskloop_"
SEGMENT, ROW, PLACE, PROBLEM, META = (_MARK + name for name in ("segment", "row", "place", "problem", "meta"))
TOLD: Final = tuple(name for name in APPENDED if name != "decision_id")  # known before a run is registered


@dataclass(frozen=True)
class SparkRun:
    """What became of a frame."""

    rows: int
    refused: int
    segments: "list[Segment]"
    frame: Any  # pyspark.sql.DataFrame: the rows with their predictions, without those that were refused
    staging: str  # where it is read from


@dataclass(frozen=True)
class SparkEngine:
    """What a run needs of a portfolio; it lives on the driver."""

    segments: "Segments"
    champion: "Callable[[], Champion]"
    scorer: Callable[["Champion", tuple[str, ...]], Scorer]  # for a frame with these columns
    dialect: DataSettings

    def score(self, frame: Any, staging: str, run_key: str, aside: Path | None = None) -> SparkRun:
        """Score a DataFrame; ``staging`` is a folder that driver and executors see, and ``run_key`` names the run.

        The rows that cannot be read are written to the CSV ``aside`` of the driver, also where they refuse the run.

        Done again under the same key with the same staging, it goes on where it was: nobody is decided on twice.
        Raises DataError when too many rows cannot be read or an id comes twice, Conflict when the key was used before.
        """
        spark, names = frame.sparkSession, tuple(frame.columns)
        if taken := [name for name in names if name in APPENDED or name.startswith(_MARK)]:
            raise DataError(f"The frame has a column '{taken[0]}', which is where the predictions go; rename it.")
        fingerprint = hashlib.sha256(f"spark {run_key} {','.join(names)}".encode()).hexdigest()
        known = self.segments.of_run(run_key, fingerprint)
        if not _is_complete(spark, staging):
            if known:
                raise Conflict(
                    f"The run '{run_key}' is in the log already, and its staged rows are gone from {staging}. Its "
                    "decisions are those of the segments; give another key to decide again."
                )
            self._stage(frame, names, staging)
        staged = spark.read.parquet(staging)
        rows, refused = self._judge(staged, names, aside)
        if not known:
            known = self._register(staged, run_key, fingerprint)
        return SparkRun(rows, refused, known, _numbered(staged, names, known), staging)

    def _stage(self, frame: Any, names: tuple[str, ...], staging: str) -> None:
        champion = self.champion()
        scorer = self.scorer(champion, names)
        schema = _staged_schema(frame.schema)
        marked = frame.mapInArrow(scored_rows(scorer, tuple(schema.names)), schema)
        marked.write.mode("overwrite").parquet(staging)

    def _judge(self, staged: Any, names: tuple[str, ...], aside: Path | None) -> tuple[int, int]:
        """How many rows there are, and how many are refused; DataError for too many, or for repeated ids."""
        from pyspark.sql import functions as sql

        read = staged.count()
        if not read:
            raise DataError("The frame holds no rows.")
        bad = staged.filter(sql.col(PROBLEM).isNotNull())
        refused = bad.count()
        if aside is not None:
            rows = (row.asDict() for row in bad.toLocalIterator())
            write_rows(aside, names, (("", *json.loads(row[PROBLEM]), row) for row in rows))
        if refused and (refused == read or refused > self.dialect.max_refused * read or self.dialect.strict):
            problems = [_said(row[PROBLEM]) for row in bad.select(PROBLEM).distinct().limit(SHOWN).collect()]
            raise DataError(
                f"{refused:,} of the {read:,} rows cannot be read, more than max_refused = "
                f"{self.dialect.max_refused:g} of [data] allows: {'; '.join(problems)}. Nothing was logged."
            )
        schema = self.champion().model.schema
        if schema.id is not None and schema.unit is None:
            key = [sql.col(f"`{name}`") for name in (schema.id, schema.time) if name in staged.columns]
            twice = staged.filter(sql.col(PROBLEM).isNull()).groupBy(*key).count().filter(sql.col("count") > 1)
            if found := twice.limit(SHOWN).collect():
                named = ", ".join(str(row[0]) for row in found)
                raise DataError(
                    f"Ids come twice{' with the same time' if len(key) > 1 else ''}, such as {named}; drop the "
                    "repeated rows. Nothing was logged."
                )
        return read - refused, refused

    def _register(self, staged: Any, run_key: str, fingerprint: str) -> "list[Segment]":
        from pyspark.sql import functions as sql

        found = staged.filter(sql.col(META).isNotNull()).select(PLACE, META).collect()
        metas = [msgspec.msgpack.decode(bytes(row[META])) for row in sorted(found, key=lambda row: row[PLACE])]
        written = [Written(**meta) for meta in metas]
        champion = self.champion()
        if any(one.model_version != champion.promotion.version for one in written):
            raise Conflict(
                "Another champion was promoted while the frame was scored; nothing was logged. Run it again."
            )
        registered = self.segments.register(run_key, fingerprint, written, seq=champion.promotion.seq)
        if registered is None:
            raise Conflict(
                "Another champion was promoted while the frame was scored; nothing was logged. Run it again."
            )
        return registered


def scored_rows(
    scorer: Scorer, names: tuple[str, ...]
) -> "Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]":
    """What `mapInArrow` runs on an executor: batches in, the same rows with what was decided on them out."""

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa
        from pyspark import TaskContext

        context = TaskContext.get()
        partition = 0 if context is None else context.partitionId()
        waiting: list[pa.RecordBatch] = []
        count = number = 0
        for batch in batches:
            waiting.append(batch)
            count += batch.num_rows
            if count >= ROWS:
                yield from _scored(scorer, names, pa.Table.from_batches(waiting), (partition << 32) + number)
                waiting, count, number = [], 0, number + 1
        if count:
            yield from _scored(scorer, names, pa.Table.from_batches(waiting), (partition << 32) + number)

    return run


_loaded: Final[dict[object, Scorer]] = {}  # by what they are: a process of an executor serves many tasks


def _kept(scorer: Scorer) -> Scorer:
    """The scorer that this process has loaded already."""
    key = scorer.artefact.sha256, scorer.version, scorer.segments, tuple(scorer.names), scorer.exploration
    return _loaded.setdefault(key, scorer)


def _scored(scorer: Scorer, names: tuple[str, ...], table: "pa.Table", place: int) -> "Iterator[pa.RecordBatch]":
    """Every row of a block: those that were decided on with their decision, the others with their problem."""
    import pyarrow as pa

    scorer = _kept(scorer)
    done = scorer(Todo(table))
    if done.columns:
        first = done.columns[0]
        raise DataError(f"Column '{first.field}' {first.problem}; nothing was logged.")
    if done.written is not None and done.probabilities is not None and done.declined is not None:
        n = len(done.kept)
        told = told_columns(scorer.model, done.probabilities, done.declined, 1, done.scored_at)
        meta = msgspec.msgpack.encode({**asdict(done.written)})
        rows = table.take(pa.array(done.kept)) if n < table.num_rows else table
        columns = {name: told[name] for name in TOLD} | {
            SEGMENT: pa.repeat(done.written.path, n),
            ROW: pa.array(np.arange(n)),
            PLACE: pa.repeat(pa.scalar(place, pa.int64()), n),
            PROBLEM: pa.nulls(n, pa.string()),
            META: pa.array([meta, *[None] * (n - 1)], pa.binary()),
        }
        yield from _with(rows, columns, names)
    if done.refused:
        bad = table.take(pa.array([entry.position for entry in done.refused]))
        said = [json.dumps([e.column, e.problem, None if e.value is None else str(e.value)]) for e in done.refused]
        yield from _with(bad, {PROBLEM: pa.array(said, pa.string())}, names)


def _said(problem: str) -> str:
    """Column, problem and value of a staged row, in words."""
    column, text, value = json.loads(problem)
    return f"column '{column}' {text}" + (f" ({value!r})" if value else "")


def _with(rows: "pa.Table", columns: "dict[str, pa.Array]", names: tuple[str, ...]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    kinds = {
        "default": pa.bool_(), "probability": pa.float64(), "threshold": pa.float64(), "model_version": pa.int64(),
        ROW: pa.int64(), PLACE: pa.int64(), META: pa.binary(),
    }  # fmt: skip
    for name in names[rows.num_columns :]:
        column = columns.get(name)
        rows = rows.append_column(
            name, pa.nulls(rows.num_rows, kinds.get(name, pa.string())) if column is None else column
        )
    yield from rows.combine_chunks().to_batches()


def _staged_schema(schema: Any) -> Any:
    from pyspark.sql import types as sql

    kinds = {
        "default": sql.BooleanType(), "probability": sql.DoubleType(), "threshold": sql.DoubleType(),
        "model_version": sql.LongType(), ROW: sql.LongType(), PLACE: sql.LongType(), META: sql.BinaryType(),
    }  # fmt: skip
    extra = [sql.StructField(n, kinds.get(n, sql.StringType())) for n in (*TOLD, SEGMENT, ROW, PLACE, PROBLEM, META)]
    return sql.StructType([*schema.fields, *extra])


def _numbered(staged: Any, names: tuple[str, ...], segments: "list[Segment]") -> Any:
    """The rows that were decided on, with their ids."""
    from pyspark.sql import functions as sql

    first = staged.sparkSession.createDataFrame(
        [(segment.path, segment.first_id) for segment in segments], f"`{SEGMENT}` string, first_id long"
    )
    joined = staged.filter(sql.col(PROBLEM).isNull()).join(sql.broadcast(first), SEGMENT)
    numbered = joined.withColumn("decision_id", (sql.col("first_id") + sql.col(ROW)).cast("string"))
    return numbered.select(*(sql.col(f"`{name}`") for name in (*names, *APPENDED)))


def _is_complete(spark: Any, staging: str) -> bool:
    """Whether the staged rows are all there: Spark says so with a file."""
    system, path = _place(spark, f"{staging}/_SUCCESS")
    return bool(system.exists(path))


def remove(spark: Any, folder: str) -> None:
    """Remove a folder of the cluster's file system."""
    system, path = _place(spark, folder)
    system.delete(path, True)


def exists(spark: Any, address: str) -> bool:
    """Whether there is something at an address of the cluster's file system."""
    system, path = _place(spark, address)
    return bool(system.exists(path))


def digest_of_input(frame: Any) -> str:
    """What makes two runs over files the same one: the files' names, sizes and times."""
    found = hashlib.sha256()
    for name in sorted(frame.inputFiles()):
        system, path = _place(frame.sparkSession, name)
        status = system.getFileStatus(path)
        found.update(f"{name} {status.getLen()} {status.getModificationTime()}\n".encode())
    return found.hexdigest()[:24]


def _place(spark: Any, address: str) -> tuple[Any, Any]:
    """The file system of an address, and the path in it."""
    path = spark.sparkContext._jvm.org.apache.hadoop.fs.Path(address)
    return path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()), path


@dataclass(frozen=True)
class OnExecutors:
    """Reads segments on the executors of a cluster, each a task, which see the segments' root and no database.

    What comes back does so in the order of the segments, so that whatever is made of it is what one machine makes.
    """

    spark: Any  # the session; it lives on the driver

    def each(self, files: SegmentFiles, wanted: Sequence[PieceRequest], work: Callable[[Piece], T]) -> Iterator[T]:
        """A wave of tasks at a time: the driver holds the results of one. A single segment is read here."""
        context = self.spark.sparkContext
        wave = TASKS * context.defaultParallelism
        root = files.root if "://" in files.root else str(Path(files.root).absolute())
        if len(wanted) == 1:
            yield from HERE.each(files, wanted, work)
            return
        for start in range(0, len(wanted), wave):
            part = wanted[start : start + wave]
            yield from context.parallelize(part, len(part)).map(partial(_worked, root, work)).collect()


_places: Final[dict[str, SegmentFiles]] = {}  # of a process that serves many tasks: it hashes a file once


def _worked(root: str, work: Callable[[Piece], T], wanted: PieceRequest) -> T:
    return work(read_piece(_places.setdefault(root, SegmentFiles(root)), wanted))


def session(master: str | None) -> Any:
    """The session of a command: the cluster's own, or one at ``master`` such as ``local[2]``."""
    import os
    import sys

    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("riskloop score")
    if master is not None:
        builder = builder.master(master)
    return builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", 50_000).getOrCreate()
