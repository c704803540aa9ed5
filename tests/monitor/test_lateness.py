"""Who is reported later than the others."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from tests.monitor.test_labels import SEEDS, WINDOW, drawn, one, reports, world

from riskloop.core.types import Finding, Severity
from riskloop.monitor.labels import window_findings
from riskloop.monitor.reports import Reports


@pytest.mark.parametrize("delivery", ["at once", "monthly"])
def test_where_few_default_late_good_customers_are_found_over_the_windows_and_sound_feeds_never(delivery: str) -> None:
    """Half a percent default: ten in a window, of which no single one shows that half of the good come later."""

    def windows(seed: int, late: bool) -> list[Reports]:
        rng = np.random.default_rng(seed)
        made = []
        for _ in range(7):
            days = np.sort(rng.integers(0, 30, 2_000)).astype(float)
            bad = (rng.random(2_000) < 0.005).astype(float)
            delay = 35.0 - days if delivery == "monthly" else np.full(2_000, float(rng.integers(0, 20)))
            held = late & (bad == 0.0) & (rng.random(2_000) < 0.5)
            made.append(reports(np.full(2_000, 0.005), bad, days, delay + np.where(held, 10.0, 0.0)))
        return made

    counts = (2_000, 2_000), (12_000, 12_000)
    caught, alone = [], []
    for seed in range(20):
        sound = windows(seed, late=False)
        for upto in range(1, 8):
            said = [f for f in window_findings(sound[0], WINDOW, *counts, sound[1:upto]) if f.check == "labels_late"]
            assert all(f.severity is Severity.OK for f in said)
        faulty = windows(100 + seed, late=True)
        single = [f for f in window_findings(faulty[0], WINDOW, *counts) if f.check == "labels_late"]
        alone.append(any(f.severity is Severity.DRIFTED for f in single))
        whole = one(window_findings(faulty[0], WINDOW, *counts, faulty[1:]), "labels_late")
        caught.append(whole.severity is Severity.DRIFTED)
    if delivery == "at once":  # of a monthly file's delays, which run over the month, seven windows show too little
        assert np.mean(caught) >= 0.95
    assert not any(alone)


def test_delays_are_compared_as_scipy_compares_them() -> None:
    rng = np.random.default_rng(4)
    days, bad = rng.integers(0, 30, 400).astype(float), (rng.random(400) < 0.3).astype(float)
    delay = rng.integers(0, 12, 400) + 3.0 * (bad == 0.0)
    found = one(window_findings(reports(np.full(400, 0.3), bad, days, delay), WINDOW, (1, 1), (1, 1)), "labels_late")
    test = mannwhitneyu(delay[bad == 0.0], delay[bad == 1.0], use_continuity=False, method="asymptotic")
    assert found.statistic == pytest.approx(test.statistic / (bad.sum() * (bad == 0.0).sum()))
    assert found.details["p_value"] == pytest.approx(test.pvalue)


@pytest.mark.parametrize("seed", SEEDS)
def test_good_customers_who_are_reported_later_are_found(seed: int) -> None:
    p, log_odds, days = world(seed)
    outcomes, rng = drawn(log_odds, seed), np.random.default_rng(seed)
    everybody = rng.integers(0, 12, p.size).astype(np.float64)
    late = np.where((outcomes == 0.0) & (rng.random(p.size) < 0.5), 10.0, 0.0)
    for delay, expected in ((0.0, Severity.OK), (everybody, Severity.OK), (late, Severity.DRIFTED)):
        found = window_findings(reports(p, outcomes, days, delay), WINDOW, (90, 100), (95, 100))
        assert one(found, "labels_late").severity is expected


@pytest.mark.parametrize("rate", [0.3, 0.03, 0.002])
@pytest.mark.parametrize("delivery", ["at once", "monthly", "any day"])
@pytest.mark.parametrize("per_day", [8, 60])
def test_reports_that_come_long_after_their_neighbours_are_found_however_few_default(
    rate: float, delivery: str, per_day: int
) -> None:
    def month(seed: int, late: float) -> Reports:
        rng = np.random.default_rng(seed)
        days = np.repeat(np.arange(30.0), per_day)
        bad = (rng.random(days.size) < rate).astype(np.float64)
        any_day = rng.integers(0, 12, days.size).astype(np.float64)
        delay = {"at once": np.zeros(days.size), "monthly": 35.0 - days, "any day": any_day}
        held = (bad == 0.0) & (rng.random(days.size) < late)
        extra = np.where(days > 20.0, 30.0, 0.0) if delivery == "monthly" else 10.0  # in the next file
        return reports(np.full(days.size, rate), bad, days, delay[delivery] + np.where(held, extra, 0.0))

    def said(window: Reports, *earlier: Reports) -> Finding:
        size = len(window)
        return one(window_findings(window, WINDOW, (size, size), (size, size), earlier), "labels_stragglers")

    found = []
    for seed in range(8):
        before = [month(seed, 0.0), month(100 + seed, 0.0)]
        assert said(month(200 + seed, 0.0), *before).severity is Severity.OK
        assert said(month(200 + seed, 0.5)).severity is Severity.OK, "without a window before nothing is usual"
        found.append(said(month(300 + seed, 0.5), *before).severity is Severity.DRIFTED)
    # Where a report comes on any of twelve days, ten days more are seen in the classes, if at all.
    assert delivery == "any day" or sum(found) >= 6


def test_a_window_without_reports_is_nobodys_delay() -> None:
    nobody = reports(np.zeros(0), np.zeros(0), np.zeros(0))
    p, log_odds, days = world(1)
    whole = reports(p, drawn(log_odds, 1), days)
    for windows in ([nobody], [nobody, whole], [whole, nobody]):
        found = window_findings(windows[0], WINDOW, (0, 10), (10, 10), windows[1:])
        assert one(found, "labels_stragglers").severity is Severity.OK


@pytest.mark.parametrize(
    ("rate", "share", "windows"), [(0.22, 0.1, 1), (0.22, 0.3, 1), (0.03, 0.1, 4), (0.03, 0.3, 1), (0.005, 0.3, 7)]
)
@pytest.mark.parametrize("monthly", [False, True])
def test_defaults_that_come_a_month_late_are_found_however_few_they_are(
    rate: float, share: float, windows: int, monthly: bool
) -> None:
    """A tenth of them is 2% of a month's reports, or 0.3%: neither ranks nor the number of late ones tell."""

    def month(seed: int, late: float) -> Reports:
        rng = np.random.default_rng(seed)
        days = np.sort(rng.integers(0, 30, 2_000)).astype(float)
        bad = (rng.random(2_000) < rate).astype(float)
        delay = 35.0 - days if monthly else np.zeros(2_000)
        either = rng.random(2_000) < 0.005  # of both classes some are always a week behind
        held = (bad == 1.0) & (rng.random(2_000) < late)
        return reports(np.full(2_000, rate), bad, days, delay + np.where(held, 30.0, np.where(either, 7.0, 0.0)))

    counts = (2_000, 2_000), (12_000, 12_000)
    found = 0
    for seed in range(8):
        sound = [month(100 * seed + k, 0.0) for k in range(7)]
        assert one(window_findings(sound[0], WINDOW, *counts, sound[1:]), "labels_late").severity is Severity.OK
        faulty = [month(100 * seed + 50 + k, share) for k in range(windows)]
        late = one(window_findings(faulty[0], WINDOW, *counts, [*faulty[1:], *sound[:3]]), "labels_late")
        found += late.severity is Severity.DRIFTED
        assert late.severity is Severity.OK or "Defaults are reported later" in late.sentence
    assert found >= 7
