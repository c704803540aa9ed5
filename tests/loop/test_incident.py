"""The clean-up of a data fault: decisions on faulty rows beside the same on corrected ones."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.cases import CaseState
from riskloop.core.errors import Conflict, DataError
from riskloop.loop.cycle import cycle
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import ID, TARGET, World, month_starts, simulate
from riskloop.store import audit

from .conftest import built

AFTER = datetime(2025, 3, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portfolio whose February came with limits a hundred times too large, and the right rows beside it."""
    folder = tmp_path_factory.mktemp("fault")
    portfolio = built(folder)
    for month, factor in zip(month_starts(date(2025, 1, 1), 2), (1.0, 100.0), strict=True):
        frame = simulate([month], 600, month.month, World()).drop(columns=TARGET)
        frame = frame[frame["EDUCATION"] != 0]
        portfolio.score(frame.assign(LIMIT_BAL=frame["LIMIT_BAL"] * factor))
        frame.to_csv(folder / f"{month:%Y-%m}.csv", index=False)
    cycle(portfolio.home, AFTER)
    portfolio.home.close()
    return folder


@pytest.fixture
def portfolio(folder: Path, tmp_path: Path) -> Portfolio:
    import shutil

    shutil.copytree(folder, tmp_path / "copy")
    return Portfolio.open(tmp_path / "copy")


def test_corrected_rows_are_decided_beside_the_faulty_ones_and_the_log_stays(portfolio: Portfolio) -> None:
    (case,) = portfolio.home.cases.latest(only_open=True)
    assert case.state is CaseState.QUARANTINED
    before = portfolio.home.decisions.frame()
    corrected = pd.read_csv(portfolio.home.folder / "2025-02.csv", dtype={ID: str})
    found = portfolio.rescore(case.id, corrected.iloc[::-1], by="A. Analyst")
    table = found.frame().set_index("customer_id")
    assert found.decisions == found.rescored == len(corrected) == len(table)
    right = portfolio.score(corrected).set_index(ID)  # what the champion says of the right rows
    np.testing.assert_array_equal(table["new_probability"], right.loc[table.index, "probability"])
    assert ((table["new_decision"] == "decline") == right.loc[table.index, "default"]).all()
    changed = table["decision"] != table["new_decision"]
    assert found.changed == changed.sum() == found.approved_wrongly + found.declined_wrongly > 0
    logged = portfolio.home.decisions.frame()
    np.testing.assert_array_equal(logged.probabilities[: len(before)], before.probabilities)
    events = [event for event in audit.latest(portfolio.home.database) if event.action == "rescore"]
    assert (events[0].by, events[0].document["changed"]) == ("A. Analyst", found.changed)


def test_a_part_of_the_rows_is_enough_and_strangers_are_said(portfolio: Portfolio) -> None:
    (case,) = portfolio.home.cases.latest(only_open=True)
    corrected = pd.read_csv(portfolio.home.folder / "2025-02.csv", dtype={ID: str}).head(7)
    strangers = corrected.assign(**{ID: "x" + corrected[ID]})
    found = portfolio.rescore(case.id, pd.concat([corrected, strangers]))
    assert found.rescored == 7
    with pytest.raises(DataError, match="none of the customers"):
        portfolio.rescore(case.id, strangers)
    with pytest.raises(DataError, match="PAY_0"):
        portfolio.rescore(case.id, corrected.drop(columns="PAY_0"))


def test_fixed_at_source_closes_the_case_keeps_the_rows_out_and_is_said_once(portfolio: Portfolio) -> None:
    (case,) = portfolio.home.cases.latest(only_open=True)
    closed = portfolio.close(case.id, by="A. Analyst", note="The feed sends units again.")
    assert (closed.state, closed.closed_by) == ("ended", "A. Analyst")
    assert "Fixed at source: The feed sends units again." in closed.sentence
    assert portfolio.home.windows.quarantined(), "only a release lets them be learned from"
    with pytest.raises(Conflict, match="can be closed"):
        portfolio.close(case.id, note="Again.")
    portfolio.release(case.id, by="A. Analyst", note="The values are right after all.")
    with pytest.raises(Conflict, match="no quarantined window"):
        portfolio.rescore(case.id, portfolio.home.folder / "2025-02.csv")
    with pytest.raises(Conflict, match="no quarantined window"):
        portfolio.release(case.id, note="Again.")
