"""The same cells, good and bad, through every way in: the same ones are accepted, as the same values, and the same is
said of the others.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from riskloop.core.errors import DataError
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.values import level_text
from riskloop.data.read import read_rows, rows_from
from riskloop.scoring.decoder import CLOCK_SKEW, Decoder

NOW = 1_760_000_000_000_000  # October 2025
CONFIG = """
[portfolio]
target = "bad"
id = "id"
time = "day"
[data]
missing = ["-9999", "k.A."]
max_refused = 1.0
{data}
[features.plain]
range = [0, 1000]
[features.gap]
nullable = true
special = [-1]
range = [0, inf]
[features.pay]
written = "amount"
nullable = true
[features.rate]
written = "percent"
range = [0, 100]
[features.term]
written = "unit"
[features.price]
written = "amount"
written_in = ["$", ""]
nullable = true
[features.length]
written = "unit"
written_in = ["months", ""]
nullable = true
[features.age]
written = "tenure"
nullable = true
[features.born]
written = "date"
nullable = true
[features.level]
kind = "category"
categories = ["7", "007", "NA", "Ärztin"]
[features.other]
kind = "category"
categories = ["1", "true", "x"]
unseen = "flag"
[features.known]
kind = "category"
categories = ["1", "2.50"]
unseen = "flag"
nullable = true
"""
GOOD: dict[str, Any] = {
    "id": "anna", "day": "2025-03-31", "plain": "1", "gap": "1", "pay": "1", "rate": "1", "term": "1",
    "price": "1", "length": "1", "age": "1y",
    "born": "1990-01-31", "level": "7", "other": "x", "known": "1",
}  # fmt: skip
WORDS = [
    "", " ", "NA", "n/a", "nan", "null", "None", "-", "?", "k.A.", "unknown", "-9999", "-9999.0", "-1", "0", "1", "7",
    " 7 ", "7.0", "007", "2.5", "2.50", "26161.9", "1e3", "1e999", "-1e999", "inf", "Infinity", "1_0", "0x1F", "+5",
    ".5", "5.",
    "1,5", "1.234,5", "1,234.5", "$1,234", "(12)", "12-", "13.5%", "5‰", "36 months",
    "3 years", "12 weeks", "1.234,5 €", "10+", "< 1 year", "1y 2m",
    "true", "TRUE", "False", "yes", "x", "X", "Ärztin", "Ärz\u200btin", "many", "z" * 200, "z" * 201,
    "9" * 400, "\u22123",
    "2025-03-31", "31.03.2025", "03/04/2025", "13/04/2025", "20250331", "202503", "45000", "May-2024", "2024Q2", "P07",
    "soon", "0001-01-01", "1979-12-31", "2999-01-01", "2026-01-01", "2025-03-31T10:00Z", "2025-03-31T10:00[No/Where]",
]  # fmt: skip
PARTS = ["1", "25", "999", ".", ",", " ", "-", "€", "%", "k", "years", "/", "2024", "NA", "e", "x"]


def texts() -> list[str]:
    """Words that lenders write, and what random pieces of them make."""
    rng = np.random.default_rng(5)
    made = ["".join(rng.choice(PARTS, rng.integers(1, 5))) for _ in range(120)]
    return list(dict.fromkeys([*WORDS, *made]))


NUMBERS = [0, 1, 7, 7.0, 2.5, -1, -9999, 999.999, 1001, 26161.9, 2**53, 2**53 + 1, 2**62, 202503, 45000, 1e300, -0.0]


def as_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]], folder: Path) -> Any:
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_upload(columns: Sequence[str], rows: Sequence[dict[str, Any]], folder: Path) -> Any:
    return io.BytesIO(as_csv(columns, rows, folder).read_bytes())


def as_parquet(columns: Sequence[str], rows: Sequence[dict[str, Any]], folder: Path) -> Any:
    parquet.write_table(as_table(columns, rows, folder), folder / "rows.parquet")
    return folder / "rows.parquet"


def as_table(columns: Sequence[str], rows: Sequence[dict[str, Any]], folder: Path) -> Any:
    return pa.table({name: pa.array([row[name] for row in rows]) for name in columns})


def as_frame(columns: Sequence[str], rows: Sequence[dict[str, Any]], folder: Path) -> Any:
    return pd.DataFrame(list(rows), columns=list(columns))


def as_categories(columns: Sequence[str], rows: Sequence[dict[str, Any]], folder: Path) -> Any:
    return as_frame(columns, rows, folder).astype("category")


Writer = Callable[[Sequence[str], Sequence[dict[str, Any]], Path], Any]
TYPED: dict[str, Writer] = {"Parquet": as_parquet, "Arrow": as_table, "frame": as_frame, "categories": as_categories}
WAYS: dict[str, Writer] = {"CSV": as_csv, "upload": as_upload, **TYPED}


def by_table(name: str, rows: list[dict[str, Any]], settings: Settings, write: Writer, folder: Path) -> list[Any]:
    """For each row what becomes of its cell ``name``: the value, or the sentence."""
    schema = settings.row_schema
    source, latest = write([*GOOD], rows, folder), NOW + CLOCK_SKEW
    checked = read_rows(source, schema, target="absent", where="rows", dialect=settings.data, latest=latest)
    found: list[Any] = [None] * len(rows)
    for entry in checked.refused:
        found[entry.position] = (entry.column, entry.problem)
    for row, position in enumerate(checked.positions.tolist()):
        features = checked.rows.features[row].tobytes()
        unseen = checked.rows.unseen.get(row)
        found[position] = (checked.rows.ids[row], int(checked.rows.times[row]), features, unseen)
    return found


def by_json(rows: list[dict[str, Any]], decoder: Decoder) -> list[Any]:
    found: list[Any] = []
    for row in rows:
        try:
            found.append(
                (lambda p: (p.customer_id, p.time, p.features, p.unseen))(decoder.row(json.dumps(row).encode(), NOW))
            )
        except DataError as error:
            found.append((error.details[0].field, error.details[0].problem))
    return found


def compared(name: str, cells: Sequence[Any], ways: dict[str, Writer], data: str, folder: Path) -> list[Any]:
    settings = parse_settings(CONFIG.format(data=data))
    rows = [{**GOOD, "id": f"c{i}", name: cell} for i, cell in enumerate(cells)]
    expected = by_json(rows, Decoder(settings.row_schema))
    for way, write in ways.items():
        found = by_table(name, rows, settings, write, folder)
        told = [(cell, got, wanted) for cell, got, wanted in zip(cells, found, expected, strict=True) if got != wanted]
        assert told == [], way
    return expected


@pytest.mark.parametrize(("name", "data"), [*itertools.product(GOOD, ["", 'dates = "dmy"\ndecimal = ","'])])
def test_a_text_means_the_same_in_every_way_in(name: str, data: str, tmp_path: Path) -> None:
    cells = texts() if name != "id" else list({level_text(text): text for text in texts()}.values())  # no id twice
    found = compared(name, cells, WAYS, data, tmp_path)
    accepted = sum(len(outcome) == 4 for outcome in found)
    assert accepted, "nothing is compared"
    assert accepted < len(found) or name == "known", "nothing is refused"


@pytest.mark.parametrize("name", [name for name in GOOD if name != "day"])
def test_a_number_means_the_same_in_every_typed_way_in(name: str, tmp_path: Path) -> None:
    for kind in (int, float):
        cells = [cell for cell in NUMBERS if isinstance(cell, kind)]
        compared(name, cells, TYPED, "", tmp_path)


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("name", ["plain", "pay", "rate"])
def test_a_table_without_a_layout_writes_numbers_as_the_portfolios_files_do(name: str, decimal: str) -> None:
    schema = parse_settings(CONFIG.format(data=f"decimal = '{decimal}'")).row_schema
    decoder = Decoder(schema)
    for text in ("2.5", "2,5", "1.234,5", "1,234.5"):
        row = {**GOOD, name: text}
        expected = by_json([row], decoder)[0]
        for source in (pd.DataFrame([row]), pa.Table.from_pylist([row]), pa.RecordBatch.from_pylist([row])):
            if len(expected) == 2:
                with pytest.raises(DataError, match=re.escape(expected[1])):
                    rows_from(source, schema, target="absent", where="the frame")
            else:
                assert rows_from(source, schema, target="absent", where="f").features.tobytes() == expected[2]
