"""Groups of a number, by quarters of the people, under names that do not overlap."""

import re
from typing import Final

import numpy as np

from riskloop.core.types import Floats, Ints

_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def quarters(values: Floats, reference: Floats | None = None) -> tuple[tuple[str, ...], Ints]:
    """The names of the quarters of a number, in their order, and the quarter of each row (n,); −1 where it is missing.

    The cuts are quantiles that occur among ``values``, or in a ``reference`` (m,), so that a quarter means the same
    in every sample. Whole numbers are named by the first and the last one of a group: 29 to 33.
    """
    missing = np.isnan(values)
    known = values[~missing] if reference is None else reference[~np.isnan(reference)]
    if not known.size:
        return (), np.full(values.size, -1, dtype=np.int64)
    cuts = np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf"))
    cuts = cuts[cuts < known.max()]
    places = np.where(missing, -1, np.searchsorted(cuts, values)).astype(np.int64)
    if not cuts.size:
        return ("any value",), places
    whole = bool((known == np.floor(known)).all())
    shown = [f"{cut:.6g}" for cut in cuts]
    after = [f"{cut + 1:.6g}" if whole else f"over {cut:.6g}" for cut in cuts]
    between = [
        low if whole and low == high else f"{low} to {high}" for low, high in zip(after[:-1], shown[1:], strict=True)
    ]
    return (f"up to {shown[0]}", *between, f"{after[-1]} or more" if whole else after[-1]), places


def group_order(name: str) -> tuple[float, int, str]:
    """Sorts groups as people read them: numbers and quarters by size, then other names, then what is missing."""
    if name == "missing":
        return np.inf, 1, name
    found = _NUMBER.match(name.removeprefix("up to ").removeprefix("over "))
    return (np.inf if found is None else float(found[0]), 0 if name.startswith("up to") or found is None else 1, name)
