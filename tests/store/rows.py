"""Decisions for tests of the store."""

from datetime import UTC, datetime
from typing import Final

import numpy as np

from riskloop.core.types import Decisions, to_micros

MAY: Final = to_micros(datetime(2025, 5, 1, tzinfo=UTC))
DAY: Final = 86_400_000_000


def scored(n: int, *, start: int = 0, width: int = 3, version: int = 1) -> Decisions:
    rng = np.random.default_rng(start)
    probabilities = rng.uniform(size=n)
    return Decisions(
        customer_ids=[f"c{start + i}" for i in range(n)],
        times=[MAY + (start + i) * DAY for i in range(n)],
        scored_at=MAY,
        model_version=version,
        probabilities=probabilities,
        defaults=probabilities > 0.5,
        features=rng.normal(size=(n, width)),
    )
