"""The history that a foreign model comes with, and what the model gave its rows."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from riskloop.core.errors import DataError
from riskloop.core.settings import DataSettings, Settings
from riskloop.core.types import Floats, Ints, to_micros
from riskloop.data.opening import open_source
from riskloop.data.outcomes import read_watermark
from riskloop.data.read import STANDARD, Checked, Source, read_rows


@dataclass(frozen=True)
class ReadHistory:
    """Rows, and beside them the scores of a column."""

    checked: Checked
    scores: Floats | None  # (n,) NaN where a row has none
    complete_until: datetime | None


def read_history(
    source: Any,
    settings: Settings,
    *,
    where: str,
    scores: str | None,
    at: datetime,
    complete_until: str | date | datetime | None,
) -> ReadHistory:
    """Checked labelled rows, with the numbers of the column ``scores``. Raises what `read_rows` raises."""
    schema = settings.row_schema
    known = schema if scores is None else replace(schema, ignored=(*schema.ignored, scores))
    checked = read_rows(source, known, target="required", where=where, dialect=settings.data, latest=to_micros(at))
    found = None
    if scores is not None:
        found = numbers_of(source, scores, checked.positions, where=where, dialect=settings.data)
    watermark = None if complete_until is None else read_watermark(complete_until, schema.earliest)
    return ReadHistory(checked, found, watermark)


def numbers_of(source: Source, name: str, positions: Ints, *, where: str, dialect: DataSettings = STANDARD) -> Floats:
    """The numbers in a column, at the ``positions`` that `read_rows` kept, (n,); NaN where there is none.

    Raises DataError where there is no such column, or it holds something else.
    """
    opened, _ = open_source(source, dialect, where)
    if name not in opened.names:
        raise DataError(f"{where} has no column '{name}'; its columns are {', '.join(opened.names)}.")
    places, values = [], []
    for block in opened.blocks([name]):
        places.append(block.positions)
        column = block.table[name]
        try:
            numbers = column if pa.types.is_floating(column.type) else column.cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise DataError(f"The column '{name}' of {where} does not hold numbers: {error}.") from None
        values.append(np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64))
    order = np.argsort(np.concatenate(places), kind="stable")
    known, found = np.concatenate(places)[order], np.concatenate(values)[order]
    return found[np.searchsorted(known, positions)]
