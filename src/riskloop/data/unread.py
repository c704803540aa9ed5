"""Dates in a file of outcomes that nothing reads: perhaps they say when each outcome became known."""

import json

import pyarrow as pa

from riskloop.core.schema import Schema
from riskloop.core.values import is_missing
from riskloop.data.columns import is_text
from riskloop.data.guess import date_orders
from riskloop.data.tables import Source

LOOKED_AT = 100  # values of a column


def unread_dates(source: Source, schema: Schema) -> tuple[str, ...]:
    """A sentence that names the columns of dates that are not read; none where `known_names` has its column."""
    read = {"decision_id", "customer_id", "default", schema.id, schema.unit, schema.time, schema.target}
    others = [name for name in source.names if name not in {*read, *schema.names}]
    block = None if {*known_names(schema)} & {*others} or not others else next(iter(source.blocks(others)), None)
    dated = [] if block is None else [name for name in others if is_dated(block.table[name], schema)]
    if not dated:
        return ()
    named, are = " and ".join(f"'{name}'" for name in dated), "are" if len(dated) > 1 else "is"
    return (
        f"{named} {are} not read: all outcomes count as known now. If a column says when each outcome became known, "
        f"write known_at = {json.dumps(dated[0], ensure_ascii=False)} into [portfolio], or call it known_at.",
    )


def known_names(schema: Schema) -> list[str]:
    """The names of the column that says when an outcome became known, the one of the configuration first."""
    return list(dict.fromkeys((schema.known_at, "known_at")))


def is_dated(column: pa.ChunkedArray, schema: Schema) -> bool:
    """Whether the first values are dates."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return bool(column.null_count < len(column))
    if not is_text(kind):
        return False
    texts = [str(text).strip() for text in column.slice(0, LOOKED_AT).to_pylist() if text is not None]
    texts = [text for text in texts if not is_missing(text, schema.missing)]
    short = any(text.isdecimal() and len(text) < len("20250630") for text in texts)  # a number, and no date
    return bool(texts) and not short and bool(date_orders(texts))
