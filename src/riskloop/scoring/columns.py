"""The columns of a model that was made elsewhere, as functions of the portfolio's.

Such a model has its own names, its own order, and its own way to write a category: a number, a text, a code of pandas,
or a column of zeros and ones for each level. Each of its columns reads one column of the model's matrix.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.types import Floats

FILE: Final = "columns.json"


class ForeignColumn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column of the foreign model."""

    name: str
    source: int  # column of the model's matrix
    levels: tuple[float | str, ...] | None = None  # what each level is called there; None: the number itself
    missing: float | str | None = None  # what a missing level is called there; None: missing

    def values(self, matrix: Floats) -> Any:
        """The column for ``matrix`` (n, m), shape (n,): doubles, or objects where levels are texts."""
        column = matrix[:, self.source]
        if self.levels is None:
            return column
        texts = any(isinstance(level, str) for level in self.levels)
        gap = np.nan if self.missing is None else self.missing
        known = np.array([*self.levels, gap], dtype=object if texts else np.float64)
        return known[np.where(np.isnan(column), len(self.levels), column).astype(np.int64)]


def as_matrix(columns: Sequence[ForeignColumn], matrix: Floats) -> Floats:
    """The foreign model's columns as doubles, shape (n, len(columns))."""
    return np.column_stack([np.asarray(column.values(matrix), dtype=np.float64) for column in columns])


class AdaptedEstimator:
    """A foreign classifier over the model's matrix; as a frame where it knows its columns by name."""

    def __init__(self, estimator: Any, columns: Sequence[ForeignColumn]) -> None:
        self._estimator = estimator
        self._columns = tuple(columns)
        self._named = hasattr(estimator, "feature_names_in_")
        self.classes_ = estimator.classes_

    def predict_proba(self, matrix: Floats) -> Floats:
        """Probabilities of both classes, shape (n, 2)."""
        if not self._named:
            return np.asarray(self._estimator.predict_proba(as_matrix(self._columns, matrix)), dtype=np.float64)
        import pandas as pd

        frame = pd.DataFrame({column.name: column.values(matrix) for column in self._columns})
        return np.asarray(self._estimator.predict_proba(frame), dtype=np.float64)


def dump_columns(columns: Sequence[ForeignColumn]) -> bytes:
    """The columns as JSON."""
    return msgspec.json.encode(list(columns))


def load_columns(content: bytes, where: str) -> tuple[ForeignColumn, ...]:
    """The inverse of :func:`dump_columns`. Raises ArtefactError."""
    try:
        return msgspec.json.decode(content, type=tuple[ForeignColumn, ...])
    except msgspec.MsgspecError as error:
        raise ArtefactError(f"{where} does not hold the columns of a model: {error}. Import it again.") from None
