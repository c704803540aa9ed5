"""Rows of one customer are one witness, not several: errors that add influences up by customer first.

A customer who comes again brings much the same features and often the very same default. Counted as independent, twelve
rows of each customer let three of ten no-better challengers through a test whose level is one in twenty.
Source of the idea: Obuchowski, Biometrics 53 (1997) 567–578, for AUC; Liang & Zeger, Biometrika 73 (1986) 13–22.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.types import Bools, Floats, Ints


def customer_codes(ids: Sequence[str]) -> Ints:
    """One number for each customer, shape (n,), in the order of the first row; a row without an id stands alone."""
    known: dict[str, int] = {}
    codes = np.empty(len(ids), dtype=np.int64)
    alone = len(ids)
    for row, name in enumerate(ids):
        if name:
            codes[row] = known.setdefault(name, len(known))
        else:
            codes[row] = alone
            alone += 1
    return codes


def count_customers(customers: npt.ArrayLike | None, among: Bools) -> int:
    """How many different customers the marked rows (n,) belong to; without ``customers`` each row is one."""
    if customers is None:
        return int(np.count_nonzero(among))
    return int(np.unique(np.asarray(customers)[among]).size)


def squared_error(influences: Floats, customers: npt.ArrayLike | None = None) -> float:
    """Variance of an estimate whose error is the sum of ``influences`` (n,), each row's share in it, with mean 0.

    With ``customers`` (n,) the influences of one customer are added up before they are squared.
    Raises DataError when the lengths differ.
    """
    if customers is None:
        return float(np.square(influences).sum())
    names = np.asarray(customers)
    if names.shape != influences.shape:
        raise DataError(f"There are {names.size} customers for {influences.size} rows; give one per row.")
    _, member = np.unique(names, return_inverse=True)
    sums = np.bincount(member, weights=influences)
    return float(np.square(sums).sum())


def design_effect(residuals: Floats, customers: npt.ArrayLike | None = None) -> float:
    """How many rows stand for one independent row, at least 1, where ``residuals`` (n,) are summed or averaged.

    Counts divided by it may go into a test for independent rows. It is never more than the rows of the customer who
    has most of them: rows that are all of one customer are one row. Residuals are centred, so those of k customers
    vary by the share 1 − 1/k too little. Where all are equal nothing can be estimated, and the rows of a customer
    count once.
    Source: Rao & Scott, Biometrics 48 (1992) 577–585.
    """
    if customers is None or residuals.size < 2:
        return 1.0
    centred = residuals - residuals.mean()
    alone = float(np.square(centred).sum())
    rows = np.unique(np.asarray(customers), return_counts=True)[1]
    if rows.size == 1 or alone == 0.0:
        return residuals.size / rows.size
    between = squared_error(centred, customers) * rows.size / (rows.size - 1)
    within = alone * residuals.size / (residuals.size - 1)
    return min(float(rows.max()), max(1.0, between / within))
