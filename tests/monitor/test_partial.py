"""Faults in a part of the rows: found whichever column has them, and in no window without."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Finding, Floats, Severity
from riskloop.monitor.faults import mechanical_findings
from riskloop.monitor.profile import Reference
from riskloop.simulation.embedded import World

from .conftest import SCHEMA, J, Month, built, month

ROWS = 2_000
AMOUNTS = [name for name in SCHEMA.names if "AMT" in name or name == "LIMIT_BAL"]
Break = Callable[[Month, str, np.random.Generator], Month]


def faults(window: Month) -> list[Finding]:
    profile = built().profile(window.features, window.scores, window.times)
    return [f for f in mechanical_findings(built(), profile) if f.severity is Severity.FAULT]


@lru_cache
def sound(seed: int) -> bool:
    """Whether a month in which nothing is broken has no fault."""
    return not faults(month(ROWS, seed))


def _mixed(window: Month, name: str, rng: np.random.Generator) -> Month:
    values, rows = window.column(name), np.flatnonzero(rng.random(ROWS) < 0.5)
    values[rows] = values[rng.permutation(rows)]
    return window.changed(**{name: values})


def _filled(window: Month, name: str, rng: np.random.Generator) -> Month:
    return window.changed(**{name: np.where(rng.random(ROWS) < 0.15, 0.0, window.column(name))})


def _divided(window: Month, name: str, rng: np.random.Generator) -> Month:
    return window.changed(**{name: window.column(name) / np.where(rng.random(ROWS) < 0.1, 100.0, 1.0)})


def _currency(window: Month, name: str, rng: np.random.Generator) -> Month:
    return window.changed(**{name: window.column(name) * 1.36})


def _rounded(window: Month, name: str, rng: np.random.Generator) -> Month:
    return window.changed(**{name: np.round(window.column(name) * 1.36)})


def _stale(window: Month, name: str, rng: np.random.Generator) -> Month:
    series = ["PAY_0", *(f"PAY_{k}" for k in range(2, 7))]
    return window.changed(**dict(zip(series[:-1], map(window.column, series[1:]), strict=True)))


def _old_bills(window: Month, name: str, rng: np.random.Generator) -> Month:
    series = [f"BILL_AMT{k}" for k in range(1, 7)]
    return window.changed(**dict(zip(series[:-1], map(window.column, series[1:]), strict=True)))


BROKEN: list[tuple[str, Break, str]] = [
    ("mixed", _mixed, "PAY_0"),
    ("mixed", _mixed, "PAY_3"),
    ("mixed", _mixed, "BILL_AMT2"),
    ("stuck", _filled, "LIMIT_BAL"),
    ("part_scale", _divided, "LIMIT_BAL"),
    ("part_scale", _divided, "BILL_AMT1"),
    ("part_scale", _divided, "BILL_AMT4"),
    ("granularity", _currency, "LIMIT_BAL"),
    ("factor", _currency, "BILL_AMT1"),
    ("factor", _rounded, "BILL_AMT3"),
    ("stale", _stale, "PAY_0"),
]


@pytest.mark.parametrize(("check", "broken", "name"), BROKEN, ids=[f"{row[0]}-{row[2]}" for row in BROKEN])
def test_a_part_that_is_broken_is_found_and_named(check: str, broken: Break, name: str) -> None:
    for seed in range(900, 904):
        rng = np.random.default_rng(seed)
        window = broken(month(ROWS, seed), name, rng)
        found = faults(window)
        assert (check, name) in {(f.check, f.subject) for f in found}
        assert {f.subject for f in found} == {name}


UNNAMED: list[tuple[Break, str]] = [
    (_filled, "BILL_AMT1"),
    (_filled, "BILL_AMT4"),
    (_filled, "PAY_AMT1"),
    (_filled, "PAY_AMT5"),
    (_old_bills, "BILL_AMT1"),
]


@pytest.mark.parametrize(("broken", "name"), UNNAMED)
def test_values_that_a_column_often_has_are_found_where_alike_rows_do_not_have_them(broken: Break, name: str) -> None:
    """0 is a common bill and a common payment, and a bill of last month looks like one of this month."""
    found = [faults(broken(month(ROWS, seed), name, np.random.default_rng(seed))) for seed in range(930, 936)]
    assert sum(bool(one) for one in found) >= 4, "in two windows nearly always"
    assert {f.check for one in found for f in one} <= {"implausible", "mixed", "copied"}
    assert all(sound(seed) for seed in range(930, 936))


@pytest.mark.parametrize(("level", "broken"), [(3.0, _divided), (2.0, _divided), (2.0, _filled)])
def test_the_segment_of_a_partial_fault_is_named(level: float, broken: Break) -> None:
    usual = month(ROWS, 940)
    j = list(SCHEMA.names).index("EDUCATION")
    there = usual.features[:, j] == level
    value = usual.column("LIMIT_BAL") / 100.0 if broken is _divided else 0.0
    (found,) = faults(usual.changed(LIMIT_BAL=np.where(there, value, usual.column("LIMIT_BAL"))))
    name = SCHEMA.features[j].text(level)
    assert found.details["where"] == f"EDUCATION = {name}"
    how = "all of them" if broken is _divided else "mostly"
    assert found.sentence.endswith(f"{how} where EDUCATION = {name}.")
    everywhere = broken(usual, "LIMIT_BAL", np.random.default_rng(1))
    assert "where" not in faults(everywhere)[0].details


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_the_share_and_the_factor_are_named(share: float) -> None:
    rng = np.random.default_rng(1)
    usual = month(ROWS, 905)
    cents = usual.column("LIMIT_BAL") * np.where(rng.random(ROWS) < share, 1000.0, 1.0)
    (found,) = faults(usual.changed(LIMIT_BAL=cents))
    assert found.details["factor"] == pytest.approx(1000.0)
    assert found.details["share"] == pytest.approx(share, abs=0.02)
    assert f"1000 times larger in about {found.details['share']:.0%} of the rows" in found.sentence


WORLDS = {
    "stable": World(),
    "channel": World(age=-4.0, limits=-0.5, distress=0.9),
    "half of it": World(age=-2.0, limits=-0.25, distress=0.45),
    "ageing": World(age=8.0, limits=0.7),
    "policy": World(approved=0.3, limits=0.3),
    "spending": World(spending=0.4),
}


@pytest.mark.parametrize("world", WORLDS)
def test_other_customers_are_no_fault(world: str) -> None:
    for seed in range(910, 918):
        assert faults(month(ROWS, seed, WORLDS[world])) == []


@pytest.mark.parametrize("factor", [1.36, 2.0, 3.0])
def test_inflation_is_no_fault(factor: float) -> None:
    """All amounts grow together; no column parts from its relatives."""
    for seed in range(920, 924):
        usual = month(ROWS, seed)
        grown: dict[str, Floats] = {name: usual.column(name) * factor for name in AMOUNTS}
        assert faults(usual.changed(**grown)) == []


UNITS = [
    ("LIMIT_BAL", 10.0, False),
    ("BILL_AMT1", 10.0, False),
    ("BILL_AMT4", 100.0, True),
    ("PAY_AMT1", 10.0, False),
    ("PAY_AMT1", 100.0, True),
    ("PAY_AMT4", 100.0, True),
    ("PAY_AMT6", 0.01, False),
]


@pytest.mark.parametrize(("name", "unit", "rounded"), UNITS)
def test_another_unit_in_a_tenth_of_the_rows_is_found_in_columns_as_wide_as_the_unit(
    name: str, unit: float, rounded: bool
) -> None:
    """Also rounded, which leaves no trace in the digits: then only alike rows tell."""
    for seed in range(950, 953):
        usual = month(ROWS, seed)
        values = usual.column(name)
        there = np.random.default_rng(seed).random(ROWS) < 0.1
        parted: Floats = np.where(there, values / unit, values)
        parted = np.round(parted).astype(np.float64) if rounded else parted
        (found,) = faults(usual.changed(**{name: parted}))
        assert (found.check, found.subject) == ("part_scale", name)
        assert found.details["factor"] == pytest.approx(1.0 / unit)
        assert found.details["share"] == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize("name", AMOUNTS)
def test_a_source_that_delivers_another_unit_is_named(name: str) -> None:
    """Whatever the column, however few rows the source has: all of them are wrong, and no others."""
    usual = month(ROWS, 955)
    j = list(SCHEMA.names).index("EDUCATION")
    there = usual.features[:, j] == 3.0
    for factor in (10.0, 0.001):
        values = np.where(there, usual.column(name) * factor, usual.column(name))
        found = {f.subject: f for f in faults(usual.changed(**{name: values}))}
        assert set(found) == {name}
        assert found[name].details["where"] == f"EDUCATION = {SCHEMA.features[j].text(3.0)}"
        assert found[name].details["share"] == pytest.approx(there.mean())


def test_a_source_that_delivers_all_its_amounts_in_cents_is_named_with_each() -> None:
    usual = month(ROWS, 956)
    there = usual.column("EDUCATION") == 2.0
    found = faults(
        usual.changed(**{name: np.where(there, usual.column(name) * 100.0, usual.column(name)) for name in AMOUNTS})
    )
    assert {f.subject for f in found} == set(AMOUNTS)
    assert {f.details["where"] for f in found} == {f"EDUCATION = {SCHEMA.features[J['EDUCATION']].text(2.0)}"}


def test_a_source_that_is_new_and_in_another_unit_is_named() -> None:
    """A level that nobody has seen is missing to the model."""
    usual = month(ROWS, 957)
    there = usual.column("EDUCATION") == 2.0
    new = usual.changed(EDUCATION=np.where(there, np.nan, usual.column("EDUCATION")))
    in_cents = new.changed(BILL_AMT2=np.where(there, new.column("BILL_AMT2") * 100.0, new.column("BILL_AMT2")))
    assert "EDUCATION is missing or new" in {f.details.get("where") for f in faults(in_cents)}


def test_finer_amounts_are_no_fault() -> None:
    """A source that reports cents of the same money: its digits differ, its amounts do not."""
    for seed in range(958, 961):
        usual = month(ROWS, seed)
        for name in ("BILL_AMT1", "PAY_AMT1"):
            there = np.random.default_rng(seed).random(ROWS) < 0.3
            cents = usual.column(name) + np.where(there & (usual.column(name) > 1.0), 0.37, 0.0)
            assert faults(usual.changed(**{name: cents})) == []


def test_richer_customers_of_one_level_are_no_other_unit() -> None:
    for factor in (1.5, 3.0, 5.0):
        usual = month(ROWS, 961)
        there = usual.column("EDUCATION") == 3.0
        grown = {name: np.where(there, usual.column(name) * factor, usual.column(name)) for name in AMOUNTS}
        assert not [f for f in faults(usual.changed(**grown)) if "where" in f.details]


def test_a_zero_is_blamed_on_its_own_column() -> None:
    """Beside a bill of 0 its payment looks too large, and so does the delay."""
    for seed in range(962, 965):
        for name in ("BILL_AMT3", "BILL_AMT6", "PAY_AMT6"):
            found = faults(_filled(month(ROWS, seed), name, np.random.default_rng(seed)))
            assert {f.subject for f in found} <= {name}


# --------------------------------------------------------------------------- a book of other columns


def _firms(rows: int, seed: int) -> dict[str, Floats]:
    """Firms: amounts that hang together, heads that are no money, and months in arrears that have settled down."""
    rng = np.random.default_rng(seed)
    size, health = rng.standard_normal((2, rows))
    found = {f"turnover_{k}": np.round(np.exp(13 + 1.1 * size + 0.18 * rng.standard_normal(rows))) for k in range(4)}
    found["staff"] = np.maximum(1.0, np.round(np.exp(2.0 + 1.1 * size + 0.35 * rng.standard_normal(rows))))
    found["assets"] = np.round(np.exp(12.7 + size + 0.5 * rng.standard_normal(rows)))
    found["cash"] = np.round(found["assets"] * np.exp(-2.2 - 0.5 * health + 0.5 * rng.standard_normal(rows)))
    months = np.zeros((rows, 6))
    level = (rng.random(rows) < 0.2).astype(np.float64)
    for k in range(60):
        rises, falls = rng.random((2, rows)) < np.array([[0.12], [0.4]])
        level = np.clip(level + rises - falls * rng.integers(1, 3, rows), 0.0, 8.0)
        months[:, (59 - k) % 6] = level
    return found | {f"arrears_m{k + 1}": months[:, k] for k in range(6)}


FIRMS = Schema(tuple(Feature(name) for name in _firms(10, 0)), target="bad")


@lru_cache
def _firm_reference() -> Reference:
    columns = np.column_stack(list(_firms(6_000, 1).values()))
    return Reference.build(FIRMS, columns, np.random.default_rng(0).random(len(columns)))


def _firm_faults(columns: dict[str, Floats]) -> list[Finding]:
    features = np.column_stack(list(columns.values()))
    window = _firm_reference().profile(features, np.random.default_rng(1).random(len(features)))
    return [f for f in mechanical_findings(_firm_reference(), window) if f.severity is Severity.FAULT]


@pytest.mark.parametrize("factor", [0.7, 1.2, 1.36, 1.5, 2.0, 3.0])
def test_what_is_no_money_does_not_break_when_all_amounts_grow(factor: float) -> None:
    for seed in range(10, 14):
        columns = _firms(ROWS, seed)
        grown = {name: np.round(factor * v) if not name.startswith(("staff", "arrears")) else v
                 for name, v in columns.items()}  # fmt: skip
        assert not _firm_faults(grown), seed


@pytest.mark.parametrize("name", ["turnover_0", "turnover_2", "assets", "cash"])
def test_one_amount_in_another_currency_is_named_in_such_a_book(name: str) -> None:
    for seed in range(10, 14):
        columns = _firms(ROWS, seed)
        (fault,) = _firm_faults(columns | {name: np.round(1.36 * columns[name])})
        assert fault.subject == name


@pytest.mark.parametrize("columns", [("arrears_m5", "arrears_m6"), ("arrears_m1", "arrears_m2"), ("cash", "assets")])
def test_a_column_that_holds_another_ones_values_is_found(columns: tuple[str, str]) -> None:
    to, of = columns
    for seed in range(10, 14):
        sound = _firms(ROWS, seed)
        assert not _firm_faults(sound)
        assert to in {fault.subject for fault in _firm_faults(sound | {to: sound[of]})}


def test_a_series_that_is_one_month_old_is_found_though_its_months_are_alike() -> None:
    for seed in range(10, 14):
        columns = _firms(ROWS, seed)
        old = {f"arrears_m{k}": columns[f"arrears_m{k + 1}"] for k in range(1, 6)}
        (fault,) = _firm_faults(columns | old)
        assert "arrears_m5 and arrears_m6 are equal in 100% of the rows" in fault.sentence


def test_firms_that_are_never_in_arrears_are_no_copy() -> None:
    columns = _firms(8 * ROWS, 20)
    calm = sum(columns[f"arrears_m{k}"] for k in range(1, 7)) == 0.0
    assert not [f for f in _firm_faults({name: v[calm][:ROWS] for name, v in columns.items()}) if f.check == "copied"]


@pytest.mark.parametrize("rows", [400, 800])
def test_a_small_reference_makes_no_fault_of_a_level_that_pays_in_full(rows: int) -> None:
    """A champion of few customers: most who pay in full have no bill, so that their amounts are few."""
    for seed in range(3):
        known = month(rows, 700 + seed)
        reference = Reference.build(SCHEMA, known.features, known.scores)
        window = month(1000, 900 + seed)
        profile = reference.profile(window.features, window.scores, window.times)
        assert [f for f in mechanical_findings(reference, profile) if f.severity is Severity.FAULT] == []
