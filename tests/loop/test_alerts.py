"""Alerts over a real socket: signed, once a case, tried again, and never in the cycle's way."""

import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread, Timer

import numpy as np
import pytest
from sqlalchemy import select, update
from tests import handmade
from tests.receiver import Receiver, receiving

from riskloop.alerts import SIGNATURE, TIMESTAMP, beat_in_background, notify_silence, send_test
from riskloop.cases import Case, CaseState, Move
from riskloop.core.errors import NotFound
from riskloop.core.types import Decisions, Diagnosis, PromotionKind, to_micros
from riskloop.deciding import Deciding
from riskloop.loop.alerts import notify
from riskloop.loop.cycle import Cycle
from riskloop.loop.people import acknowledge
from riskloop.store import audit
from riskloop.store.cases import move_case, open_case
from riskloop.store.cycles import recorded
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome
from riskloop.store.tables import notices
from riskloop.views import unsent_alerts

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
    thread = notify(home.cases, home.ledger, home.feed)
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
    told(home)
    assert [d["event"] for d in receiver.documents()] == ["case", "approval"]


def test_a_case_is_told_of_again_until_somebody_acknowledges_it(home: Home, receiver: Receiver) -> None:
    settings = home.settings.model_copy(
        update={"alerts": home.settings.alerts.model_copy(update={"again": timedelta(hours=4)})}
    )
    feed = replace(home.feed, settings=settings)
    case = opened(home, CaseState.CONFIRMED, Diagnosis.CONCEPT_DRIFT)

    def events(hours: float) -> list[str]:
        before = len(receiver.posts)
        thread = notify(home.cases, home.ledger, feed, NOW + timedelta(hours=hours))
        assert thread is not None
        thread.join(60)
        return [json.loads(body)["event"] for _, body in receiver.posts[before:]]

    assert events(0.1) == ["case"]
    assert events(3.9) == []
    assert events(4) == ["case_again"]
    assert events(7.9) == [], "told of already"
    assert events(13) == ["case_again"], "the latest one, not each that was missed"
    acknowledge(home.cases, case.id, "", by="ann", now=NOW + timedelta(hours=14))
    assert events(40) == []
    with home.database.write() as connection:
        step = Move(CaseState.NEEDS_APPROVAL, "A person must decide.", changes={"challenger": 2})
        move_case(connection, case, step, at=NOW + timedelta(hours=48))
    assert events(48.1) == ["approval"], "something new"
    assert events(53) == ["case_again"]
    Deciding(home).reject(case.id, by="bea", note="No.")
    assert events(100) == [], "it is over, which only channels for `info` hear"


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
    first = notify(home.cases, home.ledger, home.feed)
    assert first is not None
    while not receiver.posts:
        first.join(0.05)
    second = notify(home.cases, home.ledger, home.feed)  # the next cycle; the first thread still waits
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
        assert notify(home.cases, home.ledger, home.feed) is None
        assert notify(home.cases, home.ledger, home.feed) is None
    (record,) = caplog.records
    assert record.getMessage() == "Case 1, data fault: LIMIT is 100 times larger."
    home.close()


def test_a_late_outcome_file_is_told_of_once(home: Home, receiver: Receiver) -> None:
    """The contract has no dates here: late is what does not come within `outcomes.patience` of being final."""
    first = datetime(2025, 1, 1, tzinfo=UTC)
    times = [to_micros(first + timedelta(days=day)) for day in range(100)]
    p = np.full(100, 0.1)
    ids = [str(day) for day in range(100)]
    home.decisions.append(Decisions(ids, times, times[-1], 1, p, p > 0.5, np.zeros((100, 1))))

    def tell(now: datetime) -> None:
        thread = notify(home.cases, home.ledger, home.feed, now)
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


# --------------------------------------------------------------------------- channels

CHANNELS = """
[alerts.channels.team]
kind = "slack"
url = "{0}"
[alerts.channels.desk]
kind = "teams"
url = "{0}"
least = "info"
[alerts.channels.night]
kind = "slack"
url = "{0}"
least = "critical"
"""


@pytest.fixture
def several(tmp_path: Path, receiver: Receiver) -> Iterator[Home]:
    """Three channels: warnings, everything, and what is critical."""
    text = CONFIG.replace("[alerts]", '[alerts]\nlink = "https://risk.example"') + CHANNELS.format(receiver.url)
    (tmp_path / "riskloop.toml").write_text(text, encoding="utf-8")
    home = Home.open(tmp_path)
    yield home
    home.close()


def promoted(home: Home, kind: PromotionKind) -> None:
    """One more version, and its promotion."""
    intercept = float(len(home.ledger.models()))
    card = {"intercept": intercept, "features": [{"bounds": [], "points": [0.0], "missing": 0.0, "mean": 0.0}]}
    version = handmade.register(home, handmade.manifest(home.schema), card, NOW)
    home.ledger.append(version, expected_seq=version - 1, kind=kind, at=NOW, by="riskloop", reason="Better.")


def sent(home: Home) -> dict[str, list[str]]:
    """Who was told of what."""
    found: dict[str, list[str]] = {}
    for event in audit.latest(home.database)[::-1]:
        if event.action == "alert":
            found.setdefault(event.document["channel"], []).append(event.subject)
    return found


def test_each_channel_hears_of_what_is_urgent_enough_for_it(several: Home) -> None:
    fault = opened(several, CaseState.QUARANTINED)
    change = opened(several, CaseState.CONFIRMED, Diagnosis.CONCEPT_DRIFT)
    told(several)
    moved(several, change, CaseState.ENDED)
    for kind in (PromotionKind.FIRST, PromotionKind.GATE, PromotionKind.PROBATION):
        promoted(several, kind)
    told(several)
    told(several)
    cases = [f"case {fault.id}", f"case {change.id}"]
    assert sent(several) == {
        "team": [*cases, "promotion 3"],
        "desk": [*cases, f"case {change.id} ended", "promotion 2", "promotion 3"],
        "night": [f"case {fault.id}"],
    }


def test_an_incident_is_resolved_where_it_was_opened(several: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "routing")
    old = several.settings
    night = old.alerts.channels["night"].model_copy(update={"kind": "pagerduty", "secret_env": "KEY"})
    channels = {**old.alerts.channels, "night": night}
    alerts = old.alerts.model_copy(update={"channels": channels})
    feed = replace(several.feed, settings=old.model_copy(update={"alerts": alerts}))
    case = opened(several, CaseState.QUARANTINED)
    other = opened(several, CaseState.CONFIRMED, Diagnosis.COVARIATE_SHIFT)  # of which the night never hears
    for _ in range(2):
        thread = notify(several.cases, several.ledger, feed)
        assert thread is not None
        thread.join(60)
        for one in (case, other):
            if several.cases.get(one.id).is_open:
                moved(several, one, CaseState.ENDED)
    with several.database.read() as connection:
        told = connection.execute(select(notices.c.subject).where(notices.c.channel == "night")).scalars()
        assert sorted(told) == [f"case {case.id}", f"case {case.id} ended"]


def test_a_channel_that_is_added_does_not_hear_of_the_past(several: Home, receiver: Receiver) -> None:
    opened(several, CaseState.QUARANTINED)
    told(several)
    receiver.posts.clear()
    config = several.config.read_text(encoding="utf-8")
    added = f'[alerts.channels.new]\nkind = "slack"\nurl = "{receiver.url}"\n'
    several.config.write_text(config + added, encoding="utf-8")
    again = Home.open(several.folder)
    told(again)
    assert receiver.posts == []
    opened(again, CaseState.QUARANTINED)
    told(again)
    assert len(receiver.posts) == 4
    again.close()


def test_a_channel_that_refuses_is_said_once_and_stays_in_status(
    several: Home, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal is final, and was repeated in the log after every cycle."""
    receiver.judge = lambda body: (400, "no_text") if body.get("type") == "message" else (200, "ok")
    opened(several, CaseState.QUARANTINED)
    for _ in range(3):
        told(several)
    assert [r.getMessage() for r in caplog.records if "reach" in r.getMessage()] == [
        "The alert 'Case 1, data fault' did not reach desk: 127.0.0.1 answered 400: no_text"
    ]
    assert len(receiver.posts) == 3
    (entry,) = unsent_alerts(several.database)
    assert (entry["channel"], entry["state"], entry["problem"]) == (
        "desk",
        "refused",
        "127.0.0.1 answered 400: no_text",
    )
    with several.database.write() as connection:  # a day later
        connection.execute(update(notices).values(at=notices.c.at - 86_400_000_000))
    receiver.judge = None
    told(several)
    assert unsent_alerts(several.database) == []
    assert len(receiver.posts) == 4


def test_a_loop_that_stands_still_is_told_of_once_and_so_is_its_return(several: Home, receiver: Receiver) -> None:
    def look() -> None:
        thread = notify_silence(several.database, several.settings)
        assert thread is not None
        thread.join(60)

    look()  # nothing serves yet: there is nothing to watch
    assert receiver.posts == []
    promoted(several, PromotionKind.FIRST)
    look()
    look()
    assert sent(several) == {name: ["silent since its start"] for name in ("team", "desk", "night")}
    with recorded(several.database):
        pass  # a cycle
    look()
    look()
    assert sent(several)["desk"] == ["silent since its start", "silent since its start ended"]
    assert len(receiver.posts) == 4


def test_a_switch_elsewhere_hears_of_every_cycle(
    several: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKLOOP_TEST_SWITCH", receiver.url)
    alerts = several.settings.alerts.model_copy(update={"heartbeat_env": "RISKLOOP_TEST_SWITCH"})
    for _ in range(2):
        thread = beat_in_background(alerts)
        assert thread is not None
        thread.join(60)
    assert receiver.documents() == [{}, {}]


@pytest.mark.parametrize("wait", [True, False])
def test_a_cycle_that_stands_alone_ends_when_others_were_told(wait: bool) -> None:
    """A scheduler ends the process then; the worker goes on, and a slow receiver keeps nothing from it."""
    told = Event()
    done = Cycle(following=[Thread(target=told.wait, args=(60,))])
    done.following[0].start()
    if wait:
        Timer(0.1, told.set).start()
    done.follow(wait)
    assert done.following[0].is_alive() is not wait
    told.set()


def test_the_command_says_what_became_of_a_test_message(several: Home, receiver: Receiver) -> None:
    receiver.judge = lambda body: (400, "no_text") if body.get("type") == "message" else (200, "ok")
    assert send_test(several.settings) == {
        "team": "",
        "desk": "127.0.0.1 answered 400: no_text",
        "night": "",
    }
    assert send_test(several.settings, "team") == {"team": ""}
    with pytest.raises(NotFound, match="there are team, desk, night"):
        send_test(several.settings, "other")
    assert sent(several) == {}
