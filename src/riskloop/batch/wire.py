"""What the processes of the local engine tell each other over pipes: MessagePack, and buffers as they are.

Rows of a table travel as Arrow's stream, records of a text as their bytes, numbers as the memory that they lie in.
Nothing that could run code is sent, and nothing is made of a message but what is named here.
"""

import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from riskloop.batch.blocks import Numbered
from riskloop.batch.outputs import Form
from riskloop.batch.scorer import Done, Scorer, Todo
from riskloop.core import errors
from riskloop.core.errors import RiskloopError
from riskloop.core.settings import DataSettings
from riskloop.core.types import Ints, Json, Problem
from riskloop.data.columns import RefusedRow
from riskloop.data.parse import TextParser
from riskloop.store.artefacts import Packed
from riskloop.store.segment_files import Written


class Begin(msgspec.Struct, tag=True):
    """What a process needs before its first block: the plain values of a `Scorer`."""

    artefact: Packed
    version: int
    exploration: float
    segments: str
    names: list[str]
    dialect: Json
    latest: int
    profiler: bytes | None
    parsers: list[tuple[Json, list[str], str, str]]
    form: Form | None


class Score(msgspec.Struct, tag=True):
    """A block; its buffers are the table or the records, and the positions of rows that are refused."""

    number: int
    is_table: bool
    text: int
    decide: bool


class Tell(msgspec.Struct, tag=True):
    """The ids of a block's decisions; where they were logged before, two buffers a part hold what was decided."""

    number: int
    parts: list[tuple[int, int]]
    is_logged: bool


class Finish(msgspec.Struct, tag=True):
    """No more blocks, and the files stay; a process that sees the end without it removes what it has written."""


class Scored(msgspec.Struct, tag=True):
    """What became of a block; its buffers are the positions of the kept rows, the hashes, and their positions."""

    read: int
    refused: list[RefusedRow]
    columns: list[Problem]
    problems: int
    scored_at: int
    written: Written | None


class Told(msgspec.Struct, tag=True):
    """The rows of a block with their predictions, in its buffer."""

    is_table: bool


class Failed(msgspec.Struct, tag=True):
    """An error of riskloop, which is raised again where somebody can tell of it."""

    kind: str
    message: str
    details: list[Problem]


Message = Begin | Score | Tell | Finish | Scored | Told | Failed
_ENCODE: Final = msgspec.msgpack.Encoder(enc_hook=str)
_DECODE: Final = msgspec.msgpack.Decoder(Message)
_MOST: Final = 2**40  # bytes; more is no length but something else


class Received(NamedTuple):
    """A message and its buffers."""

    message: Message
    buffers: Sequence[bytes]


def send(out: BinaryIO, message: Message, *buffers: Any) -> None:
    """Write a message."""
    content = _ENCODE.encode(message)
    views = [memoryview(buffer).cast("B") if len(buffer) else b"" for buffer in buffers]
    out.write(struct.pack(f"<{len(views) + 2}q", len(views), len(content), *map(len, views)))
    out.write(content)
    for view in views:
        out.write(view)
    out.flush()


def receive(file: BinaryIO) -> Received:
    """The next message; EOFError when the other process has ended."""
    count, length = struct.unpack("<2q", _exactly(file, 16))
    sizes = struct.unpack(f"<{count}q", _exactly(file, 8 * count))
    message = _DECODE.decode(_exactly(file, length))
    return Received(message, [_exactly(file, size) for size in sizes])


def _exactly(file: BinaryIO, size: int) -> bytes:
    if not 0 <= size < _MOST:
        raise EOFError("the other process has written something else")
    content = file.read(size) if size else b""
    if len(content) < size:
        raise EOFError("the other process has ended")
    return content


# --------------------------------------------------------------------------- messages and what they stand for


def begin(scorer: Scorer, form: Form | None) -> Begin:
    """The message that a scorer is made again from."""
    texts = [(p.dialect.model_dump(mode="json"), p.names, p.where, p.quote) for p in scorer.parsers]
    return Begin(
        artefact=scorer.artefact,
        version=scorer.version,
        exploration=scorer.exploration,
        segments=scorer.segments,
        names=list(scorer.names),
        dialect=scorer.dialect.model_dump(mode="json"),
        latest=scorer.latest,
        profiler=None if scorer.profiler is None else scorer.profiler.to_bytes(),
        parsers=texts,
        form=form,
    )


def score(number: int, todo: Todo) -> tuple[Score, list[Any]]:
    """The message for a block, and its buffers."""
    content: Any = todo.content
    if todo.table is not None:
        content = as_stream(todo.table)
    without = b"" if todo.without is None else todo.without.astype("<i8").tobytes()
    return Score(number, todo.table is not None, todo.text, todo.decide), [content, without]


def todo_of(message: Score, buffers: Sequence[bytes]) -> Todo:
    """The inverse of `score`."""
    content, without = buffers
    table = of_stream(content) if message.is_table else None
    positions = np.frombuffer(without, "<i8").astype(np.int64) if without else None
    return Todo(table, b"" if message.is_table else content, message.text, positions, message.decide)


def tell(number: int, parts: Sequence[Numbered]) -> tuple[Tell, list[Any]]:
    """The message for a block's ids, and its buffers."""
    buffers: list[Any] = []
    for part in parts:
        if part.probabilities is not None and part.declined is not None:
            buffers += [np.ascontiguousarray(part.probabilities), np.ascontiguousarray(part.declined)]
    return Tell(number, [(part.first_id, part.scored_at) for part in parts], bool(buffers)), buffers


def parts_of(message: Tell, buffers: Sequence[bytes]) -> list[Numbered]:
    """The inverse of `tell`."""
    if not message.is_logged:
        return [Numbered(first, at) for first, at in message.parts]
    return [
        Numbered(first, at, np.frombuffer(buffers[2 * i], np.float64), np.frombuffer(buffers[2 * i + 1], np.bool_))
        for i, (first, at) in enumerate(message.parts)
    ]


def found(done: Done) -> tuple[Scored, list[Any]]:
    """The message for what became of a block, and its buffers."""
    message = Scored(done.read, done.refused, done.columns, done.problems, done.scored_at, done.written)
    return message, [_packed(done.kept, done.read), done.keys, _packed(done.places, done.read)]


def done_of(message: Scored, buffers: Sequence[bytes]) -> Done:
    """The inverse of `found`."""
    kept, keys, places = buffers
    return Done(
        read=message.read,
        kept=_unpacked(kept, message.read),
        refused=message.refused,
        columns=message.columns,
        problems=message.problems,
        keys=np.frombuffer(keys, np.int64),
        places=_unpacked(places, message.read)[: len(keys) // 8],
        scored_at=message.scored_at,
        written=message.written,
    )


def _packed(positions: Ints, read: int) -> Any:
    """Nothing where all are meant, which is nearly always so; else a byte before them, so that none is not all."""
    if len(positions) == read:
        return b""
    return b"\1" + positions.astype("<i8").tobytes()


def _unpacked(content: bytes, read: int) -> Ints:
    return np.frombuffer(content, "<i8", offset=1).astype(np.int64) if content else np.arange(read)


def scorer_of(message: Begin, profiler: Any) -> Scorer:
    """The inverse of `begin`; ``profiler`` is what its bytes stand for."""
    return Scorer(
        artefact=message.artefact,
        version=message.version,
        exploration=message.exploration,
        segments=message.segments,
        names=message.names,
        dialect=DataSettings.model_validate(message.dialect),
        latest=message.latest,
        profiler=profiler,
        parsers=[TextParser(DataSettings.model_validate(d), n, w, q) for d, n, w, q in message.parsers],
    )


def failed(error: Exception) -> Failed:
    """The message for an error."""
    if isinstance(error, RiskloopError):
        return Failed(type(error).__name__, error.message, list(error.details))
    return Failed("RiskloopError", f"A process that scores has failed: {type(error).__name__}: {error}.", [])


def error_of(message: Failed) -> RiskloopError:
    """The inverse of `failed`."""
    kind = getattr(errors, message.kind, RiskloopError)
    error: RiskloopError = kind(message.message, message.details)
    return error


def as_stream(table: pa.Table) -> pa.Buffer:
    """A table as Arrow's stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def of_stream(content: bytes) -> pa.Table:
    """The inverse of `as_stream`, without a copy."""
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()
