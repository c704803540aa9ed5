import os
from collections.abc import Callable
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.metrics import roc_auc_score

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.stats import fit_numeric_bins, psi
from riskloop.core.types import Diagnosis, Floats
from riskloop.simulation import (
    SCENARIOS,
    CustomerSource,
    Embedded,
    FrameSource,
    Month,
    Roles,
    Scenario,
    scenario_named,
    stream,
    true_auc,
)
from riskloop.simulation.embedded import FEATURES, month_starts, simulate
from riskloop.simulation.uci import load_uci

UCI = os.environ.get("RISKLOOP_UCI")
INPUTS = [name for name in FEATURES if name not in ("SEX", "MARRIAGE", "AGE")]
MONTHS = month_starts(date(2024, 11, 1), 5)
FAULTS = [name for name, scenario in SCENARIOS.items() if scenario.is_fault]
# What each fault may touch on the card portfolio; "rows" means which rows arrive.
TOUCHED = {
    "units_x100": {"LIMIT_BAL"},
    "sign_flip": {"BILL_AMT1"},
    "stuck_column": {"PAY_0"},
    "swapped_columns": {"LIMIT_BAL", "BILL_AMT1"},
    "nulls": {"PAY_0"},
    "recoded_categories": {"EDUCATION"},
    "duplicated_feed": {"rows"},
    "truncated_feed": {"rows"},
    "shifted_dates": {"application_date"},
    "wrong_customers": {"PAY_0"},
    "filled_zeros": {"LIMIT_BAL"},
    "part_in_hundredths": {"LIMIT_BAL"},
    "stale_history": {"PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5"},
    "other_currency": {"BILL_AMT1"},
}


@lru_cache(maxsize=1)
def labelled() -> pd.DataFrame:
    """A labelled frame as a lender would have it; the source does not know that it is simulated."""
    return simulate(month_starts(date(2020, 1, 1), 6), 5_000, seed=11).drop(columns="application_date")


SOURCES: dict[str, Callable[[], CustomerSource]] = {
    "embedded": Embedded,
    "frame": lambda: FrameSource(labelled(), skip=["ID"]),
}


@lru_cache(maxsize=1)
def champion() -> Callable[[pd.DataFrame], Floats]:
    """A model of the unchanged world."""
    history = simulate(month_starts(date(2019, 1, 1), 2), 6_000, seed=21)
    model = LGBMClassifier(num_leaves=8, n_estimators=120, learning_rate=0.1, verbose=-1, n_jobs=2, seed=0)
    model.fit(history[INPUTS], history["default"])
    return lambda frame: np.asarray(model.predict_proba(frame[INPUTS])[:, 1])


def played(name: str, source: str, per_month: int = 250, starts_at: int = 2, months: int = 5) -> list[Month]:
    calendar = month_starts(MONTHS[0], months)
    return list(stream(SCENARIOS[name], SOURCES[source](), calendar, per_month, seed=3, starts_at=starts_at))


def rows_of(months: list[Month]) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    return pd.concat([m.frame for m in months]), np.concatenate([m.target for m in months])


every_scenario = pytest.mark.parametrize("name", SCENARIOS)
every_fault = pytest.mark.parametrize("name", FAULTS)
every_source = pytest.mark.parametrize("source", SOURCES)


# --------------------------------------------------------------------------- conformance of every scenario


def test_the_registry_holds_what_was_promised() -> None:
    assert len(SCENARIOS) >= 17
    assert set(TOUCHED) == set(FAULTS)
    assert all(name == scenario.name and scenario.sentence.endswith(".") for name, scenario in SCENARIOS.items())
    of_feeds = {
        Diagnosis.LABEL_FAULT,
        Diagnosis.NOT_ENOUGH_DATA,
    }  # outcomes that come wrong or not: simulation/feeds.py
    assert {scenario.diagnosis for scenario in SCENARIOS.values()} == set(Diagnosis) - of_feeds


@every_source
@every_scenario
def test_the_same_arguments_give_the_same_stream(name: str, source: str) -> None:
    for one, other in zip(played(name, source), played(name, source), strict=True):
        pd.testing.assert_frame_equal(one.frame, other.frame)
        np.testing.assert_array_equal(one.target, other.target)


@every_source
@every_scenario
def test_months_have_the_sources_columns_and_no_truth_in_them(name: str, source: str) -> None:
    for month in played(name, source):
        assert list(month.frame.columns) == ["ID", *FEATURES, "application_date"]
        assert len(month.frame) == len(month.target)
        assert month.frame.index.equals(pd.RangeIndex(len(month.frame)))
        assert set(month.target) == {0, 1}
        assert (month.true_pd is None) == (source == "frame")
        assert month.true_pd is None or (len(month.true_pd) == len(month.target) and (month.true_pd < 1.0).all())


@every_source
@every_scenario
def test_before_it_starts_a_scenario_is_the_stable_one(name: str, source: str) -> None:
    for k, month in enumerate(played(name, source)):
        assert month.start == MONTHS[k]
        if k < 2:
            assert month.share == 0.0
            assert month.diagnosis is Diagnosis.STABLE
            if source == "embedded":
                expected = simulate([month.start], 250, seed=3)
                pd.testing.assert_frame_equal(month.frame.assign(default=month.target), expected)
        else:
            assert month.diagnosis is (SCENARIOS[name].diagnosis if month.share else Diagnosis.STABLE)
    assert any(month.share > 0.0 for month in played(name, source))


@every_scenario
def test_rows_and_labels_of_a_frame_come_from_the_frame(name: str) -> None:
    history = labelled().set_index("ID")
    for month in played(name, "frame"):
        source_rows = history.loc[month.frame["ID"]]
        touched = (TOUCHED.get(name, set()) if month.share else set()) | {"ID", "application_date"}
        same = [column for column in month.frame.columns if column not in touched]
        pd.testing.assert_frame_equal(month.frame[same], source_rows[same].reset_index(drop=True))
        labels = source_rows["default"].to_numpy()
        if name == "label_noise" and month.share:
            assert labels.sum() == month.target.sum()
            assert 0.05 < np.mean(labels != month.target) < 0.25
        else:
            np.testing.assert_array_equal(month.target, labels)


@every_source
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "duplicated_feed"])
def test_no_customer_comes_twice(name: str, source: str) -> None:
    assert rows_of(played(name, source))[0]["ID"].is_unique


@every_source
@every_fault
def test_a_fault_leaves_everything_else_as_it_was(name: str, source: str) -> None:
    touched = TOUCHED[name]
    for broken, whole in zip(played(name, source), played("stable", source), strict=True):
        if not broken.share:
            pd.testing.assert_frame_equal(broken.frame, whole.frame)
            continue
        if "rows" in touched:
            intact = whole.frame.assign(outcome=whole.target).set_index("ID").loc[broken.frame["ID"]].reset_index()
            np.testing.assert_array_equal(broken.target, intact["outcome"])
            pd.testing.assert_frame_equal(broken.frame, intact.drop(columns="outcome"))
            assert len(broken.frame) != len(whole.frame)
        else:
            np.testing.assert_array_equal(broken.target, whole.target)
            pd.testing.assert_frame_equal(
                broken.frame.drop(columns=list(touched)), whole.frame.drop(columns=list(touched))
            )
            assert all(not broken.frame[column].equals(whole.frame[column]) for column in touched)


# --------------------------------------------------------------------------- what each fault does


def faulty(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The damaged month and the same month undamaged."""
    return played(name, "embedded")[2].frame, played("stable", "embedded")[2].frame


def test_values_are_damaged_as_the_sentence_says() -> None:
    broken, whole = faulty("units_x100")
    assert broken["LIMIT_BAL"].equals(whole["LIMIT_BAL"] * 100)
    broken, whole = faulty("sign_flip")
    assert broken["BILL_AMT1"].equals(-whole["BILL_AMT1"])
    broken, whole = faulty("swapped_columns")
    assert broken["LIMIT_BAL"].equals(whole["BILL_AMT1"].rename("LIMIT_BAL"))
    assert broken["BILL_AMT1"].equals(whole["LIMIT_BAL"].rename("BILL_AMT1"))
    assert set(faulty("stuck_column")[0]["PAY_0"]) == {0}
    broken, whole = faulty("nulls")
    assert 0.3 < broken["PAY_0"].isna().mean() < 0.5
    assert (broken["PAY_0"].isna() | (broken["PAY_0"] == whole["PAY_0"])).all()


def test_a_part_of_the_rows_is_damaged_as_the_sentence_says() -> None:
    broken, whole = faulty("wrong_customers")
    assert sorted(broken["PAY_0"]) == sorted(whole["PAY_0"])
    assert 0.1 < (broken["PAY_0"] != whole["PAY_0"]).mean() < 0.5  # some strangers have the same value
    broken, whole = faulty("filled_zeros")
    filled = broken["LIMIT_BAL"] != whole["LIMIT_BAL"]
    assert 0.07 < filled.mean() < 0.25
    assert (broken["LIMIT_BAL"][filled] == 0).all()
    broken, whole = faulty("part_in_hundredths")
    other = broken["LIMIT_BAL"] != whole["LIMIT_BAL"]
    assert 0.04 < other.mean() < 0.18
    assert np.allclose(broken["LIMIT_BAL"][other] * 100, whole["LIMIT_BAL"][other])
    broken, whole = faulty("stale_history")
    assert broken["PAY_0"].tolist() == whole["PAY_2"].tolist()
    assert broken["PAY_5"].tolist() == whole["PAY_6"].tolist() == broken["PAY_6"].tolist()
    broken, whole = faulty("other_currency")
    assert np.allclose(broken["BILL_AMT1"], whole["BILL_AMT1"] * 1.36)


def test_recoding_is_one_to_one_and_stays_among_the_codes() -> None:
    broken, whole = faulty("recoded_categories")
    pairs = set(zip(whole["EDUCATION"], broken["EDUCATION"], strict=True))
    assert len(pairs) == whole["EDUCATION"].nunique() == broken["EDUCATION"].nunique()
    assert {(2, 1), (1, 3), (3, 2)} <= pairs


def test_rows_and_dates_are_damaged_as_the_sentence_says() -> None:
    broken, whole = faulty("duplicated_feed")
    assert broken["ID"].tolist() == np.repeat(whole["ID"], 2).tolist()
    broken, whole = faulty("truncated_feed")
    pd.testing.assert_frame_equal(broken, whole.iloc[:75])
    broken, whole = faulty("shifted_dates")
    gap = pd.to_datetime(whole["application_date"]) - pd.to_datetime(broken["application_date"])
    assert set(gap.dt.days) == {365}


# --------------------------------------------------------------------------- how large the changes are


def largest_psi(months: list[Month]) -> float:
    usual = simulate(month_starts(date(2018, 1, 1), 3), 3_000, seed=31)
    now, _ = rows_of(months)
    columns = [(usual[name].to_numpy(), now[name].to_numpy()) for name in INPUTS]
    columns.append((champion()(usual), champion()(now)))
    return max(psi((bins := fit_numeric_bins(then)).count(then), bins.count(new)) for then, new in columns)


@every_source
@pytest.mark.parametrize("name", ["stable", "seasonal_mix"])
def test_harmless_scenarios_stay_inside_the_band(name: str, source: str) -> None:
    december = [m for m in played(name, source, 1_000, 0, 2) if m.start.month == 12]
    assert december[0].share == 1.0
    assert largest_psi(december) < 0.1


@every_source
def test_small_windows_are_small(source: str) -> None:
    assert [len(m.frame) for m in played("small_windows", source)] == [250, 250, 100, 100, 100]


@every_source
@pytest.mark.parametrize("name", ["new_channel_sudden", "policy_change"])
def test_sudden_covariate_shifts_are_large(name: str, source: str) -> None:
    assert largest_psi(played(name, source, 1_000, 0, 2)) > 0.2


@every_source
@pytest.mark.parametrize(("name", "months"), [("new_channel_gradual", 7), ("ageing", 13)])
def test_gradual_covariate_shifts_grow_to_be_large(name: str, months: int, source: str) -> None:
    course = played(name, source, 600, 0, months)
    shares = [m.share for m in course]
    assert shares == sorted(shares)
    assert 0.0 < shares[0] < 0.2
    assert shares[-1] == 1.0
    assert largest_psi(course[:1]) < 0.1
    assert largest_psi(course[-2:]) > 0.2


@every_source
@pytest.mark.parametrize("name", ["recession", "recurring", "label_noise"])
def test_concept_changes_cost_the_old_model_its_ranking(name: str, source: str) -> None:
    aucs = {}
    for which in ("stable", name):
        frame, target = rows_of(played(which, source, 2_500, 0, 3))
        aucs[which] = roc_auc_score(target, champion()(frame))
    assert aucs[name] < aucs["stable"] - 0.05


def test_a_recession_can_be_learned_and_label_noise_cannot() -> None:
    best = {}
    for name in ("recession", "label_noise"):
        months = played(name, "embedded", 2_500, 0, 3)
        frame, _ = rows_of(months)
        true_pd = np.concatenate([m.true_pd for m in months if m.true_pd is not None])
        best[name] = true_auc(true_pd, true_pd) - true_auc(champion()(frame), true_pd)
    assert best["recession"] > 0.08
    assert best["label_noise"] < 0.03


def test_the_recurring_concept_comes_and_goes() -> None:
    assert [m.share for m in played("recurring", "embedded", 20, 1, 10)] == [0, 1, 1, 1, 0, 0, 0, 1, 1, 1]


@every_source
def test_a_prior_shift_moves_the_level_and_not_the_ranking(source: str) -> None:
    usual, shifted = (rows_of(played(name, source, 2_500, 0, 3)) for name in ("stable", "prior_shift"))
    assert shifted[1].mean() > 1.2 * usual[1].mean()
    before, after = (roc_auc_score(target, champion()(frame)) for frame, target in (usual, shifted))
    assert abs(before - after) < 0.025
    for outcome in (0, 1):  # P(x|y) is kept
        then, now = (frame["PAY_0"].to_numpy()[target == outcome] for frame, target in (usual, shifted))
        bins = fit_numeric_bins(then)
        assert psi(bins.count(then), bins.count(now)) < 0.02


@pytest.mark.parametrize("name", ["prior_shift", "recession", "new_channel_sudden", "label_noise", "stuck_column"])
def test_true_pds_stay_true(name: str) -> None:
    months = played(name, "embedded", 3_000, 0, 3)
    target = np.concatenate([m.target for m in months])
    true_pd = np.concatenate([m.true_pd for m in months if m.true_pd is not None])
    for fifth in np.array_split(np.argsort(true_pd), 5):
        expected = true_pd[fifth].mean()
        assert abs(target[fifth].mean() - expected) < 4.0 * np.sqrt(expected * (1 - expected) / len(fifth))


# --------------------------------------------------------------------------- sources


def lender() -> pd.DataFrame:
    """Rows under other names, with a text category, a missing amount and dates of their own."""
    rows = labelled()
    return pd.DataFrame(
        {
            "balance": rows["BILL_AMT1"].mask(rows["BILL_AMT1"] == 0),
            "line": rows["LIMIT_BAL"],
            "arrears": rows["PAY_0"],
            "years": rows["AGE"],
            "school": rows["EDUCATION"].map(lambda level: f"level {level}"),
            "asked_on": "1999-12-31",
            "bad": rows["default"],
        }
    )


@every_scenario
def test_any_labelled_frame_will_do(name: str) -> None:
    source = FrameSource(lender(), "bad", time="asked_on")
    assert source.roles.risk == "arrears"
    assert source.roles.category == "school"
    assert {source.roles.amount, source.roles.other} <= {"line", "balance", "years"}
    if name == "stale_history":
        with pytest.raises(DataError, match="no part of a series"):
            list(stream(SCENARIOS[name], source, MONTHS, 200, seed=1, starts_at=1))
        return
    for month in stream(SCENARIOS[name], source, MONTHS, 200, seed=1, starts_at=1):
        assert list(month.frame.columns) == ["balance", "line", "arrears", "years", "school", "asked_on"]
        if name != "shifted_dates":
            assert set(month.frame["asked_on"].str[:7]) == {month.start.isoformat()[:7]}


def test_a_risk_driver_may_run_the_other_way() -> None:
    upside_down = labelled().assign(PAY_0=-labelled()["PAY_0"])
    source = FrameSource(upside_down, skip=["ID"])
    channel = list(stream(SCENARIOS["new_channel_sudden"], source, MONTHS[:2], 1_000, seed=1, starts_at=1))
    assert channel[1].target.mean() > 1.25 * channel[0].target.mean()


def test_a_scenario_knows_when_it_starts() -> None:
    assert [m.share for m in stream(SCENARIOS["recession"], Embedded(), MONTHS, 10, seed=1)] == [0, 0, 0, 1, 1]


@every_source
def test_months_must_be_months(source: str) -> None:
    with pytest.raises(ConfigError, match="does not start on day 1"):
        list(stream(SCENARIOS["stable"], SOURCES[source](), [date(2024, 5, 2)], 10, seed=1))
    with pytest.raises(ConfigError, match="at least one row"):
        list(stream(SCENARIOS["stable"], SOURCES[source](), MONTHS, 0, seed=1))


@pytest.mark.skipif(UCI is None, reason="RISKLOOP_UCI does not name the UCI file")
def test_a_recession_of_real_rows() -> None:
    rows = load_uci(str(UCI)).sample(frac=1.0, random_state=0)
    model = LGBMClassifier(num_leaves=8, n_estimators=120, learning_rate=0.1, verbose=-1, n_jobs=2, seed=0)
    model.fit(rows[INPUTS][:15_000], rows["default"][:15_000])
    course = stream(SCENARIOS["recession"], FrameSource(rows[15_000:], skip=["ID"]), MONTHS[:2], 3_000, 1, starts_at=1)
    before, after = (roc_auc_score(m.target, model.predict_proba(m.frame[INPUTS])[:, 1]) for m in course)
    assert after < before - 0.05


def test_too_few_rows_are_said_before_anything_is_invented() -> None:
    few = FrameSource(labelled().iloc[:1_000])
    with pytest.raises(DataError, match=r"2025-01-01 .* needs 400 rows and the data has only 200"):
        list(stream(SCENARIOS["stable"], few, MONTHS, 400, seed=1))
    with pytest.raises(DataError, match="needs 400 rows"):
        list(stream(SCENARIOS["prior_shift"], few, MONTHS[:2], 400, seed=1, starts_at=0))


@pytest.mark.parametrize(
    ("frame", "target", "message"),
    [
        (pd.DataFrame({"x": [1.0]}), "bad", "no column 'bad'"),
        (pd.DataFrame({"x": [1.0, 2.0], "bad": [0, 2]}), "bad", "other than 0 and 1"),
        (pd.DataFrame({"x": [1.0, 2.0], "bad": [0, 1]}), "bad", "two numeric columns"),
        (pd.DataFrame({"x": range(50), "z": range(50), "bad": 0}), "bad", "one class"),
    ],
)
def test_unfit_frames_are_refused(frame: pd.DataFrame, target: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FrameSource(frame, target)


def test_unfit_roles_are_refused() -> None:
    with pytest.raises(DataError, match="no column nowhere"):
        FrameSource(labelled(), roles=Roles("nowhere", "AGE", "LIMIT_BAL", "BILL_AMT1", None))
    with pytest.raises(DataError, match="'school' has a role in the scenarios and must be numeric"):
        FrameSource(lender(), "bad", roles=Roles("school", "years", "line", "balance", None))
    source = FrameSource(labelled(), roles=Roles("PAY_0", "AGE", "LIMIT_BAL", "BILL_AMT1", None))
    with pytest.raises(DataError, match="few levels"):
        list(stream(SCENARIOS["recoded_categories"], source, MONTHS, 50, seed=1))


def test_scenarios_are_found_by_name() -> None:
    scenario: Scenario = scenario_named("recession")
    assert scenario is SCENARIOS["recession"]
    with pytest.raises(ConfigError, match="no scenario 'boom'; choose one of stable, "):
        scenario_named("boom")


# --------------------------------------------------------------------------- the true AUC


def brute_force(score: Floats, true_pd: Floats) -> float:
    won = pairs = 0.0
    for i in range(len(score)):
        for j in range(len(score)):
            if i != j:
                weight = true_pd[i] * (1.0 - true_pd[j])
                pairs += weight
                won += weight * (float(score[i] > score[j]) + 0.5 * float(score[i] == score[j]))
    return won / pairs


@pytest.mark.parametrize("levels", [1, 3, 1_000_000])
def test_true_auc_against_brute_force(levels: int) -> None:
    rng = np.random.default_rng(4)
    score, true_pd = rng.integers(0, levels, 40).astype(np.float64), rng.random(40)
    assert true_auc(score, true_pd) == pytest.approx(brute_force(score, true_pd), abs=1e-12)


def test_true_auc_of_certain_outcomes_is_the_auc() -> None:
    rng = np.random.default_rng(5)
    score, outcome = rng.integers(0, 5, 200).astype(np.float64), rng.integers(0, 2, 200).astype(np.float64)
    assert true_auc(score, outcome) == pytest.approx(roc_auc_score(outcome, score), abs=1e-12)


def test_true_auc_is_what_many_draws_of_the_outcomes_average_to() -> None:
    rng = np.random.default_rng(6)
    true_pd = rng.random(300) ** 2
    score = true_pd + 0.3 * rng.standard_normal(300)
    drawn = [roc_auc_score(rng.random(300) < true_pd, score) for _ in range(400)]
    assert true_auc(score, true_pd) == pytest.approx(np.mean(drawn), abs=0.005)


@pytest.mark.parametrize(
    ("score", "true_pd", "message"),
    [([1.0], [0.5], "can default"), ([1.0, 2.0], [0.0, 0.0], "can default"), ([1.0], [0.1, 0.2], "1 scores")],
)
def test_true_auc_needs_both_outcomes(score: list[float], true_pd: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        true_auc(np.array(score), np.array(true_pd))
