"""Dates beside outcomes that no column name explains: they are said not to be read."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from riskloop.core.errors import DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import to_micros
from riskloop.data.opening import open_source
from riskloop.data.outcomes import read_handed_in, read_outcomes
from riskloop.data.unread import unread_dates
from riskloop.serve.outcomes import outcome_table

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


@pytest.mark.parametrize("called", ["Meldedatum", "reported on", "known"])
@pytest.mark.parametrize("way", ["file", "parquet", "frame", "stream"])
@pytest.mark.parametrize("odd", [False, True])  # a row that only the careful way reads
def test_the_column_that_the_configuration_names_is_read(called: str, way: str, odd: bool, tmp_path: Path) -> None:
    known = ["2025-01-31", "", "2025-03-01"]
    frame = FRAME.assign(**{called: known}).astype({"bad": str})
    frame.loc[0, "bad"] = " no" if odd else "0"
    frame.to_csv(tmp_path / "o.csv", index=False)
    frame.to_parquet(tmp_path / "o.parquet")
    source = {"file": tmp_path / "o.csv", "parquet": tmp_path / "o.parquet", "frame": frame}.get(
        way, io.BytesIO((tmp_path / "o.csv").read_bytes())
    )
    schema = msgspec.structs.replace(SCHEMA, known_at=called)
    handed = read_handed_in(source, schema, DataSettings(), NOW, strict=True, empty=False)
    moments = [NOW if not day else datetime.fromisoformat(day).replace(tzinfo=UTC) for day in known]
    assert handed.labels.known_at.tolist() == [to_micros(moment) for moment in moments]
    assert not handed.notes


@pytest.mark.parametrize("when", ["yesterday", "1901-01-01", "2031-01-01"])
def test_a_moment_that_cannot_be_is_named_by_its_column(when: str) -> None:
    schema = msgspec.structs.replace(SCHEMA, known_at="Meldedatum")
    with pytest.raises(DataError, match="Meldedatum"):
        read_outcomes(FRAME.assign(Meldedatum=when), schema, default_known_at=NOW)


def test_a_column_of_the_usual_name_is_understood_beside_another_setting() -> None:
    schema = msgspec.structs.replace(SCHEMA, known_at="Meldedatum")
    for name in ("known_at", "meldedatum"):
        (first, *_) = read_outcomes(FRAME.assign(**{name: "2025-01-31"}), schema, default_known_at=NOW)
        assert first.known_at == datetime(2025, 1, 31, tzinfo=UTC)
    both = FRAME.assign(known_at="2025-01-31", Meldedatum="2025-02-28")
    assert read_outcomes(both, schema, default_known_at=NOW)[0].known_at == datetime(2025, 2, 28, tzinfo=UTC)
    body = outcome_table(b'[{"loan": "a", "bad": 1, "Meldedatum": "2025-01-31"}]', schema)
    assert read_outcomes(body, schema, default_known_at=NOW)[0].known_at == datetime(2025, 1, 31, tzinfo=UTC)
