"""Any frame, CSV, Arrow table or batch as coded rows, for looking at: what does not fit is a finding, never an error.

Requests and histories are read strictly by `data.read`. A monitor has to say what is wrong with a file that such a
reader refuses, and to go on with the other columns.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
from msgspec import structs

from riskloop.core.findings import DeclaredCheck
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import Finding, Floats, Ints, Severity
from riskloop.data.columns import Problems, read_levels, read_numbers, read_times
from riskloop.data.opening import open_source
from riskloop.data.read import STANDARD, BlockReader

_COLUMNS: Final = ("the data has the columns of the history", "The schema of the champion")
COLUMN: Final = DeclaredCheck("column", *_COLUMNS)
NEW_COLUMN: Final = DeclaredCheck("new_column", *_COLUMNS)
UNREADABLE_VALUES: Final = DeclaredCheck("unreadable", "every value can be read", "The schema of the champion")
UNREADABLE: Final = 0.01  # of the values
FEW: Final = 3  # values that are errors of their rows, which are set aside, however small the file
TABLE_ROWS: Final = 2**16  # of a table that are coded at a time


def coded(
    source: Any, schema: Schema, where: str = "The data", dialect: DataSettings = STANDARD
) -> tuple[Floats, Ints, list[Finding]]:
    """Features (n, k) coded by ``schema``, times (n,) in microseconds, and what is wrong with the columns.

    A column that is not there is missing in every row, a value that cannot be read is missing, a level never seen is
    unseen, a column that the schema does not know is named and not read. Times are empty where there are none.
    Raises NotFound or MalformedBody for what is no table at all.
    """
    read = CodedBlocks(source, schema, where, dialect)
    features, times = zip(*read, strict=True)
    whole = np.concatenate(features), np.concatenate(times)
    return whole[0], whole[1] if read.dated else np.empty(0, dtype=np.int64), read.findings()


class CodedBlocks:
    """A source as blocks of coded features and times, as `coded` has them; one at least, which may have no rows.

    A file may be larger than memory. ``rows``, ``dated`` and ``findings`` are of the blocks so far. A row whose date is
    none is left out, as it is set aside when the file is scored; the times of a block that has no date at all are 0.
    """

    def __init__(self, source: Any, schema: Schema, where: str, dialect: DataSettings) -> None:
        self.schema, self.rows, self.dated = schema, 0, schema.time is not None
        self._source, self._dialect = source, dialect
        if isinstance(source, pa.Table):
            self._names = source.column_names
        else:
            if not hasattr(source, "blocks"):
                self._source = open_source(source, dialect, where, target=schema.target)[0]
            self._names = list(self._source.names)
        self._unreadable = dict.fromkeys(schema.names, 0)
        self._broken = 0

    def __iter__(self) -> Iterator[tuple[Floats, Ints]]:
        """Each block's features (n, k) and times (n,)."""
        for table in self._tables():
            yield self._coded(table)
        if not self.rows:
            yield np.full((0, len(self.schema)), np.nan), np.empty(0, dtype=np.int64)

    def _tables(self) -> Iterator[pa.Table]:
        if isinstance(self._source, pa.Table):
            for start in range(0, self._source.num_rows, TABLE_ROWS):
                yield self._source.slice(start, TABLE_ROWS)
            return
        wanted = BlockReader(self.schema, self._names, self._dialect, None)
        for block in self._source.blocks(wanted.columns, wanted.types):
            yield block.table

    def _coded(self, table: pa.Table) -> tuple[Floats, Ints]:
        self.rows += table.num_rows
        schema, names = self.schema, {*table.column_names}
        times, kept = _times(table, schema)
        self._broken += 0 if kept is None else table.num_rows - len(kept)
        if kept is not None and len(kept):
            table, times = table.take(pa.array(kept)), times[kept]
        elif table.num_rows:
            times, self.dated = np.empty(0, dtype=np.int64), False
        n = table.num_rows
        features = np.full((n, len(schema)), np.nan)
        for j, feature in enumerate(schema.features):
            if feature.name in names:
                features[:, j], wrong = _read(table[feature.name], feature, schema, self._dialect.decimal, times)
                self._unreadable[feature.name] += wrong
        return features, times if len(times) else np.zeros(n, dtype=np.int64)

    def findings(self) -> list[Finding]:
        """What is wrong with the columns."""
        found, n, names = [], self.rows, self._names
        for name, unreadable in self._unreadable.items():
            if name not in names:
                found.append(_finding(COLUMN, name, Severity.FAULT, n, f"{name} is not there."))
            elif unreadable:
                found.append(_unreadable(name, unreadable, n, "numbers"))
        if self._broken:
            found.append(_unreadable(str(self.schema.time), self._broken, n, "dates"))
        schema = self.schema
        known = {*schema.names, schema.id, schema.time, schema.target, schema.known_at, *schema.ignored}
        for name in names:
            if name not in known:
                sentence = f"{name} is a new column: the history does not have it, and it is not read."
                found.append(_finding(NEW_COLUMN, str(name), Severity.OK, n, sentence))
        return found


def _read(column: pa.ChunkedArray, feature: Feature, schema: Schema, decimal: str, times: Ints) -> tuple[Floats, int]:
    """The values as they are coded, NaN where they cannot be read, and how many those are; no limit is checked."""
    free = structs.replace(feature, nullable=True, unseen="flag", low=None, high=None)
    problems = Problems(positions=np.arange(len(column)))
    if feature.kind == "category":
        return read_levels(column, free, problems, schema), 0
    values = read_numbers(column, free, problems, schema, decimal, times if len(times) else None)
    values[[entry.position for entry in problems.found]] = np.nan
    return values, len(column) if problems.columns else len(problems.found)


def _times(table: pa.Table, schema: Schema) -> tuple[Ints, Ints | None]:
    """The times of the rows (n,), and which rows have one; None where there is no column of dates."""
    if schema.time is None or schema.time not in table.column_names:
        return np.empty(0, dtype=np.int64), None
    problems = Problems(positions=np.arange(table.num_rows))
    times = read_times(table[schema.time], schema, problems)
    return times, np.setdiff1d(problems.positions, [entry.position for entry in problems.found])


def _unreadable(name: str, values: int, rows: int, what: str) -> Finding:
    """That values of a column cannot be read: a fault of the file where it is more than a slip in some rows."""
    share = values / max(1, rows)
    severity = Severity.FAULT if share > UNREADABLE and values > FEW else Severity.OK
    sentence = f"{values} value{'s' * (values != 1)} of {name} {'is' if values == 1 else 'are'} no {what}."
    return _finding(UNREADABLE_VALUES, name, severity, rows, sentence, share)


def _finding(
    check: DeclaredCheck, subject: str, severity: Severity, rows: int, sentence: str, share: float | None = None
) -> Finding:
    critical = UNREADABLE if share is not None else None
    return check.finding(subject, severity, (rows, 0), sentence, statistic=share, critical=critical)
