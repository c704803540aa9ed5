"""A back-test explores as production does, and its figures count who was approved."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests import handmade

from riskloop.backtest.history import History, Played
from riskloop.backtest.policies import NEVER
from riskloop.backtest.replay import replay
from riskloop.backtest.study import collected
from riskloop.core.exploration import draw
from riskloop.core.settings import parse_settings
from riskloop.core.types import PromotionKind, Rows, to_micros
from riskloop.store.home import Home

CONFIG = """
[portfolio]
target = "bad"
id = "id"
time = "day"
[features.debt]
[exploration]
rate = {rate}
"""
FIRST, END = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
CARD = {"intercept": 0.0, "features": [{"bounds": [5.0], "points": [-2.0, 2.0], "missing": 0.0, "mean": 0.0}]}


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_who_is_explored_counts_as_approved(tmp_path: Path, rate: float) -> None:
    (tmp_path / "riskloop.toml").write_text(CONFIG.format(rate=rate))
    home = Home.open(tmp_path)
    version = handmade.register(home, handmade.manifest(home.schema), CARD, FIRST)
    home.ledger.append(version, expected_seq=0, kind=PromotionKind.FIRST, at=FIRST, by="test", reason="the first")
    home.close()
    debt = np.arange(200.0).reshape(-1, 1) % 10
    times = np.linspace(to_micros(FIRST), to_micros(END) - 1, 200).astype(np.int64)
    rows = Rows(debt, [f"c{i}" for i in range(200)], times, (debt[:, 0] > 7).astype(np.float64))
    settings = parse_settings(CONFIG.format(rate=rate))
    history = History(settings, rows, (Played("2025-03", FIRST, END, rows),))
    replay(tmp_path, tmp_path, history, NEVER)
    (scores,) = collected(tmp_path, history, NEVER).scores
    risky = debt[:, 0] > 5
    lucky = np.array([draw(name, debt[i], version) < rate for i, name in enumerate(rows.ids)])
    np.testing.assert_array_equal(scores.declined, risky & ~lucky)
    assert bool((risky & lucky).any()) == (rate > 0.0)
