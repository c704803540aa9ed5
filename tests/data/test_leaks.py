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
from riskloop.data.leaks import bins_of, customers_of, evidence_of_leak, rank_alone


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


PANEL_COLUMNS = ("many levels", "few levels", "a number", "a number that is renewed")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", PANEL_COLUMNS)
def test_what_tells_whose_row_it_is_knows_no_outcome_of_others(kind: str, seed: int) -> None:
    """In a panel a postcode of two loans ranks as well as the loans' own other rows; nothing of it is a leak."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(400), 12)
    fails = rng.random(400) < 0.15
    values = {
        "many levels": np.array([f"{n:05d}" for n in rng.integers(0, 300, 400)], dtype=object)[who],
        "few levels": rng.choice(["a", "b", "c", "d"], 400).astype(object)[who],
        "a number": rng.integers(0, 300, 400).astype(float)[who],
        "a number that is renewed": rng.normal(size=len(who)),
    }[kind]
    bad = fails[who] & (rng.random(len(who)) < 0.9)
    assert evidence_of_leak("x", values, bad, bins_of(values), customers=customers_of(who)) is None
    wide = evidence_of_leak("x", values, bad, bins_of(values))
    assert (wide is not None) == (kind == "many levels")
    leak = np.where(bad, "late", "paid").astype(object)
    leak[rng.random(len(who)) < 0.05] = "late"
    found = rank_alone(leak, bad, codes=bins_of(leak), customers=customers_of(who))
    assert found is not None
    assert found.least > 0.9
