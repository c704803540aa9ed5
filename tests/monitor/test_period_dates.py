from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Severity, to_micros
from riskloop.monitor.profile import Profile, Reference
from riskloop.monitor.quality import quality_findings

FIRST, END = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
RNG = np.random.default_rng(1)
REFERENCE = Reference.build(Schema((Feature("x"),), "default"), RNG.normal(size=(2000, 1)), RNG.random(2000))


def _window(start: datetime, days: int) -> Profile:
    times = [to_micros(start + timedelta(days=k % days)) for k in range(900)]
    return REFERENCE.profile(RNG.normal(size=(900, 1)), RNG.random(900), np.array(times, dtype=np.int64))


def _coverage(window: Profile, previous: list[Profile]) -> Severity:
    findings = quality_findings(REFERENCE, window, min_rows=100, previous=previous, period=(FIRST, END))
    return next(finding.severity for finding in findings if finding.check == "coverage")


def test_dates_that_only_name_the_month_are_no_broken_feed() -> None:
    february = _window(datetime(2025, 2, 1, tzinfo=UTC), 1)
    assert _coverage(_window(FIRST, 1), []) is Severity.UNKNOWN
    assert _coverage(_window(FIRST, 1), [february]) is Severity.UNKNOWN


def test_a_feed_that_used_to_have_days_and_stops_after_the_first_is_broken() -> None:
    february = _window(datetime(2025, 2, 1, tzinfo=UTC), 28)
    assert _coverage(_window(FIRST, 1), [february]) is Severity.FAULT
    assert _coverage(_window(FIRST, 5), [february]) is Severity.FAULT


def _panel(dates: list[datetime], rows: int = 900) -> Profile:
    times = np.array([to_micros(dates[k % len(dates)]) for k in range(rows)], dtype=np.int64)
    return REFERENCE.profile(RNG.normal(size=(rows, 1)), RNG.random(rows), times)


def _month_ends(year: int, first: int, count: int) -> list[datetime]:
    starts = [datetime(year + (m // 12), m % 12 + 1, 1, tzinfo=UTC) for m in range(first, first + count)]
    return [start - timedelta(days=1) for start in starts]


def _said(
    window: Profile, previous: list[Profile], reference: Reference, period: tuple[datetime, datetime]
) -> Severity:
    findings = quality_findings(reference, window, min_rows=100, previous=previous, period=period)
    return next(finding.severity for finding in findings if finding.check == "coverage")


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("months", [1, 3])
def test_a_panel_whose_rows_carry_one_day_a_month_is_no_feed_that_is_cut_off(ends: bool, months: int) -> None:
    """By the windows before or, where there are none, by the history; windows are months or quarters."""
    spoken = _month_ends(2024, 1, 24)
    days = spoken if ends else [end + timedelta(days=1) for end in spoken]
    rows = len(days) * 80
    times = np.array([to_micros(days[k % len(days)]) for k in range(rows)], dtype=np.int64)
    dated = Reference.build(
        REFERENCE.schema, RNG.normal(size=(rows, 1)), RNG.random(rows), days=times // 86_400_000_000
    )
    start = datetime(2026, 4, 1, tzinfo=UTC)
    end = datetime(2026, 4 + months, 1, tzinfo=UTC)
    now = _month_ends(2026, 4, months) if ends else _month_ends(2026, 3, months)
    now = now if ends else [day + timedelta(days=1) for day in now]
    before = _panel([day - timedelta(days=92) for day in now] + [day - timedelta(days=61) for day in now])
    for previous in ([], [before]):
        assert _said(_panel(now), previous, dated, (start, end)) is not Severity.FAULT
    if months == 3 and ends:  # dates of the first day may name the period
        assert _said(_panel(now[:1]), [], dated, (start, end)) is Severity.FAULT, "two of three months lack"


@pytest.mark.parametrize("left", [0.97, 0.9, 0.8, 0.76])
@pytest.mark.parametrize("seed", range(3))
def test_a_book_in_run_off_gets_smaller_and_is_not_cut_off(left: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [int(rng.poisson(4_000 * left**k)) for k in range(9)]
    profiles = [_panel([FIRST + timedelta(days=k) for k in range(28)], size) for size in sizes]
    for now in range(1, len(sizes)):
        assert _volume(profiles[now], profiles[:now]) is Severity.OK
        cut = _panel([FIRST + timedelta(days=k) for k in range(28)], int(0.2 * sizes[now]))
        if left > 0.85:
            assert _volume(cut, profiles[:now]) is Severity.FAULT


def _volume(window: Profile, previous: list[Profile]) -> Severity:
    findings = quality_findings(REFERENCE, window, min_rows=10, previous=previous)
    return next(finding.severity for finding in findings if finding.check == "volume")
