"""What people were told of, and what still waits to be sent: one row for each alert and channel.

The rows of an alert are made together when it first is due, one for the log and one for every channel that there is
then. So nothing is told twice, a channel that is added later does not hear of the past, and what could not be sent
waits here as it was worded.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, insert, select, update

from riskloop.core.types import Json, from_micros, to_micros
from riskloop.store.database import Database
from riskloop.store.tables import notices

LOG: Final = "log"


class NoticeState(StrEnum):
    """What became of a notice."""

    SENT = "sent"
    WAITING = "waiting"  # not sent yet, or the channel could not be reached
    REFUSED = "refused"  # the channel does not take it


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert for one channel."""

    subject: str
    channel: str
    state: NoticeState
    tries: int
    at: datetime  # of the last change
    problem: str
    alert: Json  # as it was worded


def known_subjects(database: Database) -> frozenset[str]:
    """What was told of, whether or not it could be sent."""
    with database.read() as connection:
        return frozenset(connection.execute(select(notices.c.subject).distinct()).scalars())


def channels_told(database: Database, subject: str) -> frozenset[str]:
    """The channels that were, or will be, told of something."""
    with database.read() as connection:
        return frozenset(connection.execute(select(notices.c.channel).where(notices.c.subject == subject)).scalars())


def add_notices(connection: Connection, subject: str, channels: Sequence[str], alert: Json, at: datetime) -> None:
    """Keep that an alert is due, in the caller's transaction: the log has it, the channels wait for it."""
    rows = [
        {
            "subject": subject,
            "channel": channel,
            "state": (NoticeState.SENT if channel == LOG else NoticeState.WAITING).value,
            "tries": 0,
            "at": to_micros(at),
            "problem": "",
            "alert": json.dumps(alert, sort_keys=True),
        }
        for channel in (LOG, *channels)
    ]
    connection.execute(insert(notices), rows)


def unsent(database: Database) -> list[Notice]:
    """Notices that did not reach their channel, oldest first."""
    query = select(notices).where(notices.c.state != NoticeState.SENT.value)
    with database.read() as connection:
        rows = connection.execute(query.order_by(notices.c.at, notices.c.subject, notices.c.channel)).all()
    return [
        Notice(
            row.subject,
            row.channel,
            NoticeState(row.state),
            row.tries,
            from_micros(row.at),
            row.problem,
            json.loads(row.alert),
        )
        for row in rows
    ]


def move_notice(connection: Connection, notice: Notice, state: NoticeState, at: datetime, problem: str = "") -> None:
    """Keep what became of a notice, in the caller's transaction."""
    connection.execute(
        update(notices)
        .where(notices.c.subject == notice.subject, notices.c.channel == notice.channel)
        .values(state=state.value, tries=notice.tries + 1, at=to_micros(at), problem=problem)
    )


def sent_to(database: Database, channel: str) -> frozenset[str]:
    """The subjects that a channel was sent."""
    query = select(notices.c.subject).where(notices.c.channel == channel, notices.c.state == NoticeState.SENT.value)
    with database.read() as connection:
        return frozenset(connection.execute(query).scalars())


def keep_sent(connection: Connection, subject: str, channel: str, at: datetime) -> None:
    """Keep that a channel was sent something that is on record anyway, in the caller's transaction."""
    values = {"state": NoticeState.SENT.value, "tries": 1, "at": to_micros(at), "problem": "", "alert": "{}"}
    connection.execute(insert(notices).values(subject=subject, channel=channel, **values))
