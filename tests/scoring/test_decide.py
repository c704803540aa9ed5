"""The one step from rows and a model to decisions, by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from msgspec.structs import replace as changed
from tests import handmade

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Rows
from riskloop.scoring.decide import decide, reasons
from riskloop.scoring.model import Model
from riskloop.scoring.predictors import ScorecardPredictor

NOW = 1_750_000_000_000_000
SCHEMA = Schema(
    features=(
        Feature("debt"),
        Feature("job", kind="category", categories=("none", "clerk"), unseen="flag", nullable=True),
    ),
    target="bad",
    id="id",
)
CARD = {
    "intercept": 0.0,
    "features": [
        {"bounds": [5.0], "points": [-1.0, 1.0], "missing": 0.0, "mean": 0.0},
        {"bounds": [], "points": [0.0], "missing": 0.5, "mean": 0.0},
    ],
}


def model(threshold: float = 0.5) -> Model:
    whole = changed(handmade.manifest(SCHEMA), threshold=threshold)
    return Model(SCHEMA, 7, whole, ScorecardPredictor(json.dumps(CARD).encode(), "card"))


def rows(*values: tuple[float, float]) -> Rows:
    features = np.array(values, dtype=np.float64)
    ids = [f"c{i}" for i in range(len(features))]
    return Rows(features, ids, np.zeros(len(features), dtype=np.int64))


def test_probabilities_and_decisions_are_those_of_the_card() -> None:
    made = decide(model(), rows((1.0, 0.0), (9.0, 1.0)), NOW)
    assert made.probabilities == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])
    assert made.defaults.tolist() == [False, True]
    assert (made.scored_at, made.model_version, list(made.times)) == (NOW, 7, [NOW, NOW])


@pytest.mark.parametrize(("beside", "default"), [(0.0, True), (1.0, False), (-1.0, True)])
def test_a_probability_of_the_threshold_itself_is_a_default(beside: float, default: bool) -> None:
    """A promise of every answer: `default` means that the probability is not below the threshold."""
    at = float(model().probabilities(np.array([[9.0, 0.0]]))[0])
    threshold = at if not beside else float(np.nextafter(at, beside * np.inf))
    assert decide(model(threshold), rows((9.0, 0.0)), NOW).defaults.tolist() == [default]


def test_what_is_missing_or_unseen_is_flagged_with_its_text() -> None:
    given = replace(rows((np.nan, 0.0), (1.0, 2.0), (1.0, np.nan), (1.0, 1.0)), unseen={1: {"job": "astronaut"}})
    flags = decide(model(), given, NOW).flags
    assert flags is not None
    assert [None if flag is None else json.loads(flag) for flag in flags] == [
        {"missing": ["debt"]},
        {"unseen": {"job": "astronaut"}},
        {"missing": ["job"]},
        None,
    ]
    assert decide(model(), rows((1.0, 1.0)), NOW).flags is None


def test_a_share_of_the_declined_is_explored_and_marked() -> None:
    many = rows(*[(9.0, 0.0)] * 2000)
    made = decide(model(), many, NOW, exploration=0.1)
    explored = ~made.defaults
    assert 0.07 < explored.mean() < 0.13
    assert made.flags is not None
    assert [flag is not None for flag in made.flags] == explored.tolist()
    assert np.array_equal(decide(model(), many, NOW, exploration=0.1).defaults, made.defaults)
    assert decide(model(), many, NOW).defaults.all()


def test_reasons_are_given_to_whom_they_are_asked_for() -> None:
    made = decide(model(), rows((1.0, 0.0), (9.0, np.nan)), NOW)
    assert list(reasons(model(), made, "none", 3)) == []
    assert list(reasons(model(), made, "default", 3)) == [1]
    assert list(reasons(model(), made, "all", 3)) == [0, 1]
    assert list(reasons(model(), made, ["all", "none"], 3)) == [0]
    assert reasons(model(), made, "all", 0) == {}
    strongest = reasons(model(), made, "default", 1)[1]
    assert [(reason.feature, reason.contribution) for reason in strongest] == [("debt", 1.0)]
