from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from riskloop.core.types import Floats
from riskloop.gate import Context, Evaluation

NOW = datetime(2025, 5, 5, 14, 3, tzinfo=UTC)


def scored(n: int, noise_champion: float, noise_challenger: float, seed: int = 1) -> tuple[Floats, Floats, Floats]:
    """Labels and two models' PDs, exact for what each of them sees: the truth, blurred."""
    rng = np.random.default_rng(seed)
    truth, shared = rng.standard_normal((2, n))
    labels = (rng.random(n) < 1.0 / (1.0 + np.exp(1.5 - 1.2 * truth))).astype(np.float64)
    models = []
    for noise in (noise_champion, noise_challenger):
        seen = truth + noise * (0.9 * shared + (1 - 0.9**2) ** 0.5 * rng.standard_normal(n))
        # E[truth | seen] shrinks, and the logistic of a blurred normal flattens (Zeger, Liang & Albert 1988).
        kept = 1.0 / (1.0 + noise**2)
        flat = (1.0 + 0.346 * 1.2**2 * (1.0 - kept)) ** -0.5
        models.append(1.0 / (1.0 + np.exp(-flat * (1.2 * kept * seen - 1.5))))
    return labels, models[0], models[1]


@pytest.fixture
def context() -> Callable[..., Context]:
    def make(**changes: Any) -> Context:
        values: dict[str, Any] = {
            "now": NOW,
            "champion": 1,
            "challenger": 2,
            "learner": "lightgbm",
            "allowed_learners": ("lightgbm", "scorecard"),
            "champion_features": ("LIMIT_BAL", "PAY_0"),
            "challenger_features": ("LIMIT_BAL", "PAY_0"),
        }
        return Context(**{**values, **changes})

    return make


@pytest.fixture
def evaluation() -> Callable[..., Evaluation]:
    def make(
        n: int = 7000, champion: float = 1.0, challenger: float = 0.5, seed: int = 1, **changes: Any
    ) -> Evaluation:
        labels, before, after = scored(n, champion, challenger, seed)
        values: dict[str, Any] = {
            "labels": labels,
            "champion": before,
            "challenger": after,
            "champion_threshold": 0.2,
            "challenger_threshold": 0.2,
            "latency_ms": 1.0,
            "reasons": True,
        }
        return Evaluation(**{**values, **changes})

    return make
