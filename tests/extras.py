"""Learners that need an extra, as parameters of tests; skipped, loudly, where it is not installed."""

from importlib.util import find_spec

import pytest

GROWN = tuple(
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            find_spec(name) is None, reason=f"{name} is not installed: pip install 'riskloop[{name}]'"
        ),
    )
    for name in ("xgboost", "catboost")
)
