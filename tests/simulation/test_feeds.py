"""Every kind of outcome feed does what its sentence says, and nothing comes before it is final."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskloop.core.types import to_micros
from riskloop.simulation.feeds import FEEDS, FeedFile, FeedKind, SimulatedFeed

WINDOW, DAY = timedelta(days=30), timedelta(days=1)
MAY, JUNE = datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)
N = 2000


def handed_in(kind: FeedKind, seed: int = 1) -> tuple[list[FeedFile], np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(to_micros(MAY), to_micros(JUNE), N))
    target, declined = (rng.random(N) < 0.2).astype(np.float64), rng.random(N) < 0.25
    feed = SimulatedFeed(kind, WINDOW, seed, since=JUNE + 15 * DAY)
    feed.decided(1, times, target, declined)
    found = [file for day in range(140) for file in feed.due(MAY + day * DAY)]
    return found, np.stack([times, target, declined])


@pytest.mark.parametrize("kind", FEEDS.values(), ids=FEEDS.keys())
def test_a_feed_is_what_it_says(kind: FeedKind) -> None:
    files, truth = handed_in(kind)
    times, target, declined = truth
    first: dict[int, tuple[bool, datetime]] = {}
    last: dict[int, bool] = {}
    for file in files:
        for outcome in file.outcomes:
            assert outcome.decision_id is not None
            assert to_micros(outcome.known_at) >= times[outcome.decision_id - 1] + WINDOW // timedelta(microseconds=1)
            assert outcome.known_at <= file.at
            first.setdefault(outcome.decision_id, (outcome.defaulted, file.at))
            last[outcome.decision_id] = outcome.defaulted
    rows = np.array(sorted(first)) - 1
    expected = np.flatnonzero(~(declined == 1) if kind.approved_only else np.ones(N, dtype=np.bool_))
    if kind.defaults_only:
        expected = expected[target[expected] == 1]
    np.testing.assert_array_equal(rows, expected)
    said = np.array([last[row + 1] for row in rows.tolist()])
    at = np.array([to_micros(first[row + 1][1]) for row in rows.tolist()])
    delay = (at - times[rows]) / 86_400_000_000 - 30.0
    after = at >= to_micros(JUNE + 15 * DAY)
    if kind.monthly:
        assert {file.at.day for file in files} == {5}
    else:
        assert delay[target[rows] == 1].max() <= 1.0 + kind.delay.days
    if kind.labels in ("sound", "corrected", "goods_late"):
        np.testing.assert_array_equal(said, target[rows])
    if kind.labels == "inverted":
        np.testing.assert_array_equal(said, target[rows] != after)
    if kind.labels == "definition":
        kept = said[after & (target[rows] == 1)].mean()
        assert 0.5 < kept < 0.7
        assert not said[target[rows] == 0].any()
    if kind.labels == "corrected":
        wrong = np.array([first[row + 1][0] for row in rows.tolist()]) != target[rows]
        assert 0.01 < wrong.mean() < 0.03
    if kind.labels == "goods_late":
        assert 0.4 < (delay[after & (target[rows] == 0)] > 5.0).mean() < 0.6
    assert all((file.complete_until is not None) == kind.watermark for file in files)
    assert handed_in(kind)[0] == files, "the same seed, the same feed"
