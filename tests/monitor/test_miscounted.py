"""A flat slope that another definition of default explains is told from one that it does not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from riskloop.core.stats.correlated import given_factor
from riskloop.core.types import Finding, Floats, Severity
from riskloop.monitor.labels import definition_doubt, definition_finding, promotion_doubt
from riskloop.monitor.miscounted import _kept, miscounted
from riskloop.monitor.reports import DAY, Reports

N = 2_000
SEEDS = range(40)


def reports(p: Floats, outcomes: Floats) -> Reports:
    numbers = np.arange(p.size)
    decided = numbers * 30 // p.size * DAY
    return Reports(numbers, numbers, outcomes.astype(np.float64), p, decided, decided + 30 * DAY)


def pds(rng: np.random.Generator) -> Floats:
    found: Floats = expit(-1.5 + 1.2 * rng.standard_normal(N))
    return found


def drawn(rng: np.random.Generator, p: Floats) -> Floats:
    found: Floats = (rng.random(p.size) < p).astype(np.float64)
    return found


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_the_share_that_is_counted_is_the_likeliest(share: float) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        p = pds(rng)
        y = drawn(rng, share * p)
        best = minimize_scalar(
            lambda k, p=p, y=y: -np.log(np.where(y == 1.0, k * p, 1.0 - k * p)).sum(),
            bounds=(1e-6, 1.0),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert _kept(y, p) == pytest.approx(best.x, abs=1e-5)


@pytest.mark.parametrize("rho", [0.0, 0.03])
def test_another_definition_is_told_by_its_slope_whatever_the_month_was(rho: float) -> None:
    """Where the defaults of a month move together its level alone says little; what it is no shift of says more."""
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        p = pds(rng)
        given = given_factor(p, rho, rng.standard_normal(1))[0] if rho else p
        found.append(miscounted(reports(p, drawn(rng, 0.6 * given))))
    told = [one for one in found if one is not None]
    assert len(told) >= 0.7 * len(found)
    assert all(one.fewer for one in told)
    if not rho:
        assert np.mean([one.share for one in told]) == pytest.approx(0.4, abs=0.05)
        assert "of the defaults are not counted" in told[0].sentence


def test_good_customers_counted_as_bad_are_told_too() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        p = pds(rng)
        found = miscounted(reports(p, drawn(rng, 1.0 - 0.85 * (1.0 - p))))
        assert found is not None
        assert not found.fewer
        assert found.share == pytest.approx(0.15, abs=0.05)


@pytest.mark.parametrize("world", ["flatter", "others default", "steeper", "more default", "fewer default"])
def test_a_change_of_the_customers_is_no_other_definition(world: str) -> None:
    """A flatter line at the same level, customers ranked otherwise, shifts of the level: it is so by chance alone."""
    called = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        p = pds(rng)
        now = {
            "flatter": expit(-1.5 + 0.5 * (logit(p) + 1.5)),
            "others default": np.where(rng.random(N) < 0.6, p, rng.permutation(p)),
            "steeper": expit(-1.5 + 1.5 * (logit(p) + 1.5)),
            "more default": expit(logit(p) + 0.8),
            "fewer default": expit(logit(p) - 0.8),
        }[world]
        given = reports(p, drawn(rng, now))
        # Of a shift there is no slope that moved: nothing asks.
        moved = {"calibration_slope"} if "default" not in world or world == "others default" else {"calibration"}
        called += bool(definition_doubt(given, moved))
    assert called <= 0.05 * len(SEEDS)


def test_a_slope_that_another_definition_explains_asks_a_person_and_a_worse_ranking_asks_only_for_fewer() -> None:
    rng = np.random.default_rng(1)
    p = pds(rng)
    fewer, more = reports(p, drawn(rng, 0.5 * p)), reports(p, drawn(rng, 1.0 - 0.8 * (1.0 - p)))
    for moved in ({"calibration_slope"}, {"auc", "calibration_slope"}):
        doubt = definition_doubt(fewer, moved)
        assert doubt is not None
        assert "not counted" in doubt
        found, _ = definition_finding(fewer, moved=False, correlation=0.3, doubt=doubt)
        assert found.severity is Severity.DRIFTED
        assert doubt in found.sentence
    assert "counted as bad" in (definition_doubt(more, {"calibration_slope"}) or "")
    assert definition_doubt(more, {"auc"}) is None, "a recession looks like that"
    assert definition_doubt(fewer, {"psi"}) == ""
    assert definition_finding(fewer, moved=False, correlation=0.3)[0].severity is Severity.OK


def test_many_windows_that_speak_against_the_level_ask_a_person() -> None:
    rng = np.random.default_rng(2)
    p = pds(rng)
    given = reports(p, drawn(rng, p))
    assert "Many windows" in (definition_doubt(given, {"level_over_time"}) or "")
    assert definition_doubt(given, {"level_over_time", "calibration"}) == "", "the window itself asks"


def of(times: float, *, rows: int = 1_200, seed: int = 5) -> Finding:
    rng = np.random.default_rng(seed)
    p: Floats = expit(-3.9 + 0.8 * rng.standard_normal(rows))
    outcomes = np.zeros(rows)
    outcomes[rng.choice(rows, round(times * p.sum()), replace=False, p=p / p.sum())] = 1.0
    return definition_finding(reports(p, outcomes), moved=False, learned=0.05)[0]


def test_what_does_not_suffice_to_call_suffices_to_ask_before_a_promotion() -> None:
    few = of(0.5)
    assert few.severity is Severity.OK, "nothing is called"
    said = promotion_doubt([few])
    assert said is not None
    assert "may be chance" in said
    assert "another definition of default" in said
    assert promotion_doubt([of(1.0)]) is None
    assert promotion_doubt([]) is None
    for check in ("auc", "ranking_over_time", "features_over_time"):
        ranked = replace(few, check=check, severity=Severity.DRIFTED)
        assert promotion_doubt([few, ranked]) is None
