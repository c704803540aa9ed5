"""Files that are deleted, replaced or damaged under a running server: no answered decision is lost without a word."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from riskloop.store.home import Home

from .conftest import ROW
from .test_process import RUN, Load, check_log, measured, wait_for, wait_until_ready
from .test_supervised import Lines


@contextmanager
def serving(home: Home, workers: int) -> Iterator[tuple[str, Lines]]:
    command = [sys.executable, "-c", RUN, str(home.config), "0", str(workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        lines = Lines(process)
        try:
            wait_for(lambda: bool(lines.raw))
            found = re.search(r"http://\S+:\d+", lines.raw[0])
            assert found is not None
            wait_until_ready(found[0])
            yield found[0], lines
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def part(home: Home, suffix: str) -> Path:
    return home.folder / f"riskloop.db{suffix}"


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_suffix(".other")
    shutil.copy(path, other)
    other.replace(path)


@pytest.mark.parametrize(
    ("suffix", "how", "workers"), [("-wal", delete, 1), ("-wal", delete, 2), ("-wal", replace, 2), ("-shm", delete, 1)]
)
def test_a_lost_file_under_load_loses_no_answered_decision(
    home: Home, suffix: str, how: Callable[[Path], None], workers: int
) -> None:
    def told(action: str) -> int:
        return len({line["pid"] for line in lines.of(action)})

    home.close()
    with serving(home, workers) as (url, lines):
        wait_for(lambda: len(measured(url, "riskloop_champion_version")) == workers)
        with Load(url, clients=4) as load:
            for _ in range(2):
                before = len(load.answers)
                wait_for(lambda before=before: len(load.answers) > before + 100)  # type: ignore[misc]
                lines.said.clear()
                how(part(home, suffix))
                wait_for(lambda: told("log_distrusted") == told("log_trusted") == workers, lambda: lines.raw[-40:])
        assert set(load.refused) <= {503}
        assert sum(measured(url, "riskloop_log_distrusted_total").values()) >= 2
        wait_for(lambda: set(measured(url, "riskloop_log_trusted").values()) == {1.0})  # of others it is a second old
    again = Home.open(home.config)
    check_log(again, load.answers)
    assert again.database.examine() is None
    again.close()


def test_a_lost_log_of_an_idle_server_is_noticed_and_mended_without_a_request(home: Home) -> None:
    home.close()
    with serving(home, 1) as (url, lines):
        answer = httpx.post(f"{url}/predict", json=ROW).json()
        part(home, "-wal").unlink()
        wait_for(lambda: bool(lines.of("log_trusted")))
        assert "write-ahead log is gone" in lines.of("log_distrusted")[0]["message"]
        assert lines.of("log_distrusted")[0]["level"] == "critical"
        assert httpx.get(f"{url}/decisions/{answer['decision_id']}").status_code == 200
        assert httpx.post(f"{url}/predict", json=ROW).status_code == 200
    again = Home.open(home.config)
    assert again.decisions.count() == 2
    again.close()


def test_nothing_is_answered_from_a_damaged_database_until_it_is_right_again(home: Home) -> None:
    home.close()
    path = part(home, "")
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'decisions_time'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    command = [sys.executable, "-c", RUN, str(home.config), "0", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            lines = Lines(process)
            wait_for(lambda: bool(lines.of("log_distrusted")))
            url = re.search(r"http://\S+:\d+", lines.raw[0])[0]  # type: ignore[index]
            for path_, body in (("/predict", ROW), ("/predict/batch", [ROW]), ("/outcomes", [{"id": "a", "bad": 1}])):
                refused = httpx.post(f"{url}{path_}", json=body)
                assert refused.status_code == 503
                assert "is damaged" in refused.json()["error"]["message"]
            ready = httpx.get(f"{url}/readyz")
            assert ready.status_code == 503
            assert ready.json()["ready"] is False
            assert "is damaged" in ready.json()["problems"][0]
            assert list(measured(url, "riskloop_log_trusted").values()) == [0.0]
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    for suffix in ("-wal", "-shm"):
        part(home, suffix).unlink(missing_ok=True)
    path.write_bytes(whole)
    with serving(home, 1) as (url, lines):
        wait_for(lambda: httpx.post(f"{url}/predict", json=ROW).status_code == 200)
        assert lines.of("log_distrusted") == []
