"""One column of a table into float64, integers or text, with every value that does not fit on record."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from riskloop.core.cells import (
    FUTURE,
    INFINITE,
    NO_TIME,
    NO_VALUE,
    days_of,
    earliest_said,
    level_code,
    levels_said,
    missing_numbers,
    number_of_text,
    outside_said,
    read_id,
    time_of,
    unseen_text,
)
from riskloop.core.dates import parse_time
from riskloop.core.errors import DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.truth import truth
from riskloop.core.types import DAY, Bools, Floats, Ints, Problem, from_micros
from riskloop.core.values import ODD_ID, is_missing, level_text

Texts = npt.NDArray[np.object_]

SHOWN: Final = 5  # problems named in one message; the others are counted
MOST_NAMED: Final = 10_000  # values of one column and block that are kept for the list of refused rows


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be used, and the first thing that is wrong with it."""

    position: int  # in the source, from 0
    column: str
    problem: str
    value: Any = None


@dataclass
class Problems:
    """What is wrong with a table, collected over its columns."""

    found: list[RefusedRow] = field(default_factory=list)
    columns: list[Problem] = field(default_factory=list)  # that are wrong as a whole
    total: int = 0
    encoding: str = "utf-8"
    positions: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # of the block's rows in the source

    def add(
        self,
        column: str,
        problem: str | Callable[[int], str],
        wrong: Bools | Ints,
        values: Callable[[int], Any] = lambda _row: None,
    ) -> None:
        """Record the rows of the block that ``wrong`` marks or lists, with the value that a row has."""
        rows = np.flatnonzero(wrong) if wrong.dtype == np.bool_ else wrong
        self.total += len(rows)
        for number, row in enumerate(rows.tolist()):
            named = number < MOST_NAMED
            text = problem if isinstance(problem, str) else problem(row) if named else "cannot be read"
            self.found.append(RefusedRow(int(self.positions[row]), column, text, values(row) if named else None))

    def reject_column(self, column: str, problem: str) -> None:
        """Record a column that is wrong as a whole."""
        if all(known.field != column for known in self.columns):
            self.total += 1
            self.columns.append(Problem(column, problem))

    def refused(self) -> list[RefusedRow]:
        """One entry for each bad row, in order."""
        first: dict[int, RefusedRow] = {}
        for entry in self.found:
            first.setdefault(entry.position, entry)
        return [first[position] for position in sorted(first)]

    def raise_if_any(self, where: str, places: Callable[[Sequence[int]], list[str]]) -> None:
        """Raise DataError naming the first problems and counting the others."""
        if self.total:
            raise self.error(where, places)

    def error(self, where: str, places: Callable[[Sequence[int]], list[str]]) -> DataError:
        """One in the sentence, which has to stay one; the others are its details."""
        first = sorted(self.found, key=lambda entry: entry.position)[: SHOWN - min(len(self.columns), SHOWN)]
        details = self.columns[:SHOWN]
        for entry, place in zip(first, places([entry.position for entry in first]), strict=True):
            details.append(Problem(entry.column, f"{place}: {entry.problem}", entry.value))
        others = self.total - 1
        if "\ufffd" in str(details[0].value):
            details[0] = details[0]._replace(
                problem=f"{details[0].problem} (\ufffd stands for bytes that are not {self.encoding}; see --encoding)"
            )
        more = f" ({others:,} more {'problem' if others == 1 else 'problems'})" if others else ""
        return DataError(
            f"{where} does not fit the schema: {_sentence(details[0])}{more}. "
            "Correct the data, or the schema in riskloop.toml.",
            details,
        )


def _sentence(p: Problem) -> str:
    place, colon, rest = p.problem.partition(": ")
    value = "" if p.value in (None, "") else f" {p.value!r}"
    if colon and not p.field:
        return f"{place} {rest}"
    return f"{place}, column '{p.field}':{value} {rest}" if colon else f"column '{p.field}' {p.problem}"


# --------------------------------------------------------------------------- whole columns


def read_numbers(
    column: pa.ChunkedArray,
    feature: Feature,
    problems: Problems,
    schema: Schema,
    decimal: str = ".",
    times: Ints | None = None,
) -> Floats:
    """float64 of shape (n,); NaN where the value is missing or cannot be read.

    ``times`` (n,), microseconds, are those of the decisions, by default now; a date becomes days before them.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if feature.written == "date" and not pa.types.is_null(kind):
        values = _days(column, feature, problems, schema, times)
    elif is_text(kind):
        values = _parsed_numbers(column, feature, problems, schema, decimal)
    elif pa.types.is_null(kind):
        values = np.full(len(column), np.nan)
    elif is_number(kind):
        values = np.array(doubles(column).to_numpy())
    else:
        problems.reject_column(feature.name, f"holds values of type {kind}, not numbers")
        return np.full(len(column), np.nan)
    for number in missing_numbers(schema):
        values[values == number] = np.nan
    _check_numbers(values, feature, problems)
    return values


def doubles(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of numbers as float64; a decimal becomes the double that is nearest to it, as it would out of a text."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())  # Arrow multiplies by a power of ten, and is off by a bit for one in five
    return column.cast(pa.float64(), safe=False)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _parsed_numbers(
    column: pa.ChunkedArray, feature: Feature, problems: Problems, schema: Schema, decimal: str
) -> Floats:
    if decimal == "." and feature.written == "plain":
        try:
            return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
        except pa.ArrowInvalid:
            pass
    known, said = _each(column, lambda text: number_of_text(text, feature, schema, decimal))
    wrong = said != ""
    problems.add(feature.name, lambda row: str(said[row]), wrong, lambda row: column[row].as_py())
    # Any value that raises no second problem, for rows that already have one.
    return np.where(wrong, np.clip(0.0, *feature.range), known)


def _each(column: pa.ChunkedArray, read: Callable[[Any], float]) -> tuple[Floats, Texts]:
    """What ``read`` makes of each value (n,), NaN where it is missing; and why it refuses some (n,), else ""."""
    encoded = codes_table(column)
    known, said = [], []
    for value in encoded.dictionary.to_pylist():
        try:
            known.append(read(value))
            said.append("")
        except ValueError as error:
            known.append(math.nan)
            said.append(str(error))
    codes = codes_of(encoded)
    return np.array([*known, math.nan])[codes], np.array([*said, ""], dtype=object)[codes]


def _days(column: pa.ChunkedArray, feature: Feature, problems: Problems, schema: Schema, times: Ints | None) -> Floats:
    """Whole days from each date to its decision."""
    days = (np.full(len(column), time.time_ns() // 1000) if times is None else times) // DAY
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = pc.cast(column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False), pa.int64())
        dated = days - np.array(micros.fill_null(0).to_numpy()) // DAY
        return np.where(micros.is_null().to_numpy(), np.nan, dated.astype(np.float64))
    found, said = _each(column, lambda value: days_of(value, schema, 0))
    if is_text(kind):
        found = days + found
    wrong = said != ""
    problems.add(feature.name, lambda row: str(said[row]), wrong, lambda row: column[row].as_py())
    return np.where(wrong, np.clip(0.0, *feature.range), found)


def _check_numbers(values: Floats, feature: Feature, problems: Problems) -> None:
    if not feature.nullable:
        problems.add(feature.name, NO_VALUE, np.isnan(values))
    problems.add(feature.name, INFINITE, np.isinf(values), lambda row: float(values[row]))
    outside = np.isfinite(values) & feature.outside(values)
    problems.add(feature.name, outside_said(feature), outside, lambda row: float(values[row]))


def read_levels(column: pa.ChunkedArray, feature: Feature, problems: Problems, schema: Schema) -> Floats:
    """Codes as float64 of shape (n,): the level's index, ``len(categories)`` for an unseen one, NaN for missing."""
    values, _ = _each(column, lambda value: level_code(value, feature, schema))
    if not feature.nullable:
        problems.add(feature.name, NO_VALUE, np.isnan(values))
    never = values == len(feature.categories)
    if feature.unseen == "refuse":
        problems.add(feature.name, levels_said(feature), never, lambda row: column[row].as_py())
    else:  # scored as missing, unless it is no new level but one that cannot be read
        broken = [row for row in np.flatnonzero(never).tolist() if "\ufffd" in str(column[row].as_py())]
        said = "holds bytes that this encoding does not have"
        problems.add(feature.name, said, np.array(broken, dtype=np.int64), lambda row: column[row].as_py())
    return values


def unseen_texts(column: pa.ChunkedArray, codes: Floats, feature: Feature) -> dict[int, str]:
    """Row to the text of its level, where ``codes`` (n,) say that it was never seen."""
    return {row: unseen_text(column[row].as_py()) for row in np.flatnonzero(codes == len(feature.categories)).tolist()}


def read_target(column: pa.ChunkedArray, schema: Schema, problems: Problems, *, strict: bool) -> Floats:
    """0.0 and 1.0 of shape (n,), as the schema reads them; NaN where there is no outcome.

    With ``strict`` that is a problem.
    """
    encoded = codes_table(column)
    values = [*encoded.dictionary.to_pylist(), None]  # the last one for what the source itself says is missing
    named = {level_text(word).casefold() for word in (*schema.bad, *schema.good)}
    texts = ["" if value is None or value != value else level_text(value) for value in values]
    empty = np.array([is_missing(text, schema.missing) and text.casefold() not in named for text in texts])
    read = [truth(text, schema.bad, schema.good) for text in texts]
    odd = np.array([reading is None for reading in read]) & ~empty
    table = np.array([np.nan if reading is None else reading for reading in read])
    table[empty] = np.nan
    codes = codes_of(encoded)
    result = table[codes]
    wrong = np.isnan(result) if strict else odd[codes]
    if not schema.good or strict:
        names = (
            "is neither 1 (default) nor 0 (none); yes/no and true/false are read too"
            if not schema.bad
            else f"is none of the values that 'bad' ({', '.join(schema.bad)}) and 'good' of [portfolio] name"
        )
        problems.add(schema.target, names, wrong, lambda row: column[row].as_py())
    return np.asarray(result, dtype=np.float64)


def read_times(column: pa.ChunkedArray, schema: Schema, problems: Problems, latest: int | None = None) -> Ints:
    """Microseconds since the epoch as int64 of shape (n,), none before ``schema.earliest`` or after ``latest``."""
    name, kind = str(schema.time), column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = pc.cast(column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False), pa.int64())
        missing = micros.is_null().to_numpy()
        values = np.array(micros.fill_null(0).to_numpy())
        problems.add(name, NO_TIME, missing)
    else:
        encoded = codes_table(column)
        read = [_time_or_problem(value, schema) for value in encoded.dictionary.to_pylist()] or ["is missing"]
        codes = codes_of(encoded)
        said = [r if isinstance(r, str) else "" for r in read]
        missing = (codes < 0) | np.array([bool(text) for text in said])[codes]
        values = np.array([0 if isinstance(r, str) else r for r in read], dtype=np.int64)[codes]
        problems.add(
            name,
            lambda row: said[codes[row]] if codes[row] >= 0 else NO_TIME,
            missing,
            lambda row: None if codes[row] < 0 else str(column[row].as_py()),
        )
    earliest = parse_time(schema.earliest)

    def dates(row: int) -> str:
        return from_micros(int(values[row])).date().isoformat()

    problems.add(name, earliest_said(schema), ~missing & (values < earliest), dates)
    if latest is not None:
        problems.add(name, FUTURE, ~missing & (values > latest), dates)
    values[missing] = 0
    return np.asarray(values, dtype=np.int64)


def _time_or_problem(value: Any, schema: Schema) -> int | str:
    try:
        return time_of(value, schema)
    except ValueError as error:
        return str(error)


def read_ids(column: pa.ChunkedArray, name: str, problems: Problems) -> list[str]:
    """The ids as text: 1, 1.0 and '1' are one id, '001' is another."""
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    ids: list[Any] = column.to_pylist()
    odd: Sequence[int] = range(len(ids))
    if is_text(column.type):
        odd = np.flatnonzero(pc.match_substring_regex(column, ODD_ID).fill_null(True).to_numpy()).tolist()
    said: dict[int, str] = {}
    for row in odd:
        try:
            ids[row] = read_id(ids[row])
        except ValueError as error:
            ids[row], said[row] = "", str(error)
    wrong = np.array([*said], dtype=np.int64)
    problems.add(name, lambda row: said[row], wrong, lambda row: column[row].as_py())
    return ids


def repeated_ids(ids: Sequence[str], times: Ints | None) -> list[int]:
    """The rows whose id came before, with the same time where there are times."""
    if len(set(ids)) == len(ids):
        return []
    seen: set[Any] = set()
    repeats = []
    for row, identity in enumerate(ids):
        key = identity if times is None else (identity, int(times[row]))
        if key in seen and identity:
            repeats.append(row)
        seen.add(key)
    return repeats


def codes_table(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column as its distinct values and the place of each row's among them."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    # A column of no or several chunks may come back chunked; the dictionaries are the same by now.
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], type=column.type)
    return whole


def codes_of(encoded: pa.DictionaryArray) -> Ints:
    """Positions in the dictionary; -1 where the value is missing."""
    return np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
