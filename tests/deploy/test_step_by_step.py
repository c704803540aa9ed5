"""docs/deploy.md, step by step: its own commands, with real processes of this machine, from SQLite to the nightly job.

PostgreSQL, two API machines behind nginx, a worker and a standby, a job on Spark. Only paths, addresses and ports are
the test's own.
"""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pandas as pd
import psycopg
import pytest
from tests.postgres import Cluster, cluster

from .test_files import OLD, ROOT, needs, nginx

PATIENCE = 300.0  # seconds for anything that a process does; machines are slow at times
ROW = {"day": "2025-03-05", "debt": 21.5, "income": 3.3, "age": 64, "job": "clerk"}
pytestmark = needs("nginx", "nginx")


def steps() -> list[str]:
    """The commands of the page, in order."""
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    part = page.split("### From one machine to several, step by step\n")[1].split("\n### ")[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", part, re.DOTALL) for line in block.splitlines()]


def wait_for(true: Callable[[], bool], sentence: str) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, sentence
        time.sleep(0.05)


class Deployed:
    """The machines, and what is started of them so far."""

    def __init__(self, folder: Path, server: Cluster, stack: ExitStack) -> None:
        self.folder, self.server, self.stack = folder, server, stack
        self.portfolio = folder / "srv"
        self.started: list[subprocess.Popen[bytes]] = []
        self.left = steps()
        self.url = ""
        self.address = server.url.replace("/postgres?", "/lender?")
        self.lenders = self.address.replace("riskloop@", "lender@")  # as the role that the page makes
        self.environment = {**os.environ, "PGHOST": str(server.folder), "PGUSER": "riskloop", "PYTHONPATH": str(ROOT)}

    def take(self, beginning: str) -> str:
        """The page's next command, which has to be this one, with the paths and addresses of the test."""
        line = self.left.pop(0)
        assert line.startswith(beginning), line
        line = line.replace("/srv/riskloop", str(self.portfolio)).replace(" /in/", f" {self.folder}/in/")
        line = line.replace(" /out/", f" {self.folder}/out/")
        line = line.replace(
            "postgresql+psycopg://lender@db.bank.internal/lender", self.address.replace("riskloop@", "lender@")
        )
        return re.sub(r"--host 10\.0\.0\.1\d --port 8000", "--port 0", line)

    def command(self, beginning: str) -> list[str]:
        """The same as words of a process."""
        words = shlex.split(self.take(beginning))
        if words[0] == "riskloop":
            return [sys.executable, "-m", "riskloop.cli", *words[1:]]
        found = self.server.programs / words[0]
        return [str(found), *words[1:]] if found.exists() else words

    def run(self, beginning: str) -> str:
        """Run the page's next command to its end; what it printed."""
        command = self.command(beginning)
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, env=self.environment, cwd=self.folder
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, beginning: str) -> Path:
        """Start the page's next command as a service; its log."""
        log = self.folder / f"service-{len(self.started)}.log"
        with log.open("w", encoding="utf-8") as said:
            process = subprocess.Popen(
                self.command(beginning), stdout=said, stderr=said, env=self.environment, cwd=self.folder
            )
        self.started.append(process)
        self.stack.callback(end, process)
        return log

    def client(self) -> httpx.Client:
        """A client of the balancer."""
        trusted = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        return httpx.Client(base_url=self.url, verify=trusted, trust_env=False, timeout=PATIENCE)

    def asked(self, query: str) -> list[tuple[object, ...]]:
        """What the database says."""
        with psycopg.connect(self.address.replace("+psycopg", "")) as connection:
            return connection.execute(query.encode()).fetchall()


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(PATIENCE)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    with cluster() as server, ExitStack() as stack:
        server.start("max_connections=60")
        made = Deployed(folder, server, stack)
        shutil.copytree(OLD, made.portfolio)
        (folder / "in").mkdir()
        (folder / "out").mkdir()
        yield made


def test_the_portfolio_moves_and_two_machines_answer(deployed: Deployed) -> None:
    deployed.run("riskloop migrate")
    deployed.run("createuser")
    deployed.run("createdb")
    deployed.run("riskloop store copy sqlite:///")
    config = deployed.portfolio / "riskloop.toml"
    text = config.read_text(encoding="utf-8")
    text = text.replace("[storage]\n", f'[storage]\nurl = "{deployed.lenders}"\n')
    config.write_text(text + '\n[policy]\nname = "manual"\n', encoding="utf-8")  # nothing is trained in this test
    deployed.run("riskloop migrate")
    logs = [deployed.start("riskloop serve"), deployed.start("riskloop serve")]

    def address_of(log: Path) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(encoding="utf-8"))
        return found[0] if found else ""

    wait_for(lambda: all(map(address_of, logs)), "a server does not start")
    assert deployed.left[2].startswith("nginx -c ")
    deployed.url = deployed.stack.enter_context(nginx(deployed.folder, [address_of(log) for log in logs]))
    with deployed.client() as client:

        def is_ready() -> bool:
            try:
                return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(lambda: all(is_ready() for _ in range(4)), "nginx does not answer")
        answers = [client.post("/predict", json={"id": f"n{k}", **ROW}) for k in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    assert [int(answer.json()["decision_id"]) for answer in answers] == list(range(241, 253))
    assert {answer.json()["probability"] for answer in answers} == {answers[0].json()["probability"]}
    for log in logs:  # each of them has answered half
        assert address_of(log)


def test_the_standby_takes_over_when_the_worker_is_killed(deployed: Deployed) -> None:
    """In the middle of a cycle, with the lease in its hand."""
    with psycopg.connect(deployed.address.replace("+psycopg", "")) as held:
        held.execute("LOCK TABLE windows IN ACCESS EXCLUSIVE MODE")  # no cycle gets further than this
        logs = [deployed.start("riskloop watch"), deployed.start("riskloop watch")]
        holder = "SELECT holder FROM leases WHERE name = 'loop'"
        wait_for(lambda: bool(deployed.asked(holder)), "no worker takes the lease")
        pid = int(str(deployed.asked(holder)[0][0]).split(":")[-2])
        workers = {process.pid: process for process in deployed.started[2:]}
        os.kill(pid, signal.SIGKILL)
        assert workers.pop(pid).wait(PATIENCE) == -signal.SIGKILL
    wait_for(lambda: deployed.asked("SELECT count(*) FROM cycles WHERE finished_at > 0") == [(1,)], "nobody takes over")
    assert deployed.asked("SELECT name FROM windows ORDER BY id") == [("2025-01",), ("2025-02",), ("2025-03",)]
    (standby,) = workers.values()
    assert standby.poll() is None, logs[0].read_text(encoding="utf-8") + logs[1].read_text(encoding="utf-8")
    deployed.take("nginx -c ")


def test_the_nightly_job_is_part_of_the_same_log(deployed: Deployed) -> None:
    """On Spark; skipped without it."""
    rows = pd.read_csv(OLD / "rows.csv").drop(columns="bad").assign(id=[f"night-{i}" for i in range(50)])
    rows.assign(day="2025-03-20").to_parquet(deployed.folder / "in" / "customers.parquet", index=False)
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("Spark is not installed: pip install 'riskloop[spark]', and Java 17")
    deployed.run("riskloop score")
    told = pd.read_parquet(deployed.folder / "out" / "scored.parquet")
    assert sorted(told["decision_id"].astype(int)) == list(range(253, 303))
    labels = pd.DataFrame({"decision_id": range(253, 303), "bad": [0, 1] * 25, "known_at": "2025-05-20"})
    labels.to_csv(deployed.folder / "in" / "outcomes.csv", index=False)
    deployed.run("riskloop outcomes")
    assert deployed.asked("SELECT count(*) FROM outcomes WHERE decision_id > 252") == [(50,)]
    os.kill(deployed.started[0].pid, signal.SIGKILL)  # one of the API machines is lost meanwhile
    with deployed.client() as client:

        def answered() -> bool:
            answer = client.get("/decisions/300")
            return answer.status_code == 200 and answer.json()["customer_id"].startswith("night-")

        wait_for(answered, "the other machine does not answer")
        wait_for(lambda: client.post("/predict", json={"id": "last", **ROW}).status_code == 200, "nobody answers")
    assert deployed.asked("SELECT max(id) FROM decisions") == [(303,)]
    deployed.run("riskloop verify")
    assert "303" in deployed.run("riskloop status")
    assert deployed.left == [], "every command of the page was run"
