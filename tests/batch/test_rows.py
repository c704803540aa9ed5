"""Files that are no plain CSV, on their way through the API: what is sent, what is written, and where a row stands."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from riskloop.batch.opening import open_file
from riskloop.batch.rows import RowsFile
from riskloop.core.errors import DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.data.read import screen_rows

SCHEMA = Schema(
    (
        Feature("income", written="amount"),
        Feature("late", nullable=True),
        Feature("region", "category", categories=("N", "S")),
    ),
    target="default",
    id="id",
)
FRAME = pd.DataFrame(
    {"id": ["001", "002", "003", "004", "005"],
     "income": ["1.234,50", "7,25", "x", "3", "4"], "late": ["0", "1", "2", "3", "4"],
     "region": ["N", "S", "N", "S", "N"]}
)  # fmt: skip
GERMAN = DataSettings(delimiter=";", decimal=",", encoding="cp1252", max_refused=0.5)


def opened(tmp_path: Path, target: str, content: bytes, name: str = "in.csv") -> RowsFile:
    source = tmp_path / name
    source.write_bytes(content)
    screened = screen_rows(str(source), SCHEMA, where=name, dialect=GERMAN)
    file = open_file(source, tmp_path / target, dialect=GERMAN, schema=SCHEMA, screened=screened)
    assert isinstance(file, RowsFile)
    return file


def answers(rows: int) -> pa.Table:
    from riskloop.core.schema import APPENDED

    columns: dict[str, Any] = {name: pa.array([f"{name}{i}" for i in range(rows)]) for name in APPENDED}
    return pa.table({**columns, "default": pa.array([i % 2 for i in range(rows)])})


def written(file: RowsFile, folder: Path, rows: int) -> tuple[Path, list[pa.Table]]:
    """The output as the client puts it together, and what was sent."""
    part, sent = folder / "out.part", []
    with part.open("wb") as out:
        out.write(file.head())
        for chunk in file.chunks(rows):
            sent.append(pa.ipc.open_stream(chunk.body).read_all())
            out.write(file.render(chunk, answers(chunk.rows)))
    return file.finish(part, sum(table.num_rows for table in sent)), sent


TEXT = FRAME.to_csv(index=False, sep=";").encode("cp1252")


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_numbers_are_sent_as_numbers_and_written_as_they_were(rows: int, tmp_path: Path) -> None:
    done, sent = written(opened(tmp_path, "out.csv", TEXT), tmp_path, rows)
    together = pa.concat_tables(sent)
    assert together["income"].to_pylist() == [1234.5, 7.25, 3.0, 4.0]
    assert together["id"].to_pylist() == ["001", "002", "004", "005"]
    out = pd.read_csv(done, dtype=str)
    assert out["income"].tolist() == ["1.234,50", "7,25", "3", "4"]
    assert out["id"].tolist() == ["001", "002", "004", "005"]
    assert out["default"].tolist() == [str(i % rows % 2) for i in range(4)]


def test_a_kept_row_knows_its_line_in_the_file(tmp_path: Path) -> None:
    file = opened(tmp_path, "out.csv", TEXT)
    assert [file.place(row) for row in (1, 2, 3, 4)] == ["line 2", "line 3", "line 5", "line 6"]


def test_compressed_files_go_in_and_out(tmp_path: Path) -> None:
    done, _ = written(opened(tmp_path, "out.csv.gz", gzip.compress(TEXT), "in.csv.gz"), tmp_path, 3)
    assert len(pd.read_csv(io.BytesIO(gzip.decompress(done.read_bytes())))) == 4


def test_parquet_is_put_together_from_chunks_of_different_types(tmp_path: Path) -> None:
    frame = FRAME.assign(late=[1.0, np.nan, 2.0, np.nan, np.nan], income=["1", "2", "x", "4", "5"])
    frame.to_parquet(tmp_path / "in.parquet")
    file = opened(tmp_path, "out.parquet", (tmp_path / "in.parquet").read_bytes(), "in.parquet")
    done, sent = written(file, tmp_path, 1)
    assert [table.num_rows for table in sent] == [1] * 4
    table = parquet.read_table(done)
    assert table.num_rows == 4
    assert {"probability", "decision_id", "income"} <= set(table.column_names)


def test_no_column_of_the_file_is_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(FRAME.assign(probability="0.5").to_csv(index=False, sep=";").encode("cp1252"))
    schema = Schema(SCHEMA.features, target="default", id="id", ignored=("probability",))
    with pytest.raises(DataError, match="has a column 'probability' already"):
        open_file(source, tmp_path / "out.csv", dialect=GERMAN, schema=schema, screened=None)
