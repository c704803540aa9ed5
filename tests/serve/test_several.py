"""Several portfolios in one server, as a real process: each keeps its own champion, log, keys and logins."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.web.browser import chromium, violations

from riskloop.serve.mount import Mount
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role
from riskloop.store.running import running

from .conftest import CONFIG, ROW, add_model, expected, promote
from .test_process import wait_for, wait_until_ready

RUN = "import sys; from riskloop.cli import main; sys.argv = ['riskloop', 'serve', *sys.argv[1:]]; main()"
LEVELS = {"cards": 0.0, "car-loans": 1.0}  # the intercept of each champion


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two portfolios whose champions differ."""
    for name, intercept in LEVELS.items():
        folder = tmp_path / name
        folder.mkdir()
        title = name.replace("-", " ").title()
        (folder / "riskloop.toml").write_text(CONFIG.replace("[portfolio]", f'[portfolio]\nname = "{title}"'))
        home = Home.open(folder)
        promote(home, add_model(home, intercept))
        home.close()
    return [tmp_path / name for name in LEVELS]


@contextmanager
def serving(folders: list[Path], workers: int = 1) -> Iterator[str]:
    command = [sys.executable, "-c", RUN, *map(str, folders), "--port", "0", "--workers", str(workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://\S+:\d+", line)
            assert found is not None, line
            wait_until_ready(found[0])
            yield found[0]
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(timeout=60) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def decisions(metrics: str, name: str) -> float:
    lines = [line for line in metrics.splitlines() if line.startswith("riskloop_decisions_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'portfolio="{name}"' in line)


def test_each_portfolio_answers_under_its_name_with_its_own_champion_and_log(folders: list[Path]) -> None:
    with serving(folders, workers=2) as url:
        for name, intercept in LEVELS.items():
            for number in (1, 2):
                answer = httpx.post(f"{url}/{name}/predict", json=ROW).json()
                assert answer["probability"] == pytest.approx(expected(ROW, intercept), abs=1e-12)
                assert answer["decision_id"] == str(number), "each log counts for itself"
            assert httpx.get(f"{url}/{name}/readyz").json()["ready"]
        found = {folder: running(folder) for folder in folders}
        assert [one and one.url for one in found.values()] == [f"{url}/{name}" for name in LEVELS]
        assert httpx.get(f"{url}/readyz").json() == {"ready": True, "portfolios": dict.fromkeys(LEVELS, True)}
        assert httpx.get(f"{url}/nothing/predict").status_code == 404
        for name in LEVELS:  # what the other worker counted is some seconds old
            wait_for(lambda name=name: decisions(httpx.get(f"{url}/metrics").text, name) == 2.0)  # type: ignore[misc]
    assert [running(folder) for folder in folders] == [None, None]


def test_the_inventory_lists_all_and_every_link_of_a_page_stays_in_its_portfolio(folders: list[Path]) -> None:
    with serving(folders) as url:
        page = httpx.get(url).text
        for name in LEVELS:
            assert f'href="/{name}/"' in page
            assert "version 1" in page
        listed = httpx.get(url, headers={"Accept": "application/json"}).json()
        assert [(one["name"], one["standing"]["champion"]["version"]) for one in listed] == [(n, 1) for n in LEVELS]
        for path in ("/", "/dashboard/models", "/dashboard/decisions", "/docs"):
            found = re.findall(r'(?:href|src|action|data-live)="(/[^"]*)"', httpx.get(f"{url}/cards{path}").text)
            assert found
            for link in found:
                assert link.startswith("/cards/"), f"{path} leads to {link}"
                assert not link.startswith("/cards/cards/")
            for link in sorted(set(found))[:12]:
                answer = httpx.get(url + link.replace("&amp;", "&"))
                assert answer.status_code < 400, f"{path}: {link} answers {answer.status_code}"
        assert "/cards/openapi.json" in httpx.get(f"{url}/cards/docs").text


def test_a_login_at_one_portfolio_is_none_at_the_other(folders: list[Path]) -> None:
    keys = {}
    for folder in folders:
        home = Home.open(folder)
        keys[folder.name] = Keys(home.database).create("anna", [Role.VIEW], at=datetime.now(UTC), by="test")
        home.close()
    with serving(folders) as url, chromium() as browser:
        tab = browser.new_page()
        tab.goto(f"{url}/")
        assert tab.get_by_role("link", name="Log in").count() == 2
        assert violations(tab) == []
        tab.goto(f"{url}/cards/dashboard/models")
        assert tab.url.startswith(f"{url}/cards/login?")
        tab.get_by_label("Password or key").fill(keys["cards"])
        tab.get_by_role("button", name="Log in").click()
        tab.wait_for_url(f"{url}/cards/dashboard/models")
        tab.goto(f"{url}/")
        assert tab.get_by_role("link", name="Log in").count() == 1, "the other one is still closed"
        for width in (390, 1440):
            tab.set_viewport_size({"width": width, "height": 700})
            assert violations(tab) == []
        tab.goto(f"{url}/car-loans/")
        assert "/car-loans/login" in tab.url
        tab.close()
        # A key opens its own portfolio only, and the metrics of all show no more than that.
        mine = {"Authorization": f"Bearer {keys['cards']}"}
        assert httpx.get(f"{url}/car-loans/models", headers=mine).status_code == 401
        assert 'portfolio="car-loans"' not in httpx.get(f"{url}/metrics", headers=mine).text
        assert 'portfolio="cards"' in httpx.get(f"{url}/metrics", headers=mine).text


@pytest.mark.parametrize("title", ["CARDS!", "metrics", "…"])
def test_portfolios_that_would_have_one_address_are_refused(folders: list[Path], title: str) -> None:
    config = folders[1] / "riskloop.toml"
    config.write_text(config.read_text().replace("Car Loans", title))
    said = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, folders), "--port", "0"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    assert "portfolio.name" in said.stderr


@pytest.mark.parametrize(
    ("cookie", "seen"),
    [
        (b"riskloop_session.cards=a; riskloop_session.cars=b", b"riskloop_session=a"),
        (b"riskloop_session=a", b""),
        (b"x.cards=1=2;y=3; z.cards=", b"x=1=2; z="),
    ],
)
def test_only_cookies_of_its_own_reach_a_portfolio(cookie: bytes, seen: bytes) -> None:
    scope = {"type": "http", "path": "/cards/a", "raw_path": b"/cards/a", "headers": [(b"cookie", cookie)]}
    within = Mount(None, "cards").within(scope)
    assert within["headers"] == [(b"cookie", seen)]
    assert within["path"] == "/a"
