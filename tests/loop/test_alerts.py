"""Alerts over a real socket: signed, once a case, tried again, and never in the cycle's way."""

import hashlib
import hmac
import json
import logging
import re
import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from riskloop.cases import Case, CaseState, Move
from riskloop.core.settings import AlertSettings
from riskloop.core.types import Decisions, Diagnosis, to_micros
from riskloop.loop.alerts import SIGNATURE, TIMESTAMP, notify, post, sign
from riskloop.store import audit
from riskloop.store.cases import move_case, open_case
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome

NOW = datetime(2025, 6, 1, tzinfo=UTC)
CONFIG = """
[portfolio]
name = "Cards"
target = "bad"
[features.debt]
[alerts]
tries = 2
timeout = 30.0
"""


class Receiver(ThreadingHTTPServer):
    """Keeps every POST, and answers with the statuses of its list, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [200]
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.waiting = threading.Event()
        self.waiting.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def documents(self) -> list[dict[str, object]]:
        return [json.loads(body) for _, body in self.posts]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((dict(self.headers), body))
        self.server.waiting.wait(60)
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.waiting.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("RISKLOOP_ALERT_SECRET", "quite secret")
    (tmp_path / "riskloop.toml").write_text(CONFIG + f'webhook = "{receiver.url}"\n', encoding="utf-8")
    home = Home.open(tmp_path)
    yield home
    home.close()


def opened(home: Home, state: CaseState, diagnosis: Diagnosis = Diagnosis.DATA_FAULT) -> Case:
    with home.database.write() as connection:
        return open_case(
            connection, Move(state, "LIMIT is 100 times larger."), at=NOW, diagnosis=diagnosis, window_id=3, champion=1
        )


def moved(home: Home, case: Case, state: CaseState) -> Case:
    with home.database.write() as connection:
        return move_case(connection, case, Move(state, "Still so."), at=NOW + timedelta(days=30))


def told(home: Home) -> None:
    thread = notify(home.cases, home.feed)
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()


def test_a_case_is_told_of_once_with_a_signature(home: Home, receiver: Receiver) -> None:
    case = opened(home, CaseState.QUARANTINED)
    told(home)
    ((headers, body),) = receiver.posts
    timestamp = headers[TIMESTAMP]
    digest = hmac.new(b"quite secret", timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE] == f"sha256={digest}"
    assert headers["Content-Type"] == "application/json"
    document = json.loads(body)
    assert document["portfolio"] == "Cards"
    assert (document["case"], document["diagnosis"], document["state"]) == (case.id, "data_fault", "quarantined")
    assert document["sentence"] == "LIMIT is 100 times larger."
    told(home)
    moved(home, case, CaseState.QUARANTINED)  # the fault is there in the next window, too
    told(home)
    moved(home, case, CaseState.ENDED)
    told(home)
    assert len(receiver.posts) == 1
    (event,) = [e for e in audit.latest(home.database)[::-1] if e.action == "alert"]
    assert event.subject == f"case {case.id}"
    assert "secret" not in json.dumps(event.document)


def test_a_first_finding_is_told_of_only_when_it_is_confirmed(home: Home, receiver: Receiver) -> None:
    watched = opened(home, CaseState.WATCHING, Diagnosis.COVARIATE_SHIFT)
    chance = opened(home, CaseState.WATCHING, Diagnosis.COVARIATE_SHIFT)
    told(home)
    assert receiver.posts == []
    moved(home, chance, CaseState.ENDED)
    confirmed = moved(home, watched, CaseState.CONFIRMED)
    told(home)
    assert [d["case"] for d in receiver.documents()] == [watched.id]
    moved(home, confirmed, CaseState.NEEDS_APPROVAL)
    told(home)
    assert len(receiver.posts) == 1


def test_what_was_confirmed_and_ended_between_two_cycles_is_told_of(home: Home, receiver: Receiver) -> None:
    case = opened(home, CaseState.WATCHING, Diagnosis.CONCEPT_DRIFT)
    moved(home, moved(home, case, CaseState.CONFIRMED), CaseState.ENDED)
    told(home)
    assert [d["state"] for d in receiver.documents()] == ["ended"]


def test_a_receiver_that_fails_is_tried_again_now_and_after_the_next_cycle(home: Home, receiver: Receiver) -> None:
    opened(home, CaseState.QUARANTINED)
    receiver.statuses = [500]
    told(home)
    assert len(receiver.posts) == 2  # alerts.tries
    assert [e for e in audit.latest(home.database)[::-1] if e.action == "alert"] == []
    receiver.statuses = [503, 204]
    told(home)
    assert len(receiver.posts) == 4
    assert len([e for e in audit.latest(home.database)[::-1] if e.action == "alert"]) == 1
    assert receiver.documents()[0] == receiver.documents()[3]


def test_nothing_waits_for_a_slow_receiver_and_two_threads_tell_once(home: Home, receiver: Receiver) -> None:
    opened(home, CaseState.QUARANTINED)
    receiver.waiting.clear()
    first = notify(home.cases, home.feed)
    assert first is not None
    while not receiver.posts:
        first.join(0.05)
    second = notify(home.cases, home.feed)  # the next cycle, while the first thread still waits for its answer
    assert second is not None
    second.join(60)
    assert first.is_alive()
    receiver.waiting.set()
    first.join(60)
    assert len(receiver.posts) == 1


def test_without_a_secret_nothing_is_sent(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("RISKLOOP_ALERT_SECRET")
    opened(home, CaseState.QUARANTINED)
    told(home)
    assert receiver.posts == []
    assert "RISKLOOP_ALERT_SECRET holds no secret" in caplog.text


def test_without_a_webhook_the_log_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "riskloop.toml").write_text(CONFIG, encoding="utf-8")
    home = Home.open(tmp_path)
    opened(home, CaseState.QUARANTINED)
    with caplog.at_level(logging.INFO, "riskloop.alerts"):
        assert notify(home.cases, home.feed) is None
        assert notify(home.cases, home.feed) is None
    (record,) = caplog.records
    assert record.getMessage() == "Case 1, data_fault: LIMIT is 100 times larger."
    home.close()


# --------------------------------------------------------------------------- one message


def settings(url: str, tries: int = 3) -> AlertSettings:
    return AlertSettings(webhook=url, secret_env="RISKLOOP_TEST_SECRET", timeout=30.0, tries=tries)


def test_the_pauses_grow_and_a_refusal_is_final(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKLOOP_TEST_SECRET", "s")
    pauses: list[float] = []
    receiver.statuses = [500, 429, 200]
    assert post(settings(receiver.url), {"a": 1}, pauses.append) == ""
    assert pauses == [0.5, 1.0]
    receiver.posts.clear()
    receiver.statuses = [404]
    assert "answered 404" in post(settings(receiver.url), {"a": 1}, pauses.append)
    receiver.statuses = [302]
    assert "answered 302" in post(settings(receiver.url, tries=1), {"a": 1}, pauses.append)
    assert len(receiver.posts) == 2


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKLOOP_TEST_SECRET", "s")
    with receiving() as gone:
        url = gone.url
    assert "cannot be reached" in post(settings(url, tries=2), {"a": 1}, lambda _: None)


def test_the_signature_covers_time_and_body() -> None:
    assert sign("s", "1", b"{}") == sign("s", "1", b"{}")
    assert len({sign("s", "1", b"{}"), sign("s", "2", b"{}"), sign("s", "1", b"{ }"), sign("t", "1", b"{}")}) == 4


def test_a_receiver_checks_the_signature_as_the_page_says(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "monitoring.md"
    (snippet,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "receiver.py").write_text(snippet, encoding="utf-8")
    names = runpy.run_path(str(tmp_path / "receiver.py"))
    monkeypatch.setenv("RISKLOOP_TEST_SECRET", "s")
    assert post(settings(receiver.url), {"a": 1}, lambda _: None) == ""
    headers, body = receiver.posts[0]
    assert names["genuine"](headers, body, "s")
    assert not names["genuine"](headers, body + b" ", "s")
    assert not names["genuine"](headers, body, "another")
    old = {**headers, TIMESTAMP: "1"}
    old[SIGNATURE] = sign("s", "1", body)
    assert not names["genuine"](old, body, "s")


def test_a_late_outcome_file_is_told_of_once(home: Home, receiver: Receiver) -> None:
    """The contract has no dates here: late is what does not come within `outcomes.patience` of being final."""
    first = datetime(2025, 1, 1, tzinfo=UTC)
    times = [to_micros(first + timedelta(days=day)) for day in range(100)]
    p = np.full(100, 0.1)
    ids = [str(day) for day in range(100)]
    home.decisions.append(Decisions(ids, times, times[-1], 1, p, p > 0.5, np.zeros((100, 1))))

    def tell(now: datetime) -> None:
        thread = notify(home.cases, home.feed, now)
        assert thread is not None
        thread.join(60)

    tell(first + timedelta(days=60))
    assert receiver.documents() == []
    for day in (90, 91):
        tell(first + timedelta(days=day))
    (document,) = receiver.documents()
    assert document["event"] == "outcomes_late"
    assert document["due"] == (first + timedelta(days=30)).isoformat()
    assert "none ever came" in str(document["sentence"])
    outcomes = [Outcome(False, first + timedelta(days=91), decision_id=number) for number in (1, 2)]
    home.outcomes.record(outcomes, first + timedelta(days=91))
    tell(first + timedelta(days=92))
    tell(first + timedelta(days=140))
    assert [late["due"] for late in receiver.documents()][1:] == [(first + timedelta(days=91)).isoformat()]
