from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import WAYS

from riskloop.backtest import kept as keeping
from riskloop.backtest.history import History, read_history
from riskloop.backtest.kept import keep, kept
from riskloop.backtest.request import Request
from riskloop.core.errors import ConfigError, DataError, MalformedBody, NotFound
from riskloop.core.settings import Settings, parse_settings
from riskloop.data.config import infer_config

Customers = Callable[..., pd.DataFrame]
Written = Callable[[pd.DataFrame], Path]
ASKED = Request(target="default", time="period", id="id")


def read(source: Path | pd.DataFrame, **changes: Any) -> History:
    """The history of a source whose columns are named."""
    return read_history(replace(ASKED, history=source, **changes))


def test_a_file_without_a_config_is_cut_into_past_and_periods(customers: Customers, file: Written) -> None:
    history = read(file(customers(9, 200)))
    assert len(history.past) == 3 * 200
    assert [period.name for period in history.periods] == ["4", "5", "6", "7", "8", "9"]
    assert [len(period.rows) for period in history.periods] == [200] * 6
    assert history.settings.windows.by == "month"
    assert history.settings.features["region"].kind == "category"
    assert [note.partition(";")[0] for note in history.notes] == ["Nothing says how long until an outcome is final"]
    assert not read(file(customers(9, 200)), outcome_window=timedelta(days=30)).notes


@pytest.mark.parametrize("written", ["date", "year-month", "YYYYMM", "timestamp"])
def test_dates_may_be_written_in_many_ways(customers: Customers, file: Written, written: str) -> None:
    frame = customers(6, 200)
    months = ["2023-10", "2023-11", "2023-12", "2024-01", "2024-02", "2024-03"]
    text = {
        "date": "{}-15",
        "year-month": "{}",
        "YYYYMM": "{}",
        "timestamp": "{}-15T12:00:00",
    }[written]
    written_months = [text.format(m.replace("-", "") if written == "YYYYMM" else m) for m in months]
    frame = frame.assign(period=[written_months[p - 1] for p in frame["period"]])
    history = read(file(frame))
    assert [period.name for period in history.periods] == months[2:]
    assert history.first_name == months[0]


@pytest.mark.parametrize(("last", "left_out"), [(3, True), (24, False)])
def test_a_last_period_that_is_not_over_is_left_out_and_said(
    customers: Customers, file: Written, last: int, left_out: bool
) -> None:
    frame = customers(6, 200)
    days = [1 + n % (last if period == 6 else 28) for n, period in enumerate(frame["period"])]
    dates = [f"2024-{period:02d}-{day:02d}" for period, day in zip(frame["period"], days, strict=True)]
    history = read(file(frame.assign(period=dates)))
    assert history.periods[-1].name == ("2024-05" if left_out else "2024-06")
    assert any("its 200 rows (2024-06) are left out" in note for note in history.notes) == left_out


def test_frame_and_parquet_give_the_same_rows(customers: Customers, tmp_path: Path) -> None:
    frame = customers(6, 200)
    frame.to_parquet(tmp_path / "history.parquet")
    one = read(tmp_path / "history.parquet")
    other = read(frame)
    np.testing.assert_array_equal(one.past.features, other.past.features)
    assert one.past.ids == other.past.ids


def test_unsorted_and_repeated_rows_are_put_right_and_said(customers: Customers, file: Written) -> None:
    frame = customers(6, 200)
    shuffled = pd.concat([frame, frame.iloc[:7]]).sample(frac=1.0, random_state=3)
    history = read(file(shuffled))
    assert len(history.past) + sum(len(period.rows) for period in history.periods) == len(frame)
    assert any("order" in note for note in history.notes)
    assert any(note.startswith("7 rows have the same 'id'") for note in history.notes)


def test_a_few_unreadable_and_future_dates_are_left_out_and_said(customers: Customers, file: Written) -> None:
    frame = customers(6, 200).astype({"period": str})
    frame["period"] = "2024-0" + frame["period"]
    frame.loc[3, "period"] = "soon"
    frame.loc[[5, 6], "period"] = "2099-01-01"
    history = read_history(replace(ASKED, history=file(frame)), now=datetime(2025, 1, 1, tzinfo=UTC))
    assert history.notes[:2] == (
        "1 row has no readable date in 'period' and is left out.",
        "2 rows have a date in the future in 'period' and are left out.",
    )
    assert history.periods[-1].name == "2024-06"


def test_a_column_of_no_dates_is_refused(customers: Customers, file: Written) -> None:
    frame = customers(6, 200)
    with pytest.raises(DataError, match="'region' holds 'north', which is no date"):
        read(file(frame.rename(columns={"region": "x"}).assign(region="north")), time="region")


def test_a_date_far_away_is_left_out_and_said(customers: Customers, file: Written) -> None:
    frame = customers(6, 200).astype({"period": str})
    frame["period"] = "2024-0" + frame["period"]
    frame.loc[3, "period"] = "1902-01-01"
    history = read(file(frame))
    assert any("'period' that is before 1980-01-01" in note for note in history.notes)
    assert history.first_name == "2024-01"


WORDS = {1: "ja", 0: "nein"}
LAID_OUT: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, Any]]] = {
    "words of another language": (lambda f: f.assign(default=f["default"].map(WORDS)), {}),
    "semicolons and decimal commas": (lambda f: f.assign(util=f["id"] / 7.0), {"sep": ";", "decimal": ","}),
    "dates with the day first": (
        lambda f: f.assign(period=pd.to_datetime("2024-01-17") + pd.to_timedelta(f["period"] * 30, unit="D")),
        {"date_format": "%d.%m.%Y"},
    ),
}


@pytest.mark.parametrize("layout", LAID_OUT)
@pytest.mark.parametrize("configured", [False, True])
def test_a_history_is_read_as_its_portfolio_reads_it(
    customers: Customers, tmp_path: Path, layout: str, configured: bool
) -> None:
    change, options = LAID_OUT[layout]
    path = tmp_path / "h.csv"
    change(customers(6, 200)).to_csv(path, index=False, **options)
    settings = parse_settings(infer_config(path, target="default", time="period")) if configured else None
    history = read(path, settings=settings)
    rows = sum(len(period.rows) for period in history.periods) + len(history.past)
    assert rows == 1200
    assert history.past.target is not None
    assert 0 < history.past.target.mean() < 0.5
    if layout.startswith("semicolons"):
        util = history.past.features[:, history.settings.row_schema.positions["util"]]
        assert np.allclose(np.sort(util * 7) % 1.0, 0.0, atol=1e-6) or np.allclose((util * 7).round(6) % 1.0, 0.0)


def test_a_bad_cell_is_left_out_and_said(customers: Customers, file: Written) -> None:
    frame = customers(6, 200).assign(util=lambda f: f["id"] / 7.0).astype({"util": object})
    frame.loc[[3, 500], "util"] = "1O0"
    assert any("2 rows have a value of 'util' that is not a number" in note for note in read(file(frame)).notes)


def test_periods_without_outcomes_are_kept_and_said(customers: Customers, file: Written) -> None:
    frame = customers(6, 200).astype({"default": float})
    frame.loc[frame["period"] == 5, "default"] = np.nan
    history = read(file(frame))
    target = history.periods[2].rows.target
    assert target is not None
    assert np.isnan(target).all()
    assert any("200 rows have no outcome" in note for note in history.notes)
    assert any("nothing is scored there: 5." in note for note in history.notes)


def test_a_period_of_one_class_and_one_of_few_rows_are_said(customers: Customers, file: Written) -> None:
    frame = customers(6, 200)
    frame.loc[frame["period"] == 5, "default"] = 0
    frame = frame[(frame["period"] != 6) | (frame["id"] % 10 == 0)]
    history = read(file(frame))
    assert any("One class only, so no AUC there: 5." in note for note in history.notes)
    assert any("Fewer rows than windows.min_rows (100), so no diagnosis there: 6 (20)." in n for n in history.notes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.assign(default=0), "one class only"),
        (lambda f: f.assign(default=f["default"] + 2), "holds '[23]'"),
        (lambda f: f[f["period"] == 1], "1 month. The first model needs"),
        (lambda f: f.iloc[::20], "The first model needs at least"),
        (lambda f: f.iloc[:0], "holds no rows|is empty|has a header"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    customers: Customers, file: Written, change: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        read(file(change(customers(6, 200))))


def test_columns_that_are_not_there_are_named(customers: Customers, file: Written) -> None:
    path = file(customers(6, 200))
    with pytest.raises(DataError, match="did you mean 'period'"):
        read(path, time="perod")
    with pytest.raises(ConfigError, match="--target"):
        read_history(Request(path, time="period"))
    with pytest.raises(ConfigError, match="--time"):
        read_history(Request(path, target="default"))
    with pytest.raises(NotFound, match="does not exist"):
        read(path.with_name("none.csv"))


def test_the_first_periods_can_be_chosen(customers: Customers, file: Written) -> None:
    path = file(customers(6, 200))
    assert len(read(path, train_on=5).periods) == 1
    with pytest.raises(ConfigError, match="--train-on 6"):
        read(path, train_on=6)


def test_a_kept_history_comes_back_as_it_was(customers: Customers, settings: Settings, tmp_path: Path) -> None:
    asked = Request(customers(6, 200), outcome_window=timedelta(days=90), seed=5, settings=settings)
    history = read_history(asked)
    again = kept(keep(tmp_path, history))
    assert again.settings == history.settings
    assert again.settings.portfolio.outcome_window == timedelta(days=90)
    assert again.notes == history.notes
    for one, other in zip(again.periods, history.periods, strict=True):
        np.testing.assert_array_equal(one.rows.features, other.rows.features)
        assert (one.name, one.first, one.end, list(one.rows.ids)) == (
            other.name,
            other.first,
            other.end,
            list(other.rows.ids),
        )


@pytest.mark.parametrize(
    "order", [("region", "income", "debt"), ("income", "region", "debt"), ("debt", "income", "region")]
)
def test_a_kept_history_keeps_the_order_of_the_columns(
    customers: Customers, settings: Settings, tmp_path: Path, order: tuple[str, ...]
) -> None:
    """Every replay reads the rows by the schema that it finds in the folder."""
    features = {name: settings.features[name] for name in order}
    history = read_history(Request(customers(6, 200), settings=settings.model_copy(update={"features": features})))
    again = kept(keep(tmp_path, history))
    assert again.settings.row_schema == history.settings.row_schema
    assert again.settings.row_schema.names == order


def test_what_other_code_replayed_is_not_taken_for_this_code_s(
    customers: Customers, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under one version number, too, as while somebody develops it."""
    history = read_history(Request(customers(6, 200), settings=settings))
    package = tmp_path / "package"
    package.mkdir()
    (package / "one.py").write_text("ONE = 1\n", encoding="utf-8")
    monkeypatch.setattr(keeping, "PACKAGE", package)
    first, again = keep(tmp_path, history), keep(tmp_path, history)
    (package / "one.py").write_text("ONE = 2\n", encoding="utf-8")
    keeping.code_hash.cache_clear()
    assert first == again != keep(tmp_path, history)
    (package / "one.py").rename(package / "two.py")
    keeping.code_hash.cache_clear()
    assert len({path.name for path in (first, keep(tmp_path, history))}) == 2


@pytest.mark.parametrize("way", ["zstd", "Excel", "JSON lines", "a folder", "Stata", "cp1252 and semicolons"])
@pytest.mark.parametrize("configured", [False, True])
def test_whatever_trains_can_be_replayed(customers: Customers, tmp_path: Path, way: str, configured: bool) -> None:
    frame = customers(9, 60)
    name, write = (
        ("h.csv", lambda f, p: p.write_bytes(f.to_csv(index=False, sep=";").encode("cp1252")))
        if way == "cp1252 and semicolons"
        else WAYS[way]
    )
    write(frame, tmp_path / name)
    settings = parse_settings(infer_config(tmp_path / name, target="default", id="id", time="period"))
    asked = {"target": None, "time": None, "id": None, "settings": settings} if configured else {}
    history = read(tmp_path / name, windows="month", **asked)
    plain = read(frame, windows="month")
    np.testing.assert_array_equal(history.past.features, plain.past.features)
    assert [len(period.rows) for period in history.periods] == [len(period.rows) for period in plain.periods]


def test_a_history_is_replayed_as_it_is_trained_on_with_its_spelling_and_its_damage(
    customers: Customers, tmp_path: Path
) -> None:
    frame = customers(9, 60)
    frame.to_csv(tmp_path / "h.csv", index=False)
    settings = parse_settings(infer_config(tmp_path / "h.csv", target="default", id="id", time="period"))
    lines = frame.rename(columns=str.upper).to_csv(index=False).splitlines()
    lines[300] += ",1,2"
    (tmp_path / "later.csv").write_text("\n".join([*lines, ""]))
    history = read_history(Request(history=tmp_path / "later.csv", settings=settings, windows="month"))
    assert len(history.past) + sum(len(period.rows) for period in history.periods) == len(frame) - 1
    assert any("more or fewer fields than the header" in note for note in history.notes)
    lines = [line + ",1" * (i % 5 == 1) for i, line in enumerate(lines)]
    (tmp_path / "worse.csv").write_text("\n".join([*lines, ""]))
    with pytest.raises(MalformedBody, match="line 2 has"):
        read_history(Request(history=tmp_path / "worse.csv", settings=settings, windows="month"))


SELDOM: dict[str, tuple[str, Callable[[int], str]]] = {
    "quarters by name": ("quarter", lambda k: f"{2017 + k // 4}Q{k % 4 + 1}"),
    "ends of quarters": ("quarter", lambda k: f"{2017 + k // 4}-{(k % 4 + 1) * 3:02d}-{28 + k % 2}"),
    "February, May, August, November": ("quarter", lambda k: f"{2017 + k // 4}-{k % 4 * 3 + 2:02d}-15"),
    "half-years": ("half-year", lambda k: f"{2010 + k // 2}-{k % 2 * 6 + 6:02d}-30"),
    "years": ("year", lambda k: f"{2005 + k}-12-31"),
}


@pytest.mark.parametrize("when", SELDOM)
def test_rows_that_come_seldomer_than_by_month_are_replayed_as_they_come(
    customers: Customers, settings: Settings, file: Written, when: str
) -> None:
    by, name = SELDOM[when]
    frame = customers(9, 150)
    frame = frame.assign(period=[name(period) for period in frame["period"]])
    inferred, told = read(file(frame)), read(file(frame), settings=settings)
    for history in (inferred, told):
        assert history.settings.windows.by == by
        assert [len(period.rows) for period in history.periods] == [150] * 6
    assert f"The rows come once a {by}, so they are replayed by {by}, and not by month." in told.notes
    asked = read(file(frame), settings=settings, windows="month")
    assert asked.settings.windows.by == "month", "what somebody asks for is not changed"
