"""The size of boosted trees: chosen by the data, the same every time, and not by the rows that it is tested on."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from riskloop.core.manifest import Size
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Floats, Rows
from riskloop.data.split import folds
from riskloop.train.fitted import Sample, sample_of
from riskloop.train.learners import learner
from riskloop.train.size import _Part, _Tried, choose_sizes, sized

NUMBERS = '[portfolio]\ntarget = "y"\n' + "".join(f"[features.x{j}]\n" for j in range(6)) + "[train]\nfolds = 4\n"


def world(rules: Callable[[Floats], Floats], n: int = 3000, seed: int = 0) -> tuple[Sample, Rows, Settings]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 6))
    y = (rng.random(n) < 1 / (1 + np.exp(-rules(x)))).astype(np.float64)
    rows, settings = Rows(x, [str(i) for i in range(n)], np.zeros(n, dtype=np.int64), y), parse_settings(NUMBERS)
    return sample_of(rows, settings, None, None), rows, settings


def line(x: Floats) -> Floats:
    z: Floats = 0.8 * (x[:, 0] - 0.5) - 1
    return z


def slope(x: Floats) -> Floats:
    z: Floats = 4.0 * (x[:, 0] + x[:, 1] - 1.0)
    return z


def knots(x: Floats) -> Floats:
    """Strong rules of three columns each."""
    z: Floats = (
        8.0 * ((x[:, 0] > 0.5) ^ (x[:, 1] > 0.5) ^ (x[:, 2] > 0.5)) - 5 + 3.0 * ((x[:, 3] > 0.5) ^ (x[:, 4] > 0.5))
    )
    return z


def test_strong_rules_get_larger_models_than_a_faint_line() -> None:
    sizes = []
    for rules in (line, knots):
        sample, rows, settings = world(rules)
        sizes.append(choose_sizes(sample, folds(rows, 4, settings.train.seed), 8, 1).whole)
    faint, strong = sizes
    assert strong.leaves > faint.leaves
    assert strong.trees * strong.leaves > 3 * faint.trees * faint.leaves


def test_the_budget_is_a_number_of_sizes_and_the_choice_is_the_same_every_time() -> None:
    sample, rows, settings = world(knots, 1500)
    parts = folds(rows, 4, settings.train.seed)
    first = choose_sizes(sample, parts, 5, 1)
    assert first == choose_sizes(sample, parts, 5, 2)
    assert first.tried <= 5
    assert choose_sizes(sample, parts, 1, 1).tried == 1


def test_a_size_that_loses_on_the_parts_so_far_is_fitted_to_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What more parts would have said of it decides nothing: the choice is the same, with fewer fits."""
    fits = {True: 0, False: 0}
    plain, proven = _Part.losses, _Tried.proven

    for seed in range(3):
        sample, rows, settings = world(slope, 600, seed)
        parts = folds(rows, 4, settings.train.seed)
        found = []
        for raced in (True, False):

            def losses(part: _Part, size: Size, drawn: int, raced: bool = raced) -> Floats:
                fits[raced] += 1
                return plain(part, size, drawn)

            def judged(one: _Tried, other: _Tried, on: Sequence[int], raced: bool = raced) -> bool:
                return (raced or len(one.losses) == len(other.losses)) and proven(one, other, on)

            monkeypatch.setattr(_Part, "losses", losses)
            monkeypatch.setattr(_Tried, "proven", judged)
            found.append(choose_sizes(sample, parts, 8, 1).whole)
        assert found[0] == found[1]
    assert fits[True] < fits[False]


def test_a_parts_outcomes_do_not_choose_its_own_size() -> None:
    """Sizes of a walk of one step differ by their trees alone, which a part's own outcomes must not move."""
    sample, rows, settings = world(slope, 1500)
    parts = folds(rows, 4, settings.train.seed)
    test = parts[2][1]
    other = sample.y.copy()
    other[test] = slope(sample.X[test]) > 0.0  # without chance they want many more trees
    changed = Sample(sample.schema, sample.declared, sample.X, other, None, None, None, sample.seed)
    # Its rows are learned from in the other parts, so only what is tested may be exchanged.
    alone = [(fitted[~np.isin(fitted, test)], tested) for fitted, tested in parts]
    before, after = (choose_sizes(s, alone, 1, 1) for s in (sample, changed))
    assert after.by_part[2] == before.by_part[2]
    assert after.whole != before.whole


@pytest.mark.parametrize(("name", "parameter"), [("lightgbm", "n_estimators"), ("hist_gradient_boosting", "max_iter")])
def test_a_size_shapes_both_boosters_and_more_rows_bear_more_trees(name: str, parameter: str) -> None:
    sample, _, settings = world(line, 2000)
    entry = sized(learner(name, settings), Size(leaves=3, trees=40, rows=2000.0))
    schema, faster = sample.schema, {"lightgbm": 1.0, "hist_gradient_boosting": 2.0}[name]
    assert getattr(entry.fit(schema, sample.X, sample.y, None, 1, 1), parameter) == round(40 / faster)
    quarter = entry.fit(schema, sample.X[:500], sample.y[:500], None, 1, 1)
    assert getattr(quarter, parameter) == pytest.approx(20 / faster, abs=1)
    assert sized(learner("scorecard", settings), Size()) is learner("scorecard", settings)
