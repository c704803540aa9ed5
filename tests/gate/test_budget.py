from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from riskloop.core.settings import GateSettings
from riskloop.core.types import Try, Verdict
from riskloop.gate import Context, Evaluation, judge, level, tried
from riskloop.gate.budget import information

NOW = datetime(2025, 5, 5, 14, 3, tzinfo=UTC)
SETTINGS = GateSettings()


def _next(tries: list[Try], at: datetime = NOW, information: float = 1.0, evidence: str = "new") -> float:
    return level(tries, SETTINGS, champion=1, now=at, evidence=evidence, information=information).alpha


def test_the_first_try_may_use_alpha() -> None:
    assert _next([]) == pytest.approx(0.05)


@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_however_often_it_is_tried_the_budget_holds(informations: list[float]) -> None:
    tries: list[Try] = []
    for number, share in enumerate(informations):
        at = NOW + timedelta(hours=number)
        tries.append(Try(1, at, _next(tries, at, share, str(number)), str(number)))
    assert sum(t.alpha for t in tries) <= SETTINGS.run_alpha
    assert all(0.0 <= t.alpha <= SETTINGS.alpha for t in tries)


def test_late_tries_still_get_something() -> None:
    tries: list[Try] = []
    for number in range(12):
        tries.append(Try(1, NOW, _next(tries, evidence=str(number)), str(number)))
    assert tries[-1].alpha > 0.0005


def test_the_same_evidence_is_the_same_try() -> None:
    first = Try(1, NOW, 0.05, "seen")
    assert _next([first], evidence="seen") == 0.05
    assert _next([first]) < 0.05


def test_tries_of_other_champions_and_of_long_ago_do_not_count() -> None:
    assert _next([Try(2, NOW, 0.05, "other")]) == pytest.approx(0.05)
    assert _next([Try(1, NOW - timedelta(days=365), 0.05, "old")]) == pytest.approx(0.05)
    assert _next([Try(1, NOW - timedelta(days=364), 0.05, "not so old")]) < 0.05


def test_information_is_full_where_the_test_has_its_power() -> None:
    error = 0.01 / (norm.isf(0.05) + norm.isf(0.2))
    assert information(error, 0.01, SETTINGS) == pytest.approx(1.0)
    assert information(2 * error, 0.01, SETTINGS) == pytest.approx(0.25)
    assert norm.sf(norm.isf(0.05) - 0.01 / error) == pytest.approx(0.8)


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="UTC"):
        Try(1, datetime(2025, 5, 5), 0.05, "x")


def test_a_report_tells_what_it_spent(evaluation: Callable[..., Evaluation], context: Callable[..., Context]) -> None:
    one = evaluation()
    spent = tried(judge(one, SETTINGS, context()), 1, NOW)
    assert spent is not None
    assert 0.04 < spent.alpha <= 0.05
    assert spent.evidence == one.fingerprint
    assert tried(judge(evaluation(n=150), SETTINGS, context()), 1, NOW) is None


def _run(rng: np.random.Generator, gain: float, tries: int) -> bool:
    """Weekly challengers on overlapping windows of 300 defaults; AUC 0.76, correlation 0.95 within each class."""
    n, step = 1000, 250
    labels = (rng.random(n + step * tries) < 0.3).astype(np.float64)
    base = rng.standard_normal(labels.size)
    spent: list[Try] = []
    for number in range(tries):
        span = slice(number * step, number * step + n)
        y, noise = labels[span], base[span]
        own = 0.95 * noise + (1 - 0.95**2) ** 0.5 * rng.standard_normal(n)
        pds = [1 / (1 + np.exp(-(d * (d * y + e) - d * d / 2 - 0.85))) for d, e in ((1.0, noise), (1.0 + gain, own))]
        now = NOW + timedelta(weeks=number)
        context = Context(now, 1, 2, "scorecard", ("scorecard",), ("x",), ("x",), tries=tuple(spent))
        report = judge(Evaluation(y, pds[0], pds[1], 0.2, 0.2), SETTINGS, context)
        if report.verdict is Verdict.PROMOTE:
            return True
        spent += [t for t in [tried(report, 1, now)] if t is not None]
    return False


@pytest.mark.parametrize(("tries", "most"), [(1, 0.05), (12, 0.10)])
def test_a_no_better_challenger_seldom_passes(tries: int, most: float) -> None:
    rng = np.random.default_rng(11)
    rate = np.mean([_run(rng, 0.0, tries) for _ in range(120)])
    assert rate <= most


def test_a_truly_better_one_passes() -> None:
    rng = np.random.default_rng(12)
    assert np.mean([_run(rng, 0.15, 6) for _ in range(50)]) > 0.9
