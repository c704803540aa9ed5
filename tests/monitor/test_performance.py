from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve

from riskloop.core.stats import density_ratio_weights, pape
from riskloop.core.types import Finding, Floats, Severity
from riskloop.monitor.matured import Bands
from riskloop.monitor.performance import performance_findings, ranks_worse
from riskloop.monitor.segments import segments_of
from riskloop.simulation.embedded import FEATURES, World, _log_odds

from .conftest import SCHEMA, Month, history, month

MOVED = (Severity.DRIFTED, Severity.SEVERE)


def judged(
    window: Month, outcomes: Floats | None = None, scores: Floats | None = None, **options: object
) -> dict[str, Finding]:
    found = findings(window, outcomes, scores, **options)
    return {f.check: f for f in found if f.subject == "window"}


def findings(
    window: Month, outcomes: Floats | None = None, scores: Floats | None = None, **options: object
) -> list[Finding]:
    settings: Any = {"alpha": 0.01, **options}
    return performance_findings(
        window.scores if scores is None else scores,
        window.outcomes if outcomes is None else outcomes,
        history().scores,
        history().outcomes,
        **settings,
    )


def test_measures_are_scikit_learns() -> None:
    window = month(3_000, 90)
    found = judged(window)
    y, p = window.outcomes, window.scores
    assert found["auc"].statistic == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert found["gini"].statistic == pytest.approx(2.0 * roc_auc_score(y, p) - 1.0, abs=1e-12)
    assert found["brier"].statistic == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    assert found["log_loss"].statistic == pytest.approx(log_loss(y, p), abs=1e-12)
    false, true, _ = roc_curve(y, p)
    assert found["ks"].statistic == pytest.approx((true - false).max(), abs=1e-12)
    for check in ("auc", "gini", "ks", "brier", "log_loss"):
        details = found[check].details
        assert details["lower"] < found[check].statistic < details["upper"]


@pytest.mark.parametrize("check", ["gini", "ks", "brier", "log_loss"])
def test_intervals_hold_what_they_promise(check: str) -> None:
    """95% intervals of 200 windows against the value on very many customers."""
    large = month(60_000, 91)
    truth = judged(large)[check].statistic
    assert truth is not None
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        part = large.take(rng.integers(0, 60_000, 800))
        details = judged(part)[check].details
        held += details["lower"] <= truth <= details["upper"]
    assert held >= 180  # KS is biased upwards in small samples, and its interval knows it


def test_immature_outcomes_never_count() -> None:
    window = month(2_000, 92)
    rng = np.random.default_rng(1)
    immature = rng.random(2_000) < 0.5
    outcomes = np.where(immature, np.nan, window.outcomes)
    part = window.take(np.flatnonzero(~immature))
    for mine, alone in zip(findings(window, outcomes), findings(part), strict=True):
        share = {"known": alone.details["known"]} if "known" in alone.details else {}
        assert replace(mine, details={**mine.details, **share}) == alone
    few = np.where(np.arange(2_000) < 30, window.outcomes, np.nan)
    (unknown,) = findings(window, few)
    assert unknown.severity is Severity.UNKNOWN
    assert "have matured" in unknown.sentence
    (none,) = findings(window, np.full(2_000, np.nan))
    assert none.severity is Severity.UNKNOWN


def test_sound_windows_pass_and_broken_ones_do_not() -> None:
    alarms = sum(any(f.severity in MOVED for f in judged(month(2_000, 300 + seed)).values()) for seed in range(40))
    assert alarms <= 2
    recession = month(2_000, 93, World(delay=0.45, capacity=0.3, leverage=2.2, base=0.35))
    # The champion goes on as if nothing had happened.
    stale = stale_scores(recession)
    assert judged(recession, scores=stale)["auc"].severity in MOVED
    more = judged(month(2_000, 94), outcomes=more_defaults(month(2_000, 94)))
    assert more["calibration"].severity in MOVED
    assert more["auc"].severity not in MOVED


def stale_scores(window: Month) -> Floats:
    columns = dict(zip(FEATURES, window.features.T, strict=True))
    columns["SEX"] = columns["SEX"] + 1.0
    return np.asarray(1.0 / (1.0 + np.exp(-_log_odds(columns, World()))))


def more_defaults(window: Month) -> Floats:
    odds = window.scores / (1.0 - window.scores) * 1.7
    return (np.random.default_rng(2).random(len(odds)) < odds / (1.0 + odds)).astype(np.float64)


def test_what_the_population_explains_is_not_held_against_the_champion() -> None:
    only_better = month(4_000, 95, World(approved=0.3, limits=0.3))
    weights = density_ratio_weights(history().features, only_better.features).weights
    found = judged(
        only_better, expected=lambda: pape(history().outcomes, history().scores, weights, only_better.scores)
    )
    assert found["auc"].severity in MOVED  # fewer risky customers are harder to rank
    assert found["auc_explained"].severity not in MOVED


def spread(scores: Floats, slope: float) -> Floats:
    """Scores whose calibration slope is ``slope`` times theirs."""
    log_odds = np.log(scores / (1.0 - scores)) / slope
    return 1.0 / (1.0 + np.exp(-log_odds))


def test_the_champions_own_slope_is_no_change() -> None:
    window = month(6_000, 96)
    too_flat = spread(window.scores, 1.3)
    steep = judged(window, scores=too_flat)["calibration_slope"]
    assert steep.statistic == pytest.approx(1.3, abs=0.15)
    assert steep.severity in MOVED
    # Models of parts of a small history needed 0.75; the final one, which saw all of it, needs none of that.
    own = judged(window, scores=too_flat, shrunk=0.75)["calibration_slope"]
    assert own.severity is Severity.OK
    assert own.details["own"] == [1.0, pytest.approx(4 / 3)]
    flat = judged(window, scores=spread(window.scores, 0.65), shrunk=0.75)["calibration_slope"]
    assert flat.severity in MOVED
    assert flat.statistic is not None
    assert flat.critical is not None
    assert flat.statistic < flat.critical < 1.0


@pytest.mark.parametrize("check", ["calibration", "calibration_slope"])
def test_a_small_history_is_no_sharp_measure(check: str) -> None:
    window, few = month(2_000, 97), history().scores[:300]
    large = judged(window)[check]
    found = performance_findings(window.scores, window.outcomes, few, history().outcomes[:300], alpha=0.01)
    small = next(f for f in found if f.check == check)
    assert small.statistic == large.statistic
    assert small.details["p_value"] > large.details["p_value"]


def test_a_slope_that_the_population_explains_is_said_to_be() -> None:
    window = month(4_000, 98)
    # This champion was as flat on its history: the same slope there is what the population explains.
    expected = pape(history().outcomes, spread(history().scores, 0.6), np.ones(8_000), spread(window.scores, 0.6))
    found = judged(window, scores=spread(window.scores, 0.6), expected=lambda: expected)
    assert found["calibration_slope"].severity in MOVED
    assert found["slope_explained"].severity is Severity.OK
    assert expected.slope is not None
    assert expected.slope.value == pytest.approx(0.6, abs=0.05)


def test_grades_by_jeffreys() -> None:
    window = month(3_000, 96)
    grades = [f for f in findings(window) if f.check == "jeffreys"]
    assert [f.subject for f in grades] == ["low", "medium", "high", "very_high"]
    assert sum(f.n for f in grades) == 3_000
    assert sum(f.details["defaults"] for f in grades) == window.outcomes.sum()
    assert all(f.severity is Severity.OK for f in grades)
    off = [f for f in findings(window, more_defaults(window)) if f.check == "jeffreys" and f.severity in MOVED]
    assert off


def test_segments_have_their_own_numbers() -> None:
    window = month(4_000, 97)
    segments = segments_of(SCHEMA, history().features, window.features)
    found = [f for f in findings(window, segments=segments) if f.check == "segment"]
    women = next(f for f in found if f.subject == "SEX = 2")
    inside = window.features[:, SCHEMA.names.index("SEX")] == 1.0
    assert women.statistic == pytest.approx(roc_auc_score(window.outcomes[inside], window.scores[inside]), abs=1e-12)
    assert women.details["lower"] < women.statistic < women.details["upper"]
    assert women.n == inside.sum()
    assert all(f.severity is Severity.OK for f in found)
    # One segment defaults twice as often as expected, and the others do not.
    odd = window.outcomes.copy()
    group = np.flatnonzero(segments["EDUCATION"] == "3")
    odd[group] = np.random.default_rng(3).random(group.size) < 2.0 * window.scores[group]
    off = {f.subject for f in findings(window, odd, segments=segments) if f.check == "segment" and f.severity in MOVED}
    assert {subject for subject in off if subject.startswith("EDUCATION")} == {"EDUCATION = 3"}


def test_small_months_show_together_what_none_shows_alone() -> None:
    rng = np.random.default_rng(21)

    def sample(n: int, spread: float) -> tuple[Floats, Floats]:
        z = rng.normal(size=n)
        outcomes = (rng.random(n) < 1 / (1 + np.exp(1.5 - spread * z))).astype(float)
        return 1 / (1 + np.exp(1.5 - z)), outcomes

    reference = sample(6000, 1.3)
    months = [sample(300, 0.95) for _ in range(8)]
    alone = [ranks_worse(*month, *reference, alpha=0.01) for month in months]
    together = [np.concatenate(parts) for parts in zip(*months, strict=True)]
    assert sum(alone) <= 2
    assert ranks_worse(together[0], together[1], *reference, alpha=0.01)
    assert not ranks_worse(*sample(2400, 1.3), *reference, alpha=0.01)
    assert not ranks_worse(together[0][:5], together[1][:5], *reference, alpha=0.01), "too few to judge"


@pytest.mark.parametrize(
    ("check", "bands"),
    [("auc", Bands(auc=0.3)), ("calibration", Bands(level=3.0)), ("calibration_slope", Bands(slope=5.0))],
)
def test_a_change_within_its_band_is_none_however_sure_it_is(check: str, bands: Bands) -> None:
    rng = np.random.default_rng(12)
    log_odds = rng.normal(-1.5, 1.2, 12_000)
    p = 1.0 / (1.0 + np.exp(-log_odds))
    then = (rng.random(p.size) < p).astype(np.float64)
    now = (rng.random(p.size) < 1.0 / (1.0 + np.exp(-0.3 * log_odds - 0.2))).astype(np.float64)
    usual = {f.check: f for f in performance_findings(p, now, p, then, alpha=0.01)}
    wide = {f.check: f for f in performance_findings(p, now, p, then, alpha=0.01, bands=bands)}
    assert usual[check].severity is Severity.SEVERE
    assert wide[check].severity is Severity.OK
    others = {"auc", "calibration", "calibration_slope"} - {check}
    assert all(wide[other].severity is usual[other].severity for other in others)
