"""Dates beside outcomes that no column name explains: they are said not to be read."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.data.opening import open_source
from riskloop.data.outcomes import read_handed_in
from riskloop.data.unread import unread_dates

SCHEMA = Schema((Feature("debt", "number"),), target="bad", id="loan", time="applied")
NOW = datetime(2025, 5, 1, tzinfo=UTC)
FRAME = pd.DataFrame({"loan": ["a", "b", "c"], "bad": [0, 1, 0]})


def notes(frame: pd.DataFrame) -> tuple[str, ...]:
    return unread_dates(open_source(frame, DataSettings(), "o")[0], SCHEMA)


@pytest.mark.parametrize(
    "values",
    [
        ["15.02.2025", "16.02.2025", ""],
        ["10/01/2024"] * 3,
        ["31-Dec-23", "NA", "30-Dec-23"],
        ["Feb-2024", "Mar-2024", "Apr-2024"],
        ["20220115", "20220116", "20220117"],
        ["2024-05-01T00:00:00+01:00"] * 3,
        [pd.Timestamp("2025-01-01"), pd.NaT, pd.Timestamp("2025-01-03")],
    ],
)
def test_dates_that_nothing_reads_are_named(values: list[Any]) -> None:
    (said,) = notes(FRAME.assign(Meldedatum=values))
    assert said.startswith("'Meldedatum' is not read: all outcomes count as known now.")
    assert "known_at" in said


@pytest.mark.parametrize("values", [["12", "13", "40"], [1, 2, 3], ["A1", "2024-01-01", "x"], ["", "", ""]])
def test_what_is_no_date_is_not_asked_about(values: list[Any]) -> None:
    assert notes(FRAME.assign(note=values)) == ()


def test_where_the_moment_is_there_nothing_is_said() -> None:
    assert notes(FRAME.assign(known_at=["2025-01-01"] * 3, closed=["2025-02-01"] * 3)) == ()
    assert notes(FRAME.assign(applied=["2024-01-01"] * 3)) == ()


def test_a_file_and_a_stream_say_it(tmp_path: Path) -> None:
    text = FRAME.assign(Reported=["05.10.2024"] * 3).to_csv(index=False)
    (tmp_path / "o.csv").write_text(text)
    for source in (tmp_path / "o.csv", io.BytesIO(text.encode())):
        handed = read_handed_in(source, SCHEMA, DataSettings(), NOW, strict=False, empty=False)
        assert len(handed.labels) == len(FRAME)
        assert any("'Reported' is not read" in note for note in handed.notes)
