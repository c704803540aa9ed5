"""Raw exports of other countries and systems: what is found in them, kind by kind, each in several instances."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.data.lender import ID, TARGET, TIME, history
from tests.data.test_guesses import column, looked

from riskloop.core.dates import parse_time
from riskloop.core.errors import DataError
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.values import parse_number, style_of
from riskloop.data.config import config_text
from riskloop.data.dialect import find_dialect, names_of
from riskloop.data.infer import Examined, Wanted, examine
from riskloop.data.read import Checked, read_rows
from riskloop.data.streams import find_encoding

FRAME = history(600, seed=4)
RNG = np.random.default_rng(3)
Y = FRAME[TARGET]


def settings_of(found: Examined) -> Settings:
    return parse_settings(config_text(found))


def read(path: Path, settings: Settings, target: Any = "required") -> Checked:
    return read_rows(path, settings.row_schema, target=target, where=path.name, dialect=settings.data)


# --------------------------------------------------------------------------- encodings

WORDS: dict[str, tuple[str, str]] = {
    "German": ("cp1252", "Küche Möbel Größe Überziehung Straße"),
    "French": ("cp1252", "Défaut réglé l’été Noël Véhicule crédit œuvre côté"),
    "Spanish": ("cp1252", "Año niño incumplió Bogotá ¿qué?"),
    "Portuguese": ("cp1252", "Não São ações contratação coração"),
    "Swedish": ("cp1252", "Årsinkomst Malmö Göteborg lån"),
    "German with foreign names": ("cp1252", "Küche José Größe naïve Straße Möbel"),
    "signs": ("cp1252", "5° § Maß² ±5 ½ €"),
    "Polish": ("cp1250", "Opóźnienia własne Spłata zadłużenia Podróż"),
    "Czech": ("cp1250", "Příjem Žádost červený kůň Bydliště splátka"),
    "Hungarian": ("cp1250", "Győr hitelező fizetés tőke űr"),
    "Russian": ("cp1251", "Доход Просрочки Жильё Рефинансирование Отпуск"),
    "Ukrainian": ("cp1251", "Київ Львів кредит нерухомість"),
    "Greek": ("cp1253", "Αθήνα Θεσσαλονίκη Πάτρα δάνειο"),
    "Turkish": ("cp1254", "Şehir İstanbul Borç Ödeme ışık"),
}


@pytest.mark.parametrize("language", WORDS)
def test_the_encoding_is_told_by_the_alphabet(language: str) -> None:
    encoding, words = WORDS[language]
    text = "\n".join(f"{i};{word};3" for i in range(40) for word in words.split())
    assert text.encode(encoding).decode(find_encoding(text.encode(encoding))) == text


@pytest.mark.parametrize(("encoding", "target"), [("gb18030", "违约"), ("shift_jis", "延滞"), ("cp866", "Дефолт")])
def test_the_targets_name_tells_the_encoding(encoding: str, target: str, tmp_path: Path) -> None:
    frame = FRAME.drop(columns="purpose").rename(columns={TARGET: target})
    (tmp_path / "h.csv").write_bytes(frame.to_csv(index=False).encode(encoding))
    found = examine(tmp_path / "h.csv", Wanted(target))
    assert found.target.name == target
    assert len(read(tmp_path / "h.csv", settings_of(found)).rows) == len(frame)


def test_an_older_encoding_is_said_with_what_it_reads(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_bytes(FRAME.to_csv(index=False).encode("cp1252"))
    found = examine(tmp_path / "h.csv", Wanted(TARGET))
    assert any("as cp1252 it reads" in note and "ü" in note + "ö" for note in found.notes)


# --------------------------------------------------------------------------- numbers


def euro(value: float, digits: int, thousands: str = ".", decimal: str = ",") -> str:
    shown = f"{value:,.{digits}f}"
    return shown.replace(",", "\0").replace(".", decimal).replace("\0", thousands)


AMOUNTS = RNG.lognormal(9, 0.8, 600).round(2)
NUMBERS: dict[str, tuple[Callable[[float], str], Callable[[float], float], str]] = {
    "thousands by points": (lambda v: euro(v, 2), lambda v: v, ";"),
    "whole, by points": (lambda v: euro(v, 0), round, ";"),
    "shares of three digits": (lambda v: euro(v % 1, 3), lambda v: round(v % 1, 3), ";"),
    "thousands by narrow blanks": (lambda v: euro(v, 2, "\u202f"), lambda v: v, ";"),
    "thousands by hard blanks, with a sign": (lambda v: euro(v, 2, "\xa0") + "\xa0€", lambda v: v, ";"),
    "percent with commas": (lambda v: euro(v % 100, 1) + " %", lambda v: round(v % 100, 1), ";"),
    "thousands by apostrophes": (lambda v: euro(v, 2, "'", "."), lambda v: v, "\t"),
    "thousands by typographic apostrophes": (lambda v: "CHF " + euro(v, 2, "’", "."), lambda v: v, "\t"),
    "thousands by commas": (lambda v: f"{v:,.2f}", lambda v: v, ","),
    "a minus behind": (lambda v: f"{v:,.2f}-", lambda v: -v, ","),
    "a typographic minus": (lambda v: f"\u2212{v:.2f}", lambda v: -v, ","),
    "exponents": (lambda v: f"{v:.9E}", lambda v: v, ","),
    "months in short": (lambda v: f"{int(v) % 60}M", lambda v: int(v) % 60, ","),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_read_as_they_are_written(name: str, tmp_path: Path) -> None:
    write, value, delimiter = NUMBERS[name]
    sign = "," if delimiter == ";" else "."
    frame = FRAME.assign(amount=[write(v) for v in AMOUNTS]).drop(columns="income")
    frame.to_csv(tmp_path / "h.csv", index=False, sep=delimiter, decimal=sign)
    settings = settings_of(examine(tmp_path / "h.csv", Wanted(TARGET)))
    rows = read(tmp_path / "h.csv", settings).rows
    amount = rows.features[:, settings.row_schema.positions["amount"]]
    np.testing.assert_allclose(amount, [value(v) for v in AMOUNTS], atol=1e-9)


def test_thousands_of_india_and_a_comma_that_is_decimal_are_told_apart() -> None:
    assert parse_number("12,34,567.50", "amount") == 1_234_567.5
    assert np.isnan(parse_number("12,34", "amount"))
    assert style_of(["36M", "12M"]) == "unit"
    assert style_of(["1A", "2A"]) is None


def test_a_column_with_the_other_decimal_sign_is_said(tmp_path: Path) -> None:
    odd = [euro(v, 2) for v in AMOUNTS]
    found = looked(FRAME.assign(odd=odd, plain=AMOUNTS, other=AMOUNTS / 7), tmp_path)
    assert "numbers with ',' as decimal sign" in column(found, "odd").why


BLANKS: dict[str, tuple[str, float, bool]] = {
    "n.d.": ("n.d.", 0.1, True),
    "keine Angabe": ("keine Angabe", 0.002, True),
    "NIL": ("NIL", 0.1, True),
    "а word of the house": ("siehe Akte", 0.1, True),
    "a slip of the pen": ("siehe Akte", 0.004, False),
    "a digit that is none": ("1O0", 0.1, False),
}


@pytest.mark.parametrize("name", BLANKS)
def test_a_word_that_comes_often_among_numbers_means_missing(name: str, tmp_path: Path) -> None:
    word, share, missing = BLANKS[name]
    values = pd.Series(RNG.normal(size=600).round(3)).astype(object)
    values[RNG.permutation(600)[: max(2, int(600 * share))]] = word
    found = looked(FRAME.assign(util=values), tmp_path, time=TIME)
    assert (word in found.dialect.missing) == missing
    assert any(word in note for note in found.notes) == missing
    if missing:
        assert column(found, "util").missing == (values == word).sum()
        assert not read(tmp_path / "h.csv", settings_of(found)).refused


# --------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("4. April 2022", "2022-04-04"),
        ("août 2018", "2018-08-01"),
        ("1er janv. 2023", "2023-01-01"),
        ("5 de enero de 2023", "2023-01-05"),
        ("12-dic-21", "2021-12-12"),
        ("3 maart 2022", "2022-03-03"),
        ("2023年01月05日", "2023-01-05"),
        ("2023-01-05-10.22.33.123456", "2023-01-05"),
        ("Q1 23", "2023-01-01"),
        ("T2 2022", "2022-04-01"),
        ("2023M11", "2023-11-01"),
        ("FY2021", "2021-01-01"),
    ],
)
def test_dates_of_other_languages_and_systems(text: str, day: str) -> None:
    assert parse_time(text) // 86_400_000_000 == parse_time(day) // 86_400_000_000


@pytest.mark.parametrize("text", ["T1 20", "2023M13", "40. Mai 2022", "mais 2020", "FY"])
def test_what_is_no_date_stays_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a date|must be in|out of range"):
        parse_time(text)


# --------------------------------------------------------------------------- targets

YES: dict[str, tuple[str, str]] = {
    "German Excel": ("WAHR", "FALSCH"), "French Excel": ("VRAI", "FAUX"), "Spanish": ("VERDADERO", "FALSO"),
    "Polish": ("PRAWDA", "FAŁSZ"), "Chinese": ("是", "否"), "Japanese": ("はい", "いいえ"),
}  # fmt: skip


@pytest.mark.parametrize("language", YES)
def test_truths_of_other_languages(language: str, tmp_path: Path) -> None:
    yes, no = YES[language]
    found = looked(FRAME.assign(default=Y.map({1: yes, 0: no})), tmp_path)
    assert found.target.bad == (yes,)
    assert found.target.rate == pytest.approx(Y.mean())


STATES: dict[str, tuple[str, str, str]] = {
    "German": ("Ausfall", "Bezahlt", "laufend"), "Spanish": ("Moroso", "Pagado", "En curso"),
    "Portuguese": ("Inadimplente", "Quitado", "Em aberto"), "French": ("Impayé", "Remboursé", "En cours"),
    "Italian": ("In sofferenza", "Estinto", "In corso"), "Dutch": ("Wanbetaling", "Afgelost", "Lopend"),
    "English": ("Written-off", "Paid off", "Live"),
}  # fmt: skip


@pytest.mark.parametrize("language", STATES)
def test_the_states_of_a_loan_in_other_languages(language: str, tmp_path: Path) -> None:
    bad, good, still = STATES[language]
    values = Y.map({1: bad, 0: good}).where(np.arange(len(Y)) % 9 > 0, still)
    found = looked(FRAME.assign(default=values), tmp_path)
    assert (found.target.bad, found.target.good) == ((bad,), (good,))
    assert found.target.left_out == (values == still).sum()


@pytest.mark.parametrize("word", ["Default", "X", 1])
def test_a_blank_may_mean_none(word: Any, tmp_path: Path) -> None:
    frame = FRAME.assign(default=Y.map({1: word}).astype(object).where(Y == 1, None))
    with pytest.raises(DataError, match=r"rows are blank: if that means none, say --good ''"):
        looked(frame, tmp_path, bad=(str(word),))
    found = looked(frame, tmp_path, bad=(str(word),), good=("",))
    assert found.target.rate == pytest.approx(Y.mean())
    np.testing.assert_array_equal(read(tmp_path / "h.csv", settings_of(found)).rows.target, Y)


def test_what_is_not_decided_yet_is_not_taken_for_good_without_a_word(tmp_path: Path) -> None:
    status = Y.map({1: "bust", 0: "fine"}).mask(FRAME.index % 5 == 0, "Current")
    assert "'Current' rather say" in looked(FRAME.assign(default=status), tmp_path, bad=("bust",)).target.sentence
    assert "rather" not in looked(FRAME.assign(default=Y), tmp_path).target.sentence


# --------------------------------------------------------------------------- names, ids, units

HEADERS: dict[str, tuple[list[str], list[str]]] = {
    "copies": (["x", "x", "y", "x"], ["x", "x_2", "y", "x_3"]),
    "copies of a taken name": (["x", "x_2", "x"], ["x", "x_2", "x_3"]),
    "empty": (["a", "", " "], ["a", "unnamed_2", "unnamed_3"]),
    "of two lines": (["Revenue\n(EUR)", "a\tb"], ["Revenue (EUR)", "a b"]),
    "nobody sees": (["\ufeffid\u200b", "x\u00a0"], ["id", "x"]),
}


@pytest.mark.parametrize("name", HEADERS)
def test_every_column_has_a_name_of_its_own(name: str) -> None:
    header, names = HEADERS[name]
    assert names_of(header) == names


def test_a_copied_column_is_read_and_a_copied_target_refused(tmp_path: Path) -> None:
    text = FRAME.assign(income_b=3 * FRAME["late"]).to_csv(index=False)
    (tmp_path / "h.csv").write_text(text.replace("income_b", "income"), encoding="utf-8")
    settings = settings_of(examine(tmp_path / "h.csv", Wanted(TARGET)))
    rows = read(tmp_path / "h.csv", settings).rows
    np.testing.assert_array_equal(rows.features[:, settings.row_schema.positions["income_2"]], 3 * FRAME["late"])
    (tmp_path / "h.csv").write_text(text.replace("income_b", TARGET), encoding="utf-8")
    with pytest.raises(DataError, match="the column 'default' twice"):
        examine(tmp_path / "h.csv", Wanted(TARGET))


def test_a_column_without_a_name_may_stand_elsewhere_in_later_files(tmp_path: Path) -> None:
    lines = FRAME.to_csv(index=False, sep=";").replace("\n", ";\n")
    (tmp_path / "h.csv").write_text(lines, encoding="utf-8")
    settings = settings_of(examine(tmp_path / "h.csv", Wanted(TARGET)))
    later = FRAME.drop(columns=TARGET).to_csv(index=False, sep=";").replace("\n", ";\n")
    (tmp_path / "p.csv").write_text(later, encoding="utf-8")
    assert len(read(tmp_path / "p.csv", settings, "absent").rows) == len(FRAME)


def test_a_file_without_a_header_may_lack_the_target(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "h.csv", index=False, header=False)
    settings = settings_of(examine(tmp_path / "h.csv", Wanted("column_6")))
    assert settings.portfolio.id == "column_1"
    FRAME.drop(columns=TARGET).to_csv(tmp_path / "p.csv", index=False, header=False)
    one, other = read(tmp_path / "h.csv", settings).rows, read(tmp_path / "p.csv", settings, "absent").rows
    np.testing.assert_array_equal(one.features, other.features)


KEYS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "N° dossier": (lambda: [f"D-{n}" for n in range(600)], "id"),
    "Akte": (lambda: [f"{n:05d}/23" for n in RNG.permutation(600)], "id"),
    "merkmal": (lambda: [f"2023-{n:06x}-AB" for n in RNG.permutation(10**6)[:600]], "id"),
    "合同编号": (lambda: RNG.permutation(10**6)[:600], "id"),
    "telephone": (lambda: [f"+4930{n:07d}" for n in RNG.permutation(10**6)[:600]], None),
    "remark": (lambda: [f"call {n} on monday" for n in range(600)], None),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_told_by_how_it_is_written(name: str, tmp_path: Path) -> None:
    make, role = KEYS[name]
    found = looked(FRAME.drop(columns=ID).assign(**{name: make()}), tmp_path, time=TIME)
    assert found.name_of("id") == (name if role else None)
    assert any("--id names it" in note for note in found.notes) == (role is None)


@pytest.mark.parametrize(
    "name", ["cust_no", "Kundennr", "account_number", "client no.", "customer_id", "CPF", "PESEL", "BSN"]
)
def test_a_customers_number_that_comes_again_is_the_unit(name: str, tmp_path: Path) -> None:
    frame = FRAME.drop(columns=ID).assign(**{name: np.arange(600) // 4 + 1000})
    found = looked(frame, tmp_path, time=TIME)
    assert (found.name_of("unit"), found.name_of("id")) == (name, None)


@pytest.mark.parametrize("name", ["number_of_loans", "no_of_accounts"])
def test_a_count_is_no_unit(name: str, tmp_path: Path) -> None:
    found = looked(FRAME.assign(**{name: np.arange(600) // 4}), tmp_path, time=TIME)
    assert column(found, name).role == "input"


def test_an_id_that_a_spreadsheet_has_cut_is_said(tmp_path: Path) -> None:
    cut = [f"{4.5e12 + n:.5E}" for n in range(600)]
    found = looked(FRAME.drop(columns=ID).assign(account=cut), tmp_path, time=TIME)
    assert "a spreadsheet has cut its digits" in column(found, "account").why


def test_levels_that_differ_in_case_are_said(tmp_path: Path) -> None:
    home = RNG.choice(["Own", "OWN", "Rent"], 600)
    assert "'OWN'" in column(looked(FRAME.assign(home=home), tmp_path), "home").look
    assert not column(looked(FRAME.assign(home=np.char.lower(home)), tmp_path), "home").look


def test_a_name_that_scoring_needs_is_said(tmp_path: Path) -> None:
    found = looked(FRAME.rename(columns={"late": "probability"}), tmp_path)
    assert any("'probability' has the name of a column that scoring appends" in note for note in found.notes)


# --------------------------------------------------------------------------- folders, types


def test_a_column_that_comes_or_goes_with_the_months(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    for k in range(4):
        part = FRAME.iloc[150 * k : 150 * (k + 1)]
        part = part.assign(gone=k) if k < 2 else part.assign(come=part["late"])
        part.to_csv(parts / f"loans_{k}.csv", index=False)
    found = examine(parts, Wanted(TARGET))
    assert "no more in the last one" in column(found, "gone").why
    assert (column(found, "come").role, column(found, "come").missing) == ("input", 300)
    assert any("in 2 of the files only" in note for note in found.notes)
    settings = settings_of(found)
    rows = read(parts, settings).rows
    come = rows.features[:, settings.row_schema.positions["come"]]
    np.testing.assert_array_equal(come, FRAME["late"].where(FRAME.index >= 300))


def test_a_folder_of_several_kinds_is_refused_with_a_pattern(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    FRAME.to_csv(tmp_path / "b.csv", index=False)
    (tmp_path / "~$b.xlsx").write_bytes(b"\0")
    assert examine(tmp_path, Wanted(TARGET)).rows == 1200
    (tmp_path / "README.md").write_text("Loans")
    with pytest.raises(DataError, match=r"2 end in '\.csv', and README\.md does not.*\*\.csv"):
        examine(tmp_path, Wanted(TARGET))


def test_durations_are_days_and_labelled_numbers_are_codes(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(FRAME).append_column("held", pa.array(FRAME["late"] * 259_200, pa.duration("s")))
    parquet.write_table(table, tmp_path / "h.parquet")
    settings = settings_of(examine(tmp_path / "h.parquet", Wanted(TARGET)))
    rows = read(tmp_path / "h.parquet", settings).rows
    np.testing.assert_array_equal(rows.features[:, settings.row_schema.positions["held"]], 3 * FRAME["late"])
    pyreadstat = pytest.importorskip("pyreadstat")
    frame = FRAME.assign(purp=FRAME["late"] % 2 + 1)
    pyreadstat.write_dta(frame, str(tmp_path / "h.dta"), variable_value_labels={"purp": {1: "car", 2: "home"}})
    found = examine(tmp_path / "h.dta", Wanted(TARGET))
    assert (column(found, "purp").kind, column(found, "late").kind) == ("category", "number")


def test_the_sheet_is_said_and_no_encoding(tmp_path: Path) -> None:
    from riskloop.data.dialect import describe

    FRAME.to_excel(tmp_path / "h.xlsx", index=False, sheet_name="Tape")
    assert describe(examine(tmp_path / "h.xlsx", Wanted(TARGET)).dialect) == "sheet 'Tape'"
    FRAME.to_csv(tmp_path / "h.csv", index=False)
    assert describe(find_dialect(tmp_path / "h.csv", "h")) == "UTF-8, separated by commas"


@pytest.mark.parametrize("above", [0, 2])
def test_a_workbook_of_one_sheet_may_call_it_after_its_month(above: int, tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "h.xlsx") as book:
        FRAME.to_excel(book, index=False, sheet_name="Tape", startrow=3)
        book.sheets["Tape"]["A1"] = "Loan tape"
        pd.DataFrame({"a": ["x"], "b": ["y"]}).to_excel(book, index=False, sheet_name="Terms")
    settings = parse_settings(config_text(examine(tmp_path / "h.xlsx", Wanted(TARGET, id=ID, time=TIME))))
    assert (settings.data.sheet, settings.data.skip) == ("Tape", 3)
    FRAME.drop(columns=TARGET).to_excel(tmp_path / "p.xlsx", index=False, sheet_name="Jan 2024", startrow=above)
    one, other = read(tmp_path / "h.xlsx", settings).rows, read(tmp_path / "p.xlsx", settings, "absent").rows
    np.testing.assert_array_equal(one.features, other.features)
    with pd.ExcelWriter(tmp_path / "two.xlsx") as book:
        for name in ("Jan", "Feb"):
            FRAME.to_excel(book, index=False, sheet_name=name)
    with pytest.raises(DataError, match='say --sheet "Jan" --skip 0'):
        read(tmp_path / "two.xlsx", settings)
