"""Any frame, CSV, Arrow table or batch as coded rows, for looking at: what does not fit is a finding, never an error.

Requests and histories are read strictly by `data.read`. A monitor has to say what is wrong with a file that such a
reader refuses, and to go on with the other columns.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from msgspec import structs

from riskloop.core.findings import DeclaredCheck
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import Finding, Floats, Ints, Severity
from riskloop.data.columns import Problems, read_levels, read_numbers, read_times
from riskloop.data.read import STANDARD, table_of

_COLUMNS: Final = ("the data has the columns of the history", "The schema of the champion")
COLUMN: Final = DeclaredCheck("column", *_COLUMNS)
NEW_COLUMN: Final = DeclaredCheck("new_column", *_COLUMNS)
UNREADABLE_VALUES: Final = DeclaredCheck("unreadable", "every value can be read", "The schema of the champion")
UNREADABLE: Final = 0.01  # of the values


def coded(
    source: Any, schema: Schema, where: str = "The data", dialect: DataSettings = STANDARD
) -> tuple[Floats, Ints, list[Finding]]:
    """Features (n, k) coded by ``schema``, times (n,) in microseconds, and what is wrong with the columns.

    A column that is not there is missing in every row, a value that cannot be read is missing, a level never seen is
    unseen, a column that the schema does not know is named and not read. Times are empty where there are none.
    Raises NotFound or MalformedBody for what is no table at all.
    """
    table = table_of(source, where=where, dialect=dialect, ragged=True, target=schema.target)
    n, names = table.num_rows, table.column_names
    features = np.full((n, len(schema)), np.nan)
    found: list[Finding] = []
    times, broken = _times(table, schema)
    for j, feature in enumerate(schema.features):
        if feature.name not in names:
            found.append(_finding(COLUMN, feature.name, Severity.FAULT, n, f"{feature.name} is not there."))
            continue
        features[:, j], unreadable = _read(table[feature.name], feature, schema, dialect.decimal, times)
        share = unreadable / max(1, n)
        severity = Severity.FAULT if share > UNREADABLE else Severity.OK
        if unreadable:
            sentence = f"{unreadable} values of {feature.name} are no numbers."
            found.append(_finding(UNREADABLE_VALUES, feature.name, severity, n, sentence, share))
    if broken:
        sentence = f"{broken} values of {schema.time} are no dates."
        found.append(_finding(UNREADABLE_VALUES, str(schema.time), Severity.FAULT, n, sentence))
    known = {*schema.names, schema.id, schema.time, schema.target, *schema.ignored}
    for name in names:
        if name not in known:
            sentence = f"{name} is a new column: the history does not have it, and it is not read."
            found.append(_finding(NEW_COLUMN, str(name), Severity.OK, n, sentence))
    return features, times, found


def _read(column: pa.ChunkedArray, feature: Feature, schema: Schema, decimal: str, times: Ints) -> tuple[Floats, int]:
    """The values as they are coded, NaN where they cannot be read, and how many those are; no limit is checked."""
    free = structs.replace(feature, nullable=True, unseen="flag", low=None, high=None)
    problems = Problems(positions=np.arange(len(column)))
    if feature.kind == "category":
        return read_levels(column, free, problems, schema), 0
    values = read_numbers(column, free, problems, schema, decimal, times if len(times) else None)
    values[[entry.position for entry in problems.found]] = np.nan
    return values, len(column) if problems.columns else len(problems.found)


def _times(table: pa.Table, schema: Schema) -> tuple[Ints, int]:
    if schema.time is None or schema.time not in table.column_names:
        return np.empty(0, dtype=np.int64), 0
    problems = Problems(positions=np.arange(table.num_rows))
    times = read_times(table[schema.time], schema, problems)
    return (np.empty(0, dtype=np.int64), problems.total) if problems.total else (times, 0)


def _finding(
    check: DeclaredCheck, subject: str, severity: Severity, rows: int, sentence: str, share: float | None = None
) -> Finding:
    critical = UNREADABLE if share is not None else None
    return check.finding(subject, severity, (rows, 0), sentence, statistic=share, critical=critical)
