"""An estimator of scikit-learn from elsewhere, as a skops file whose types are audited before anything is loaded."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.schema import Schema
from riskloop.core.types import Floats
from riskloop.scoring.columns import FILE, AdaptedEstimator, dump_columns
from riskloop.store.estimators import load_estimator
from riskloop.train.calibrate import log_odds
from riskloop.train.foreign.columns import columns_of
from riskloop.train.foreign.model import ForeignModel
from riskloop.train.learners import SKOPS


def skops_model(content: bytes, where: str, schema: Schema) -> ForeignModel:
    """A fitted classifier or pipeline. Raises ArtefactError for untrusted types, and where its classes are not 0, 1."""
    estimator = load_estimator(content, where)
    if not hasattr(estimator, "predict_proba") or not hasattr(estimator, "classes_"):
        raise ArtefactError(f"{where} holds a {type(estimator).__name__}, which gives no probabilities.")
    if not _default_second(estimator):
        raise ArtefactError(
            f"{where} separates the classes {[str(c) for c in estimator.classes_]}; they have to be 0 and 1, where 1 "
            "is a default."
        )
    names = _names(estimator)
    columns = columns_of(names, schema, {}, _texts(estimator, names))
    adapted = AdaptedEstimator(estimator, columns)

    def score(matrix: Floats) -> Floats:
        return log_odds(adapted.predict_proba(matrix)[:, 1])

    versions = {package: version(package) for package in ("scikit-learn", "skops")}
    own = f"scikit-learn {versions['scikit-learn']}"
    name = type(estimator[-1] if hasattr(estimator, "steps") else estimator).__name__
    files = {SKOPS: content, FILE: dump_columns(columns)}
    return ForeignModel("skops", name, SKOPS, files, score, own, "occlusion", versions)


def _default_second(estimator: Any) -> bool:
    try:
        return [float(c) for c in estimator.classes_] == [0.0, 1.0]
    except ValueError:
        return False


def _names(estimator: Any) -> list[str]:
    named = getattr(estimator, "feature_names_in_", None)
    return [f"x{i}" for i in range(int(estimator.n_features_in_))] if named is None else [str(name) for name in named]


def _texts(part: Any, names: Sequence[str]) -> frozenset[str]:
    """The columns of ``names`` that ``part`` reads as texts: an encoder inside learned levels that are."""
    if hasattr(part, "categories_"):
        pairs = zip(names, part.categories_, strict=False)
        return frozenset(name for name, levels in pairs if np.asarray(levels).dtype.kind in "OU")
    if hasattr(part, "transformers_"):
        known = [(entry[1], _named(entry[2], names)) for entry in part.transformers_]
        return frozenset().union(*(_texts(inner, columns) for inner, columns in known if not isinstance(inner, str)))
    if hasattr(part, "steps"):  # up to the first step that makes other columns
        return frozenset().union(*(_texts(step, names) for _, step in part.steps))
    return frozenset()


def _named(chosen: Any, names: Sequence[str]) -> list[str]:
    return [column if isinstance(column, str) else names[int(column)] for column in np.atleast_1d(chosen).tolist()]
