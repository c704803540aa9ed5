"""Columns of dates in a history: in which order they can be read, and what to say where that is not clear."""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from riskloop.core.dates import COUNTED, is_date, is_short, parse_time
from riskloop.core.errors import DataError
from riskloop.core.periods import MONTHS, Calendar
from riskloop.core.schema import DateOrder
from riskloop.core.types import DAY, Floats, Problem, from_micros
from riskloop.data import guess
from riskloop.data.survey import ERRORS, Column

SEVERAL, WORDS = 3, 0.05  # so many words for no date, in so many of the rows


LEAST_OPEN: Final = 100  # decisions in each third
OPEN: Final = 0.2  # by which the share of rows without an outcome is larger among the latest third than the oldest
ENDED: Final = 0.05  # of the rows: a column that lacks in fewer at the end may only be late
BY_CHANCE: Final = 1e-9  # how likely values that are rare anyway may all be missing at the end
SEVERAL_PERIODS: Final = 3  # with rows in the same month of each: no chance
CLEAR: Final = 0.1  # of the different dates: fewer that can be read in one way only may be errors


def orders_of(column: Column, dates: DateOrder, named: bool = False) -> tuple[list[DateOrder], list[str]]:
    """The orders in which a column's values are dates, and the few values that are none; ``dates`` as a person said.

    ``named``: a person said that they are dates.
    """
    texts = column.texts
    if texts and is_short(texts[0]) and not (named or guess.is_time_named(column)):
        return [], []
    if column.kind == "date" or not texts:
        return [], []
    counted = dates in COUNTED
    if column.numeric and column.many and not counted:  # more days than are counted, or amounts
        if not (column.whole and column.low >= guess.FIRST_DAY and column.high <= guess.LAST_DAY):
            return [], []
        texts = [f"{value:.0f}" for value in np.unique(column.sample[np.isfinite(column.sample)]).tolist()]
        return ([dates] if all(is_date(text, dates) for text in texts) else []), []
    if column.numeric and counted and not guess.is_time_named(column):
        return [], []  # amounts of six digits are not dates because one column is
    if not any(is_date(text, dates) or guess.date_orders([text]) for text in texts[:3]):  # most columns are no dates
        return [], []
    odd = _odd(column, dates)
    good = [text for text in texts if text not in odd]
    if dates:
        return ([dates], odd) if good and all(is_date(text, dates) for text in good) else ([], odd)
    return guess.date_orders(good), odd


def _odd(column: Column, dates: DateOrder) -> list[str]:
    """The values of a few rows that are no dates among those of all others; such rows are set aside when it is read."""
    odd = {text for text in column.texts if not (is_date(text, dates) if dates else guess.date_orders([text]))}
    rows = sum(column.levels[text] for text in odd)
    word = len(odd) <= SEVERAL and rows <= WORDS * column.present  # unknown, 0000-00-00, 9999-12-31
    return sorted(odd) if odd and (word or rows <= ERRORS * column.present) else []


def settled_order(where: str, column: Column, orders: list[DateOrder], dates: DateOrder) -> tuple[DateOrder, str]:
    """The order in which the dates of the decision are read, and what a person should be asked before; "" for nothing.

    Raises DataError unless the column can be read, and as a whole in one way only.
    """
    if column.kind == "date" or orders in ([dates], [""]):
        return dates, ""
    if not orders:
        if (order := _counted_order(column)) and not dates:
            first = column.texts[0]
            return order, (
                f"'{column.name}' holds {first}, which as {_name_of(order, first)} is "
                f"{from_micros(parse_time(first, order)):%d %B %Y}: it is no date otherwise. If so, say "
                f"--dates {order}, or --yes."
            )
        raise DataError(f"{where}: column '{column.name}' {_no_date(column, dates)}")
    unclear = [text for text in column.texts if len(_readings(text)) > 1]
    first = unclear[0]
    readings = " or ".join(f"{day} ({order})" for day, order in _readings(first).items())
    said = f"column '{column.name}' holds {first!r}, which can be {readings}."
    if len(orders) > 1:
        choice = " or ".join(f"--dates {order}{_FIRST[order]}" for order in orders)
        raise DataError(
            f"{where}: {said} No row tells which; say {choice}.",
            [Problem(column.name, "can be read in two ways", first)],
        )
    order, years = orders[0], re.search(r"\d{4}", first)  # of four digits, which say themselves where they stand
    others = [o for o in _FIRST if o != order and not (o == "ymd" and years)]
    clear = [text for text in column.texts if not any(is_date(text, other) for other in others)]
    if any(all(is_date(text, other) for text in column.texts) for other in others):
        clear = []
    shown = f"{clear[0]!r} can be read as {order} only" if clear else f"as {order} no date lies in the future"
    if clear and len(clear) < CLEAR * len(column.texts):
        raise DataError(
            f"{where}: {said} {shown}, but few others: say --dates {order} if the whole column is written so.",
            [Problem(column.name, "can be read in two ways", first)],
        )
    return order, f"{where}: {said} {shown}: say --dates {order} if the whole column is written so, or --yes."


_FIRST: Final[Mapping[DateOrder, str]] = {"dmy": " (day first)", "mdy": " (month first)", "ymd": " (year first)"}


def _readings(text: str) -> dict[str, str]:
    """The days that a date can be, each with its order."""
    orders: tuple[DateOrder, ...] = ("ymd", "dmy", "mdy")
    found = {f"{from_micros(parse_time(text, o)):%d %B %Y}": str(o) for o in orders if is_date(text, o)}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _counted_order(column: Column) -> DateOrder:
    """The one way of counting in which all numbers of a column are dates; "" where there is none.

    Six digits have several: YYMMDD, DDMMYY.
    """
    values = column.sample
    if not column.numeric or not column.whole or not np.isfinite(values).any():
        return ""
    texts = [f"{value:.0f}" for value in np.unique(values[np.isfinite(values)]).tolist()]
    counted: tuple[DateOrder, ...] = ("excel", "unix")
    return next((order for order in counted if all(is_date(text, order) for text in texts)), "")


def _name_of(order: DateOrder, text: str) -> str:
    """What the numbers count."""
    return COUNTED[order].replace("seconds", "milliseconds") if len(text) > 10 else COUNTED[order]


def likely_dates(column: Column) -> str | None:
    """Why a column of integers, named like a date, is rather one in a writing that nobody declared; else None."""
    if not (column.numeric and column.whole and column.kind != "date" and guess.is_time_named(column)):
        return None
    values = column.sample
    values = values[np.isfinite(values)]
    if values.size < 20 or len(np.unique(values[:2000])) < 10:
        return None
    texts = [f"{value:.0f}" for value in values[:: max(1, values.size // 500)].tolist()]
    for order in COUNTED:
        if order == "excel" and not guess.is_date_named(column.name):
            continue  # an income at application is no date
        if all(is_date(text, order) for text in texts) and not guess.date_orders(texts):
            moment = f"{from_micros(parse_time(texts[0], order)):%Y-%m-%d}"
            unit = _name_of(order, texts[0])
            return f"rather dates than numbers: as {unit} {texts[0]} is {moment}; if so, say --dates {order}"
    return None


def odd_times(times: Floats, now: float) -> str:
    """What to look at among the dates of the decision: some in the future, one far from all others."""
    times = np.sort(times[np.isfinite(times)])
    if times.size < 20:
        return ""
    if (late := float((times > now + DAY).mean())) > 0:
        return f"{late:.1%} of its dates lie in the future"
    days, counts = np.unique(times // DAY, return_counts=True)
    if len(days) > 5 and days[1] - days[0] > 5 * 365 and counts[0] >= 3:
        return f"{from_micros(int(times[0])):%Y-%m-%d} comes {counts[0]:,} times, years before all others: no date?"
    return ""


def calendar_of(times: Floats) -> Calendar:
    """How often rows come, by their times (n,): by the longest period of which only one and the same month has rows.

    The rows of a panel of quarters are all of March, June, September and December, say. A few may be errors.
    """
    moments = times[np.isfinite(times)].astype("datetime64[us]")
    if not moments.size:
        return "month"
    months, rows = np.unique(moments.astype("datetime64[M]").astype(np.int64), return_counts=True)
    for by, length in MONTHS.items():
        within = months % length
        usual = within == np.bincount(within, weights=rows, minlength=length).argmax()
        if usual.sum() >= SEVERAL_PERIODS and rows[~usual].sum() <= ERRORS * rows.sum():
            return by
    return "month"


def calendar_said(windows: Calendar, time: str | None) -> list[str]:
    """What to know where windows are longer than a month."""
    if windows == "month":
        return []
    return [f"The rows come once a {windows}, by '{time}': so they are monitored (by of [windows])."]


def stopped(values: npt.NDArray[Any], times: Floats) -> str | None:
    """Why a column is taken to come no more: its values (n,) are all missing since a day; None where it still comes."""
    dated = np.isfinite(times)
    values, times = values[dated], times[dated]
    there = np.array([value is not None and value == value for value in values.tolist()], dtype=np.bool_)
    if not there.any():
        return None
    last = times[there].max()
    before, after = times <= last, int((times > last).sum())
    share = float(there[before].mean())
    if after < max(ENDED * times.size, 1.0) or after * np.log1p(-min(share, 1.0 - 1e-9)) > np.log(BY_CHANCE):
        return None
    day = f"{from_micros(int(times[times > last].min())):%Y-%m-%d}"
    return f"it has stopped: no row since {day} has a value, and {share:.0%} of those before"


def open_said(times: Floats, outcomes: Floats) -> str:
    """What to say where more of the latest decisions have no outcome (n,) than of the oldest; "" where as many have."""
    order = np.argsort(times[np.isfinite(times)], kind="stable")
    times, unknown = times[np.isfinite(times)][order], np.isnan(outcomes[np.isfinite(times)][order])
    third = times.size // 3
    if third < LEAST_OPEN or unknown[-third:].mean() - unknown[:third].mean() < OPEN:
        return ""
    since = f"{from_micros(int(times[-third])):%Y-%m-%d}"
    return (
        f"Of the decisions since {since} {unknown[-third:].mean():.0%} have no outcome, of the oldest third "
        f"{unknown[:third].mean():.0%}: where loans are still open, those that have one ended early, and the default "
        "rate is not that of all. If a value of the target stands for an open loan that pays, name it with --good: "
        "outcome_window leaves out those that are too young."
    )


def dates_of(column: Column, order: DateOrder) -> Floats:
    """A column's values in the sample as microseconds; NaN where they are no dates."""
    values = column.sample
    if values.dtype != object:
        values = np.array(
            [None if v != v else int(v) if v.is_integer() else None for v in values.tolist()], dtype=object
        )
    known: dict[Any, float] = {None: np.nan}
    for value in {*values.tolist()} - {None}:
        try:
            known[value] = float(parse_time(value, order))
        except (ValueError, OverflowError):
            known[value] = np.nan
    return np.array([known[v] for v in values.tolist()])


def _no_date(column: Column, order: DateOrder) -> str:
    if column.missing and not column.levels:
        return "is empty; name another column with --time."
    for text in column.texts:
        try:
            parse_time(text, order)
        except (ValueError, OverflowError) as error:
            said = str(error) if str(error).startswith(("is ", "can ")) else "is no date"
            return f"holds {text!r}, which {said}. Correct the file, or name another column with --time."
    return "holds numbers that are not dates; name another column with --time."
