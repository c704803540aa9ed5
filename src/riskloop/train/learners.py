"""The learners: what may be fitted, how, and in which safe format it is kept.

Every learner makes a scikit-learn classifier over the model's matrix (`Schema.model_matrix`): float64, NaN for missing,
categories as codes.
"""

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from riskloop.core.errors import ArtefactError, ConfigError, DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import Settings
from riskloop.core.stats import effective_size, without_empty
from riskloop.core.types import Bools, Floats

Estimator = Any  # a scikit-learn classifier; scikit-learn ships no types

LIGHTGBM: Final = "model.txt"
SCORECARD: Final = "scorecard.json"
SKOPS: Final = "model.skops"

EXTRAS: Final = ("xgboost", "catboost")  # learners, packages and extras of the same name

ENOUGH_ROWS: Final = 20_000  # that bear all trees of a booster
ROWS_OF_A_BIN: Final = 50  # of a booster's columns: few rows in many bins cost time and say nothing

# The same trees on every machine, and nothing on standard output.
_REPEATABLE: Final[Mapping[str, Any]] = {"deterministic": True, "force_row_wise": True, "verbose": -1}


@dataclass(frozen=True, slots=True)
class Learner:
    """A name, and the classifier that it stands for."""

    name: str
    make: Callable[[Schema, int, int, Mapping[str, Any]], Estimator]  # schema, seed, threads, params
    params: Mapping[str, Any]
    fit_options: Callable[[Schema], Mapping[str, Any]] = lambda schema: {}
    trees: str | None = None  # parameter with the number of trees of a built-in booster, which few rows lower
    enough: float = ENOUGH_ROWS  # rows that bear just so many trees
    bins: str | None = None  # parameter with the number of bins of a column, which few rows lower
    growth: float = 1.0  # more rows bear more trees, up to so many times
    knows_codes: bool = False  # takes a number's special codes as they are

    def fit(
        self,
        schema: Schema,
        X: Floats,
        y: Bools,
        weights: Floats | None,
        seed: int,
        threads: int,
        start: Floats | None = None,
    ) -> Estimator:
        """A classifier fitted to the matrix X (n, k) and outcomes y (n,); LightGBM can ``start`` at log-odds (n,)."""
        estimator = self.make(schema, seed, threads, self.params)
        if self.trees is not None:
            rows = len(X) if weights is None else effective_size(weights)
            factor = min(self.growth, math.sqrt(rows / self.enough))
            estimator.set_params(**{self.trees: max(1, round(getattr(estimator, self.trees) * factor))})
        if self.bins is not None:
            estimator.set_params(**{self.bins: most_bins(len(X))})
        _require_missing_values(self.name, estimator, schema, X)
        if type(estimator).__module__.startswith("sklearn."):
            X = without_empty(X)  # of the first months, where a column came in the middle of the history
        options = dict(self.fit_options(schema))
        if weights is not None:
            if "sample_weight" not in inspect.signature(estimator.fit).parameters:
                raise ConfigError(f"The learner '{self.name}' takes no sample_weight, which this retraining needs.")
            options["sample_weight"] = weights
        if start is not None:
            options["init_score"] = start
        try:
            with one_thread():
                estimator.fit(X, y, **options)
        except (ValueError, TypeError) as error:
            raise DataError(f"The learner '{self.name}' cannot be fitted to this history: {error}.") from error
        return estimator


def require_learners(settings: Settings) -> None:
    """Raise ConfigError for a learner that competes and cannot be had here."""
    for name in settings.train.learners:
        learner(name, settings)


def learner(name: str, settings: Settings) -> Learner:
    """The learner called ``name``: a [learners.NAME] table, or a built-in one. Raises ConfigError."""
    if name in settings.learners:
        entry = settings.learners[name]
        path = entry.estimator
        return Learner(name, lambda *args: _custom(name, path, *args), entry.params, lambda s: _custom_options(path, s))
    if name in EXTRAS and find_spec(name) is None:
        raise ConfigError(f"The learner '{name}' needs an extra: pip install 'riskloop[{name}]'.")
    if name not in LEARNERS:
        known = ", ".join(sorted({*LEARNERS, *settings.learners}))
        raise ConfigError(f"There is no learner '{name}'; there are {known}.")
    return LEARNERS[name]


# --------------------------------------------------------------------------- built in


def _scorecard(schema: Schema, seed: int, threads: int, params: Mapping[str, Any]) -> Estimator:
    from riskloop.train.scorecard import Scorecard

    features = _model_features(schema)
    fixed = {
        "categorical": _categorical(schema),
        "monotonic_cst": _monotone(schema),
        "special": [feature.special for feature in features],
        "bins": [feature.bins for feature in features],
        "groups": [[[f.codes[level] for level in group] for group in f.groups] for f in features],
        "names": [feature.name for feature in features],
    }
    return Scorecard(**{**fixed, **params})


def _lightgbm(schema: Schema, seed: int, threads: int, params: Mapping[str, Any]) -> Estimator:
    from lightgbm import LGBMClassifier

    fixed: dict[str, Any] = {"random_state": seed, "n_jobs": threads, **lightgbm_params(schema)}
    return LGBMClassifier(**{**fixed, **params})


def lightgbm_params(schema: Schema) -> dict[str, Any]:
    """What every fit to a matrix of ``schema`` is told."""
    monotone = _monotone(schema)
    return {**_REPEATABLE, **({"monotone_constraints": monotone} if any(monotone) else {})}


def _hist_gradient_boosting(schema: Schema, seed: int, threads: int, params: Mapping[str, Any]) -> Estimator:
    from sklearn.ensemble import HistGradientBoostingClassifier

    defaults: dict[str, Any] = {
        "max_bins": 32,  # with weights every threshold costs a sort: 255 take four times as long, for no better AUC
        "early_stopping": False,
        "random_state": seed,
        "categorical_features": _categorical(schema) or None,
        "monotonic_cst": _monotone(schema),
    }
    return HistGradientBoostingClassifier(**{**defaults, **params})


def _xgboost(schema: Schema, seed: int, threads: int, params: Mapping[str, Any]) -> Estimator:
    from riskloop.train.boosters import XGBoostTrees

    return XGBoostTrees(**{**_grown(schema, seed), **params})


def _catboost(schema: Schema, seed: int, threads: int, params: Mapping[str, Any]) -> Estimator:
    from riskloop.train.boosters import CatBoostTrees

    return CatBoostTrees(**{**_grown(schema, seed), **params})


def _grown(schema: Schema, seed: int) -> dict[str, Any]:
    return {"random_state": seed, "categorical": _categorical(schema), "monotonic_cst": _monotone(schema)}


def _lightgbm_options(schema: Schema) -> Mapping[str, Any]:
    return {"categorical_feature": _categorical(schema)}


# A challenger of a new world learns from few rows, and the trees that suit a whole history learn their noise: all trees
# from ENOUGH_ROWS on, by the square root of the rows' share below.
LEARNERS: Final[Mapping[str, Learner]] = {
    "scorecard": Learner("scorecard", _scorecard, {}, knows_codes=True),
    "lightgbm": Learner(
        "lightgbm",
        _lightgbm,
        # shallow trees keep exact reasons cheap at scoring time
        {"n_estimators": 250, "num_leaves": 8, "learning_rate": 0.05, "min_child_samples": 50},
        _lightgbm_options,
        trees="n_estimators",
        bins="max_bin",
    ),
    "hist_gradient_boosting": Learner(
        "hist_gradient_boosting",
        _hist_gradient_boosting,
        {"max_iter": 150, "max_leaf_nodes": 8, "learning_rate": 0.08, "min_samples_leaf": 50},
        trees="max_iter",
    ),
    "xgboost": Learner(
        "xgboost",
        _xgboost,
        {"n_estimators": 250, "max_leaves": 8, "learning_rate": 0.05},
        trees="n_estimators",
        bins="max_bin",
    ),
    "catboost": Learner(
        "catboost",
        _catboost,
        {"iterations": 250, "depth": 3, "learning_rate": 0.08},
        trees="iterations",
    ),
}

# Trees that correct a former model by the rows of a changed world.
CORRECTION: Final = Learner(
    "correction",
    _lightgbm,
    {"n_estimators": 60, "num_leaves": 8, "learning_rate": 0.1, "min_child_samples": 30},
    _lightgbm_options,
    trees="n_estimators",
)


def most_bins(rows: int) -> int:
    """How many bins the values of a column are put into."""
    return min(255, max(63, rows // ROWS_OF_A_BIN))


def halved(entry: Learner) -> Learner:
    """A booster with half of the trees, each of which goes twice as far."""
    trees, rate = int(entry.params[str(entry.trees)]), float(entry.params["learning_rate"])
    return replace(entry, params={**entry.params, str(entry.trees): max(1, trees // 2), "learning_rate": 2 * rate})


def _model_features(schema: Schema) -> list[Feature]:
    return [schema.features[i] for i in schema.model_columns]


def _categorical(schema: Schema) -> list[int]:
    return [j for j, f in enumerate(_model_features(schema)) if f.kind == "category"]


def _monotone(schema: Schema) -> list[int]:
    """One constraint a column; the levels of a category have no order to be monotone in."""
    features = _model_features(schema)
    for feature in features:
        if feature.kind == "category" and feature.monotone:
            raise ConfigError(
                f"[features.{feature.name}] is a category, which cannot be monotone; make it a number, "
                "or remove 'monotone'."
            )
    return [f.monotone for f in features]


# --------------------------------------------------------------------------- from the config


def _custom(name: str, path: str, schema: Schema, seed: int, threads: int, params: Mapping[str, Any]) -> Estimator:
    """Import the class that the config names, and nothing else."""
    module, _, attribute = path.rpartition(".")
    try:
        fixed = lightgbm_params(schema) if path.startswith("lightgbm.") else {}
        made = getattr(importlib.import_module(module), attribute)(**{**fixed, **params})
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"The estimator '{path}' of [learners.{name}] cannot be imported: {error}.") from None
    except TypeError as error:
        raise ConfigError(f"The params of [learners.{name}] do not fit {path}: {error}.") from None
    if not (callable(getattr(made, "fit", None)) and hasattr(type(made), "predict_proba")):
        raise ConfigError(
            f"'{path}' of [learners.{name}] is no classifier with probabilities: it needs fit and predict_proba."
        )
    known = made.get_params() if hasattr(made, "get_params") else {}
    wanted = {"random_state": seed}
    if not path.startswith("sklearn."):  # whose default is one thread, and which warns where n_jobs has no effect
        wanted["n_jobs"] = threads
    wanted |= _constraints(schema, known)
    chosen = {key: value for key, value in wanted.items() if key in known and key not in params}
    return made.set_params(**chosen) if chosen else made


def _constraints(schema: Schema, known: Mapping[str, Any]) -> dict[str, Any]:
    """Monotone features, as the estimators say it that can hold them; and columns of codes, as those of riskloop do."""
    monotone = _monotone(schema)
    told = {"monotonic_cst": monotone, "monotone_constraints": monotone} if any(monotone) else {}
    return {**told, **({"categorical": _categorical(schema)} if "categorical" in known else {})}


def _custom_options(path: str, schema: Schema) -> Mapping[str, Any]:
    return _lightgbm_options(schema) if path.startswith("lightgbm.") else {}


def _require_missing_values(name: str, estimator: Estimator, schema: Schema, X: Floats) -> None:
    """Refuse before fitting: an imputer behind the user's back would hide missing values from everybody."""
    from sklearn.utils import get_tags

    allowed = get_tags(estimator).input_tags.allow_nan
    features = _model_features(schema)
    open_ones = [f.name for j, f in enumerate(features) if f.nullable or f.unseen == "flag" or np.isnan(X[:, j]).any()]
    if open_ones and not allowed:
        raise ConfigError(
            f"The learner '{name}' cannot take missing values, which '{open_ones[0]}' may have; choose another "
            'learner, or set nullable = false and unseen = "refuse".'
        )


def one_thread() -> AbstractContextManager[Any]:
    """A context in which BLAS, and OpenMP in this thread, use one thread; LightGBM keeps its own number.

    Sums in parallel depend on the number of threads in their last bits, and on a busy machine threads wait for each
    other, tenfold.
    """
    context: AbstractContextManager[Any] = _libraries(len(sys.modules)).limit(limits=1)
    return context


@lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:
    """The libraries of numbers that are loaded, looked for anew when an import may have brought one: it takes 5 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def require_known(estimator: Estimator) -> None:
    """Raise ArtefactError unless ``estimator`` separates exactly the classes 0 and 1."""
    if [float(c) for c in estimator.classes_] != [0.0, 1.0]:
        raise ArtefactError(f"The estimator separates the classes {list(estimator.classes_)}, not 0 and 1.")
