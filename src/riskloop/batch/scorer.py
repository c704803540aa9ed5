"""A block of rows becomes decisions in a file: what every process of a bulk engine does, here or on another machine.

It needs NumPy, Arrow, msgspec and LightGBM's library. Nothing here knows the database: what is written counts when it
is registered.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from riskloop.core.manifest import ModelManifest
from riskloop.core.settings import DataSettings
from riskloop.core.types import Bools, Floats, Ints, Problem
from riskloop.data.columns import RefusedRow
from riskloop.data.parse import Block, TextParser
from riskloop.data.read import BlockReader
from riskloop.data.repeats import keys_of
from riskloop.scoring.decide import decide
from riskloop.scoring.model import Model, load_model
from riskloop.store.artefacts import Packed
from riskloop.store.pieces import Piece, present
from riskloop.store.segment_files import SegmentFiles, Written

if TYPE_CHECKING:
    import pyarrow as pa


class Profiling(Protocol):
    """What summarises decisions for monitoring; `monitor` has it."""

    def __call__(self, X: Floats, scores: Floats, times: Ints) -> bytes:
        """The profile of features (n, k), probabilities (n,) and times (n,)."""

    def to_bytes(self) -> bytes:
        """What it is made again from in another process."""


ProfilerOf = Callable[[bytes], Profiling]


class Todo(NamedTuple):
    """Rows that nobody has looked at."""

    table: "pa.Table | None"
    content: bytes = b""  # of whole records of a text
    text: int = 0  # which of the scorer's parsers can read it
    without: Ints | None = None  # positions of records that are refused whatever they hold
    decide: bool = True  # else they are only checked


class Done(NamedTuple):
    """What became of a block."""

    read: int  # records
    kept: Ints  # positions, among the records, of those that can be decided on
    refused: list[RefusedRow]  # positions as in `kept`
    columns: list[Problem]  # problems of whole columns
    problems: int
    keys: Ints  # hashes of id and time, of all rows of a table: equal ones may be the same row twice
    places: Ints  # positions of the rows with keys
    scored_at: int = 0
    written: Written | None = None
    probabilities: Floats | None = None
    declined: Bools | None = None
    table: "pa.Table | None" = None


@dataclass(frozen=True)
class Scorer:
    """Everything that a process needs, as plain values: it is sent to each of them once."""

    artefact: Packed  # the model's
    version: int
    exploration: float
    segments: str  # where files are written
    names: Sequence[str]  # of the columns
    dialect: DataSettings
    latest: int  # microseconds: no row is later
    profiler: Profiling | None = None
    parsers: Sequence[TextParser] = field(default=())  # of the texts that blocks are cut from

    @cached_property
    def model(self) -> Model:
        """The model, verified by its hashes."""
        return load_model(self.artefact.unpack(ModelManifest), self.version)

    @cached_property
    def files(self) -> SegmentFiles:
        """Where decisions go."""
        return SegmentFiles(self.segments)

    @cached_property
    def reader(self) -> BlockReader:
        """Checks rows by the model's schema."""
        return BlockReader(self.model.schema, self.names, self.dialect, self.latest)

    def __call__(self, todo: Todo, *, back: bool = False) -> Done:
        """Check the rows, decide on them, and write the decisions; with ``back`` the kept rows come back as a table."""
        block = self._block(todo, whole=back)
        checked = self.reader.read(block)
        rows, kept = checked.rows, checked.kept
        all_places = np.arange(block.table.num_rows) if block.kept is None else block.kept
        places = all_places[kept]
        if todo.without is not None and len(todo.without):
            chosen = ~np.isin(places, todo.without)
            rows, kept, places = rows.take(chosen), kept[chosen], places[chosen]
        problems = checked.problems
        found = problems.refused() if problems.found else []
        keys = keys_of(checked.ids, checked.times) if self._unique else np.empty(0, dtype=np.int64)
        done = Done(checked.read, places, found, list(problems.columns), problems.total, keys, all_places[: len(keys)])
        if back:
            done = done._replace(table=_kept(block.table, kept))
        if not todo.decide or not len(rows) or problems.columns:
            return done
        now = time.time_ns() // 1000
        decisions = decide(self.model, rows, now, self.exploration)
        profile = None
        if self.profiler is not None:
            times = np.asarray(decisions.times, dtype=np.int64)
            profile = self.profiler(decisions.features, decisions.probabilities, times)
        written = self.files.write(decisions, self.model.schema.names, profile)
        return done._replace(
            scored_at=now,
            written=written,
            probabilities=decisions.probabilities,
            declined=np.asarray(decisions.defaults, dtype=np.bool_),
        )

    @property
    def _unique(self) -> bool:
        """Whether the same id with the same time is a mistake."""
        return self.model.schema.id is not None and self.model.schema.unit is None

    def _block(self, todo: Todo, *, whole: bool) -> Block:
        if todo.table is not None:
            return Block(todo.table, 0)
        parser = self.parsers[todo.text]
        if whole:  # with every column as the text that it is
            return parser.parse(todo.content, 0, self.names, None)
        return parser.parse(todo.content, 0, self.reader.columns, self.reader.types)


@dataclass(frozen=True)
class Summarizer:
    """Makes the profile of decisions as one model scores them, whichever decided; it is sent to those who read them."""

    artefact: Packed  # the model's
    version: int
    profiler: Profiling

    def __call__(self, piece: Piece) -> bytes:
        """The profile of a piece with all columns, of those that are not erased."""
        kept = present(piece)
        features = kept.features
        return self.profiler(features, self._model.probabilities(features), kept.column("time"))

    @property
    def _model(self) -> Model:
        """Verified and loaded once in each process."""
        key = self.artefact.sha256, self.version
        if key not in _models:
            _models.clear()
            _models[key] = load_model(self.artefact.unpack(ModelManifest), self.version)
        return _models[key]


_models: Final[dict[tuple[str, int], Model]] = {}


def _kept(table: "pa.Table", kept: Ints) -> "pa.Table":
    return table if len(kept) == table.num_rows else table.take(kept)
