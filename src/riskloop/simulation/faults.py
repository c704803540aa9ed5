"""What breaks in a feed. Each fault changes one thing mechanically and leaves everything else as it is.

A fault takes the delivered frame (0..n-1 as index), the columns' roles, the name of the time column and random
numbers; it returns a frame whose index tells which rows came through. Its docstring is the scenario's sentence.
"""

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
)
