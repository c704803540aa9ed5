"""Rows of a file whose id came before, with the same time where there are times: found in 8 bytes a row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from riskloop.core.schema import Schema
from riskloop.core.types import Ints
from riskloop.data.columns import Problems, RefusedRow, read_ids, read_times
from riskloop.data.tables import Source

if TYPE_CHECKING:
    import pyarrow as pa


_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


def keys_of(ids: Sequence[str], times: Ints) -> Ints:
    """A hash of id and time for each row that has an id; the same in every process that has the same PYTHONHASHSEED."""
    if not len(ids) or not any(ids):
        return np.empty(0, dtype=np.int64)
    hashed = np.fromiter(map(hash, ids), dtype=np.int64, count=len(ids))
    mixed = hashed.view(np.uint64) ^ (times.view(np.uint64) * _MIX)
    return mixed.view(np.int64)


class RowKeys:
    """Hashes of the rows' ids and times, and where the rows stand."""

    def __init__(self) -> None:
        # One array that grows: small ones that stay would lie between a block's large ones, and hold their memory.
        self._keys = np.empty(0, dtype=np.int64)
        self._blocks: list[tuple[int, Ints | range]] = []  # how many rows, and their positions
        self._count = 0

    def add(self, keys: Ints, positions: Ints) -> None:
        """The rows of a block, each (n,)."""
        if len(keys):
            whole = range(int(positions[0]), int(positions[-1]) + 1)
            self._blocks.append((len(keys), whole if len(whole) == len(positions) else positions))
            end = self._count + len(keys)
            if end > len(self._keys):
                self._keys.resize(max(end, 2 * len(self._keys)), refcheck=False)
            self._keys[self._count : end] = keys
            self._count = end

    def alike(self) -> Ints:
        """The positions of rows whose hash occurs more than once, ascending."""
        ordered = np.sort(self._keys[: self._count])
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(twice):
            return twice
        begins = np.cumsum([0, *(rows for rows, _ in self._blocks)])
        found = [
            np.asarray(positions)[np.isin(self._keys[begin : begin + rows], twice)]
            for begin, (rows, positions) in zip(begins.tolist(), self._blocks, strict=False)
        ]
        return np.sort(np.concatenate(found))


def repeated_rows(source: Source, schema: Schema, alike: Ints) -> list[RefusedRow]:
    """Those of the rows at the positions ``alike`` whose id did come before; they are read again to be sure."""
    if not len(alike) or schema.id is None:
        return []
    timed = schema.time is not None and schema.time in source.names
    columns = [schema.id, *([str(schema.time)] if timed else [])]
    text = "is a duplicate id with the same time" if timed else "is a duplicate id"
    seen: set[tuple[str, int]] = set()
    found = []
    for block in source.blocks(columns):
        rows = np.flatnonzero(np.isin(block.positions, alike))
        if not len(rows):
            continue
        ids, times = _read(block.table.take(rows), schema, timed)
        for position, identity, time in zip(block.positions[rows].tolist(), ids, times, strict=True):
            if identity and (identity, time) in seen:
                found.append(RefusedRow(position, schema.id, text, identity))
            seen.add((identity, time))
    return found


def _read(table: "pa.Table", schema: Schema, timed: bool) -> tuple[list[str], Sequence[int]]:
    ignored = Problems(positions=np.arange(table.num_rows))
    ids = read_ids(table[str(schema.id)], str(schema.id), ignored)
    times = read_times(table[str(schema.time)], schema, ignored, None).tolist() if timed else [0] * len(ids)
    return ids, times
