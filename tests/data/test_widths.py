"""Columns of fixed widths: found by what is blank in all records, with blanks and gaps within them; or said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import TARGET, fixed, history

from riskloop.core.errors import DataError
from riskloop.core.settings import DataSettings, parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows, table_of

RNG = np.random.default_rng(3)
FRAME = history()
N = len(FRAME)
PEOPLE = [
    f"{a} {b}" for a, b in zip(RNG.choice(["Jo", "Anna Maria"], N), RNG.choice(["Li", 'van "Ed" Berg'], N), strict=True)
]
FRAME.insert(1, "full name", PEOPLE)
FRAME.insert(3, "seen at", FRAME["applied"] + [f" {hour:02d}:15" for hour in RNG.integers(8, 18, N)])
FRAME["closed"] = np.where(RNG.random(N) < 0.02, "2023-01-01", "")

WRITTEN = {
    "to the left": fixed(FRAME),
    "numbers to the right": fixed(FRAME, right=True),
    "one blank between": fixed(FRAME, gap=1),
    "one blank, numbers to the right": fixed(FRAME, right=True, gap=1),
    "a rule below the names": fixed(FRAME, ruled=True, gap=1),
    "as pandas prints": FRAME.to_string(index=False, na_rep="") + "\n",
    "notes above": "LOANS\nall of them as of today, with every column that there is\n\n" + fixed(FRAME),
    "totals below": fixed(FRAME) + "\nTotal: 240 loans, and no more of them anywhere\n",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_columns_are_found_with_blanks_and_gaps_in_them(name: str, tmp_path: Path) -> None:
    path = tmp_path / "h.txt"
    path.write_text(WRITTEN[name], encoding="utf-8")
    found = examine(path, Wanted(TARGET))
    assert [column.name for column in found.columns] == [str(name) for name in FRAME]
    read = table_of(path, where="h", dialect=found.dialect).to_pandas()
    assert read.shape == FRAME.shape
    for column in ("full name", "seen at", "closed", "purpose"):
        assert read[column].tolist() == FRAME[column].tolist()
    np.testing.assert_array_equal(pd.to_numeric(read["income"].replace("", None)), FRAME["income"])
    settings = parse_settings(config_text(found))
    assert settings.data.widths == found.dialect.widths
    assert len(read_rows(path, settings.row_schema, target="required", where="h", dialect=settings.data).rows) == N


def test_columns_that_touch_are_cut_where_a_person_says(tmp_path: Path) -> None:
    path = tmp_path / "h.txt"
    path.write_text(fixed(FRAME, gap=0, head=False), encoding="utf-8")
    cells = [FRAME[name].map(lambda v: "" if v != v else str(v)) for name in FRAME]
    widths = tuple(int(column.str.len().max()) for column in cells)
    target = f"column_{1 + list(FRAME).index(TARGET)}"
    found = examine(path, Wanted(target, dialect=DataSettings(widths=widths)))
    assert found.target.defaults == FRAME[TARGET].sum()
    assert table_of(path, where="h", dialect=found.dialect)["column_2"].to_pylist() == PEOPLE


def test_later_files_are_cut_alike_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "h.txt").write_text(fixed(FRAME), encoding="utf-8")
    settings = parse_settings(config_text(examine(tmp_path / "h.txt", Wanted(TARGET))))
    schema = settings.row_schema
    whole = read_rows(tmp_path / "h.txt", schema, target="absent", where="h", dialect=settings.data).rows
    monkeypatch.setattr("riskloop.data.streams.BLOCK", 700)
    for content in (fixed(FRAME), fixed(FRAME).replace("\n", "\r\n")):
        (tmp_path / "p.txt").write_text(content, encoding="utf-8", newline="")
        again = read_rows(tmp_path / "p.txt", schema, target="absent", where="p", dialect=settings.data).rows
        np.testing.assert_array_equal(again.features, whole.features)
    late = fixed(FRAME).splitlines()
    late[9] = late[9].replace(FRAME["purpose"][8], "yacht")
    (tmp_path / "p.txt").write_text("\n".join(late), encoding="utf-8")
    checked = read_rows(tmp_path / "p.txt", schema, target="absent", where="p", dialect=settings.data)
    assert checked.source.places([entry.position for entry in checked.refused]) == ["line 10"]


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("name", ["income", "purpose", "applied"])
def test_a_value_wider_than_its_column_refuses_its_row_and_is_not_cut(name: str, right: bool, tmp_path: Path) -> None:
    path = tmp_path / "h.txt"
    lines = fixed(FRAME, right=right, gap=1).splitlines()
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    found = examine(path, Wanted(TARGET))
    settings = parse_settings(config_text(found))
    place = [str(c) for c in FRAME].index(name)
    ends = np.cumsum(settings.data.widths)
    end = int(ends[place])
    spoilt = [*lines]
    spoilt[40] = lines[40][: end - 4] + "9" * 8 + lines[40][end + 4 :]
    (tmp_path / "later.txt").write_text("\n".join([*spoilt, ""]), encoding="utf-8")
    read = read_rows(
        tmp_path / "later.txt", settings.row_schema, target="required", where="later", dialect=settings.data
    )
    assert [entry.position for entry in read.refused] == [39]
    assert "wider than its column" in read.refused[0].problem
    assert len(read.rows) == N - 1
    assert "line 41" in read.source.places([39])[0]
    strict = settings.data.model_copy(update={"strict": True})
    with pytest.raises(DataError, match=r"line 41 has a value that is wider than its column"):
        read_rows(tmp_path / "later.txt", settings.row_schema, target="required", where="later", dialect=strict)
