"""The same service over a database server: several machines, one log, one ledger; and the server goes away at times."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import text

from riskloop.core.errors import DataError
from riskloop.core.types import Problem
from riskloop.serve.refusals import Refusals
from riskloop.store.home import Home
from riskloop.store.refusals import refusal_counts

from .conftest import CONFIG, ROW, Running, add_model, expected, promote

if TYPE_CHECKING:
    from tests.postgres import Cluster, Server


@pytest.fixture
def home(postgres: "Server", tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text(CONFIG + f'[storage]\nurl = "{postgres.empty()}"\n')
    home = Home.open(tmp_path)
    promote(home, add_model(home))
    yield home
    home.close()


@pytest.fixture
def machines(home: Home) -> Iterator[list[httpx.Client]]:
    """Clients of two API machines."""
    homes = [Home.open(home.config) for _ in range(2)]
    running = [Running(each) for each in homes]
    yield [each.start() for each in running]
    for machine in running:
        machine.stop()
    for each in homes:
        each.close()


def answers(clients: list[httpx.Client], count: int) -> list[Any]:
    def ask(number: int) -> Any:
        row = {**ROW, "id": f"c{number}", "debt": number % 10}
        return clients[number % len(clients)].post("/predict", json=row)

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(ask, range(count)))


def test_two_machines_share_one_log_without_gaps(machines: list[httpx.Client], home: Home) -> None:
    answered = answers(machines, 200)
    assert {answer.status_code for answer in answered} == {200}
    documents = [answer.json() for answer in answered]
    assert sorted(int(each["decision_id"]) for each in documents) == list(range(1, 201))
    for number, each in enumerate(documents):
        decision = home.decisions.get(int(each["decision_id"]))
        assert decision.customer_id == each["customer_id"] == f"c{number}"
        assert decision.probability == each["probability"]
        assert each["probability"] == pytest.approx(expected({**ROW, "debt": number % 10}, 0.0), abs=1e-12)


def test_after_a_promotion_no_machine_answers_with_the_old_model(machines: list[httpx.Client], home: Home) -> None:
    for version in range(2, 6):
        promote(home, add_model(home, intercept=version / 10))
        assert [client.post("/predict", json=ROW).json()["model_version"] for client in machines] == [version] * 2


def test_a_batch_sent_twice_to_two_machines_is_logged_once(machines: list[httpx.Client], home: Home) -> None:
    rows = [{**ROW, "id": f"c{i}"} for i in range(30)]
    sent = [client.post("/predict/batch", json=rows, headers={"Idempotency-Key": "run"}) for client in machines]
    assert sent[0].json() == sent[1].json()
    assert home.decisions.count() == 30


def test_killed_connections_are_replaced_and_no_request_fails(machines: list[httpx.Client], home: Home) -> None:
    for _ in range(5):
        assert {answer.status_code for answer in answers(machines, 20)} == {200}
        with home.database.write() as connection:
            others = "pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    assert home.decisions.count() == home.decisions.last_id() == 100


def test_a_locked_log_holds_up_no_other_request(machines: list[httpx.Client], home: Home) -> None:
    """The event loop goes on while the database makes decisions wait."""
    with ThreadPoolExecutor(1) as thread:
        with home.database.write() as connection:
            connection.execute(text("SELECT 1 FROM counters FOR UPDATE"))
            waiting = thread.submit(machines[0].post, "/predict", json=ROW)
            time.sleep(0.3)
            assert machines[0].get("/healthz").status_code == 200
            assert not waiting.done()
        assert waiting.result().status_code == 200


def test_counts_of_refused_fields_are_kept_whatever_their_names(home: Home) -> None:
    refusals = Refusals(home.database)
    for name in ("a\0b", "a" * 300, "ä"):
        refusals.count(DataError("no", [Problem(name, "is not in the schema")]))
    refusals.flush()
    assert sorted(each.field for each in refusal_counts(home.database, 0, 2**62)) == ["a" * 200, "a\ufffdb", "ä"]


@pytest.fixture
def own() -> Iterator["Cluster"]:
    from tests.postgres import cluster

    with cluster() as made:
        made.start()
        yield made


def test_a_server_that_is_killed_and_started_again_is_found_again(own: "Cluster", tmp_path: Path) -> None:
    (tmp_path / "riskloop.toml").write_text(CONFIG + f'[storage]\nurl = "{own.url}"\n')
    home = Home.open(tmp_path)
    promote(home, add_model(home))
    running = Running(home)
    client = running.start()
    assert client.post("/predict", json=ROW).status_code == 200
    children = Path(f"/proc/{own.pid}/task/{own.pid}/children").read_text(encoding="utf-8").split()
    os.kill(own.pid, signal.SIGKILL)
    refused = client.post("/predict", json=ROW)
    assert refused.status_code == 503
    assert "cannot be written" in refused.json()["error"]["message"]
    assert client.get("/readyz").json()["problems"]
    until = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < until:
        time.sleep(0.05)  # they still hold the memory that they shared
    own.start()
    assert client.post("/predict", json=ROW).json()["decision_id"] == "2"
    assert home.decisions.count() == 2
    running.stop()
    home.close()


def test_text_that_the_database_cannot_keep_is_refused_and_breaks_nothing(
    machines: list[httpx.Client], home: Home
) -> None:
    """PostgreSQL keeps no NUL: wherever somebody can send one, with a key or without, it is their mistake."""
    client = machines[0]
    page = client.get("/dashboard/models")
    token = client.cookies["riskloop_form"]
    asked = [client.get(f"{path}=a%00b") for path in SEARCHES]
    asked += [client.post(path, json=body) for path, body in NOTES]
    asked += [client.post(path, data={**fields, "token": token}) for path, fields in FORMS]
    asked += [client.get(f"/dashboard/{path}a%00b") for path in ("drift/", "decisions/", "cases/", "x/")]
    asked += [client.post("/outcomes", json=[{name: "a\0b", "bad": True}]) for name in ("id", "decision_id", "a\0b")]
    asked.append(client.post("/outcomes", content=b"id,bad\na\0b,1\n", headers={"content-type": "text/csv"}))
    assert page.status_code == 200
    assert {(str(each.url), each.status_code) for each in asked if each.status_code >= 500} == set()
    assert client.post("/predict", json=ROW).status_code == 200
    refusals = Refusals(home.database)
    refusals.count(DataError("odd", [Problem("a\0b", "'a\0b' is unknown")]))
    refusals.flush()
    assert sum(refusal_counts(home.database, 0, 2**62).values()) >= 1


SEARCHES = [
    *(f"/dashboard/decisions?{name}" for name in ("customer", "decision", "outcome", "level", "from", "version")),
    *(f"/dashboard/audit?{name}" for name in ("by", "action", "subject", "since")),
    "/dashboard/decisions/export?customer",
    "/dashboard/audit.csv?by",
    "/dashboard/cases?state",
    "/login?next",
]
NOTES = [
    ("/models/1/promote", {"reason": "a\0b", "force": True}),
    *(("/cases/1/" + order, {"note": "a\0b"}) for order in ("reject", "release", "close", "comment", "acknowledge")),
    ("/cases/1/assign", {"to": "a\0b"}),
    ("/cases/1/approve", {"note": "a", "evidence": "a\0bcdefgh"}),
]
FORMS = [
    ("/login", {"name": "a\0b", "secret": "secret"}),
    ("/login", {"name": "", "secret": "a\0b.c"}),
    ("/dashboard/models/rollback", {"note": "a\0b"}),
]
