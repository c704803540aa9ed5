"""Honest columns stay, planted ones go; benchmarks/leaks.py draws many more of both."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from tests.data.lender import TARGET, history

from benchmarks.leaks import HONEST, MOST_HONEST, PLANTED, called, outcomes
from riskloop.data.infer import Wanted, examine


def test_honest_columns_stay() -> None:
    table = called(HONEST, 140, seed=3)
    assert {kind: told for kind, (_, told) in table.items()} == dict.fromkeys(HONEST, 0)


@pytest.mark.parametrize("kind", ["a state", "a reason of defaults", "a payment of the others", "months on book"])
def test_what_only_one_outcome_has_goes(kind: str) -> None:
    drawn, told = called({kind: PLANTED[kind]}, 12, seed=3)[kind]
    assert told == drawn


def test_honest_scores_are_as_good_as_said() -> None:
    rng = np.random.default_rng(0)
    bad = np.arange(40_000) % 5 == 0
    areas = [roc_auc_score(bad, HONEST["score"](rng, bad)) for _ in range(40)]
    assert 0.5 < min(areas) < 0.6 < 0.8 < max(areas) < MOST_HONEST + 0.01
    assert norm.cdf(norm.ppf(0.75)) == pytest.approx(0.75)
    assert all(outcomes(rng).sum() >= 39 for _ in range(20))


@pytest.mark.parametrize("filled", ["numbers", "texts", "nothing"])
def test_a_column_that_only_open_loans_have_is_looked_at(filled: str, tmp_path: Path) -> None:
    """Among the rows that have an outcome it is empty."""
    frame = history(300, seed=1).astype({TARGET: object})
    frame.loc[frame.index % 4 == 0, TARGET] = ""
    values = {
        "numbers": np.arange(300) * 1.5,
        "texts": np.repeat(["a", "b", "c"], 100),
        "nothing": np.full(300, np.nan),
    }
    frame["still_due"] = pd.Series(values[filled]).where(frame.index % 4 == 0)
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = next(c for c in examine(tmp_path / "h.csv", Wanted(TARGET)).columns if c.name == "still_due")
    assert found.role == "ignored"
