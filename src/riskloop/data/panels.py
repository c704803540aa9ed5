"""A file without names for its columns: which one says whose row it is and which one its period, by their values.

Files such as the monthly performance of mortgages have no header. There a loan comes once in each period: the pair of
both is different in every row, what was agreed with the loan is the same in all of its rows, and its periods follow
one another.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from riskloop.core.schema import DateOrder
from riskloop.core.types import Ints
from riskloop.data import guess
from riskloop.data.survey import Column

OFTEN: Final = 0.7  # different values in rows: a customer of a panel comes more often than once in two of them
FEWEST: Final = 20  # customers
APART: Final = 0.995  # of the rows: pairs of customer and period that come once
ALIKE: Final = 0.98  # of the customers: with one value of what was agreed with them
USUAL: Final = 0.9  # of the rows: a value that so many have is the same for a customer by chance, too


class Panel(NamedTuple):
    """Whose a row is, and when."""

    unit: str
    time: str


def panel_of(
    columns: Sequence[Column],
    orders: Mapping[str, Sequence[DateOrder]],
    named: Column | None = None,
    among: Collection[str] | None = None,
) -> Panel | None:
    """The columns of customer and period, by their values; None where there are none, or rows are no panel.

    ``orders`` are those in which a column's values are dates; ``named`` is the period, where somebody has said it;
    ``among`` are the columns that may say whose a row is, by default all.
    """
    free = [c for c in columns if c.present]
    dates = [c for c in free if guess.is_dated(c, orders[c.name]) and len(c.levels) > 2 and not c.missing]
    periods = [c for c in free if guess.is_periods(c) and c.high > 12 and not c.missing]
    if named is not None:
        dates, periods, columns = [named], [], [*columns, named]
    whose = [c for c in free if c not in dates and _may_be_whose(c) and (among is None or c.name in among)]
    for rows in (_head, _sample):
        codes = {c.name: rows(c) for c in columns}
        for when in (*dates, *periods):
            told = [c for c in whose if c is not when and _is_apart(codes[c.name], codes[when.name])]
            known = [(_agreed(codes, c.name, when.name), c.name) for c in told]
            if known and (best := max(known, key=lambda one: one[0]))[0]:
                return Panel(best[1], when.name)
    return None


def _may_be_whose(column: Column) -> bool:
    whole = not column.numeric or (column.whole and column.style == "plain" and column.low >= 1)
    return whole and not column.missing and not column.unique and column.kind in ("text", "number")


def _head(column: Column) -> Ints:
    return _codes(column, column.head)


def _sample(column: Column) -> Ints:
    return _codes(column, column.sample)


def _codes(column: Column, values: np.ndarray[tuple[int], np.dtype[np.generic]]) -> Ints:
    """The place of each row's value among the different ones; missing is one of them."""
    texts = values.astype(np.float64) if column.numeric else np.array(["" if v is None else str(v) for v in values])
    return np.asarray(np.unique(texts, return_inverse=True)[1], dtype=np.int64)


def _pairs(first: Ints, second: Ints) -> int:
    return len(np.unique(first * (int(second.max(initial=0)) + 1) + second))


def _is_apart(whose: Ints, when: Ints) -> bool:
    """Whether customers come again and again, and hardly ever twice in a period."""
    if not 0 < len(whose) == len(when):
        return False
    customers = int(whose.max()) + 1
    return FEWEST <= customers <= OFTEN * len(whose) and _pairs(whose, when) >= APART * len(whose)


def _agreed(codes: Mapping[str, Ints], whose: str, when: str) -> int:
    """How many columns are the same in all rows of a customer, although customers differ."""
    own, found = codes[whose], 0
    customers = int(own.max()) + 1
    for name, values in codes.items():
        if name in (whose, when) or len(values) != len(own) or not values.any():
            continue
        usual = int(np.bincount(values).max()) / len(values)
        found += usual < USUAL and ALIKE * _pairs(own, values) <= customers
    return found
