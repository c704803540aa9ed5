"""One column of a table into float64, integers or text, with every value that does not fit on record."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskloop.core.dates import FORMATS, days_before, parse_time
from riskloop.core.errors import DataError
from riskloop.core.schema import NUL, Feature, Schema
from riskloop.core.truth import truth
from riskloop.core.types import DAY, Bools, Floats, Ints, Problem, from_micros
from riskloop.core.units import unit_problem
from riskloop.core.values import MISSING_NUMBER, NO_ID, ODD_ID, is_missing, level_text, parse_number

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


def missing_numbers(schema: Schema) -> list[float]:
    """Words for a missing value that are numbers, such as -9999."""
    numbers = (parse_number(word) for word in schema.missing)
    return [number for number in numbers if number == number]


def _parsed_numbers(
    column: pa.ChunkedArray, feature: Feature, problems: Problems, schema: Schema, decimal: str
) -> Floats:
    if decimal == "." and feature.written == "plain":
        try:
            return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
        except pa.ArrowInvalid:
            pass
    encoded = codes_table(column)
    words = MISSING_NUMBER | set(schema.missing)
    texts = [str(text) for text in encoded.dictionary.to_pylist()]
    empty = np.array([text.strip() in words for text in texts] or [True])
    style, units = feature.written, feature.written_in
    known = np.array([parse_number(text, style, decimal, units) for text in texts] or [np.nan])
    codes = codes_of(encoded)
    wrong = (codes >= 0) & np.isnan(known[codes]) & ~empty[codes]
    problems.add(
        feature.name,
        lambda row: unit_problem(texts[codes[row]], style, units) or "is not a number",
        wrong,
        lambda row: column[row].as_py(),
    )
    # Any value that raises no second problem, for rows that already have one.
    filled = np.where(wrong, np.clip(0.0, *feature.range), known[codes])
    return np.where(codes >= 0, filled, np.nan)


def _days(column: pa.ChunkedArray, feature: Feature, problems: Problems, schema: Schema, times: Ints | None) -> Floats:
    """Whole days from each date to its decision."""
    days = (np.full(len(column), time.time_ns() // 1000) if times is None else times) // DAY
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = pc.cast(column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False), pa.int64())
        dated = days - np.array(micros.fill_null(0).to_numpy()) // DAY
        return np.where(micros.is_null().to_numpy(), np.nan, dated.astype(np.float64))
    encoded = codes_table(column)
    said, known = [], []
    for value in encoded.dictionary.to_pylist():
        try:
            empty = value != value or is_missing(str(value), schema.missing)
            known.append(math.nan if empty else days_before(value, 0, schema.dates))
            said.append("")
        except (ValueError, OverflowError) as error:
            known.append(math.nan)
            said.append(str(error) if str(error).startswith(("is ", "can be ")) else f"is not a date; write {FORMATS}")
    codes = codes_of(encoded)
    found = np.array([*known, np.nan])[codes]
    if is_text(kind):
        found = days + found
    wrong = (codes >= 0) & np.array([bool(text) for text in said] + [False])[codes]
    problems.add(feature.name, lambda row: said[codes[row]], wrong, lambda row: column[row].as_py())
    return np.where(wrong, np.clip(0.0, *feature.range), found)


def _check_numbers(values: Floats, feature: Feature, problems: Problems) -> None:
    if not feature.nullable:
        problems.add(feature.name, "is missing, and may not be (nullable = false)", np.isnan(values))
    problems.add(feature.name, "is infinite", np.isinf(values), lambda row: float(values[row]))
    low, high = feature.range
    outside = np.isfinite(values) & feature.outside(values)
    problems.add(
        feature.name,
        f"is outside the range [{low:g}, {high:g}]",
        outside,
        lambda row: float(values[row]),
    )


def read_levels(column: pa.ChunkedArray, feature: Feature, problems: Problems, schema: Schema) -> Floats:
    """Codes as float64 of shape (n,): the level's index, ``len(categories)`` for an unseen one, NaN for missing."""
    encoded = codes_table(column)
    known = {level_text(level): code for level, code in feature.codes.items()}
    unseen = len(feature.categories)
    table = np.array(
        [_coded(value, known, unseen, schema.missing) for value in encoded.dictionary.to_pylist()] or [np.nan]
    )
    codes = codes_of(encoded)
    values = np.where(codes >= 0, table[codes], np.nan)
    if not feature.nullable:
        problems.add(feature.name, "is missing, and may not be (nullable = false)", np.isnan(values))
    if feature.unseen == "refuse":
        levels = ", ".join(feature.categories[:12]) + (", …" if unseen > 12 else "")
        problems.add(
            feature.name, f"is not one of its levels ({levels})", values == unseen, lambda row: column[row].as_py()
        )
    return values


def unseen_texts(column: pa.ChunkedArray, codes: Floats, feature: Feature) -> dict[int, str]:
    """Row to the text of its level, where ``codes`` (n,) say that it was never seen."""
    return {row: level_text(column[row].as_py()) for row in np.flatnonzero(codes == len(feature.categories)).tolist()}


def _coded(value: Any, known: Mapping[str, int], unseen: int, missing: Sequence[str]) -> float:
    """A level wins over a word for missing: 'NA' may be a region."""
    if isinstance(value, float) and value != value:
        return float("nan")
    text = level_text(value)
    if text not in known and is_missing(text, missing):
        return float("nan")
    return float(known.get(text, unseen))


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
        problems.add(name, "is missing; a decision needs a date", missing)
    else:
        encoded = codes_table(column)
        read = [_time_or_problem(value, schema) for value in encoded.dictionary.to_pylist()] or ["is missing"]
        codes = codes_of(encoded)
        said = [r if isinstance(r, str) else "" for r in read]
        missing = (codes < 0) | np.array([bool(text) for text in said])[codes]
        values = np.array([0 if isinstance(r, str) else r for r in read], dtype=np.int64)[codes]
        problems.add(
            name,
            lambda row: said[codes[row]] if codes[row] >= 0 else "is missing; a decision needs a date",
            missing,
            lambda row: None if codes[row] < 0 else str(column[row].as_py()),
        )
    earliest = parse_time(schema.earliest)

    def dates(row: int) -> str:
        return from_micros(int(values[row])).date().isoformat()

    problems.add(
        name, f"is before {schema.earliest} ('earliest' of [portfolio])", ~missing & (values < earliest), dates
    )
    if latest is not None:
        problems.add(name, "is in the future", ~missing & (values > latest), dates)
    values[missing] = 0
    return np.asarray(values, dtype=np.int64)


def _time_or_problem(value: Any, schema: Schema) -> int | str:
    if is_missing(str(value), schema.missing):
        return "is missing; a decision needs a date"
    try:
        return parse_time(value, schema.dates)
    except (ValueError, OverflowError) as error:
        text = str(error)
        return text if text.startswith(("is ", "can be ")) else f"is not a date; write {FORMATS}"


def read_ids(column: pa.ChunkedArray, name: str, problems: Problems) -> list[str]:
    """The ids as text: 1, 1.0 and '1' are one id, '001' is another."""
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    if is_text(column.type):
        ids: list[Any] = column.to_pylist()
        odd = np.flatnonzero(pc.match_substring_regex(column, ODD_ID).fill_null(False).to_numpy()).tolist()
        for row in odd:
            ids[row] = level_text(ids[row])
    else:
        ids = [None if value is None or value != value else level_text(value) for value in column.to_pylist()]
        odd = list(range(len(ids)))
    missing = np.array([identity is None or identity in NO_ID for identity in ids], dtype=np.bool_)
    problems.add(name, "is missing", missing)
    problems.add(name, NUL, np.array([row for row in odd if "\0" in (ids[row] or "")], dtype=np.int64))
    return ["" if identity is None else identity for identity in ids] if missing.any() else ids


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
