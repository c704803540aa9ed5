"""The server as a process: killed, stopped, doubled, started twice on one port."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from riskloop.core.errors import ConfigError
from riskloop.core.types import Json
from riskloop.serve.process import bind
from riskloop.store.home import Home
from riskloop.store.running import NOTE, running
from riskloop.worker import CHILD, api_url

from .conftest import ROW, add_model, promote

RUN = """
import sys
from pathlib import Path
from riskloop.serve.process import run_server
run_server(Path(sys.argv[1]), port=int(sys.argv[2]), workers=int(sys.argv[3]))
"""


@contextmanager
def serving(home: Home, *, workers: int = 1) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", RUN, str(home.config), "0", str(workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+:\d+", process.stderr.readline())
            assert found is not None
            Thread(target=process.stderr.read, daemon=True).start()
            yield process, found[0]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], instead: Callable[[], object] = lambda: "nothing is known") -> None:
    until = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < until, f"it did not happen in time, but: {instead()}"
        time.sleep(0.05)


def wait_until_ready(url: str) -> None:
    def ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    wait_for(ready)


class Load:
    """Clients that ask for decisions until they are told to stop, and remember every answer."""

    def __init__(self, url: str, clients: int = 8) -> None:
        self.answers: list[Json] = []
        self.refused: list[int] = []
        self.broken = 0
        self._stop = Event()
        self._threads = [Thread(target=self._ask, args=(url, k)) for k in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, url: str, number: int) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            count = 0
            while not self._stop.is_set():
                count += 1
                try:
                    answer = client.post("/predict", json={**ROW, "id": f"{number}-{count}"})
                except httpx.TransportError:
                    self.broken += 1
                    time.sleep(0.01)
                    continue
                if answer.status_code == 200:
                    self.answers.append(answer.json())
                else:
                    self.refused.append(answer.status_code)
                    time.sleep(0.02)  # or refusals would take the processor from what they wait for


def check_log(home: Home, answers: list[Json]) -> None:
    """Every answer is in the log exactly once, as it was given, and no number is missing."""
    frame = home.decisions.frame()
    assert frame.ids.tolist() == list(range(1, len(frame) + 1))
    logged = {int(i): (c, p) for i, c, p in zip(frame.ids, frame.customer_ids, frame.probabilities, strict=True)}
    assert len({a["decision_id"] for a in answers}) == len(answers)
    for answer in answers:
        assert logged[int(answer["decision_id"])] == (answer["customer_id"], answer["probability"])


def test_a_killed_server_loses_no_answered_decision(home: Home) -> None:
    chance = random.Random(7)
    answers: list[Json] = []
    for _ in range(3):
        with serving(home) as (process, url):
            wait_until_ready(url)
            with Load(url) as load:
                while len(load.answers) < chance.randint(20, 200):
                    time.sleep(0.001)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            answers += load.answers
        check_log(home, answers)


def test_a_stopped_server_answers_what_it_accepted(home: Home) -> None:
    with serving(home) as (process, url):
        wait_until_ready(url)
        assert api_url(None, home.config) == api_url(None, home.folder) == url
        with Load(url) as load:
            while len(load.answers) < 50:
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) in (0, -signal.SIGTERM)
        assert load.refused == []
        check_log(home, load.answers)
        assert home.decisions.count() == len(load.answers)
    assert running(home.folder) is None
    assert not (home.folder / NOTE).exists()


def measured(url: str, metric: str) -> dict[str, float]:
    """A metric's value by worker."""
    found = re.findall(rf'^{metric}{{.*worker="(\d+)"}} ([\d.]+)$', httpx.get(f"{url}/metrics").text, re.MULTILINE)
    return {worker: float(value) for worker, value in found}


def test_workers_share_one_log(home: Home) -> None:
    with serving(home, workers=2) as (process, url):
        wait_until_ready(url)
        wait_for(lambda: len(measured(url, "riskloop_champion_version")) == 2)
        with Load(url) as load:
            time.sleep(1.5)
        wait_for(lambda: sum(measured(url, "riskloop_decisions_total").values()) == len(load.answers))
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert load.refused == []
    assert load.broken == 0
    check_log(home, load.answers)


def test_workers_end_with_the_process_that_started_them(home: Home) -> None:
    with serving(home, workers=2) as (process, url):
        wait_until_ready(url)
        process.kill()
        process.wait(timeout=30)

        def gone() -> bool:
            try:
                httpx.get(f"{url}/healthz", timeout=5)
            except httpx.TransportError:
                return True
            return False

        wait_for(gone)


def test_promotions_under_load_fail_no_request(home: Home) -> None:
    versions = [1, add_model(home, intercept=1.0)]
    with serving(home) as (_process, url):
        wait_until_ready(url)
        with Load(url) as load:
            for k in range(1, 7):
                promote(home, versions[k % 2])
                time.sleep(0.4)
    assert load.refused == []
    assert load.broken == 0
    check_log(home, load.answers)
    assert {a["model_version"] for a in load.answers} == {1, 2}


def test_a_port_in_use_is_said_in_one_sentence(home: Home, free_port_taken: int) -> None:
    command = [
        sys.executable,
        "-m",
        "riskloop.cli",
        "serve",
        "--config",
        str(home.config),
        "--port",
        str(free_port_taken),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 2
    assert f"Port {free_port_taken} on 127.0.0.1 cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_belongs_to_one_from_the_start() -> None:
    first = bind("127.0.0.1", 0)
    with first, pytest.raises(ConfigError, match="in use"):
        bind("127.0.0.1", first.getsockname()[1])
    with pytest.raises(ConfigError, match="Port 70000"):
        bind("127.0.0.1", 70000)


@pytest.fixture
def free_port_taken() -> Iterator[int]:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_log_lines_are_json(home: Home, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(home.config), "0", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[3]
        wait_until_ready(url)
        process.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert {line["action"] for line in lines} >= {"champion"}
    assert all({"at", "level", "message", "pid"} <= set(line) for line in lines)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_loops_worker_ends_with_its_server(home: Home, how: signal.Signals) -> None:
    up = ["up", "--config", str(home.config), "--port", "0", "--every", "1"]
    command = [sys.executable, "-m", "riskloop.cli", *up]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://\S+:\d+", process.stderr.readline())
        assert found is not None
        wait_until_ready(found[0])
        process.send_signal(how)
        process.communicate(timeout=180)  # the pipe is closed when the last process of both has ended
        assert process.returncode == (0 if how is signal.SIGTERM else -how)


def test_a_worker_whose_server_was_killed_while_it_was_starting_ends(home: Home) -> None:
    """Its parent is another process by then, so it is told which one it belongs to."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    watch = ["watch", "--config", str(home.config), "--every", "1", CHILD, str(gone.pid)]
    ended = subprocess.run([sys.executable, "-m", "riskloop.cli", *watch], capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
