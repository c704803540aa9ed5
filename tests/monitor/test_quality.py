"""Each fault is found and named, and what populations do by themselves is not called a fault."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from riskloop.core.settings import DriftSettings
from riskloop.core.types import DAY, Finding, Severity
from riskloop.monitor.drift import profile_findings
from riskloop.monitor.faults import DETACHED_ERRORS
from riskloop.monitor.profile import Profile, Reference
from riskloop.monitor.quality import quality_findings
from riskloop.monitor.structure import Structure, ranks_of
from riskloop.simulation.embedded import World

from .conftest import J, Month, built, month

PERIOD = (datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC))


def profile(window: Month) -> Profile:
    return built().profile(window.features, window.scores, window.times)


def check(window: Month, *previous: Month, **options: object) -> list[Finding]:
    settings: Any = {"min_rows": 100, "period": PERIOD, **options}
    return quality_findings(built(), profile(window), previous=[profile(p) for p in previous], **settings)


def faults(found: list[Finding]) -> set[tuple[str, str]]:
    return {(f.check, f.subject) for f in found if f.severity is Severity.FAULT}


def sentence(found: list[Finding], name: str) -> str:
    return next(f.sentence for f in found if f.check == name and f.severity is Severity.FAULT)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rows", [120, 500, 2_000, 10_000])
def test_sound_windows_have_no_faults(rows: int, seed: int) -> None:
    assert faults(check(month(rows, 100 + seed), month(rows, 200 + seed))) == set()


@pytest.mark.parametrize(
    "world",
    [
        World(age=-4.0, limits=-0.5, distress=0.9),
        World(age=8.0, limits=0.7),
        World(approved=0.3, limits=0.3),
        World(spending=0.7),  # all amounts double: inflation, not a change of units
        World(delay=0.45, capacity=0.3, leverage=2.2, base=0.35),
    ],
)
@pytest.mark.parametrize("rows", [500, 2_000, 10_000])
def test_other_populations_are_no_faults(world: World, rows: int) -> None:
    assert faults(check(month(rows, 31, world), month(rows, 32))) == set()


# --------------------------------------------------------------------------- columns


@pytest.mark.parametrize("rows", [500, 2_000])
@pytest.mark.parametrize("factor", [100.0, 0.001, 1 / 12, 3.2])
@pytest.mark.parametrize("name", ["LIMIT_BAL", "BILL_AMT3"])
def test_another_unit(name: str, factor: float, rows: int) -> None:
    window = month(rows, 41)
    found = check(window.changed(**{name: window.column(name) * factor}))
    # An amount that others move with may also have grown; a factor that is no unit's is not called one then.
    assert {subject for _, subject in faults(found)} <= {name}
    if factor != 3.2 or name == "LIMIT_BAL":
        (scale,) = [f for f in found if f.check == "scale"]
        assert scale.details["factor"] == pytest.approx(factor, rel=0.15 if factor == 3.2 else 1e-9)
        way = "larger" if factor > 1 else "smaller"
        assert scale.sentence.startswith(f"{name} is ")
        assert scale.sentence.endswith(f" times {way} in all rows.")


def test_the_opposite_sign() -> None:
    window = month(500, 42)
    found = check(window.changed(BILL_AMT1=-window.column("BILL_AMT1")))
    assert faults(found) == {("sign", "BILL_AMT1")}


def test_columns_in_each_others_place_though_they_look_alike() -> None:
    window = month(2_000, 43)
    assert {("swapped", "LIMIT_BAL"), ("swapped", "BILL_AMT1")} <= faults(
        check(window.changed(LIMIT_BAL=window.column("BILL_AMT1"), BILL_AMT1=window.column("LIMIT_BAL")))
    )
    alike = window.changed(PAY_AMT1=window.column("PAY_AMT4"), PAY_AMT4=window.column("PAY_AMT1"))
    assert faults(check(alike)) == {("swapped", "PAY_AMT1"), ("swapped", "PAY_AMT4")}


def test_a_column_with_other_customers_rows() -> None:
    window = month(2_000, 44)
    shuffled = np.random.default_rng(0).permutation(window.column("BILL_AMT2"))
    found = check(window.changed(BILL_AMT2=shuffled))
    assert faults(found) == {("detached", "BILL_AMT2")}


def test_a_column_without_correlations_has_none_to_lose() -> None:
    """SEX hangs together with nothing here, so what its correlations do is noise."""
    structure = built().structure
    for seed in range(20):
        window = Structure.of(ranks_of(month(500, 400 + seed).features))
        _, errors = structure.kept(window)
        assert errors[J["SEX"]] < DETACHED_ERRORS / 2
        assert structure.kept(structure)[0] == pytest.approx(1.0)


def test_stuck_and_capped_columns() -> None:
    window = month(500, 45)
    found = check(window.changed(PAY_0=np.zeros(500)))
    assert faults(found) == {("stuck", "PAY_0")}
    assert sentence(found, "stuck").startswith("PAY_0 is 0 in every row")
    capped = np.minimum(window.column("LIMIT_BAL"), 93_333.0)
    # The cap is no multiple of 10,000 as the history's limits are, which tells more than that many rows share a value.
    assert {subject for _, subject in faults(check(window.changed(LIMIT_BAL=capped)))} == {"LIMIT_BAL"}


def test_customers_of_one_kind_are_a_selection_and_no_stuck_column() -> None:
    window = month(4_000, 46)
    on_time = window.take(np.flatnonzero(window.column("PAY_0") <= -1.0))
    assert ("stuck", "PAY_0") not in faults(check(on_time))
    all_minus_one = window.take(np.flatnonzero(window.column("PAY_0") == -1.0))
    assert ("stuck", "PAY_0") not in faults(check(all_minus_one))


def test_recoded_levels_are_told_from_other_shares() -> None:
    window = month(2_000, 47)
    code = window.column("EDUCATION")
    rotated = np.select([code == 1, code == 2, code == 3], [2.0, 3.0, 1.0], code)
    found = check(window.changed(EDUCATION=rotated))
    assert faults(found) == {("recoded", "EDUCATION")}
    assert "1 arrives as 2" in sentence(found, "recoded")
    swapped = window.changed(SEX=1.0 - window.column("SEX"))
    assert faults(check(swapped)) <= {("recoded", "SEX")}
    more_women = window.take(np.flatnonzero((window.column("SEX") == 1) | (np.arange(2_000) % 4 == 0)))
    assert faults(check(more_women)) == set()


@pytest.mark.parametrize("rows", [200, 2_000])
def test_missing_values_and_unseen_levels(rows: int) -> None:
    window = month(rows, 48)
    some = np.arange(rows) % 5 == 0
    found = check(
        window.changed(
            PAY_AMT1=np.where(some, np.nan, window.column("PAY_AMT1")),
            EDUCATION=np.where(some, 7.0, window.column("EDUCATION")),
        )
    )
    assert {("missing_rate", "PAY_AMT1"), ("unseen", "EDUCATION")} <= faults(found)
    assert sentence(found, "missing_rate") == "20.0% of the values of PAY_AMT1 are missing; in the history 0.0%."
    few = np.arange(rows) < rows // 100
    assert faults(check(window.changed(PAY_AMT1=np.where(few, np.nan, window.column("PAY_AMT1"))))) == set()


def test_values_that_no_customer_can_have() -> None:
    window = month(500, 49)
    wild = np.where(np.arange(500) % 10 == 0, 1e9, window.column("BILL_AMT1"))
    assert ("out_of_range", "BILL_AMT1") in faults(check(window.changed(BILL_AMT1=wild)))


# --------------------------------------------------------------------------- rows and requests


def test_rows_that_come_twice_and_rows_that_come_again() -> None:
    window = month(500, 50)
    twice = window.take(np.repeat(np.arange(500), 2))
    assert ("duplicates", "window") in faults(check(twice))
    large = month(9_000, 50)  # more than the sample holds
    assert ("duplicates", "window") in faults(check(large.take(np.repeat(np.arange(9_000), 2))))
    assert ("repeated", "window") in faults(check(window, month(500, 51), window))
    assert ("repeated", "window") not in faults(check(window, window, month(500, 51)))


@pytest.mark.parametrize("share", [0.2, 0.3, 0.6])
def test_an_old_file_has_rows_for_the_days_that_it_covers(share: float) -> None:
    window, usual = month(1_000, 52), [month(1_000, 60 + k) for k in range(3)]
    part, days = window.take(np.arange(round(1_000 * share))), PERIOD[1] - PERIOD[0]
    covered = PERIOD[0], PERIOD[0] + timedelta(days=math.ceil(share * days.days))
    assert faults(check(part, *usual))
    assert faults(check(part, *usual, covered=covered)) == set()
    assert ("volume", "window") in faults(check(part.take(np.arange(0, len(part.times), 4)), *usual, covered=covered))


def test_a_feed_that_is_cut_off() -> None:
    window, usual = month(1_000, 52), [month(1_000, 60 + k) for k in range(3)]
    cut = window.take(np.arange(300))
    assert faults(check(cut, *usual)) == {("volume", "window"), ("coverage", "window")}
    assert ("volume", "window") in faults(check(window.take(np.empty(0, dtype=np.int64)), *usual))
    assert faults(check(window.take(np.arange(0, 1_000, 2)), *usual)) == set()  # half is a bad month


def test_dates_that_are_not_the_windows() -> None:
    window = month(500, 53)
    year_back = Month(window.features, window.scores, window.outcomes, window.times - 365 * DAY)
    assert ("dates", "window") in faults(check(year_back))
    assert ("dates", "window") in faults(check(year_back, month(500, 54), period=None))
    # Rows with old dates never reach their window; it is told how many came.
    empty = window.take(np.empty(0, dtype=np.int64))
    assert ("dates", "window") in faults(check(empty, late=500))
    assert ("dates", "window") in faults(check(window, late=100))
    assert ("dates", "window") not in faults(check(window, late=4))


def test_requests_that_were_refused() -> None:
    refusals = {("PAY_0", "missing"): 300, ("AGE", "range"): 5}
    found = check(month(500, 55), refusals=refusals)
    assert faults(found) == {("contract", "window")}
    assert "305 of 805 requests were refused: PAY_0 missing (300), AGE range (5)" in sentence(found, "contract")
    assert faults(check(month(500, 55), refusals={("AGE", "range"): 5})) == set()


# --------------------------------------------------------------------------- what must never raise


def test_odd_columns_give_findings_and_stop_no_other_column() -> None:
    window = month(500, 56)
    wild = window.column("BILL_AMT4")
    wild[7] = 1e12
    odd = window.changed(
        PAY_AMT1=np.full(500, np.nan),
        PAY_AMT2=np.zeros(500),
        PAY_AMT3=np.full(500, np.inf),
        BILL_AMT4=wild,
        BILL_AMT6=window.column("BILL_AMT6") * 100.0,
        EDUCATION=np.full(500, 7.0),
    )
    found = check(odd)
    assert {
        ("missing_rate", "PAY_AMT1"),
        ("stuck", "PAY_AMT2"),
        ("unseen", "EDUCATION"),
        ("scale", "BILL_AMT6"),
    } <= faults(found)
    assert not {check for check, subject in faults(found) if subject == "BILL_AMT4"}
    assert all(f.sentence and f.statistic == f.statistic for f in found)


@pytest.mark.parametrize("rows", [0, 1, 2, 49, 51])
def test_tiny_windows_are_said_to_be_tiny(rows: int) -> None:
    window = month(60, 57).take(np.arange(rows))
    found = check(window)
    assert next(f for f in found if f.check == "rows").severity is Severity.UNKNOWN
    assert {check for check, _ in faults(found)} <= {"coverage"}


def test_a_history_with_odd_columns_can_be_compared_with() -> None:

    past = month(2_000, 58).changed(PAY_AMT1=np.full(2_000, np.nan), PAY_AMT2=np.zeros(2_000))
    reference = Reference.build(built().schema, past.features, past.scores)
    window = month(500, 59)
    profile = reference.profile(window.features, window.scores, window.times)
    found = quality_findings(reference, profile, min_rows=100) + profile_findings(reference, profile, DriftSettings())
    moved = {f.subject for f in found if f.check == "psi" and f.severity is Severity.SEVERE}
    assert {"PAY_AMT1", "PAY_AMT2"} <= moved
    assert all(f.statistic is None or f.statistic == f.statistic for f in found)
