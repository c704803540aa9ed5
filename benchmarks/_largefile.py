"""A lender's raw export of any size, made chunk by chunk: what is in memory does not grow with the rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

CHUNK: Final = 50_000  # rows
LEVELS: Final = (2, 3, 5, 8, 12, 20, 40, 80, 200, 1000, 5000)  # of the categories, in turn
SPECIAL: Final = 7  # columns that are no features: id, customer, dates, what the outcome comes from, target
TARGET: Final = "default"
HISTORY, PRODUCTION = np.datetime64("2019-01-01"), np.datetime64("2025-01-01")

_Maker = Callable[[np.random.Generator, int, int], Any]  # random numbers, rows, number of the column


def _amount(rng: np.random.Generator, n: int, _: int) -> Any:
    return rng.lognormal(8, 1, n).round(2)


def _count(rng: np.random.Generator, n: int, j: int) -> Any:
    return rng.poisson(1 + j % 7, n)


def _share(rng: np.random.Generator, n: int, _: int) -> Any:
    return np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n).round(4))


def _code(rng: np.random.Generator, n: int, j: int) -> Any:
    codes = np.array([f"{code:04d}" for code in range(1, 30 + j)])
    return codes[rng.integers(0, len(codes), n)]


def _date(rng: np.random.Generator, n: int, _: int) -> Any:
    days = np.datetime64("1950-01-01") + rng.integers(0, 20_000, n)
    return np.where(rng.random(n) < 0.1, "", np.datetime_as_string(days))


def _category(rng: np.random.Generator, n: int, j: int) -> Any:
    size = LEVELS[j % len(LEVELS)]
    words = np.array([f"{'abcdefghij'[j % 10]}-{level:04d}" for level in range(size)])
    drawn = np.minimum(rng.zipf(1.6, n) - 1, rng.integers(0, size, n)) if size > 12 else rng.integers(0, size, n)
    return np.where(rng.random(n) < 0.02, "", words[drawn])


# Of twenty columns nine are amounts, four counts, two shares with gaps, one codes, one dates, three categories.
_KINDS: Final[tuple[tuple[str, _Maker], ...]] = (
    *(("amount", _amount),) * 9,
    *(("count", _count),) * 4,
    *(("share", _share),) * 2,
    ("code", _code),
    ("date", _date),
    *(("category", _category),) * 3,
)


def chunk(start: int, n: int, columns: int, *, production: bool = False) -> pa.Table:
    """Rows from position ``start`` on; the same position and width give the same rows."""
    rng = np.random.default_rng((start, columns, production))
    number = np.arange(start, start + n)
    late, income = rng.poisson(0.5, n), rng.lognormal(7.5, 0.5, n).round(2)
    days = (PRODUCTION + number % 28) if production else (HISTORY + number % 1800)
    table: dict[str, Any] = {
        "loan_id": number + (20_000_000 if production else 10_000_000),
        "customer": np.char.add("C", (number * 7 // 8 + (9_000_000 if production else 1_000_000)).astype(str)),
        "decision_date": np.datetime_as_string(days),
        "customer_since": np.datetime_as_string(days - rng.integers(30, 4000, n)),
        "late": late,
        "income": income,
    }
    for j in range(columns - SPECIAL):
        name, make = _KINDS[j % len(_KINDS)]
        table[f"{name}_{j:03d}"] = pa.array(make(rng, n, j), from_pandas=True)
    z = -2.2 + 0.7 * late - 0.6 * (np.log(income) - 7.5) + 0.2 * (np.nan_to_num(table["amount_000"]) > 4000)
    if not production:
        table[TARGET] = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int8)
    return pa.table(table)


def write_file(path: Path, rows: int, columns: int, *, production: bool = False) -> None:
    """A file of so many rows: CSV, or Parquet by its name. A production file has no target."""
    writer: Any = None
    with path.open("wb") as file:
        for start in range(0, rows, CHUNK):
            table = chunk(start, min(CHUNK, rows - start), columns, production=production)
            if path.suffix == ".parquet":
                writer = writer or pq.ParquetWriter(file, table.schema)
                writer.write_table(table)
            else:
                options = csv.WriteOptions(include_header=start == 0, quoting_style="none")
                csv.write_csv(table, file, options)
        if writer is not None:
            writer.close()


def write_outcomes(path: Path, rows: int) -> None:
    """What became of the customers of a production file."""
    with path.open("wb") as file:
        for start in range(0, rows, CHUNK):
            n = min(CHUNK, rows - start)
            rng = np.random.default_rng(start)
            table = pa.table({
                "loan_id": np.arange(start, start + n) + 20_000_000,
                TARGET: (rng.random(n) < 0.15).astype(np.int8),
            })  # fmt: skip
            csv.write_csv(table, file, csv.WriteOptions(include_header=start == 0, quoting_style="none"))
