"""A portfolio with hand-made scorecards: every probability can be worked out by hand."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import httpx
import pytest
import uvicorn
from tests import handmade

from riskloop.app import create_app
from riskloop.core.schema import Schema
from riskloop.core.types import Json, PromotionKind
from riskloop.portfolio import Portfolio
from riskloop.serve.process import bind, configured
from riskloop.store.home import Home

CONFIG = """
[portfolio]
target = "bad"
id = "id"
time = "day"
[features.debt]
range = [0, 10]
[features.income]
nullable = true
[features.job]
kind = "category"
categories = ["none", "clerk", "7"]
unseen = "flag"
[features.sex]
kind = "category"
categories = ["1", "2"]
protected = true
[serve]
max_body = 200_000
"""

ROW: Json = {"id": "anna", "debt": 4, "income": 2.5, "job": "clerk", "sex": 2}


def card(intercept: float) -> Json:
    """Log-odds: intercept + 2 above a debt of 5, − 1 above an income of 1, + 0.5 for missing income."""

    def feature(bounds: list[float], points: list[float], missing: float) -> Json:
        return {"bounds": bounds, "points": points, "missing": missing, "mean": 0.0}

    return {
        "intercept": intercept,
        "features": [feature([5.0], [0.0, 2.0], 0.0), feature([1.0], [0.0, -1.0], 0.5), feature([], [0.0], 0.0)],
    }


def expected(row: Json, intercept: float) -> float:
    """The probability of a row, by hand."""
    z = intercept + 2.0 * (row["debt"] > 5) + (0.5 if row.get("income") is None else -1.0 * (row["income"] > 1))
    return 1 / (1 + math.exp(-z))


def add_model(home: Home, intercept: float = 0.0, threshold: float = 0.5, schema: Schema | None = None) -> int:
    manifest = handmade.manifest(schema or home.schema, threshold=threshold)
    return handmade.register(home, manifest, card(intercept), datetime.now(UTC))


def promote(home: Home, version: int) -> int:
    """Make a version champion without asking the gate; returns the promotion's number."""
    last = home.ledger.champion()
    done = home.ledger.append(
        version,
        expected_seq=0 if last is None else last.seq,
        kind=PromotionKind.FORCED,
        at=datetime.now(UTC),
        by="test",
        reason="test",
    )
    return done.seq


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text(CONFIG)
    home = Home.open(tmp_path)
    promote(home, add_model(home))
    yield home
    home.close()


class Running:
    """A real server in a thread, and a client for it."""

    def __init__(self, home: Home, port: int = 0) -> None:
        self._socket = bind("127.0.0.1", port)
        self._server = uvicorn.Server(configured(create_app(home, Portfolio(home)), log_config=None))
        self._thread = Thread(target=self._server.run, args=([self._socket],))
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def start(self) -> httpx.Client:
        self._thread.start()
        until = time.monotonic() + 20
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            assert time.monotonic() < until, "the server did not start in time"
            time.sleep(0.01)
        return self.client

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.client.close()
        self._socket.close()


@pytest.fixture
def server(home: Home) -> Iterator[Running]:
    """Not started yet."""
    running = Running(home)
    yield running
    if running._thread.is_alive():
        running.stop()
    running._socket.close()
    running.client.close()


@pytest.fixture
def client(server: Running) -> httpx.Client:
    return server.start()
