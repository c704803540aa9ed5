import numpy as np
import pytest

from riskloop.core.types import Finding, Severity
from riskloop.monitor.estimate import estimate_findings
from riskloop.simulation import true_auc
from riskloop.simulation.embedded import World

from .conftest import Month, history, month


def estimated(window: Month) -> dict[tuple[str, str], Finding]:
    past = history()
    found = estimate_findings(past.features, past.scores, past.outcomes, window.features, window.scores, harm_auc=0.02)
    return {(f.subject, f.check): f for f in found}


@pytest.mark.parametrize(
    "world", [World(), World(age=-4.0, limits=-0.5, distress=0.9), World(approved=0.3, limits=0.3)]
)
def test_bands_hold_the_true_auc_of_other_populations(world: World) -> None:
    window = month(2_000, 110, world)
    found = estimated(window)
    truth = true_auc(window.scores, window.scores)  # the score is the true PD
    for method in ("cbpe", "pape"):
        auc = found[method, "estimated_auc"]
        assert auc.details["lower"] <= truth <= auc.details["upper"]
        assert auc.details["assumption"].startswith("No concept drift")
        rate = found[method, "estimated_default_rate"]
        assert rate.details["lower"] <= window.scores.mean() <= rate.details["upper"]
        assert {check for name, check in found if name == method} == {
            "estimated_auc",
            "estimated_ks",
            "estimated_default_rate",
            "estimated_log_loss",
            "estimated_brier",
        }


def test_harm_is_a_whole_band_below() -> None:
    better = estimated(month(4_000, 111, World(approved=0.25, limits=0.3)))
    assert better["pape", "estimated_auc"].severity is Severity.DRIFTED
    assert estimated(month(4_000, 112))["pape", "estimated_auc"].severity is Severity.OK


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_windows_that_are_too_small_are_unknown(rows: int) -> None:
    found = estimated(month(50, 113).take(np.arange(rows)))
    assert found["pape", "estimated_auc"].severity is Severity.UNKNOWN
    assert (rows > 1) == (found["cbpe", "estimated_auc"].severity is Severity.OK)
