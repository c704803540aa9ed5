"""A fitted model on its way to the registry."""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from riskloop.core.manifest import (
    Benchmark,
    LearnerAuc,
    ModelManifest,
    ModelMetrics,
    PdLevel,
    RiskLevels,
    Size,
    Training,
    TrainingRecord,
)
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings
from riskloop.core.stats import Interval, brier, ks_statistic, log_loss
from riskloop.core.types import Floats, Ints, Json, Rows, from_micros
from riskloop.train.learners import EXTRAS

_LIBRARIES = ("lightgbm", "numpy", "scikit-learn", "scipy", "skops")


@dataclass(frozen=True)
class Candidate:
    """Everything that makes an artefact, and the way scikit-learn itself would score."""

    learner: str
    files: Mapping[str, bytes]
    manifest: ModelManifest  # the same rows, settings and seed give the same bytes
    predict: Callable[[Floats], Floats]  # features (n, k) in the schema's order to calibrated probabilities (n,)


def describe_training(
    rows: Rows,
    schema: Schema,
    weights: Floats | None,
    *,
    history: str | None,
    record: TrainingRecord | None,
    blended: bool,
    size: Size | None,
    left_out: dict[str, str],
    definition: str,
    level: PdLevel,
    immature: int = 0,
    benchmark: Benchmark | None = None,
) -> Training:
    """Sizes, first and last time, and the fingerprint of the very rows."""
    target = np.zeros(0) if rows.target is None else rows.target
    digest = hashlib.sha256(schema.fingerprint.encode())
    for part in (rows.features, target, rows.times, weights if weights is not None else np.zeros(0)):
        digest.update(np.ascontiguousarray(part).data)
    timed = len(rows) > 0 and bool(rows.times.any())
    return Training(
        rows=len(rows),
        defaults=int(target.sum()),
        first_time=from_micros(int(rows.times.min())).isoformat() if timed else None,
        last_time=from_micros(int(rows.times.max())).isoformat() if timed else None,
        weighted=weights is not None,
        fingerprint=digest.hexdigest(),
        history=history,
        record=record,
        blended=blended,
        size=size,
        left_out=left_out,
        definition=definition,
        level=level,
        immature=immature,
        benchmark=benchmark,
    )


def baseline(features: Floats, schema: Schema) -> dict[str, float | None]:
    """A typical customer, coded: the median of each number, the commonest level of each category."""
    typical: dict[str, float | None] = {}
    for feature, column in zip(schema.features, features.T, strict=True):
        there = column[~np.isnan(column)]
        if not there.size:
            typical[feature.name] = None
        elif feature.kind == "category":
            typical[feature.name] = float(np.bincount(there.astype(np.int64)).argmax())
        else:
            typical[feature.name] = float(np.median(there))
    return typical


def library_versions(learner: str = "") -> dict[str, str]:
    """Versions of what fits and scores, by distribution name, and of the extra that the ``learner`` needs."""
    found = {name: version(name) for name in _LIBRARIES}
    if learner in EXTRAS and find_spec(learner) is not None:  # under whichever name it was installed
        found[learner] = str(import_module(learner).__version__)
    return found


# --------------------------------------------------------------------------- the manifest's parts


def metrics_of(interval: Interval, folds: tuple[float, ...], target: Floats, p: Floats) -> ModelMetrics:
    """From the mean AUC and that of each fold, outcomes (n,) and calibrated probabilities (n,) of tested rows."""
    return ModelMetrics(
        auc=interval.estimate,
        auc_low=interval.lower,
        auc_high=interval.upper,
        gini=2.0 * interval.estimate - 1.0,
        ks=ks_statistic(target, p),
        brier=brier(target, p),
        log_loss=log_loss(target, p),
        folds=folds,
    )


def interval_of(interval: Interval) -> LearnerAuc:
    """As the manifest writes it."""
    return LearnerAuc(interval.estimate, interval.lower, interval.upper)


def risk_levels(settings: Settings) -> RiskLevels:
    """As the manifest writes them."""
    return RiskLevels(**settings.risk_levels.model_dump())


def shaping(settings: Settings) -> Json:
    """What shaped the model; threads do not, and the rest of the config may hold secrets."""
    found = settings.model_dump(mode="json", include={"threshold", "risk_levels", "learners", "prepare", "train"})
    del found["train"]["threads"]
    if not settings.train.benchmark:  # as in manifests of before there was one
        del found["train"]["benchmark"]
    if not settings.train.max_rows:
        del found["train"]["max_rows"]
    found["drift"] = {"reference_rows": settings.drift.reference_rows}
    return found


def sampled(n: int, most: int, weights: Floats | None, seed: int) -> Ints:
    """Ascending positions of at most ``most`` rows; with weights they stand for the weighted population."""
    rng = np.random.default_rng(seed)
    positions = np.arange(n)
    if weights is not None:
        # Rejection keeps rows in proportion to their weight, without drawing one twice.
        positions = positions[rng.random(n) < weights / np.quantile(weights, 0.99)]
    if len(positions) > most:
        positions = rng.choice(positions, most, replace=False)
    return np.sort(positions)


def npy(array: Floats | Ints) -> bytes:
    """A NumPy file of doubles."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array, dtype="<f8"), allow_pickle=False)
    return out.getvalue()
