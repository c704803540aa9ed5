"""Histories of the shapes that lenders' files have, generated: few rows, many columns, gaps, codes, rare defaults."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Floats, Ints, Rows

DAY: Final = 86_400_000_000


@dataclass(frozen=True)
class Shape:
    """One generated history, and customers of the same kind whom nobody has learned from."""

    name: str
    settings: Settings
    train: Rows
    test: Rows


@dataclass(frozen=True)
class _Table:
    """Columns with the log-odds of default before the intercept."""

    columns: dict[str, Any]
    z: Floats
    rate: float
    categories: dict[str, int]  # levels of the columns that are categories
    extra: str = ""  # further settings
    feature_extra: dict[str, str] | None = None
    ids: Ints | None = None
    times: Ints | None = None
    noise: float = 0.0


Make = Callable[[np.random.Generator, int], _Table]


def _wide(rng: np.random.Generator, n: int) -> _Table:
    x = rng.normal(size=(n, 300))
    z = x[:, :20] @ np.linspace(0.5, 0.05, 20) + 0.5 * x[:, 0] * x[:, 1]
    return _Table({f"x{j}": x[:, j] for j in range(300)}, z, 0.25, {})


def _tall(rng: np.random.Generator, n: int) -> _Table:
    x = rng.normal(size=(n, 12))
    z = x[:, 0] + 0.7 * np.sin(2 * x[:, 1]) + 0.6 * x[:, 2] * x[:, 3] + 0.3 * x[:, 4] - 0.5 * (x[:, 5] > 1)
    return _Table({f"x{j}": x[:, j] for j in range(12)}, z, 0.12, {})


def _sparse(rng: np.random.Generator, n: int) -> _Table:
    there = rng.random((n, 100)) < np.linspace(0.3, 0.01, 100)
    x = np.where(there, rng.lognormal(0, 1, (n, 100)), 0.0).round(3)
    z = np.log1p(x[:, :25]) @ np.linspace(1.2, -0.8, 25) + there[:, 30:50] @ np.linspace(1, -1, 20)
    return _Table({f"x{j}": x[:, j] for j in range(100)}, z, 0.1, {})


def _many_levels(rng: np.random.Generator, n: int) -> _Table:
    fixed = np.random.default_rng(12)
    merchant_effect, state_effect = fixed.normal(0, 0.9, 5000), fixed.normal(0, 0.5, 51)
    popular = np.arange(1, 5001) ** -0.8
    merchant = rng.choice(5000, n, p=popular / popular.sum())
    state = rng.integers(0, 51, n)
    x = rng.normal(size=(n, 6))
    z = x[:, 0] + 0.5 * x[:, 1] * (state < 20) + merchant_effect[merchant] + state_effect[state]
    columns = {f"x{j}": x[:, j] for j in range(6)}
    return _Table({**columns, "merchant": merchant, "state": state}, z, 0.15, {"merchant": 5000, "state": 51})


def _code_tree(rng: np.random.Generator, n: int) -> _Table:
    """An industry's code of six digits; what matters is mostly its first two and three."""
    fixed = np.random.default_rng(5)
    top, middle, leaf = fixed.normal(0, 0.8, 20), fixed.normal(0, 0.5, 200), fixed.normal(0, 0.3, 4000)
    code = np.sort(fixed.choice(4000, 1200, replace=False))[rng.integers(0, 1200, n)]
    x = rng.normal(size=(n, 5))
    z = 0.8 * x[:, 0] - 0.5 * np.abs(x[:, 1]) + top[code // 200] + middle[code // 20] + leaf[code]
    columns = {f"x{j}": x[:, j] for j in range(5)} | {"industry": code}
    return _Table(columns, z, 0.18, {"industry": 4000}, feature_extra={"industry": "prefixes = [2, 3]"})


def _panel(rng: np.random.Generator, n: int) -> _Table:
    customers = n // 6
    own = rng.normal(size=(customers, 8))
    frail = rng.normal(0, 1.0, customers)
    who, month = np.repeat(np.arange(customers), 6), np.tile(np.arange(6), customers)
    x = own[who] + rng.normal(0, 0.3, (len(who), 8))
    z = 0.8 * x[:, 0] + 0.5 * x[:, 1] * x[:, 2] + 0.4 * np.abs(x[:, 3]) + frail[who]
    times = (19_000 + 30 * month + rng.integers(0, 28, len(who))) * DAY
    return _Table({f"x{j}": x[:, j] for j in range(8)}, z, 0.15, {}, ids=who, times=times)


def _rare(rng: np.random.Generator, n: int) -> _Table:
    x = rng.normal(size=(n, 20))
    z = 1.1 * x[:, 0] + 0.6 * x[:, 1] - 0.5 * x[:, 2] + 0.5 * np.maximum(x[:, 3], 0) + 0.4 * x[:, 4] * x[:, 5]
    return _Table({f"x{j}": x[:, j] for j in range(20)}, z, 0.005, {})


def _gaps(rng: np.random.Generator, n: int) -> _Table:
    x = rng.normal(size=(n, 25))
    z = x[:, :10] @ np.linspace(0.8, 0.1, 10) + 0.5 * x[:, 0] * x[:, 1]
    gone = rng.random((n, 25)) < 1 / (1 + np.exp(-(0.85 + 0.6 * x)))
    z += 0.4 * gone[:, 12] - 0.4 * gone[:, 13]
    return _Table({f"x{j}": np.where(gone[:, j], np.nan, x[:, j]) for j in range(25)}, z, 0.2, {})


def _mixed_codes(rng: np.random.Generator, n: int) -> _Table:
    """Numbers in which -9999 and 999 are codes, beside categories and counts."""
    x = rng.normal(size=(n, 8))
    codes = rng.choice([0, -9999, 999], size=(n, 4), p=[0.75, 0.15, 0.1])
    z = x[:, :4] @ np.array([0.9, -0.7, 0.5, 0.4]) * 1.0
    for j in range(4):
        z = z - np.where(codes[:, j] != 0, x[:, j] * (0.9, -0.7, 0.5, 0.4)[j], 0.0)
        z = z + np.where(codes[:, j] == -9999, 0.5 - 0.4 * j, 0.0) + np.where(codes[:, j] == 999, -0.6 + 0.3 * j, 0.0)
    shown = np.where(codes == 0, (100 * x[:, :4] + 500).round(), codes)
    kind = rng.integers(0, 12, n)
    z = z + np.random.default_rng(3).normal(0, 0.5, 12)[kind]
    columns = {f"b{j}": shown[:, j].astype(float) for j in range(4)} | {f"x{j}": x[:, j] for j in range(4, 8)}
    special = {f"b{j}": "special = [-9999, 999]" for j in range(4)}
    return _Table({**columns, "kind": kind}, z, 0.2, {"kind": 12}, feature_extra=special)


def _home_equity(rng: np.random.Generator, n: int) -> _Table:
    """Few rows, strong interactions, and gaps that say more than values do."""
    loan, due, value = rng.lognormal(9.6, 0.5, n), rng.lognormal(11, 0.5, n), rng.lognormal(11.4, 0.5, n)
    job_years, late, bad_marks = rng.exponential(8, n), rng.poisson(0.4, n), rng.poisson(0.25, n)
    oldest, inquiries, lines = rng.gamma(4, 45, n), rng.poisson(1.2, n), rng.poisson(21, n)
    debt = rng.normal(34, 8, n) + 8 * (rng.random(n) < 0.1)
    reason, job = rng.integers(0, 2, n), rng.integers(0, 6, n)
    z = 1.1 * late + 1.2 * bad_marks - 0.006 * oldest + 0.25 * inquiries + 3.5 * (debt > 43) + 0.8 * (job == 4)
    z += 1.5 * ((loan > 22_000) & (job_years < 4)) - 1.2 * ((lines > 18) & (lines < 26)) + 2.0 * (due > value)
    z += 1.5 * np.sin(np.log(loan) * 4) * (reason == 1) + 1.0 * ((value < 60_000) & (oldest < 150))
    columns = {
        "LOAN": loan.round(-2), "MORTDUE": due.round(), "VALUE": value.round(), "YOJ": job_years.round(1),
        "DELINQ": late, "DEROG": bad_marks, "CLAGE": oldest.round(2), "NINQ": inquiries, "CLNO": lines, "DEBTINC": debt,
    }  # fmt: skip
    gone = {
        name: rng.random(n) < share
        for name, share in zip(columns, (0, 0.09, 0.02, 0.09, 0.1, 0.12, 0.05, 0.09, 0.04, 0.21), strict=True)
    }
    z += 3.2 * gone["DEBTINC"] + 2.5 * gone["VALUE"] - 0.8 * gone["DEROG"] + 0.5 * gone["YOJ"]
    shown = {name: np.where(gone[name], np.nan, x) for name, x in columns.items()}
    return _Table({**shown, "REASON": reason, "JOB": job}, 1.3 * z, 0.2, {"REASON": 2, "JOB": 6})


def _few(rng: np.random.Generator, n: int) -> _Table:
    x = rng.normal(size=(n, 20))
    kind = rng.integers(0, 8, n)
    z = x[:, :6] @ np.array([0.8, 0.6, 0.5, -0.4, 0.3, 0.2]) + np.random.default_rng(9).normal(0, 0.6, 8)[kind]
    return _Table({f"x{j}": x[:, j] for j in range(20)} | {"kind": kind}, z, 0.3, {"kind": 8})


def _steps(rng: np.random.Generator, n: int) -> _Table:
    """Rules rather than slopes: what deep trees find."""
    x = rng.random((n, 15)).round(2)
    z = 2.0 * ((x[:, 0] > 0.6) & (x[:, 1] < 0.4)) - 1.5 * ((x[:, 2] > 0.5) ^ (x[:, 3] > 0.5))
    z += 1.5 * ((x[:, 4] > 0.3) & (x[:, 5] > 0.3) & (x[:, 6] > 0.3)) + 0.8 * np.floor(4 * x[:, 7])
    return _Table({f"x{j}": x[:, j] for j in range(15)}, z, 0.2, {})


# name: (generator, training rows, test rows); the quick ones first, because a run may be cut off
SHAPES: Final[dict[str, tuple[Make, int, int]]] = {
    "few": (_few, 800, 20_000),
    "home_equity": (_home_equity, 4000, 20_000),
    "mixed_codes": (_mixed_codes, 6000, 20_000),
    "gaps": (_gaps, 8000, 20_000),
    "steps": (_steps, 8000, 20_000),
    "code_tree": (_code_tree, 12_000, 20_000),
    "panel": (_panel, 12_000, 24_000),
    "many_levels": (_many_levels, 20_000, 20_000),
    "sparse": (_sparse, 10_000, 20_000),
    "wide": (_wide, 2000, 20_000),
    "rare": (_rare, 40_000, 100_000),
    "tall": (_tall, 60_000, 40_000),
}


def make(name: str, seed: int = 0) -> Shape:
    """The history called ``name``; the same ``seed``, the same rows."""
    generate, n, m = SHAPES[name]
    rng = np.random.default_rng([seed, *name.encode()])
    table = generate(rng, n + m)
    cut = n - n % 6
    low, high = -30.0, 30.0
    for _ in range(60):  # the intercept at which the mean is the rate
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(table.z + middle).mean() < table.rate else (low, middle)
    target = (rng.random(len(table.z)) < _sigmoid(table.z + low)).astype(np.float64)
    features = np.column_stack([np.asarray(column, dtype=np.float64) for column in table.columns.values()])
    times = np.zeros(len(target), dtype=np.int64) if table.times is None else table.times
    ids = np.arange(len(target)) if table.ids is None else table.ids
    whole = Rows(features, [str(i) for i in ids.tolist()], times, target)
    return Shape(name, _settings(table), whole.take(np.arange(cut)), whole.take(np.arange(cut, len(target))))


def _sigmoid(z: Floats) -> Floats:
    p: Floats = 1.0 / (1.0 + np.exp(-z))
    return p


def _settings(table: _Table) -> Settings:
    lines = ["[portfolio]", 'target = "default"', 'id = "id"']
    lines += ['time = "day"'] if table.times is not None else []
    for name, column in table.columns.items():
        lines.append(f"[features.{name}]")
        if name in table.categories:
            width = len(str(table.categories[name] - 1))
            levels = [f'"{code:0{width}d}"' for code in range(table.categories[name])]
            lines += ['kind = "category"', f"categories = [{', '.join(levels)}]"]
        lines += ["nullable = true"] if np.isnan(column).any() else []
        lines += [(table.feature_extra or {}).get(name, "")]
    return parse_settings("\n".join([*lines, table.extra]) + "\n")
