from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskloop.core.types import DecisionFrame, Rows, to_micros

START = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
DAY = timedelta(days=1) // timedelta(microseconds=1)


@pytest.fixture
def history() -> Rows:
    """200 rows without times; every fourth is a default."""
    rng = np.random.default_rng(1)
    return Rows(
        features=rng.normal(size=(200, 3)),
        ids=[f"h{i}" for i in range(200)],
        times=np.zeros(200, dtype=np.int64),
        target=(np.arange(200) % 4 == 0).astype(np.float64),
    )


@pytest.fixture
def decisions() -> DecisionFrame:
    """100 decisions with ids from 1, one a day; the last 20 have no matured outcome."""
    rng = np.random.default_rng(2)
    outcomes = (np.arange(100) % 3 == 0).astype(np.float64)
    outcomes[80:] = np.nan
    return DecisionFrame(
        ids=np.arange(1, 101, dtype=np.int64),
        customer_ids=[f"c{i}" for i in range(100)],
        times=START + DAY * np.arange(100, dtype=np.int64),
        model_versions=np.ones(100, dtype=np.int64),
        probabilities=rng.random(100),
        features=rng.normal(size=(100, 3)),
        outcomes=outcomes,
    )
