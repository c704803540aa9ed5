"""Columns whose names differ from the schema's in case, blanks or punctuation only are the same, in every way in."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.data.lender import ID, TARGET, history

from riskloop.core.errors import DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings, parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.outcomes import read_handed_in, read_outcomes
from riskloop.data.read import read_rows
from riskloop.data.spelling import respelled
from riskloop.loop.check import check

FRAME = history(120, seed=3).rename(columns={"income": "Net Income", "late": "late_months"})
NOW = datetime(2025, 5, 1, tzinfo=UTC)
WAYS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "lower case": str.lower,
    "blanks for lines": lambda name: name.replace("_", " ").title(),
    "lines for blanks": lambda name: name.replace(" ", "_"),
    "camel case": lambda name: name.title().replace(" ", "").replace("_", ""),
}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("h") / "h.csv"
    FRAME.to_csv(path, index=False)
    return parse_settings(config_text(examine(path, Wanted(TARGET)))).row_schema


def sources(frame: pd.DataFrame, folder: Path) -> list[Any]:
    frame.to_csv(folder / "n.csv", index=False)
    frame.to_parquet(folder / "n.parquet")
    (folder / "parts").mkdir()
    frame.iloc[:50].to_csv(folder / "parts/1.csv", index=False)
    frame.iloc[50:].to_csv(folder / "parts/2.csv", index=False)
    return [frame, folder / "n.csv", folder / "n.parquet", folder / "parts"]


@pytest.mark.parametrize("name", WAYS)
def test_another_spelling_is_the_same_column(name: str, schema: Any, tmp_path: Path) -> None:
    plain = read_rows(FRAME.drop(columns=TARGET), schema, target="absent", where="f").rows
    other = FRAME.drop(columns=TARGET).rename(columns=WAYS[name])
    for source in sources(other[other.columns[::-1]], tmp_path):
        rows = read_rows(source, schema, target="absent", where="n").rows
        assert rows.ids == plain.ids
        assert rows.times.tolist() == plain.times.tolist()
        assert pd.DataFrame(rows.features).equals(pd.DataFrame(plain.features))
    told = FRAME[[ID, TARGET]].rename(columns=WAYS[name])
    told.to_csv(tmp_path / "o.csv", index=False)
    found = read_outcomes(tmp_path / "o.csv", schema, default_known_at=NOW)
    assert [one.defaulted for one in found] == (FRAME[TARGET] == 1).tolist()


def test_two_that_may_be_meant_are_refused_and_the_name_itself_wins(schema: Any) -> None:
    frame = FRAME.drop(columns=TARGET)
    twice = frame.drop(columns="Net Income").assign(**{"NET INCOME": 1.0, "net_income": 2.0})
    with pytest.raises(DataError, match="column 'Net Income' is missing"):
        read_rows(twice, schema, target="absent", where="n")
    both = frame.assign(**{"NET INCOME": 1.0})
    plain = read_rows(frame, schema, target="absent", where="f").rows
    found = read_rows(both, schema, target="absent", where="n").rows
    assert pd.DataFrame(found.features).equals(pd.DataFrame(plain.features))


@pytest.mark.parametrize(
    ("names", "expected", "ignored", "found"),
    [
        (["AGE", "x"], ["age"], (), {"AGE": "age"}),
        (["AGE"], ["age", "Age"], (), {}),  # which of the two?
        (["AGE"], ["age"], ("AGE",), {}),  # named as ignored
        (["AGE"], ["age"], ("Age",), {}),
        (["ages"], ["age"], (), {}),
        (["%", "§"], ["&"], (), {}),
    ],
)
def test_which_names_are_the_same(names: Any, expected: Any, ignored: Any, found: Any) -> None:
    assert respelled(names, expected, ignored) == found


@pytest.mark.parametrize("given", ["AMT FINANCED", "Amt-Financed", "amtFinanced"])
@pytest.mark.parametrize("way", ["csv", "parquet", "frame", "folder", "partition"])
def test_which_columns_are_read_under_another_name_is_said(given: str, way: str, tmp_path: Path) -> None:
    schema = Schema((Feature("amt_financed"), Feature("age")), target="bad", id="id")
    frame = pd.DataFrame({"id": ["a", "b"], given: [100.0, 200.0], "age": [30, 40]})
    (tmp_path / "in" / "year=2023").mkdir(parents=True)
    name = "f.parquet" if way == "parquet" else "f.csv"
    place = tmp_path / "in" / "year=2023" / name if way == "partition" else tmp_path / "in" / name
    frame.to_parquet(place) if way == "parquet" else frame.to_csv(place, index=False)
    if way == "folder":
        frame.assign(id=["c", "d"]).to_csv(tmp_path / "in" / "g.csv", index=False)
    sources = {"frame": frame, "folder": tmp_path / "in" / "*.csv", "partition": tmp_path / "in"}
    source = sources.get(way, place)
    read = read_rows(source, schema, target="absent", where="f")
    assert read.rows.features[:2, 0].tolist() == [100.0, 200.0]
    assert f"'{given}' as 'amt_financed'" in " ".join(read.source.notes)
    (tmp_path / "o.csv").write_text("ID,B A D\na,1\nb,0\n", encoding="utf-8")
    handed = read_handed_in(tmp_path / "o.csv", schema, DataSettings(), NOW, strict=False, empty=False)
    assert "'B A D' as 'bad'" in " ".join(handed.notes)
    assert "'ID' as 'id'" in " ".join(handed.notes)


@pytest.mark.parametrize("name", WAYS)
def test_a_check_reads_another_spelling_as_scoring_does_and_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    FRAME.to_csv(tmp_path / "h/h.csv", index=False)
    settings = parse_settings(config_text(examine(tmp_path / "h/h.csv", Wanted(TARGET))))
    other = FRAME.drop(columns=TARGET).rename(columns=WAYS[name])
    for source in sources(other, tmp_path):
        found = check(None, settings.row_schema, settings, source, "n")
        assert found["refused"] == 0
        assert [c["findings"] for c in found["columns"]] == [[]] * len(found["columns"])
        assert found["findings"] == []
        wanted = [n for n in ("Net Income", "late_months") if n not in other.columns]
        assert all(any(f"as '{n}'" in note for note in found["notes"]) for n in wanted)
