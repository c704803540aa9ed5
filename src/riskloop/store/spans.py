"""A span as a condition of SQL, on the decision log or on any table with the same two columns."""

from sqlalchemy import ColumnElement, Table, and_, true

from riskloop.core.span import Span
from riskloop.store.tables import decisions


def where(span: Span, table: Table = decisions) -> ColumnElement[bool]:
    """The rows of ``table``, which has the columns ``id`` and ``time``, that lie in the span."""
    number, time = table.c.id, table.c.time
    limits = (
        (span.first_id, number.__ge__),
        (span.last_id, number.__le__),
        (span.start, time.__ge__),
        (span.end, time.__lt__),
    )
    return and_(true(), *(compare(limit) for limit, compare in limits if limit is not None))
