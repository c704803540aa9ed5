"""The history that a foreign model comes with, and what the model gave its rows."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from msgspec.structs import replace

from riskloop.core.settings import Settings
from riskloop.core.types import Floats, to_micros
from riskloop.data.outcomes import read_watermark
from riskloop.data.read import Checked, numbers_of, read_rows


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
