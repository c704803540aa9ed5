"""A file that nobody has decided on yet is looked at block by block, whatever its size."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.settings import Settings, parse_settings
from riskloop.data import streams, tables
from riskloop.loop.check import check

SETTINGS: Settings = parse_settings(
    "[portfolio]\nname = 'x'\nid = 'id'\ntarget = 'bad'\n"
    "[features.income]\nnullable = true\n[features.region]\nkind = 'category'\ncategories = ['n', 's']\n"
    "unseen = 'flag'\n" + "".join(f"[features.x{j}]\n" for j in range(20))
)


def written(folder: Path, rows: int) -> Path:
    rng, path = np.random.default_rng(rows), folder / f"{rows}.csv"
    frame = pd.DataFrame(rng.normal(size=(rows, 20)).round(3), columns=[f"x{j}" for j in range(20)])
    income = np.where(np.arange(rows) % 4 == 0, np.nan, 100.0)
    region = np.where(np.arange(rows) % 10 == 0, "west", "n")
    ids = np.where(np.arange(rows) == rows - 1, 0, np.arange(rows))
    frame.assign(id=ids, income=income, region=region, new=1).to_csv(path, index=False)
    return path


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK", 2**16)
    monkeypatch.setattr(tables, "SHORT", 2**10)


@pytest.mark.usefixtures("blocks")
def test_blocks_add_up(tmp_path: Path) -> None:
    found = check(None, SETTINGS.row_schema, SETTINGS, written(tmp_path, 4000), "the file")
    columns = {column["column"]: column for column in found["columns"]}
    assert found["rows"] == 4000
    assert columns["income"]["missing"] == 1000
    assert columns["region"]["unseen"] == 400
    assert found["refused"] == 1  # the first id comes again in the last block
    assert "duplicate id" in found["reasons"][0]
    assert [f["subject"] for f in found["findings"]] == ["new"]


@pytest.mark.usefixtures("blocks")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (4000, 24_000):
        path = written(tmp_path, rows)
        tracemalloc.start()
        check(None, SETTINGS.row_schema, SETTINGS, path, "the file")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    table = 20_000 * len(SETTINGS.row_schema) * 8
    assert peaks[1] - peaks[0] < 0.2 * table


@pytest.mark.parametrize("layout", [{"skip": 1}, {"delimiter": ";"}, {"encoding": "utf-16"}])
def test_of_a_file_in_another_layout_no_column_is_judged(tmp_path: Path, layout: dict[str, object]) -> None:
    """Each column would seem to be empty, "a data fault", where the history had a note above its header."""
    settings = SETTINGS.model_copy(update={"data": SETTINGS.data.model_copy(update=layout)})
    with pytest.raises((DataError, MalformedBody), match=next(iter(layout))):
        check(None, settings.row_schema, settings, written(tmp_path, 200), "the file")
