"""Rules and dashboard against a real Prometheus that scrapes a real server with two workers."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.receiver import receiving
from tests.web.story import served

from riskloop.loop.lineage import tell_lineage_now
from riskloop.loop.shadow import follow
from riskloop.store.cycles import finished
from riskloop.store.home import Home

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "riskloop.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "riskloop.json"
OLD = ROOT / "tests" / "old" / "format_1"
ROW = {"id": "anna", "day": "2025-03-05", "debt": 21.5, "income": 3.3, "age": 64, "job": "clerk"}

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None and not os.environ.get("CI"),
    reason="Prometheus is not installed (Debian: apt-get install prometheus); the rules for it are not tested",
)


def expressions() -> list[str]:
    """As Grafana asks them for all portfolios."""
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    notes = [note["expr"] for note in document["annotations"]["list"]]
    return [expression.replace("$portfolio", ".*") for expression in panels + notes]


def test_panels_lie_side_by_side_and_ask_for_the_chosen_portfolios() -> None:
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    taken = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    assert {variable["name"] for variable in document["templating"]["list"]} == {"datasource", "portfolio"}
    for panel in panels:
        assert panel["title"]
        for target in panel["targets"]:
            metrics = re.findall(r"riskloop_\w+", target["expr"])
            assert target["expr"].count('portfolio=~"$portfolio"') == len(metrics) > 0
            assert "{{portfolio}}" in target["legendFormat"]


def test_the_rules_do_what_their_tests_say() -> None:
    folder = RULES.parent
    for words in (["check", "rules", RULES.name], ["check", "config", "prometheus.yml"]):
        subprocess.run(["promtool", *words], cwd=folder, check=True, capture_output=True)
    subprocess.run(["promtool", "test", "rules", "riskloop.rules.test.yml"], cwd=folder, check=True)


def test_every_rule_has_a_test_or_is_named_here() -> None:
    simple = {"PortfolioUnreadable", "ScoreDrifted", "OutcomesQuarantined", "KnownHarm", "Slow"}
    rules = set(re.findall(r"alert: Riskloop(\w+)", RULES.read_text()))
    tested = set(re.findall(r"alertname: Riskloop(\w+)", RULES.with_name("riskloop.rules.test.yml").read_text()))
    assert rules - tested == simple


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served") / "portfolio"
    shutil.copytree(OLD, folder)
    with (folder / "riskloop.toml").open("a") as config:
        config.write('[shadow]\nversions = [1]\n[lineage]\nto = "lineage.jsonl"\n')
    home = Home.open(folder)
    list(follow(home, 2, datetime.now(UTC), lambda: None))  # version 1 begins to follow
    tell_lineage_now(home.ledger, home.artefacts, home.windows, home.settings, folder)
    finished(home.database)
    with receiving() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.removesuffix("/hook"))
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")  # milliseconds
        with served(folder, "--workers", "2") as url:
            with httpx.Client(base_url=url, trust_env=False) as client:
                assert client.post("/predict", json=ROW).status_code == 200
            list(follow(home, 2, datetime.now(UTC), lambda: None))
            yield url


@pytest.fixture(scope="module")
def prometheus(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Scrapes the server every second; a client for its API."""
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copy(RULES, folder)
    target = server.removeprefix("http://")
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{RULES.name}]\n"
        f"scrape_configs: [{{job_name: riskloop, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=folder, stderr=log, stdout=log) as process:
        try:
            with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=60) as client:
                yield client
        finally:
            process.terminate()


def ask(prometheus: httpx.Client, expression: str) -> list[Any]:
    found: list[Any] = prometheus.get("/api/v1/query", params={"query": expression}).json()["data"]["result"]
    return found


def until(prometheus: httpx.Client, expression: str) -> list[Any]:
    """The answer, once there is one."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            if found := ask(prometheus, expression):
                return found
        except (httpx.TransportError, ValueError):  # it is not there yet, or says so in plain text
            pass
        time.sleep(0.2)
    raise AssertionError(f"Prometheus has no answer to {expression}")


def test_every_panel_of_the_dashboard_has_data(prometheus: httpx.Client, server: str) -> None:
    with httpx.Client(base_url=server, trust_env=False) as client:
        until(prometheus, "riskloop_portfolio_up")
        for _ in range(30):  # a rate needs two scrapes between which something happened
            assert client.post("/predict", json=ROW).status_code == 200
            assert client.post("/predict", json={}).status_code == 422
            if ask(prometheus, "rate(riskloop_errors_total[5m]) > 0") and ask(
                prometheus, "rate(riskloop_decisions_total[5m]) > 0"
            ):
                break
            time.sleep(1.0)
    empty = [e for e in expressions() if not ask(prometheus, e)]
    # The champion did not change, and no mirror is asked for.
    assert empty == [e for e in expressions() if e.startswith("changes(") or "riskloop_mirror" in e]


def test_the_portfolio_speaks_once_and_each_worker_for_itself(prometheus: httpx.Client) -> None:
    until(prometheus, "riskloop_portfolio_up == 1")
    assert len(ask(prometheus, "riskloop_realised_auc")) == 1
    until(prometheus, "count(riskloop_champion_version) == 2")
    assert {float(r["value"][1]) for r in ask(prometheus, "riskloop_champion_version")} == {2.0}


def test_a_rule_fires_on_what_the_portfolio_says(prometheus: httpx.Client) -> None:
    """Its outcomes are late; the rule waits an hour."""
    (alert,) = until(prometheus, 'ALERTS{alertname="RiskloopOutcomesLate"}')
    assert alert["metric"]["alertstate"] == "pending"
