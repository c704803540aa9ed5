"""From a history to a first riskloop.toml: every guess is written down where a person can see and change it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.periods import Calendar
from riskloop.core.schema import APPENDED
from riskloop.core.settings import DataSettings
from riskloop.core.truth import ANY, is_bound, truth
from riskloop.core.types import Bools, Floats, to_micros
from riskloop.core.values import zeros_back
from riskloop.data import guess, ids
from riskloop.data.dating import (
    calendar_of,
    calendar_said,
    dates_of,
    likely_dates,
    odd_times,
    open_said,
    orders_of,
    settled_order,
    stopped,
)
from riskloop.data.joined import Joined, JoinedSource
from riskloop.data.leaks import ROWS, Alone, are_late, bins_of, customers_of, evidence_of_leak, rank_alone, surely_after
from riskloop.data.opening import files_of, kind_of, open_source
from riskloop.data.repeats import ids_of_copies
from riskloop.data.special import find_special
from riskloop.data.survey import Column, Survey, fingerprint, survey
from riskloop.data.tables import ManySource, Source, refuse_copies
from riskloop.data.targets import Target, counts_of, declined_said, read_meaning, rule_of, what_many_say
from riskloop.data.words import (
    STYLES,
    all_said,
    copies_said,
    count_levels,
    count_of,
    date_said,
    kind_of_column,
    level_order,
    levels_of,
    listed,
    na_level,
    no_column,
    odd_levels,
    odd_values,
    other_sign,
    reading_notes,
    several_units,
    short_history,
    special_said,
    values_of,
)

Role = Literal["target", "id", "unit", "time", "known", "input", "protected", "context", "ignored"]

STANDARD_WINDOW: Final = timedelta(days=365)  # the field's usual horizon, where nothing says another
NOT_KNOWN: Final = "NOT KNOWN: a year, as the field has it; set what your default definition says"


@dataclass(frozen=True)
class Guessed:
    """What one column is taken for, and why."""

    name: str
    role: Role
    kind: str  # number, category, date, text, nested, empty
    missing: int
    values: str  # its levels or its range
    why: str
    look: str = ""  # what a person should look at
    written: str = "plain"
    written_in: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    unseen: str = "refuse"
    special: tuple[float, ...] = ()
    prefixes: tuple[int, ...] = ()  # of a tree of codes
    alone: Alone | None = None
    column: Column = field(repr=False, default_factory=lambda: Column(""))


@dataclass(frozen=True)
class Examined:
    """What `init` found in a history."""

    path: str  # or the address
    rows: int
    ragged: int
    dialect: DataSettings
    target: Target
    columns: tuple[Guessed, ...]
    outcome_window: timedelta
    window_why: str
    questions: tuple[str, ...]  # what should be confirmed before this is used
    notes: tuple[str, ...]
    kind: str = "text"  # of the file, as `opening.kind_of` says
    outcomes: str | None = None  # the file with the target, where it is another one
    known_at: tuple[str, str] | None = None  # the column that says when an outcome became known, and why it is taken
    windows: Calendar = "month"  # how often rows come, as far as that is seldomer than each month

    def of(self, role: Role) -> tuple[Guessed, ...]:
        """The columns with a role."""
        return tuple(column for column in self.columns if column.role == role)

    def name_of(self, role: Role) -> str | None:
        """The first column with a role."""
        return next((column.name for column in self.of(role)), None)


@dataclass(frozen=True)
class Wanted:
    """What the caller knows; None or empty: find it."""

    target: str
    id: str | None = None
    time: str | None = None
    unit: str | None = None
    bad: tuple[str, ...] = ()
    good: tuple[str, ...] = ()
    known_at: str | None = None  # the column that says when an outcome became known
    outcome_window: timedelta | None = None
    dialect: DataSettings | None = None  # what is not at its default is taken as it is


def examine(source: Any, wanted: Wanted, *, where: str | None = None) -> Examined:
    """Read a history once and say what each column is.

    Raises NotFound or MalformedBody for the file, DataError when a named column is not there, the target has no
    meaning or dates can be read in two ways, ConfigError when no column is left that a model could use.
    """
    where = where or str(source)
    opened, dialect = opened_as(source, wanted, where)
    refuse_copies(opened, (wanted.target, wanted.id, wanted.time, wanted.unit), where)
    for name in (wanted.target, wanted.id, wanted.time, wanted.unit):
        if name is not None and name not in opened.names:
            raise no_column(where, name, opened.names)
    looked = survey(opened, dialect)
    if not looked.rows and not looked.ragged:
        raise DataError(f"{where} holds no rows.")
    if looked.ragged > dialect.max_refused * (looked.rows + looked.ragged):
        raise DataError(
            f"{where}: {looked.ragged:,} of its {looked.rows + looked.ragged:,} lines have more or fewer fields than "
            f"the header, which has {len(opened.names)}; the first {looked.uneven}. A text that holds the delimiter "
            "has to stand in quotes, and a quote within quotes twice; for another layout say --delimiter or --skip."
        )
    dialect = dialect.model_copy(update={"missing": (*dialect.missing, *looked.blanks)})
    several = opened if isinstance(opened, ManySource) else None
    beside = opened.others if isinstance(opened, JoinedSource) else []
    if wanted.known_at is not None and wanted.known_at not in (*opened.names, *beside):
        raise no_column(where, wanted.known_at, [*opened.names, *beside])
    copied = ids_of_copies(opened, looked, wanted.id, dialect.max_refused)
    found = _Examination(where, wanted, dialect, looked, several, beside).result()
    found = replace(found, notes=(*found.notes, *opened.notes, *copies_said(sorted(opened.repeated)), *copied))
    first = source.history if isinstance(source, Joined) else source
    return replace(found, kind=kind_of(files_of(first)[0]) if isinstance(first, (Path, str)) else "frame")


def opened_as(source: Any, wanted: Wanted, where: str) -> tuple[Source, DataSettings]:
    """The history, and the layout that is found or said."""
    known, target = wanted.dialect, wanted.target or None
    if isinstance(source, (Path, str)) and kind_of(first := files_of(source)[0]) in ("text", "zip", "html"):
        found = open_source(first, None, where, target=target, known=known)[1]
        return open_source(source, found, where, target=target)
    opened, dialect = open_source(source, known, where, target=target)
    if known is not None:
        dialect = dialect.model_copy(update={"missing": known.missing, "dates": known.dates})
    return opened, dialect


class _Examination:
    """The steps of `examine`, which share the facts."""

    def __init__(
        self,
        where: str,
        wanted: Wanted,
        dialect: DataSettings,
        looked: Survey,
        several: ManySource | None,
        beside: Sequence[str],
    ) -> None:
        self.where, self.wanted, self.dialect, self.looked = where, wanted, dialect, looked
        self.partial = {} if several is None else several.partial
        self.gone: frozenset[str] = frozenset() if several is None else several.gone
        self.columns = looked.columns
        self.first: dict[bytes, str] = {}  # the first column of each content
        self.questions: list[str] = []
        self.notes: list[str] = []
        read = {name: orders_of(c, dialect.dates, name == wanted.time) for name, c in self.columns.items()}
        self.orders = {name: orders for name, (orders, _) in read.items()}
        self.odd_dates = {name: odd for name, (_, odd) in read.items()}
        self.target = self._target()
        special = find_special(self.columns, self.orders, (wanted.target, wanted.time, wanted.id, wanted.unit))
        self.time, self.id, self.unit, self.years = special.time, special.id, special.unit, special.years
        self.panel = special.panel
        self.notes += special.notes
        self._check_time()
        self._check_id()
        self.labels = self._labels()
        self.times = self._dates_of(self.columns[self.time]) if self.time else None
        if self.times is not None and (said := open_said(self.times, self.labels)):
            self.notes.append(said)
        self.windows: Calendar = "month" if self.times is None else calendar_of(self.times)
        self.notes += calendar_said(self.windows, self.time)
        self.questions += declined_said([c for c in self.columns.values() if c.name != self.target.name], self.labels)
        self.known_at = self._known_at(beside)
        self.seen = self._sampled()
        self.whose = None if self.unit is None else customers_of(self.columns[self.unit].sample[self.seen[0]])

    def result(self) -> Examined:
        """All columns, with what is left to ask."""
        columns = tuple(self._guessed(column) for column in self.columns.values())
        if not any(column.role in ("input", "context") for column in columns):
            raise ConfigError(f"{self.where} has no column that a model could use beside '{self.target.name}'.")
        if (question := self.target.question) is not None:
            self.questions.insert(0, question)
        window, why = self._window()
        self.notes += reading_notes(self.looked, self.partial, self.dialect)
        if taken := [column.name for column in columns if column.name in APPENDED and column.role != "target"]:
            self.notes.append(
                f"{listed(taken)} {'has' if len(taken) == 1 else 'have'} the name of a column that scoring appends: "
                "rename it in the source now, or no file can be scored."
            )
        if self.looked.ragged:
            self.notes.append(f"{count_of(self.looked.ragged, 'line')} more or fewer fields than the header: left out.")
        return Examined(
            self.where, self.looked.rows, self.looked.ragged, self.dialect, self.target, columns, window, why,
            tuple(self.questions), tuple(self.notes), known_at=self.known_at, windows=self.windows,
        )  # fmt: skip

    # ------------------------------------------------------------------ special columns

    def _target(self) -> Target:
        column, bad, good = self.columns[self.wanted.target], self.wanted.bad, self.wanted.good
        rule, question = ("", "") if bad or good else rule_of(column, self.dialect)
        if rule:
            bad = (rule,)
        filled = ANY in bad and not good
        if filled:  # none is what is blank, however that is written
            good = tuple(column.words) or ("",)
        bound = any(map(is_bound, bad))
        counts = counts_of(column) if bound else dict(column.levels)
        if not bound and (column.many or len(counts) > 60):
            raise DataError(
                f"{self.where}: the target column '{column.name}' holds {len(counts):,} different values; it has to be "
                f"1 for a default and 0 for none. Name another column with --target.{what_many_say(column.texts)}"
            )
        named = {*bad, *good}
        words = {word: count for word, count in column.words.items() if word in named or word in ("-", "?")}
        missing = column.missing
        if "" in named and missing:  # a blank cell is a value like others
            words[""] = missing - sum(count for word, count in column.words.items() if word)
        if "+" in counts or words.keys() & named:  # '-' is a value beside '+'
            counts |= words
            missing -= sum(words.values())
        found = read_meaning(column.name, counts, missing, self.where, bad, good, column.labels)
        if filled:
            found = replace(found, good=tuple(dict.fromkeys(("", *found.good))))
        return replace(found, guessed=True, asked=question) if rule else found

    def _check_time(self) -> None:
        """Refuse dates of the decision that cannot be read, or in two ways."""
        if self.time is None:
            return
        column = self.columns[self.time]
        if (odd := self.odd_dates.get(column.name)) and self.orders[self.time]:
            self.notes.append(f"'{column.name}' holds {odd[0]!r}, which is no date: such rows are set aside.")
        order, question = settled_order(self.where, column, self.orders[self.time], self.dialect.dates)
        if question:
            self.questions.append(question)
            self.dialect = self.dialect.model_copy(update={"dates": order})
            self.orders[self.time] = [order]

    def _check_id(self) -> None:
        """Ask about an id that so many rows share that it can be nobody's."""
        column = self.columns.get(self.wanted.id or "")
        if column is not None and not column.many and 100 * len(column.levels) < column.present:
            self.questions.append(
                f"'{column.name}' has {len(column.levels):,} values in {column.rows:,} rows, an id says whose it is. "
                "Name another column with --id; if each value is a customer with so many rows, say --yes."
            )

    def _known_at(self, beside: Sequence[str]) -> tuple[str, str] | None:
        """The column that says when an outcome became known, of the history or of the outcomes ``beside`` it."""
        if self.wanted.known_at is not None:
            return self.wanted.known_at, "named by you"
        taken = (self.target.name, self.time, self.id, self.unit)
        for name in [name for name in (*self.columns, *beside) if guess.is_report_time(name) and name not in taken]:
            column = self.columns.get(name)
            if column is None:
                return name, "in the outcomes, and named like the date of a report"
            if not guess.is_dated(column, self.orders[name]):
                continue
            if self.times is None or are_late(self._dates_of(column), self.times):
                return name, "named like the date of a report, and after the decision"
        return None

    def _window(self) -> tuple[timedelta, str]:
        if self.wanted.outcome_window is not None:
            return self.wanted.outcome_window, ""
        if (found := guess.window_of(self.target.name)) is not None:
            return found, "from the target's name"
        self.notes.append(
            "Nothing says how long after a decision its outcome is final; one year is written, which is usual. Set "
            "outcome_window of [portfolio], or give --outcome-window." + short_history(self.times, STANDARD_WINDOW)
        )
        return STANDARD_WINDOW, NOT_KNOWN

    # ------------------------------------------------------------------ the sample

    def _labels(self) -> Floats:
        column, target = self.columns[self.target.name], self.target
        values = column.sample
        if values.dtype != object:
            values = np.array([None if v != v else f"{v:.15g}" for v in values.tolist()], dtype=object)
        read: dict[Any, float | None] = {v: truth(v or "", target.bad, target.good) for v in {*values.tolist()}}
        if "" not in (*target.bad, *target.good):
            read[None] = None
        return np.array([np.nan if read[v] is None else read[v] for v in values.tolist()], dtype=np.float64)

    def _sampled(self) -> tuple[npt.NDArray[np.int64], Bools]:
        known = np.flatnonzero(~np.isnan(self.labels))
        if len(known) > ROWS:
            known = known[np.linspace(0, len(known) - 1, ROWS).astype(np.int64)]
        return known, self.labels[known] == 1.0

    def _dates_of(self, column: Column) -> Floats:
        return dates_of(column, (self.orders[column.name] or [self.dialect.dates])[0])

    def _is_constant(self, column: Column) -> bool:
        """Whether only rows without an outcome tell the column's values apart: it was written after the decision."""
        rows, _ = self.seen
        others = np.flatnonzero(np.isnan(self.labels))
        if len(others) < 10 or len(rows) < 100:
            return False
        values = column.sample
        texts = np.array([str(value) for value in values[rows]])
        return bool(len(set(texts)) == 1 and (np.array([str(v) for v in values[others]]) != texts[0]).sum() >= 10)

    def _is_context(self, column: Column) -> bool:
        """Whether all rows of a period have the same value, and periods differ."""
        if self.times is None or not column.numeric or column.missing or not len(column.levels) >= 3 or column.many:
            return False
        return guess.is_path(column.sample, self.times)

    # ------------------------------------------------------------------ one column

    def _guessed(self, column: Column) -> Guessed:
        name, dated = column.name, guess.is_dated(column, self.orders[column.name])
        base = Guessed(
            name,
            "ignored",
            kind_of_column(column, dated),
            column.missing,
            values_of(column, dated, (self.orders[name] or [self.dialect.dates])[0]),
            "",
            column=column,
            look="" if name == self.target.name else odd_values(column),
        )
        special = self._special(base, column)
        if special is not None:
            return special
        if (reason := self._useless(column, dated)) is not None:
            return replace(base, why=reason)
        rows, defaults = self.seen
        dates = self._dates_of(column)[rows] if dated and not column.numeric else None
        sample = column.sample[rows]
        times, codes = None if self.times is None else self.times[rows], bins_of(sample)
        alone = rank_alone(sample, defaults, codes=codes, customers=self.whose)
        if leak := evidence_of_leak(name, sample, defaults, codes, times, dates, self.whose):
            return replace(base, why=f"known only after the decision: {leak}", look=_LEAK, alone=alone)
        index = self._is_context(column) and not guess.is_calendar(name)  # a price index may rise as evenly as time
        if times is not None and column.numeric and not index and (clock := guess.clock_of(name, sample, times)):
            return replace(base, why=clock, alone=alone)
        if name in self.years:
            return replace(base, why=YEARS.format(quote(name)), alone=alone)
        if surely_after(name):
            return replace(base, why="known only after the decision, by its name", look=_LEAK, alone=alone)
        if self.times is not None and (ended := stopped(column.sample, self.times)) is not None:
            return replace(base, why=ended, look=_STOPPED, alone=alone)
        if dated and (guess.is_time_named(column) or not column.numeric or guess.has_many_dates(column)):
            return replace(base, why=DATES, look=all_said(base.look, date_said(name) if self.time else ""))
        if guess.free_text(column):
            return replace(
                base,
                why=other_sign(column, self.dialect)
                or several_units(column)
                or f"{count_levels(column)} different texts: free text or a key",
            )
        return self._input(base, column, alone)

    def _special(self, base: Guessed, column: Column) -> Guessed | None:
        name, wanted = column.name, self.wanted
        if name == self.target.name:
            return replace(base, role="target", why=f"{self.target.rate:.1%} are defaults")
        if name == self.id or (name == self.unit and self.id is None):
            role: Role = "id" if name == self.id else "unit"
            like = "named" if ids.is_id(column) else "written"
            why = "named by you" if name in (wanted.id, wanted.unit) else f"unique, and {like} like an id"
            return replace(
                base, role=role, why=why if role == "id" or name == wanted.unit else "the same in several rows"
            )
        if name == self.unit:
            return replace(base, role="unit", why="the customer whose row it is")
        if self.known_at is not None and name == self.known_at[0]:
            return replace(base, role="known", kind="date", why=f"when the outcome became known: {self.known_at[1]}")
        if name == self.time:
            named = name == wanted.time
            read = "named and read like a date" if guess.is_time_named(column) else "the only column of dates"
            read = "another one in each row of a customer" if self.panel else read
            periods = "; whole numbers are read as period numbers" if guess.is_periods(column) else ""
            return replace(
                base,
                role="time",
                kind="date",
                why=("named by you" if named else read) + periods,
                look="" if self.times is None or periods else odd_times(self.times, to_micros(datetime.now(UTC))),
            )
        return None

    def _useless(self, column: Column, dated: bool) -> str | None:
        """Why a column cannot help a model, or None."""
        if not column.present:
            return "empty"
        if column.name in self.gone:
            return f"in {self.partial[column.name]} of the files, and no more in the last one"
        if len(column.levels) == 1 and not column.many and not column.missing and not column.cut:
            return f'the same value "{column.texts[0]}" in every row'
        if column.cut and ids.is_id_named(column.name):
            return "a spreadsheet has cut its digits (4.5E+12): export it as text to use it as an id"
        if (likely := likely_dates(column)) is not None:
            return likely
        if (counter := ids.row_number(column)) is not None:
            return counter
        if guess.is_nested(column):
            return "nested JSON, not used: flatten it, so that what matters is a column of one value a row"
        if self._is_constant(column):
            return "the same in every row that has an outcome"
        if ids.is_id(column) or (ids.is_unit(column) and not dated):
            return "another id"
        if not dated and (whose := ids.is_number_of_somebody(column)) is not None:
            return whose
        return self._copied(column)

    def _copied(self, column: Column) -> str | None:
        """Why a column is the copy of one before it, or None."""
        first = self.first.setdefault(fingerprint(column), column.name)
        alike = first != column.name and self.columns[first].levels == column.levels
        return f"the same as '{first}' in every row" if alike else None

    def _input(self, base: Guessed, column: Column, alone: Alone | None) -> Guessed:
        role: Role = "protected" if guess.is_protected(column.name) else "input"
        if guess.is_category(column):
            why = "few integers, and named like a code" if column.numeric else "texts"
            if column.padded:
                why = "codes with leading zeros"
            if tree := guess.branches(column):
                why = f"codes of a tree: their first {tree[0]} and {tree[1]} characters are levels, too"
                lost = zeros_back(column.texts[:2000]) != column.texts[:2000]
                why += "; a program has dropped their leading zeros, which count there" if lost else ""
            many = len(column.levels) > guess.MOST_LEVELS
            if many:
                why += "; many levels: one that was never seen is scored as missing and flagged"
            levels = tuple(sorted(column.texts, key=level_order))
            if na_level(column):
                levels, base = (*levels, "NA"), replace(base, missing=base.missing - column.words["NA"])
            return replace(
                base, role=role, kind="category", why=why, categories=levels, alone=alone, prefixes=tree,
                unseen="flag" if many else "refuse", look=all_said(base.look, odd_levels(column)),
                values=levels_of(column),
            )  # fmt: skip
        special = guess.special_codes(column)
        why, look = STYLES[column.style], all_said(base.look, column.mixed)
        if special:
            look = all_said(look, special_said(special))
        if guess.maybe_codes(column):
            look = all_said(look, 'few integers: if they are codes and no quantities, say kind = "category"')
        if self._is_context(column):
            role, why = ("context" if role == "input" else role), "the same for all rows of a period"
        return replace(
            base, role=role, kind="number", why=why, written=column.style, written_in=column.units, special=special,
            look=look, alone=alone,
        )  # fmt: skip


YEARS: Final = "the year of the decision, perhaps: --time {} takes it for its date"
DATES: Final = "dates; a model needs a number made from them"


_STOPPED: Final = "left out, as no new row would have it; if it comes again, add a [features] table for it"
_LEAK: Final = "left out; if it is known at the decision, add a [features] table for it"
