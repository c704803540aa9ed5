"""Rows of a file whose id came before, with the same time where there are times: found in 16 bytes a row."""

from collections.abc import Sequence

import numpy as np

from riskloop.core.schema import Schema
from riskloop.core.types import Ints
from riskloop.data.columns import Problems, RefusedRow, read_ids, read_times
from riskloop.data.tables import Source


class RowKeys:
    """Hashes of the rows' ids and times, and where the rows stand."""

    def __init__(self) -> None:
        self._keys: list[Ints] = []
        self._positions: list[Ints] = []

    def add(self, keys: Ints, positions: Ints) -> None:
        """The rows of a block, each (n,)."""
        self._keys.append(keys)
        self._positions.append(positions)

    def alike(self) -> Ints:
        """The positions of rows whose hash occurs more than once, ascending."""
        if not self._keys:
            return np.empty(0, dtype=np.int64)
        keys = np.concatenate(self._keys)
        order = np.argsort(keys, kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        if not same.any():
            return np.empty(0, dtype=np.int64)
        member = np.zeros(len(keys), dtype=np.bool_)
        member[order[1:][same]] = member[order[:-1][same]] = True
        return np.sort(np.concatenate(self._positions)[member])


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


def _read(table: object, schema: Schema, timed: bool) -> tuple[list[str], Sequence[int]]:
    ignored = Problems(positions=np.arange(table.num_rows))  # type: ignore[attr-defined]
    ids = read_ids(table[schema.id], str(schema.id), ignored)  # type: ignore[index]
    times = read_times(table[schema.time], schema, ignored, None).tolist() if timed else [0] * len(ids)  # type: ignore[index]
    return ids, times
