"""Points as the trade scales them: a base at given odds, and so many points that double the odds."""

import math

import pytest

from riskloop.core.errors import ConfigError
from riskloop.core.scaling import Scaling


@pytest.mark.parametrize(("base", "odds", "double"), [(600.0, 30.0, 20.0), (500.0, 1.0, 40.0), (-3.0, 0.5, 0.1)])
def test_the_base_stands_at_its_odds_and_each_doubling_adds_the_same(base: float, odds: float, double: float) -> None:
    scaling = Scaling(base, odds, double)
    for doublings in (-3, 0, 1, 7):
        log_odds_of_default = -math.log(odds * 2.0**doublings)
        assert scaling.score(log_odds_of_default) == pytest.approx(base + doublings * double)


@pytest.mark.parametrize(
    "wrong", [{"odds": 0.0}, {"odds": -1.0}, {"double": 0.0}, {"double": -20.0}, {"base": math.inf}]
)
def test_a_scale_without_a_meaning_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Scaling(**wrong)
