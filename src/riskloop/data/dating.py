"""Columns of dates in a history: in which order they can be read, and what to say where that is not clear."""

from typing import Any

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import DateOrder
from riskloop.core.types import Floats, Problem, from_micros
from riskloop.core.values import COUNTED, parse_time
from riskloop.data import guess
from riskloop.data.survey import ERRORS, Column


def orders_of(column: Column, dates: DateOrder) -> tuple[list[DateOrder], list[str]]:
    """The orders in which a column's values are dates, and the few values that are none; ``dates`` as a person said."""
    texts = column.texts
    if column.kind == "date" or not texts:
        return [], []
    counted = dates in COUNTED
    if column.numeric and column.many and not counted:
        return [], []
    if column.numeric and counted and not guess.is_time_named(column):
        return [], []  # amounts of six digits are not dates because one column is
    if not any(_reads(text, dates) or guess.date_orders([text]) for text in texts[:3]):  # most columns are no dates
        return [], []
    odd = _odd(column, dates)
    good = [text for text in texts if text not in odd]
    if dates:
        return ([dates], odd) if good and all(_reads(text, dates) for text in good) else ([], odd)
    return guess.date_orders(good), odd


def _odd(column: Column, dates: DateOrder) -> list[str]:
    """The values of a few rows that are no dates among those of all others; such rows are set aside when it is read."""
    odd = {text for text in column.texts if not (_reads(text, dates) if dates else guess.date_orders([text]))}
    few = sum(column.levels[text] for text in odd) <= ERRORS * column.present
    return sorted(odd) if odd and few else []


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
        clear = next(text for text in column.texts if _reads(text, "dmy") != _reads(text, "mdy"))
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
        if order == "excel" and not guess.is_named(column.name, "date|datum|dt|day"):
            continue  # an income at application is no date
        if all(_reads(text, order) for text in texts) and not guess.date_orders(texts):
            moment = f"{from_micros(parse_time(texts[0], order)):%Y-%m-%d}"
            unit = name.replace("seconds", "milliseconds") if len(texts[0]) > 10 else name
            return f"rather dates than numbers: as {unit} {texts[0]} is {moment}; if so, say --dates {order}"
    return None


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


def _reads(text: str, order: DateOrder) -> bool:
    try:
        parse_time(text, order)
    except (ValueError, OverflowError):
        return False
    return True


def _one_way(text: str) -> bool:
    """Whether a date that needs an order has one reading, or both readings are the same day."""
    if _reads(text, "dmy") and _reads(text, "mdy"):
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
