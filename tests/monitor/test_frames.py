from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from riskloop.core.errors import NotFound
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import Severity
from riskloop.monitor.frames import coded
from riskloop.simulation.embedded import TARGET, simulate

from .conftest import MAY, SCHEMA, J, built, month


def frame() -> pd.DataFrame:
    return simulate([MAY], 300, 61).drop(columns=["ID"])


def test_frames_arrow_tables_and_batches_give_the_same_profile() -> None:
    sound = frame()
    table = pa.Table.from_pandas(sound, preserve_index=False)
    batches = table.to_batches(max_chunksize=120)
    window = month(300, 61)
    expected = built().profile(window.features, window.scores, window.times).to_bytes()
    for source in (sound, table, table.combine_chunks().to_batches()[0]):
        features, times, found = coded(source, SCHEMA)
        assert found == []
        assert built().profile(features, window.scores, times).to_bytes() == expected
    total, start = built().empty, 0
    for batch in batches:
        features, times, _ = coded(batch, SCHEMA)
        total += built().profile(features, window.scores[start : start + len(features)], times)
        start += len(features)
    assert total.to_bytes() == expected


def test_what_does_not_fit_is_a_finding_and_stops_no_other_column() -> None:
    odd = frame().drop(columns="AGE").assign(colour="red", PAY_AMT1=np.nan)
    odd["LIMIT_BAL"] = odd["LIMIT_BAL"].astype(object)
    odd.loc[:9, "LIMIT_BAL"] = "a lot"
    odd["EDUCATION"] = odd["EDUCATION"].astype(object)
    odd.loc[:4, "EDUCATION"] = "astronaut"
    odd.loc[5, "EDUCATION"] = None
    features, times, found = coded(odd, SCHEMA)
    said = {(f.check, f.subject): f for f in found}
    assert set(said) == {("column", "AGE"), ("unreadable", "LIMIT_BAL"), ("new_column", "colour")}
    assert said["column", "AGE"].severity is Severity.FAULT
    assert said["unreadable", "LIMIT_BAL"].statistic == pytest.approx(10 / 300)
    assert said["new_column", "colour"].severity is Severity.OK
    assert np.isnan(features[:, [J["AGE"], J["PAY_AMT1"]]]).all()
    assert np.isnan(features[:10, J["LIMIT_BAL"]]).all()
    assert not np.isnan(features[10:, J["LIMIT_BAL"]]).any()
    assert features[:5, J["EDUCATION"]].tolist() == [7.0] * 5
    assert np.isnan(features[5, J["EDUCATION"]])
    assert len(times) == 300


def test_dates_that_are_none_and_empty_frames() -> None:
    broken = frame().assign(application_date="soon")
    _, times, found = coded(broken, SCHEMA)
    assert len(times) == 0
    assert [f.sentence for f in found] == ["300 values of application_date are no dates."]
    features, _, found = coded(frame()[:0], SCHEMA)
    assert features.shape == (0, 23)
    assert found == []
    assert TARGET in frame().columns


def test_no_file() -> None:
    with pytest.raises(NotFound):
        coded("nowhere.csv", SCHEMA)


@pytest.mark.parametrize("delimiter", ["|", ",", "\t"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_month_without_header_and_outcome_is_looked_at_whole(delimiter: str, place: int, tmp_path: Path) -> None:
    names = ["column_1", "column_2"]
    names.insert(place, "bad")
    schema = Schema((Feature("column_1", "number"), Feature("column_2", "number")), target="bad")
    dialect = DataSettings(delimiter=delimiter, header=False, columns=tuple(names))
    lines = [f"{i}{delimiter}{i * 10}" for i in range(30)]
    (tmp_path / "june.txt").write_text("\n".join([*lines, ""]))
    features, _, found = coded(tmp_path / "june.txt", schema, "june", dialect)
    assert features.tolist() == [[i, i * 10] for i in range(30)]
    assert found == []


@pytest.mark.parametrize("rows", [40, 383])
@pytest.mark.parametrize("broken", [1, 3, 40])
@pytest.mark.parametrize("what", ["date", "number"])
def test_a_slip_in_some_rows_is_no_fault_of_the_file(rows: int, broken: int, what: str) -> None:
    """Such rows are set aside when the file is scored; a column of which many are so is a fault."""
    schema = Schema((Feature("debt"),), target="bad", time="day")
    sound = pd.DataFrame({"debt": np.arange(rows) + 1.0, "day": "2025-03-31"}).astype(object)
    at = np.arange(rows)[5 :: max(1, rows // (broken + 1))][:broken]
    odd = sound.copy()
    odd.loc[at, "day" if what == "date" else "debt"] = "soon"
    features, times, found = coded(odd, schema)
    (said,) = found
    assert said.severity is (Severity.FAULT if len(at) > 3 else Severity.OK)
    assert f"{len(at)} value" in said.sentence
    kept = np.setdiff1d(np.arange(rows), at)
    if what == "date":  # the others keep theirs
        assert features[:, 0].tolist() == (kept + 1.0).tolist()
        assert len(times) == len(kept)
        assert len({*times.tolist()}) == 1
    else:
        assert np.flatnonzero(np.isnan(features[:, 0])).tolist() == at.tolist()
        assert len(times) == rows


def test_a_column_of_no_dates_at_all_dates_no_row() -> None:
    schema = Schema((Feature("debt"),), target="bad", time="day")
    features, times, found = coded(pd.DataFrame({"debt": [1.0] * 9, "day": ["soon"] * 9}), schema)
    assert (len(features), len(times)) == (9, 0)
    assert [f.severity for f in found] == [Severity.FAULT]
