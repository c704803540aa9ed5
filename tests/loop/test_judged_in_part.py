"""Windows judged from a share of their outcomes on: what is found holds whatever comes, and is judged again then."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from riskloop.core.types import Diagnosis, Finding, Severity
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import World
from riskloop.store.outcomes import Outcome
from riskloop.store.windows import Window

from .conftest import MONTHS, live

HANDED_IN = datetime(2025, 3, 4, tzinfo=UTC)  # January's outcomes are final
ROWS = 700


@pytest.fixture
def portfolio(trained_folder: Path, tmp_path: Path) -> Iterator[Portfolio]:
    """Judges windows from 70% of their outcomes on."""
    folder = tmp_path / "book"
    shutil.copytree(trained_folder, folder)
    with (folder / "riskloop.toml").open("a", encoding="utf-8") as config:
        config.write("[policy]\nname = 'manual'\n[drift]\nevidently_rows = 0\n[outcomes]\nshare = 0.7\n")
    opened = Portfolio.open(folder)
    live(opened, MONTHS[0], 40, World(), ROWS, known=False)
    yield opened
    opened.home.close()


def drawn(portfolio: Portfolio, rate: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """January's approved in an order of chance, and outcomes by the champion's PDs, moved to a default rate."""
    frame = portfolio.home.decisions.frame(portfolio.home.windows.latest(1)[0].span)
    assert frame.declined is not None
    rng = np.random.default_rng(3)
    order = rng.permutation(np.flatnonzero(~frame.declined))
    chance = frame.probabilities * rate / frame.probabilities.mean()
    return frame.ids[order], (rng.random(len(frame.ids)) < chance)[order]


def hand_in(portfolio: Portfolio, ids: npt.NDArray[np.int64], labels: npt.NDArray[np.bool_], at: datetime) -> Window:
    """January after these outcomes and a cycle."""
    reported = [Outcome(bool(label), at, decision_id=int(number)) for number, label in zip(ids, labels, strict=True)]
    portfolio.home.outcomes.record(reported, at)
    return turned(portfolio, at)


def turned(portfolio: Portfolio, at: datetime) -> Window:
    portfolio.cycle(now=at)
    return portfolio.home.windows.latest(3)[0]


def finding(portfolio: Portfolio, window: Window, check: str) -> Finding:
    return next(f for f in portfolio.home.windows.findings(window.id) if f.check == check)


def checks(portfolio: Portfolio, window: Window) -> set[str]:
    return {f.check for f in portfolio.home.windows.findings(window.id)}


def test_what_holds_with_a_tenth_missing_is_found_and_the_rest_is_judged_when_it_comes(portfolio: Portfolio) -> None:
    turned(portfolio, datetime(2025, 2, 2, tzinfo=UTC))
    ids, labels = drawn(portfolio, 0.6)
    first = int(0.9 * ids.size)
    window = hand_in(portfolio, ids[:first], labels[:first], HANDED_IN)
    assert window.matured_at is not None
    assert window.diagnosis in (Diagnosis.PRIOR_SHIFT, Diagnosis.CONCEPT_DRIFT)
    level = finding(portfolio, window, "calibration")
    assert level.severity in (Severity.DRIFTED, Severity.SEVERE)
    low, high = level.details["bounds"]
    assert low == pytest.approx(labels[:first].sum() / ids.size)
    assert high == pytest.approx((labels[:first].sum() + ids.size - first) / ids.size)
    assert f"{first:,} of {ids.size:,} expected" in finding(portfolio, window, "outcomes").sentence
    assert "level_over_time" not in checks(portfolio, window), "evidence that stays needs whole windows"
    window = hand_in(portfolio, ids[first:], labels[first:], HANDED_IN + timedelta(days=1))
    level = finding(portfolio, window, "calibration")
    assert level.n == ids.size
    assert "bounds" not in level.details
    assert "outcomes" not in checks(portfolio, window)
    assert "level_over_time" in checks(portfolio, window)


@pytest.mark.parametrize("rest", ["comes", "never comes"])
def test_what_a_quarter_of_the_outcomes_decides_is_not_known_until_they_are_there_or_waited_for(
    portfolio: Portfolio, rest: str
) -> None:
    turned(portfolio, datetime(2025, 2, 2, tzinfo=UTC))
    ids, labels = drawn(portfolio, 0.22)
    first = int(0.75 * ids.size)
    window = hand_in(portfolio, ids[:first], labels[:first], HANDED_IN)
    assert window.diagnosis is Diagnosis.NOT_ENOUGH_DATA
    assert "the missing outcomes decide" in window.sentence
    assert finding(portfolio, window, "auc").severity is Severity.UNKNOWN
    if rest == "comes":
        window = hand_in(portfolio, ids[first:], labels[first:], HANDED_IN + timedelta(days=7))
    else:
        assert turned(portfolio, HANDED_IN + timedelta(days=7)).diagnosis is Diagnosis.NOT_ENOUGH_DATA
        window = turned(portfolio, HANDED_IN + timedelta(days=60))
    assert window.diagnosis is Diagnosis.STABLE
    ranking = finding(portfolio, window, "auc")
    assert "bounds" not in ranking.details
    assert ranking.n == (ids.size if rest == "comes" else first)


def test_under_the_share_nothing_is_judged(portfolio: Portfolio) -> None:
    turned(portfolio, datetime(2025, 2, 2, tzinfo=UTC))
    ids, labels = drawn(portfolio, 0.6)
    first = int(0.6 * ids.size)
    window = hand_in(portfolio, ids[:first], labels[:first], HANDED_IN)
    assert window.matured_at is None
    assert f"the outcome of only {first} of {ids.size} approved customers has arrived" in window.sentence.replace(
        ",", ""
    )
