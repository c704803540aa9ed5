"""What the local engine's processes send each other comes out as it went in, and what is cut off is no message."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from riskloop.batch import wire
from riskloop.batch.blocks import Numbered
from riskloop.batch.scorer import Done, Todo
from riskloop.core import errors
from riskloop.core.errors import RiskloopError
from riskloop.core.types import Problem
from riskloop.data.columns import RefusedRow
from riskloop.store.segment_files import Written


def sent(message: Any, *buffers: Any) -> wire.Received:
    pipe = io.BytesIO()
    wire.send(pipe, message, *buffers)
    pipe.seek(0)
    return wire.receive(pipe)


@pytest.mark.parametrize("seed", range(8))
def test_what_became_of_a_block_comes_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    read = int(rng.integers(1, 9))
    kept = np.flatnonzero(rng.random(read) < rng.choice([0.0, 0.5, 1.0]))
    places = np.arange(read) if seed % 2 else np.flatnonzero(rng.random(read) < 0.5)
    keys = rng.integers(-(2**62), 2**62, len(places) if seed % 3 else 0)
    values = ["", "x", 1, -2.5, None, b"\0", True, float("inf")]
    refused = [RefusedRow(i, "debt", "is odd", values[int(rng.integers(8))]) for i in range(read)]
    written = Written("p", "s", 1, 2, 3, 4, 5, 6, 7, 0.1, bytes(rng.bytes(9)) if seed % 2 else None)
    done = Done(read, kept, refused, [Problem("a", "b", 1.5)], 7, keys, places[: len(keys)], 11, written)
    message, buffers = wire.found(done)
    back = wire.done_of(*sent(message, *buffers))  # type: ignore[arg-type]
    for name in ("kept", "keys", "places"):
        assert getattr(back, name).tolist() == getattr(done, name).tolist(), name
    assert back[0] == read
    assert back[2:5] == done[2:5]
    assert back[7:] == done[7:]


@pytest.mark.parametrize("without", [None, [], [3, 5]])
@pytest.mark.parametrize("rows", [pa.table({"a": [1, None], "b": ["ä", "\0"]}), b"", b"1,2\n3,4\n"])
def test_blocks_and_their_ids_arrive(rows: Any, without: list[int] | None) -> None:
    is_table = isinstance(rows, pa.Table)
    positions = None if without is None else np.array(without, dtype=np.int64)
    todo = Todo(rows if is_table else None, b"" if is_table else rows, 2, positions, decide=False)
    message, buffers = wire.score(9, todo)
    received = sent(message, *buffers)
    back = wire.todo_of(*received)  # type: ignore[arg-type]
    assert (back.text, back.decide, back.content) == (2, False, todo.content)
    assert back.table == todo.table
    assert ([] if back.without is None else back.without.tolist()) == (without or [])
    logged = [
        Numbered(5, 1, np.array([0.25, 0.5]), np.array([True, False])),
        Numbered(90, 2, np.array([0.1]), np.array([True])),
    ]
    for parts in ([Numbered(7)], logged):
        told, arrays = wire.tell(9, parts)
        again = wire.parts_of(*sent(told, *arrays))  # type: ignore[arg-type]
        for one, other in zip(parts, again, strict=True):
            assert (one.first_id, one.scored_at) == (other.first_id, other.scored_at)
            for name in ("probabilities", "declined"):
                mine, theirs = getattr(one, name), getattr(other, name)
                assert (mine is None and theirs is None) or mine.tolist() == theirs.tolist()


def test_errors_keep_their_kind() -> None:
    problems = (Problem("debt", "is missing"),)
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, RiskloopError)]
    for kind in kinds:
        if kind.__init__ is RiskloopError.__init__:
            back = wire.error_of(sent(wire.failed(kind("why", problems))).message)  # type: ignore[arg-type]
            assert (type(back), back.message, back.details) == (kind, "why", problems)
    back = wire.error_of(sent(wire.failed(ZeroDivisionError("by 0"))).message)  # type: ignore[arg-type]
    assert type(back) is RiskloopError
    assert "ZeroDivisionError: by 0" in back.message


def test_what_is_cut_off_is_no_message() -> None:
    pipe = io.BytesIO()
    wire.send(pipe, wire.Told(False), b"rows")
    whole = pipe.getvalue()
    for end in range(len(whole)):
        with pytest.raises(EOFError):
            wire.receive(io.BytesIO(whole[:end]))
    with pytest.raises(EOFError):
        wire.receive(io.BytesIO(b"Traceback (most recent call last)"))
