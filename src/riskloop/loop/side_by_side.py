"""Two versions on the same customers: what a person compares before and after a promotion.

The rows are a bounded, evenly spread sample of the latest matured decisions that neither version was trained on, so
that the comparison takes as long after a million decisions as after ten thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from riskloop.core import stats
from riskloop.core.manifest import TrainingRecord
from riskloop.core.schema import Schema
from riskloop.core.types import Bools, DecisionFrame, Floats, Json
from riskloop.loop.evidence import protected_groups
from riskloop.loop.snapshot import without_quarantine
from riskloop.retrain.dataset import unseen_sources
from riskloop.scoring.model import Model, load_model
from riskloop.store.home import Home
from riskloop.store.maturity import OutcomeFeed
from riskloop.store.windows import Windows

MOST: Final = 4000  # decisions
WINDOWS: Final = 12  # the latest matured ones
TENTHS: Final = 10
EDGES: Final = 40  # bins of the score distribution
LEAST: Final = 10  # of either class in a segment


@dataclass(frozen=True)
class _Version:
    """One version's scores of the rows."""

    model: Model
    probabilities: Floats


def side_by_side(home: Home, first: int, second: int, now: datetime) -> Json:
    """ROC, calibration, score distribution, approval rate and segments of two versions; plain JSON.

    Only ``rows`` and ``defaults`` are there while too few decisions are final that neither was trained on, and
    ``apart`` where the two read other features.
    """
    artefacts = [home.artefact(version) for version in (first, second)]
    schema = artefacts[0].manifest.schema
    second_schema = artefacts[1].manifest.schema
    if not second_schema.alike(schema):
        return {"rows": 0, "defaults": 0, "apart": second_schema.apart(schema) or ["they stand in another order"]}
    records = [artefact.manifest.training.record for artefact in artefacts]
    frame = _unseen(home.feed, home.windows, records, schema, now)
    known = np.flatnonzero(~np.isnan(frame.outcomes))
    labels, features, times = frame.outcomes[known], frame.features[known], frame.times[known]
    defaults = int(labels.sum())
    if min(defaults, labels.size - defaults) < LEAST:
        return {"rows": int(labels.size), "defaults": defaults}
    scored = [
        _Version(model, model.probabilities(features))
        for model in (load_model(a, v) for a, v in zip(artefacts, (first, second), strict=True))
    ]
    return {
        "rows": int(labels.size),
        "defaults": defaults,
        "first_time": int(times.min()),
        "last_time": int(times.max()),
        "versions": [_measures(labels, one) for one in scored],
        "segments": _segments(labels, features, scored),
    }


def _unseen(
    feed: OutcomeFeed, windows: Windows, records: Sequence[TrainingRecord | None], schema: Schema, now: datetime
) -> DecisionFrame:
    """A spread sample of the latest decisions that are final, sound, and new to both models, coded by the schema."""
    parts = []
    for first, last in windows.matured_spans(WINDOWS):
        ids = np.arange(first, last + 1, dtype=np.int64)
        for record in records:
            ids = ids[unseen_sources(record, ids)]
        parts.append(ids)
    ids = np.concatenate([np.empty(0, np.int64), *parts])
    sample = ids[:: max(1, -(-ids.size // MOST))].tolist()
    return without_quarantine(windows, feed.decisions.chosen(sample, feed.maturity(now), schema=schema))


def _measures(labels: Floats, one: _Version) -> Json:
    p, threshold = one.probabilities, one.model.threshold
    interval = stats.auc_interval(labels, p)
    declined, found = stats.roc_curve(labels, p)
    return {
        "version": one.model.version,
        "auc": interval.estimate,
        "auc_low": interval.lower,
        "auc_high": interval.upper,
        "ks": stats.ks_statistic(labels, p),
        "brier": stats.brier(labels, p),
        "log_loss": stats.log_loss(labels, p),
        "threshold": threshold,
        "mean_pd": float(p.mean()),
        "approval_rate": float((p < threshold).mean()),
        "roc": {"x": declined.tolist(), "y": found.tolist()},
        "calibration": _tenths(labels, p),
        "scores": _distribution(p),
    }


def _tenths(labels: Floats, p: Floats) -> Json:
    parts = np.array_split(np.argsort(p, kind="stable"), TENTHS)
    return {
        "expected": [float(p[part].mean()) for part in parts if part.size],
        "observed": [float(labels[part].mean()) for part in parts if part.size],
    }


def _distribution(p: Floats) -> Json:
    counts, edges = np.histogram(p, bins=EDGES, range=(0.0, 1.0))
    return {"edges": edges[:-1].tolist(), "shares": (counts / p.size).tolist()}


def _segments(labels: Floats, features: Floats, scored: list[_Version]) -> list[Json]:
    """AUC and approval rate of both versions in every protected group that is large enough."""
    found = []
    for name, groups in protected_groups(scored[0].model.schema, features).items():
        for group in sorted(np.unique(groups).tolist(), key=stats.group_order):
            part: Bools = np.asarray(groups) == group
            size, defaults = int(part.sum()), int(labels[part].sum())
            if min(defaults, size - defaults) < LEAST:
                continue
            found.append(
                {
                    "segment": f"{name} = {group}",
                    "rows": size,
                    "defaults": defaults,
                    "versions": [_segment(labels[part], one.probabilities[part], one.model) for one in scored],
                }
            )
    return found


def _segment(labels: Floats, p: Floats, model: Model) -> Json:
    interval = stats.auc_interval(labels, p)
    approved = float((p < model.threshold).mean())
    return {"auc": interval.estimate, "low": interval.lower, "high": interval.upper, "approval_rate": approved}
