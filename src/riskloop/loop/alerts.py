"""Who is told that a case needs attention: the log, and a webhook with a signed POST. One alert a case.

A case is alerted when a fault is quarantined, or when a change is confirmed; one that is only watched may be chance. An
outcome file that is late is told of, too, once: without it no window is judged by its outcomes.
Sending happens in a thread of its own and may fail: the store knows which cases were told of, and what was not
delivered is tried again after the next cycle. Nothing here can stop a cycle or make it wait.
"""

import hashlib
import hmac
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import requests

from riskloop.cases import Case, CaseState
from riskloop.core.errors import Locked, RiskloopError
from riskloop.core.settings import AlertSettings, Settings
from riskloop.core.types import Diagnosis, Json
from riskloop.store import audit
from riskloop.store.alerts import remember_alert, remember_late, told, told_late
from riskloop.store.cases import Cases
from riskloop.store.database import Database
from riskloop.store.leases import held
from riskloop.store.maturity import FeedState, OutcomeFeed

log = logging.getLogger("riskloop.alerts")
log.addHandler(logging.NullHandler())  # silent in a notebook or a test, loud in the worker

ACTION: Final = "alert"
LATEST: Final = 100  # cases that are looked through
QUIET: Final = frozenset({CaseState.WATCHING, CaseState.ENDED})  # never more than a first finding
SIGNATURE: Final = "X-Riskloop-Signature"
TIMESTAMP: Final = "X-Riskloop-Timestamp"
FIRST_PAUSE: Final = 0.5  # seconds before the second try; it doubles


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=`` and the HMAC of ``timestamp.body`` in hexadecimal.

    The timestamp is signed too, so that a receiver can refuse an old message that somebody sends again.
    """
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def notify(cases: Cases, feed: OutcomeFeed, now: datetime | None = None) -> threading.Thread | None:
    """Tell of every case that needs attention and was not told of, and of an outcome file that is late at ``now``.

    Where there is a webhook, the thread that sends is returned. It ends after ``alerts.tries`` tries for each case;
    a process that ends waits for it.
    """
    moment = now or datetime.now(UTC)
    if feed.settings.alerts.webhook is None:
        _tell_all(cases, feed, moment)
        return None
    thread = threading.Thread(target=_tell_all, args=(cases, feed, moment), name="riskloop-alerts")
    thread.start()
    return thread


def _tell_all(cases: Cases, feed: OutcomeFeed, now: datetime) -> None:
    try:
        if _due(cases) or late_feed(feed, cases.database, now):
            with held(cases.database, "alerts") as lease:
                for case in _due(cases):  # again: another process may have told of some by now
                    lease.renew()
                    _tell(cases, feed.settings, case)
                state = late_feed(feed, cases.database, now)
                if state is not None:
                    lease.renew()
                    _tell_late(cases.database, feed.settings, state)
    except Locked:
        return  # another process is telling of them
    except RiskloopError as error:
        log.warning("Alerts wait: %s", error.message, extra={"action": "alert_failed"})


def _due(cases: Cases) -> list[Case]:
    known = told(cases.database)
    return [case for case in reversed(cases.latest(LATEST)) if case.id not in known and _matters(cases, case)]


def _matters(cases: Cases, case: Case) -> bool:
    if case.diagnosis is Diagnosis.DATA_FAULT or case.state not in QUIET:
        return True
    # It may have been confirmed and ended within one cycle.
    return case.state is CaseState.ENDED and any(step.state not in QUIET for step in cases.steps(case.id))


def _tell(cases: Cases, whole: Settings, case: Case) -> None:
    settings = whole.alerts
    message = document(cases, whole, case)
    channel: Json = {"channel": "log"}
    if settings.webhook is not None:
        problem = post(settings, message)
        if problem:
            log.error("Case %d was not told of: %s", case.id, problem, extra={"action": "alert_failed"})
            return
        channel = {"channel": "webhook", "url": settings.webhook}
    log.warning("Case %d, %s: %s", case.id, case.diagnosis.value, message["sentence"], extra={"action": ACTION})
    now = datetime.now(UTC)
    with cases.database.write() as connection:
        remember_alert(connection, case.id, channel["channel"], now)
        audit.record(
            connection,
            at=now,
            by="riskloop",
            action=ACTION,
            subject=f"case {case.id}",
            document={**channel, **message},
        )


def late_feed(feed: OutcomeFeed, database: Database, now: datetime) -> FeedState | None:
    """The outcome feed, where its file is late and nobody was told of it yet."""
    state = feed.state(now)
    return None if state.due is None or told_late(database, state.due) else state


def _tell_late(database: Database, settings: Settings, state: FeedState) -> None:
    if state.due is None:
        return
    message: Json = {
        "event": "outcomes_late",
        "portfolio": settings.portfolio.name,
        "due": state.due.isoformat(),
        "last_at": None if state.last_at is None else state.last_at.isoformat(),
        "sentence": state.late,
    }
    channel = "log"
    if settings.alerts.webhook is not None:
        problem = post(settings.alerts, message)
        if problem:
            log.error("Nobody was told of the late outcomes: %s", problem, extra={"action": "alert_failed"})
            return
        channel = "webhook"
    log.warning("%s", state.late, extra={"action": ACTION})
    now = datetime.now(UTC)
    with database.write() as connection:
        remember_late(connection, state.due, channel, now)
        audit.record(connection, at=now, by="riskloop", action=ACTION, subject="outcomes", document=message)


def document(cases: Cases, settings: Settings, case: Case) -> Json:
    """What is told of a case: plain JSON, with the sentence that it was opened with and where it stands now."""
    steps = cases.steps(case.id)
    return {
        "event": "case",
        "portfolio": settings.portfolio.name,
        "case": case.id,
        "diagnosis": case.diagnosis.value,
        "state": case.state.value,
        "opened_at": case.opened_at.isoformat(),
        "window": case.window_id,
        "sentence": steps[0].sentence if steps else case.sentence,
        "latest": case.sentence,
    }


def post(settings: AlertSettings, message: Json, pause: Callable[[float], None] = time.sleep) -> str:
    """POST a signed message; the empty string when it was accepted, else what went wrong with the last try.

    4xx answers other than 408 and 429 are final: the same message would be refused again.
    """
    secret = os.environ.get(settings.secret_env)
    if not secret:
        return f"the environment variable {settings.secret_env} holds no secret; set it, or remove alerts.webhook"
    body = json.dumps(message, sort_keys=True).encode()
    problem = ""
    for number in range(settings.tries):
        if number:
            pause(FIRST_PAUSE * 2.0 ** (number - 1))
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            TIMESTAMP: timestamp,
            SIGNATURE: sign(secret, timestamp, body),
        }
        try:
            answer = requests.post(
                str(settings.webhook), data=body, headers=headers, timeout=settings.timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            problem = f"{settings.webhook} cannot be reached ({type(error).__name__})"
            continue
        if answer.status_code < 300:
            return ""
        problem = f"{settings.webhook} answered {answer.status_code}"
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            break
    return problem
