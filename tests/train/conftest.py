"""A small labelled portfolio with numbers, categories, missing values and a protected column."""

from collections.abc import Callable

import numpy as np
import pytest

from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Rows

CONFIG = """
[portfolio]
target = "default"
id = "id"
time = "day"
[features.debt]
monotone = 1
[features.income]
nullable = true
[features.sex]
kind = "category"
categories = ["1", "2"]
protected = true
[features.job]
kind = "category"
categories = ["none", "clerk", "nurse", "owner", "never seen"]
unseen = "flag"
[features.noise]
"""


@pytest.fixture(scope="session")
def settings() -> Settings:
    return parse_settings(CONFIG + "[train]\nfolds = 3\nthreads = 2\n")


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Rows]:
    def make(n: int = 1500, seed: int = 0, *, timed: bool = False) -> Rows:
        rng = np.random.default_rng(seed)
        debt, income, noise = rng.normal(0, 1, n), rng.lognormal(0, 1, n).round(3), rng.integers(0, 30, n)
        sex, job = rng.integers(0, 2, n), rng.integers(0, 4, n)
        z = 1.2 * debt - np.log(income) + 1.5 * (job == 2) - 0.8 * (job == 0) + 0.6 * debt * (income < 1) - 1
        income[rng.random(n) < 0.1] = np.nan
        target = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64)
        times = np.arange(n, dtype=np.int64) * 3_600_000_000 if timed else np.zeros(n, dtype=np.int64)
        features = np.column_stack((debt, income, sex, job, noise)).astype(np.float64)
        return Rows(features, [str(i) for i in range(n)], times, target)

    return make


@pytest.fixture(scope="session")
def rows(make_rows: Callable[..., Rows]) -> Rows:
    return make_rows()
