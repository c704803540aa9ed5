"""Up to when the outcome feed is complete, as it says itself: it only rises, unless a person takes it back."""

from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from riskloop.core.errors import DataError
from riskloop.core.types import from_micros
from riskloop.store import audit
from riskloop.store.tables import deliveries

ACTION = "lower watermark"  # on the audit trail


def watermark(connection: Connection) -> datetime | None:
    """The highest one since it was taken back last; None: no delivery ever gave one. Those in quarantine say nothing.

    What a person said to take it back counts however sound the outcomes are that came along with it.
    """
    lowered = select(func.coalesce(func.max(deliveries.c.id), 0)).where(deliveries.c.reason.is_not(None))
    since = lowered.scalar_subquery()
    counts = or_(~deliveries.c.held, deliveries.c.reason.is_not(None))
    found = connection.execute(
        select(func.max(deliveries.c.complete_until)).where(deliveries.c.id >= since, counts)
    ).scalar()
    return None if found is None else from_micros(found)


def refuse_future(until: datetime | None, at: datetime, done: str = "recorded") -> None:
    """Raise DataError for a watermark after the moment at which it is handed in; nothing was ``done`` then."""
    if until is not None and until > at:
        raise DataError(
            f"The outcomes cannot be complete until {_day(until)} UTC: that is in the future. Nothing was {done}."
        )


def place(
    connection: Connection, until: datetime | None, reason: str | None, at: datetime, by: str
) -> tuple[str | None, tuple[str, ...]]:
    """What a watermark does to the one in force: the reason where it takes that back, and what is to be said.

    Where it does, that goes on the audit trail in the caller's transaction. Raises DataError for a reason without a
    watermark, or with one that is not below the one in force.
    """
    if until is None and reason is not None:
        raise DataError(
            "The reason is for a watermark that goes back, and none was handed in: give its date, too "
            "(--complete-until DATE). Nothing was recorded."
        )
    now = watermark(connection)
    if until is None or (reason is None and now is None):
        return None, ()
    if reason is None:
        if now is None or now <= until:
            return None, ()
        return None, (
            f"The watermark {_day(until)} UTC changes nothing: an earlier one said that the outcomes are complete up "
            f"to {_day(now)} UTC, and the highest counts. Where that one was wrong, hand this one in again with a "
            "reason (--reason WHY).",
        )
    if not reason.strip():
        raise DataError("Say why the watermark goes back: the reason is empty. Nothing was recorded.")
    if now == until:  # a request that was sent twice
        return None, (f"The watermark is {_day(until)} UTC already.",)
    if now is None or now < until:
        said = "none is in force" if now is None else f"the one in force is {_day(now)} UTC"
        raise DataError(
            f"The watermark {_day(until)} UTC takes nothing back: {said}. Leave out the reason to raise it. "
            "Nothing was recorded."
        )
    document = {"before": now.isoformat(), "after": until.isoformat(), "reason": reason}
    audit.record(connection, at=at, by=by, action=ACTION, subject="outcomes", document=document)
    return reason, (
        f"The watermark goes back from {_day(now)} to {_day(until)} UTC. What was judged by outcomes that are open "
        "again is judged again, when they are complete.",
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
