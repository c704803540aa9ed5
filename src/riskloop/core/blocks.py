"""What is computed row by row, over parts of the rows: what lies between is never there for all of them at once."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np

from riskloop.core.types import Floats

ROWS: Final = 2**16  # of a part
Part = TypeVar("Part", bound=np.ndarray[Any, Any])  # rows, or numbers of rows


def by_blocks(function: Callable[[Part], Floats], rows: Part, most: int = ROWS) -> Floats:
    """``function`` of the ``rows`` (n, k), one value a row (n,), computed for at most ``most`` of them at a time."""
    if len(rows) <= most:
        return function(rows)
    parts: list[Any] = [rows[start : start + most] for start in range(0, len(rows), most)]  # views
    return np.concatenate([function(part) for part in parts])
