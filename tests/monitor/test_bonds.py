"""Bonds that chance, few telling rows or changing products loosen are no fault; values of other customers are."""

from collections.abc import Callable

import numpy as np
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.core.types import DAY, Finding, Floats, Severity
from riskloop.monitor.profile import Reference
from riskloop.monitor.quality import quality_findings

START = 18_262
MONTHS = 24
COLUMNS = 20
Book = Callable[[int, np.random.Generator], Floats]


def products(n: int, rng: np.random.Generator) -> Floats:
    """Five products with amounts up to a thousand times apart, whose shares vary from month to month."""
    product = rng.choice(5, size=n, p=rng.dirichlet(60.0 * np.array([0.4, 0.3, 0.15, 0.1, 0.05])))
    bonds = np.random.default_rng(1).normal(size=(4, COLUMNS)) / 2.0
    customers = rng.normal(size=(n, 4)) @ bonds + 0.8 * rng.normal(size=(n, COLUMNS))
    rows = np.round(np.exp(8.0 + 0.6 * customers + np.array([0, 0, 2.3, 4.6, -2.3])[product][:, None]), -1)
    rows[:, 0] = product
    return np.asarray(rows)


def arrears(n: int, rng: np.random.Generator) -> Floats:
    """A series of arrears, mostly 0, beside a series of balances that hardly differ."""
    half = COLUMNS // 2
    debt = rng.normal(size=(n, 1))
    late = np.clip(np.floor(debt + np.cumsum(0.5 * rng.normal(size=(n, half)), axis=1) - 1.5), 0, 6)
    return np.column_stack([late, np.round(np.exp(8 + debt + 0.2 * np.cumsum(rng.normal(size=(n, half)), axis=1)))])


def built(book: Book, rows: int, rng: np.random.Generator) -> Reference:
    schema = Schema(tuple(Feature(f"{chr(97 + j)}x", nullable=True) for j in range(COLUMNS)), target="default")
    history = np.concatenate([book(rows, rng) for _ in range(MONTHS)])
    days = np.repeat(START + 30 * np.arange(MONTHS), rows)
    return Reference.build(schema, history, np.full(len(history), 0.2), days)


def faults(reference: Reference, window: Floats) -> list[Finding]:
    times = np.full(len(window), (START + 30 * MONTHS) * DAY)
    found = quality_findings(reference, reference.profile(window, np.full(len(window), 0.2), times), min_rows=30)
    return [f for f in found if f.severity is Severity.FAULT]


@pytest.mark.parametrize("book", [products, arrears])
@pytest.mark.parametrize("rows", [80, 200])
def test_loose_bonds_are_no_fault(book: Book, rows: int) -> None:
    rng = np.random.default_rng(rows)
    reference = built(book, rows, rng)
    assert not [f.sentence for _ in range(12) for f in faults(reference, book(rows, rng))]


@pytest.mark.parametrize(("book", "column"), [(products, 5), (products, 12), (arrears, 12), (arrears, 5)])
def test_values_of_other_customers_are(book: Book, column: int) -> None:
    rng = np.random.default_rng(3)
    reference = built(book, 1_000, rng)
    window = book(1_000, rng)
    window[:, column] = rng.permutation(window[:, column])
    assert [(f.check, f.subject) for f in faults(reference, window)] == [("detached", f"{chr(97 + column)}x")]
