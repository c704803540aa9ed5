"""A share of the declined is approved at random, over real HTTP: marked, logged, and reproducible."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from riskloop.core.exploration import draw
from riskloop.core.types import Json
from riskloop.portfolio import Portfolio
from riskloop.store.home import Home

from .conftest import CONFIG, ROW, add_model, promote

RATE = 0.25
RISKY: list[Json] = [{**ROW, "id": f"c{i}", "debt": 7, "income": 0.5} for i in range(80)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text(CONFIG + f"[exploration]\nrate = {RATE}\n")
    home = Home.open(tmp_path)
    promote(home, add_model(home))
    yield home
    home.close()


def _expected(row: Json) -> bool:
    return draw(row["id"], np.zeros(4), 1) < RATE


def test_the_answer_and_the_log_are_marked(client: httpx.Client, home: Home) -> None:
    explored = next(row for row in RISKY if _expected(row))
    declined = next(row for row in RISKY if not _expected(row))
    answer = client.post("/predict", json=explored).json()
    assert answer["default"] is False
    assert answer["probability"] > answer["threshold"]
    assert answer["flags"] == {"explored": True, "exploration_rate": RATE}
    assert home.decisions.get(1).flags == answer["flags"]
    assert client.get("/decisions/1").json()["flags"] == answer["flags"]
    other = client.post("/predict", json=declined).json()
    assert other["default"] is True
    assert "flags" not in other


def test_who_is_approved_anyway_is_never_explored(client: httpx.Client) -> None:
    assert all(
        "flags" not in client.post("/predict", json={**row, "debt": 1, "income": 2.5}).json() for row in RISKY[:20]
    )


def test_files_and_frames_explore_the_same_customers(client: httpx.Client, home: Home) -> None:
    answers = client.post("/predict/batch", json=RISKY).json()
    assert [not a["default"] for a in answers] == [_expected(row) for row in RISKY]
    assert 8 <= sum(not a["default"] for a in answers) <= 35
    again = Portfolio(home).score(pd.DataFrame(RISKY))
    assert (~again["default"]).tolist() == [_expected(row) for row in RISKY]
    frame = home.decisions.frame()
    assert frame.declined is not None
    assert frame.exploration is not None
    assert frame.declined.all()
    assert np.flatnonzero(frame.exploration[:80]).tolist() == [i for i, row in enumerate(RISKY) if _expected(row)]


def test_an_explored_decision_is_replayed(client: httpx.Client, home: Home) -> None:
    client.post("/predict/batch", json=RISKY)
    portfolio = Portfolio(home)
    assert all(portfolio.replay(number).identical for number in range(1, 81))
    with home.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE decisions SET is_default = 0, flags = ? WHERE is_default = 1 AND id IN "
            "(SELECT min(id) FROM decisions WHERE is_default = 1)",
            (json.dumps({"explored": True, "exploration_rate": RATE}),),
        )
    changed = next(i + 1 for i, row in enumerate(RISKY) if not _expected(row))
    assert portfolio.replay(changed).identical is False
