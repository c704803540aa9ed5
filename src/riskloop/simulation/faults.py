"""What breaks in a feed. Each fault changes one thing mechanically and leaves everything else as it is.

A fault takes the delivered frame (0..n-1 as index), the columns' roles, the name of the time column and random
numbers; it returns a frame whose index tells which rows came through. Its docstring is the scenario's sentence.
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.simulation.source import Roles

if TYPE_CHECKING:
    import pandas as pd

NULLS = 0.4  # share of values that scenario nulls loses
ROTATED = 3  # commonest levels whose codes scenario recoded_categories rotates
SHARE_THAT_ARRIVES = 0.3
DAYS_BEHIND = 365
MISJOINED = 0.5  # share of rows with another customer's value in scenario wrong_customers
FILLED = 0.15  # share of rows that scenario filled_zeros fills
SECOND_SOURCE = 0.1  # share of rows from the source of scenario part_in_hundredths
EXCHANGE_RATE = 1.36


def units_x100(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """One amount is delivered in cents: a hundred times too large."""
    return frame.assign(**{roles.amount: frame[roles.amount] * 100})


def sign_flip(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """One amount is booked with the opposite sign."""
    return frame.assign(**{roles.other: -frame[roles.other]})


def stuck_column(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """The strongest driver of risk is stuck at its commonest value."""
    return frame.assign(**{roles.risk: frame[roles.risk].mode().iloc[0]})


def swapped_columns(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """Two amounts change places."""
    return frame.assign(**{roles.amount: frame[roles.other], roles.other: frame[roles.amount]})


def nulls(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """Two values in five of the strongest driver of risk are missing."""
    lost = rng.random(len(frame)) < NULLS
    return frame.assign(**{roles.risk: frame[roles.risk].mask(lost)})


def recoded_categories(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """The commonest levels of one category exchange their codes; every code is still a valid one."""
    if roles.category is None:
        raise DataError("The data has no column with few levels to recode; name one as `category` in the roles.")
    levels = frame[roles.category].value_counts().index[:ROTATED].tolist()
    codes = dict(zip(levels, levels[1:] + levels[:1], strict=True))
    return frame.assign(**{roles.category: frame[roles.category].map(lambda level: codes.get(level, level))})


def duplicated_feed(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """The feed delivers every row twice."""
    return frame.loc[np.repeat(np.arange(len(frame)), 2)]


def truncated_feed(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """The feed breaks off when less than a third of the month's rows have arrived."""
    return frame.iloc[: max(1, round(SHARE_THAT_ARRIVES * len(frame)))]


def shifted_dates(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """All dates are a year behind."""
    import pandas as pd

    dates = pd.to_datetime(frame[time]) - pd.Timedelta(days=DAYS_BEHIND)
    return frame.assign(**{time: dates.dt.strftime("%Y-%m-%d")})


def wrong_customers(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """In half of the rows the strongest driver of risk is another customer's."""
    rows = np.flatnonzero(rng.random(len(frame)) < MISJOINED)
    values = frame[roles.risk].to_numpy().copy()
    values[rows] = values[rng.permutation(rows)]
    return frame.assign(**{roles.risk: values})


def filled_zeros(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """One amount is 0 in 15% of the rows, where its source did not answer."""
    return frame.assign(**{roles.amount: frame[roles.amount].mask(rng.random(len(frame)) < FILLED, 0)})


def part_in_hundredths(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """One of two sources, with a tenth of the rows, delivers an amount divided by a hundred."""
    other = rng.random(len(frame)) < SECOND_SOURCE
    return frame.assign(**{roles.amount: frame[roles.amount].mask(other, frame[roles.amount] / 100)})


def stale_history(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """The payment history is a month old: each column of the series holds what the one after it should."""
    series = _series_of(frame, roles.risk)
    if len(series) < 3:
        raise DataError(f"'{roles.risk}' is no part of a series of columns with numbers at their ends.")
    return frame.assign(**{newer: frame[older] for newer, older in pairwise(series)})


def other_currency(frame: "pd.DataFrame", roles: Roles, time: str, rng: np.random.Generator) -> "pd.DataFrame":
    """One amount arrives in another currency, 1.36 times as large."""
    return frame.assign(**{roles.other: frame[roles.other] * EXCHANGE_RATE})


def _series_of(frame: "pd.DataFrame", name: str) -> list[str]:
    """The columns whose names differ from ``name`` by the number at their end, in its order."""
    stem, columns = name.rstrip("0123456789"), [str(column) for column in frame]
    found = [(int(c[len(stem) :]), c) for c in columns if c.startswith(stem) and c[len(stem) :].isdigit()]
    return [column for _, column in sorted(found)]


FAULTS: Final = (
    units_x100,
    sign_flip,
    stuck_column,
    swapped_columns,
    nulls,
    recoded_categories,
    duplicated_feed,
    truncated_feed,
    shifted_dates,
    wrong_customers,
    filled_zeros,
    part_in_hundredths,
    stale_history,
    other_currency,
)
