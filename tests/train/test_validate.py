"""Learners that cannot be fitted: left out with a sentence while the others go on."""

from collections.abc import Callable

import numpy as np
import pytest

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Rows
from riskloop.train.fit import fit
from riskloop.train.fitted import Sample, sample_of
from riskloop.train.learners import learner
from riskloop.train.validate import Part, Validated, best_of, judge

GAPS = """
[portfolio]
target = "y"
[features.x]
nullable = true
[features.z]
[train]
folds = 2
threads = 1
search = 0
learners = ["mine", "scorecard"]
[learners.mine]
estimator = "ESTIMATOR"
"""


def gaps(n: int = 400) -> Rows:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    y = (rng.random(n) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(np.float64)
    x[::5, 0] = np.nan
    return Rows(x, [str(i) for i in range(n)], np.zeros(n, dtype=np.int64), y)


def test_a_learner_that_cannot_take_gaps_is_left_out_and_the_column_is_named() -> None:
    candidate = fit(gaps(), parse_settings(GAPS.replace("ESTIMATOR", "sklearn.linear_model.LogisticRegression")))
    assert candidate.learner == "scorecard"
    assert set(candidate.manifest.comparison) == {"scorecard"}
    assert "cannot take missing values, which 'x' may have" in candidate.manifest.training.left_out["mine"]
    assert candidate.manifest.training.left_out["mine"].startswith("mine is left out.")


def test_when_none_is_left_the_first_ones_error_is_raised() -> None:
    text = GAPS.replace("ESTIMATOR", "sklearn.linear_model.LogisticRegression").replace(', "scorecard"', "")
    with pytest.raises(ConfigError, match="cannot take missing values"):
        fit(gaps(), parse_settings(text))


def test_a_config_that_means_nothing_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(ConfigError, match="cannot be imported"):
        fit(gaps(), parse_settings(GAPS.replace("ESTIMATOR", "no_such.Model")))


@pytest.mark.parametrize("levels", [33, 51, 300, 5000])
def test_all_learners_take_a_category_of_many_levels(levels: int) -> None:
    rng = np.random.default_rng(levels)
    names = [f"level {i}" for i in range(levels)]
    settings = parse_settings(
        f'[portfolio]\ntarget = "y"\n[features.x]\n[features.state]\nkind = "category"\ncategories = {names}\n'
        "[train]\nfolds = 2\nthreads = 1\nsearch = 0\n"
    )
    n = 3000
    state, x = rng.integers(0, levels, n), rng.normal(size=n)
    z = x + rng.normal(0, 1, levels)[state] - 1
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64)
    rows = Rows(np.column_stack((x, state)).astype(float), [str(i) for i in range(n)], np.zeros(n, dtype=np.int64), y)
    candidate = fit(rows, settings)
    assert set(candidate.manifest.comparison) == {"scorecard", "lightgbm", "hist_gradient_boosting"}
    assert candidate.manifest.training.left_out == {}


def test_customers_who_come_again_do_not_make_a_model_look_good(settings: Settings) -> None:
    """Each customer twelve times with their own noise and one outcome: by rows the noise tells the outcome."""
    rng = np.random.default_rng(1)
    n, times = 150, 12
    who = np.repeat(np.arange(n), times)
    y = np.repeat(rng.random(n) < 0.4, times).astype(np.float64)
    features = np.column_stack(
        (np.repeat(rng.normal(size=n), times), np.repeat(rng.lognormal(size=n), times), np.zeros((len(who), 2)),
         np.repeat(rng.integers(0, 30, n), times))
    ).astype(np.float64)  # fmt: skip
    zero = np.zeros(len(who), dtype=np.int64)
    once = settings.model_copy(update={"train": settings.train.model_copy(update={"search": 0})})
    rows = fit(Rows(features, [str(i) for i in range(len(who))], zero, y), once, learners=["lightgbm"])
    customers = fit(Rows(features, [str(i) for i in who.tolist()], zero, y), once, learners=["lightgbm"])
    assert rows.manifest.metrics.auc > 0.85
    assert customers.manifest.metrics.auc < 0.65
    assert customers.manifest.metrics.auc_high - customers.manifest.metrics.auc_low > 0.1


def test_rows_of_one_class_are_an_error(make_rows: Callable[..., Rows], settings: Settings) -> None:
    rows = make_rows(200)
    with pytest.raises(DataError):
        fit(Rows(rows.features, rows.ids, rows.times, np.ones(200)), settings)


def rated(name: str, noise: float, rows: int, seed: int) -> tuple[Validated, Sample, list[Part]]:
    """A learner whose scores are the truth and noise, over two folds of a history that depends on ``rows`` alone."""
    settings = parse_settings('[portfolio]\ntarget = "y"\n[features.x]\n')
    rng = np.random.default_rng(rows)
    x = rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-2 * x))).astype(np.float64)
    sample = sample_of(
        Rows(x[:, None], [str(i) for i in range(rows)], np.zeros(rows, dtype=np.int64), y), settings, None, None
    )
    halves = np.arange(rows) % 2
    parts = [(np.flatnonzero(halves != k), np.flatnonzero(halves == k)) for k in (0, 1)]
    raw = x + noise * np.random.default_rng(seed).normal(size=rows)
    return judge(learner(name, settings), raw, y, [test for _, test in parts]), sample, parts


def test_of_boosters_within_the_error_of_the_pair_the_first_listed_is_chosen() -> None:
    """By chance a later one of the same noise ranks higher about as often, and beyond one error in a sixth of cases."""
    later = higher = 0
    for seed in range(40):
        one, sample, parts = rated("lightgbm", 0.5, 300, seed)
        other = rated("hist_gradient_boosting", 0.5, 300, seed + 100)[0]
        later += best_of([one, other], sample, parts) is other
        higher += other.interval.estimate > one.interval.estimate
    assert later <= 12 < higher


@pytest.mark.parametrize("seed", range(5))
def test_a_booster_that_is_better_takes_the_place_of_one_listed_before_it(seed: int) -> None:
    one, sample, parts = rated("lightgbm", 1.0, 3000, seed)
    other = rated("hist_gradient_boosting", 0.3, 3000, seed + 100)[0]
    assert best_of([one, other], sample, parts) is other
    assert best_of([other, one], sample, parts) is other


@pytest.mark.parametrize("seed", range(5))
def test_between_a_scorecard_and_a_booster_the_higher_auc_decides(seed: int) -> None:
    made = [rated("scorecard", 0.31, 300, seed), rated("lightgbm", 0.3, 300, seed + 100)]
    validated, (_, sample, parts) = [made[0][0], made[1][0]], made[0]
    assert best_of(validated, sample, parts) is max(validated, key=lambda v: v.interval.estimate)
