"""How often are small windows of a sound book called broken? Thousands of them, without a model or a loop.

    python -m benchmarks.smallwindows [--part all|sound|mixed] [--seeds 12] [--first 901] [--quick]

Books of seven kinds, each drawn anew with every seed: a history of two years of 250 rows a month, and after it windows
of 50, 200 and 500 rows in the months that follow, in which nothing breaks. A book is one cluster of the intervals.
Beside them: how strong a bond has to be that other customers' values in half of the rows are found by it.
docs/monitoring.md shows the tables.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np

from benchmarks._measured import share
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import DAY, EPOCH, Floats, Ints, Severity
from riskloop.monitor.profile import Profile, Reference
from riskloop.monitor.quality import quality_findings

MONTHS: Final = 24  # of history
PER_MONTH: Final = 250
AFTER: Final = 8  # months with windows
SIZES: Final = (50, 200, 500)
LONG: Final = 30  # days of a month
FIRST: Final = 18_000  # day, since 1970
Columns = dict[str, Floats]
Make = Callable[[np.random.Generator, np.random.Generator, Ints, Ints], Columns]  # of the book, of rows; months, days


class Window(NamedTuple):
    """What was said of one."""

    kind: str
    seed: int
    size: int
    faults: tuple[str, ...]


def _mortgage(book: np.random.Generator, rng: np.random.Generator, months: Ints, _days: Ints) -> Columns:
    """A panel of vintages: arrears of six months, rates that all share, a calendar counter beside the loan's age."""
    n, rates = len(months), 3.0 + 0.2 * np.cumsum(book.normal(size=MONTHS + AFTER))
    age = months + rng.integers(1, 120, n)
    granted = np.exp(rng.normal(12.0, book.uniform(0.3, 0.7), n)).round(-3)
    late, stays = book.uniform(0.03, 0.15), book.uniform(0.4, 0.8)
    arrears = [np.where(rng.random(n) < late, rng.integers(1, 4, n), 0)]
    for _ in range(5):
        before = arrears[-1]
        fresh = np.where(rng.random(n) < late, rng.integers(1, 4, n), 0)
        arrears.append(np.where((before > 0) & (rng.random(n) < stays), np.maximum(before - 1, 0), fresh))
    return {
        "month": months,
        "age": age,
        "granted": granted,
        "balance": (granted * (1.0 - age / 480.0)).round(),
        "rate": rates[months].round(2),
        "loan_to_value": rng.normal(0.7, 0.15, n).round(3),
        **{f"arrears_{k}": values for k, values in enumerate(arrears, start=1)},
    }


def _run_off(book: np.random.Generator, rng: np.random.Generator, months: Ints, _days: Ints) -> Columns:
    n = len(months)
    age = months - rng.integers(-24, 0, n)
    granted = np.exp(rng.normal(12.0, book.uniform(0.3, 0.7), n)).round(-3)
    balance = (granted * (1.0 - age / 400.0)).round()
    return {"age": age, "left": 360 - age - rng.integers(0, 3, n), "granted": granted, "balance": balance}


def _small_business(book: np.random.Generator, rng: np.random.Generator, months: Ints, _days: Ints) -> Columns:
    n, size, sectors = len(months), rng.normal(size=len(months)), book.dirichlet(np.full(15, 0.8))
    return {
        "turnover": np.exp(12.0 + 0.9 * size + 0.3 * rng.normal(size=n)).round(-1),
        "staff": np.exp(1.2 + 0.7 * size).round(),
        "years": rng.integers(0, 30, n),
        "term": rng.choice([12, 36, 60, 84, 120], n),
        "sector": rng.choice(15, n, p=sectors),
        "fiscal_year": 2020 + (months + 3) // 12,
        "waived": np.where((rng.random(n) < 0.4) & (months % 12 < 9), 1, 0),
    }


def _cards(book: np.random.Generator, rng: np.random.Generator, months: Ints, _days: Ints) -> Columns:
    n, use = len(months), rng.beta(book.uniform(0.5, 1.5), 2.0, len(months))
    limit = np.exp(rng.normal(9.5, 0.8, n)).round(-2) + 100.0
    bills = [np.maximum(limit * np.clip(use + 0.1 * rng.normal(size=n), 0.0, 1.1), 0.0).round() for _ in range(6)]
    paid = [(bill * rng.beta(0.6, 1.5, n)).round() for bill in bills]
    named = [("bill", bills), ("paid", paid)]
    return {"limit": limit} | {f"{name}_{k}": x for name, some in named for k, x in enumerate(some, start=1)}


def _products(book: np.random.Generator, rng: np.random.Generator, months: Ints, _days: Ints) -> Columns:
    """Five products, each with amounts, terms and channels of its own; within one hardly anything hangs together."""
    n, product = len(months), rng.choice(5, len(months), p=book.dirichlet(np.full(5, 2.0)))
    middle, terms = book.normal(9.0, 1.5, 5), np.array([6, 12, 36, 60, 120])
    return {
        "product": product,
        "amount": np.exp(middle[product] + 0.5 * rng.normal(size=n)).round(-1),
        "term": terms[product] + 6 * rng.integers(0, 3, n),
        "income": np.exp(rng.normal(10.3, 0.4, n)).round(-1),
        "channel": rng.choice(3, n),
        "age": rng.integers(18, 75, n),
    }


def _weekdays(book: np.random.Generator, rng: np.random.Generator, months: Ints, days: Ints) -> Columns:
    n, weekend, apart = len(months), days % 7 >= 5, book.uniform(0.2, 0.8)
    channel = np.where(weekend, rng.choice(3, n, p=[0.85, 0.0, 0.15]), rng.choice(3, n, p=[0.4, 0.4, 0.2]))
    return {
        "age": np.clip(rng.normal(44.0 - 11.0 * weekend, 10.0), 18, 80).round(),
        "amount": np.exp(8.9 - apart * weekend + 0.6 * rng.normal(size=n)).round(-1),
        "income": np.exp(rng.normal(10.2, 0.4, n)).round(-1),
        "channel": channel,
    }


def _shared(book: np.random.Generator, rng: np.random.Generator, months: Ints, _days: Ints) -> Columns:
    """Rates, an index and a campaign that are the same for everybody in a month, and gaps."""
    n = len(months)
    walk, index = 4.0 + 0.3 * np.cumsum(book.normal(size=MONTHS + AFTER)), 100.0 * 1.004 ** np.arange(MONTHS + AFTER)
    own = walk[months] + rng.choice([0.0, 0.25, 0.5], n)
    income = np.where(rng.random(n) < book.uniform(0.02, 0.4), np.nan, np.exp(rng.normal(10.0, 0.5, n)).round(-2))
    campaign = book.integers(0, 2, MONTHS + AFTER)[months]
    price = (index[months] * rng.lognormal(7, 0.3, n)).round()
    return {"base": walk[months].round(2), "own": own.round(2), "income": income, "campaign": campaign, "price": price}


BOOKS: Final[dict[str, tuple[Make, tuple[str, ...]]]] = {  # with the columns that are categories
    "mortgage panel": (_mortgage, ()),
    "run-off": (_run_off, ()),
    "small business": (_small_business, ("sector", "waived")),
    "cards": (_cards, ()),
    "products": (_products, ("product", "channel")),
    "weekdays": (_weekdays, ("channel",)),
    "shared rates": (_shared, ("campaign",)),
}


def rows_of(kind: str, seed: int, months: Ints, days: Ints, draw: int) -> tuple[tuple[str, ...], Floats]:
    """Names and rows of a book; ``draw`` is whose rows."""
    make = BOOKS[kind][0]
    columns = make(np.random.default_rng(seed), np.random.default_rng((seed, draw)), months, days)
    return tuple(columns), np.column_stack([np.asarray(x, dtype=np.float64) for x in columns.values()])


def book(kind: str, seed: int, after: int) -> list[Window]:
    """What is said of the windows of one book."""
    months = np.repeat(np.arange(MONTHS), PER_MONTH)
    days = FIRST + LONG * months + np.random.default_rng((seed, 1)).integers(0, LONG, months.size)
    names, X = rows_of(kind, seed, months, days, 0)
    levels = BOOKS[kind][1]
    features = tuple(
        Feature(name, "category", categories=tuple(str(k) for k in range(round(X[:, j].max()) + 1)))
        if name in levels
        else Feature(name)
        for j, name in enumerate(names)
    )
    reference = Reference.build(Schema(features, "bad"), X, np.random.default_rng(seed).random(len(X)), days)
    found = []
    for size in SIZES:
        previous: list[Profile] = []
        for number in range(after):
            month = np.full(size, MONTHS + number)
            first, draw = FIRST + LONG * (MONTHS + number), 1 + number + 100 * size
            when = first + np.random.default_rng((seed, draw)).integers(0, LONG, size)
            _, rows = rows_of(kind, seed, month, when, draw)
            window = reference.profile(rows, np.random.default_rng(draw).random(size), when * DAY)
            start = datetime.combine(EPOCH.date(), EPOCH.time(), UTC) + timedelta(days=first)
            period = start, start + timedelta(days=LONG)
            said = quality_findings(reference, window, min_rows=30, previous=previous[-3:], period=period)
            faults = tuple(f"{f.check} of {f.subject}" for f in said if f.severity is Severity.FAULT)
            found.append(Window(kind, seed, size, faults))
            previous.append(window)
    return found


def table(windows: Sequence[Window]) -> str:
    """Windows called broken, with intervals clustered by book."""
    lines = ["| windows | called broken |", "|---|---|"]
    parts = [("all", list(windows))]
    parts += [(f"{size} rows", [w for w in windows if w.size == size]) for size in SIZES]
    parts += [(kind, [w for w in windows if w.kind == kind]) for kind in BOOKS]
    for name, part in parts:
        clusters: dict[tuple[str, int], list[Window]] = {}
        for window in part:
            clusters.setdefault((window.kind, window.seed), []).append(window)
        lines.append(
            f"| {name} | {share([(float(sum(bool(w.faults) for w in c)), len(c)) for c in clusters.values()])} |"
        )
    by = Counter(fault for window in windows for fault in window.faults)
    return "\n".join(
        [*lines, "", "By: " + (", ".join(f"{name} {count}" for name, count in by.most_common()) or "none")]
    )


def mixed(correlation: float, size: int, seed: int) -> bool:
    """Whether the values of other customers are found, in half of the rows of a column with one relative."""
    rng = np.random.default_rng((seed, size))
    days = FIRST + rng.integers(0, LONG * MONTHS, MONTHS * PER_MONTH)

    def drawn(count: int) -> Floats:
        x = rng.normal(size=(count, 6))
        x[:, 1] = correlation * x[:, 0] + np.sqrt(1.0 - correlation**2) * x[:, 1]
        return np.exp(x).round(2)

    schema = Schema(tuple(Feature(f"x{k}") for k in range(6)), "bad")
    reference = Reference.build(schema, drawn(len(days)), rng.random(len(days)), days)
    rows, some = drawn(size), np.flatnonzero(rng.random(size) < 0.5)
    rows[some, 1] = rows[rng.permutation(some), 1]
    when = FIRST + LONG * MONTHS + rng.integers(0, LONG, size)
    window = reference.profile(rows, rng.random(size), when * DAY)
    return any(f.severity is Severity.FAULT for f in quality_findings(reference, window, min_rows=30))


def bonds(seeds: Sequence[int]) -> str:
    """By the correlation with the one relative, and the window's rows."""
    sizes, strengths = (500, 2_000, 8_000), (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
    lines = [f"| rows | {' | '.join(f'{r:g}' for r in strengths)} |", f"|---|{'---|' * len(strengths)}"]
    for size in sizes:
        found = [share([(float(mixed(r, size, seed)), 1.0) for seed in seeds]) for r in strengths]
        lines.append(f"| {size:,} | {' | '.join(found)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--part", choices=("all", "sound", "mixed"), default="all")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first", type=int, default=901, help="the first seed")
    parser.add_argument("--quick", action="store_true", help="one seed, two months")
    given = parser.parse_args()
    found: list[Window] = []
    seeds = range(given.first, given.first + (1 if given.quick else given.seeds))
    if given.part != "sound":
        print(f"Other customers' values in half of the rows, found, by correlation:\n\n{bonds(seeds)}\n")
    for seed in seeds if given.part != "mixed" else ():
        for kind in BOOKS:
            said = book(kind, seed, 2 if given.quick else AFTER)
            found += said
            print(seed, kind, [(w.size, *w.faults) for w in said if w.faults], file=sys.stderr, flush=True)
    if found:
        print(table(found))


if __name__ == "__main__":
    main()
