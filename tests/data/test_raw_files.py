"""What raw files hold that nobody declared: amounts, dates, targets, columns and damage, each in several instances."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import ID, TARGET, TIME, history, text
from tests.data.test_guesses import column, looked

from riskloop.core.dates import parse_time
from riskloop.core.errors import DataError, RiskloopError
from riskloop.core.settings import DataSettings, parse_settings
from riskloop.core.values import parse_number, style_of
from riskloop.data.config import config_text
from riskloop.data.infer import Examined, Wanted, examine
from riskloop.data.read import open_rows, read_rows

N = 300
FRAME = history(N, seed=7)
BAD = FRAME[TARGET] == 1
DAYS = pd.to_datetime(FRAME[TIME])
RNG = np.random.default_rng(5)
AMOUNT = RNG.lognormal(9, 0.8, N).round(2)


def features(found: Examined, path: Path) -> dict[str, Any]:
    settings = parse_settings(config_text(found))
    checked = read_rows(path, settings.row_schema, target="required", where=path.name, dialect=settings.data)
    assert not checked.refused
    return {name: checked.rows.features[:, place] for name, place in settings.row_schema.positions.items()}


# --------------------------------------------------------------------------- numbers

WIDE = {ord(c): chr(ord(c) + 0xFEE0) for c in "0123456789."}
NUMBERS: dict[str, tuple[Callable[[float], str], Callable[[float], float]]] = {
    "thousands in short": (lambda v: f"{v / 1e3:.1f}k", lambda v: round(v / 1e3, 1) * 1e3),
    "thousands and millions": (
        lambda v: f"{v / 1e3:.1f}K" if v < 9000 else f"{v / 1e6:.4f}M",
        lambda v: round(v / 1e3, 1) * 1e3 if v < 9000 else round(v / 1e6, 4) * 1e6,
    ),
    "lakh and crore": (
        lambda v: f"{v / 1e5:.3f} lakh" if v < 9000 else f"{v / 1e7:.6f} Cr",
        lambda v: round(v / 1e5, 3) * 1e5 if v < 9000 else round(v / 1e7, 6) * 1e7,
    ),
    "ten thousands": (lambda v: f"{int(v)}万円".replace("円", ""), lambda v: int(v) * 1e4),
    "per mille": (lambda v: f"{v % 9:.2f}\u2030", lambda v: round(v % 9, 2) / 10),
    "brackets within the sign": (
        lambda v: f"$({v:,.2f})" if v > 9000 else f"${v:,.2f}",
        lambda v: -v if v > 9000 else v,
    ),
    "round, with a dash": (lambda v: f"Fr. {int(v):,}.\u2014".replace(",", "'"), int),
    "wide digits": (
        lambda v: f"{v:.2f}".translate(str.maketrans("0123456789.", "０１２３４５６７８９．")),
        lambda v: v,
    ),
    "years and months": (lambda v: f"{int(v % 9)}yrs {int(v % 11)}mon", lambda v: 12 * int(v % 9) + int(v % 11)),
    "durations of ISO 8601": (lambda v: f"P{int(v % 9)}Y{int(v % 11)}M", lambda v: 12 * int(v % 9) + int(v % 11)),
    "cut above": (lambda v: ">20000" if v > 20_000 else f"{v:.2f}", lambda v: 20_001 if v > 20_000 else v),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_in_words_and_signs_are_read(name: str, tmp_path: Path) -> None:
    write, value = NUMBERS[name]
    found = looked(FRAME.assign(income=[write(v) for v in AMOUNT]), tmp_path)
    assert column(found, "income").kind == "number"
    np.testing.assert_allclose(
        features(found, tmp_path / "h.csv")["income"], [value(v) for v in AMOUNT], rtol=1e-12, atol=1e-9
    )


def test_months_in_short_are_no_millions() -> None:
    assert style_of(["36M", "12M"]) == "unit"
    assert style_of(["900k", "1.2M"]) == "amount"
    assert style_of(["$1.2M", "$36M"]) == "amount"
    assert parse_number("2 years", "tenure") == 24
    assert np.isnan(parse_number("12 apples", "amount"))


MIXED: dict[str, tuple[Callable[[float], str], str]] = {
    "percent signs of some": (lambda v: f"{v % 40:.1f}%" if v % 2 < 1 else f"{v % 1:.3f}", "no percent sign"),
    "two currencies": (lambda v: f"€{v:,.2f}" if v % 2 < 1 else f"${v:,.2f}", "several currencies ($, €)"),
    "debit and credit": (lambda v: f"{v:,.2f} {'DR' if v % 2 < 1 else 'CR'}", "several units (CR, DR)"),
    "days and months": (lambda v: f"{int(v % 9)} {'days' if v % 2 < 1 else 'months'}", "several units (days, months)"),
    "days and weeks": (
        lambda v: f"{int(v % 9)} {'days' if v % 2 < 1 else 'weeks'}",
        "in days and in weeks are all read as days",
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_what_is_mixed_among_numbers_is_said(name: str, tmp_path: Path) -> None:
    write, said = MIXED[name]
    guessed = column(looked(FRAME.assign(income=[write(v) for v in AMOUNT]), tmp_path), "income")
    assert said in f"{guessed.why} {guessed.look}"


# --------------------------------------------------------------------------- dates

TIMES: dict[str, tuple[pd.Series, str]] = {
    "weekday first": (DAYS.dt.strftime("%A, %B %d, %Y"), ""),
    "as C writes them": (DAYS.dt.strftime("%a %b %d %H:%M:%S %Y"), ""),
    "as mails write them": (DAYS.dt.strftime("%a, %d %b %Y %H:%M:%S GMT"), ""),
    "with UTC": (DAYS.dt.strftime("%Y-%m-%d %H:%M:%S UTC"), ""),
    "as Oracle writes them": (DAYS.dt.strftime("%d-%b-%y 12.00.00.000000 AM").str.upper(), ""),
    "14 digits": (DAYS.dt.strftime("%Y%m%d101500"), ""),
    "day, month, year without signs": (DAYS.dt.strftime("%d%m%Y"), "dmy"),
    "month, day, year without signs": (DAYS.dt.strftime("%m%d%Y"), "mdy"),
    "a spreadsheet's day and hour": ((DAYS - pd.Timestamp("1899-12-30")).dt.days + 0.5, "excel"),
    "nanoseconds": (DAYS.astype("datetime64[ns]").astype("int64"), "unix"),
}


@pytest.mark.parametrize("name", TIMES)
def test_dates_of_programs_are_read(name: str, tmp_path: Path) -> None:
    values, order = TIMES[name]
    dialect = DataSettings(dates=order) if order else None
    found = looked(FRAME.assign(applied=values), tmp_path, time=TIME, dialect=dialect)
    settings = parse_settings(config_text(found))
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data).rows
    np.testing.assert_array_equal(
        np.asarray(rows.times, dtype="datetime64[us]").astype("datetime64[D]"), DAYS.to_numpy().astype("datetime64[D]")
    )


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("1Q2022", "2022-01-01"), ("22Q3", "2022-07-01"), ("2022H2", "2022-07-01"), ("S1 2022", "2022-01-01"),
        ("032022", "2022-03-01"), ("2022", "2022-01-01"), ("4 stycznia 2022", "2022-01-04"),
        ("4 января 2022 г.", "2022-01-04"), ("4 maj 2022", "2022-05-04"), ("4 Ağustos 2022", "2022-08-04"),
        ("15. marts 2022", "2022-03-15"),
    ],
)  # fmt: skip
def test_periods_and_months_of_more_languages(written: str, day: str) -> None:
    assert parse_time(written) == parse_time(day)


@pytest.mark.parametrize("name", ["applied", "funding", "d1"])
def test_whole_numbers_that_are_all_months_are_dates(name: str, tmp_path: Path) -> None:
    found = looked(FRAME.drop(columns=TIME).assign(**{name: DAYS.dt.strftime("%Y%m").astype(int)}), tmp_path)
    assert found.name_of("time") == name


def test_many_days_as_whole_numbers_are_dates(tmp_path: Path) -> None:
    frame = history(3000, seed=2)
    rng = np.random.default_rng(1)
    days = pd.Timestamp("2010-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 5000, 3000)), "D")
    found = looked(frame.assign(applied=days.strftime("%Y%m%d").astype(int)), tmp_path)
    assert column(found, TIME).column.many
    assert found.name_of("time") == TIME


def test_a_spreadsheets_days_are_no_amounts(tmp_path: Path) -> None:
    found = looked(FRAME.assign(applied=(DAYS - pd.Timestamp("1899-12-30")).dt.days), tmp_path)
    assert "--dates excel" in column(found, TIME).why
    assert any("'applied' holds dates: --time names it" in note for note in found.notes)


@pytest.mark.parametrize("word", ["unknown", "0000-00-00", "9999-12-31"])
def test_a_word_for_no_date_sets_its_rows_aside(word: str, tmp_path: Path) -> None:
    found = looked(FRAME.assign(applied=DAYS.astype(str).where(FRAME.index % 30 > 0, word)), tmp_path, time=TIME)
    assert any(word in note and "set aside" in note for note in found.notes)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (DAYS + pd.DateOffset(years=40), "lie in the future"),
        (DAYS.where(FRAME.index % 30 > 0, pd.Timestamp("1990-01-01")), "1990-01-01 comes 10 times"),
        (DAYS, ""),
    ],
)
def test_odd_dates_of_decisions_are_looked_at(values: pd.Series, said: str, tmp_path: Path) -> None:
    look = column(looked(FRAME.assign(applied=values.dt.strftime("%Y-%m-%d")), tmp_path, time=TIME), TIME).look
    assert said in look if said else not look


def test_year_and_month_in_two_columns_are_said(tmp_path: Path) -> None:
    frame = FRAME.drop(columns=TIME).assign(app_year=DAYS.dt.year, app_month=DAYS.dt.month)
    assert any("'app_year' and 'app_month'" in note for note in looked(frame, tmp_path).notes)


# --------------------------------------------------------------------------- targets

PAIRS = [
    ("D", "ND"), ("Delinquent", "Not Delinquent"), ("NPL", "PL"), ("unpaid", "paid"), ("not repaid", "repaid"),
    ("1 - Default", "0 - No default"), ("Fail", "Pass"), ("ausgefallen", "nicht ausgefallen"), ("on", "off"),
    ("Non-Performing", "Performing"), ("Chargedoff", "Completed"), ("逾期", "正常"), ("No pagado", "Pagado"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "good"), PAIRS)
def test_a_word_and_its_contrary(bad: str, good: str, tmp_path: Path) -> None:
    found = looked(FRAME.assign(default=np.where(BAD, bad, good)), tmp_path)
    assert (found.target.bad, found.target.good) == ((bad,), (good,))


@pytest.mark.parametrize(
    ("bad", "good", "still"),
    [
        ("Defaulted", "Completed", "Past Due (16-30 days)"), ("Past Due (>120 days)", "Completed", "Current"),
        ("91 days past due", "Paid off", "30 days past due"), ("Chargedoff", "Completed", "FinalPaymentInProgress"),
    ],
)  # fmt: skip
def test_days_past_due_in_words(bad: str, good: str, still: str, tmp_path: Path) -> None:
    values = np.where(np.arange(N) % 9 == 0, still, np.where(BAD, bad, good))
    found = looked(FRAME.assign(default=values), tmp_path)
    assert (found.target.bad, found.target.left_out) == ((bad,), (values == still).sum())


@pytest.mark.parametrize("slip", ["O", "o", "J", "t"])
def test_a_letter_beside_0_and_1_is_no_yes(slip: str, tmp_path: Path) -> None:
    values = FRAME[TARGET].astype(str).where(FRAME.index % 50 > 0, slip)
    with pytest.raises(DataError, match=rf"holds .*'{slip}' \(6\)"):
        looked(FRAME.assign(default=values), tmp_path)


def test_a_target_that_looks_like_a_probability_is_refused_with_that(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="looks like a probability"):
        looked(FRAME.assign(default=RNG.random(N)), tmp_path)


@pytest.mark.parametrize(("name", "asked"), [("loan_repaid", True), ("is_good", True), ("not.fully.paid", False)])
def test_a_name_that_says_who_was_good_is_asked_about(name: str, asked: bool, tmp_path: Path) -> None:
    found = looked(FRAME.rename(columns={TARGET: name}), tmp_path, target=name)
    assert any("sounds as if" in question and "--bad 0" in question for question in found.questions) == asked


def test_the_question_names_a_value_of_the_column(tmp_path: Path) -> None:
    found = looked(FRAME.assign(default=np.where(BAD, "N", "Y")), tmp_path)
    assert "say --bad N;" in found.questions[0]
    assert looked(FRAME.assign(default=np.where(BAD, "N", "Y")), tmp_path, bad=("N",)).target.rate == BAD.mean()


# --------------------------------------------------------------------------- columns

IGNORED: dict[str, tuple[Any, str]] = {
    "phone": ([f"+49 30 {n}" for n in RNG.permutation(10**6)[:N] + 10**6], "telephone number"),
    "email": ([f"u{n}@x.de" for n in range(N)], "telephone number, an address"),
    "handle": (RNG.permutation(9 * 10**6)[:N] + 10**9, "whole numbers of 10 digits, each once: a key"),
    "late_again": (FRAME["late"], "the same as 'late' in every row"),
    "income_again": (FRAME["income"], "the same as 'income' in every row"),
    "purpose_again": (FRAME["purpose"], "the same as 'purpose' in every row"),
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_tells_who_or_what_is_told_already_is_left_out(name: str, tmp_path: Path) -> None:
    values, said = IGNORED[name]
    found = column(looked(FRAME.assign(**{name: values}), tmp_path), name)
    assert found.role == "ignored"
    assert said in found.why


QUANTITIES = (
    "email_age_days",
    "phone_tenure_months",
    "mobile_calls",
    "ip_score",
    "tel_number_changes",
    "amount_by_mobile",
)


@pytest.mark.parametrize("name", QUANTITIES)
def test_quantities_about_a_way_to_reach_somebody_are_inputs(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    values = rng.integers(0, 5_000_000 if name.startswith("amount") else 4_000, N)
    assert column(looked(FRAME.assign(**{name: values}), tmp_path), name).role == "input"


def test_a_telephone_number_without_signs_is_no_input(tmp_path: Path) -> None:
    numbers = np.random.default_rng(7).integers(30_000_000, 99_999_999, N)
    assert column(looked(FRAME.assign(phone=numbers, mobile_number=numbers[::-1]), tmp_path), "phone").role == "ignored"
    assert column(looked(FRAME.assign(mobile_number=numbers), tmp_path), "mobile_number").role == "ignored"


TREES: dict[str, Callable[[], Any]] = {
    "NAICS": lambda: RNG.choice(RNG.integers(110_000, 999_999, 90), N),
    "zip_code": lambda: [f"{n:05d}" for n in RNG.integers(501, 99_950, N)],
    "PLZ": lambda: RNG.integers(10_115, 99_998, N),
    "sicCode": lambda: RNG.choice(RNG.integers(1000, 9999, 70), N).astype(float),
}


@pytest.mark.parametrize("name", TREES)
def test_codes_of_a_tree_are_no_numbers(name: str, tmp_path: Path) -> None:
    found = looked(FRAME.assign(**{name: TREES[name]()}), tmp_path)
    guessed = column(found, name)
    assert (guessed.role, guessed.kind, guessed.prefixes, guessed.unseen)[:3] == ("input", "category", (2, 3))
    assert parse_settings(config_text(found)).features[name].prefixes == (2, 3)


def test_a_share_of_a_postcode_is_a_number(tmp_path: Path) -> None:
    found = looked(FRAME.assign(zip_median_income=RNG.integers(20_000, 90_000, N)), tmp_path)
    assert column(found, "zip_median_income").kind == "number"


@pytest.mark.parametrize("word", ["Totale", "Total general", "Somme", "Итого", "合計", "Razem", "Gesamtsumme"])
def test_totals_are_called_so_in_many_languages(word: str, tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(text(FRAME) + f"{word},,5000000,,,37\n", encoding="utf-8")
    assert examine(tmp_path / "h.csv", Wanted(TARGET)).rows == N


def test_a_number_of_a_file_is_its_id(tmp_path: Path) -> None:
    found = looked(FRAME.drop(columns=ID).assign(**{"N. pratica": [f"PR{n:07d}" for n in range(N)]}), tmp_path)
    assert found.name_of("id") == "N. pratica"


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("payoff_time", "ignored"), ("debt_settlement_flag", "ignored"), ("recoveries", "ignored"),
        ("chargeoff_within_12_mths", "input"), ("prior_chargeoffs", "input"), ("days_past_due", "input"),
        ("bureau_recoveries_24m", "input"),
    ],
)  # fmt: skip
def test_what_nobody_can_know_before_is_left_out_by_its_name_alone(name: str, role: str, tmp_path: Path) -> None:
    rare = (np.arange(N) % 43 == 0).astype(int)
    assert column(looked(FRAME.assign(**{name: rare}), tmp_path), name).role == role


@pytest.mark.parametrize(
    "name", ["Geschlecht", "sexo", "Alter", "edad_cliente", "Nationalité", "état_civil", "пол", "年龄", "geboortedatum"]
)
def test_protected_attributes_have_names_in_other_languages(name: str, tmp_path: Path) -> None:
    assert column(looked(FRAME.assign(**{name: RNG.integers(1, 60, N)}), tmp_path), name).role == "protected"


@pytest.mark.parametrize("name", ["alter_konto", "sextant", "etage"])
def test_words_that_only_look_like_them_are_inputs(name: str, tmp_path: Path) -> None:
    assert column(looked(FRAME.assign(**{name: RNG.integers(1, 60, N)}), tmp_path), name).role == "input"


OFTEN = RNG.random(N) < 0.1
CODES: dict[str, tuple[Any, tuple[float, ...]]] = {
    "negative": (np.where(OFTEN, RNG.choice([-999, -998], N), RNG.integers(300, 850, N)), (-999, -998)),
    "96 and 98": (np.where(OFTEN, RNG.choice([96, 98], N), RNG.poisson(0.4, N)), (96, 98)),
    "three": (np.where(OFTEN, RNG.choice([997, 998, 999], N), RNG.integers(0, 90, N)), (997, 998, 999)),
    "an honest tail": (RNG.poisson(2, N) + 90 * (np.arange(N) == 5), ()),
    "nothing far": (RNG.integers(90, 100, N), ()),
}


@pytest.mark.parametrize("name", CODES)
def test_special_codes_may_stand_side_by_side(name: str, tmp_path: Path) -> None:
    values, codes = CODES[name]
    assert column(looked(FRAME.assign(x1=values), tmp_path), "x1").special == codes


@pytest.mark.parametrize(("name", "kind"), [("branch_visits", "number"), ("branch_code", "category")])
def test_counts_named_like_codes_stay_counts(name: str, kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.poisson(2.0, N) if kind == "number" else rng.integers(0, 9, N)
    assert column(looked(FRAME.assign(**{name: values}), tmp_path), name).kind == kind


def test_an_id_that_hundreds_of_rows_share_is_asked_about(tmp_path: Path) -> None:
    found = looked(FRAME.assign(branch=np.arange(N) % 2), tmp_path, id="branch")
    assert any("'branch' has 2 values in 300 rows" in question for question in found.questions)


@pytest.mark.parametrize("name", ['x = "y"\\z', "income [€] \U0001f600", "a.b", "2021", "#", "'quoted'"])
def test_names_of_all_kinds_come_through_the_configuration(name: str, tmp_path: Path) -> None:
    found = looked(FRAME.rename(columns={"income": name}), tmp_path)
    np.testing.assert_array_equal(features(found, tmp_path / "h.csv")[name], FRAME["income"])


def test_objects_within_rows_are_columns(tmp_path: Path) -> None:
    rows = [
        {ID: row[ID], "applicant": {"income": row["income"], "home": {"late": row["late"]}}, TARGET: row[TARGET],
         TIME: {"$date": row[TIME]}}
        for row in FRAME.astype(object).where(FRAME.notna(), None).to_dict("records")
    ]  # fmt: skip
    (tmp_path / "h.json").write_text(json.dumps(rows), encoding="utf-8")
    found = examine(tmp_path / "h.json", Wanted(TARGET))
    assert found.name_of("time") == TIME
    np.testing.assert_array_equal(features(found, tmp_path / "h.json")["applicant.home.late"], FRAME["late"])


# --------------------------------------------------------------------------- damage, and files of other kinds

REFUSED: dict[str, tuple[str, bytes, str]] = {
    "a PDF": ("h.csv", b"%PDF-1.7\n%\xe2\xe3\n" + b"1 0 obj\n" * 40, "is a PDF"),
    "a database": ("h.csv", b"SQLite format 3\0" + bytes(2000), "an SQLite database"),
    "a pickle": ("h.pkl", b"\x80\x05\x95" + bytes(range(256)), "a pickle of Python"),
    "a data set of R": ("h.rda", b"RDX3\nX\n" + bytes(range(256)), "a data set of R"),
    "an old document": ("h.csv", b"\xd0\xcf\x11\xe0" + bytes(2000), "an old document of Office"),
    "NaN in JSON": ("h.json", b'[{"a": 1},\n {"a": NaN}]', "line 2 holds NaN"),
    "a sparse ARFF": ("h.arff", b"@relation x\n@attribute default numeric\n@data\n{0 1}\n{7 1}\n", "line 5"),
    "columns that touch": ("h.txt", b"name  incomedefault\nanna  100000      0\n" * 9, "--widths"),
    "text with the delimiter": (
        "h.csv", b"id,name,default\n" + b"".join(b"%d,Smith, John,0\n" % (i * 7 % 31) for i in range(30)), "",
    ),
    "quotes with backslashes": (
        "h.csv", b"id,name,default\n" + b"".join(b'%d,"a \\"b\\", c",0\n' % (i * 7 % 31) for i in range(30)), "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_no_such_table_are_refused_with_what_they_are(name: str, tmp_path: Path) -> None:
    file, content, said = REFUSED[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(RiskloopError) as caught:
        examine(tmp_path / file, Wanted(TARGET))
    assert said in caught.value.message
    assert file in caught.value.message


def test_lines_of_uneven_length_are_refused_before_training(tmp_path: Path) -> None:
    lines = [line + (",1,2" if i % 5 == 1 else "") for i, line in enumerate(text(FRAME).splitlines())]
    (tmp_path / "h.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=r"60 of its 300 lines have more or fewer fields .*\(line 2\) has 8 fields"):
        examine(tmp_path / "h.csv", Wanted(TARGET))


def test_a_few_characters_that_are_cut_do_not_change_the_encoding(tmp_path: Path) -> None:
    content = text(FRAME).encode()
    place = content.index("Küche".encode(), 4000)
    (tmp_path / "h.csv").write_bytes(content[: place + 2] + content[place + 6 :])
    found = examine(tmp_path / "h.csv", Wanted(TARGET))
    assert found.dialect.encoding == "utf-8"
    assert {"Küche", "Möbel"} <= {*column(found, "purpose").categories}
    assert any("Some bytes are no UTF-8" in note for note in found.notes)


def test_a_repeated_header_is_said_and_lines_are_counted_on(tmp_path: Path) -> None:
    parts = [text(FRAME.iloc[:100]), text(FRAME.iloc[100:])]
    parts[1] = parts[1].replace(str(FRAME["late"].iloc[-1]) + "," + FRAME["purpose"].iloc[-1], "x," + "car")
    (tmp_path / "h.csv").write_text("".join(parts), encoding="utf-8")
    found = examine(tmp_path / "h.csv", Wanted(TARGET))
    assert any("1 line has the header once more" in note for note in found.notes)
    settings = parse_settings(config_text(found))
    checked = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data)
    assert checked.source.places([299]) == ["line 302"]


def test_other_sheets_of_the_same_columns_are_said(tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "h.xlsx") as book:
        for year, part in (("2022", FRAME.iloc[:150]), ("2023", FRAME.iloc[150:])):
            part.to_excel(book, sheet_name=year, index=False)
        pd.DataFrame({"a": ["x"]}).to_excel(book, sheet_name="Terms", index=False)
    notes = examine(tmp_path / "h.xlsx", Wanted(TARGET)).notes
    assert any("Sheet '2023' with the same columns: NOT READ" in note for note in notes)
    assert not any("Terms" in note for note in notes)


def test_folders_of_folders_and_empty_parts(tmp_path: Path) -> None:
    for year in (2022, 2023):
        (tmp_path / f"year={year}").mkdir()
        FRAME[DAYS.dt.year == year].to_csv(tmp_path / f"year={year}" / "part.csv", index=False)
        (tmp_path / f"year={year}" / "empty.csv").touch()
    assert examine(tmp_path, Wanted(TARGET)).rows == DAYS.dt.year.isin([2022, 2023]).sum()
    (tmp_path / "all" / "new").mkdir(parents=True)
    (tmp_path / "all" / "new" / "part.csv").write_text(text(FRAME))
    with pytest.raises(DataError, match=r"holds folders only; give a pattern: '.*\*\*/\*\.csv'"):
        examine(tmp_path / "all", Wanted(TARGET))
    (tmp_path / "all" / "new" / "part.csv").unlink()
    assert examine(tmp_path / "year=2022", Wanted(TARGET)).rows == (DAYS.dt.year == 2022).sum()
    assert examine(str(tmp_path / "**" / "part.csv"), Wanted(TARGET)).rows == DAYS.dt.year.isin([2022, 2023]).sum()


@pytest.mark.parametrize(
    ("write", "option"),
    [
        (lambda f, p: p.write_bytes(text(f).encode("utf-16")), '--encoding "utf-16-le"'),
        (lambda f, p: p.write_text(text(f, sep=";"), encoding="utf-8"), '--delimiter ";"'),
        (lambda f, p: p.write_text("A note\n\n" + text(f), encoding="utf-8"), "--skip 2"),
    ],
)
def test_a_later_file_of_another_layout_names_the_option(
    write: Callable[[pd.DataFrame, Path], Any], option: str, tmp_path: Path
) -> None:
    settings = parse_settings(config_text(looked(FRAME, tmp_path)))
    write(FRAME.drop(columns=TARGET), tmp_path / "p.csv")
    with pytest.raises(RiskloopError) as caught:
        open_rows(tmp_path / "p.csv", settings.row_schema, "absent", "p.csv", settings.data)
    assert option in caught.value.message


def test_a_sheet_of_a_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RiskloopError, match="Leave --sheet out"):
        looked(FRAME, tmp_path, dialect=DataSettings(sheet="Tape"))


def test_the_table_of_a_very_wide_file_shows_what_is_to_look_at(tmp_path: Path) -> None:
    from riskloop.cli.data import MOST_SHOWN, told

    plain = pd.DataFrame(RNG.normal(size=(N, 600)), columns=[f"c{k}" for k in range(600)])
    found = looked(pd.concat([plain, FRAME.assign(days_past_due=FRAME["late"])], axis=1), tmp_path)
    said = "\n".join(told(found))
    assert said.count("\n") < MOST_SHOWN
    assert all(name in said for name in (ID, TIME, TARGET, "days_past_due", "c0 "))
    hidden = re.search(r"(\d+) more columns are not shown here", said)
    assert hidden is not None
    assert int(hidden[1]) > 600 - MOST_SHOWN // 2 - 1
