"""Books of other lenders, in which nothing changes but the calendar: what a monitor must not call a fault or a drift.

Each book is one way in which sound data look broken to a monitor that only knows the pool of its history: macro series
that are the same for all customers of a period, a fiscal year, a flag that is off for a quarter, very many levels,
very many correlated columns, other customers at weekends. The default depends on a few of the columns, always in the
same way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from riskloop.core.types import Floats

if TYPE_CHECKING:
    import pandas as pd

ID: Final = "loan"
TIME: Final = "applied_on"
TARGET: Final = "default"

Columns = dict[str, Any]
Customers = Callable[[int, np.random.Generator, date], tuple[Columns, Floats]]  # columns, and log-odds (n,)


@dataclass(frozen=True, slots=True)
class Book:
    """One lender's book. ``context`` names the columns that are the same for all customers of a period."""

    name: str
    sentence: str
    customers: Customers
    context: tuple[str, ...] = ()

    def days(self, first: date, days: int, per_day: int, seed: int) -> "pd.DataFrame":
        """``per_day`` customers on each of ``days`` days from ``first`` on, ordered by date; ids are consecutive."""
        import pandas as pd

        frames = []
        for day in (first + timedelta(days=k) for k in range(days)):
            rng = np.random.default_rng((seed, day.toordinal()))
            columns, log_odds = self.customers(per_day, rng, day)
            outcome = rng.random(per_day) < 1.0 / (1.0 + np.exp(-log_odds))
            ids = day.toordinal() * 100_000 + np.arange(per_day)
            frames.append(pd.DataFrame({ID: ids, **columns, TIME: day.isoformat(), TARGET: outcome.astype(np.int64)}))
        return pd.concat(frames, ignore_index=True)


# --------------------------------------------------------------------------- the books


def macro(day: date) -> dict[str, float]:
    """Interest rate, unemployment, house prices and growth of a quarter: slow waves, a crisis in 2022, and a trend."""
    quarter = 4 * day.year + (day.month - 1) // 3
    wave = np.sin(quarter / 5.0)
    crisis = float(2022 <= day.year < 2023)
    return {
        "interest_rate": round(2.5 + 1.5 * float(wave) - crisis, 2),
        "unemployment": round(5.0 - 1.2 * float(np.sin((quarter - 2) / 5.0)) + 3.0 * crisis, 1),
        "house_prices": round(100.0 * 1.008 ** (quarter - 8076) * (1.0 - 0.1 * crisis), 1),
        "growth": round(1.5 + 1.3 * float(np.cos(quarter / 5.0)) - 4.0 * crisis, 1),
    }


def _mortgage(n: int, rng: np.random.Generator, day: date) -> tuple[Columns, Floats]:
    now = macro(day)
    income = np.round(rng.lognormal(10.6, 0.45, n), -2)
    loan_to_value = np.round(np.clip(rng.normal(0.72, 0.15, n), 0.1, 1.1), 3)
    balance = np.round(income * rng.lognormal(1.1, 0.3, n), -2)
    columns: Columns = {
        "income": income,
        "balance": balance,
        "loan_to_value": loan_to_value,
        "arrears": rng.poisson(0.25, n),
        "age": rng.integers(21, 75, n),
        **{name: np.full(n, value) for name, value in now.items()},
    }
    odds = -3.4 + 3.0 * (loan_to_value - 0.7) + 0.9 * columns["arrears"] + 0.12 * (now["unemployment"] - 5.0)
    return columns, odds - 0.5 * (np.log(income) - 10.6)


def _small_business(n: int, rng: np.random.Generator, day: date) -> tuple[Columns, Floats]:
    """The fiscal year is a column, and an urgency flag is off in every row of some quarters."""
    size = rng.standard_normal(n)
    turnover = np.round(np.exp(12.0 + 0.9 * size + 0.3 * rng.standard_normal(n)), -1)
    fee = day.month not in (7, 8, 9)
    columns: Columns = {
        "turnover": turnover,
        "staff": np.round(np.exp(1.2 + 0.7 * size)).astype(np.int64),
        "years": rng.integers(0, 30, n),
        "term": rng.choice([12, 36, 60, 84, 120], n),
        "sector": rng.choice([f"S{k}" for k in range(20)], n),
        "fiscal_year": np.full(n, day.year + (day.month >= 10)),
        "fee_waived": np.where((rng.random(n) < 0.4) & fee, "Y", "N"),
    }
    return columns, -1.6 - 0.4 * size - 0.03 * columns["years"] + 0.5 * (columns["term"] < 36)


def _wide(n: int, rng: np.random.Generator, day: date) -> tuple[Columns, Floats]:
    """A hundred columns, ten blocks of ten that hardly differ from one another."""
    blocks = rng.standard_normal((n, 10))
    columns: Columns = {
        f"x{b}{k}": np.round(100.0 * (blocks[:, b] + 0.15 * rng.standard_normal(n)), 1)
        for b in range(10)
        for k in range(10)
    }
    return columns, -1.8 + 0.7 * blocks[:, 0] - 0.5 * blocks[:, 1]


def _levels(n: int, rng: np.random.Generator, day: date) -> tuple[Columns, Floats]:
    """A dealer code with a thousand levels, most of them rare."""
    dealer = np.minimum((1000.0 * rng.random(n) ** 1.6).astype(np.int64), 999)
    columns: Columns = {
        "dealer": np.array([f"D{k:03d}" for k in dealer]),
        "price": np.round(rng.lognormal(9.5, 0.5, n), -1),
        "deposit": np.round(rng.lognormal(7.0, 0.8, n), -1),
        "income": np.round(rng.lognormal(10.3, 0.4, n), -1),
    }
    odds = -1.8 + 0.8 * np.sin(dealer.astype(np.float64)) + 0.5 * np.log(columns["price"] / columns["income"] + 1.0)
    return columns, odds


def _weekdays(n: int, rng: np.random.Generator, day: date) -> tuple[Columns, Floats]:
    """At weekends younger customers come, through another channel, for smaller amounts."""
    weekend = day.weekday() >= 5
    columns: Columns = {
        "age": np.clip(np.round(rng.normal(33.0 if weekend else 44.0, 10.0, n)), 18, 80),
        "amount": np.round(rng.lognormal(8.2 if weekend else 8.9, 0.6, n), -1),
        "income": np.round(rng.lognormal(10.2, 0.4, n), -1),
        "channel": rng.choice(["app", "branch", "broker"], n, p=[0.85, 0.0, 0.15] if weekend else [0.4, 0.4, 0.2]),
    }
    return columns, -1.5 - 0.02 * (columns["age"] - 40.0) + 0.4 * np.log(columns["amount"] / columns["income"] + 0.3)


_ALL: Final = (
    Book(
        "mortgage",
        "A mortgage book with interest rate, unemployment, house prices and growth in every row.",
        _mortgage,
        ("interest_rate", "unemployment", "house_prices", "growth"),
    ),
    Book(
        "small_business",
        "Loans to firms with the fiscal year in every row, and a flag that is off for a quarter of each year.",
        _small_business,
        ("fiscal_year",),
    ),
    Book("wide", "A hundred columns in blocks that are nearly copies of one another.", _wide),
    Book("levels", "A dealer code with a thousand levels.", _levels),
    Book("weekdays", "Other customers come at weekends.", _weekdays),
)

BOOKS: Final[dict[str, Book]] = {book.name: book for book in _ALL}
