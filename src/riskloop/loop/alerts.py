"""Who is told that a case needs attention: the log, and a webhook with a signed POST. One alert a case.

A case is alerted when a fault is quarantined, or when a change is confirmed; one that is only watched may be chance.
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
from riskloop.core.settings import AlertSettings
from riskloop.core.types import Diagnosis, Json
from riskloop.store import audit
from riskloop.store.alerts import remember_alert, told
from riskloop.store.home import Home
from riskloop.store.leases import held

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


def notify(home: Home) -> threading.Thread | None:
    """Tell of every case that needs attention and was not told of.

    Where there is a webhook, the thread that sends is returned. It ends after ``alerts.tries`` tries for each case;
    a process that ends waits for it.
    """
    if home.settings.alerts.webhook is None:
        _tell_all(home)
        return None
    thread = threading.Thread(target=_tell_all, args=(home,), name="riskloop-alerts")
    thread.start()
    return thread


def _tell_all(home: Home) -> None:
    try:
        if _due(home):
            with held(home.database, "alerts") as lease:
                for case in _due(home):  # again: another process may have told of some by now
                    lease.renew()
                    _tell(home, case)
    except Locked:
        return  # another process is telling of them
    except RiskloopError as error:
        log.warning("Alerts wait: %s", error.message, extra={"action": "alert_failed"})


def _due(home: Home) -> list[Case]:
    known = told(home.database)
    return [case for case in reversed(home.cases.latest(LATEST)) if case.id not in known and _matters(home, case)]


def _matters(home: Home, case: Case) -> bool:
    if case.diagnosis is Diagnosis.DATA_FAULT or case.state not in QUIET:
        return True
    # It may have been confirmed and ended within one cycle.
    return case.state is CaseState.ENDED and any(step.state not in QUIET for step in home.cases.steps(case.id))


def _tell(home: Home, case: Case) -> None:
    settings = home.settings.alerts
    message = document(home, case)
    channel: Json = {"channel": "log"}
    if settings.webhook is not None:
        problem = post(settings, message)
        if problem:
            log.error("Case %d was not told of: %s", case.id, problem, extra={"action": "alert_failed"})
            return
        channel = {"channel": "webhook", "url": settings.webhook}
    log.warning("Case %d, %s: %s", case.id, case.diagnosis.value, message["sentence"], extra={"action": ACTION})
    now = datetime.now(UTC)
    with home.database.write() as connection:
        remember_alert(connection, case.id, channel["channel"], now)
        audit.record(
            connection,
            at=now,
            by="riskloop",
            action=ACTION,
            subject=f"case {case.id}",
            document={**channel, **message},
        )


def document(home: Home, case: Case) -> Json:
    """What is told of a case: plain JSON, with the sentence that it was opened with and where it stands now."""
    steps = home.cases.steps(case.id)
    return {
        "event": "case",
        "portfolio": home.settings.portfolio.name,
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
