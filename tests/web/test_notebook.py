"""What a notebook gets: representations, tables and the dashboard's charts."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from tests.test_cli import run

from riskloop.core.errors import DataError, NotFound
from riskloop.core.types import Severity
from riskloop.frames import Frames
from riskloop.plots import NotebookChart
from riskloop.portfolio import Portfolio
from riskloop.results import TableResult
from riskloop.store.home import Home
from riskloop.web import search

from .conftest import MAY, client_of, decide, psi, save, window
from .test_performance import FINAL, finding, judged

__all__ = ["judged"]


@pytest.fixture
def decided(home: Home) -> Portfolio:
    """Forty decisions in May, every second one a default, some with an outcome that was corrected."""
    decide(home, 40)
    labels = pd.DataFrame({"decision_id": [1, 2, 3], "bad": [0, 1, 1]})
    portfolio = Portfolio(home)
    portfolio.record_outcomes(labels)
    portfolio.record_outcomes(pd.DataFrame({"decision_id": [3], "bad": [0]}))
    return portfolio


# --------------------------------------------------------------------------- representations


def test_a_portfolio_says_what_it_is(empty: Home) -> None:
    portfolio = Portfolio(empty)
    assert repr(portfolio) == f"<Portfolio 'Cards <b>&</b> loans' in {empty.folder}: no champion yet>"
    shown = portfolio._repr_html_() or ""
    assert "Cards &lt;b&gt;&amp;&lt;/b&gt; loans" in shown
    assert "riskloop train" in shown


def test_with_a_champion_it_is_a_short_table(home: Home) -> None:
    auc = finding("auc", "window", 0.688, Severity.SEVERE, lower=0.66, upper=0.71, reference=0.77)
    save(home, window(1, matured_at=FINAL), auc)
    portfolio = Portfolio(home)
    assert repr(portfolio).endswith("version 1 serves>")
    shown = portfolio._repr_html_() or ""
    assert "version 1 (scorecard)" in shown
    assert "Realised AUC of version 1: 0.688 (0.660 to 0.710) on 100 decisions of 2025-01; 0.770 at training." in shown
    assert shown.count("<tr>") < 12


def test_it_is_shown_also_when_its_database_does_not_answer(empty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    portfolio = Portfolio(empty)
    empty.close()
    (empty.folder / "riskloop.db").unlink()
    for path in empty.folder.glob("riskloop.db-*"):
        path.unlink()
    assert repr(portfolio).endswith("its database does not answer>")
    assert portfolio._repr_html_() is None


def test_results_with_rows_are_shown_as_tables_and_others_as_they_are(judged: Home) -> None:
    portfolio = Portfolio(judged)
    drift = portfolio.drift()._repr_html_() or ""
    assert "<table" in drift
    assert "auc says." in drift
    assert portfolio.model()._repr_html_() is None


# --------------------------------------------------------------------------- tables


def every(frames: Frames) -> list[TableResult]:
    return [
        frames.decisions(), frames.outcomes(), frames.windows(), frames.findings(), frames.cases(), frames.models(),
    ]  # fmt: skip


def test_every_table_is_the_same_for_pandas_arrow_and_readers_of_the_stream(decided: Portfolio, judged: Home) -> None:
    for table in every(decided.frames):
        arrow = table.arrow()
        assert pa.RecordBatchReader.from_stream(table).read_all().equals(arrow)  # what Polars does
        assert pa.table(table).equals(arrow)
        assert table.frame().equals(arrow.to_pandas())
        assert (len(table), list(table.frame())) == (arrow.num_rows, list(table.columns))
        assert repr(table).startswith(f"<{len(table)} {table.of}: ")
        assert json.loads(json.dumps(table.to_dict()))["of"] == table.of
        assert "<table" in (table._repr_html_() or "")


def test_an_empty_table_has_the_types_of_a_full_one(empty: Home, decided: Portfolio, judged: Home) -> None:
    full = {table.of: table.arrow().schema for table in every(decided.frames)}
    with_nothing = Portfolio(empty).frames
    nobody = with_nothing.decisions(customer="nobody")
    assert nobody.arrow().schema.equals(full["decisions"])
    assert all(kind != pa.null() for schema in full.values() for kind in schema.types)
    assert full["decisions"].field("time").type == pa.timestamp("us", tz="UTC")


def test_decisions_have_their_outcome_as_it_was_reported_last(decided: Portfolio) -> None:
    frame = decided.frames.decisions().frame()
    assert frame["decision_id"].tolist() == list(range(1, 41))
    assert frame["defaulted"].tolist()[:4] == [False, True, False, None]
    assert frame["declined"].tolist() == [False, True] * 20
    outcomes = decided.frames.outcomes().frame()
    assert outcomes[["decision_id", "defaulted"]].to_numpy().tolist() == [[1, False], [2, True], [3, True], [3, False]]


FILTERS: list[dict[str, str]] = [
    {},
    {"customer": "c3"},
    {"since": "2025-05-01", "until": "2025-05-01"},
    {"since": "2025-05-02"},
    {"decision": "decline"},
    {"outcome": "paid"},
    {"outcome": "unknown", "decision": "approve"},
    {"grade": "medium"},
    {"grade": "very_high"},
    {"flag": "no"},
    {"version": "1"},
    {"segment": "sex=2"},
    {"order": "oldest"},
]


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_the_filters_find_what_the_page_finds(decided: Portfolio, asked: dict[str, str]) -> None:
    home = decided.home
    desk = search.Desk(home.decisions, home.windows, home.schema, home.settings.risk_levels)
    page = {found.row.id for found in search.search(desk, asked)["found"]}
    values = {name: int(value) if name == "version" else value for name, value in asked.items()}
    found = decided.frames.decisions(**values)  # type: ignore[arg-type]
    assert set(found.columns["decision_id"]) == page
    flags = [word for name, value in asked.items() for word in (f"--{name}", value)]
    listed = run("decisions", *flags, "--limit", "100", "--json", folder=home.folder).document
    assert {row["decision_id"] for row in listed} == page


def test_bounds_of_the_probability_are_exact_and_windows_have_names(decided: Portfolio) -> None:
    frames = decided.frames
    assert set(frames.decisions(low=0.75).columns["declined"]) == {True}
    assert len(frames.decisions(high=0.25)) == len(frames.decisions(low=0.25, high=0.7499999)) == 20
    assert len(frames.decisions(limit=7)) == 7
    save(decided.home, window(1, first_id=5, last_id=9, first_time=MAY, end_time=datetime(2025, 6, 1, tzinfo=UTC)))
    by_name = frames.decisions(window="2025-01").columns["decision_id"]
    assert by_name == frames.decisions(window=1).columns["decision_id"]
    with pytest.raises(NotFound, match="no window named 'June'"):
        frames.decisions(window="June")
    with pytest.raises(DataError, match="is not a day"):
        frames.decisions(since="yesterday")


def test_who_read_decisions_is_on_record(decided: Portfolio) -> None:
    decided.frames.decisions(customer="c3")
    events = decided.record.events(limit=5)
    assert ("export", "decisions") in set(zip(events["action"], events["subject"], strict=True))


def test_the_command_writes_all_that_is_found(decided: Portfolio) -> None:
    folder = decided.home.folder
    for name in ("found.csv", "found.parquet"):
        ran = run("decisions", "--decision", "decline", "--limit", "1", "-o", name, folder=folder)
        assert (ran.code, ran.out) == (0, f"20 decisions are in {name}.\n")
    assert len(pd.read_csv(folder / "found.csv")) == len(pd.read_parquet(folder / "found.parquet")) == 20
    for name, code in (("found.xls", 2), ("nowhere/found.csv", 8)):
        assert run("decisions", "-o", name, folder=folder).code == code


# --------------------------------------------------------------------------- charts


def figures_of(chart: NotebookChart) -> list[object]:
    return [json.loads(text) for text in re.findall(r'class="figure" data-for="c\d+">(.*?)</script>', chart.html())]


def test_the_charts_are_those_of_the_pages(judged: Home, tmp_path: Path) -> None:
    save(judged, window(4), psi("debt", 0.31, Severity.DRIFTED), psi("score", 0.2))
    plot = Portfolio(judged).plot
    charts = {
        "/": [plot.timeline()],
        "/dashboard/performance": [plot.performance(), plot.calibration()],
        "/dashboard/drift/debt?window=4": [plot.drift("debt", 4)],
        "/dashboard/drift/score?window=4": [plot.drift()],
    }
    for address, drawn in charts.items():
        page = client_of(judged).get(address).text
        shown = [json.loads(text) for text in re.findall(r'class="figure" data-for="[\w-]+">(.*?)</script>', page)]
        assert shown
        assert [figure for chart in drawn for figure in figures_of(chart)] == shown, address
    chart = charts["/dashboard/performance"][0]
    assert repr(chart) == "<NotebookChart 'Performance by window': AUC, KS, Brier score>"
    page = chart.save(tmp_path / "chart.html").read_text()
    assert not re.search(r'(src|href)="?https?:', page)
    assert chart._repr_html_().startswith("<iframe srcdoc=")


def test_without_windows_or_outcomes_there_is_a_sentence(home: Home) -> None:
    plot = Portfolio(home).plot
    for draw in (plot.timeline, plot.performance, plot.drift):
        with pytest.raises(NotFound, match="No window is closed yet"):
            draw()
    with pytest.raises(NotFound, match="judged by its outcomes"):
        plot.calibration()
    with pytest.raises(NotFound, match="7"):
        plot.challenger(7)


def test_reasons_of_decisions_on_record_are_those_of_their_replay(decided: Portfolio) -> None:
    found = decided.frames.decisions(decision="decline", limit=5, reasons=True).columns
    assert found["decision_id"]
    for number, said in zip(found["decision_id"], found["reasons"], strict=True):
        assert json.loads(said) == decided.replay(number).reasons
    assert "reasons" not in decided.frames.decisions(limit=1).columns
