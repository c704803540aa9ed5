"""The channels: how each wants to be told, and what its answer means.

A body that is refused (4xx other than 408 and 429) would be refused again, so that is final; everything else may
heal. The address of a channel is often its secret: no sentence here carries it.
"""

import hashlib
import hmac
import json
import os
import re
import smtplib
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import requests

from riskloop.alerts.message import Alert
from riskloop.core.errors import ConfigError
from riskloop.core.settings import AlertSettings, ChannelSettings
from riskloop.core.types import Json, Urgency
from riskloop.deadline import Deadline, beginning

SIGNATURE: Final = "X-Riskloop-Signature"
TIMESTAMP: Final = "X-Riskloop-Timestamp"
FIRST_PAUSE: Final = 0.5  # seconds before the second try; it doubles
LONGEST: Final = 2900  # characters of a block; Slack takes 3,000
READ: Final = 2000  # bytes of an answer that are read …
SAID: Final = 120  # … and characters that are repeated
LEAST_SECRET: Final = 5  # characters; a shorter part of an address is a word
WEBHOOK: Final = "webhook"  # name of the channel that alerts.webhook is
PAGERDUTY: Final = "https://events.pagerduty.com/v2/enqueue"
COLOURS: Final = {Urgency.INFO: "#2f6f4f", Urgency.WARNING: "#b7791f", Urgency.CRITICAL: "#b42318"}
_LOUD: Final = {Urgency.INFO: "info", Urgency.WARNING: "warning", Urgency.CRITICAL: "critical"}

Headers = dict[str, str]
Encoder = Callable[[Alert], tuple[Headers, Json]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one message."""

    problem: str = ""  # empty: it was taken
    final: bool = False  # the same message would be refused again


class Channel(Protocol):
    """Where an alert goes."""

    @property
    def name(self) -> str:
        """As riskloop.toml calls it."""

    @property
    def least(self) -> Urgency:
        """From which urgency on it is told."""

    def send(self, alert: Alert) -> Reply:
        """One message, tried as often as the settings say. Never raises for what the other side does."""


@dataclass(frozen=True)
class Post:
    """A channel that takes a POST with a JSON body."""

    name: str
    least: Urgency
    url: str
    encode: Encoder
    tries: int
    timeout: float
    secret: str | None = None  # signs the body
    pause: Callable[[float], None] = field(default=time.sleep)
    key: str | None = None  # is in the body

    def send(self, alert: Alert) -> Reply:
        """POST it; pauses grow between the tries."""
        headers, document = self.encode(alert)
        body = json.dumps(document, sort_keys=True).encode()
        reply = Reply()
        for number in range(self.tries):
            if number:
                self.pause(FIRST_PAUSE * 2.0 ** (number - 1))
            reply = self._try({"Content-Type": "application/json", **headers, **self._signed(body)}, body)
            if not reply.problem or reply.final:
                break
        return reply

    def _signed(self, body: bytes) -> Headers:
        if self.secret is None:
            return {}
        timestamp = str(int(time.time()))
        return {TIMESTAMP: timestamp, SIGNATURE: sign(self.secret, timestamp, body)}

    def _try(self, headers: Headers, body: bytes) -> Reply:
        where = urlsplit(self.url).hostname
        with Deadline(self.timeout) as deadline, deadline.session() as session:
            try:
                answer = session.post(
                    self.url, data=body, headers=headers, timeout=self.timeout, allow_redirects=False, stream=True
                )
            except (requests.RequestException, OSError) as error:
                if deadline.over:
                    return Reply(f"{where} did not answer within {self.timeout:g} s")
                return Reply(f"{where} cannot be reached ({type(error).__name__})")
            with answer:
                if deadline.over:  # its headers were cut off, which looks like their end
                    return Reply(f"{where} did not answer within {self.timeout:g} s")
                if answer.status_code < 300:  # taken, whatever is said beside
                    return Reply()
                read = beginning(answer, READ)
        final = 400 <= answer.status_code < 500 and answer.status_code not in (408, 429)
        said = " ".join(self._without_secrets(read).split())[:SAID]
        return Reply(f"{where} answered {answer.status_code}" + (f": {said}" if said else ""), final)

    def _without_secrets(self, said: str) -> str:
        """An answer may repeat what was asked: the address, a part of it, or a key."""
        place = urlsplit(self.url)
        parts = [part for part in re.split(r"[/?&=#]", f"{place.path}?{place.query}") if len(part) >= LEAST_SECRET]
        for part in sorted({self.url, place.path, *parts, self.secret or "", self.key or ""}, key=len, reverse=True):
            if len(part) >= LEAST_SECRET:
                said = said.replace(part, "…").replace(unquote(part), "…")
        return said


@dataclass(frozen=True)
class Mail:
    """A channel that takes e-mail."""

    name: str
    least: Urgency
    settings: ChannelSettings
    password: str | None
    tries: int
    timeout: float
    pause: Callable[[float], None] = field(default=time.sleep)

    def send(self, alert: Alert) -> Reply:
        """One mail to everybody; a part of the receivers that is refused is a problem that is said."""
        message = EmailMessage()
        message["Subject"] = " ".join(f"[{alert.portfolio}] {alert.title}".split())  # a line break would end it
        message["From"] = self.settings.sender
        message["To"] = ", ".join(self.settings.to)
        message["X-Priority"] = "1" if alert.urgency is Urgency.CRITICAL else "3"
        message.set_content("\n\n".join(part for part in (alert.sentence, alert.link) if part) + "\n")
        reply = Reply()
        for number in range(self.tries):
            if number:
                self.pause(FIRST_PAUSE * 2.0 ** (number - 1))
            reply = self._try(message)
            if not reply.problem or reply.final:
                break
        return reply

    def _try(self, message: EmailMessage) -> Reply:
        settings = self.settings
        with Deadline(self.timeout) as deadline:
            try:
                refused = self._hand_over(message, deadline)
            except smtplib.SMTPRecipientsRefused as error:
                return Reply(f"{settings.server} takes no mail to {', '.join(error.recipients)}", final=True)
            except smtplib.SMTPResponseException as error:
                said = error.smtp_error
                words = said if isinstance(said, str) else said.decode("utf-8", "replace")
                final = error.smtp_code >= 500
                return Reply(f"{settings.server} answered {error.smtp_code} {words[:SAID]}".strip(), final)
            except (smtplib.SMTPException, OSError) as error:
                if deadline.over:
                    return Reply(f"{settings.server} did not take the mail within {self.timeout:g} s")
                return Reply(f"{settings.server} cannot be reached ({type(error).__name__})")
        return Reply(f"{settings.server} takes no mail to {', '.join(refused)}", final=True) if refused else Reply()

    def _hand_over(self, message: EmailMessage, deadline: Deadline) -> Collection[str]:
        """The receivers that the server refuses, while it takes others."""
        settings, secure = self.settings, self.settings.encryption == "tls"
        port = settings.port or (465 if secure else 587 if settings.encryption == "starttls" else 25)
        context = ssl.create_default_context()
        more = {"context": context} if secure else {}
        kind = deadline.mailer(smtplib.SMTP_SSL if secure else smtplib.SMTP)
        with kind(settings.server or "", port, timeout=self.timeout, **more) as server:
            if settings.encryption == "starttls":
                server.starttls(context=context)
            if settings.user is not None:
                server.login(settings.user, self.password or "")
            refused: Collection[str] = server.send_message(message)
        return refused


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=`` and the HMAC of ``timestamp.body`` in hexadecimal.

    The timestamp is signed too, so that a receiver can refuse an old message that somebody sends again.
    """
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def channels_of(settings: AlertSettings, pause: Callable[[float], None] = time.sleep) -> list[Channel | ConfigError]:
    """The channels of riskloop.toml in their order, and in the place of one whose secret is missing what is missing."""
    found: list[Channel | ConfigError] = []
    named = dict(settings.channels)
    if settings.webhook is not None:
        named = {
            WEBHOOK: ChannelSettings(kind="webhook", url=settings.webhook, secret_env=settings.secret_env),
            **named,
        }
    for name, channel in named.items():
        try:
            found.append(_channel(name, channel, settings, pause))
        except ConfigError as error:
            found.append(error)
    return found


def _channel(name: str, channel: ChannelSettings, settings: AlertSettings, pause: Callable[[float], None]) -> Channel:
    secret = None if channel.secret_env is None else secret_of(channel.secret_env, name)
    least = Urgency(channel.least)
    if channel.kind == "mail":
        return Mail(name, least, channel, secret, settings.tries, settings.timeout, pause)
    url = channel.url if channel.url_env is None else secret_of(channel.url_env, name)
    encoders: Mapping[str, Encoder] = {
        "webhook": _webhook,
        "slack": _slack,
        "teams": _teams,
        "pagerduty": lambda alert: _pagerduty(alert, secret or ""),
    }
    signs = secret if channel.kind == "webhook" else None
    where = url or PAGERDUTY
    return Post(name, least, where, encoders[channel.kind], settings.tries, settings.timeout, signs, pause, secret)


def secret_of(variable: str, name: str) -> str:
    """From the environment, or from the file that ``VARIABLE_FILE`` names, as containers hand secrets over."""
    found = os.environ.get(variable, "")
    path = os.environ.get(f"{variable}_FILE")
    if not found and path:
        try:
            found = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"Alert channel {name}: {path} cannot be read ({error.strerror}).") from None
    if not found:
        raise ConfigError(
            f"Alert channel {name}: the environment variable {variable} holds no secret; set it, or remove the channel."
        )
    return found


# --------------------------------------------------------------------------- bodies


def _webhook(alert: Alert) -> tuple[Headers, Json]:
    told = {"event": alert.event, "portfolio": alert.portfolio, "urgency": alert.urgency.value, "title": alert.title}
    return {}, {**told, "sentence": alert.sentence, "link": alert.link, **alert.document}


def _slack(alert: Alert) -> tuple[Headers, Json]:
    """An incoming webhook's message (api.slack.com/messaging/webhooks): `text` is what notifications show."""
    words = re.sub(r"&[a-z]*$", "", _escaped(alert.sentence)[:LONGEST])
    parts = [words] + ([f"<{alert.link}|Open it>"] if alert.link else [])
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": part}} for part in parts if part]
    title = _escaped(f"{alert.portfolio}: {alert.title}")
    return {}, {"text": title, "attachments": [{"color": COLOURS[alert.urgency], "blocks": blocks}]}


def _escaped(text: str) -> str:
    """The three characters that Slack reads as its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(alert: Alert) -> tuple[Headers, Json]:
    """An adaptive card for a workflow "when a webhook request is received" (connectors are retired)."""
    style = {Urgency.INFO: "good", Urgency.WARNING: "warning", Urgency.CRITICAL: "attention"}[alert.urgency]
    head = {"type": "TextBlock", "weight": "bolder", "color": style, "wrap": True, "text": alert.title}
    lines = [
        head,
        {"type": "TextBlock", "isSubtle": True, "text": alert.portfolio, "spacing": "none"},
        {"type": "TextBlock", "wrap": True, "text": alert.sentence},
    ]
    actions = [{"type": "Action.OpenUrl", "title": "Open it", "url": alert.link}] if alert.link else []
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": lines,
        "actions": actions,
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {}, {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def _pagerduty(alert: Alert, key: str) -> tuple[Headers, Json]:
    """Events API v2: an incident by subject, which the end of the case resolves."""
    document: Json = {
        "routing_key": key,
        "event_action": "trigger" if alert.ends is None else "resolve",
        "dedup_key": f"riskloop {alert.portfolio} {alert.ends or alert.repeats or alert.subject}",
        "payload": {
            "summary": f"{alert.portfolio}: {alert.title}. {alert.sentence}"[:1024],
            "source": f"riskloop {alert.portfolio}",
            "severity": _LOUD[alert.urgency],
            "custom_details": alert.document,
        },
    }
    if alert.link:
        document["links"] = [{"href": alert.link, "text": "Open it"}]
    return {}, document
