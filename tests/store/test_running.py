"""The note that says which server runs for a folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from riskloop.store.running import NOTE, announced, running
from riskloop.worker import api_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("0.0.0.0", "http://127.0.0.1:8123"),  # noqa: S104 - what another command reaches it by
        ("::1", "http://[::1]:8123"),
        ("::", "http://[::1]:8123"),
        ("scoring.example", "http://scoring.example:8123"),
    ],
)
def test_a_server_is_found_by_its_folder_while_it_runs(tmp_path: Path, host: str, url: str) -> None:
    config = tmp_path / "riskloop.toml"
    config.write_text('[portfolio]\ntarget = "bad"\n[serve]\nport = 8222\n[features.debt]\n')
    assert api_url(None, config) == "http://127.0.0.1:8222"
    with announced(tmp_path, host, 8123):
        found = running(tmp_path)
        assert found is not None
        assert found.url == api_url(None, config) == api_url(None, tmp_path) == url
        assert api_url("http://elsewhere/", config) == "http://elsewhere"
    assert running(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["riskloop.toml"]


def test_a_note_of_a_killed_server_of_another_machine_or_in_pieces_is_none(tmp_path: Path) -> None:
    note = tmp_path / NOTE
    with announced(tmp_path, "127.0.0.1", 1):
        said = json.loads(note.read_text())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    damaged: tuple[object, ...] = (said | {"pid": gone.pid}, said | {"machine": "another"}, said | {"more": 1}, [], "x")
    for written in damaged:
        note.write_text(json.dumps(written))
        assert running(tmp_path) is None
    note.write_text("{")
    assert running(tmp_path) is None


def test_of_two_servers_the_later_one_is_found_and_the_earlier_takes_no_note_away(tmp_path: Path) -> None:
    with announced(tmp_path, "127.0.0.1", 1):
        with announced(tmp_path, "127.0.0.1", 2):
            found = running(tmp_path)
            assert found is not None
            assert found.port == 2
        assert running(tmp_path) is None  # the first runs on, and is named by riskloop.toml
    (tmp_path / NOTE).mkdir()  # nothing can be written there: a server serves all the same
    with announced(tmp_path, "127.0.0.1", 3):
        assert running(tmp_path) is None
