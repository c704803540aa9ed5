"""Files without names for their columns: customer and period are found by their values."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from riskloop.core.dates import parse_time
from riskloop.core.settings import parse_settings
from riskloop.data.candidates import ask_for_target
from riskloop.data.config import config_text
from riskloop.data.infer import Examined, Wanted, examine
from riskloop.data.read import read_rows

IDS: dict[str, Any] = {
    "twelve digits": lambda i: str(100_007_365_142 + 37 * i),
    "letters": lambda i: f"F{5 + i % 3:02d}Q1{i:07d}",
    "few digits": lambda i: str(10_000 + 3 * i),
    "of 17 digits": lambda i: str(10_000_000_000_007_365 + 37 * i),
}
PERIODS: dict[str, Any] = {
    "MMYYYY": lambda year, month: f"{month:02d}{year}",
    "YYYYMM": lambda year, month: f"{year}{month:02d}",
    "YYYY-MM": lambda year, month: f"{year}-{month:02d}",
    "YYYYMMDD": lambda year, month: f"{year}{month:02d}01",
    "number": lambda year, month: str(12 * (year - 2016) + month),
}


def panel(whose: str, when: str, seed: int, loans: int = 150) -> pd.DataFrame:
    """Loans by month as agencies publish them: an empty column, the loan, the month, what was agreed, what is owed."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(loans):
        first, score = int(rng.integers(0, 24)), int(rng.normal(720, 40))
        agreed = [round(rng.normal(5, 0.5), 3), score, rng.choice(["CA", "TX", "NY"]), f"{first % 12 + 1:02d}2015"]
        for age in range(int(rng.integers(3, 24))):
            month = PERIODS[when](2016 + (first + age) // 12, (first + age) % 12 + 1)
            late = int(rng.random() < 1 / (1 + np.exp(3.5 + 0.01 * (score - 720))))
            rows.append(["", IDS[whose](i), month, *agreed, 100_000 - 500 * age, age, late])
    return pd.DataFrame(rows)


def looked(frame: pd.DataFrame, path: Path, **named: Any) -> Examined:
    frame.to_csv(path, sep="|", header=False, index=False)
    return examine(path, Wanted(f"column_{frame.shape[1]}", **named))


@pytest.mark.parametrize("order", ["by loan", "by month", "mixed"])
@pytest.mark.parametrize("when", PERIODS)
@pytest.mark.parametrize("whose", IDS)
def test_customer_and_period_are_found_by_their_values(whose: str, when: str, order: str, tmp_path: Path) -> None:
    frame = panel(whose, when, seed=3)
    if order != "by loan":
        mixed = frame.sample(frac=1, random_state=1)
        frame = frame.iloc[np.argsort(frame[2].to_numpy(str), kind="stable")] if order == "by month" else mixed
    found = looked(frame, tmp_path / "p.txt")
    assert (found.name_of("unit"), found.name_of("time")) == ("column_2", "column_3")
    assert any("'column_2' is taken for the unit" in note and "--unit and --time" in note for note in found.notes)
    text = config_text(found, tmp_path)
    assert 'unit = "column_2"' in text
    assert 'time = "column_3"' in text


def test_a_period_that_a_person_names_finds_the_customer(tmp_path: Path) -> None:
    found = looked(panel("letters", "MMYYYY", seed=4), tmp_path / "p.txt", time="column_3")
    assert found.name_of("unit") == "column_2"


@pytest.mark.parametrize("seed", range(6))
def test_customers_who_come_once_are_no_panel(seed: int, tmp_path: Path) -> None:
    """Amounts that happen to repeat, on days that do not, say nothing about whose they are."""
    rng = np.random.default_rng(seed)
    n = 800
    days = np.datetime64("2022-01-01") + rng.integers(0, 700, n).astype("timedelta64[D]")
    frame = pd.DataFrame({
        0: rng.integers(10, 300, n) * 1000, 1: days.astype(str), 2: rng.choice(["A11", "A12", "A13"], n),
        3: rng.integers(18, 75, n), 4: rng.choice(["CA", "TX"], n), 5: (rng.random(n) < 0.1).astype(int),
    })  # fmt: skip
    found = looked(frame, tmp_path / "p.txt")
    assert found.name_of("unit") is None
    assert found.name_of("time") == "column_2"


@pytest.mark.parametrize("name", ["period", "report_month", "column_2", "Monthly Reporting Period"])
def test_months_before_their_year_are_dates_where_the_name_allows_it(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    months = [f"{m:02d}{y}" for y in (2021, 2022, 2023) for m in range(1, 13)]
    frame = pd.DataFrame({"loan_id": 1000 + rng.permutation(600), "x": rng.normal(size=600).round(3)})
    frame[name], frame["default"] = rng.choice(months, 600), (rng.random(600) < 0.2).astype(int)
    frame.to_csv(tmp_path / "h.csv", index=False)
    assert examine(tmp_path / "h.csv", Wanted("default")).name_of("time") == name


@pytest.mark.parametrize("name", ["period", "report_month", "column_2", "Monthly Reporting Period"])
@pytest.mark.parametrize("months", [range(1, 13), range(1, 10)])
def test_months_that_lost_their_zero_are_dates(name: str, months: range, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"loan_id": 1000 + rng.permutation(600), "x": rng.normal(size=600).round(3)})
    at = [(year, month) for year in (2021, 2022, 2023) for month in months]
    drawn = rng.integers(0, len(at), 600)
    frame[name] = [int(f"{at[i][1]}{at[i][0]}") for i in drawn]
    frame["default"] = (rng.random(600) < 0.2).astype(int)
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default"))
    assert found.name_of("time") == name
    settings = parse_settings(config_text(found))
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data)
    expected = [parse_time(f"{at[i][0]}-{at[i][1]:02d}-01") for i in drawn]
    assert rows.rows.times.tolist() == expected


@pytest.mark.parametrize("name", ["income", "amount", "balance"])
def test_amounts_that_look_like_such_months_stay_amounts(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"loan_id": 1000 + rng.permutation(600)})
    frame[name] = 10_000 * rng.integers(1, 10, 600) + rng.integers(1980, 2050, 600)
    frame["default"] = (rng.random(600) < 0.2).astype(int)
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default"))
    assert found.name_of("time") is None
    assert {c.name: (c.role, c.kind) for c in found.columns}[name] == ("input", "number")


def test_days_of_a_spreadsheet_are_no_months_that_lost_their_zero(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"loan_id": 1000 + rng.permutation(600), "date": 41_980 + rng.integers(0, 69, 600)})
    frame["x"], frame["default"] = rng.normal(size=600).round(3), (rng.random(600) < 0.2).astype(int)
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default", time="date"))
    assert any("--dates excel" in question for question in found.questions)
    assert found.dialect.dates == "excel"


def test_codes_that_look_like_months_stay_codes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"loan_id": 1000 + rng.permutation(600), "x": rng.normal(size=600).round(3)})
    frame["branch"] = rng.choice(["012016", "022017", "032019", "111999"], 600)
    frame["default"] = (rng.random(600) < 0.2).astype(int)
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default"))
    assert found.name_of("time") is None
    assert {c.name: c.kind for c in found.columns}["branch"] == "category"


def test_the_question_for_the_target_says_how_columns_without_names_are_called(tmp_path: Path) -> None:
    frame = panel("letters", "MMYYYY", seed=5)
    frame.to_csv(tmp_path / "p.txt", sep="|", header=False, index=False)
    said = ask_for_target(tmp_path / "p.txt", Wanted(""), "p.txt").message
    assert "no header line" in said
    assert "column_1 to column_10" in said


@pytest.mark.parametrize("name", ["account", "acct", "Konto", "loan", "contract", "loanAccount"])
@pytest.mark.parametrize("sorted_by", ["whose defaulted", "nobody"])
def test_an_account_that_is_only_called_so_is_whose_rows_a_panel_has(name: str, sorted_by: str, tmp_path: Path) -> None:
    """Also where its number tells the outcome, as in a file that has the defaulted ones last."""
    rng = np.random.default_rng(3)
    parts = []
    for loan in range(250):
        begun, months, bad = int(rng.integers(1, 40)), int(rng.integers(4, 12)), loan >= 190
        parts.append(pd.DataFrame({
            name: loan, "time": begun + np.arange(months), "orig_time": begun,
            "rate": rng.normal(6, 1, months).round(2), "default_time": [0] * (months - 3) + [int(bad)] * 3,
        }))  # fmt: skip
    frame = pd.concat(parts)
    order = np.arange(250) if sorted_by == "whose defaulted" else rng.permutation(250)
    frame[name] = order[frame[name]] + 1
    frame.sort_values([name, "time"]).to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default_time"))
    assert (found.name_of("unit"), found.name_of("time")) == (name, "time")
    assert any(f"'{name}'" in note and "the customer" in note for note in found.notes)


@pytest.mark.parametrize("name", ["loan", "account", "credit_loan"])
def test_an_amount_that_is_called_like_a_loan_stays_an_input(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    n = 900
    days = np.datetime64("2022-01-01") + rng.integers(0, 700, n).astype("timedelta64[D]")
    frame = pd.DataFrame({
        name: rng.integers(10, 300, n) * 100, "applied": days.astype(str), "rate": rng.normal(6, 1, n).round(2),
        "state": rng.choice(["CA", "TX", "NY"], n), "default": (rng.random(n) < 0.2).astype(int),
    })  # fmt: skip
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default"))
    assert found.name_of("unit") is None
    assert {c.name: c.role for c in found.columns}[name] == "input"
