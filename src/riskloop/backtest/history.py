"""What is played back: past customers for the first model, and the periods that follow, in time order."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from riskloop.backtest.past import past_of
from riskloop.backtest.request import Request, adapted
from riskloop.core.dates import parse_time
from riskloop.core.errors import ConfigError, DataError
from riskloop.core.periods import MONTHS, Calendar, Period, period_of
from riskloop.core.schema import DateOrder
from riskloop.core.settings import DataSettings, PortfolioSettings, Settings, parse_settings
from riskloop.core.truth import truth
from riskloop.core.types import Bools, Diagnosis, Floats, Ints, Rows, from_micros, to_micros
from riskloop.core.values import is_missing, level_text
from riskloop.data.config import infer_config
from riskloop.data.dating import calendar_of
from riskloop.data.guess import window_of
from riskloop.data.joined import Joined
from riskloop.data.opening import open_source
from riskloop.data.read import read_rows, reasons_of, refuse_ragged
from riskloop.data.spelling import spelled
from riskloop.data.targets import read_meaning
from riskloop.data.words import no_column

UNREADABLE: Final = 0.05  # share of rows whose time may be unreadable; with more, the column is the wrong one
MOST_PERIODS: Final = 1200
ORDINALS: Final = 1200  # whole numbers up to this are period numbers: months counted from 2000-01


@dataclass(frozen=True)
class Played:
    """One period of production, with what became of its customers."""

    name: str  # as the loop calls its window
    first: datetime
    end: datetime
    rows: Rows  # in order of arrival; the target is NaN where the outcome is not known
    true_pd: Floats | None = None  # of a simulated world
    truth: Diagnosis | None = None  # why it differs from the past, where somebody knows
    share: float = 0.0  # how far a scenario's change has gone


@dataclass(frozen=True)
class History:
    """Everything that a back-test is played from."""

    settings: Settings  # of the portfolio; the policy is set by each run
    past: Rows
    periods: tuple[Played, ...]
    notes: tuple[str, ...] = ()  # what was wrong with the file and what was done about it
    first_name: str = ""  # of the past's periods
    last_name: str = ""


def read_history(asked: Request, *, now: datetime | None = None) -> History:
    """The request's file or frame in time order; its schema is inferred where no settings are given.

    Rows without a readable time, from the future, or repeated, are left out and counted in the notes. Raises
    ConfigError or DataError, saying what to do, when nothing can be played.
    """
    source, settings = asked.history, asked.settings
    if source is None:
        raise ConfigError("Name a history to replay, or a --scenario to play on the embedded portfolio.")
    where = str(source) if isinstance(source, (str, Path, Joined)) else "the frame"
    target, time, customer = _columns(asked)
    opened, data = open_source(source, None if settings is None else settings.data, where, target=target)
    opened = opened if settings is None else spelled(opened, settings.row_schema)
    blocks = list(opened.blocks())
    ragged, lines = (sum(map(len, parts)) for parts in ([b.ragged for b in blocks], [b.positions for b in blocks]))
    for block in blocks if ragged > data.max_refused * (lines + ragged) else ():
        refuse_ragged(block, opened, where)
    table = (
        pa.concat_tables([block.table for block in blocks], promote_options="permissive") if blocks else pa.table({})
    )
    for name in (target, time, customer):
        if name is not None and name not in opened.names:
            raise no_column(where, name, opened.names)
    if not table.num_rows:
        raise DataError(f"{where} holds no rows.")
    notes = [*opened.notes]
    _leave_out(notes, ragged, "more or fewer fields than the header")
    table, times, labelled_by = _timed(table, time, where, notes, now or datetime.now(UTC), data.dates)
    table, times = _once(table, times, customer, where, notes)
    known = None if settings is None else settings.portfolio
    table, outcomes = _outcomes(table, target, where, notes, data, known)
    if settings is None:
        text = infer_config(
            where,
            target=target,
            id=customer,
            time=time,
            table=table,
            outcome_window=_window(target, asked, notes),
            dialect=data,
        )
        settings = parse_settings(text, "the inferred configuration")
    settings = _by_rows(adapted(settings, asked), asked, times, notes)
    if labelled_by and settings.windows.by == "month":
        settings = settings.model_copy(update={"windows": settings.windows.model_copy(update={"numbered": True})})
    schema = msgspec.structs.replace(settings.row_schema, bad=(), good=())  # the outcomes are 0 and 1 by now
    checked = read_rows(table, schema, target="required", where=where, dialect=settings.data)
    for column, problem, count in reasons_of(checked.refused):
        _leave_out(notes, count, f"a value of '{column}' that {problem}")
    rows = replace(checked.rows, times=times[checked.positions], target=outcomes[checked.positions])
    return cut(rows, settings, asked.train_on, notes, where)


def _by_rows(settings: Settings, asked: Request, times: Ints, notes: list[str]) -> Settings:
    """Periods as long as the rows are apart, unless somebody asked for others: months of no row are no fault then."""
    by, found = settings.windows.by, calendar_of(times.astype(np.float64))
    if asked.windows or by == "count" or MONTHS[found] <= MONTHS.get(by, 1):
        return settings
    notes.append(f"The rows come once a {found}, so they are replayed by {found}, and not by {by}.")
    return settings.model_copy(update={"windows": settings.windows.model_copy(update={"by": found})})


def _window(target: str, asked: Request, notes: list[str]) -> timedelta:
    """As asked for, as the target's name says, or 30 days with a word about it."""
    found = asked.outcome_window or window_of(target)
    if found is None:
        notes.append("Nothing says how long until an outcome is final; 30 days are taken. Give --outcome-window.")
    return found or timedelta(days=30)


def _columns(asked: Request) -> tuple[str, str, str | None]:
    target, time = asked.outcome, asked.column("time")
    if time is None:
        raise ConfigError("A back-test replays a history in time order; name the column of the date with --time.")
    known = None if asked.settings is None else asked.settings.portfolio
    if known is not None and (target, time) != (known.target, known.time):
        raise ConfigError(
            f"The configuration says target '{known.target}' and time '{known.time}'; leave out --target and --time, "
            "or --config."
        )
    return target, time, asked.column("id")


# --------------------------------------------------------------------------- cleaning


def _timed(
    table: pa.Table, time: str, where: str, notes: list[str], now: datetime, dates: DateOrder
) -> tuple[pa.Table, Ints, bool]:
    """The rows that have a time, oldest first, their times, and whether those are plain period numbers."""
    encoded = table[time].combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    levels = encoded.dictionary.to_pylist()
    codes = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
    parsed = [_micros(level, dates) for level in levels] or [None]
    readable = (codes >= 0) & np.array([micros is not None for micros in parsed])[codes]
    if (~readable).sum() > UNREADABLE * len(codes):
        odd = next(
            (repr(level_text(level)) for level, micros in zip(levels, parsed, strict=True) if micros is None), ""
        )
        what = f"holds {odd}" if odd else "is empty in some rows"
        raise DataError(
            f"{where}: column '{time}' {what}, which is no date, in {(~readable).sum():,} of {len(codes):,} rows. "
            "Write 2024-05-31, 2024-05, 20240531, 202405 or plain period numbers 1, 2, 3, or name another column "
            "with --time."
        )
    ordinals = all(_is_ordinal(level) for level, micros in zip(levels, parsed, strict=True) if micros is not None)
    times = np.array([micros or 0 for micros in parsed], dtype=np.int64)[codes]
    future = readable & (times > to_micros(now)) & (not ordinals)
    _leave_out(notes, int((~readable).sum()), f"no readable date in '{time}'")
    _leave_out(notes, int(future.sum()), f"a date in the future in '{time}'")
    kept = np.flatnonzero(readable & ~future)
    if not kept.size:
        raise DataError(f"{where}: every date of column '{time}' lies in the future; is it the right column?")
    order = kept[np.argsort(times[kept], kind="stable")]
    if np.any(np.diff(times[kept]) < 0):
        notes.append(f"The rows were not in the order of '{time}'; they are replayed in that order.")
    return table.take(pa.array(order)), times[order], ordinals


def _micros(level: Any, order: DateOrder) -> int | None:
    try:
        return None if level is None else parse_time(level, order)
    except (ValueError, OverflowError):
        return None


def _is_ordinal(level: Any) -> bool:
    text = level_text(level)
    return text.isdecimal() and int(text) <= ORDINALS


def _once(table: pa.Table, times: Ints, customer: str | None, where: str, notes: list[str]) -> tuple[pa.Table, Ints]:
    """Without later rows of the same customer and time. Without an id, equal rows may be different people."""
    if customer is None:
        return table, times
    seen: set[tuple[Any, int]] = set()
    first = np.zeros(table.num_rows, dtype=np.bool_)
    for row, key in enumerate(zip(table[customer].to_pylist(), times.tolist(), strict=True)):
        first[row] = key not in seen
        seen.add(key)
    _leave_out(notes, int((~first).sum()), f"the same '{customer}' and time as an earlier row")
    return (table, times) if first.all() else (table.filter(pa.array(first)), times[first])


def _outcomes(
    table: pa.Table, target: str, where: str, notes: list[str], data: DataSettings, portfolio: PortfolioSettings | None
) -> tuple[pa.Table, Floats]:
    """The outcomes, NaN where none is written, and the table with those gaps filled for readers that refuse them."""
    values = table[target].to_pylist()
    texts = ["" if value is None or value != value else level_text(value) for value in values]
    counts = Counter(text for text in texts if not is_missing(text, data.missing))
    if portfolio is not None:
        bad, good = portfolio.bad, portfolio.good
        odd = next((text for text in counts if not good and truth(text, bad) is None), None)
        if odd is not None:
            raise DataError(
                f"{where}: the target column '{target}' holds {odd!r}; it has to be 1 for a default and 0 for none "
                "(yes/no and true/false are read too), and empty where the outcome is not known."
            )
    else:
        meant = read_meaning(target, counts, len(texts) - counts.total(), where) if len(counts) > 1 else None
        bad, good = (meant.bad, meant.good) if meant is not None else ((), ())
    read = {text: truth(text, bad, good) for text in counts}
    if "" in (*bad, *good):
        read[""] = truth("", bad, good)
    outcomes = np.array([math.nan if (value := read.get(text)) is None else value for text in texts])
    known = outcomes[~np.isnan(outcomes)]
    if not 0 < known.sum() < known.size:
        which = "no outcome at all" if not known.size else "one class only"
        raise DataError(f"{where}: the target column '{target}' has {which}; a back-test needs both.")
    missing = outcomes.size - known.size
    if missing:
        notes.append(f"{missing:,} rows have no outcome: they are decided on and monitored, and never learned from.")
    filled = pa.array(
        [str(int(value)) for value in np.where(np.isnan(outcomes), np.arange(outcomes.size) % 2, outcomes)]
    )
    return table.set_column(table.column_names.index(target), target, filled), outcomes


def _leave_out(notes: list[str], rows: int, why: str) -> None:
    if rows:
        notes.append(
            f"{rows:,} {'rows have' if rows > 1 else 'row has'} {why} and {'are' if rows > 1 else 'is'} left out."
        )


# --------------------------------------------------------------------------- periods


def cut(
    rows: Rows,
    settings: Settings,
    trained: int | None,
    notes: Sequence[str],
    where: str,
) -> History:
    """Rows in time order as past and periods."""
    by = settings.windows.by
    if by == "count":
        raise ConfigError("A back-test counts by calendar; give --windows month, for example.")
    spans = _spans(int(rows.times[0]), int(rows.times[-1]), by, settings.windows.numbered, where)
    edges = np.searchsorted(rows.times, [to_micros(span.first) for span in spans] + [to_micros(spans[-1].end)])
    if _ends_early(rows.times, spans, edges):
        notes = [*notes, _early(rows.times, spans[-1], int(edges[-1] - edges[-2]))]
        rows, spans, edges = rows.take(np.arange(edges[-2])), spans[:-1], edges[:-1]
    first, said = past_of(rows, spans, edges, settings, trained, where)
    past = rows.take(np.arange(edges[first]))
    known = ~np.isnan(_target(past))
    periods = tuple(
        Played(span.name, span.first, span.end, rows.take(np.arange(edges[k], edges[k + 1])))
        for k, span in enumerate(spans)
        if k >= first
    )
    found = [*notes, *said, *_remarks(periods, settings)]
    return History(settings, past.take(known), periods, tuple(found), spans[0].name, spans[first - 1].name)


def _ends_early(times: Ints, spans: Sequence[Period], edges: Ints) -> bool:
    """Whether the rows end in the first half of the last period, while they go through to the end of the others.

    Such a period is not over; monitoring would find that the feed is cut off.
    """
    if len(spans) < 3:
        return False
    reached = [
        (times[end - 1] - to_micros(span.first)) / (to_micros(span.end) - to_micros(span.first))
        for span, begin, end in zip(spans, edges[:-1], edges[1:], strict=True)
        if end > begin
    ]
    return bool(reached[-1] < 0.5 and np.median(reached[:-1]) > 0.8)


def _early(times: Ints, last: Period, rows: int) -> str:
    end = from_micros(int(times[-1]))
    return (
        f"The history ends on {end:%Y-%m-%d}, early in its last period: its {rows:,} rows ({last.name}) are left out."
    )


def _target(rows: Rows) -> Floats:
    return np.full(len(rows), math.nan) if rows.target is None else rows.target


def _spans(first: int, last: int, by: Calendar, numbered: bool, where: str) -> list[Period]:
    spans = [period_of(from_micros(first), by, numbered)]
    while to_micros(spans[-1].end) <= last:
        if len(spans) == MOST_PERIODS:
            raise DataError(
                f"{where} spans more than {MOST_PERIODS:,} {by}s, from {from_micros(first):%Y-%m-%d} to "
                f"{from_micros(last):%Y-%m-%d}; correct odd dates, or choose longer --windows."
            )
        spans.append(period_of(spans[-1].end, by, numbered))
    return spans


def _remarks(periods: Sequence[Played], settings: Settings) -> list[str]:
    """Periods that cannot be judged, and why."""
    least = settings.windows.min_rows
    counts = {period.name: len(period.rows) for period in periods}
    small = [f"{name} ({count:,})" for name, count in counts.items() if count < least]
    unknown = [p.name for p in periods if len(p.rows) and np.isnan(_target(p.rows)).all()]
    single = [p.name for p in periods if _one_class(_target(p.rows))]
    remarks = []
    if small:
        remarks.append(f"Fewer rows than windows.min_rows ({least}), so no diagnosis there: {_listed(small)}.")
    if unknown:
        remarks.append(f"No outcome is known, so nothing is scored there: {_listed(unknown)}.")
    if single:
        remarks.append(f"One class only, so no AUC there: {_listed(single)}.")
    return remarks


def _one_class(target: Floats) -> Bools | bool:
    known = target[~np.isnan(target)]
    return known.size > 0 and bool(np.all(known == known[0]))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
