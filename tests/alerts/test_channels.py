"""Each channel against a server that judges messages as the real one does; mail against a real SMTP server."""

import json
import re
import runpy
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import ValidationError
from tests.receiver import PagerDuty, Receiver, receiving, slack, teams

from riskloop.alerts import SIGNATURE, TIMESTAMP, Alert, Mail, Post, Reply, channels_of, sign
from riskloop.core.errors import ConfigError
from riskloop.core.settings import AlertSettings
from riskloop.core.types import Json, Urgency

KEY = "0123456789abcdef0123456789abcdef"
HOSTILE = 'LIMIT <b>"&"</b> is *100* times larger: ' + "ä" * 4000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def alert(urgency: Urgency = Urgency.CRITICAL, sentence: str = "LIMIT is 100 times larger.", **more: Any) -> Alert:
    link = "https://risk.example/dashboard/cases/3"
    return Alert("case 3", "case", urgency, "Case 3, data fault", sentence, "Cards", {"case": 3}, link, **more)


def only(settings: Json, monkeypatch: pytest.MonkeyPatch, secret: str = KEY, **more: Any) -> Post | Mail:
    """The channel of a table, with pauses that do not wait."""
    monkeypatch.setenv("RISKLOOP_TEST_SECRET", secret)
    table = AlertSettings.model_validate({"tries": 3, "timeout": 30.0, **more, "channels": {"team": settings}})
    (channel,) = channels_of(table, lambda _seconds: None)
    assert isinstance(channel, Post | Mail)
    return channel


# --------------------------------------------------------------------------- POST


@pytest.mark.parametrize("sentence", ["LIMIT is 100 times larger.", HOSTILE, "&" * 3000])
@pytest.mark.parametrize("urgency", list(Urgency))
@pytest.mark.parametrize(("kind", "judge"), [("slack", slack), ("teams", teams), ("pagerduty", PagerDuty(KEY))])
def test_the_service_takes_the_message(
    kind: str, judge: Any, urgency: Urgency, sentence: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.judge = judge
    settings = {"kind": kind, "url": receiver.url} | (
        {"secret_env": "RISKLOOP_TEST_SECRET"} if kind == "pagerduty" else {}
    )
    assert only(settings, monkeypatch).send(alert(urgency, sentence)) == Reply()
    (document,) = receiver.documents()
    assert "https://risk.example/dashboard/cases/3" in str(document)
    assert "Case 3, data fault" in str(document)


def test_slack_is_not_told_markup_of_the_data(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.judge = slack
    only({"kind": "slack", "url": receiver.url}, monkeypatch).send(alert(sentence="<!channel> & <b>"))
    (document,) = receiver.documents()
    text, link = (block["text"]["text"] for block in document["attachments"][0]["blocks"])
    assert text == "&lt;!channel&gt; &amp; &lt;b&gt;"
    assert link.startswith("<https://")


def test_an_incident_at_pagerduty_is_resolved_when_the_case_is_over(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = PagerDuty(KEY)
    receiver.judge = service
    channel = only({"kind": "pagerduty", "url": receiver.url, "secret_env": "RISKLOOP_TEST_SECRET"}, monkeypatch)
    channel.send(alert())
    over = Alert("case 3 ended", "case_ended", Urgency.INFO, "Case 3 is over", "It is gone.", "Cards", ends="case 3")
    channel.send(over)
    assert service.incidents == {"riskloop Cards case 3": ["trigger", "resolve"]}


def test_what_the_service_says_is_repeated_and_its_address_is_not(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address of Slack's is its secret."""
    receiver.judge = lambda _body: (403, "invalid_token\n" + "x" * 5000)
    reply = only({"kind": "slack", "url": receiver.url}, monkeypatch).send(alert())
    assert reply.final
    assert reply.problem.startswith("127.0.0.1 answered 403: invalid_token x")
    assert len(reply.problem) < 200
    assert "/hook" not in reply.problem
    assert len(receiver.posts) == 1


PARTS = ["T024BE7LD", "B0Z9X", "XyZ-secret%20token", "k" * 32]


@pytest.mark.parametrize("kind", ["slack", "teams", "webhook", "pagerduty"])
@pytest.mark.parametrize("answered", ["no {path} here", "{url} is gone", "bad token XyZ-secret token", "{body}"])
def test_an_answer_that_repeats_what_it_was_asked_gives_no_secret_away(
    kind: str, answered: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/services/{PARTS[0]}/{PARTS[1]}?sig={PARTS[2]}"
    url = receiver.url.replace("/hook", path)
    monkeypatch.setenv("RISKLOOP_TEST_SECRET", PARTS[3])
    monkeypatch.setenv("RISKLOOP_TEST_URL", url)
    channel = {"kind": kind, "url_env": "RISKLOOP_TEST_URL"}
    if kind in ("webhook", "pagerduty"):
        channel["secret_env"] = "RISKLOOP_TEST_SECRET"
    receiver.judge = lambda body: (404, answered.format(path=path, url=url, body=json.dumps(body)))
    said = only(channel, monkeypatch).send(alert()).problem
    assert said.startswith("127.0.0.1 answered 404: ")
    for part in (*PARTS, "XyZ-secret token"):
        assert part not in said


def test_the_pauses_grow_and_a_refusal_is_final(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setenv("RISKLOOP_TEST_SECRET", "s")

    def send(tries: int) -> Reply:
        table = AlertSettings(webhook=receiver.url, secret_env="RISKLOOP_TEST_SECRET", timeout=30.0, tries=tries)
        (channel,) = channels_of(table, pauses.append)
        assert not isinstance(channel, ConfigError)
        return channel.send(alert())

    receiver.statuses = [500, 429, 200]
    assert send(3) == Reply()
    assert pauses == [0.5, 1.0]
    receiver.posts.clear()
    receiver.statuses = [404]
    assert send(3) == Reply("127.0.0.1 answered 404", final=True)
    receiver.statuses = [302]
    assert send(1) == Reply("127.0.0.1 answered 302")
    assert len(receiver.posts) == 2


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as gone:
        url = gone.url
    reply = only({"kind": "slack", "url": url}, monkeypatch).send(alert())
    assert reply == Reply("127.0.0.1 cannot be reached (ConnectionError)")


# --------------------------------------------------------------------------- servers that take their time

SILENT, DRIPS = b"", b"x"
SLOW = {
    "no answer": (b"", SILENT),
    "a status line that drips": (b"HTTP/1.1 ", b"2"),
    "headers that drip": (b"HTTP/1.1 200 OK\r\nX-A: ", DRIPS),
    "a refusal whose body drips": (b"HTTP/1.1 400 No\r\nContent-Length: 1000\r\n\r\nbad", DRIPS),
    "a body in pieces that drips": (b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n1", b"0"),
    "a success whose body drips": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", DRIPS),
    "a mail server's greeting that drips": (b"220-", DRIPS),
}


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[int]:
    """A server that says something, and then a byte every twentieth of a second until the test is over; its port."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as caller, suppress(OSError):
                caller.sendall(first)
                while not over.wait(0.05):
                    caller.sendall(drop)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            over.set()
            thread.join(30)


@pytest.mark.parametrize("way", SLOW)
def test_no_server_holds_a_message_longer_than_the_timeout(way: str) -> None:
    """Each byte comes within the timeout; the whole would never. A delivery that hangs fails the test by its join."""
    first, drop = SLOW[way]
    with dripping(first, drop) as port:
        table = {"kind": "slack", "url": f"http://127.0.0.1:{port}/hook"}
        if "mail" in way:
            table = mail(port, ["a@x.example"])
        settings = AlertSettings.model_validate({"tries": 1, "timeout": 0.4, "channels": {"team": table}})
        (channel,) = channels_of(settings)
        assert isinstance(channel, Post | Mail)
        replies: list[Reply] = []
        thread = threading.Thread(target=lambda: replies.append(channel.send(alert())), daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), "it still waits"
    (reply,) = replies
    if "success" in way:  # it was taken: not to be sent again
        assert reply == Reply()
    elif "refusal" in way:
        assert reply.final
        assert reply.problem.startswith("127.0.0.1 answered 400")
    elif "pieces" in way:
        assert reply == Reply("127.0.0.1 answered 503")
    else:
        assert not reply.final
        assert "within 0.4 s" in reply.problem or "ReadTimeout" in reply.problem


# --------------------------------------------------------------------------- the signature


def test_the_signature_covers_time_and_body() -> None:
    assert sign("s", "1", b"{}") == sign("s", "1", b"{}")
    assert len({sign("s", "1", b"{}"), sign("s", "2", b"{}"), sign("s", "1", b"{ }"), sign("t", "1", b"{}")}) == 4


def test_a_receiver_checks_the_signature_as_the_page_says(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "alerting.md"
    (snippet,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "receiver.py").write_text(snippet, encoding="utf-8")
    names = runpy.run_path(str(tmp_path / "receiver.py"))
    settings = {"kind": "webhook", "url": receiver.url, "secret_env": "RISKLOOP_TEST_SECRET"}
    assert only(settings, monkeypatch, "s").send(alert()) == Reply()
    headers, body = receiver.posts[0]
    assert names["genuine"](headers, body, "s")
    assert not names["genuine"](headers, body + b" ", "s")
    assert not names["genuine"](headers, body, "another")
    old = {**headers, TIMESTAMP: "1"}
    old[SIGNATURE] = sign("s", "1", body)
    assert not names["genuine"](old, body, "s")


# --------------------------------------------------------------------------- secrets and settings


def test_a_secret_may_be_in_a_file(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(f"{receiver.url}\n", encoding="utf-8")
    monkeypatch.setenv("RISKLOOP_TEST_ADDRESS_FILE", str(tmp_path / "secret"))
    receiver.judge = slack
    assert only({"kind": "slack", "url_env": "RISKLOOP_TEST_ADDRESS"}, monkeypatch).send(alert()) == Reply()


def test_a_missing_secret_is_named_and_the_other_channels_work(receiver: Receiver) -> None:
    table = AlertSettings.model_validate(
        {
            "channels": {
                "a": {"kind": "slack", "url_env": "RISKLOOP_TEST_NOT_SET"},
                "b": {"kind": "slack", "url": receiver.url},
            }
        }
    )
    missing, there = channels_of(table)
    assert isinstance(missing, ConfigError)
    assert "RISKLOOP_TEST_NOT_SET holds no secret" in missing.message
    assert not isinstance(there, ConfigError)


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ({"kind": "slack"}, "a channel of kind slack needs url or url_env"),
        ({"kind": "webhook", "url": "https://risk.example"}, "needs secret_env"),
        ({"kind": "pagerduty"}, "needs secret_env"),
        ({"kind": "mail"}, "needs server, sender, to"),
        (
            {"kind": "mail", "server": "m", "sender": "a@b", "to": ["c@d"], "user": "u", "encryption": "none"},
            "a password is not sent without encryption",
        ),
        ({"kind": "fax"}, "'slack', 'teams', 'pagerduty', 'mail' or 'webhook'"),
    ],
)
def test_a_channel_that_cannot_work_is_refused(channel: Json, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        AlertSettings.model_validate({"channels": {"team": channel}})


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://bank.webhook.office.com/webhookb2/1", "teams"),
        ("https://prod-1.westeurope.logic.azure.com/workflows/1", "teams"),
        ("https://events.pagerduty.com/v2/enqueue", "pagerduty"),
    ],
)
def test_an_address_that_takes_another_body_is_no_webhook(url: str, kind: str) -> None:
    with pytest.raises(ValidationError, match=f'kind = "{kind}"'):
        AlertSettings(webhook=url)


# --------------------------------------------------------------------------- mail


class Mailbox:
    """Keeps what arrives, and refuses some receivers."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content)))
        return "250 OK"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def log_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=data.login == b"loop" and data.password == KEY.encode())


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()


def mail(port: int, to: list[str], **more: Any) -> Json:
    return {
        "kind": "mail",
        "server": "127.0.0.1",
        "port": port,
        "encryption": "none",
        "sender": "riskloop@bank.example",
        "to": to,
        **more,
    }


def test_a_mail_arrives(mailbox: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch) -> None:
    box, port = mailbox
    assert only(mail(port, ["a@x.example", "b@x.example"]), monkeypatch).send(alert(sentence="Größer.")) == Reply()
    ((receivers, message),) = box.mails
    assert receivers == ["a@x.example", "b@x.example"]
    assert message["Subject"] == "[Cards] Case 3, data fault"
    text = message.get_payload(decode=True).decode()
    assert "Größer." in text
    assert "https://risk.example/dashboard/cases/3" in text


def test_no_line_of_the_data_becomes_a_header(mailbox: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch) -> None:
    box, port = mailbox
    bad = Alert("x", "case", Urgency.INFO, "a\r\nBcc: thief@x.example", "b", "Cards\nX: y")
    assert only(mail(port, ["a@x.example"]), monkeypatch).send(bad) == Reply()
    ((receivers, message),) = box.mails
    assert receivers == ["a@x.example"]
    assert message["Bcc"] is None
    assert message["X"] is None


def test_receivers_that_are_refused_are_named(mailbox: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch) -> None:
    box, port = mailbox
    reply = only(mail(port, ["a@x.example", "nobody@x.example"]), monkeypatch).send(alert())
    assert reply == Reply("127.0.0.1 takes no mail to nobody@x.example", final=True)
    assert len(box.mails) == 1  # the others have it
    reply = only(mail(port, ["nobody@x.example"]), monkeypatch).send(alert())
    assert reply.final


def test_a_server_without_encryption_gets_no_password(
    mailbox: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    box, port = mailbox
    settings = mail(port, ["a@x.example"], user="loop", encryption="starttls", secret_env="RISKLOOP_TEST_SECRET")
    reply = only(settings, monkeypatch).send(alert())
    assert "127.0.0.1" in reply.problem
    assert box.mails == []


def test_a_password_goes_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    box = Mailbox()
    port = free_port()
    controller = Controller(
        box, hostname="127.0.0.1", port=port, tls_context=context, authenticator=log_in, auth_required=True
    )
    controller.start()
    try:
        settings = mail(port, ["a@x.example"], user="loop", encryption="starttls", secret_env="RISKLOOP_TEST_SECRET")
        assert only(settings, monkeypatch).send(alert()) == Reply()
        # This server never answers a wrong password.
        assert only(settings, monkeypatch, "wrong", tries=1, timeout=2.0).send(alert()).problem
    finally:
        controller.stop()
    assert len(box.mails) == 1
