"""The loop's worker as a process: killed, faced with damaged files and a locked database, watched by others."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread

import httpx
import pytest

from riskloop.core.types import Json
from riskloop.store.cycles import give_up, loop_state, recorded
from riskloop.store.home import Home
from riskloop.worker import LAST_PAUSE, MOST_ENDS, Supervisor, pause_after

from .test_process import measured, wait_for, wait_until_ready


class Lines:
    """What a process says on standard error, as far as it is JSON."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.said: list[Json] = []
        self.raw: list[str] = []
        assert process.stderr is not None
        self._thread = Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._thread.start()

    def _read(self, stream: Iterator[str]) -> None:
        for line in stream:
            self.raw.append(line)
            if line.startswith("{"):
                self.said.append(json.loads(line))

    def of(self, action: str) -> list[Json]:
        return [line for line in self.said if line.get("action") == action]


@contextmanager
def running(home: Home, *command: str) -> Iterator[tuple["subprocess.Popen[str]", Lines]]:
    whole = [sys.executable, "-m", "riskloop.cli", *command, "--config", str(home.config), "--every", "1"]
    with subprocess.Popen(whole, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process, Lines(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The processes that this one has started; a process that has ended is none."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def finished(home: Home) -> bool:
    return loop_state(home.database).finished_at is not None


def test_a_killed_worker_comes_again_and_everybody_sees_that_cycles_finish(home: Home) -> None:
    with running(home, "up", "--port", "0") as (process, lines):
        wait_for(lambda: any("riskloop serves" in line for line in lines.raw))
        said = next(line for line in lines.raw if "riskloop serves" in line)
        url = re.search(r"http://\S+:\d+", said)[0]  # type: ignore[index]
        wait_until_ready(url)
        wait_for(lambda: finished(home))
        first = loop_state(home.database).finished_at
        for _ in range(2):
            (worker,) = children(process.pid)
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda gone=worker: children(process.pid) not in ([gone], []))  # type: ignore[misc]
        wait_for(lambda: loop_state(home.database).finished_at > first)  # type: ignore[operator]
        assert [(line["level"], line["ends"]) for line in lines.of("worker_ended")] == [("error", 1), ("error", 2)]
        assert "signal 9" in lines.of("worker_ended")[0]["message"]
        wait_for(lambda: len(measured(url, "riskloop_cycle_age_seconds")) == 1)
        document = httpx.get(f"{url}/readyz").json()
        assert document["ready"] is True
        assert document["problems"] == []
        assert document["last_cycle"] is not None


def test_whatever_fails_in_a_cycle_is_one_line_and_is_tried_again(home: Home) -> None:
    files = home.folder / home.settings.storage.artefacts
    kept = home.folder / "kept"
    shutil.copytree(files, kept)
    damaged = next(path for path in files.rglob("*") if path.is_file() and path.name != "manifest.json")
    with running(home, "watch") as (process, lines):
        wait_for(lambda: finished(home))
        sound = damaged.read_bytes()
        damaged.write_bytes(sound[: len(sound) // 2])
        wait_for(lambda: len(lines.of("cycle_failed")) >= 2)
        assert process.poll() is None
        state = loop_state(home.database)
        assert state.failures >= 1
        assert state.problem is not None
        assert damaged.name in state.problem
        damaged.write_bytes(sound)
        wait_for(lambda: len(lines.of("cycle_recovered")) == 1)
        assert loop_state(home.database).failures == 0
        failed = lines.of("cycle_failed")
        assert [line["failures"] for line in failed] == list(range(1, len(failed) + 1))
        assert {(line["level"], line["error"]) for line in failed} == {("error", "ArtefactError")}

        with closing(sqlite3.connect(home.folder / "riskloop.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            wait_for(lambda: any(line["error"] == "StorageError" for line in lines.of("cycle_failed")))
        wait_for(lambda: len(lines.of("cycle_recovered")) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("code", "how"), [("raise SystemExit(3)", "ended with code 3"), ("import os; os.abort()", "by signal 6")]
)
def test_a_worker_that_always_ends_is_given_up_loudly(home: Home, code: str, how: str) -> None:
    counted: list[int] = []

    def pause(ends: int) -> float | None:
        counted.append(ends)
        return None if ends >= 3 else 0.01

    def told(problem: str) -> None:
        give_up(home.database, problem)

    with Supervisor([sys.executable, "-c", code], told, pause):
        wait_for(lambda: loop_state(home.database).given_up)
    assert counted == [1, 2, 3]
    state = loop_state(home.database)
    assert state.stands_still(timedelta(days=365))
    assert how in str(state.trouble(timedelta(hours=1)))
    with recorded(home.database):  # somebody else runs a cycle
        pass
    assert loop_state(home.database).trouble(timedelta(hours=1)) is None


def test_a_stop_ends_the_worker_and_starts_no_other(tmp_path: Path) -> None:
    code = f"import os, time; open('{tmp_path}/' + str(os.getpid()), 'w'); time.sleep(600)"
    with Supervisor([sys.executable, "-c", code], lambda _: None, lambda _: 0.01):
        wait_for(lambda: len(list(tmp_path.iterdir())) == 1)
        (first,) = tmp_path.iterdir()
        os.kill(int(first.name), signal.SIGKILL)
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


def test_pauses_grow_to_a_minute_and_end() -> None:
    pauses = [pause_after(ends) for ends in range(1, MOST_ENDS + 1)]
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-2:] == [LAST_PAUSE, None]
