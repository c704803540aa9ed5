"""The embedded portfolio as coded rows; its true PD stands for the champion's score."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import pytest

from riskloop.core.dates import parse_time
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Floats, Ints
from riskloop.monitor.profile import Reference
from riskloop.simulation.embedded import FEATURES, TARGET, TIME, World, month_starts, simulate_with_truth

LEVELS = {
    "SEX": ("1", "2"),
    "EDUCATION": tuple("0123456"),
    "MARRIAGE": tuple("0123"),
}
SCHEMA = Schema(
    features=tuple(
        Feature(
            name,
            "category" if name in LEVELS else "number",
            categories=LEVELS.get(name, ()),
            nullable=True,
            protected=name in ("SEX", "MARRIAGE", "AGE"),
        )
        for name in FEATURES
    ),
    target=TARGET,
    time=TIME,
)
J = {name: j for j, name in enumerate(FEATURES)}
MAY = date(2025, 5, 1)


@dataclass(frozen=True)
class Month:
    """One month's customers."""

    features: Floats
    scores: Floats
    outcomes: Floats
    times: Ints

    def changed(self, **columns: Floats) -> "Month":
        """The same customers with other values in some columns."""
        features = self.features.copy()
        for name, values in columns.items():
            features[:, J[name]] = values
        return Month(features, self.scores, self.outcomes, self.times)

    def column(self, name: str) -> Floats:
        values: Floats = self.features[:, J[name]].copy()
        return values

    def take(self, index: Ints) -> "Month":
        return Month(self.features[index], self.scores[index], self.outcomes[index], self.times[index])


USUAL = World()


@lru_cache(maxsize=32)
def month(rows: int, seed: int, world: World = USUAL, start: date = MAY) -> Month:
    frame, pd = simulate_with_truth([start], rows, seed, world)
    features = frame[list(FEATURES)].to_numpy(dtype=np.float64)
    features[:, J["SEX"]] -= 1.0
    times = np.asarray([parse_time(text) for text in frame[TIME]], dtype=np.int64)
    return Month(features, pd, frame[TARGET].to_numpy(dtype=np.float64), times)


@lru_cache(maxsize=1)
def history() -> Month:
    frames = [month(1_000, 1, start=start) for start in month_starts(date(2024, 1, 1), 8)]
    return Month(
        np.concatenate([f.features for f in frames]),
        np.concatenate([f.scores for f in frames]),
        np.concatenate([f.outcomes for f in frames]),
        np.concatenate([f.times for f in frames]),
    )


@lru_cache(maxsize=1)
def built() -> Reference:
    return Reference.build(SCHEMA, history().features, history().scores)


@pytest.fixture(scope="session")
def reference() -> Reference:
    return built()
