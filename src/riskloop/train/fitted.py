"""A learner fitted to rows: its preparation is learned with it, from the same rows, and scores with it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from riskloop.core.blocks import by_blocks
from riskloop.core.errors import DataError
from riskloop.core.schema import Schema
from riskloop.core.settings import PrepareSettings, Settings
from riskloop.core.stats import customer_codes
from riskloop.core.types import Bools, Floats, Ints, Rows
from riskloop.scoring.preparation import Preparation
from riskloop.train.blend import fit_blend, raw
from riskloop.train.calibrate import log_odds
from riskloop.train.candidate import npy
from riskloop.train.dump import is_sum
from riskloop.train.learners import Estimator, Learner, one_thread
from riskloop.train.prepare import Preparer

FAR: Final = 12.0  # log-odds; a probability nearer to 1 tells them to less than 1e-10


@dataclass(frozen=True)
class Sample:
    """Rows to learn from, as the learners see them."""

    schema: Schema
    declared: Mapping[str, PrepareSettings]  # columns that the config makes of others
    X: Floats  # (n, k) `Schema.model_matrix`
    y: Bools  # (n,) defaults
    weights: Floats | None  # (n,)
    changed: Bools | None  # (n,) rows of a world in which the same customers default differently
    customers: Ints | None  # (n,) 0, 1 … where somebody has more than one row
    seed: int

    def take(self, index: Ints) -> "Sample":
        """The rows at ``index``."""
        return replace(
            self,
            X=self.X[index],
            y=self.y[index],
            weights=None if self.weights is None else self.weights[index],
            changed=None if self.changed is None else self.changed[index],
            customers=None if self.customers is None else self.customers[index],
        )


@dataclass(frozen=True)
class Fitted:
    """An estimator over the prepared matrix, and the preparation where it needs one."""

    estimator: Estimator
    schema: Schema  # of the prepared matrix
    preparation: Preparation | None

    def matrix(self, X: Floats) -> Floats:
        """The estimator's matrix of the model's matrix X (n, k)."""
        return X if self.preparation is None else self.preparation.matrix(X)

    def raw(self, X: Floats) -> Floats:
        """Log-odds (n,) of the model's matrix X (n, k), before calibration."""
        return by_blocks(lambda part: raw_scores(self.estimator, self.matrix(part)), X)

    def raw_of(self, X: Floats, index: Ints) -> Floats:
        """As `raw`, of the rows at ``index`` (m,), which are taken part by part."""
        return by_blocks(lambda at: raw_scores(self.estimator, self.matrix(X[at])), index)


def sample_of(rows: Rows, settings: Settings, weights: Floats | None, changed: Bools | None) -> Sample:
    """Labelled rows as a sample."""
    schema = settings.row_schema
    target = np.asarray(rows.target, dtype=np.float64)
    matrix = schema.model_matrix(rows.features)
    return Sample(
        schema, settings.prepare, matrix, target == 1.0, weights, changed, customers_of(rows), settings.train.seed
    )


def customers_of(rows: Rows) -> Ints | None:
    """The number of each row's customer (n,); None where nobody comes twice."""
    codes = customer_codes(rows.ids)
    return None if np.unique(codes).size == codes.size else codes


def reference_customers(*parts: Rows) -> dict[str, bytes]:
    """The file that says whose the reference's rows are, by numbers alone; none where nobody comes twice."""
    codes = customer_codes([name for rows in parts for name in rows.ids])
    return {} if np.unique(codes).size == codes.size else {"reference_customers.npy": npy(codes)}


def fit_learner(entry: Learner, sample: Sample, threads: int) -> Fitted:
    """Preparation and estimator, both learned from the sample. Raises what `Learner.fit` raises."""
    preparer = preparer_of(entry, sample)
    Z = preparer.fit_transform(sample.X, sample.y, sample.weights, sample.customers)
    schema, sample = preparer.schema_, replace(sample, X=Z)  # rows that only this fit has are let go of
    estimator = fit_blend(entry, schema, Z, sample.y, sample.weights, sample.changed, sample.seed, threads)
    return Fitted(estimator, schema, preparer.preparation_ if preparer.needed_ else None)


def preparer_of(entry: Learner, sample: Sample) -> Preparer:
    """The preparation that suits the learner: a scorecard bins special codes and rates itself."""
    return Preparer(
        sample.schema, sample.declared, keep_codes=entry.knows_codes, levels=not entry.knows_codes, seed=sample.seed
    )


def raw_scores(estimator: Estimator, matrix: Floats) -> Floats:
    """Log-odds (n,) of an estimator over its own matrix. Raises DataError where it gives no probabilities."""
    with one_thread():
        probabilities = np.asarray(estimator.predict_proba(matrix), dtype=np.float64)
    if probabilities.shape != (len(matrix), 2) or not np.isfinite(probabilities).all():
        raise DataError(f"{type(estimator).__name__} gave no finite probabilities of two classes for this history.")
    z = log_odds(probabilities[:, 1])
    extreme = np.abs(z) > FAR
    if extreme.any() and is_sum(estimator):  # a probability of nearly 1 has lost its log-odds; its file has not
        with one_thread():
            z[extreme] = raw(estimator, matrix[extreme])
    return z
