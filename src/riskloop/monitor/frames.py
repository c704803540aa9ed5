"""Any frame, CSV, Arrow table or batch as coded rows, for looking at: what does not fit is a finding, never an error.

Requests and histories are read strictly by `data.read`. A monitor has to say what is wrong with a file that such a
reader refuses, and to go on with the other columns.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from riskloop.core.findings import DeclaredCheck
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Finding, Floats, Ints, Severity
from riskloop.core.values import level_text, parse_time
from riskloop.data.read import table_of

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS: Final = ("the data has the columns of the history", "The schema of the champion")
COLUMN: Final = DeclaredCheck("column", *_COLUMNS)
NEW_COLUMN: Final = DeclaredCheck("new_column", *_COLUMNS)
UNREADABLE_VALUES: Final = DeclaredCheck("unreadable", "every value can be read", "The schema of the champion")
UNREADABLE: Final = 0.01  # of the values


def coded(source: Any, schema: Schema, where: str = "The data") -> tuple[Floats, Ints, list[Finding]]:
    """Features (n, k) coded by ``schema``, times (n,) in microseconds, and what is wrong with the columns.

    A column that is not there is missing in every row, a value that cannot be read is missing, a level never seen is
    unseen, a column that the schema does not know is named and not read. Times are empty where there are none.
    Raises NotFound or MalformedBody for what is no table at all.
    """
    frame = table_of(source, where=where).to_pandas()
    features = np.full((len(frame), len(schema)), np.nan)
    found: list[Finding] = []
    for j, feature in enumerate(schema.features):
        if feature.name not in frame.columns:
            found.append(_finding(COLUMN, feature.name, Severity.FAULT, len(frame), f"{feature.name} is not there."))
            continue
        read = _levels if feature.kind == "category" else _numbers
        features[:, j], unreadable = read(frame[feature.name], feature)
        share = unreadable / max(1, len(frame))
        severity = Severity.FAULT if share > UNREADABLE else Severity.OK
        if unreadable:
            sentence = f"{unreadable} values of {feature.name} are no numbers."
            found.append(_finding(UNREADABLE_VALUES, feature.name, severity, len(frame), sentence, share))
    times, broken = _times(frame, schema)
    if broken:
        found.append(
            _finding(UNREADABLE_VALUES, str(schema.time), Severity.FAULT, len(frame), f"{broken} dates are none.")
        )
    known = {*schema.names, schema.id, schema.time, schema.target, *schema.ignored}
    for name in frame.columns:
        if name not in known:
            sentence = f"{name} is a new column: the history does not have it, and it is not read."
            found.append(_finding(NEW_COLUMN, str(name), Severity.OK, len(frame), sentence))
    return features, times, found


def _numbers(column: "pd.Series[Any]", feature: Feature) -> tuple[Floats, int]:
    import pandas as pd

    read = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return read, int((np.isnan(read) & column.notna().to_numpy()).sum())


def _levels(column: "pd.Series[Any]", feature: Feature) -> tuple[Floats, int]:
    unseen = float(len(feature.categories))
    codes = {value: float(feature.codes.get(level_text(value), unseen)) for value in column.dropna().unique()}
    return column.map(codes).to_numpy(dtype=np.float64, na_value=np.nan), 0


def _times(frame: "pd.DataFrame", schema: Schema) -> tuple[Ints, int]:
    if schema.time is None or schema.time not in frame.columns:
        return np.empty(0, dtype=np.int64), 0
    try:
        return np.asarray([parse_time(value) for value in frame[schema.time]], dtype=np.int64), 0
    except (ValueError, TypeError):
        return np.empty(0, dtype=np.int64), _unreadable(frame[schema.time].tolist())


def _unreadable(values: Sequence[Any]) -> int:
    broken = 0
    for value in values:
        try:
            parse_time(value)
        except (ValueError, TypeError):
            broken += 1
    return broken


def _finding(
    check: DeclaredCheck, subject: str, severity: Severity, rows: int, sentence: str, share: float | None = None
) -> Finding:
    critical = UNREADABLE if share is not None else None
    return check.finding(subject, severity, (rows, 0), sentence, statistic=share, critical=critical)
