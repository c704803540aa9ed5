"""Events of OpenLineage over a real socket: sound by the spec, sent once, tried again, and never in the cycle's way."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from tests import handmade
from tests.receiver import Receiver, receiving

from riskloop.core.errors import ConfigError
from riskloop.core.settings import parse_settings
from riskloop.core.types import Json, PromotionKind
from riskloop.loop.lineage import tell_lineage, tell_lineage_now
from riskloop.store.home import Home
from riskloop.views import lineage, unsent_alerts

NOW = datetime(2025, 6, 1, tzinfo=UTC)
CARD: Json = {"intercept": 0.0, "features": [{"bounds": [], "points": [0.0], "missing": 0.0, "mean": 0.0}]}
CONFIG = '[portfolio]\nname = "Cards"\ntarget = "bad"\n[features.debt]\n'


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiving() as made:
        made.judge = spec
        yield made


def spec(event: Json) -> tuple[int, str]:
    """As a server judges an event: by what the spec (2-0-2, RunEvent) requires."""
    try:
        _judge(event)
    except (KeyError, ValueError, TypeError) as error:
        return 422, repr(error)
    return 201, ""


def _judge(event: Json) -> None:
    if event["eventType"] not in ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"):
        raise ValueError(event["eventType"])
    if datetime.fromisoformat(event["eventTime"]).tzinfo is None:
        raise ValueError("eventTime")
    _address(event["producer"])
    if not event["schemaURL"].endswith("/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"):
        raise ValueError(event["schemaURL"])
    UUID(event["run"]["runId"])
    _facets(event["run"]["facets"])
    for named in (event["job"], *event["inputs"], *event["outputs"]):
        if not isinstance(named["namespace"], str) or not isinstance(named["name"], str):
            raise TypeError(named)
        _facets(named["facets"])


def _facets(facets: dict[str, Any]) -> None:
    for facet in facets.values():
        _address(facet["_producer"])
        _address(facet["_schemaURL"])
    if "version" in facets and not isinstance(facets["version"]["datasetVersion"], str):
        raise TypeError("datasetVersion")


def _address(text: str) -> None:
    if not urlsplit(text).scheme:
        raise ValueError(text)


def _home(folder: Path, to: str, more: str = "") -> Home:
    (folder / "riskloop.toml").write_text(f'{CONFIG}[lineage]\nto = "{to}"\n{more}', encoding="utf-8")
    home = Home.open(folder)
    for seq in range(3):
        version = handmade.register(home, handmade.manifest(home.schema, threshold=0.4 + 0.1 * seq), CARD, NOW)
        home.ledger.append(
            version, expected_seq=seq, kind=PromotionKind.FORCED, at=NOW, by="ann", reason="because", evidence={}
        )
    return home


def _tell(home: Home) -> bool:
    return tell_lineage_now(home.ledger, home.artefacts, home.windows, home.settings, home.folder)


def _base(server: Receiver) -> str:
    return server.url.removesuffix("/hook")


def test_what_was_sent_is_not_sent_again(tmp_path: Path, server: Receiver) -> None:
    home = _home(tmp_path, _base(server))
    assert _tell(home)
    assert _tell(home)
    assert len(server.posts) == 6
    assert unsent_alerts(home.database) == []
    home.close()


def test_what_was_not_delivered_is_said_and_sent_later(
    tmp_path: Path, server: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    home = _home(tmp_path, _base(server), 'namespace = "bank"\n')
    server.judge, server.statuses = None, [201, 503]
    assert not _tell(home)
    assert not _tell(home)
    assert len(server.posts) == 3  # one taken; then nothing more after the first failure
    state = lineage(home.database, home.settings.lineage)
    assert state is not None
    assert (state["failures"], state["problem"]) == (2, "127.0.0.1 answered 503.")
    assert [r.levelname for r in caplog.records if r.__dict__.get("action") == "lineage_failed"] == ["WARNING"]
    server.judge = spec
    assert _tell(home)
    state = lineage(home.database, home.settings.lineage)
    assert state is not None
    assert (state["failures"], state["problem"]) == (0, None)
    taken = [server.documents()[0], *server.documents()[3:]]
    assert len({event["run"]["runId"] for event in taken}) == 6
    assert {event["job"]["namespace"] for event in taken} == {"bank"}
    home.close()


def test_one_event_that_is_refused_does_not_keep_the_others(tmp_path: Path, server: Receiver) -> None:
    home = _home(tmp_path, f"{_base(server)}/collect")
    server.judge = lambda event: (400, "no") if "riskloop_train" in event["run"]["facets"] else spec(event)
    assert not _tell(home)
    assert len(server.posts) == 6
    state = lineage(home.database, home.settings.lineage)
    assert state is not None
    assert state["problem"] == "3 events refused. version 1: 127.0.0.1 answered 400: no."
    server.judge = spec
    assert _tell(home)
    assert len(server.posts) == 9
    home.close()


def test_a_server_that_does_not_answer_keeps_nobody(tmp_path: Path, server: Receiver) -> None:
    home = _home(tmp_path, _base(server), "timeout = 30\n")
    server.waiting.clear()
    thread = tell_lineage(home.ledger, home.artefacts, home.windows, home.settings, home.folder)
    assert thread is not None
    assert thread.is_alive()  # whoever asked for it went on
    server.waiting.set()
    thread.join()
    assert len(server.posts) == 6
    home.close()


def test_a_file_gets_a_line_for_each_event(tmp_path: Path) -> None:
    home = _home(tmp_path, "lineage/events.jsonl")
    assert _tell(home)
    lines = (tmp_path / "lineage" / "events.jsonl").read_text().splitlines()
    assert [spec(json.loads(line))[0] for line in lines] == [201] * 6
    home.close()


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    home = _home(tmp_path, "taken/events.jsonl")
    assert not _tell(home)
    state = lineage(home.database, home.settings.lineage)
    assert state is not None
    assert "cannot be written" in state["problem"]
    home.close()


def test_the_key_is_sent_and_nowhere_else(tmp_path: Path, server: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "quite secret")
    home = _home(tmp_path, _base(server))
    assert _tell(home)
    assert {headers["Authorization"] for headers, _ in server.posts} == {"Bearer quite secret"}
    assert b"quite secret" not in b"".join(body for _, body in server.posts)
    home.close()


@pytest.mark.parametrize("to", ["ftp://host/events", "http://ann:secret@host", "https://token@host/x"])
def test_what_is_no_address_is_refused_without_its_password(to: str) -> None:
    with pytest.raises(ConfigError, match=r"lineage\.to") as error:
        parse_settings(f'{CONFIG}[lineage]\nto = "{to}"\n', "riskloop.toml")
    assert "secret" not in str(error.value)
    assert "token" not in str(error.value)


def test_nothing_is_sent_where_nobody_asks(tmp_path: Path) -> None:
    (tmp_path / "riskloop.toml").write_text(CONFIG)
    home = Home.open(tmp_path)
    assert tell_lineage(home.ledger, home.artefacts, home.windows, home.settings, home.folder) is None
    assert lineage(home.database, home.settings.lineage) is None
    home.close()
