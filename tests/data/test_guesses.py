"""What `init` makes of columns, targets and dates, and what it asks or refuses; each kind in several instances."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import ID, ROWS, TARGET, TIME, history

from riskloop.core.dates import parse_time
from riskloop.core.errors import DataError
from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Examined, Guessed, Wanted, examine
from riskloop.data.leaks import rank_alone
from riskloop.data.read import read_rows

FRAME = history(600, seed=2)
BAD = FRAME[TARGET].to_numpy() == 1
RNG = np.random.default_rng(9)


def looked(frame: pd.DataFrame, folder: Path, **wanted: Any) -> Examined:
    frame.to_csv(folder / "h.csv", index=False)
    return examine(folder / "h.csv", Wanted(**{"target": TARGET, **wanted}))


def column(found: Examined, name: str) -> Guessed:
    return next(c for c in found.columns if c.name == name)


# --------------------------------------------------------------------------- targets

Y = FRAME[TARGET]
MANY = Y.map({1: "yes", 0: "no"}).where(FRAME.index % 3 > 0, Y.map({1: " YES", 0: "False"}))
TARGETS: dict[str, tuple[pd.Series, tuple[str, ...], float]] = {
    "0 and 1": (Y, (), Y.mean()),
    "1.0 and 0.0": (Y.astype(float), (), Y.mean()),
    "Y and N": (Y.map({1: "Y", 0: "N"}), (), Y.mean()),
    "many spellings": (MANY, (), Y.mean()),
    "bad and good": (Y.map({1: "bad", 0: "good"}), ("bad",), Y.mean()),
    "1 and 2": (Y + 1, ("2",), Y.mean()),
    "true and false": (Y == 1, (), Y.mean()),
    "status": (Y.map({1: "Charged Off", 0: "Fully Paid"}), ("Charged Off",), Y.mean()),
    "SBA": (Y.map({1: "CHGOFF", 0: "P I F"}), ("CHGOFF",), Y.mean()),
    "T and F": (Y.map({1: "T", 0: "F"}), ("T",), Y.mean()),
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets_are_recognised_and_read_as_said(name: str, tmp_path: Path) -> None:
    values, bad, rate = TARGETS[name]
    found = looked(FRAME.assign(default=values), tmp_path)
    assert found.target.bad == bad
    assert found.target.rate == pytest.approx(rate)
    assert f"Default rate: {rate:.2%}" in found.target.sentence
    settings = parse_settings(config_text(found))
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h").rows
    np.testing.assert_array_equal(rows.target, BAD)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("EDUCATION", "category"), ("marital_status", "category"), ("Job", "category"), ("status", "number")],
)
def test_classes_of_people_are_no_counts_however_they_are_spread(name: str, kind: str, tmp_path: Path) -> None:
    """The shape of EDUCATION among the UCI customers, whose levels fall from the second on as counts would."""
    rng = np.random.default_rng(4)
    shares = np.array([14, 10585, 14030, 4917, 123, 280, 51]) / 30_000
    levels = np.concatenate((np.arange(7), rng.choice(7, 2993, p=shares)))
    frame = pd.DataFrame({name: levels, "income": rng.normal(50, 9, 3000), TARGET: rng.integers(0, 2, 3000)})
    found = {column.name: column for column in looked(frame, tmp_path).columns}
    assert found[name].kind == kind


def test_values_of_neither_kind_are_left_out_and_counted(tmp_path: Path) -> None:
    status = Y.map({1: "Charged Off", 0: "Fully Paid"}).mask(FRAME.index % 10 == 0, "Current").mask(FRAME.index == 5)
    found = looked(FRAME.assign(default=status), tmp_path)
    assert found.target.left_out == 61
    settings = parse_settings(config_text(found))
    checked = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h")
    assert (len(checked.rows), checked.left_out, checked.refused) == (539, 61, ())


def test_a_person_names_what_is_bad_and_good(tmp_path: Path) -> None:
    colours = Y.map({1: "rot", 0: "blau"}).mask(FRAME.index % 7 == 0, "grau")
    found = looked(FRAME.assign(default=colours), tmp_path, bad=("rot",), good=("blau",))
    assert found.target.left_out == (FRAME.index % 7 == 0).sum()
    assert looked(FRAME.assign(default=colours), tmp_path, bad=("rot",)).target.left_out == 0
    with pytest.raises(DataError, match=r"has no value 'red'; it has 'grau'"):
        looked(FRAME.assign(default=colours), tmp_path, bad=("red",))
    with pytest.raises(DataError, match="--bad VALUE"):
        looked(FRAME.assign(default=colours), tmp_path)


@pytest.mark.parametrize(("values", "asked"), [(1 - Y, "more customers default than not"), (Y, None)])
def test_a_rate_that_cannot_be_is_asked_about(values: pd.Series, asked: str | None, tmp_path: Path) -> None:
    questions = looked(FRAME.assign(default=values), tmp_path).questions
    assert (not questions) if asked is None else (asked in questions[0])


@pytest.mark.parametrize(
    ("name", "days"),
    [("default_12m", 366), ("SeriousDlqin2yrs", 731), ("default.payment.next.month", 31), ("bad90d", 90), ("y", 365)],
)
def test_the_outcome_window_is_in_the_name_or_said_to_be_unknown(name: str, days: int, tmp_path: Path) -> None:
    found = looked(FRAME.rename(columns={TARGET: name}), tmp_path, target=name)
    assert found.outcome_window == timedelta(days=days)
    assert any("Nothing says how long" in note for note in found.notes) == (name == "y")


# --------------------------------------------------------------------------- leaks and counters

LEAKS: dict[str, Callable[[], Any]] = {
    "recoveries": lambda: np.where(BAD, RNG.uniform(1, 900, 600), 0.0),
    "recovered_in_part": lambda: np.where(BAD & (RNG.random(600) < 0.5), RNG.uniform(1, 900, 600), 0.0),
    "writeoff_amt": lambda: np.where(BAD, RNG.uniform(1, 900, 600), np.nan),
    "status": lambda: np.where(BAD, "Charged Off", "Paid"),
    "chargeoff_date": lambda: pd.Series("2024-05-01", FRAME.index).where(BAD),
    "payoff_months": lambda: np.where(BAD, np.nan, RNG.integers(1, 36, 600)),
    "closed_on": lambda: (pd.to_datetime(FRAME[TIME]) + pd.to_timedelta(RNG.integers(20, 400, 600), "D")).astype(str),
    "final_dpd": lambda: BAD * 90.0 + RNG.normal(20, 12, 600),
    "score_after": lambda: RNG.normal(0, 1, 600) + 3.0 * BAD,
    "last_pymnt_amnt": lambda: RNG.normal(0, 1, 600) + 1.5 * ~BAD,
    "reason": lambda: pd.Series(RNG.choice(["job", "death"], 600)).where(BAD),
    "copy": lambda: BAD.astype(int),
    "renewed_points": lambda: np.where(
        BAD & (RNG.random(600) < 0.7), RNG.integers(40, 60, 600), RNG.integers(61, 90, 600)
    ),
    "worst_arrears": lambda: np.where(
        BAD & (RNG.random(600) < 0.5), RNG.uniform(91, 300, 600), RNG.uniform(0, 90, 600)
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_what_is_known_after_the_decision_is_left_out_with_its_evidence(name: str, tmp_path: Path) -> None:
    found = looked(FRAME.assign(**{name: LEAKS[name]()}), tmp_path, time=TIME)
    assert column(found, name).role == "ignored"
    assert column(found, name).why.startswith("known only after the decision: "), column(found, name).why
    assert name in parse_settings(config_text(found)).portfolio.ignore
    assert {c.name for c in found.of("input")} == {"income", "late", "purpose"}


HONEST: dict[str, Callable[[], Any]] = {
    "bureau_score": lambda: RNG.normal(0, 1, 600) - 1.0 * BAD,
    "prior_chargeoffs": lambda: RNG.poisson(0.2 + 0.5 * BAD),
    "opened_accounts": lambda: RNG.integers(0, 30, 600),
    "second_income": lambda: np.where(RNG.random(600) < 0.6, np.nan, RNG.normal(3, 1, 600)),
    "employment_status": lambda: RNG.choice(["hired", "self", "none of these"], 600),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_only_predicts_well_stays(name: str, tmp_path: Path) -> None:
    assert column(looked(FRAME.assign(**{name: HONEST[name]()}), tmp_path, time=TIME), name).role == "input"


def test_the_rank_of_one_column_is_that_of_its_rates() -> None:
    labels = RNG.random(20_000) < 0.3
    alone = rank_alone(RNG.normal(size=20_000) + labels, labels)
    assert alone is not None
    assert alone.auc == pytest.approx(0.76, abs=0.015)  # Φ(1/√2)
    noise = rank_alone(RNG.normal(size=20_000), labels)
    assert noise is not None
    assert abs(noise.auc - 0.5) < 4 * noise.error


COUNTERS: dict[str, Callable[[], Any]] = {
    "Unnamed: 0": lambda: np.arange(600),
    "": lambda: np.arange(1, 601),
    "index": lambda: RNG.permutation(600) * 3,
    "seq": lambda: np.arange(600) * 10 + 5,
    "ordered": lambda: np.cumsum(RNG.integers(1, 9, 600)),
    "shuffled": lambda: RNG.permutation(600),
    "record": lambda: np.arange(600, 0, -1).astype(float),
}


@pytest.mark.parametrize("name", COUNTERS)
def test_a_count_of_the_rows_is_no_model_input(name: str, tmp_path: Path) -> None:
    frame = FRAME.sort_values(TARGET, ignore_index=True).assign(**{name: COUNTERS[name]()})
    found = looked(frame, tmp_path, time=TIME)
    assert column(found, name or "unnamed_7").role == "ignored"
    assert {c.name for c in found.of("input")} == {"income", "late", "purpose"}


# --------------------------------------------------------------------------- kinds

KINDS: dict[str, tuple[Callable[[], Any], str]] = {
    "branch": (lambda: [f"{n:03d}" for n in RNG.integers(1, 40, 600)], "category"),
    "zip": (lambda: [f"{n:05d}" for n in RNG.integers(501, 560, 600)], "category"),
    "postcode": (lambda: RNG.choice(np.arange(10115, 10215), 600), "category"),
    "number_of_employment_changes": (lambda: RNG.integers(0, 6, 600), "number"),
    "class_count": (lambda: RNG.integers(1, 9, 600), "number"),
    "education": (lambda: RNG.integers(1, 5, 600), "category"),
    "merchant": (lambda: [f"M{n}" for n in RNG.integers(0, 110, 600)], "category"),
    "contact_hour": (lambda: RNG.choice(["09:00", "12:00"], 600), "category"),
    "has_phone": (lambda: RNG.choice([True, False], 600), "category"),
    "rate_text": (lambda: [f"{x:.2f}%" for x in RNG.uniform(3, 20, 600)], "number"),
    "balance": (lambda: [f"€ {x:,.2f}" for x in RNG.uniform(3, 20_000, 600)], "number"),
    "emp_length": (lambda: RNG.choice(["< 1 year", "1 year", "2 years", "10+ years"], 600), "number"),
}


@pytest.mark.parametrize("name", KINDS)
def test_codes_are_levels_and_quantities_are_numbers(name: str, tmp_path: Path) -> None:
    make, kind = KINDS[name]
    assert column(looked(FRAME.assign(**{name: make()}), tmp_path, time=TIME), name).kind == kind


@pytest.mark.parametrize(("code", "honest"), [(-9999, True), (999, True), (-1, True), (2, False), (-0.5, False)])
def test_special_codes_stand_far_off_with_a_spike(code: float, honest: bool, tmp_path: Path) -> None:
    values = RNG.uniform(0, 1, 600).round(3)
    values[::9] = code
    found = column(looked(FRAME.assign(util=values), tmp_path, time=TIME), "util").special
    assert found == ((code,) if honest else ())


def test_columns_of_a_period_are_context(tmp_path: Path) -> None:
    month = pd.to_datetime(FRAME[TIME]).dt.to_period("M").astype("int64")
    rates = dict(zip(sorted(set(month)), RNG.normal(3, 0.4, month.nunique()).round(2), strict=True))
    found = looked(FRAME.assign(base_rate=month.map(rates)), tmp_path, time=TIME)
    assert column(found, "base_rate").role == "context"
    assert parse_settings(config_text(found)).features["base_rate"].context
    assert column(found, "income").role == "input"


# --------------------------------------------------------------------------- dates

DAYS = pd.to_datetime(FRAME[TIME])
EARLY = DAYS - pd.to_timedelta(DAYS.dt.day - 1 - DAYS.dt.day % 12, "D")  # no day above the 12th
DATES: dict[str, tuple[Any, str]] = {
    "ISO": (DAYS.dt.strftime("%Y-%m-%d"), ""),
    "slashes": (DAYS.dt.strftime("%Y/%m/%d"), ""),
    "points": (DAYS.dt.strftime("%d.%m.%Y"), ""),
    "month by name": (DAYS.dt.strftime("%b-%Y"), ""),
    "day and month by name": (DAYS.dt.strftime("%d-%b-%Y"), ""),
    "SAS": (DAYS.dt.strftime("%d%b%Y").str.upper(), ""),
    "compact": (DAYS.dt.strftime("%Y%m%d").astype(int), ""),
    "months": (DAYS.dt.strftime("%Y%m").astype(int), ""),
    "quarters": (DAYS.dt.year.astype(str) + "Q" + DAYS.dt.quarter.astype(str), ""),
    "day first, said": (DAYS.dt.strftime("%d/%m/%Y"), "dmy"),
    "month first, said": (DAYS.dt.strftime("%m/%d/%Y"), "mdy"),
    "with the time of day": (DAYS.dt.strftime("%Y-%m-%d 13:45:00"), ""),
    "ends of months": ((DAYS + pd.offsets.MonthEnd(0)).dt.strftime("%m/%d/%Y"), ""),
}


@pytest.mark.parametrize("name", DATES)
def test_dates_are_read_as_they_are_written(name: str, tmp_path: Path) -> None:
    from riskloop.core.settings import DataSettings

    values, order = DATES[name]
    dialect = DataSettings(dates=order) if order else None
    found = looked(FRAME.assign(applied=values), tmp_path, time=TIME, dialect=dialect)
    settings = parse_settings(config_text(found))
    checked = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data)
    months = np.asarray(checked.rows.times, dtype="datetime64[us]").astype("datetime64[M]")
    expected = DAYS.to_numpy().astype("datetime64[M]")
    if name == "quarters":
        expected = (expected.astype(int) // 3 * 3).astype("datetime64[M]")
    np.testing.assert_array_equal(months, expected)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (DAYS.dt.strftime("%m/05/%Y"), "No row tells which"),
        (EARLY.dt.strftime("%m/%d/%Y").where(FRAME.index > 0, "05/31/2022"), "but few others: say --dates mdy"),
        (DAYS.where(FRAME.index % 2 == 0, DAYS - pd.DateOffset(years=12)).dt.strftime("%y-05-%y"), "No row tells"),
        (DAYS.dt.strftime("%m/11"), "(mdy) or"),
        (DAYS.dt.strftime("%y%m%d").astype(int), "as YYMMDD it is 20"),
        ("0001-01-01", "is read as the year 1,"),
        ("soon", "is not a date"),
        (FRAME["income"], "is not a date"),
    ],
)
def test_dates_that_could_be_others_are_refused_with_what_they_could_be(values: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="applied") as caught:
        looked(FRAME.assign(applied=values), tmp_path, time=TIME)
    assert said in caught.value.message


ASKED: dict[str, tuple[Any, str]] = {
    "day first": (DAYS.dt.strftime("%d/%m/%Y"), "dmy"),
    "month first": (DAYS.dt.strftime("%m/%d/%Y"), "mdy"),
    "day first, short": (DAYS.dt.strftime("%d-%m-%y"), "dmy"),
    "year first, short": (DAYS.dt.strftime("%y-%m-%d"), "ymd"),
    "a spreadsheet's days": ((DAYS - pd.Timestamp("1899-12-30")).dt.days, "excel"),
    "seconds": (DAYS.astype("datetime64[s]").astype("int64"), "unix"),
    "milliseconds": (DAYS.astype("datetime64[ms]").astype("int64"), "unix"),
}


@pytest.mark.parametrize("name", ASKED)
def test_dates_that_can_be_read_in_one_way_as_a_whole_are_asked_about_and_read(name: str, tmp_path: Path) -> None:
    values, order = ASKED[name]
    found = looked(FRAME.assign(applied=values), tmp_path, time=TIME)
    assert "applied" in found.questions[0]
    assert f"say --dates {order}" in found.questions[0]
    settings = parse_settings(config_text(found))
    assert settings.data.dates == order
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data).rows
    days = np.asarray(rows.times, dtype="datetime64[us]").astype("datetime64[D]")
    np.testing.assert_array_equal(days, DAYS.to_numpy().astype("datetime64[D]"))


SHORT: dict[str, tuple[Any, Any]] = {
    "month and short year": (DAYS.dt.strftime("%m/%y"), DAYS),
    "with a hyphen": (DAYS.dt.strftime("%m-%y"), DAYS),
    "year first": ((DAYS - pd.DateOffset(years=30)).dt.strftime("%y-%m"), DAYS - pd.DateOffset(years=30)),
    "month and year": (DAYS.dt.strftime("%m-%Y"), DAYS),
    "periods": ("P" + DAYS.dt.strftime("%m"), pd.to_datetime("2000" + DAYS.dt.strftime("%m"), format="%Y%m")),
    "months in words": ("Month " + DAYS.dt.month.astype(str), None),
    "periods of years": (DAYS.dt.strftime("%YP%m"), DAYS),
    "quarters": (DAYS.dt.quarter.astype(str) + "Q" + DAYS.dt.strftime("%y"), None),
}


@pytest.mark.parametrize("name", SHORT)
def test_months_and_periods_are_dates_where_the_columns_name_says_so(name: str, tmp_path: Path) -> None:
    values, days = SHORT[name]
    found = looked(FRAME.drop(columns=TIME).assign(period=values), tmp_path)
    assert found.name_of("time") == "period"
    settings = parse_settings(config_text(found))
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data).rows
    months = np.asarray(rows.times, dtype="datetime64[us]").astype("datetime64[M]")
    if days is not None:
        np.testing.assert_array_equal(months, pd.DatetimeIndex(days).to_numpy().astype("datetime64[M]"))
    assert len(np.unique(months)) > 3


@pytest.mark.parametrize("name", ["period", "Month", "snapshot"])
def test_the_periods_of_a_panel_are_its_time_also_up_to_12(name: str, tmp_path: Path) -> None:
    word = "Month {}" if name == "snapshot" else "{}"
    panel = pd.concat([FRAME.drop(columns=[TIME, ID]).assign(customer=range(600))] * 12, ignore_index=True)
    panel[name] = [word.format(1 + row // 600) for row in range(len(panel))]
    found = looked(panel, tmp_path)
    assert (found.name_of("time"), found.name_of("unit")) == (name, "customer")
    mixed = panel.copy()
    mixed[name] = [word.format(month) for month in RNG.integers(1, 13, len(panel))]
    assert (looked(mixed, tmp_path).name_of("time") == name) == (name == "snapshot")


@pytest.mark.parametrize("mask", ["{}xx", "{}XX", "{}**"])
def test_codes_with_a_hidden_end_are_no_numbers_with_a_unit(mask: str, tmp_path: Path) -> None:
    found = column(
        looked(FRAME.assign(area=[mask.format(n) for n in RNG.integers(100, 120, 600)]), tmp_path, time=TIME), "area"
    )
    assert found.kind == "category"


@pytest.mark.parametrize("word", ["indeterminate", "Not taken up", "Current"])
def test_a_third_state_is_no_outcome(word: str, tmp_path: Path) -> None:
    values = np.where(np.arange(600) % 9 == 0, word, np.where(BAD, "bad", "good"))
    assert looked(FRAME.assign(default=values), tmp_path, time=TIME).target.left_out == (values == word).sum()


@pytest.mark.parametrize("levels", [["10/20", "20/30"], ["P07", "P08", "P11"], ["M1", "M2"], ["05-24", "06-24"]])
def test_levels_that_look_like_short_dates_stay_levels(levels: list[str], tmp_path: Path) -> None:
    found = column(looked(FRAME.assign(band=RNG.choice(levels, 600)), tmp_path, time=TIME), "band")
    assert (found.role, found.kind) == ("input", "category")


def test_a_date_of_a_column_is_no_level(tmp_path: Path) -> None:
    found = looked(FRAME.assign(earliest_line=DAYS.dt.strftime("%b-%Y")), tmp_path, time=TIME)
    assert (column(found, "earliest_line").role, column(found, "earliest_line").kind) == ("ignored", "date")
    assert parse_time("2/28/1997") == parse_time("28.02.1997") == parse_time("1997-02-28")


def test_what_is_found_is_found_again_in_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskloop.data.streams.BLOCK", 900)
    monkeypatch.setattr("riskloop.data.survey.TOGETHER", 5000)
    frame = FRAME.assign(util=RNG.uniform(0, 1, 600).round(3), tail=np.where(FRAME.index > 500, "x7", "x1"))
    frame.loc[550, "util"] = np.nan
    found = looked(frame, tmp_path, time=TIME)
    assert found.rows == len(frame)
    assert column(found, "tail").categories == ("x1", "x7")
    assert column(found, "util").missing == 1
    assert column(found, "util").column.high == frame["util"].max()
    assert found.target.defaults == BAD.sum()
    assert column(found, ID).role == "id"
    assert len(frame) > ROWS


@pytest.mark.parametrize("together", [1, 3000, 2**26])
@pytest.mark.parametrize("last", ["x", "1e5", "", "€ 7"])
def test_how_many_rows_are_looked_at_at_once_changes_nothing(
    together: int, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that a number's column did not have before makes the blocks of one file tables of different types."""
    frame = FRAME.assign(note=RNG.choice(["a", "b", "NA"], 600), amount=RNG.integers(0, 9000, 600).astype(str))
    frame.loc[597, "amount"] = last
    whole = looked(frame, tmp_path, time=TIME)
    monkeypatch.setattr("riskloop.data.streams.BLOCK", 900)
    monkeypatch.setattr("riskloop.data.survey.TOGETHER", together)
    parts = looked(frame, tmp_path, time=TIME)
    assert config_text(parts) == config_text(whole)
    for name in map(str, frame):
        one, other = column(parts, name).column, column(whole, name).column
        assert (one.levels, one.missing, one.words) == (other.levels, other.missing, other.words)
        assert (one.low, one.high, one.distinct) == (other.low, other.high, other.distinct)


# --------------------------------------------------------------------------- what raw exports hold


@pytest.mark.parametrize(
    ("order", "values"),
    [
        ("ymd", DAYS.dt.strftime("%y%m%d").astype(int)),
        ("ymd", (DAYS - pd.DateOffset(years=18)).dt.strftime("%y%m%d")),
        ("ymd", DAYS.dt.strftime("%y-%m-%d")),
        ("unix", DAYS.astype("datetime64[s]").astype("int64")),
        ("unix", DAYS.astype("datetime64[ms]").astype("int64")),
        ("excel", (DAYS - pd.Timestamp("1899-12-30")).dt.days),
    ],
)
def test_counted_dates_are_read_when_somebody_says_so(order: Any, values: pd.Series, tmp_path: Path) -> None:
    from riskloop.core.settings import DataSettings

    found = looked(FRAME.assign(applied=values), tmp_path, time=TIME, dialect=DataSettings(dates=order))
    settings = parse_settings(config_text(found))
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data).rows
    back = 18 if str(values.iloc[0]).startswith("0") else 0
    expected = (DAYS - pd.DateOffset(years=back)).to_numpy().astype("datetime64[D]")
    np.testing.assert_array_equal(np.asarray(rows.times, dtype="datetime64[us]").astype("datetime64[D]"), expected)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (DAYS.dt.strftime("%y%m%d").astype(int), "--dates ymd"),
        (DAYS.astype("datetime64[ms]").astype("int64"), "as milliseconds since 1970"),
        (DAYS.astype("datetime64[s]").astype("int64"), "as seconds since 1970"),
        ((DAYS - pd.Timestamp("1899-12-30")).dt.days, "--dates excel"),
    ],
)
def test_numbers_that_are_rather_dates_are_no_model_input(values: pd.Series, said: str, tmp_path: Path) -> None:
    frame = FRAME.drop(columns=TIME).assign(date=values.sample(frac=1, random_state=1).to_numpy())
    guessed = column(looked(frame, tmp_path), "date")
    assert guessed.role == "ignored"
    assert said in guessed.why


def test_incomes_at_the_application_are_no_dates_of_a_spreadsheet(tmp_path: Path) -> None:
    found = looked(FRAME.assign(income_at_application=RNG.integers(20_000, 80_000, 600)), tmp_path, time=TIME)
    assert column(found, "income_at_application").role == "input"


@pytest.mark.parametrize("name", ["Start", "Beginn", "data_contratação", "Дата"])
def test_the_only_column_of_dates_is_the_decision_and_said_to_be_guessed(name: str, tmp_path: Path) -> None:
    found = looked(FRAME.rename(columns={TIME: name}), tmp_path)
    assert found.name_of("time") == name
    assert any("the only column of dates" in note for note in found.notes)


@pytest.mark.parametrize("name", ["last_payment", "birthdate", "closed", "earliest_line"])
def test_a_date_of_something_else_is_not_taken_for_the_decision(name: str, tmp_path: Path) -> None:
    assert looked(FRAME.rename(columns={TIME: name}), tmp_path).name_of("time") is None


def test_period_numbers_named_time_are_the_time_and_not_an_input(tmp_path: Path) -> None:
    found = looked(FRAME.drop(columns=TIME).assign(time=np.sort(RNG.integers(1, 37, 600))), tmp_path)
    assert found.name_of("time") == "time"
    months = looked(FRAME.drop(columns=TIME).assign(month=RNG.integers(1, 13, 600)), tmp_path)
    assert months.name_of("time") is None


IDS: dict[str, Any] = {
    "custno": np.arange(600) * 3 + 5001,
    "Kundennummer": [f"{n:08d}" for n in RNG.permutation(10**6)[:600]],
    "N° client": np.arange(600) + 70001,
    "customer": np.arange(600) + 1,
    "customer_id": [str(10**18 + int(n)) for n in RNG.permutation(10**7)[:600]],
    "LoanNr": RNG.permutation(10**7)[:600],
}


@pytest.mark.parametrize("name", IDS)
def test_ids_are_found_by_the_names_that_lenders_give_them(name: str, tmp_path: Path) -> None:
    found = looked(FRAME.drop(columns=ID).assign(**{name: IDS[name]}), tmp_path, time=TIME)
    assert found.name_of("id") == name


@pytest.mark.parametrize("name", ["client_income", "account_balance", "loan_amount"])
def test_quantities_of_customers_are_no_ids(name: str, tmp_path: Path) -> None:
    found = looked(FRAME.assign(**{name: RNG.permutation(10**6)[:600]}), tmp_path, time=TIME)
    assert column(found, name).role == "input"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("zip_code", [f"{n:03d}xx" for n in RNG.integers(0, 60, 600)]),
        ("msa", [f"0{n}A" for n in RNG.integers(10, 60, 600)]),
        ("naics", RNG.choice([0, 451120, 722410, 621210], 600)),
        ("account_code", [str(10**17 + int(n)) for n in RNG.integers(0, 9, 600)]),
    ],
)
def test_masked_and_long_codes_are_levels_and_no_numbers(name: str, values: Any, tmp_path: Path) -> None:
    assert column(looked(FRAME.assign(**{name: values}), tmp_path, time=TIME), name).kind == "category"


def test_what_differs_only_where_no_outcome_is_yet_is_left_out(tmp_path: Path) -> None:
    status = Y.map({1: "Charged Off", 0: "Fully Paid"}).mask(FRAME.index % 4 == 0, "Current")
    left = np.where(status == "Current", RNG.uniform(1, 9000, 600).round(2), 0.0)
    found = looked(FRAME.assign(default=status, principal=left), tmp_path, time=TIME)
    assert column(found, "principal").why == "the same in every row that has an outcome"


@pytest.mark.parametrize(("yes", "no"), [("ja", "nein"), ("Oui", "Non"), ("Sim", "Não"), ("да", "нет"), ("Sí", "No")])
def test_yes_and_no_of_other_languages(yes: str, no: str, tmp_path: Path) -> None:
    found = looked(FRAME.assign(default=Y.map({1: yes, 0: no})), tmp_path)
    assert found.target.bad == (yes,)
    assert found.target.rate == pytest.approx(Y.mean())


def test_a_special_code_may_have_any_digits_where_it_is_far_off(tmp_path: Path) -> None:
    days = np.where(RNG.random(600) < 0.15, 365243, -RNG.integers(1, 15_000, 600))
    income = np.where(RNG.random(600) < 0.05, -9, RNG.integers(6000, 290_000, 600))
    found = looked(FRAME.assign(days_employed=days, pay=income), tmp_path, time=TIME)
    assert column(found, "days_employed").special == (365243.0,)
    assert column(found, "pay").special == (-9.0,)


def test_all_that_is_to_look_at_is_said(tmp_path: Path) -> None:
    values = RNG.poisson(1.0, 600)
    values[::20] = 98
    look = column(looked(FRAME.assign(days_past_due=values), tmp_path, time=TIME), "days_past_due").look
    assert "after the decision" in look
    assert "98 is frequent and far from the rest" in look


def test_one_format_of_mixed_dates_that_has_no_second_reading_is_no_example(tmp_path: Path) -> None:
    mixed = DAYS.dt.strftime("%Y-%m-%d").where(FRAME.index % 2 == 0, DAYS.dt.strftime("%d/%m/%Y"))
    said = looked(FRAME.assign(applied=mixed), tmp_path, time=TIME).questions[0]
    left, right = said.split("which can be ")[1].split(" (mdy)")[0].split(" (dmy) or ")
    assert left != right


@pytest.mark.parametrize("seed", range(4))
def test_the_rank_of_grouped_rows_is_delongs(seed: int) -> None:
    from riskloop.core.stats import auc, delong_variance
    from riskloop.data.leaks import _ranked

    rng = np.random.default_rng(seed)
    group, labels = rng.integers(0, 9, 700), rng.random(700) < 0.3
    scores = rng.integers(0, 6, 9) / 7.0  # some groups have the same score
    bad, good = np.bincount(group[labels], minlength=9), np.bincount(group[~labels], minlength=9)
    alone = _ranked(scores, bad, good)
    assert alone.auc == pytest.approx(auc(labels, scores[group]), abs=1e-12)
    assert alone.error**2 == pytest.approx(delong_variance(labels, scores[group]), rel=1e-9)


@pytest.mark.parametrize("way", ["rows end with a delimiter", "row names of R"])
def test_a_header_that_is_one_field_short(way: str, tmp_path: Path) -> None:
    header, *lines = FRAME.to_csv(index=False).splitlines()
    lines = [f"{line}," if way.startswith("rows") else f'"{i}",{line}' for i, line in enumerate(lines, 1)]
    (tmp_path / "h.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    found = examine(tmp_path / "h.csv", Wanted(TARGET, time=TIME))
    assert {c.name for c in found.of("input")} == {"income", "late", "purpose"}
    assert found.name_of("id") == ID
    settings = parse_settings(config_text(found))
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data).rows
    np.testing.assert_array_equal(rows.target, BAD)


@pytest.mark.parametrize("name", ["recoveries", "status", "score_after", "reason"])
def test_leaks_that_a_person_put_back_are_found_again(name: str, tmp_path: Path) -> None:
    from riskloop.data.leaks import leaks_among

    frame = FRAME.assign(**{name: LEAKS[name]()})
    found = looked(frame, tmp_path, time=TIME)
    levels = ["Charged Off", "Paid", "job", "death"]
    text_like = name in ("status", "reason")
    table = f'kind = "category"\ncategories = {levels}' if text_like else 'kind = "number"'
    config = config_text(found).replace(f'"{name}",', "") + f"\n[features.{name}]\n{table}\nnullable = true\n"
    settings = parse_settings(config)
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h").rows
    assert set(leaks_among(rows, settings.row_schema)) == {name}


@pytest.mark.parametrize(
    ("levels", "is_level"),
    [
        (["EU", "AS", "NA"], True), (["EU", "AS", "AF", "SA", "OC", "NA"], True),
        (["EMEA", "APAC", "LATAM", "NA"], True),
        (["ZA", "BW", "ZW", "NA"], False), (["CA", "TX", "NY", "ME", "NA"], False),
    ],
)  # fmt: skip
def test_na_beside_other_codes_is_proposed_as_a_level(levels: list[str], is_level: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"loan_id": 1000 + rng.permutation(500), "region": rng.choice(levels, 500)})
    frame["income"], frame["default"] = rng.lognormal(10, 0.5, 500).round(2), (rng.random(500) < 0.2).astype(int)
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default"))
    region = next(column for column in found.columns if column.name == "region")
    assert ("NA" in region.categories) == is_level
    assert "'NA' is" in region.look
    assert ("Namibia" in region.look) != is_level
    assert (region.missing == 0) == is_level
    text = config_text(found, tmp_path)
    assert "# 'NA' is" in text
    schema = parse_settings(text).row_schema
    rows = read_rows(tmp_path / "h.csv", schema, target="required", where="h.csv").rows
    assert (not np.isnan(rows.features[:, list(schema.names).index("region")]).any()) == is_level
