"""What holds however the missing outcomes turn out: held against every way in which they can."""

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from riskloop.core.types import Finding, Severity
from riskloop.monitor.bounds import agreed, completions, judged_in_part


@pytest.mark.parametrize("seed", range(8))
def test_the_completions_bound_rate_and_auc_over_all_that_the_missing_outcomes_may_be(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, lack = 24, 8
    scores = np.round(rng.random(n), 1 if seed % 2 else 6)  # with ties, and without
    outcomes = (rng.random(n) < 0.2 + 0.5 * scores).astype(np.float64)
    outcomes[:2] = 0.0, 1.0
    missing = np.zeros(n, dtype=np.bool_)
    missing[2 : 2 + lack] = True
    outcomes[missing] = np.nan
    outcomes[-2:] = np.nan  # declined: nobody waits for these
    known = np.arange(n) < n - 2
    areas, rates = [], []
    for labels in product((0.0, 1.0), repeat=lack):
        filled = outcomes.copy()
        filled[missing] = labels
        areas.append(roc_auc_score(filled[known], scores[known]))
        rates.append(filled[known].mean())
    found = completions(outcomes, scores, missing)
    assert all(np.isnan(one[-2:]).all() and not np.isnan(one[known]).any() for one in found)
    assert all(np.array_equal(one[known & ~missing], outcomes[known & ~missing]) for one in found)
    reached = [roc_auc_score(one[known], scores[known]) for one in found]
    tied = 0.01 if seed % 2 else 1e-12  # among equal scores the number of bad ones may be one off
    assert min(reached) == pytest.approx(min(areas), abs=tied)
    assert max(reached) == pytest.approx(max(areas), abs=tied)
    assert min(one[known].mean() for one in found) == min(rates)
    assert max(one[known].mean() for one in found) == max(rates)


def _found(check: str, *said: tuple[Severity, float]) -> list[Finding]:
    return [Finding(check, "window", how, value, 0.6, "n", "s", 10, 10, "It is so.") for how, value in said]


def test_what_the_missing_outcomes_decide_is_not_known() -> None:
    fell, holds = _found("auc", (Severity.SEVERE, 0.5)), _found("auc", (Severity.OK, 0.7))
    (both,) = agreed(fell, [_found("auc", (Severity.DRIFTED, 0.55)), fell])
    assert both.severity is Severity.DRIFTED, "the mildest of what all say"
    assert both.sentence.endswith("With the missing outcomes the AUC is between 0.500 and 0.550.")
    (calm,) = agreed(holds, [holds, _found("auc", (Severity.NOISE, 0.69))])
    assert calm.severity is Severity.OK
    for known, bounds in ((fell, [holds, fell]), (holds, [holds, fell])):
        (open_,) = agreed(known, bounds)
        assert (open_.check, open_.severity) == ("auc", Severity.UNKNOWN)
        assert "the missing outcomes decide" in open_.sentence
        assert open_.details["bounds"] == [0.5, 0.7]


@pytest.mark.parametrize(("check", "below", "above"), [("calibration", -0.5, 0.5), ("calibration_slope", 0.5, 1.6)])
def test_what_changed_either_way_is_not_known(check: str, below: float, above: float) -> None:
    rose, fell = _found(check, (Severity.SEVERE, above)), _found(check, (Severity.SEVERE, below))
    (open_,) = agreed(rose, [fell, rose])
    assert open_.severity is Severity.UNKNOWN
    (up,) = agreed(rose, [_found(check, (Severity.DRIFTED, above)), rose])
    assert up.severity is Severity.DRIFTED


def test_a_window_that_is_judged_in_part_says_how_much_is_known() -> None:
    assert "1,600 of 2,000 expected outcomes" in judged_in_part(1_600, 2_000, 5_000).sentence
