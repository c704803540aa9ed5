import numpy as np
import pytest

from riskloop.monitor.impact import impact_findings


def test_features_are_ranked_by_what_they_do_and_add_up() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(4_000, 4)), rng.normal(size=(3_000, 4))
    before[:, -1] = after[:, -1] = -1.0  # the base value
    after[:, 1] += 0.8
    after[:, 2] -= 0.2
    p, q = (1.0 / (1.0 + np.exp(-c.sum(axis=1))) for c in (before, after))
    found = impact_findings(("a", "b", "c"), before, after, p, q, threshold=0.4)
    assert [f.subject for f in found][:2] == ["b", "c"]
    *parts, whole = found
    assert whole.subject == "score"
    deltas = [f.statistic for f in parts if f.statistic is not None]
    assert sum(deltas) == pytest.approx(whole.statistic, abs=1e-12)
    assert whole.details["mean_pd"] == pytest.approx(q.mean() - p.mean(), abs=1e-12)
    assert whole.details["approval_rate"] == pytest.approx((q < 0.4).mean() - (p < 0.4).mean(), abs=1e-12)
    for measure in ("mean_pd", "approval_rate"):
        assert sum(f.details[measure] for f in parts) == pytest.approx(whole.details[measure], abs=1e-12)


def test_nothing_to_compare_and_nothing_changed() -> None:
    rows = np.ones((5, 3))
    assert impact_findings(("a", "b"), rows, rows[:0], np.ones(5), np.ones(0), 0.5) == []
    found = impact_findings(("a", "b"), rows, rows, np.full(5, 0.2), np.full(5, 0.2), 0.5)
    assert all(f.details["mean_pd"] == 0.0 for f in found)
