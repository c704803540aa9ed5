"""A portfolio whose months are written straight into the store, and a client for its dashboard."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec import structs
from tests import handmade

from riskloop.app import create_app
from riskloop.core.manifest import TrainingRecord
from riskloop.core.types import Action, Decisions, Diagnosis, Finding, PromotionKind, Rung, Severity, to_micros
from riskloop.portfolio import Portfolio
from riskloop.store import windows
from riskloop.store.home import Home
from riskloop.store.windows import Window

CONFIG = """
[portfolio]
name = "Cards <b>&</b> loans"
target = "bad"
id = "id"
time = "day"
[features.debt]
range = [0, 10]
[features.job]
kind = "category"
categories = ["none", "clerk"]
[features.sex]
kind = "category"
categories = ["1", "2"]
protected = true
"""
MAY = datetime(2025, 5, 1, tzinfo=UTC)
BINS = ["up to 5", "over 5", "missing"]


def add_model(home: Home, points: float = 2.0, learner: str = "scorecard", record: TrainingRecord | None = None) -> int:
    """A hand-made scorecard: −1, and ``points`` more above a debt of 5."""
    debt = {"bounds": [5.0], "points": [0.0, points], "missing": 0.0, "mean": 0.0}
    job = {"bounds": [], "points": [0.0], "missing": 0.0, "mean": 0.0}
    plain = handmade.manifest(home.schema)
    manifest = structs.replace(
        plain,
        learner=learner,
        comparison={learner: plain.comparison["scorecard"]},
        importance={"debt": 0.9, "job": 0.1, "sex": 0.0},
        training=structs.replace(plain.training, record=record),
        settings={"train": {"folds": 5}, "points": points},
    )
    return handmade.register(home, manifest, {"intercept": -1.0, "features": [debt, job]}, MAY)


def promote(home: Home, version: int, kind: PromotionKind = PromotionKind.FIRST) -> None:
    last = home.ledger.champion()
    home.ledger.append(
        version,
        expected_seq=0 if last is None else last.seq,
        kind=kind,
        at=MAY,
        by="anna",
        reason="because <it> is better",
    )


def decide(home: Home, count: int, scored_at: datetime = MAY, version: int = 1) -> int:
    """Log decisions of which every second one is a default; returns the first id."""
    values = np.where(np.arange(count) % 2, 9.0, 1.0)
    features = np.stack([values, np.zeros(count), np.ones(count)], axis=1)
    probabilities = np.where(np.arange(count) % 2, 0.75, 0.25)
    logged = home.decisions.append(
        Decisions(
            customer_ids=[f"c{i}" for i in range(count)],
            times=[to_micros(MAY + timedelta(minutes=i)) for i in range(count)],
            scored_at=to_micros(scored_at),
            model_version=version,
            probabilities=probabilities,
            defaults=probabilities >= 0.5,
            features=features,
        )
    )
    return logged.first_id


def psi(subject: str, value: float, severity: Severity = Severity.OK) -> Finding:
    details = {"p_value": 0.01, "chance": 0.02, "labels": BINS, "expected": [60, 40, 0], "actual": [30, 70, 0]}
    return Finding(
        "psi", subject, severity, value, 0.1, "same", "Lewis 1994", 100, 100, f"{subject} has {value}.", details
    )


def window(number: int, diagnosis: Diagnosis = Diagnosis.STABLE, **changes: object) -> Window:
    first = datetime(2025, number, 1, tzinfo=UTC)
    values: dict[str, object] = {
        "id": number,
        "name": f"{first:%Y-%m}",
        "first_time": first,
        "end_time": datetime(2025, number + 1, 1, tzinfo=UTC),
        "first_id": 1,
        "last_id": 10,
        "rows": 10,
        "model_version": 1,
        "closed_at": datetime(2025, number + 1, 2, tzinfo=UTC),
        "matured_at": None,
        "diagnosis": diagnosis,
        "confirmed": False,
        "action": Action.NONE,
        "sentence": f"What was found in {number}.",
        "rungs": (Rung(diagnosis, True, ("for it",), ("against it",)),),
        "report": None,
        "quarantined": diagnosis is Diagnosis.DATA_FAULT,
        "case_id": None,
        **changes,
    }
    return Window(**values)  # type: ignore[arg-type]


def save(home: Home, entry: Window, *found: Finding) -> None:
    with home.database.write() as connection:
        windows.save(connection, entry, found)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Home]:
    """A portfolio before its first training."""
    (tmp_path / "riskloop.toml").write_text(CONFIG)
    home = Home.open(tmp_path)
    yield home
    home.close()


@pytest.fixture
def home(empty: Home) -> Home:
    """A portfolio with a champion."""
    promote(empty, add_model(empty))
    return empty


class Browser:
    """Asks the dashboard as a browser does, in this process; keeps cookies between requests."""

    def __init__(self, home: Home) -> None:
        self._app = create_app(home, Portfolio(home)).pages
        self.cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._ask("GET", path, options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self._ask("POST", path, options)

    def _ask(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            base = "http://127.0.0.1"
            async with httpx.AsyncClient(transport=transport, base_url=base, cookies=self.cookies) as client:
                answer = await client.request(method, path, **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())


def client_of(home: Home) -> Browser:
    return Browser(home)
