from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from riskloop.core import stats
from riskloop.core.errors import DataError
from riskloop.core.manifest import TrainingRecord
from riskloop.core.sampling import drawn
from riskloop.core.settings import RetrainSettings
from riskloop.core.types import DecisionFrame, Ints, Rows, to_micros
from riskloop.retrain.dataset import (
    Pool,
    Weighting,
    choose,
    fingerprint,
    pool,
    thinned,
    training_set,
    unseen_by,
    unseen_sources,
    weightings,
)

START = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
DAY = timedelta(days=1) // timedelta(microseconds=1)
EXPANDING = RetrainSettings()


def _all(rows: Pool) -> Ints:
    return np.arange(len(rows), dtype=np.int64)


def test_only_matured_and_clean_decisions_come_in(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions, quarantined=[(10, 19), (95, 200)])
    logged = rows.sources[rows.sources > 0]
    assert set(logged.tolist()) == set(range(1, 81)) - set(range(10, 20))
    assert len(rows) == 200 + 70
    assert not np.isnan(rows.labels).any()


def test_history_without_times_is_older_than_every_decision(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    assert (rows.sources[:200] < 0).all()
    assert (np.diff(rows.rows.times) >= 0).all()
    assert rows.rows.times[199] < START == rows.rows.times[200]


def test_rows_keep_their_features_and_labels_when_sorted(history: Rows, decisions: DecisionFrame) -> None:
    later = replace(history, times=START + DAY * np.arange(200, dtype=np.int64)[::-1])
    rows = pool(later, decisions)
    for place in (0, 100, 279):
        source = int(rows.sources[place])
        if source > 0:
            expected = (decisions.features[source - 1], decisions.outcomes[source - 1])
        else:
            assert history.target is not None
            expected = (history.features[-1 - source], history.target[-1 - source])
        np.testing.assert_array_equal(rows.rows.features[place], expected[0])
        assert rows.labels[place] == expected[1]


def test_nothing_to_learn_from(history: Rows) -> None:
    with pytest.raises(DataError, match="neither history rows nor matured decisions"):
        pool(None, None)
    with pytest.raises(DataError, match="no target"):
        pool(replace(history, target=None), None)


def test_a_sliding_window_forgets(decisions: DecisionFrame) -> None:
    rows = pool(None, decisions)
    chosen = training_set(rows, _all(rows), RetrainSettings(window="sliding", length="30d"))
    assert len(chosen.rows) == 30
    assert chosen.weights is None
    assert chosen.rows.ids[0] == "c50"


def test_a_decayed_window_halves(decisions: DecisionFrame) -> None:
    rows = pool(None, decisions)
    weights = training_set(rows, _all(rows), RetrainSettings(window="decayed", half_life="10d")).weights
    assert weights is not None
    assert weights[-11] / weights[-1] == pytest.approx(0.5)
    assert weights.mean() == pytest.approx(1.0)


def test_recent_rows_carry_their_share(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    since = START + 40 * DAY
    defaults = rows.labels[rows.rows.times >= since].sum()
    weighting = Weighting("r", credibility=defaults / 4.0)
    chosen = training_set(rows, _all(rows), EXPANDING, weighting=weighting, since=since)
    assert chosen.weights is not None
    recent = chosen.rows.times >= since
    assert chosen.weights[recent].sum() / chosen.weights.sum() == pytest.approx(0.8)
    # Kish: 40 rows with 0.8 and 240 with 0.2 of all weight.
    assert chosen.effective_size == pytest.approx(1.0 / (0.8**2 / 40 + 0.2**2 / 240))


def test_new_rows_never_weigh_less_than_old_ones(history: Rows, decisions: DecisionFrame) -> None:
    """Credibility supposes a history that is known well; this one is as small as the new world."""
    rows = pool(history, decisions)
    weighting = Weighting("r", credibility=1e6)
    chosen = training_set(rows, _all(rows), EXPANDING, weighting=weighting, since=START + 40 * DAY)
    assert chosen.weights is None


def test_credibility_is_earned_by_outcomes_not_by_whom_they_stand_for(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    since = START + 40 * DAY
    recent = rows.rows.times >= since
    defaults = rows.labels[recent].sum()
    standing = replace(rows, stands_for=np.where(recent, 20.0, 1.0))
    half = float(defaults) / 9.0
    chosen = training_set(standing, _all(rows), EXPANDING, weighting=Weighting("r", credibility=half), since=since)
    assert chosen.weights is not None
    assert chosen.weights[chosen.rows.times >= since].sum() / chosen.weights.sum() == pytest.approx(0.9)


def test_recent_only_leaves_the_old_out(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    since = START + 40 * DAY
    chosen = training_set(rows, _all(rows), EXPANDING, weighting=Weighting("r", credibility=0.0), since=since)
    assert len(chosen.rows) == 40
    assert chosen.weights is None


def test_without_recent_rows_there_is_nothing_to_prefer(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    later = START + 1000 * DAY
    chosen = training_set(rows, _all(rows), EXPANDING, weighting=Weighting("r", credibility=0.0), since=later)
    assert len(chosen.rows) == 280


def test_density_ratios_are_capped(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    ratios = np.ones(280)
    ratios[7] = 1000.0
    weighting = Weighting("density_ratio", density=True)
    chosen = training_set(rows, _all(rows), EXPANDING, weighting=weighting, ratios=ratios)
    assert chosen.weights is not None
    assert chosen.weights[7] / chosen.weights[0] == pytest.approx(20.0)
    with pytest.raises(DataError, match="one ratio per row"):
        training_set(rows, _all(rows), EXPANDING, weighting=weighting)
    with pytest.raises(DataError, match="give one per row"):
        training_set(rows, _all(rows), EXPANDING, weighting=weighting, ratios=ratios[1:])


def test_one_class_cannot_be_learned_from(decisions: DecisionFrame) -> None:
    rows = pool(None, decisions)
    with pytest.raises(DataError, match="cannot be learned from"):
        training_set(rows, np.flatnonzero(rows.labels == 0.0), EXPANDING)


def test_the_candidates_follow_the_diagnosis() -> None:
    names = [w.name for w in weightings(EXPANDING, drifted=True, shifted=False)]
    assert names == ["credibility"]
    assert [w.name for w in weightings(EXPANDING, drifted=False, shifted=True)] == ["uniform", "density_ratio"]
    assert [w.name for w in weightings(EXPANDING, drifted=False, shifted=False)] == ["uniform"]
    only = RetrainSettings(weighting="density_ratio")
    assert [w.name for w in weightings(only, drifted=True, shifted=True)] == ["density_ratio"]


@pytest.mark.parametrize(("gain", "chosen"), [(0.0, "uniform"), (0.5, "density_ratio")])
def test_another_weighting_has_to_be_shown_to_be_better(gain: float, chosen: str) -> None:
    """Scores of 600 customers; a gain that may be luck is not enough."""
    rng = np.random.default_rng(11)
    labels = (rng.random(600) < 0.25).astype(np.float64)
    plain, own = labels + rng.normal(size=600), rng.normal(size=600)
    density = plain + gain * labels + 0.2 * own
    validation = [(Weighting("uniform"), plain), (Weighting("density_ratio", density=True), density)]
    assert stats.auc(labels, density) > stats.auc(labels, plain)
    assert choose(labels, validation).name == chosen
    assert choose(labels, validation[1:]).name == "density_ratio"
    with pytest.raises(DataError, match="Nothing was validated"):
        choose(labels, [])


def test_the_record_names_the_very_rows(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions, quarantined=[(10, 19)])
    index = np.delete(_all(rows), [5, 6, 250])
    made = training_set(rows, index, EXPANDING)
    record = msgspec.json.decode(msgspec.json.encode(made.record), type=TrainingRecord)
    np.testing.assert_array_equal(np.flatnonzero(~unseen_by(record, rows)), index)
    assert record.fingerprint == made.fingerprint == fingerprint(made.rows, None)
    assert (record.rows, record.explored) == (index.size, 0)


def test_explored_decisions_weigh_for_the_refused_ones(history: Rows, decisions: DecisionFrame) -> None:
    """Half of the first 80 decisions were declined, of which 4 are explored; the others have no outcome."""
    declined = np.arange(100) % 2 == 0
    explored = declined & (np.arange(100) % 20 == 0)
    known = ~np.isnan(decisions.outcomes) & (~declined | explored)
    frame = replace(
        decisions,
        outcomes=np.where(known, decisions.outcomes, np.nan),
        declined=declined,
        exploration=np.where(explored, 0.1, 0.0),
    )
    rows = pool(history, frame)
    chosen = training_set(rows, _all(rows), EXPANDING)
    assert chosen.weights is not None
    heavy = chosen.weights > chosen.weights.min()
    assert [name for name, big in zip(chosen.rows.ids, heavy, strict=True) if big] == ["c0", "c20", "c40", "c60"]
    assert chosen.weights.max() / chosen.weights.min() == pytest.approx(40 / 4)
    assert chosen.record.explored == 4
    assert chosen.effective_size < 200 + 40 + 4


@pytest.mark.parametrize("part", ["features", "target", "ids", "weights"])
def test_the_fingerprint_sees_every_part(part: str, history: Rows) -> None:
    weights = np.ones(200)
    before = fingerprint(history, weights)
    assert history.target is not None
    changed = {
        "features": replace(history, features=history.features + 1e-12),
        "target": replace(history, target=1.0 - history.target),
        "ids": replace(history, ids=["x", *history.ids[1:]]),
        "weights": history,
    }[part]
    assert fingerprint(changed, weights if part != "weights" else weights * 2) != before


def test_what_a_model_has_not_seen(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    assert unseen_by(None, rows).sum() == 80
    made = training_set(rows, _all(rows)[:230], EXPANDING)
    np.testing.assert_array_equal(np.flatnonzero(unseen_by(made.record, rows)), np.arange(230, 280))


def test_thinning_keeps_the_new_world_and_the_proportions(history: Rows, decisions: DecisionFrame) -> None:
    rows = pool(history, decisions)
    since = START + 40 * DAY
    index, stands_for = thinned(rows, _all(rows), 100, since=since, seed=3)
    recent = rows.rows.times[index] >= since
    assert index.size == 100
    assert recent.sum() == 40
    assert stands_for[recent].sum() == pytest.approx(40)
    assert stands_for[~recent].sum() == pytest.approx(240)
    np.testing.assert_array_equal(index, thinned(rows, _all(rows), 100, since=since, seed=3)[0])
    assert thinned(rows, index, 100, since=since, seed=3)[0] is index
    chosen = training_set(rows, index, EXPANDING, stands_for=stands_for)
    assert chosen.weights is not None
    assert chosen.weights[recent].sum() / chosen.weights.sum() == pytest.approx(40 / 280)


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_of_a_share_the_record_names_the_very_rows_in_as_few_runs(
    share: float, history: Rows, decisions: DecisionFrame
) -> None:
    """Whatever a share did not draw was not learned from, though it lies between what was."""
    kept = decisions.take(np.flatnonzero(drawn(decisions.ids, share)))
    rows = pool(history, kept, share=share)
    assert 0 < (rows.sources < 0).sum() < 200
    made = training_set(rows, _all(rows), EXPANDING)
    assert [len(runs) for runs in (made.record.decisions, made.record.history)] == [1, 1]
    assert f"a random {share:.2%} of all" in made.sentence
    whole = pool(history, decisions)
    np.testing.assert_array_equal(np.sort(whole.sources[~unseen_by(made.record, whole)]), np.sort(rows.sources))
    part = np.delete(_all(rows), [3, len(rows) - 5])
    fewer = training_set(rows, part, EXPANDING)
    np.testing.assert_array_equal(np.flatnonzero(~unseen_by(fewer.record, rows)), part)


def test_runs_that_overlap_or_touch_are_one_set() -> None:
    """Against brute force."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        firsts = rng.integers(0, 60, rng.integers(0, 8))
        ranges = [(int(first), int(first + width)) for first, width in zip(firsts, rng.integers(0, 9, 8), strict=False)]
        record = TrainingRecord(
            fingerprint="", rows=0, defaults=0, decisions=tuple(ranges), history=(), explored=0, weighting="",
            since=None, effective_size=0.0,
        )  # fmt: skip
        ids = np.arange(1, 75)
        inside = [any(first <= one <= last for first, last in ranges) for one in ids.tolist()]
        np.testing.assert_array_equal(unseen_sources(record, ids), ~np.array(inside))
