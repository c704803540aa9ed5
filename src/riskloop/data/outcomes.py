"""Reading what happened: a file or frame of outcomes, by decision or by customer."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskloop.core.dates import parse_time
from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.progress import silent
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings
from riskloop.core.truth import TARGETS, truth
from riskloop.core.types import Bools, Ints, Problem, as_utc, from_micros, to_micros
from riskloop.core.values import is_missing, level_text
from riskloop.data.columns import Problems, codes_of, codes_table, is_text, read_ids
from riskloop.data.delivered import how_to_name, open_outcomes, outcome_of
from riskloop.data.parse import Block
from riskloop.data.read import STANDARD, Source, refuse_ragged
from riskloop.data.targets import wrong_outcome
from riskloop.data.unread import known_names, unread_dates
from riskloop.store.matching import BY_CUSTOMER, UNDATED, Labels, Outcome

WHERE: Final = "The table of outcomes"  # in sentences that are built of a noun, which is one thing
SHOWN: Final = 10  # problems named one by one


def read_watermark(given: str | date | datetime, earliest: str) -> datetime:
    """The moment before which every outcome is reported; a date means that day included. UTC where no zone is named.

    Raises DataError for a text that is neither date nor time, and for one before ``earliest``.
    """
    problem = "is no date"
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
        day = len(given) <= len("2025-06-30") if isinstance(given, str) else not isinstance(given, datetime)
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        until = as_utc(moment) + (timedelta(days=1) if day else timedelta(0))
        if to_micros(until) >= parse_time(earliest):
            return until
        problem = f"is before {earliest} ('earliest' of [portfolio])"
    except (ValueError, OverflowError):
        pass
    raise DataError(
        f"The outcomes are complete until '{given}', which {problem}; write 2025-06-30 or 2025-06-30T12:00Z.",
        [Problem("complete_until", problem, str(given))],
    )


@dataclass(frozen=True)
class Reported:
    """What a file or frame of outcomes says."""

    outcomes: list[Outcome]
    refused: list[str]  # rows that cannot be read: place and problem
    rows: int
    waiting: "Undecided"


@dataclass(frozen=True)
class Undecided:
    """Rows whose value is neither a default nor none: nothing is decided yet."""

    rows: Sequence[Outcome] = ()  # as if there were no default
    values: Mapping[str, int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """How many there are, by their values; nothing where there are none."""
        if not self.rows:
            return ""
        shown = sorted(self.values.items(), key=lambda pair: -pair[1])
        said = [f"{repr(text) if text else 'blank'} ({count:,})" for text, count in shown[:8]]
        more = f" and {len(shown) - 8:,} other values" if len(shown) > 8 else ""
        one = len(self.rows) == 1
        return (
            f"{len(self.rows):,} row{'' if one else 's'} {'has' if one else 'have'} no outcome yet and "
            f"{'is' if one else 'are'} left out: {', '.join(said)}{more}."
        )


@dataclass(frozen=True)
class HandedIn:
    """What a person or a feed handed in."""

    labels: Labels
    refused: tuple[str, ...] = ()  # rows that cannot be read
    waiting: Undecided = field(default_factory=Undecided)
    notes: tuple[str, ...] = ()


def read_outcomes(
    source: Source,
    schema: Schema,
    *,
    default_known_at: datetime,
    empty: bool = False,
    dialect: DataSettings = STANDARD,
) -> list[Outcome]:
    """Outcomes of a file, an open CSV, or a frame; one row that cannot be read refuses all.

    Needs a column `decision_id`, or the schema's id column (`customer_id` is understood too); the schema's target
    or `default`, whose values are read as in a history; and may have the schema's `known_at` (UTC when it names no
    zone) and its time column, which tells several decisions on one customer apart. Other columns are not read. Raises
    DataError naming rows, columns and values; then nothing is returned. Two rows that contradict each other at the same
    moment are refused; of later knowledge the latest counts. ``empty``: no rows is no error, as where a watermark says
    that nothing more will come.
    """
    read = _Outcomes(source, schema, default_known_at, empty, dialect)
    _refuse_any(read)
    return read.found


def _refuse_any(read: "_Outcomes") -> None:
    """Raise DataError for a row that cannot be read, or lacks its outcome where the schema does not leave such out."""
    unknown = [] if read.schema.good else [Problem(o.place, "has no outcome yet", "") for o in read.waiting]
    if problems := read.problems + unknown:
        first, more = problems[0], f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise DataError(
            f"The outcomes cannot be used: {first.field} {first.problem}{more}. Nothing was recorded.", problems[:SHOWN]
        )


def report_outcomes(
    source: Source,
    schema: Schema,
    *,
    default_known_at: datetime,
    empty: bool = False,
    dialect: DataSettings = STANDARD,
) -> Reported:
    """As `read_outcomes`, but rows that cannot be read are set aside with a reason, those without an outcome counted.

    Raises DataError for more of those that cannot be read than ``dialect.max_refused`` allows.
    """
    return _set_aside(_Outcomes(source, schema, default_known_at, empty, dialect))


def _set_aside(read: "_Outcomes", aside: Callable[[Sequence[str]], None] = silent) -> Reported:
    refused = read.refused()
    aside([*refused.values()])
    if refused and len(refused) > read.dialect.max_refused * read.rows:
        raise DataError(
            f"{len(refused):,} of the {read.rows:,} outcomes cannot be read, more than max_refused = "
            f"{read.dialect.max_refused:g} of [data] allows: {next(iter(refused.values()))}. Nothing was recorded.",
            read.problems[:SHOWN],
        )
    kept = [outcome for outcome in read.found if outcome.place not in refused]
    return Reported(kept, list(refused.values()), read.rows, Undecided(read.waiting, read.values))


def read_handed_in(
    labels: Source | None,
    schema: Schema,
    data: DataSettings,
    at: datetime,
    *,
    strict: bool | None,
    empty: bool,
    aside: Callable[[Sequence[str]], None] = silent,
) -> HandedIn:
    """What a person or a feed handed in; ``strict`` overrules [data]'s: then no row may be one that cannot be read.

    What is no file of the lender's is written as usual. ``aside`` hears which rows cannot be read, also where that
    refuses all. Raises DataError as `read_outcomes` and `report_outcomes` do.
    """
    if labels is None:
        return HandedIn(Labels.of([]))
    if not isinstance(labels, Path | str):
        data = DataSettings(**data.model_dump(include={"missing", "dates", "strict", "max_refused"}))
    # A body is read once more, row by row, where it has to be; what cannot go back to its beginning is at once.
    begins = labels.tell() if hasattr(labels, "seek") else None
    if begins is not None or not hasattr(labels, "read"):
        if (plain := read_plain(labels, schema, data, at)) is not None:
            return plain
        if begins is not None:
            labels.seek(begins)
    read = _Outcomes(labels, schema, at, empty, data)
    if data.strict if strict is None else strict:
        aside([*read.refused().values()])
        _refuse_any(read)
    reported = _set_aside(read, aside)
    return HandedIn(Labels.of(reported.outcomes), tuple(reported.refused), reported.waiting, read.notes)


def read_plain(source: Source, schema: Schema, dialect: DataSettings, latest: datetime) -> HandedIn | None:
    """A file or frame of outcomes, column by column; None where `_Outcomes` has to look at each row.

    That is where anything is wrong with any of them. Where this returns labels, they are those of `_Outcomes`.
    """
    try:
        opened = open_outcomes(source, dialect, WHERE, schema)
        names = {n: n in opened.names for n in ("decision_id", schema.id or "", "customer_id")}
        defaulted = next((n for n in (schema.target, "default") if n in opened.names), None)
        by_id = names["decision_id"]
        who = "decision_id" if by_id else next((n for n in (schema.id, "customer_id") if n and names[n]), None)
        if defaulted is None or who is None or (defaulted != schema.target and _may_be_plain(schema)):
            return None
        known = next((n for n in known_names(schema) if n in opened.names), None)
        wanted = [n for n in opened.names if n in (who, defaulted, known, schema.time)]
        parts = [_plain(block, who, defaulted, known, schema, dialect, latest) for block in opened.blocks(wanted)]
    except (DataError, MalformedBody, pa.ArrowException):
        return None
    if any(part is None for part in parts) or not sum(len(part[1]) for part in parts if part):
        return None
    columns = zip(*(part[1:] for part in parts if part), strict=True)
    ids, values, moments, decided = map(np.concatenate, columns)
    customers = [text for part in parts if part is not None for text in part[0]]
    about = ids if by_id else codes_of(pa.array(customers, pa.string()).dictionary_encode())
    order = np.lexsort((moments, decided, about))
    same = np.logical_and.reduce([k[order[1:]] == k[order[:-1]] for k in (about, decided, moments)])
    if (same & (values[order[1:]] != values[order[:-1]])).any():
        return None  # rows that contradict each other
    labels = Labels(ids, customers or [""] * len(ids), values, moments, opened.places, decided)
    return HandedIn(labels, notes=(*opened.notes, *unread_dates(opened, schema)))


def _plain(
    block: Block, who: str, defaulted: str, known: str | None, schema: Schema, dialect: DataSettings, latest: datetime
) -> tuple[list[str], Ints, Bools, Ints, Ints] | None:
    """Customers (none by decision), ids, outcomes, moments and dates of decisions of a block that can be read whole."""
    n, problems = block.table.num_rows, Problems(positions=block.positions)
    if block.ragged:
        return None
    read = _distinct(block.table[defaulted], lambda text: outcome_of(text, schema), dialect)
    ids, customers = np.full(n, BY_CUSTOMER, dtype=np.int64), list[str]()
    if who == "decision_id":
        column = block.table[who]
        if is_text(column.type) and not pc.all(pc.match_substring_regex(column, _NUMBER)).as_py():
            return None
        ids = np.asarray(column.cast(pa.int64()).combine_chunks().to_numpy(zero_copy_only=False))
        if ids.dtype != np.int64 or (n and (ids.min() < 0 or ids.max() >= _MOST)):
            return None
    else:
        customers = read_ids(block.table[who], who, problems)
        if problems.total or any(is_missing(text, dialect.missing) for text in customers):
            return None
    until, earliest = to_micros(latest), parse_time(schema.earliest)
    moments = np.full(n, until, dtype=np.int64)
    if known is not None:
        found = _distinct(block.table[known], lambda text: _moment(text, until, schema), dialect)
        if found is None or (n and (found.min() < earliest or found.max() > until)):
            return None
        moments = found
    decided = np.full(n, UNDATED, dtype=np.int64)
    if schema.time in block.table.column_names and who != "decision_id":
        when = _distinct(block.table[schema.time], lambda text: _moment(text, UNDATED, schema) or UNDATED, dialect)
        decided = decided if when is None else when
    return None if read is None else (customers, ids, read.astype(np.bool_), moments, decided)


_MOST: Final = 10**18  # of an id; longer numbers are looked at one by one
_NUMBER: Final = r"^[0-9]{1,18}$"


def _distinct(column: Any, read: Callable[[str], int | None], dialect: DataSettings) -> Ints | None:
    """Each value of a column, by what ``read`` makes of its text; None where it makes nothing of one."""
    encoded = codes_table(column)
    table = [read(_text(value, dialect)) for value in encoded.dictionary.to_pylist()]
    table.append(read(""))  # for what is missing
    codes = codes_of(encoded)
    used = {table[code] for code in np.unique(codes).tolist()}
    if None in used:
        return None
    return np.array([0 if value is None else value for value in table], dtype=np.int64)[codes]


def _may_be_plain(schema: Schema) -> bool:
    """Whether 0 and 1 of a column `default` could be taken for other outcomes than they are, by the target's words."""
    return any(truth(text, schema.bad, schema.good) not in (None, value) for text, value in TARGETS.items())


def _moment(text: str, latest: int, schema: Schema) -> int | None:
    try:
        return parse_time(text, schema.dates) if text else latest
    except (ValueError, OverflowError):
        return None


class _Outcomes:
    """The rows of a source, read one by one."""

    def __init__(
        self, source: Source, schema: Schema, default_known_at: datetime, empty: bool, dialect: DataSettings
    ) -> None:
        self.schema, self.latest, self.dialect = schema, default_known_at, dialect
        self._earliest = parse_time(schema.earliest)
        self.problems: list[Problem] = []
        self.waiting: list[Outcome] = []  # rows whose value is neither a default nor none: nothing is decided yet
        self.values = Counter[str]()  # … and those values
        self.found: list[Outcome] = []
        columns, places, self.notes = _columns(source, empty, dialect, schema)
        self.rows = len(places)
        if empty and not self.rows:
            return
        self._decision = _first(columns, ["decision_id"])
        names = [name for name in (schema.id, "customer_id") if name]
        self._customer = _first(columns, names)
        defaulted = _first(columns, [schema.target, "default"])
        if defaulted is None or (self._decision is None and self._customer is None):
            wanted = ["decision_id", names[0]] if defaulted is not None else [schema.target, "default"]
            needed = " or ".join(f"'{name}'" for name in dict.fromkeys(wanted))
            a_file = isinstance(source, (Path, str)) or hasattr(source, "read")
            hint = f" If those are no names: {how_to_name(schema)}" if a_file else ""
            raise DataError(
                f"The outcomes need a column {needed}; they have {', '.join(columns)}.{hint}",
                [Problem(needed, "is missing")],
            )
        self._defaulted, self._known = defaulted, _first(columns, known_names(schema))
        self._known_name = next((name for name in known_names(schema) if name in columns), schema.known_at)
        # A column `default` says 1 and 0, whatever words the target has.
        plain = schema.target not in columns and {text.casefold() for text in defaulted} <= {*TARGETS, ""}
        self._meant = msgspec.structs.replace(schema, bad=(), good=()) if plain else schema
        self._decided = _first(columns, [schema.time]) if schema.time is not None else None
        self._read(places)

    def refused(self) -> dict[str, str]:
        """The rows that cannot be read, by their places, each with the first thing that is wrong with it."""
        found: dict[str, str] = {}
        for p in self.problems:
            said = "" if p.value in (None, "") else f" (got {p.value!r})"
            found.setdefault(p.field, f"{p.field}: {p.problem}{said}")
        return found

    def _read(self, places: list[str]) -> None:
        said: dict[tuple[int | str | None, datetime | None, datetime], tuple[bool, str]] = {}
        for position, place in enumerate(places):
            outcome = self._outcome(position, place)
            if outcome is None:
                continue
            about = outcome.customer_id if outcome.decision_id is None else outcome.decision_id
            value, before = said.setdefault((about, outcome.decided, outcome.known_at), (outcome.defaulted, place))
            if value != outcome.defaulted:
                self.problems.append(Problem(place, f"contradicts {before}", str(about)))
                self.problems.append(Problem(before, f"contradicts {place}", str(about)))
            self.found.append(outcome)

    def _outcome(self, position: int, place: str) -> Outcome | None:
        before = len(self.problems)
        text = self._defaulted[position]
        value = outcome_of(text, self._meant)
        if value is None and (wrong := wrong_outcome(text, self.schema.bad, self.schema.good)) is not None:
            self.problems.append(Problem(place, wrong, text))
        number = _number(self._decision[position]) if self._decision is not None else None
        if self._decision is not None and number is None:
            self.problems.append(
                Problem(place, "has a decision_id that is not a whole number", self._decision[position])
            )
        if self._decision is None and self._customer is not None and not self._customer[position]:
            self.problems.append(Problem(place, "names no customer", ""))
        at = self._moment(position, place)
        if len(self.problems) > before:
            return None
        customer = None if self._customer is None or number is not None else self._customer[position]
        found = Outcome(value == 1, at, number, customer, self._decided_at(position) if customer else None, place)
        if value is not None:
            return found
        self.waiting.append(found)
        self.values[text] += 1
        return None

    def _decided_at(self, position: int) -> datetime | None:
        """When the decision was, where the row says so in a way that can be read."""
        text = "" if self._decided is None else self._decided[position]
        moment = _moment(text, UNDATED, self.schema) if text else None
        return None if moment is None else from_micros(moment)

    def _moment(self, position: int, place: str) -> datetime:
        text = "" if self._known is None else self._known[position]
        if not text:
            return self.latest
        try:
            moment = from_micros(parse_time(text, self.schema.dates))
        except (ValueError, OverflowError) as error:
            said = str(error) if str(error).startswith(("is ", "can ")) else "is no date"
            self.problems.append(Problem(place, f"needs a time as {self._known_name}; {text!r} {said}", text))
            return self.latest
        if to_micros(moment) < self._earliest:
            said = f"has a {self._known_name} before {self.schema.earliest} ('earliest' of [portfolio])"
            self.problems.append(Problem(place, said, text))
        if moment > self.latest:
            self.problems.append(Problem(place, f"has a {self._known_name} in the future", text))
        return moment


def _columns(
    source: Source, empty: bool, dialect: DataSettings, schema: Schema
) -> tuple[dict[str, list[str]], list[str], tuple[str, ...]]:
    """Every column as text, a missing value as empty text; the place of each row; and what to know of the reading."""
    where = str(source) if isinstance(source, (Path, str)) else WHERE
    opened = open_outcomes(source, dialect, where, schema)
    columns: dict[str, list[str]] = {name: [] for name in opened.names}
    positions: list[int] = []
    for block in opened.blocks():
        refuse_ragged(block, opened, where)
        positions += block.positions.tolist()
        for name, column in zip(block.table.column_names, block.table.columns, strict=True):
            columns[name] += [_text(value, dialect) for value in column.to_pylist()]
    if not positions and not empty:
        raise DataError("The outcomes hold no rows.")
    return columns, opened.places(positions), (*opened.notes, *unread_dates(opened, schema))


def _text(value: Any, dialect: DataSettings) -> str:
    if value is None or value != value:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else level_text(value)
    return "" if is_missing(text, dialect.missing) and text not in ("-", "+") else text


def _first(columns: Mapping[str, list[str]], names: list[str]) -> list[str] | None:
    return next((columns[name] for name in names if name in columns), None)


def _number(text: str) -> int | None:
    digits = text.removesuffix(".0")
    return int(digits) if digits.isdecimal() and len(digits) < 19 else None  # 18 digits always fit into 64 bits
