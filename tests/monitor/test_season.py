"""A book that moves with the time of the year: its season is no drift, and what moves beyond it is."""

from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DriftSettings
from riskloop.core.types import DAY, EPOCH, Finding, Floats, Ints, Severity
from riskloop.monitor.drift import profile_findings
from riskloop.monitor.profile import Reference

MOVED = (Severity.DRIFTED, Severity.SEVERE)
LIVE = date(2022, 1, 1)
SWING = 1.0  # standard deviations between the mean of the year and its height


def drawn(first: date, days: int, each: int, seed: int, more: float = 0.0) -> tuple[Floats, Floats, Ints]:
    """A seasonal amount, a seasonal channel and a steady column; the score follows the first and the last."""
    rng = np.random.default_rng(seed)
    day = np.repeat((first - EPOCH.date()).days + np.arange(days), each)
    height = np.cos(2.0 * np.pi * (day % 365.25) / 365.25)
    amount = rng.normal(SWING * height + more, 1.0)
    channel = (rng.random(day.size) < 0.3 + 0.2 * height).astype(float)
    steady = rng.normal(0.0, 1.0, day.size)
    return np.column_stack((amount, channel, steady)), 1.0 / (1.0 + np.exp(1.0 - 0.7 * amount - steady)), day


@lru_cache(maxsize=8)
def reference(months: int, declared: bool) -> Reference:
    schema = Schema(
        (
            Feature("amount", seasonal=declared),
            Feature("channel", "category", categories=("branch", "web"), seasonal=declared),
            Feature("steady"),
        ),
        target="bad",
    )
    days = round(months * 30.44)
    X, scores, day = drawn(LIVE - timedelta(days=days), days, -(-10_000 // days), 1)
    return Reference.build(schema, X, scores, day)


def month(book: Reference, number: int, more: float = 0.0, seed: int = 7) -> dict[str, Finding]:
    """The findings of the month ``number`` after the history, by column; "window" is the verdict."""
    first, last = (date(2022 + n // 12, n % 12 + 1, 1) for n in (number, number + 1))
    X, scores, day = drawn(first, (last - first).days, 50, 100 * seed + number, more)
    found = profile_findings(book, book.profile(X, scores, day * DAY), DriftSettings())
    return {f.subject: f for f in found}


@pytest.mark.parametrize("seed", [7, 8])
@pytest.mark.parametrize(("months", "declared"), [(14, True), (25, False), (36, False)])
def test_a_season_is_told_and_never_called_drift(months: int, declared: bool, seed: int) -> None:
    book = reference(months, declared)
    said = []
    for number in range(24):
        found = month(book, number, seed=seed)
        assert [f.sentence for f in found.values() if f.severity in MOVED] == []
        said += [f.subject for f in found.values() if f.details.get("seasonal")]
        assert "whole" not in found["steady"].details
    assert said.count("amount") >= 12
    sentence = month(book, 0)["amount"].sentence
    assert "is as in the same weeks of earlier years" in sentence
    assert "seasonal, not drift" in sentence


@pytest.mark.parametrize(("months", "declared"), [(14, True), (25, False)])
@pytest.mark.parametrize("more", [0.6, -0.6])
def test_what_moves_beyond_the_season_is_found_in_every_month(months: int, declared: bool, more: float) -> None:
    """A shift of less than the season's own swing, which the usual band of the whole history would hide."""
    blind = reference(14, False)
    missed = 0
    for number in range(0, 24, 3):
        found = month(reference(months, declared), number, more)
        assert found["amount"].severity in MOVED, found["amount"].sentence
        assert "held against the same weeks of earlier years" in found["amount"].sentence
        missed += month(blind, number, more)["amount"].severity not in MOVED
    assert missed >= 4


def test_a_season_is_found_by_itself_only_where_two_years_show_it() -> None:
    assert reference(14, False).seasonal == frozenset()
    assert reference(25, False).seasonal == {0, 1, 3}  # 3 is the score
    assert reference(14, True).seasonal == {0, 1, 3}


@pytest.mark.parametrize("kind", ["step", "trend", "steady"])
@pytest.mark.parametrize("seed", range(4))
def test_a_history_that_changes_once_or_slowly_has_no_season(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(18_000, 18_000 + 3 * 365), 10)
    since = (day - day.min()) / 365.0
    moves = {"step": 1.0 * (since > 1.7), "trend": 0.7 * since, "steady": 0.0 * since}[kind]
    X = rng.normal(moves, 1.0)[:, None]
    book = Reference.build(Schema((Feature("x"),), target="y"), X, rng.random(day.size), day)
    assert book.seasonal == frozenset()


@pytest.mark.parametrize("months", [6, 12])
def test_less_than_thirteen_months_have_no_earlier_weeks(months: int) -> None:
    found = month(reference(months, True), 0)
    assert "whole" not in found["amount"].details
