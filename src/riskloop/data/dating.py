"""Columns of dates in a history: in which order they can be read, and what to say where that is not clear."""

from typing import Any

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import DateOrder
from riskloop.core.types import DAY, Floats, Problem, from_micros
from riskloop.core.values import COUNTED, is_date, parse_time
from riskloop.data import guess
from riskloop.data.survey import ERRORS, Column

SEVERAL, WORDS = 3, 0.05  # so many words for no date, in so many of the rows


def orders_of(column: Column, dates: DateOrder) -> tuple[list[DateOrder], list[str]]:
    """The orders in which a column's values are dates, and the few values that are none; ``dates`` as a person said."""
    texts = column.texts
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


def refuse_unclear(where: str, column: Column, orders: list[DateOrder], dates: DateOrder) -> None:
    """Raise DataError unless the date of the decision can be read, and in one way only."""
    if column.kind == "date" or orders in ([dates], [""]):
        return
    if not orders:
        raise DataError(f"{where}: column '{column.name}' {_no_date(column, dates)}")
    first = next(text for text in column.texts if len(guess.date_orders([text])) == 2 and not _one_way(text))
    readings = " or ".join(f"{from_micros(parse_time(first, o)):%d %B %Y} ({o})" for o in ("dmy", "mdy"))
    hint = "No row tells which; say --dates dmy (day first) or --dates mdy (month first)."
    if len(orders) == 1:
        clear = next(text for text in column.texts if is_date(text, "dmy") != is_date(text, "mdy"))
        hint = f"{clear!r} can be read as {orders[0]} only: say --dates {orders[0]} if the whole column is written so."
    raise DataError(
        f"{where}: column '{column.name}' holds {first!r}, which can be {readings}. {hint}",
        [Problem(column.name, "can be read in two ways", first)],
    )


def likely_dates(column: Column) -> str | None:
    """Why a column of integers, named like a date, is rather one in a writing that nobody declared; else None."""
    if not (column.numeric and column.whole and column.kind != "date" and guess.is_time_named(column)):
        return None
    values = column.sample
    values = values[np.isfinite(values)]
    if values.size < 20 or len(np.unique(values[:2000])) < 10:
        return None
    texts = [f"{value:.0f}" for value in values[:: max(1, values.size // 500)].tolist()]
    for order, name in COUNTED.items():
        if order == "excel" and not guess.is_date_named(column.name):
            continue  # an income at application is no date
        if all(is_date(text, order) for text in texts) and not guess.date_orders(texts):
            moment = f"{from_micros(parse_time(texts[0], order)):%Y-%m-%d}"
            unit = name.replace("seconds", "milliseconds") if len(texts[0]) > 10 else name
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


def _one_way(text: str) -> bool:
    """Whether a date that needs an order has one reading, or both readings are the same day."""
    if is_date(text, "dmy") and is_date(text, "mdy"):
        return parse_time(text, "dmy") == parse_time(text, "mdy")
    return True


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
