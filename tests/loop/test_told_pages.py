"""The commands of the pages on who is told, on lineage and on traces, run as they stand, against stubs."""

import json
import re
import shlex
import shutil
import ssl
import subprocess
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from tests.alerts.test_channels import free_port
from tests.receiver import PagerDuty, receiving, slack, teams
from tests.test_cli import Ran, run
from tests.test_docs import blocks
from tests.web.story import served

from riskloop.core.types import Json
from riskloop.simulation.embedded import TARGET

from .test_lineage import spec

DOCS = Path(__file__).parents[2] / "docs"
ROOT = DOCS.parent


@pytest.fixture
def folder(trained_folder: Path, tmp_path: Path) -> Path:
    """A portfolio of one's own, with a champion, version 1."""
    copy = tmp_path / "portfolio"
    shutil.copytree(trained_folder, copy)
    return copy


def write(folder: Path, page: str, changes: dict[str, str]) -> None:
    """The settings of a page go into riskloop.toml, with the stubs' addresses in the place of the page's."""
    (text,) = blocks(DOCS / page, "toml")
    for was, now in changes.items():
        assert was in text
        text = text.replace(was, now)
    with (folder / "riskloop.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{text}")


def lines(page: str, *languages: str) -> list[str]:
    return [line for block in blocks(DOCS / page, "", *languages) for line in block.splitlines() if line]


def follow(folder: Path, page: str) -> dict[str, Ran]:
    """Every command of riskloop's that the page shows, in its order."""
    done = {}
    for line in lines(page, "sh", "bash"):
        if line.startswith("riskloop "):
            done[line] = run(*shlex.split(line, comments=True)[1:], folder=folder)
            assert done[line].code == 0, (line, done[line].err)
    return done


# --------------------------------------------------------------------------- alerting


class Mailbox:
    def __init__(self) -> None:
        self.receivers: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.receivers += envelope.rcpt_tos
        return "250 OK"


def test_the_channels_of_the_page_take_a_message(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trustme = pytest.importorskip("trustme")
    authority, tls, box = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), Mailbox()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with ExitStack() as stack:
        team, desk, night, tickets = (stack.enter_context(receiving()) for _ in range(4))
        team.judge, desk.judge, night.judge = slack, teams, PagerDuty("integration-key")
        port = free_port()
        controller = Controller(
            box, hostname="127.0.0.1", port=port, tls_context=tls, authenticator=log_in, auth_required=True
        )
        controller.start()
        stack.callback(controller.stop)
        changes = {
            'kind = "pagerduty"': f'kind = "pagerduty"\nurl = "{night.url}"',
            '"mail.bank.example"': f'"127.0.0.1"\nport = {port}',
            "https://tickets.bank.example/riskloop": tickets.url,
        }
        write(folder, "alerting.md", changes)
        secrets = {"SLACK": team.url, "TEAMS": desk.url, "PAGERDUTY": "integration-key", "MAIL": "pw", "TICKETS": "t"}
        for name, secret in secrets.items():
            monkeypatch.setenv(f"RISKLOOP_{name}", secret)
        text = (DOCS / "alerting.md").read_text(encoding="utf-8")
        for shown in ("alerts test", "status", "alerts list"):
            assert f"`riskloop {shown}`" in text
            done = run(*shown.split(), folder=folder)
            assert done.code == 0, done.out + done.err
    assert all(len(server.posts) == 1 for server in (team, desk, night, tickets))
    assert box.receivers == ["validation@bank.example"]
    (checking,) = (block for block in blocks(DOCS / "alerting.md", "python") if "def genuine" in block)
    names: dict[str, Any] = {}
    exec(checking, names)  # noqa: S102 - the page's own
    assert names["genuine"](*tickets.posts[0], "t")
    assert not names["genuine"](*tickets.posts[0], "another")


def log_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=data.login == b"riskloop" and data.password == b"pw")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed; the page's lines are not run")
def test_promtool_takes_the_rules_as_the_page_calls_it() -> None:
    first, *told = lines("alerting.md", "sh")
    assert first == "cd deploy/prometheus"
    for line in (line for line in told if line.startswith("promtool")):  # Prometheus itself: tests/deploy
        subprocess.run(shlex.split(line), cwd=ROOT / "deploy" / "prometheus", check=True, capture_output=True)


# --------------------------------------------------------------------------- lineage


def test_the_lineage_page_with_a_server_that_is_away_at_first(folder: Path) -> None:
    with receiving() as server:
        server.judge = lambda _event: (503, "starting")
        write(folder, "howto/lineage.md", {"http://127.0.0.1:5000": server.url.removesuffix("/hook")})
        done = follow(folder, "howto/lineage.md")
        assert "Lineage events wait" in done["riskloop status"].out
        server.judge = spec
        refused = len(server.posts)
        done = follow(folder, "howto/lineage.md")
        assert "Lineage events wait" not in done["riskloop status"].out
        assert {e["job"]["name"] for e in server.documents()[refused:]} == {"train", "promote"}


def test_the_lineage_page_with_a_file(folder: Path) -> None:
    (named,) = re.findall(r'# or a file: "(.+)"', blocks(DOCS / "howto/lineage.md", "toml")[0])
    write(folder, "howto/lineage.md", {"http://127.0.0.1:5000": named})
    follow(folder, "howto/lineage.md")
    events: list[Json] = [json.loads(line) for line in (folder / named).read_text().splitlines()]
    assert [spec(event)[0] for event in events] == [201] * len(events)
    assert {event["job"]["name"] for event in events} == {"train", "promote"}


# --------------------------------------------------------------------------- traces


def test_the_tracing_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'riskloop[otel]'")
    install, export, command = lines("howto/tracing.md")[:3]
    extra = re.findall(r"riskloop\[(\w+)\]", install)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extra) <= set(extras)
    variable = export.removeprefix("export ").partition("=")[0]
    assert command == "riskloop up"
    (row,) = json.loads(pd.read_csv(folder / "history.csv", nrows=1).drop(columns=TARGET).to_json(orient="records"))
    with receiving() as collector:
        monkeypatch.setenv(variable, collector.url.removesuffix("/hook"))
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with served(folder, command="up") as url, httpx.Client(trust_env=False) as client:
            answer = client.post(f"{url}/predict", json=row, timeout=60)
            assert answer.status_code == 200, answer.text
        sent = b"".join(body for _, body in collector.posts)
    for span in (b"POST /predict", b"decode", b"score", b"commit"):
        assert span in sent
