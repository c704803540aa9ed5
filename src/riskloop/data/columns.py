"""One column of a file or frame into float64, integers or text, with every value that does not fit on record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskloop.core.errors import DataError
from riskloop.core.schema import Feature
from riskloop.core.types import Bools, Floats, Ints, Problem
from riskloop.core.values import level_text, parse_number, parse_time

SHOWN: Final = 5  # problems named in one message; the others are counted

TARGETS: Final = {"0": 0.0, "1": 1.0, "no": 0.0, "yes": 1.0, "n": 0.0, "y": 1.0, "false": 0.0, "true": 1.0}


@dataclass
class Problems:
    """What is wrong with a table, collected over its columns and raised once."""

    where: str
    unit: str  # "line" for a CSV, "row" for everything else
    numbering: Callable[[Sequence[int]], Sequence[int]]  # row positions to what a person would look for
    found: list[tuple[int, Problem]] = field(default_factory=list)
    total: int = 0

    def add(self, column: str, problem: str, wrong: Bools | Ints, values: Callable[[int], Any]) -> None:
        """Record the rows that ``wrong`` marks or lists; ``values`` gives the offending value of a row."""
        rows = np.flatnonzero(wrong) if wrong.dtype == np.bool_ else wrong
        self.total += len(rows)
        self.found += [(int(row), Problem(column, problem, values(int(row)))) for row in rows[:SHOWN]]

    def reject_column(self, column: str, problem: str) -> None:
        """Record a column that is wrong as a whole."""
        self.total += 1
        self.found.append((-1, Problem(column, problem)))

    def raise_if_any(self) -> None:
        """Raise DataError naming the first problems and counting the others."""
        if not self.found:
            return
        first = sorted(self.found, key=lambda item: item[0])[:SHOWN]
        numbers = iter(self.numbering([row for row, _ in first if row >= 0]))
        details = []
        for row, p in first:
            place = f"{self.unit} {next(numbers)}: " if row >= 0 else ""
            details.append(Problem(p.field, place + p.problem, p.value))
        # One in the sentence, which has to stay one; the others are its details.
        others = self.total - 1
        more = f" ({others:,} more {'problem' if others == 1 else 'problems'})" if others else ""
        raise DataError(
            f"{self.where} does not fit the schema: {_sentence(details[0])}{more}. "
            "Correct the data, or the schema in riskloop.toml.",
            details,
        )


def _sentence(p: Problem) -> str:
    place, colon, rest = p.problem.partition(": ")
    value = "" if p.value is None else f" {p.value!r}"
    return f"{place}, column '{p.field}':{value} {rest}" if colon else f"column '{p.field}' {p.problem}"


# --------------------------------------------------------------------------- whole columns


def read_numbers(column: pa.ChunkedArray, feature: Feature, problems: Problems) -> Floats:
    """float64 of shape (n,); NaN where the value is missing."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = _parsed_numbers(column, feature, problems)
    elif pa.types.is_null(kind):
        values = np.full(len(column), np.nan)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy()
    else:
        problems.reject_column(feature.name, f"holds values of type {kind}, not numbers")
        return np.full(len(column), np.nan)
    _check_numbers(values, feature, problems)
    return values


def _parsed_numbers(column: pa.ChunkedArray, feature: Feature, problems: Problems) -> Floats:
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        encoded = _encoded(column)
    known = np.array([parse_number(text) for text in encoded.dictionary.to_pylist()] or [np.nan])
    codes = _codes(encoded)
    wrong = (codes >= 0) & np.isnan(known[codes])
    problems.add(feature.name, "is not a number", wrong, lambda row: column[row].as_py())
    return np.where((codes >= 0) & ~wrong, known[codes], _in_range(feature) if wrong.any() else np.nan)


def _in_range(feature: Feature) -> float:
    """Any value that raises no second problem, for rows that already have one."""
    return float(np.clip(0.0, *feature.range))


def _check_numbers(values: Floats, feature: Feature, problems: Problems) -> None:
    if not feature.nullable:
        problems.add(feature.name, "is missing, and may not be (nullable = false)", np.isnan(values), lambda _: None)
    problems.add(feature.name, "is infinite", np.isinf(values), lambda row: float(values[row]))
    low, high = feature.range
    outside = np.isfinite(values) & feature.outside(values)
    problems.add(
        feature.name,
        f"is outside the range [{low:g}, {high:g}]",
        outside,
        lambda row: float(values[row]),
    )


def read_levels(column: pa.ChunkedArray, feature: Feature, problems: Problems) -> Floats:
    """Codes as float64 of shape (n,): the level's index, ``len(categories)`` for an unseen one, NaN for missing."""
    encoded = _encoded(column)
    known = {level_text(level): code for level, code in feature.codes.items()}
    unseen = len(feature.categories)
    table = np.array([_coded(value, known, unseen) for value in encoded.dictionary.to_pylist()] or [np.nan])
    codes = _codes(encoded)
    values = np.where(codes >= 0, table[codes], np.nan)
    if not feature.nullable:
        problems.add(feature.name, "is missing, and may not be (nullable = false)", np.isnan(values), lambda _: None)
    if feature.unseen == "refuse":
        levels = ", ".join(feature.categories[:12]) + (", …" if unseen > 12 else "")
        problems.add(
            feature.name, f"is not one of its levels ({levels})", values == unseen, lambda row: column[row].as_py()
        )
    return values


def unseen_texts(column: pa.ChunkedArray, codes: Floats, feature: Feature) -> dict[int, str]:
    """Row to the text of its level, where ``codes`` (n,) say that it was never seen."""
    return {row: level_text(column[row].as_py()) for row in np.flatnonzero(codes == len(feature.categories)).tolist()}


def _coded(value: Any, known: Mapping[str, int], unseen: int) -> float:
    if isinstance(value, float) and value != value:
        return float("nan")
    return float(known.get(level_text(value), unseen))


def read_target(column: pa.ChunkedArray, name: str, problems: Problems) -> Floats:
    """0.0 and 1.0 of shape (n,), from 0/1, yes/no, y/n or true/false."""
    encoded = _encoded(column)
    table = np.array(
        [TARGETS.get(level_text(value).lower(), np.nan) for value in encoded.dictionary.to_pylist()] or [np.nan]
    )
    codes = _codes(encoded)
    values = np.where(codes >= 0, table[codes], np.nan)
    problems.add(
        name,
        "is neither 1 (default) nor 0 (none); yes/no and true/false are read too",
        np.isnan(values),
        lambda row: column[row].as_py(),
    )
    return values


def read_times(column: pa.ChunkedArray, name: str, problems: Problems) -> Ints:
    """Microseconds since the epoch as int64 of shape (n,)."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = pc.cast(column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False), pa.int64())
        missing = micros.is_null().to_numpy()
        values = micros.fill_null(0).to_numpy()
    else:
        encoded = _encoded(column)
        table = [_time_or_none(value) for value in encoded.dictionary.to_pylist()] or [None]
        codes = _codes(encoded)
        missing = (codes < 0) | np.array([t is None for t in table])[codes]
        values = np.array([t or 0 for t in table], dtype=np.int64)[codes]
    problems.add(
        name,
        "is not a date; write 2024-05-31, 2024-05, 20240531 or 202405",
        missing,
        lambda row: str(column[row].as_py()),
    )
    return np.asarray(values, dtype=np.int64)


def _time_or_none(value: Any) -> int | None:
    try:
        return parse_time(value)
    except (ValueError, OverflowError):
        return None


def read_ids(column: pa.ChunkedArray, name: str, times: Ints | None, problems: Problems) -> list[str]:
    """The ids as text. The same id twice is a problem, unless the time column tells the two rows apart."""
    ids: list[Any]
    if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
        ids = column.cast(pa.string()).to_pylist()
    else:
        ids = [None if value is None or value != value else level_text(value) for value in column.to_pylist()]
    missing = np.flatnonzero(column.is_null().to_numpy()) if None in ids else np.empty(0, dtype=np.int64)
    problems.add(name, "is missing", missing, lambda _: None)
    if len(set(ids)) < len(ids):
        _check_repeats(ids, name, times, problems)
    return ids


def _check_repeats(ids: Sequence[str | None], name: str, times: Ints | None, problems: Problems) -> None:
    seen: set[Any] = set()
    repeats = []
    for row, identity in enumerate(ids):
        key = identity if times is None else (identity, int(times[row]))
        if key in seen and identity is not None:
            repeats.append(row)
        seen.add(key)
    text = "is a duplicate id" if times is None else "is a duplicate id with the same time"
    problems.add(name, text, np.array(repeats, dtype=np.int64), lambda row: ids[row])


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    # A column of no or several chunks may come back chunked; the dictionaries are the same by now.
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], type=column.type)
    return whole


def _codes(encoded: pa.DictionaryArray) -> Ints:
    """Positions in the dictionary; -1 where the value is missing."""
    return np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
