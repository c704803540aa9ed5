"""A foreign model and its history into a candidate: the same artefact as a model that was trained here."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import numpy as np
from msgspec.structs import replace

from riskloop.core.errors import ArtefactError, ConfigError, DataError, RiskloopError
from riskloop.core.manifest import Calibration, Imported, ModelManifest
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings
from riskloop.core.types import Floats, Rows
from riskloop.scoring.predictors import load_predictor
from riskloop.store.artefacts import Artefact
from riskloop.train.calibrate import choose_threshold, fit_calibration, level_of, levelled
from riskloop.train.candidate import (
    Candidate,
    baseline,
    describe_training,
    interval_of,
    library_versions,
    metrics_of,
    npy,
    risk_levels,
    sampled,
    shaping,
)
from riskloop.train.fitted import customers_of, reference_customers
from riskloop.train.foreign.boosters import SAID, lightgbm_model, xgboost_model
from riskloop.train.foreign.card import Closed, PointsScale, card_model
from riskloop.train.foreign.estimator import skops_model
from riskloop.train.foreign.model import ForeignModel
from riskloop.train.foreign.source import ForeignFile
from riskloop.train.validate import mean_auc, parts_of

CalibrationChoice = Literal["kept", "fitted"]

_IMPORTANCE_ROWS: Final = 1000
PRINTED: Final = 1e-6  # difference to a probability that was printed, or computed in float32


def read_model(
    found: ForeignFile, schema: Schema, matrix: Floats, scale: PointsScale | None = None, closed: Closed | None = None
) -> ForeignModel:
    """The model in a file; ``matrix`` (n, m) is the history's. Raises what the readers of each kind raise."""
    if found.kind == "scorecard":
        return card_model(found.content, found.name, schema, scale, closed, matrix)
    if scale is not None or closed is not None:
        raise ConfigError(f"{found.name} is no scorecard, so its points and limits need not be explained.")
    reader = {"lightgbm": lightgbm_model, "xgboost": xgboost_model, "skops": skops_model}[found.kind]
    try:
        return reader(found.content, found.name, schema)
    except RiskloopError:
        raise
    except Exception as error:  # noqa: BLE001 - any part of the file may be wrong
        said = str(error).partition("\n")[0][:SAID]
        raise ArtefactError(
            f"{found.name} cannot be read as a model of {found.kind} ({type(error).__name__}: {said})."
        ) from None


def adopt(
    found: ForeignFile,
    model: ForeignModel,
    rows: Rows,
    settings: Settings,
    *,
    agreement: float,
    compared_with: str,
    calibration: CalibrationChoice = "kept",
    history: str | None = None,
    immature: int = 0,
) -> Candidate:
    """The candidate of a model that was read, measured on the labelled ``rows`` of its history.

    ``agreement`` is the largest difference to what it was ``compared_with``. With calibration ``kept`` its
    probabilities stay what they are; ``fitted`` puts a line through them. Which of these rows the model was made of
    nobody knows here.
    Raises DataError for rows that it cannot be measured on.
    """
    schema, train = settings.row_schema, settings.train
    matrix, target = schema.model_matrix(rows.features), np.asarray(rows.target, dtype=np.float64)
    raw = model.score(matrix)
    if not np.isfinite(raw).all():
        raise DataError(f"{found.name} gives row {int(np.flatnonzero(~np.isfinite(raw))[0]) + 1} no finite score.")
    tests = [test for _, test in parts_of(rows, None, settings)]
    aucs, interval = mean_auc(raw, target, tests, customers_of(rows))
    tested = np.sort(np.concatenate(tests))
    level = level_of(rows.times, target, float(target[tested].mean()), train)
    line = Calibration()
    if calibration == "fitted":
        line = levelled(fit_calibration(raw[tested], target[tested]), raw[tested], rows.times[tested], train, level)
    else:
        level = replace(level, calibration="point_in_time", margin=0.0)
    p = line.apply(raw)
    reference = tested[sampled(len(tested), settings.drift.reference_rows, None, train.seed)]
    suffix = Path(found.name).suffix or ".bin"
    kept = f"imported{suffix}"
    files = {
        **model.files,
        kept: found.content,
        "reference.npy": npy(rows.features[reference]),
        "reference_scores.npy": npy(p[reference]),
        "reference_target.npy": npy(target[reference]),
        "reference_days.npy": npy(days_of(rows)[reference]),
        **reference_customers(rows.take(reference)),
    }
    imported = Imported(
        kind=found.kind,
        source=found.source,
        file=kept,
        sha256=hashlib.sha256(found.content).hexdigest(),
        calibration=calibration,
        compared_with=compared_with,
        agreement=agreement,
        reasons=model.reasons,
    )
    training = describe_training(
        rows,
        schema,
        None,
        history=history,
        record=None,
        blended=False,
        size=None,
        left_out={},
        definition=settings.outcomes.definition,
        level=level,
        immature=immature,
    )
    manifest = ModelManifest(
        learner=model.learner,
        model_file=model.model_file,
        schema=schema,
        calibration=line,
        threshold=choose_threshold(p[tested], settings.threshold),
        risk_levels=risk_levels(settings),
        metrics=metrics_of(interval, aucs, target[tested], p[tested]),
        comparison={model.learner: interval_of(interval)},
        importance={},
        training=replace(training, imported=imported),
        baseline=baseline(rows.features, schema),
        seed=train.seed,
        settings=shaping(settings),
        libraries={**library_versions(), **model.libraries},
        parent=None,
        origin="import",
    )
    manifest = replace(manifest, importance=_importance(manifest, files, matrix[reference[:_IMPORTANCE_ROWS]]))

    def predict(features: Floats) -> Floats:
        return line.apply(model.score(schema.model_matrix(features)))

    return Candidate(model.learner, files, manifest, predict)


def days_of(rows: Rows) -> Floats:
    """Days since the epoch (n,)."""
    from riskloop.core.types import DAY

    days: Floats = (rows.times // DAY).astype(np.float64)
    return days


def _importance(manifest: ModelManifest, files: Mapping[str, bytes], matrix: Floats) -> dict[str, float]:
    """Share of the mean absolute contribution, by the model as it will be loaded."""
    artefact = Artefact("import", Path("import"), "", manifest, files)
    parts = load_predictor(artefact, manifest.schema, 1).contributions(matrix)[:, :-1]
    size = np.abs(parts).mean(axis=0)
    shares = dict.fromkeys(manifest.schema.names, 0.0)
    for column, value in zip(manifest.schema.model_columns, size / (size.sum() or 1.0), strict=True):
        shares[manifest.schema.names[column]] = float(value)
    return shares


def compare_with(model: ForeignModel, matrix: Floats, scores: Floats | None, name: str) -> tuple[float, str]:
    """The largest difference between the file's own arithmetic and what its library, or a column, says; and of what.

    ``scores`` (n,) are probabilities, or a scorecard's scores; NaN where a row has none. Raises ArtefactError naming
    the row that differs most, when that is more than printed digits explain.
    """
    from scipy.special import expit

    raw = model.score(matrix)
    if scores is not None:
        there = ~np.isnan(scores)
        if not there.any():
            raise DataError(f"The column '{name}' holds no scores.")
        shares = bool(((scores[there] >= 0.0) & (scores[there] <= 1.0)).all())
        if not shares and model.points is None:
            raise DataError(f"The column '{name}' does not hold probabilities between 0 and 1.")
        ours = np.asarray(expit(raw)) if shares or model.points is None else model.points(raw)
        apart = np.where(there, np.abs(ours - scores), 0.0)
        allowed = max(PRINTED, 0.5001 * 10.0 ** -_decimals(scores[there]))
        return _agreed(apart, allowed, ours, scores, f"column {name}"), f"column {name}"
    if model.printed is None:
        return 0.0, model.own
    theirs = model.printed(matrix)
    return _agreed(np.abs(expit(raw) - theirs), PRINTED, expit(raw), theirs, "its own library"), model.own


def _agreed(apart: Floats, allowed: float, ours: Floats, theirs: Floats, whom: str) -> float:
    worst = int(np.argmax(apart))
    if not apart[worst] <= allowed:
        raise ArtefactError(
            f"Row {worst + 1} of the history scores {ours[worst]:.9g} by the file and {theirs[worst]:.9g} by {whom}; "
            f"{int((apart > allowed).sum()):,} rows differ. Nothing was registered: it is another model, or its "
            "columns or its scale are others."
        )
    return float(apart[worst])


def _decimals(scores: Floats) -> int:
    """Digits after the point that the scores were printed with, at most 12."""
    for digits in range(12):
        if np.allclose(np.round(scores, digits), scores, rtol=0.0, atol=1e-12):
            return digits
    return 12
