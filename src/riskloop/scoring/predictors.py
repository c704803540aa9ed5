"""What an artefact's model file can do: raw log-odds, and each feature's part in them.

All of them give a row the same numbers alone and among others, bit for bit: a decision must be replayable.
"""

import json
from typing import Any, Final, Protocol

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.manifest import MIN_PROBABILITY, ModelManifest
from riskloop.core.schema import Schema
from riskloop.core.types import Floats
from riskloop.scoring import columns
from riskloop.scoring.lightgbm import Booster
from riskloop.scoring.preparation import FILE, Preparation, load_preparation
from riskloop.scoring.shap import ShapTables, parse_trees
from riskloop.store.artefacts import Artefact

_DIGITS: Final = 11  # of log-odds; what is beyond depends on how many rows an estimator is given at once


class Predictor(Protocol):
    """Reads the model's matrix (`Schema.model_matrix`), shape (n, m)."""

    def raw(self, matrix: Floats) -> Floats:
        """Log-odds of default before calibration, shape (n,)."""

    def contributions(self, matrix: Floats) -> Floats:
        """Each column's part and, last, the base value; rows sum to `raw`. Shape (n, m + 1)."""


class TreesPredictor:
    """Boosted trees: LightGBM's library for scores; SHAP values from tables, or from LightGBM for deep trees."""

    def __init__(self, text: bytes, where: str, threads: int) -> None:
        self._booster = Booster(text, where, threads)
        trees = parse_trees(text.decode())
        self._tables = ShapTables(trees, self._booster.width) if ShapTables.possible(trees) else None
        # A random forest's raw scores come summed, and count averaged.
        self._share = 1.0 / len(trees) if b"\naverage_output" in text else 1.0

    def raw(self, matrix: Floats) -> Floats:
        """See :class:`Predictor`."""
        return self._booster.raw(matrix) * self._share

    def contributions(self, matrix: Floats) -> Floats:
        """SHAP values; see :class:`Predictor`."""
        source = self._booster if self._tables is None else self._tables
        return source.contributions(matrix) * self._share


class ScorecardPredictor:
    """Points from bins. A contribution is a bin's points minus their mean over the training rows."""

    def __init__(self, content: bytes, where: str) -> None:
        try:
            card = json.loads(content)
            features = card["features"]
            bounds = [[*map(float, f["bounds"]), np.inf] for f in features]  # ∞, so that no feature has none
            points = [[*map(float, f["points"]), float(f["missing"])] for f in features]
            means = np.array([float(f["mean"]) for f in features])
            self._codes = [
                (j, float(code), float(point) - means[j])
                for j, f in enumerate(features)
                for code, point in f.get("special", ())
            ]
            self._base = float(means.sum()) + float(card["intercept"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{where} is not a scorecard that riskloop wrote: {error!r}. Train again.") from None
        sizes = np.array([len(b) for b in bounds])
        self._bounds = np.concatenate(bounds)
        self._columns = np.repeat(np.arange(len(bounds)), sizes)
        self._starts = np.cumsum(sizes) - sizes
        self._missing = sizes  # a bin after the last one
        self._offsets = self._starts + np.arange(len(bounds))
        self._points = np.concatenate([np.array(p) - m for p, m in zip(points, means, strict=True)])

    def raw(self, matrix: Floats) -> Floats:
        """See :class:`Predictor`."""
        total: Floats = self._parts(matrix).sum(axis=1) + self._base
        return total

    def contributions(self, matrix: Floats) -> Floats:
        """See :class:`Predictor`."""
        return np.column_stack((self._parts(matrix), np.full(len(matrix), self._base)))

    def _parts(self, matrix: Floats) -> Floats:
        above = matrix.take(self._columns, axis=1) > self._bounds
        bins = np.add.reduceat(above, self._starts, axis=1, dtype=np.intp)
        missing = np.isnan(matrix)
        if missing.any():
            bins = np.where(missing, self._missing, bins)
        parts: Floats = self._points.take(bins + self._offsets)
        for column, code, points in self._codes:
            parts[:, column] = np.where(matrix[:, column] == code, points, parts[:, column])
        return np.ascontiguousarray(parts)


class PreparedPredictor:
    """A predictor behind a preparation. Contributions are those of the columns that the prepared ones are made of."""

    def __init__(self, preparation: Preparation, inner: Predictor) -> None:
        self._preparation = preparation
        self._inner = inner

    def raw(self, matrix: Floats) -> Floats:
        """See :class:`Predictor`."""
        return self._inner.raw(self._preparation.matrix(matrix))

    def contributions(self, matrix: Floats) -> Floats:
        """See :class:`Predictor`."""
        return self._preparation.attributed(self._inner.contributions(self._preparation.matrix(matrix)))


class EstimatorPredictor:
    """Any scikit-learn classifier. A contribution is the log-odds' change when a value becomes the typical one.

    Such occlusions miss what features do together; the base value takes up the rest, so that rows still sum up.
    """

    def __init__(self, estimator: Any, typical: Floats) -> None:
        """``typical`` (m,) holds the baseline customer's values."""
        self._estimator = estimator
        self._typical = typical

    def raw(self, matrix: Floats) -> Floats:
        """See :class:`Predictor`."""
        p = np.asarray(self._estimator.predict_proba(matrix), dtype=np.float64)[:, 1]
        p = np.clip(p, MIN_PROBABILITY, 1.0 - MIN_PROBABILITY)
        z: Floats = np.round(np.log(p) - np.log1p(-p), _DIGITS)
        return z

    def contributions(self, matrix: Floats) -> Floats:
        """See :class:`Predictor`."""
        n, m = matrix.shape
        copies = np.repeat(matrix[None], m + 1, axis=0)
        for column in range(m):
            copies[column, :, column] = self._typical[column]
        scores = self.raw(copies.reshape(-1, m)).reshape(m + 1, n)
        parts = (scores[m] - scores[:m]).T
        return np.column_stack((parts, scores[m] - parts.sum(axis=1)))


def load_predictor(artefact: Artefact[ModelManifest], schema: Schema, threads: int) -> Predictor:
    """The predictor of an artefact's model file, behind its preparation where it has one. Raises ArtefactError."""
    if FILE not in artefact.contents:
        return _predictor(artefact, schema, threads, None)
    preparation = load_preparation(artefact.bytes(FILE), str(artefact.path / FILE))
    return PreparedPredictor(preparation, _predictor(artefact, schema, threads, preparation))


def _predictor(
    artefact: Artefact[ModelManifest], schema: Schema, threads: int, preparation: Preparation | None
) -> Predictor:
    file = artefact.manifest.model_file
    content, where = artefact.bytes(file), str(artefact.path / file)
    if file.endswith(".txt"):
        return TreesPredictor(content, where, threads)
    if file.endswith(".json"):
        return ScorecardPredictor(content, where)
    if file.endswith(".skops"):
        from riskloop.store.estimators import load_estimator

        estimator = load_estimator(content, where)
        if columns.FILE in artefact.contents:  # was made elsewhere, and reads other columns
            known = columns.load_columns(artefact.bytes(columns.FILE), str(artefact.path / columns.FILE))
            estimator = columns.AdaptedEstimator(estimator, known)
        baseline = [artefact.manifest.baseline[schema.names[i]] for i in schema.model_columns]
        typical = np.array([baseline], dtype=np.float64)
        typical = typical if preparation is None else preparation.matrix(typical)
        return EstimatorPredictor(estimator, typical[0])
    raise ArtefactError(f"{where} is no model file that this version of riskloop reads; upgrade it.")
