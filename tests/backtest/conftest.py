"""A short history in which risk turns round, and settings with one quick learner."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.core.settings import Settings, parse_settings

CONFIG = """
[portfolio]
target = "default"
id = "id"
time = "period"
[features.income]
[features.debt]
[features.region]
kind = "category"
categories = ["north", "south", "west"]
[train]
learners = ["scorecard"]
threads = 1
[gate]
max_approval_shift = 1.0
max_score_psi = 100.0
"""


def _customers(periods: int, per_period: int, turns_at: int | None = None, seed: int = 1) -> pd.DataFrame:
    """Plain period numbers; from ``turns_at`` on, debt is what income was."""
    rng = np.random.default_rng(seed)
    n = periods * per_period
    period = np.repeat(np.arange(1, periods + 1), per_period)
    income, debt = rng.normal(size=n), rng.normal(size=n)
    turned = period >= turns_at if turns_at else np.zeros(n, dtype=bool)
    risk = np.where(turned, 2.0 * debt, -2.0 * income) - 0.8
    return pd.DataFrame(
        {
            "id": np.arange(1, n + 1),
            "period": period,
            "income": income.round(4),
            "debt": debt.round(4),
            "region": rng.choice(["north", "south", "west"], n),
            "default": (rng.random(n) < 1 / (1 + np.exp(-risk))).astype(int),
        }
    )


@pytest.fixture(scope="session")
def customers() -> Callable[..., pd.DataFrame]:
    return _customers


@pytest.fixture(scope="session")
def settings() -> Settings:
    return parse_settings(CONFIG)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    def write(frame: pd.DataFrame) -> Path:
        path = tmp_path / "history.csv"
        frame.to_csv(path, index=False)
        return path

    return write
