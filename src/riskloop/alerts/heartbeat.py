"""The heartbeat: a dead-man's switch elsewhere hears of each cycle, and tells of a machine that is gone."""

import logging
import threading

from riskloop.alerts.channels import Post, secret_of
from riskloop.alerts.message import Alert
from riskloop.core.errors import ConfigError
from riskloop.core.settings import AlertSettings
from riskloop.core.types import Urgency

log = logging.getLogger("riskloop.alerts")


def beat_in_background(settings: AlertSettings) -> threading.Thread | None:
    """POST to the address in `alerts.heartbeat_env`; the thread that does it, None without such an address."""
    if settings.heartbeat_env is None:
        return None
    thread = threading.Thread(target=_beat, args=(settings, settings.heartbeat_env), name="riskloop-heartbeat")
    thread.start()
    return thread


def _beat(settings: AlertSettings, variable: str) -> None:
    try:
        url = secret_of(variable, "heartbeat")
        post = Post("heartbeat", Urgency.INFO, url, lambda _alert: ({}, {}), 1, settings.timeout)
        problem = post.send(Alert("", "heartbeat", Urgency.INFO, "", "", "")).problem
    except ConfigError as error:
        problem = error.message
    if problem:
        log.warning("The heartbeat was not sent: %s", problem, extra={"action": "heartbeat_failed"})
