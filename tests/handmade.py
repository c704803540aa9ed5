"""Scorecards made by hand, with everything that the artefact of a trained model holds."""

import io
import json
from datetime import datetime
from typing import Any

import numpy as np
from msgspec.structs import replace

from riskloop.core.manifest import (
    Calibration,
    LearnerAuc,
    ModelManifest,
    ModelMetrics,
    RiskLevels,
    Training,
    TrainingRecord,
)
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Floats, Json
from riskloop.scoring.predictors import ScorecardPredictor
from riskloop.store.home import Home
from riskloop.train.candidate import baseline, library_versions

CARD = "scorecard.json"
ROWS = 200  # of the reference


def manifest(schema: Schema, **changes: Any) -> ModelManifest:
    """A complete manifest of a scorecard; ``changes`` replace parts of it."""
    auc = LearnerAuc(0.75, 0.73, 0.77)
    whole = ModelManifest(
        learner="scorecard",
        model_file=CARD,
        schema=schema,
        calibration=Calibration(),
        threshold=0.5,
        risk_levels=RiskLevels(0.1, 0.25, 0.5),
        metrics=ModelMetrics(
            auc=0.75, auc_low=0.73, auc_high=0.77, gini=0.5, ks=0.4, brier=0.15, log_loss=0.45, folds=(0.74, 0.76)
        ),
        comparison={"scorecard": auc},
        importance=dict.fromkeys(schema.names, 0.0),
        training=Training(
            rows=1000,
            defaults=200,
            first_time=None,
            last_time=None,
            weighted=False,
            fingerprint="0" * 64,
            history=None,
            record=None,
        ),
        baseline=baseline(_rows(schema), schema),
        seed=1,
        settings={"train": {"folds": 2}},
        libraries=library_versions(),
        parent=None,
        origin="train",
    )
    return replace(whole, **changes)


def record(**changes: Any) -> TrainingRecord:
    """A complete training record; ``changes`` replace parts of it."""
    whole = TrainingRecord(
        fingerprint="0" * 64,
        rows=1000,
        defaults=200,
        decisions=(),
        history=((0, 999),),
        explored=0,
        weighting="uniform",
        since=None,
        effective_size=1000.0,
    )
    return replace(whole, **changes)


def files(schema: Schema, card: Json) -> dict[str, bytes]:
    """The files beside a manifest: the scorecard, and a reference that it has scored itself."""
    content, rows = json.dumps(card).encode(), _rows(schema)
    raw = ScorecardPredictor(content, CARD).raw(schema.model_matrix(rows))
    p = 1.0 / (1.0 + np.exp(-raw))
    outcomes = np.random.default_rng(2).random(ROWS) < p
    arrays = {"reference": rows, "reference_scores": p, "reference_target": outcomes.astype(float)}
    return {CARD: content, **{f"{name}.npy": _npy(array) for name, array in arrays.items()}}


def register(home: Home, whole: ModelManifest, card: Json, at: datetime) -> int:
    """Store and number a scorecard made by hand."""
    artefact = home.artefacts.write(whole, files(whole.schema, card))
    return home.ledger.register(
        created_at=at,
        learner=whole.learner,
        artefact=artefact.name,
        sha256=artefact.sha256,
        origin=whole.origin,
        auc=whole.metrics.auc,
    )


def _rows(schema: Schema) -> Floats:
    rng = np.random.default_rng(1)
    return np.stack([_column(feature, rng) for feature in schema.features], axis=1)


def _column(feature: Feature, rng: np.random.Generator) -> Floats:
    if feature.kind == "category":
        return rng.integers(0, len(feature.categories), ROWS).astype(float)
    low, high = np.clip(feature.range, 0.0, 10.0)
    return rng.uniform(low, high, ROWS)


def _npy(array: Floats) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()
