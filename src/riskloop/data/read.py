"""Files and frames into checked rows: nothing is guessed, nothing is filled in, every refusal names its place.

Text is read block by block with the schema's types, so that a million rows take about a second and a file may be
larger than memory; a block in which a value does not fit is looked at again as text.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.progress import silent
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import Bools, Floats, Ints, Problem, Rows
from riskloop.data.columns import (
    Problems,
    RefusedRow,
    read_ids,
    read_levels,
    read_numbers,
    read_target,
    read_times,
    repeated_ids,
    unseen_texts,
)
from riskloop.data.dialect import UNNAMED, describe
from riskloop.data.held import Held
from riskloop.data.opening import open_source
from riskloop.data.parse import Block
from riskloop.data.repeats import RowKeys, keys_of, repeated_rows
from riskloop.data.spelling import plain_name, respelled, spelled, spelling_sentence
from riskloop.data.tables import Source as Rowed
from riskloop.data.tables import refuse_copies

if TYPE_CHECKING:
    import pandas as pd

Source = Any  # Path | str | BinaryIO | pandas.DataFrame | pyarrow.Table | pyarrow.RecordBatch
Purpose = Literal["required", "absent"]
STANDARD: Final = DataSettings()  # UTF-8, commas, a header line


@dataclass(frozen=True)
class Checked:
    """What of a source can be used, and what cannot."""

    rows: Rows
    positions: Ints  # of the rows in the source, from 0
    refused: tuple[RefusedRow, ...]  # one entry for each row that cannot be used
    read: int  # records of the source
    left_out: int  # rows without an outcome, where one was needed
    problems: Problems
    source: Rowed
    not_drawn: int = 0  # rows that could be used and are not in the sample

    @property
    def share(self) -> float:
        """Of the rows, what is refused."""
        return len(self.refused) / max(1, self.read)


def rows_from(
    source: "Path | str | BinaryIO | pd.DataFrame | pa.Table | pa.RecordBatch",
    schema: Schema,
    *,
    target: Purpose,
    where: str,
    first_row: int = 1,
    dialect: DataSettings | None = None,
) -> Rows:
    """Checked rows in the schema's feature order; one bad row refuses all of them.

    ``target="required"`` is for history; with ``"absent"`` a target column is dropped, and a missing time column
    makes all times zero. ``where`` names the source in messages; ``first_row`` is the number of its first row
    when it is a part of something longer. Without a ``dialect`` a text is a standard CSV, and numbers that are text in
    a table are written as in the portfolio's files.

    Raises NotFound, MalformedBody, or DataError naming line, column, value and problem of the first few.
    """
    if dialect is None:
        is_text = hasattr(source, "read") or isinstance(source, (Path, str))
        dialect = STANDARD if is_text else STANDARD.model_copy(update={"decimal": schema.decimal})
    checked = read_rows(source, schema, target=target, where=where, first_row=first_row, dialect=dialect, strict=True)
    return checked.rows


def read_rows(
    source: Source,
    schema: Schema,
    *,
    target: Purpose,
    where: str,
    first_row: int = 1,
    dialect: DataSettings = STANDARD,
    strict: bool | None = None,
    latest: int | None = None,
    held: Held | None = None,
    told: Callable[[int], None] = silent,
    aside: Callable[[Checked], None] = silent,
) -> Checked:
    """The rows that can be used, and those that are set aside with their reason; columns may come in any order.

    ``strict``, by default as the dialect says, refuses the whole source for one bad row. ``latest`` is the last
    possible time in microseconds; ``held`` takes the rows, perhaps a sample; ``told`` hears how many are read,
    ``aside`` which are set aside, also where they are too many. Raises NotFound, MalformedBody, or DataError: for
    columns that are not the schema's, for more bad rows than ``dialect.max_refused``, for a history of one class.
    """
    strict = dialect.strict if strict is None else strict
    opened = open_rows(source, schema, target, where, dialect, first_row)
    reader = _Reader(schema, target, dialect, strict, latest, opened.names)
    reader.problems.encoding = dialect.encoding
    read, held = 0, Held() if held is None else held
    for block in opened.blocks(reader.columns, reader.types):
        held.add(*reader.take(block))
        read += block.table.num_rows + len(block.ragged)
        told(read)
    if not read:
        raise DataError(f"{where} holds no rows.")
    checked = reader.checked(held, read, opened)
    aside(checked)
    if strict or checked.problems.columns:
        checked.problems.raise_if_any(where, opened.places)
    refuse_share(checked, where, dialect.max_refused)
    _refuse_one_class(checked.rows, schema, where)
    return checked


class CheckedBlock(NamedTuple):
    """The rows of one block that can be decided on, and what is wrong with the others."""

    rows: Rows
    kept: Ints  # their places among the rows of the block's table
    ids: Sequence[str]  # of all rows of the table, as far as they have some
    times: Ints  # of all rows
    read: int  # records of the block
    problems: Problems


class BlockReader:
    """Checks rows that are to be scored, block by block, so that a file may be larger than memory.

    Whether an id comes twice is not its affair: the other one may be in another block.
    """

    def __init__(self, schema: Schema, names: Sequence[str], dialect: DataSettings, latest: int | None) -> None:
        self._new = partial(_Reader, schema, "absent", dialect, dialect.strict, latest, names)
        self._encoding = dialect.encoding
        reader = self._new()
        self.columns, self.types = reader.columns, reader.types

    def read(self, block: Block) -> CheckedBlock:
        """The rows of a block."""
        reader = self._new()
        reader.problems.encoding = self._encoding
        features, *_ = reader.take(block)
        n, problems = block.table.num_rows, reader.problems
        times = reader.times[0] if reader.times else np.zeros(n, dtype=np.int64)
        rows = Rows(features, reader.ids or [""] * n, times, None, reader.unseen)
        if not problems.found:
            return CheckedBlock(rows, np.arange(n), rows.ids, times, n, problems)
        bad = np.isin(block.positions, [entry.position for entry in problems.found])
        kept = np.flatnonzero(~bad)
        return CheckedBlock(rows.take(kept), kept, rows.ids, times, n + len(block.ragged), problems)


def reasons_of(refused: Sequence[RefusedRow]) -> list[tuple[str, str, int]]:
    """Column, problem and number of rows, the most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for entry in refused:
        key = (entry.column, entry.problem)
        counts[key] = counts.get(key, 0) + 1
    return sorted(((c, p, n) for (c, p), n in counts.items()), key=lambda item: -item[2])


def refuse_share(checked: "Checked | Screened", where: str, most: float) -> None:
    """Raise DataError when more than the share ``most`` of the rows, or all, are refused."""
    if checked.refused and (checked.share > most or len(checked.refused) == checked.read):
        error = checked.problems.error(where, checked.source.places)
        named = "; ".join(
            f"{'the line' if not c else f'column {c!r}'} {p} ({n:,} row{'s' * (n != 1)})"
            for c, p, n in reasons_of(checked.refused)[:3]
        )
        bound = f", more than max_refused = {most:g} of [data] allows" if most < 1 else ""
        raise DataError(
            f"{len(checked.refused):,} of the {checked.read:,} rows of {where} cannot be read{bound}: {named}. "
            f"{error.message}",
            error.details,
        )


def _refuse_one_class(rows: Rows, schema: Schema, where: str) -> None:
    outcome = rows.target
    if outcome is not None and (not len(outcome) or np.all(outcome == outcome[0])):
        value = f"{outcome[0]:.0f}" if len(outcome) else "nothing"
        raise DataError(
            f"{where} has the same value {value} in column '{schema.target}' of every row; "
            "training needs defaults (1) and others (0)."
        )


@dataclass
class _Reader:
    """Blocks of a table into the parts of `Rows`."""

    schema: Schema
    target: Purpose
    dialect: DataSettings
    strict: bool
    latest: int | None
    names: Sequence[str]
    problems: Problems = field(default_factory=Problems)
    ids: list[str] = field(default_factory=list)
    times: list[Ints] = field(default_factory=list)
    outcomes: list[Floats] = field(default_factory=list)
    positions: list[Ints] = field(default_factory=list)
    unseen: dict[int, dict[str, str]] = field(default_factory=dict)
    rows: int = 0

    @property
    def columns(self) -> list[str]:
        """Those that are read."""
        schema = self.schema
        special = [schema.id, schema.unit, schema.time, schema.target if self.target == "required" else None]
        return [n for n in dict.fromkeys([*schema.names, *special]) if n is not None and n in self.names]

    @property
    def types(self) -> Mapping[str, pa.DataType]:
        """The types of the columns of a text: guessed ones would turn '007' into 7."""
        levels = pa.dictionary(pa.int32(), pa.string())
        types = {name: levels for name in (self.schema.target, self.schema.time) if name is not None}
        for feature in self.schema.features:
            if feature.kind == "category":
                types[feature.name] = levels
            elif feature.written == "plain":
                types[feature.name] = pa.float64()
        return types

    def take(self, block: Block) -> tuple[Floats, int, Bools, Sequence[str]]:
        """The features of a block's rows (n, k), the number of the first, which are used (n,), and whose they are."""
        schema, table, problems, first = self.schema, block.table, self.problems, self.rows
        problems.positions, before = block.positions, len(problems.found)
        for row, text in block.ragged:
            problems.found.append(RefusedRow(block.first + row, "", text))
            problems.total += 1
        features = np.empty((table.num_rows, len(schema)))
        times = None
        if schema.time is not None and schema.time in table.column_names:
            times = read_times(table[schema.time], schema, problems, self.latest)
            self.times.append(times)
        for position, feature in enumerate(schema.features):
            column = table[feature.name]
            if feature.kind == "category":
                features[:, position] = read_levels(column, feature, problems, schema)
                if feature.unseen == "flag":
                    for row, text in unseen_texts(column, features[:, position], feature).items():
                        self.unseen.setdefault(self.rows + row, {})[feature.name] = text
            else:
                features[:, position] = read_numbers(column, feature, problems, schema, self.dialect.decimal, times)
        self.rows += table.num_rows
        self.positions.append(problems.positions)
        # In a history the customer counts; ids of single loans would make many witnesses of one.
        name = schema.unit if schema.unit in table.column_names and self.target == "required" else schema.id
        if name is not None:
            self.ids += read_ids(table[name], name, problems)
        bad = np.isin(block.positions, [entry.position for entry in problems.found[before:]])
        if self.target == "required":
            self.outcomes.append(read_target(table[schema.target], schema, problems, strict=self.strict))
            bad |= np.isnan(self.outcomes[-1])
        return features, first, ~bad, self.ids[first:]

    def let_go(self) -> None:
        """Forget whose the rows so far were."""
        for known in (self.ids, self.times, self.positions, self.unseen):
            known.clear()

    def check_repeats(self) -> None:
        """The same id twice is a problem, unless the time tells the rows apart or a unit says that it may be."""
        if self.schema.id is None or self.schema.unit is not None:
            return
        times = np.concatenate(self.times) if self.times else None
        text = "is a duplicate id" if times is None else "is a duplicate id with the same time"
        repeats = np.array(repeated_ids(self.ids, times), dtype=np.int64)
        self.problems.positions = np.concatenate(self.positions)
        self.problems.add(self.schema.id, text, repeats, lambda row: self.ids[row])

    def checked(self, held: Held, read: int, source: Rowed) -> Checked:
        """The ``held`` rows of all blocks, without those that have a problem or, in a history, no outcome."""
        positions = np.concatenate(self.positions)
        n = len(positions)
        times = np.concatenate(self.times) if self.times else np.zeros(n, dtype=np.int64)
        # A history's rows need names for its fingerprint; customers to be decided on have none.
        named = self.target == "required"
        ids: Sequence[str] = self.ids or [str(i + 1) if named else "" for i in range(n)]
        self.check_repeats()
        outcome = np.concatenate(self.outcomes) if self.outcomes else None
        refused = self.problems.refused()
        bad = np.isin(positions, [entry.position for entry in refused])
        without = int(np.count_nonzero(np.isnan(outcome) & ~bad)) if outcome is not None else 0
        features, numbers = held.whole()
        if (again := bad[numbers]).any():  # whose id came before is known by now
            features, numbers = features[~again], numbers[~again]
        if len(numbers) < n:
            ids, times, positions = [ids[i] for i in numbers.tolist()], times[numbers], positions[numbers]
            outcome = None if outcome is None else outcome[numbers]
        places = {number: row for row, number in enumerate(numbers.tolist())} if self.unseen else {}
        unseen = {places[number]: found for number, found in self.unseen.items() if number in places}
        rows = Rows(features, ids, times, outcome, unseen)
        return Checked(rows, positions, tuple(refused), read, without, self.problems, source, held.left_out)


@dataclass(frozen=True)
class Screened:
    """Which rows of a source cannot be used."""

    refused: tuple[RefusedRow, ...]
    read: int
    problems: Problems
    source: Rowed

    @property
    def share(self) -> float:
        """Of the rows, what is refused."""
        return len(self.refused) / max(1, self.read)


def screen_rows(
    source: Source,
    schema: Schema,
    *,
    where: str,
    dialect: DataSettings = STANDARD,
    latest: int | None = None,
    aside: Callable[[Screened], None] = silent,
) -> Screened:
    """What of a file that is to be scored cannot be, read block by block: a file may be larger than memory.

    ``aside`` hears which rows are set aside, also where they are too many. Raises as `read_rows` does for columns that
    are not the schema's, and for more than ``dialect.max_refused`` of bad rows; with ``dialect.strict`` for one.
    """
    opened = open_rows(source, schema, "absent", where, dialect)
    reader = _Reader(schema, "absent", dialect, dialect.strict, latest, opened.names)
    reader.problems.encoding = dialect.encoding
    read, keys, problems = 0, RowKeys(), reader.problems
    for block in opened.blocks(reader.columns, reader.types):
        reader.take(block)
        if schema.id is not None and schema.unit is None:
            times = reader.times[0] if reader.times else np.zeros(block.table.num_rows, dtype=np.int64)
            keys.add(keys_of(reader.ids, times), block.positions)
        reader.let_go()
        read += block.table.num_rows + len(block.ragged)
    if not read:
        raise DataError(f"{where} holds no rows.")
    repeats = repeated_rows(opened, schema, keys.alike())
    problems.found += repeats
    problems.total += len(repeats)
    screened = Screened(tuple(problems.refused()), read, problems, opened)
    aside(screened)
    if dialect.strict or problems.columns:
        problems.raise_if_any(where, opened.places)
    refuse_share(screened, where, dialect.max_refused)
    return screened


def table_of(
    source: Source,
    *,
    where: str,
    dialect: DataSettings | None = STANDARD,
    ragged: bool = False,
    target: str | None = None,
) -> pa.Table:
    """Any source as one Arrow table; a line that is no record raises MalformedBody, or with ``ragged`` is left out.

    A file without a header line may lack the ``target``.
    """
    if isinstance(source, pa.Table):
        return source
    opened: Rowed = source if hasattr(source, "blocks") else open_source(source, dialect, where, target=target)[0]
    blocks = list(opened.blocks())
    for block in blocks if not ragged else ():
        refuse_ragged(block, opened, where)
    tables = [block.table for block in blocks]
    if not tables:
        return pa.table({name: pa.array([], pa.string()) for name in opened.names})
    return pa.concat_tables(tables, promote_options="permissive")


def refuse_ragged(block: Block, source: Rowed, where: str) -> None:
    """Raise MalformedBody for the first record that does not have as many fields as the header."""
    if block.ragged:
        row, text = block.ragged[0]
        place = source.places([block.first + row])[0]
        raise MalformedBody(f"{where} is not a table: {place} {text}.")


def open_rows(
    source: Source, schema: Schema, target: Purpose, where: str, dialect: DataSettings, first_row: int = 1
) -> Rowed:
    """The source, with the schema's columns; of a file that has them in another layout than [data] says, the error
    names that layout: it may be the wrong file.
    """
    try:
        opened, _ = open_source(source, dialect, where, target=schema.target, first_row=first_row)
        opened = spelled(opened, schema)
        copies = {name for name in opened.repeated if f"{name}_2" not in {*schema.names, *schema.ignored}}
        refuse_copies(opened, copies, where)
        check_columns(opened.names, schema, target, where)
    except (DataError, MalformedBody):
        refuse_other_layout(source, schema, target, where, dialect)
        raise
    return opened


def refuse_other_layout(source: Source, schema: Schema, target: Purpose, where: str, dialect: DataSettings) -> None:
    """Raise DataError, with the options that read it, for a file that has the columns in another layout: it may be a
    wrong one.
    """
    if not isinstance(source, (Path, str)):
        return
    try:
        own, used = open_source(source, None, where)
        check_columns(spelled(own, schema).names, schema, target, where)
    except (DataError, MalformedBody):
        return
    options = [
        f"--{name} {json.dumps(getattr(used, name))}"
        for name in ("sheet", "skip", "delimiter", "encoding", "decimal")
        if getattr(used, name) != getattr(dialect, name)
    ]
    raise DataError(
        f"{where} is not laid out as [data] of riskloop.toml says, but as: {describe(used)}. If it is the right "
        f"file, say {' '.join(options) or 'so in [data]'}."
    )


def check_columns(names: Sequence[str], schema: Schema, target: Purpose, where: str) -> None:
    """Raise DataError for columns that are not there or come twice.

    Columns that the schema does not know are not read (`not_read`), unless one of them may be a misspelt one of those
    that are not there.
    """
    optional = {schema.target, schema.time} if target == "absent" else set()
    if target == "absent" and schema.unit != schema.id:
        optional.add(schema.unit)
    special = (schema.id, schema.unit, schema.time, schema.target)
    expected = list(dict.fromkeys([*schema.names, *(n for n in special if n is not None)]))
    extra = not_read(names, schema)
    problems = [Problem(n, "appears twice") for n in sorted({n for n in names if list(names).count(n) > 1})]
    for name in [n for n in expected if n not in names and not (n == schema.target and target == "absent")]:
        alike = _alike(name, extra)
        if name not in optional or alike is not None:
            problems.append(Problem(name, "is missing" + (f"; '{alike}' looks like it" if alike else "")))
    if problems:
        problems += [Problem(n, "is not in the schema") for n in extra]
        listed = "; ".join(f"column '{p.field}' {p.problem}" for p in problems[:8])
        more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise DataError(
            f"{where} does not have the columns of the schema: {listed}{more}. Correct the header, "
            "or riskloop.toml: [features.NAME], or 'ignore' of [portfolio].",
            problems,
        )


def not_read(names: Sequence[str], schema: Schema) -> tuple[str, ...]:
    """The columns that the schema neither has nor names as ignored: a lender's export has more than a model."""
    special = (schema.id, schema.unit, schema.time, schema.target, schema.known_at)
    known = {*schema.names, *schema.ignored, *special}
    nameless = re.compile(rf"{UNNAMED}\d+(_\d+)?")  # what has no name stands elsewhere in a file of fewer columns
    return tuple(n for n in names if n not in known and nameless.fullmatch(n) is None)


def not_read_sentence(extra: Sequence[str]) -> str:
    """Which columns of a file are not read; empty where all are known."""
    if not extra:
        return ""
    shown = ", ".join(f"'{name}'" for name in extra[:8]) + (f" and {len(extra) - 8:,} more" if len(extra) > 8 else "")
    return f"Not read, as riskloop.toml does not name {'it' if len(extra) == 1 else 'them'}: {shown}."


def column_sentences(names: Sequence[str], schema: Schema) -> list[str]:
    """Which columns of a frame are not read, and which are read under another spelling."""
    spelling = respelled(names, schema.names, schema.ignored)
    said = not_read_sentence(not_read([name for name in names if name not in spelling], schema))
    return [sentence for sentence in (said, spelling_sentence(spelling)) if sentence]


def _alike(name: str, others: Sequence[str]) -> str | None:
    """The one of ``others`` that may be ``name`` misspelt."""
    plain = {plain_name(other): other for other in others}
    close = difflib.get_close_matches(plain_name(name), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None
