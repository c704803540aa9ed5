"""Rows of a file whose id came before, with the same time where there are times: found in 8 bytes a row."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from riskloop.core.schema import Schema
from riskloop.core.types import Ints
from riskloop.data import ids
from riskloop.data.columns import Problems, RefusedRow, read_ids, read_times
from riskloop.data.survey import Column, Survey
from riskloop.data.tables import Source

if TYPE_CHECKING:
    import pyarrow as pa


APART: Final = 0.5  # of the rows: fewer different values are no ids of which some rows are copies
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


def ids_of_copies(source: Source, looked: Survey, named: str | None, most: float) -> list[str]:
    """What to say of ids that come twice only in rows that are there twice; such columns are ``distinct`` from then on.

    Looked at are columns that would be ids if their values came once, and the one that a person ``named``. A file of
    which more than the share ``most`` is set aside is refused.
    """
    notes = []
    for column in looked.columns.values():
        if not _would_be_id(column, named) or not (copies := _copies(source, column.name)):
            continue
        column.distinct = True
        several = (
            "rows are copies of earlier ones, the same" if copies > 1 else "row is a copy of an earlier one, the same"
        )
        aside = (
            "one row of each is learned from, and the copies are set aside."
            if copies <= most * looked.rows
            else f"take the copies out of the file, for max_refused of [data] lets {most:.1%} of the rows be set aside."
        )
        notes.append(f"{copies:,} {several} in '{column.name}' and every other column: {aside}")
    return notes


def _would_be_id(column: Column, named: str | None) -> bool:
    if column.missing or column.unique or column.rows < 2:
        return False
    different = len(set(column.sample.tolist())) if column.many else len(column.levels)
    once = replace(column, distinct=True, keys=[])
    near = different > APART * (len(column.sample) if column.many else column.rows)
    return near and (column.name == named or ids.is_id(once) or ids.is_key(once))


def _copies(source: Source, name: str) -> int:
    """How many rows have the id of an earlier row; 0 where one of them differs from it in any column."""
    keys = RowKeys()
    for block in source.blocks([name]):
        keys.add(keys_of(_written(block.table, name), np.zeros(block.table.num_rows, dtype=np.int64)), block.positions)
    alike, first, copies = keys.alike(), dict[str, int](), 0
    for block in source.blocks() if len(alike) else ():
        table = block.table.take(np.flatnonzero(np.isin(block.positions, alike)))
        for identity, row in zip(_written(table, name), table.to_pylist(), strict=True):
            content = hash(repr(row))
            if identity not in first:
                first[identity] = content
            elif first[identity] == content:
                copies += 1
            else:
                return 0
    return copies


def _written(table: "pa.Table", name: str) -> list[str]:
    return [str(value) for value in table[name].to_pylist()]
