"""Evidence over time goes from window to window, and from a champion to its recalibration as far as it ranks alike."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from riskloop.core.findings import WINDOW
from riskloop.core.settings import parse_settings
from riskloop.core.types import Finding, Severity
from riskloop.loop.mature import handed_on
from riskloop.loop.observe import earlier_findings
from riskloop.monitor.correlation import Correlation
from riskloop.monitor.overtime import LEVEL_OVER_TIME, RANKING_OVER_TIME, over_time_findings
from riskloop.monitor.residual import FEATURES_OVER_TIME
from riskloop.monitor.selection import Comparison

SETTINGS = parse_settings('[portfolio]\ntarget = "y"\n[features.x]\n')


def month(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1.1, 3.9, n)
    return p, (rng.random(n) < p).astype(np.float64)


def judged(before: Any, seed: int, *, blind: bool) -> list[Finding]:
    past, labels = month(1, 5_000)
    p, y = month(seed)
    shown = np.random.default_rng(seed).permutation(p) if blind else p
    return over_time_findings(Comparison.of(shown, y, past, labels), Correlation(0.002, 12), before, alarm=50.0)


class Judged:
    """Windows of versions, each with its findings."""

    def __init__(self, by_version: dict[int, list[list[Finding]]]) -> None:
        self.by = by_version

    def of_model(self, version: int, limit: int, before: int | None = None) -> list[Any]:
        return [SimpleNamespace(id=(version, k)) for k in range(len(self.by.get(version, [])))][-limit:]

    def findings(self, window: tuple[int, int]) -> list[Finding]:
        return self.by[window[0]][window[1]]


def champion(version: int, origin: str, parent: int | None) -> Any:
    return SimpleNamespace(version=version, manifest=SimpleNamespace(origin=origin, parent=parent))


def carried(windows: Any, model: Any) -> dict[str, Finding]:
    own = earlier_findings(windows, SETTINGS, model.version, 9)
    return {f.check: f for f in handed_on(windows, SETTINGS, model, 9, own)}


def test_a_recalibration_does_not_forget_what_the_features_say() -> None:
    beside = FEATURES_OVER_TIME.finding(WINDOW, Severity.DRIFTED, (1, 1), "Moved.", statistic=90.0, critical=50.0)
    windows: Any = Judged({1: [[*judged((), 5, blind=True), beside]]})
    assert carried(windows, champion(2, "recalibrate", 1))[FEATURES_OVER_TIME.name] == beside
    assert carried(windows, champion(2, "retrain", 1)) == {}


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_a_recalibration_does_not_forget_that_its_parent_ranks_worse(seed: int) -> None:
    first = judged((), seed, blind=True)
    windows: Any = Judged({1: [first]})
    found = carried(windows, champion(2, "recalibrate", 1))
    assert set(found) == {RANKING_OVER_TIME.name}, "its level is another one"
    after = {f.check: f for f in judged(list(found.values()), seed + 50, blind=True)}
    anew = {f.check: f for f in judged((), seed + 50, blind=True)}
    assert after[RANKING_OVER_TIME.name].details["windows"] == 2
    assert after[LEVEL_OVER_TIME.name].details["windows"] == 1
    assert (after[RANKING_OVER_TIME.name].statistic or 0) > (anew[RANKING_OVER_TIME.name].statistic or 0)


def test_another_model_begins_anew_and_own_windows_come_first() -> None:
    first, second = judged((), 5, blind=True), judged((), 6, blind=False)
    assert carried(Judged({1: [first]}), champion(2, "retrain", 1)) == {}
    assert carried(Judged({1: [first]}), champion(1, "train", None)) == {f.check: f for f in first}
    assert carried(Judged({1: [first], 2: [second]}), champion(2, "recalibrate", 1)) == {f.check: f for f in second}
    assert carried(Judged({1: [first, []]}), champion(2, "recalibrate", 1)).keys() == {RANKING_OVER_TIME.name}
