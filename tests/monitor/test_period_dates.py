from datetime import UTC, datetime, timedelta

import numpy as np

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
