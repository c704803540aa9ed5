"""From what is due to who was told: written down first, with its words, then sent.

Sending happens in a thread of its own. A channel that cannot be reached is tried again the next time, one that refuses
once a day; a problem is logged when it is new, not each time.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import convert, to_builtins

from riskloop.alerts.channels import Channel, channels_of
from riskloop.alerts.message import Alert
from riskloop.core.errors import ConfigError, Locked, NotFound, RiskloopError
from riskloop.core.settings import AlertSettings, Settings
from riskloop.core.types import Urgency
from riskloop.store import audit
from riskloop.store.database import Database
from riskloop.store.leases import held
from riskloop.store.notices import (
    LOG,
    Notice,
    NoticeState,
    add_notices,
    channels_told,
    known_subjects,
    move_notice,
    unsent,
)

log = logging.getLogger("riskloop.alerts")
log.addHandler(logging.NullHandler())  # silent in a notebook or a test, loud in the worker

ACTION: Final = "alert"
AGAIN: Final = timedelta(days=1)  # after which a channel that refused is asked once more
LOUDNESS: Final = {Urgency.INFO: logging.INFO, Urgency.WARNING: logging.WARNING, Urgency.CRITICAL: logging.ERROR}

Source = Callable[[frozenset[str]], Iterator[Alert]]  # what is due, given the subjects that were told of


def tell(database: Database, settings: Settings, source: Source) -> threading.Thread | None:
    """Write down what is due and send what waits; the thread that does it, or None where only the log is told."""
    if settings.alerts.webhook is None and not settings.alerts.channels:
        _tell_all(database, settings.alerts, source)
        return None
    thread = threading.Thread(target=_tell_all, args=(database, settings.alerts, source), name="riskloop-alerts")
    thread.start()
    return thread


def send_test(settings: Settings, name: str | None = None) -> dict[str, str]:
    """Send a message to every channel, or to the one called ``name``; {channel: problem}, empty where it was taken.

    Raises NotFound when there is no such channel.
    """
    words = "This is a test: nothing has happened. Alerts of this portfolio arrive here."
    alert = Alert(
        "test", "test", Urgency.INFO, "Test message", words, settings.portfolio.name, {}, settings.alerts.link
    )
    named = _named(settings.alerts)
    if name is not None and name not in named:
        raise NotFound(f"There is no alert channel '{name}' in riskloop.toml; there {_listed(list(named))}.")
    chosen = {key: channel for key, channel in named.items() if name in (None, key)}
    return {
        key: channel.message if isinstance(channel, ConfigError) else channel.send(alert).problem
        for key, channel in chosen.items()
    }


def _listed(names: list[str]) -> str:
    return f"are {', '.join(names)}" if names else "is none"


def _named(settings: AlertSettings) -> dict[str, Channel | ConfigError]:
    names = [*(["webhook"] if settings.webhook is not None else []), *settings.channels]
    return dict(zip(names, channels_of(settings), strict=True))


def _tell_all(database: Database, settings: AlertSettings, source: Source) -> None:
    """One process at a time."""
    try:
        if next(source(known_subjects(database)), None) is None and not _to_send(database):
            return
        with held(database, "alerts") as lease:
            for alert in source(known_subjects(database)):  # again: another process may have told of some by now
                lease.renew()
                _write_down(database, settings, alert)
            channels = _named(settings)
            for notice in _to_send(database):
                lease.renew()
                if notice.channel in channels:
                    _send(database, notice, channels[notice.channel])
    except Locked:
        return  # another process is telling
    except RiskloopError as error:
        log.warning("Alerts wait: %s", error.message, extra={"action": "alert_failed"})


def _to_send(database: Database) -> list[Notice]:
    now = datetime.now(UTC)
    return [n for n in unsent(database) if n.state is NoticeState.WAITING or now - n.at >= AGAIN]


def _write_down(database: Database, settings: AlertSettings, alert: Alert) -> None:
    """The log hears of it now; the channels that want such an alert wait for it."""
    named, moment = _wanted(database, settings, alert), datetime.now(UTC)
    with database.write() as connection:
        add_notices(connection, alert.subject, named, to_builtins(alert), moment)
        if not named and alert.urgency is not Urgency.INFO:
            document = {"channel": LOG, **alert.document, "sentence": alert.sentence}
            audit.record(connection, at=moment, by="riskloop", action=ACTION, subject=alert.subject, document=document)
    log.log(LOUDNESS[alert.urgency], "%s: %s", alert.title, alert.sentence, extra={"action": ACTION})


def _wanted(database: Database, settings: AlertSettings, alert: Alert) -> list[str]:
    """The channels that want such an alert. An incident is resolved wherever it was opened, however urgent that is."""
    order, urgency = list(Urgency), alert.urgency
    names = ["webhook"] if settings.webhook is not None and urgency is not Urgency.INFO else []
    opened = channels_told(database, alert.ends) if alert.ends is not None else frozenset()
    return names + [
        name
        for name, c in settings.channels.items()
        if order.index(urgency) >= order.index(Urgency(c.least)) or (c.kind == "pagerduty" and name in opened)
    ]


def _send(database: Database, notice: Notice, channel: Channel | ConfigError) -> None:
    alert = convert(notice.alert, Alert)
    if isinstance(channel, ConfigError):
        problem, final = channel.message, False
    else:
        reply = channel.send(alert)
        problem, final = reply.problem, reply.final
    moment = datetime.now(UTC)
    if problem:
        state = NoticeState.REFUSED if final else NoticeState.WAITING
        if problem != notice.problem:  # said once, not after every cycle
            words = "The alert '%s' did not reach %s: %s"
            log.error(words, alert.title, notice.channel, problem, extra={"action": "alert_failed"})
        with database.write() as connection:
            move_notice(connection, notice, state, moment, problem)
        return
    with database.write() as connection:
        move_notice(connection, notice, NoticeState.SENT, moment)
        document = {"channel": notice.channel, **alert.document, "sentence": alert.sentence}
        audit.record(connection, at=moment, by="riskloop", action=ACTION, subject=alert.subject, document=document)
