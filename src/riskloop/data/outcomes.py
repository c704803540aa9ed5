"""Reading what happened: a file or frame of outcomes, by decision or by customer."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from riskloop.core.errors import DataError, MalformedBody, RiskloopError
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import Problem, as_utc, from_micros, to_micros
from riskloop.core.values import TARGETS, is_missing, level_text, parse_time, truth
from riskloop.data.opening import open_source
from riskloop.data.read import STANDARD, Source, refuse_ragged
from riskloop.data.tables import Source as Rowed
from riskloop.store.outcomes import Outcome

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
    or `default`, whose values are read as in a history; and may have `known_at` (UTC when it names no zone).
    Other columns are not read. Raises DataError naming rows, columns and values; then nothing is returned. Two rows
    that contradict each other at the same moment are refused; of later knowledge the latest counts. ``empty``: no rows
    is no error, as where a watermark says that nothing more will come.
    """
    read = _Outcomes(source, schema, default_known_at, empty, dialect)
    if read.problems:
        first, more = read.problems[0], f" ({len(read.problems) - 1} more problems)" if len(read.problems) > 1 else ""
        raise DataError(
            f"The outcomes cannot be used: {first.field} {first.problem}{more}. Nothing was recorded.",
            read.problems[:SHOWN],
        )
    return read.found


def report_outcomes(
    source: Source,
    schema: Schema,
    *,
    default_known_at: datetime,
    empty: bool = False,
    dialect: DataSettings = STANDARD,
) -> Reported:
    """As `read_outcomes`, but rows that cannot be read are set aside with their reason.

    Raises DataError for more of them than ``dialect.max_refused`` allows.
    """
    read = _Outcomes(source, schema, default_known_at, empty, dialect)
    refused: dict[str, str] = {}
    for p in read.problems:
        refused.setdefault(
            p.field, f"{p.field}: {p.problem}" + ("" if p.value in (None, "") else f" (got {p.value!r})")
        )
    if refused and len(refused) > dialect.max_refused * read.rows:
        raise DataError(
            f"{len(refused):,} of the {read.rows:,} outcomes cannot be read, more than max_refused = "
            f"{dialect.max_refused:g} of [data] allows: {next(iter(refused.values()))}. Nothing was recorded.",
            read.problems[:SHOWN],
        )
    kept = [outcome for outcome in read.found if outcome.place not in refused]
    return Reported(kept, list(refused.values()), read.rows)


def read_handed_in(
    labels: Source | None, schema: Schema, data: DataSettings, at: datetime, *, strict: bool | None, empty: bool
) -> tuple[list[Outcome], tuple[str, ...]]:
    """What a person or a feed handed in, and the rows that cannot be read; ``strict`` overrules [data]'s.

    What is no file of the lender's is written as usual. Raises DataError as `read_outcomes` and `report_outcomes` do.
    """
    if labels is None:
        return [], ()
    if not isinstance(labels, Path | str):
        data = DataSettings(missing=data.missing, dates=data.dates, strict=data.strict)
    if data.strict if strict is None else strict:
        return read_outcomes(labels, schema, default_known_at=at, empty=empty, dialect=data), ()
    read = report_outcomes(labels, schema, default_known_at=at, empty=empty, dialect=data)
    return read.outcomes, tuple(read.refused)


class _Outcomes:
    """The rows of a source, read one by one."""

    def __init__(
        self, source: Source, schema: Schema, default_known_at: datetime, empty: bool, dialect: DataSettings
    ) -> None:
        self.schema, self.latest = schema, default_known_at
        self._earliest = parse_time(schema.earliest)
        self.problems: list[Problem] = []
        self.found: list[Outcome] = []
        columns, places = _columns(source, empty, dialect, {schema.target, "default"})
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
            raise DataError(
                f"The outcomes need a column {needed}; they have {', '.join(columns)}.",
                [Problem(needed, "is missing")],
            )
        self._defaulted, self._known = defaulted, _first(columns, ["known_at"])
        self._read(places)

    def _read(self, places: list[str]) -> None:
        said: dict[tuple[int | str | None, datetime], tuple[bool, str]] = {}
        for position, place in enumerate(places):
            outcome = self._outcome(position, place)
            if outcome is None:
                continue
            about = outcome.customer_id if outcome.decision_id is None else outcome.decision_id
            value, before = said.setdefault((about, outcome.known_at), (outcome.defaulted, place))
            if value != outcome.defaulted:
                self.problems.append(Problem(place, f"contradicts {before}", str(about)))
                self.problems.append(Problem(before, f"contradicts {place}", str(about)))
            self.found.append(outcome)

    def _outcome(self, position: int, place: str) -> Outcome | None:
        before, schema = len(self.problems), self.schema
        text = self._defaulted[position]
        value = None if not text else truth(text, schema.bad, schema.good)
        if value is None:
            value = TARGETS.get(text.casefold())  # the API's own 1 and 0, whatever words the history has
        if value is None:
            words = (
                f"{', '.join(schema.bad)} or {', '.join(schema.good) or 'another value'}" if schema.bad else "0 or 1"
            )
            self.problems.append(Problem(place, f"needs {words} as its outcome", text))
        number = _number(self._decision[position]) if self._decision is not None else None
        if self._decision is not None and number is None:
            self.problems.append(
                Problem(place, "has a decision_id that is not a whole number", self._decision[position])
            )
        if self._decision is None and self._customer is not None and not self._customer[position]:
            self.problems.append(Problem(place, "names no customer", ""))
        at = self._moment(position, place)
        if len(self.problems) > before or value is None:
            return None
        customer = None if self._customer is None or number is not None else self._customer[position]
        return Outcome(value == 1.0, at, number, customer, place)

    def _moment(self, position: int, place: str) -> datetime:
        text = "" if self._known is None else self._known[position]
        if not text:
            return self.latest
        try:
            moment = from_micros(parse_time(text, self.schema.dates))
        except (ValueError, OverflowError) as error:
            said = str(error) if str(error).startswith(("is ", "can ")) else "is no date"
            self.problems.append(Problem(place, f"needs a time as known_at; {text!r} {said}", text))
            return self.latest
        if to_micros(moment) < self._earliest:
            said = f"has a known_at before {self.schema.earliest} ('earliest' of [portfolio])"
            self.problems.append(Problem(place, said, text))
        if moment > self.latest:
            self.problems.append(Problem(place, "has a known_at in the future", text))
        return moment


def _opened(source: Source, dialect: DataSettings, where: str, needed: Set[str]) -> Rowed:
    """The source as [data] lays files out; a file that has its columns only in a layout of its own, in that.

    Outcomes come from other systems than the history: without its note above the header, or with other delimiters.
    """
    first: RiskloopError | None = None
    opened: Rowed | None = None
    try:
        opened, _ = open_source(source, dialect, where)
        if needed & set(opened.names):
            return opened
    except (DataError, MalformedBody) as error:
        first = error
    if isinstance(source, (Path, str)):
        try:
            own, _ = open_source(source, None, where)
            if needed & set(own.names):
                return own
        except (DataError, MalformedBody):
            pass
    if opened is None:
        raise first or DataError(f"{where} cannot be read.")
    return opened


def _columns(
    source: Source, empty: bool, dialect: DataSettings, needed: Set[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Every column as text, a missing value as empty text, and the place of each row."""
    where = str(source) if isinstance(source, (Path, str)) else "The outcomes"
    opened = _opened(source, dialect, where, needed)
    columns: dict[str, list[str]] = {name: [] for name in opened.names}
    positions: list[int] = []
    for block in opened.blocks():
        refuse_ragged(block, opened, where)
        positions += block.positions.tolist()
        for name, column in zip(block.table.column_names, block.table.columns, strict=True):
            columns[name] += [_text(value, dialect) for value in column.to_pylist()]
    if not positions and not empty:
        raise DataError("The outcomes hold no rows.")
    return columns, opened.places(positions)


def _text(value: Any, dialect: DataSettings) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    text = level_text(value)
    return "" if is_missing(text, dialect.missing) and text not in ("-", "+") else text


def _first(columns: Mapping[str, list[str]], names: list[str]) -> list[str] | None:
    return next((columns[name] for name in names if name in columns), None)


def _number(text: str) -> int | None:
    digits = text.removesuffix(".0")
    return int(digits) if digits.isdecimal() and len(digits) < 19 else None  # 18 digits always fit into 64 bits
