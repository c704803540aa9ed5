import csv
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from msgspec.structs import replace
from pyarrow import parquet

from riskloop.batch.files import ParquetFile
from riskloop.core.errors import DataError, MalformedBody, NotFound
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import EPOCH, from_micros
from riskloop.data.formats import parquet_source
from riskloop.data.read import not_read, not_read_sentence, read_rows, rows_from

SCHEMA = Schema(
    features=(
        Feature("amount", low=0.0),
        Feature("grade", kind="category", categories=("1", "2", "other")),
        Feature("income", nullable=True),
        Feature("region", kind="category", categories=("north", "south"), unseen="flag", nullable=True),
    ),
    target="default",
    id="id",
    time="day",
    ignored=("note",),
)

GOOD = """region,id,amount,grade,income,default,day,note
north,007,10.5,1,,0,2024-01-31,x
south,8,0,2.0,3,1,2024-02-01T12:00:00+02:00,
west,9,1e3,other,4,0,202403,"a
b"
"""


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.csv"
    path.write_text(GOOD)
    return path


def refusal(path: Path, text: str, schema: Schema = SCHEMA) -> DataError:
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        rows_from(path, schema, target="required", where="h.csv")
    return caught.value


def test_a_csv_becomes_coded_rows_in_the_schemas_order(history: Path) -> None:
    rows = rows_from(history, SCHEMA, target="required", where="h.csv")
    np.testing.assert_array_equal(rows.features[:, 0], [10.5, 0.0, 1000.0])
    np.testing.assert_array_equal(rows.features[:, 1], [0, 1, 2])
    np.testing.assert_array_equal(rows.features[:, 2], [math.nan, 3, 4])
    np.testing.assert_array_equal(rows.features[:, 3], [0, 1, 2])  # 2 = unseen, flagged later
    assert list(rows.ids) == ["007", "8", "9"]
    assert [from_micros(t).isoformat() for t in rows.times] == [
        "2024-01-31T00:00:00+00:00",
        "2024-02-01T10:00:00+00:00",
        "2024-03-01T00:00:00+00:00",
    ]
    assert rows.target is not None
    assert rows.target.tolist() == [0, 1, 0]


def test_csv_frame_and_parquet_give_the_same_rows(history: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(history, dtype={"id": str})
    frame.to_parquet(tmp_path / "h.parquet")
    expected = rows_from(history, SCHEMA, target="required", where="h")
    for source in (frame, tmp_path / "h.parquet", pa.Table.from_pandas(frame).to_batches()[0]):
        rows = rows_from(source, SCHEMA, target="required", where="h")
        np.testing.assert_array_equal(rows.features, expected.features)
        np.testing.assert_array_equal(rows.times, expected.times)
        assert list(rows.ids) == list(expected.ids)


def test_production_may_lack_target_and_time_and_may_carry_the_target(history: Path) -> None:
    assert rows_from(history, SCHEMA, target="absent", where="p.csv").target is None
    frame = pd.read_csv(history).drop(columns=["default", "day"])
    rows = rows_from(frame, SCHEMA, target="absent", where="p.csv")
    assert rows.times.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("10.5", "abc", "line 2, column 'amount': 'abc' is not a number"),
        ("10.5", "1_0", "line 2, column 'amount': '1_0' is not a number"),
        ("10.5", "", "line 2, column 'amount': is missing"),
        ("10.5", "NaN", "line 2, column 'amount': is missing"),
        ("10.5", "inf", "line 2, column 'amount': inf is infinite"),
        ("10.5", "-1", "line 2, column 'amount': -1.0 is outside the range"),
        ("2.0", "5", "line 3, column 'grade': '5' is not one of its levels (1, 2, other)"),
        ("0,2024-01-31", "maybe,2024-01-31", "line 2, column 'default': 'maybe' is neither"),
        ("0,2024-01-31", ",2024-01-31", "line 2, column 'default': is neither"),
        ("2024-01-31", "32/01/2024", "line 2, column 'day': '32/01/2024' is not a date"),
        ("2024-01-31", "03/01/2024", "can be 03 January 2024 (dmy) or 01 March 2024 (mdy)"),
        ("2024-01-31", "240131", "as YYMMDD it is 2024-01-31"),
        ("2024-01-31", "45322", "as a day number of a spreadsheet it is 2024-01-31"),
        ("2024-01-31", "1970-01-01", "is before 1980-01-01 ('earliest' of [portfolio])"),
        ("007", "", "line 2, column 'id': is missing"),
    ],
)
def test_a_bad_value_is_named_with_line_column_and_value(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in refusal(tmp_path / "h.csv", GOOD.replace(old, new, 1)).message


def test_lines_count_blank_lines_and_quoted_line_ends(tmp_path: Path) -> None:
    text = GOOD + "\n\nnorth,10,oops,1,1,0,2024-01-01,\n"
    assert "line 8, column 'amount'" in refusal(tmp_path / "h.csv", text).message


def test_many_problems_are_counted_and_the_first_are_listed(tmp_path: Path) -> None:
    lines = [f"north,{i},x,9,1,{i % 2},2024-01-01," for i in range(100)]
    error = refusal(tmp_path / "h.csv", GOOD.splitlines()[0] + "\n" + "\n".join(lines))
    assert "(199 more problems)" in error.message
    assert len(error.details) == 5
    assert {p.field for p in error.details} == {"amount", "grade"}


def test_an_id_that_not_every_database_can_keep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(GOOD)
    frame = pd.read_csv(tmp_path / "h.csv", dtype={"id": str})
    frame.loc[1, "id"] = "a\0b"
    with pytest.raises(DataError, match="must not hold the character NUL"):
        rows_from(frame, SCHEMA, target="required", where="the frame")


def test_a_duplicate_id_is_refused_unless_the_time_differs(tmp_path: Path) -> None:
    same_day = GOOD.replace("south,8", "south,007").replace("2024-02-01T12:00:00+02:00", "2024-01-31")
    assert "line 3, column 'id': '007' is a duplicate id" in refusal(tmp_path / "h.csv", same_day).message
    (tmp_path / "h.csv").write_text(GOOD.replace("south,8", "south,007"))
    assert len(rows_from(tmp_path / "h.csv", SCHEMA, target="required", where="h")) == 3


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", DataError, "is empty"),
        (GOOD.splitlines()[0] + "\n", DataError, "holds no rows"),
        (GOOD.replace(",income", ",wages"), DataError, "'income' is missing; column 'wages' is not in the schema"),
        (GOOD.replace(",income", ",amount"), DataError, "has the column 'amount' twice"),
        (GOOD + "north,1\n", DataError, "line 6 has 2 fields instead of 8"),
        (GOOD.replace(",", ";"), DataError, 'separated by semicolons. If it is the right file, say --delimiter ";"'),
        (GOOD.replace("1,2024", "0,2024").replace("3,1,", "3,0,"), DataError, "same value 0"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(tmp_path: Path, text: str, kind: type[DataError], message: str) -> None:
    error = refusal(tmp_path / "h.csv", text)
    assert message in error.message
    assert type(error) is kind


@pytest.mark.parametrize("extra", [("region_name",), ("a b", "Ergänzung €"), tuple(f"c{i}" for i in range(12))])
def test_columns_that_the_schema_does_not_name_are_not_read_and_named(tmp_path: Path, extra: tuple[str, ...]) -> None:
    lines = [*csv.reader(io.StringIO(GOOD))]
    (tmp_path / "h.csv").write_text(GOOD)
    plain = rows_from(tmp_path / "h.csv", SCHEMA, target="absent", where="h")
    with (tmp_path / "more.csv").open("w", newline="") as out:
        csv.writer(out).writerows([[*extra, *lines[0]], *([["x"] * len(extra) + line for line in lines[1:]])])
    checked = read_rows(tmp_path / "more.csv", SCHEMA, target="absent", where="more")
    assert checked.rows.ids == plain.ids
    assert np.array_equal(checked.rows.features, plain.features, equal_nan=True)
    found = not_read(checked.source.names, SCHEMA)
    assert found == extra
    assert all(f"'{name}'" in not_read_sentence(found) for name in extra[:8])
    assert not_read_sentence(()) == ""


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("income", "incomes"), ("income", "inc0me"), ("day", "days"), ("day", "dya"), ("region", "regoin"), ("id", "idd")],
)
@pytest.mark.parametrize("nullable", [False, True])
def test_a_misspelt_column_is_no_further_one(tmp_path: Path, name: str, wrong: str, nullable: bool) -> None:
    header = GOOD.splitlines()[0].split(",")
    text = GOOD.replace(",".join(header), ",".join(wrong if n == name else n for n in header))
    schema = replace(SCHEMA, features=tuple(replace(f, nullable=nullable) for f in SCHEMA.features))
    (tmp_path / "h.csv").write_text(text)
    with pytest.raises(DataError, match=rf"column '{name}' is missing; '{wrong}' looks like it"):
        rows_from(tmp_path / "h.csv", schema, target="absent", where="h")


def test_bytes_that_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD.encode().replace(b"other", b"oth\xe9r"))
    (tmp_path / "b.parquet").write_bytes(b"PAR1nonsense")
    (tmp_path / "c.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="bytes that are not utf-8"):
        rows_from(tmp_path / "a.csv", SCHEMA, target="required", where="a.csv")
    for name in ("b.parquet", "c.csv"):
        with pytest.raises(MalformedBody):
            rows_from(tmp_path / name, SCHEMA, target="required", where=name)
    with pytest.raises(NotFound, match="does not exist"):
        rows_from(tmp_path / "none.csv", SCHEMA, target="required", where="none.csv")


def test_a_frame_with_mixed_objects_names_the_row() -> None:
    frame = pd.DataFrame({"x": [1, 2, "three"], "default": [0, 1, 0]})
    with pytest.raises(DataError, match="row 3, column 'x': 'three' is not a number"):
        rows_from(frame, Schema((Feature("x"),), "default"), target="required", where="the frame")


@pytest.mark.parametrize(
    ("values", "fits"), [([True, False], False), ([1, 2], True), (["1", "2"], True), (pd.to_datetime([0, 1]), False)]
)
def test_number_columns_take_numbers_and_text_of_numbers_only(values: Any, fits: bool) -> None:
    frame, schema = pd.DataFrame({"x": values, "y": [0, 1]}), Schema((Feature("x"),), "y")
    if fits:
        assert len(rows_from(frame, schema, target="required", where="f")) == 2
    else:
        with pytest.raises(DataError, match="not numbers"):
            rows_from(frame, schema, target="required", where="f")


@pytest.mark.parametrize("values", [[0, 1], [0.0, 1.0], ["no", "Yes"], [False, True], ["0.0", "1"], ["F", "T"]])
def test_targets(values: list[Any]) -> None:
    frame, schema = pd.DataFrame({"x": [1, 2], "y": values}), Schema((Feature("x"),), "y")
    if values == ["F", "T"]:
        with pytest.raises(DataError, match="neither"):
            rows_from(frame, schema, target="required", where="f")
    else:
        rows = rows_from(frame, schema, target="required", where="f")
        assert rows.target is not None
        assert rows.target.tolist() == [0, 1]


def test_timestamps_of_a_frame_are_read_as_they_are() -> None:
    days = pd.to_datetime(["2024-01-01", "2024-01-02"])
    schema = Schema((Feature("x"),), "y", time="t")
    for values in (days, days.tz_localize("UTC"), days.date):
        frame = pd.DataFrame({"x": [1, 2], "y": [0, 1], "t": values})
        times = rows_from(frame, schema, target="required", where="f").times
        assert [(from_micros(t) - EPOCH).days for t in times] == [19723, 19724]


def test_arrows_threads_own_no_object_of_python() -> None:
    """One that outlives the interpreter ends the process by an abort."""
    import sys

    from riskloop.data.streams import arrow_memory

    content = b"1,2\n" * 1000
    before = sys.getrefcount(content)
    held = arrow_memory(content)
    assert sys.getrefcount(content) == before
    assert held.to_pybytes() == content


def _scored_file(path: Path) -> Iterator[Any]:
    yield from ParquetFile(path).chunks(100_000)


def _source(path: Path) -> Iterator[Any]:
    yield from parquet_source(path, "the file").blocks()


@pytest.mark.parametrize("read", [_scored_file, _source])
def test_of_a_parquet_file_one_row_group_is_in_memory_at_a_time(
    tmp_path: Path, read: Callable[[Path], Iterator[Any]]
) -> None:
    path, rng = tmp_path / "large.parquet", np.random.default_rng(1)
    groups, values = 20, 100_000
    with parquet.ParquetWriter(path, pa.schema([("x", pa.float64())])) as writer:
        for _ in range(groups):
            writer.write_table(pa.table({"x": rng.normal(size=values)}))
    before, most = pa.total_allocated_bytes(), 0
    for _block in read(path):
        most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < 0.5 * path.stat().st_size
