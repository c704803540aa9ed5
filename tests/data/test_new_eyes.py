"""What a new analyst saw `init` say of exports that nobody had tried: each kind in several instances."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import ID, TARGET, TIME, history

from riskloop.core.values import parse_number
from riskloop.data.config import config_text
from riskloop.data.infer import Examined, Guessed, Wanted, examine

ROWS = 800
FRAME = history(ROWS, seed=5)
Y = FRAME[TARGET].to_numpy()
WHEN = pd.to_datetime(FRAME[TIME])
RNG = np.random.default_rng(12)


def looked(folder: Path, frame: pd.DataFrame = FRAME, **columns: Any) -> Examined:
    frame.assign(**columns).to_csv(folder / "h.csv", index=False)
    return examine(folder / "h.csv", Wanted(TARGET))


def column(found: Examined, name: str) -> Guessed:
    return next(c for c in found.columns if c.name == name)


# --------------------------------------------------------------------------- dates


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%b-%Y", "%d%b%Y", "%d %b %Y", "%Y-%m-%d", "%d-%b-%y"])
def test_a_column_of_dates_shows_its_first_and_its_last(form: str, tmp_path: Path) -> None:
    found = column(looked(tmp_path, applied=WHEN.dt.strftime(form)), "applied")
    assert found.role == "time"
    assert found.values == f"{WHEN.min().strftime(form)} … {WHEN.max().strftime(form)}"


@pytest.mark.parametrize(
    ("time", "birth"),
    [
        ("Data da Concessão", "Data de Nascimento"),
        ("Datum der Zusage", "Geburtsdatum"),
        ("Fecha", "Fecha de nacimiento"),
        ("Data zawarcia", "Data urodzenia"),
        ("Erogazione", "Data di nascita"),
    ],
)
def test_a_birthday_beside_the_date_of_the_decision_is_not_the_decision(time: str, birth: str, tmp_path: Path) -> None:
    born = (WHEN - pd.to_timedelta(RNG.integers(7000, 20000, ROWS), unit="D")).dt.strftime("%Y-%m-%d")
    frame = FRAME.rename(columns={TIME: time})
    frame.insert(1, birth, born)
    found = looked(tmp_path, frame)
    assert found.name_of("time") == time
    assert column(found, birth).role in ("ignored", "protected")


@pytest.mark.parametrize(("share", "short"), [(0.2, True), (0.4, True), (1.0, False)])
def test_a_window_longer_than_the_history_is_said_to_be(share: float, short: bool, tmp_path: Path) -> None:
    spans = (WHEN.max() - WHEN.min()).days
    squeezed = WHEN.min() + pd.to_timedelta(((WHEN - WHEN.min()).dt.days * share).round(), unit="D")
    notes = " ".join(looked(tmp_path, applied=squeezed.dt.strftime("%Y-%m-%d")).notes)
    assert (f"span {spans * share:.0f} days only" in notes) is short


# --------------------------------------------------------------------------- columns that are the date again

YEARS = (WHEN - pd.Timestamp("2020-01-01")).dt.days / 365.25
CLOCKS: dict[str, Any] = {
    "months on book at the export": ((pd.Timestamp("2025-06-30") - WHEN).dt.days / 30.4).round(),
    "age of the loan in days": (pd.Timestamp("2025-06-30") - WHEN).dt.days,
    "fiscal year": (WHEN + pd.DateOffset(months=3)).dt.year,
    "year_month": WHEN.dt.year * 12 + WHEN.dt.month,
    "days since a date": YEARS * 365.25 + 4000.5,
}


@pytest.mark.parametrize("name", CLOCKS)
def test_a_column_that_only_says_when_is_no_input(name: str, tmp_path: Path) -> None:
    found = column(looked(tmp_path, **{name: CLOCKS[name]}), name)
    assert found.role == "ignored"
    assert "when the decision was" in found.why


HONEST: dict[str, tuple[Any, str]] = {
    "price_index": ((WHEN.dt.year - 2022) * 12 + WHEN.dt.month + 100.0, "context"),
    "months_on_book": (YEARS * 12 + RNG.integers(0, 24, ROWS), "input"),
    "income_growing": (2000 * (1 + 0.1 * YEARS) * RNG.lognormal(0, 0.3, ROWS), "input"),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_grows_with_time_and_says_more_stays(name: str, tmp_path: Path) -> None:
    values, role = HONEST[name]
    assert column(looked(tmp_path, **{name: values.round(2)}), name).role == role


# --------------------------------------------------------------------------- special codes


@pytest.mark.parametrize("codes", [(-9, -8, -7), (-9, -8), (-9, -7), (-99, -98), (-999, -998, -997), (96, 97, 98, 99)])
def test_codes_side_by_side_are_special(codes: tuple[int, ...], tmp_path: Path) -> None:
    values = RNG.integers(0, 45, ROWS).astype(float)
    for i, code in enumerate(codes):
        values[i :: 20 + i] = code
    found = column(looked(tmp_path, since_inquiry=values), "since_inquiry")
    assert found.special == tuple(float(code) for code in codes)
    assert all(str(code) in found.look for code in codes)


@pytest.mark.parametrize("values", [(-2, -1, 0, 1, 2, 3), tuple(range(-3, 9)), tuple(range(-300, 900, 7))])
def test_negative_quantities_are_not(values: tuple[int, ...], tmp_path: Path) -> None:
    assert column(looked(tmp_path, balance=RNG.choice(values, ROWS)), "balance").special == ()


def test_a_code_of_many_digits_is_said_as_it_is_written(tmp_path: Path) -> None:
    values = np.where(RNG.random(ROWS) < 0.05, 99999998, RNG.integers(500, 9000, ROWS))
    assert "99999998 is frequent" in column(looked(tmp_path, wage=values), "wage").look


# --------------------------------------------------------------------------- names and signs

LEAKS = ("LP_CustomerPayments", "principal_paid", "PaymentsMade", "amount_collected", "paid_to_date", "days_late")


@pytest.mark.parametrize("name", LEAKS)
def test_what_a_loan_has_paid_is_known_after_the_decision(name: str, tmp_path: Path) -> None:
    values: Any = RNG.random(ROWS) * np.where(Y == 1, 900, 3000)
    found = column(looked(tmp_path, FRAME, **{name: values.round(2)}), name)
    assert found.role == "ignored"
    assert "its name says" in found.why


@pytest.mark.parametrize("name", ["monthly_payment", "payments_missed_last_12m", "prior_principal_paid", "n_payments"])
def test_payments_that_are_known_before_stay(name: str, tmp_path: Path) -> None:
    values: Any = RNG.random(ROWS) * np.where(Y == 1, 1500, 3000)
    assert column(looked(tmp_path, **{name: values.round(2)}), name).role == "input"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("￥1,000,300", 1000300.0), ("1,000円", 1e3), ("KSh 1,200", 1200.0), ("NT$ 300", 300.0), ("HK$1,000", 1e3),
        ("S/ 1,200.50", 1200.5), ("US$ 5", 5.0), ("RM 1,200.00", 1200.0), ("1 200 грн", 1200.0), ("1,234.5 TL", 1234.5),
        ("₦5,000", 5000.0), ("AED 750", 750.0),
    ],
)  # fmt: skip
def test_amounts_with_the_signs_of_other_countries(text: str, number: float) -> None:
    assert parse_number(text, "amount") == number


@pytest.mark.parametrize("text", ["RM01", "US12", "TL", "NT7", "LT 5", "Q1", "S7"])
def test_codes_are_no_amounts(text: str) -> None:
    assert np.isnan(parse_number(text, "amount"))


@pytest.mark.parametrize("name", ["CreateJob", "jobs_created", "RetainedJob"])
def test_counts_of_jobs_are_numbers(name: str, tmp_path: Path) -> None:
    counts: Any = RNG.poisson(3, ROWS)
    assert column(looked(tmp_path, FRAME, **{name: counts}), name).kind == "number"


# --------------------------------------------------------------------------- exports as they leave their systems


@pytest.mark.parametrize(
    "end",
    [
        ["TOTAL RECORDS:      800", "*** END OF REPORT ***"],
        ["---------- ----------", "GRAND TOTAL 12345.67"],
        ["== END ==", ""],
        ["<<< END OF FILE >>>"],
        ["### TOTAL 800 ###", "### END ###"],
    ],
)
@pytest.mark.parametrize("delimiter", [" ", ";"])
def test_the_end_of_a_print_is_no_customer(end: list[str], delimiter: str, tmp_path: Path) -> None:
    text = FRAME.to_csv(index=False, sep=delimiter, na_rep="NA") + "\n".join([*end, ""])
    (tmp_path / "h.txt").write_text(text)
    found = examine(tmp_path / "h.txt", Wanted(TARGET))
    assert (found.rows, found.ragged) == (ROWS, 0)
    assert found.dialect.footer == sum(bool(line) for line in end)


@pytest.mark.parametrize("last", [["-", "Total Energies"], ["--", "Source AG"]])
def test_a_last_customer_with_a_blank_first_field_is_kept(last: list[str], tmp_path: Path) -> None:
    frame = FRAME.assign(a="x", b="y")[["a", "b", *FRAME.columns]]
    frame.loc[ROWS - 1, ["a", "b"]] = last
    assert looked(tmp_path, frame).rows == ROWS


@pytest.mark.parametrize("form", ["{} M", "{}M", "{} m", "{}  M"])
def test_months_in_short_with_a_blank_are_no_millions(form: str, tmp_path: Path) -> None:
    term = [form.format(v) for v in RNG.choice([12, 24, 36], ROWS)]
    found = column(looked(tmp_path, tenor=term), "tenor")
    assert (found.written, found.values) == ("unit", "12 to 36")


@pytest.mark.parametrize(("form", "high"), [("${} M", "36000000"), ("{} M EUR", "36000000"), ("₹ {} M", "36000000")])
def test_money_in_millions_is_money(form: str, high: str, tmp_path: Path) -> None:
    limit = [form.format(v) for v in RNG.choice([12, 24, 36], ROWS)]
    found = column(looked(tmp_path, limit=limit), "limit")
    assert (found.written, found.values.split()[-1]) == ("amount", high)


@pytest.mark.parametrize("serial", ["Sl No", "lfd. Nr.", "S.No", "Record number", "nummer"])
@pytest.mark.parametrize("first", [0, 1])
def test_an_id_is_not_the_rows_number_where_there_is_another(serial: str, first: int, tmp_path: Path) -> None:
    frame = FRAME.drop(columns=ID)
    frame.insert(0, serial, range(first, first + ROWS))
    alone = looked(tmp_path, frame)
    assert alone.name_of("id") != serial or any("counts the rows of this file" in note for note in alone.notes)
    frame["Loan A/c No"] = RNG.permutation(np.arange(10**11, 10**11 + ROWS * 7, 7))
    assert looked(tmp_path, frame).name_of("id") == "Loan A/c No"


def test_ids_that_a_system_gives_in_a_row_stay_ids(tmp_path: Path) -> None:
    frame = FRAME.drop(columns=ID).assign(app_no=range(500_000, 500_000 + ROWS))
    found = looked(tmp_path, frame)
    assert found.name_of("id") == "app_no"
    assert not any("counts the rows" in note for note in found.notes)


@pytest.mark.parametrize(
    ("birth", "protected"),
    [("Geburtsdatum", True), ("date_of_birth", True), ("data_nascimento", True), ("employed_since", False)],
)
def test_what_a_date_may_become_is_said_and_an_age_is_protected(birth: str, protected: bool, tmp_path: Path) -> None:
    born = (WHEN - pd.to_timedelta(RNG.integers(7000, 20000, ROWS), unit="D")).dt.strftime("%Y-%m-%d")
    found = looked(tmp_path, FRAME.assign(**{birth: born}))
    guessed = column(found, birth)
    assert guessed.role == "ignored"
    assert ("protected" in guessed.look) == protected
    assert ("only where the law allows it" in config_text(found)) == protected
    assert "_age" in config_text(found)


@pytest.mark.parametrize("blank", [" ", ""])
def test_postcodes_of_several_lengths_are_a_tree(blank: str, tmp_path: Path) -> None:
    areas, letters = ["SW", "N", "E", "LS", "B", "M", "EC"], list("ABDEFGH")
    codes = [
        f"{RNG.choice(areas)}{RNG.integers(1, 30)}{blank}{RNG.integers(1, 9)}{''.join(RNG.choice(letters, 2))}"
        for _ in range(ROWS)
    ]
    found = column(looked(tmp_path, postcode=codes), "postcode")
    assert (found.role, found.prefixes) == ("input", (2, 4))
    assert "first 2 and 4 characters" in found.why


@pytest.mark.parametrize("name", ["mcc", "MCC", "merchant_code", "mcc_code"])
def test_merchants_codes_are_no_quantities(name: str, tmp_path: Path) -> None:
    assert (
        column(looked(tmp_path, FRAME.assign(**{name: RNG.choice([5411, 5732, 5999, 7011], ROWS)})), name).kind
        == "category"
    )


@pytest.mark.parametrize("name", ["Rok obrotowy", "Exercice comptable", "fiscal year", "Rok sprawozdawczy"])
def test_a_fiscal_year_is_offered_in_a_way_that_a_shell_takes(name: str, tmp_path: Path) -> None:
    frame = FRAME.drop(columns=TIME)
    frame[name] = 2013 + np.arange(ROWS) * 6 // ROWS
    found = looked(tmp_path, frame)
    assert any(f"--time '{name}'" in note for note in found.notes)
    assert f"--time '{name}'" in column(found, name).why


@pytest.mark.parametrize("twice", ["Amount", "Rate"])
def test_names_that_come_twice_are_said(twice: str, tmp_path: Path) -> None:
    text = FRAME.assign(a=RNG.integers(1, 900, ROWS), b=RNG.integers(1, 900, ROWS)).to_csv(index=False)
    first, rest = text.split("\n", 1)
    (tmp_path / "h.csv").write_text(f"{first.removesuffix('a,b')}{twice},{twice}\n{rest}")
    found = examine(tmp_path / "h.csv", Wanted(TARGET))
    assert {twice, f"{twice}_2"} <= {c.name for c in found.columns}
    assert any(f"'{twice}' more than once" in note and f"'{twice}_2'" in note for note in found.notes)
    assert not any("more than once" in note for note in looked(tmp_path).notes)
