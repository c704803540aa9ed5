"""The embedded portfolio: simulated credit-card customers with the columns of the UCI data.

Nothing here is copied from the UCI rows; the parameters are rounded numbers that give similar marginals,
correlations and separability. A customer is simulated in the order in which life happens: the person, the
repayment status month by month, the account that follows from it, and only then the default.

The default depends on the columns alone (`_log_odds`), never on what only the simulator knows. So the true PD is
also the best score that any model could give, and every AUC has a true value (`scenarios.true_auc`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import ConfigError
from riskloop.core.types import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

ID: Final = "ID"
TIME: Final = "application_date"
TARGET: Final = "default"
PAY: Final = ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")  # September back to April
BILLS: Final = tuple(f"BILL_AMT{k}" for k in range(1, 7))
PAYMENTS: Final = tuple(f"PAY_AMT{k}" for k in range(1, 7))
FEATURES: Final = ("LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", *PAY, *BILLS, *PAYMENTS)
COLUMNS: Final = (ID, *FEATURES, TIME, TARGET)

MOST_PER_MONTH: Final = 999_999  # the customer's number within the month has six digits of the ID

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class World:
    """The knobs by which the portfolio's world can differ from the history's, which is ``World()``."""

    # the population: who applies (P(x))
    age: float = 0.0  # years by which applicants are older
    limits: float = 0.0  # standard deviations by which credit limits are higher
    distress: float = 0.0  # standard deviations by which customers are more strained: later, nearer their limit
    spending: float = 0.0  # log of the factor on monthly spending
    approved: float = 1.0  # share of applicants, least strained first, who become customers; in (0, 1]
    # the prior: one level for all (same ranking)
    base: float = 0.0  # log-odds of default added to everybody
    # the concept: how features map to default (P(y|x))
    delay: float = 1.0  # weight of repayment delays
    capacity: float = 1.0  # weight of credit limit and amounts paid
    leverage: float = 0.0  # log-odds per unit of mean utilisation; a driver that history does not know

    def __post_init__(self) -> None:
        if not 0.0 < self.approved <= 1.0:
            raise ConfigError(f"World.approved is {self.approved}; it is a share, above 0 and at most 1.")

    def towards(self, other: "World", share: float) -> "World":
        """The world that has gone ``share`` (0 to 1) of the way to ``other``, knob by knob."""
        start, end = ({f.name: getattr(w, f.name) for f in fields(World)} for w in (self, other))
        return World(**{name: start[name] + share * (end[name] - start[name]) for name in start})


def month_starts(start: date, months: int) -> list[date]:
    """The first days of ``months`` months in a row, from the month of ``start``."""
    first = start.year * 12 + start.month - 1
    return [date(m // 12, m % 12 + 1, 1) for m in range(first, first + months)]


def simulate(months: Sequence[date], per_month: int, seed: int, world: World = World()) -> "pd.DataFrame":
    """``len(months) * per_month`` customers, ordered by date, with the columns ``COLUMNS``.

    Every month has its own stream of random numbers, so a month's customers are the same whether it is simulated
    alone or among others. Amounts are float64 in whole dollars, codes int64, dates ISO text.

    Raises ConfigError without months, when one does not start on day 1, or when ``per_month`` is not in 1..999,999.
    """
    return simulate_with_truth(months, per_month, seed, world)[0]


def simulate_with_truth(
    months: Sequence[date], per_month: int, seed: int, world: World = World(), *, panel: bool = False
) -> tuple["pd.DataFrame", Floats]:
    """As `simulate`, with the true PD of every row beside the frame, never in it.

    With ``panel`` the same customers come every month: who they are stays, the account has another half year behind
    it. Their ids are the same in every month, from 1 on.
    """
    import pandas as pd

    if not 1 <= per_month <= MOST_PER_MONTH:
        raise ConfigError(f"per_month is {per_month}; simulate between 1 and {MOST_PER_MONTH:,} customers a month.")
    if not months:
        raise ConfigError("There is no month to simulate; give at least one first-of-month date.")
    frames, truths = [], []
    for month in months:
        rng = np.random.default_rng((seed, month.year, month.month))
        born = np.random.default_rng((seed, 0)) if panel else rng
        columns, true_pd = _month(per_month, rng, world, born)
        numbers = np.arange(per_month, dtype=np.int64)
        ids = numbers + 1 if panel else (month.year * 100 + month.month) * (MOST_PER_MONTH + 1) + numbers
        frame = {ID: ids, **columns, TIME: spread_over(month, per_month)}
        frame[TARGET] = (rng.random(per_month) < true_pd).astype(np.int64)
        frames.append(pd.DataFrame(frame))
        truths.append(true_pd)
    return pd.concat(frames, ignore_index=True), np.concatenate(truths)


def spread_over(month: date, n: int) -> npt.NDArray[Any]:
    """``n`` ISO dates, ascending and even over the month of ``month``; ConfigError unless that is its first day."""
    if month.day != 1:
        raise ConfigError(f"Month {month.isoformat()} does not start on day 1; give first-of-month dates.")
    following = month_starts(month, 2)[1]
    days = np.array([(month + timedelta(days=d)).isoformat() for d in range((following - month).days)], dtype=object)
    dates: npt.NDArray[Any] = days[np.arange(n) * len(days) // n]
    return dates


# --------------------------------------------------------------------------- one month of customers


def _month(
    n: int, rng: np.random.Generator, world: World, born: np.random.Generator
) -> tuple[dict[str, npt.NDArray[Any]], Floats]:
    """The features of ``n`` customers, in the order of ``FEATURES``, and their true PDs; ``born`` draws the people."""
    people, distress = _people(n, born, world)
    status = _repayment(distress, rng)
    bills, payments = _account(people["LIMIT_BAL"], status, distress, rng, world)
    columns = {
        **people,
        **dict(zip(PAY, status, strict=True)),
        **dict(zip(BILLS, bills, strict=True)),
        **dict(zip(PAYMENTS, payments, strict=True)),
    }
    return columns, 1.0 / (1.0 + np.exp(-_log_odds(columns, world)))


EDUCATION_CUTS: Final = (-3.29, -0.38, 0.92, 2.18, 2.31, 2.97)  # levels 0 to 6


def _people(n: int, rng: np.random.Generator, world: World) -> tuple[dict[str, npt.NDArray[Any]], Floats]:
    """Who they are, their credit limit, and their distress (standard normal in ``World()``)."""
    from scipy.special import ndtri

    age = np.minimum(np.floor(21.0 + world.age + rng.gamma(2.3, 6.2, n)), 79.0)
    schooling = 0.25 * (age - 35.5) / 9.2 + 0.97 * rng.standard_normal(n)  # higher: less of it
    education = np.searchsorted(EDUCATION_CUTS, schooling)
    sex = 1 + (rng.random(n) < 0.66 - 0.0015 * age)
    standing = 1.8 * (1.0 - np.exp(-(age - 18.0) / 6.0)) - 0.01 * np.maximum(age - 45.0, 0.0) - 1.55
    wealth = 0.86 * rng.standard_normal(n) + standing - 0.30 * schooling + world.limits
    limit = np.clip(np.round((11.6 + 5.5 * wealth) ** 2 / 10.0) * 10.0, 10.0, 1000.0) * 1000.0
    limit[wealth < -2.1] = 10_000.0  # the square would rise again
    strain = ndtri(world.approved * (1.0 - rng.random(n)))
    distress = 0.82 * strain - 0.55 * np.clip(wealth - world.limits, -3.0, 3.0) + world.distress
    people = {
        "LIMIT_BAL": limit,
        "SEX": sex.astype(np.int64),
        "EDUCATION": education.astype(np.int64),
        "MARRIAGE": _marriage(age, rng),
        "AGE": age.astype(np.int64),
    }
    return people, distress


def _marriage(age: Floats, rng: np.random.Generator) -> Ints:
    """0 unknown, 1 married, 2 single, 3 others, by age."""
    draw = rng.random(len(age)) - 0.002
    others = 0.003 + 0.001 * np.maximum(age - 32.0, 0.0)
    married = 0.07 + 0.68 / (1.0 + np.exp(-(age - 32.5) / 2.5))
    marriage = np.where(draw < others, 3, np.where(draw < others + married, 1, 2))
    return np.where(draw < 0.0, 0, marriage).astype(np.int64)


# Next month's status, by this month's: the chances of -2, -1, 0, 1 and 2, of staying, and of one month more.
STATUSES: Final = (-2, -1, 0, 1, 2, 3, 4)  # 4 stands for 4 and more
USUAL: Final = np.array(
    [
        (0.810, 0.100, 0.070, 0.001, 0.019, 0.000, 0.000),
        (0.075, 0.755, 0.115, 0.001, 0.054, 0.000, 0.000),
        (0.000, 0.055, 0.885, 0.000, 0.060, 0.000, 0.000),
        (0.000, 0.080, 0.300, 0.000, 0.000, 0.620, 0.000),
        (0.000, 0.085, 0.280, 0.000, 0.000, 0.580, 0.055),
        (0.000, 0.060, 0.140, 0.000, 0.420, 0.160, 0.220),
        (0.000, 0.030, 0.070, 0.000, 0.350, 0.250, 0.300),
    ]
)
# The newest month alone knows status 1: the delay is still young.
NEWEST: Final = np.array(
    [
        (0.600, 0.020, 0.000, 0.380, 0.000, 0.000, 0.000),
        (0.030, 0.765, 0.085, 0.100, 0.020, 0.000, 0.000),
        (0.000, 0.040, 0.905, 0.000, 0.055, 0.000, 0.000),
        (0.000, 0.000, 0.000, 1.000, 0.000, 0.000, 0.000),
        (0.000, 0.110, 0.000, 0.450, 0.000, 0.380, 0.060),
        (0.000, 0.140, 0.000, 0.340, 0.220, 0.130, 0.170),
        (0.000, 0.050, 0.000, 0.310, 0.140, 0.250, 0.250),
    ]
)
OLDEST_CUTS: Final = (-0.98, -0.37, 1.28, 2.40, 2.80, 3.10, 3.20, 3.30)  # of a standard normal: -2, -1, 0, 2 .. 7


def _repayment(distress: Floats, rng: np.random.Generator) -> list[Ints]:
    """Repayment status of six months, newest first: a Markov chain that distress bends upwards."""
    from scipy.special import ndtr

    n = len(distress)
    levels = np.array((-2, -1, 0, 2, 3, 4, 5, 6, 7))
    status = levels[np.searchsorted(OLDEST_CUTS, 0.56 * distress + 0.83 * rng.standard_normal(n))]
    months = [status]
    for chances in (USUAL, USUAL, USUAL, USUAL, NEWEST):
        chance = ndtr(0.33 * distress + 0.944 * rng.standard_normal(n))  # uniform in `World()`
        steps = np.cumsum(chances, axis=1)[:, :-1]
        step = (chance[:, None] > steps[np.minimum(status, 4) + 2]).sum(axis=1)
        status = np.where(step < 5, step - 2, np.minimum(status + (step == 6), 8))
        months.append(status)
    return [month.astype(np.int64) for month in reversed(months)]


# By status -2, -1, 0, 1, 2 and more: the log of the median monthly spending over the limit.
SPENDING: Final = np.array((-5.6, -4.2, -3.5, -5.0, -4.1))
NO_PAYMENT: Final = np.array((0.0, 0.0, 0.04, 0.45, 0.48, 0.78))  # by status -2 .. 3 and more: pays nothing
UNUSED: Final = 0.55  # share of cards with status -2 on which nothing is spent in a month


def _account(
    limit: Floats, status: list[Ints], distress: Floats, rng: np.random.Generator, world: World
) -> tuple[list[Floats], list[Floats]]:
    """Bills and payments of six months, newest first.

    bill = last bill - payment + spending: paid in full with status -1 and -2, a small part otherwise.
    """
    n = len(limit)
    appetite = 0.85 * rng.standard_normal(n) + 0.55 * distress + world.spending
    means = 0.9 * rng.standard_normal(n) - 0.35 * distress  # the part of a bill that a revolver can pay
    ceiling = (0.99 + 0.04 * rng.standard_normal(n)) * limit

    def pay(bill: Floats, status: Ints) -> Floats:
        kind = np.minimum(status, 3) + 2
        effort = means + 0.8 * rng.standard_normal(n)
        part = np.where(kind < 2, 1.0 + 0.02 * np.maximum(effort - 1.0, 0.0), 0.03 + 0.02 * np.exp(1.2 * effort))
        part[rng.random(n) < NO_PAYMENT[kind]] = 0.0
        return np.round(np.maximum(bill, 0.0) * np.minimum(part, 1.1))

    revolving = limit / (1.0 + np.exp(0.35 - 1.25 * appetite))
    in_full = limit * np.exp(SPENDING[np.minimum(status[5], 2) + 2] + 1.2 * appetite)
    opening: Floats = np.minimum(np.where(status[5] < 0, in_full, revolving), ceiling)
    bill = np.round(opening)
    bill[(status[5] == -2) & (rng.random(n) < UNUSED)] = 0.0
    bills, payments = [bill], [pay(bill, status[5])]
    for month in (4, 3, 2, 1, 0):
        kind = np.minimum(status[month], 2) + 2
        paid = pay(bill, status[month + 1])
        spent = limit * np.exp(SPENDING[kind] + 0.8 * appetite + 1.1 * rng.standard_normal(n))
        spent[(kind == 0) & (rng.random(n) < UNUSED)] = 0.0
        left = bill - paid
        bill = np.round(left + np.clip(spent, 0.0, np.maximum(ceiling - left, 0.0)))
        bills.append(bill)
        payments.append(paid)
    # A month's payment settles the bill of the month before; the oldest bill stands in for the one before it.
    return bills[::-1], payments[::-1]


def _log_odds(columns: Columns, world: World) -> Floats:
    """The log-odds of default, a function of the columns alone.

    Not additive, so that a scorecard loses a little: a present delay overrules limit and payments, utilisation is
    worst at both ends, past delays count less under a present one, and payments matter most for small limits.
    """
    newest = columns["PAY_0"]
    late = newest >= 2
    past = np.sum([columns[name] >= 2 for name in PAY[1:]], axis=0)
    limit = np.log(columns["LIMIT_BAL"] / 140_000.0)
    paid = np.log1p(np.sum([columns[name] for name in PAYMENTS], axis=0) / 1000.0) - 2.4
    use = np.clip(columns["BILL_AMT1"] / columns["LIMIT_BAL"], 0.0, 1.1)
    mean_use = np.clip(np.mean([columns[name] for name in BILLS], axis=0) / columns["LIMIT_BAL"], 0.0, 1.1)
    delay = np.where(late, 2.75 + 0.10 * past, 0.85 * (newest == 1) + 0.40 * past)
    ends = np.where(late | (past > 0), 0.0, 6.0 * (use - 0.40) ** 2 - 0.6)
    ability = np.where(late, 0.15, 1.0) * (-0.26 * limit - 0.22 * paid * np.where(limit < 0.0, 1.3, 0.8))
    person = (
        -0.15 * (columns["SEX"] == 2)
        - 1.2 * (columns["EDUCATION"] > 3)
        - 0.10 * (columns["MARRIAGE"] == 2)
        + 0.04 * np.square((columns["AGE"] - 34.0) / 10.0)
    )
    odds: Floats = (
        -2.19
        + world.base
        + world.delay * delay
        + ends
        + world.capacity * ability
        + world.leverage * (mean_use - 0.3)
        + person
    )
    return odds
