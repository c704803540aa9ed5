"""What a champion is held against: tuned LightGBM, XGBoost, CatBoost and optbinning's scorecard on the same rows."""

import importlib
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

from benchmarks._shapes import Shape
from riskloop.core.schema import Schema
from riskloop.core.stats import auc, customer_codes
from riskloop.core.types import Floats, Ints

RATE, PATIENCE, MOST_TREES = 0.05, 50, 3000
warnings.filterwarnings("ignore", message="The argument 'eval_set' is deprecated")


class Table:
    """A shape's rows as the rivals want them: pandas categories, and a fifth of the customers to stop by."""

    def __init__(self, shape: Shape) -> None:
        schema = shape.settings.row_schema
        self.categories = [f.name for f in schema.features if f.kind == "category"]
        self.train, self.test = frame(shape.train.features, schema), frame(shape.test.features, schema)
        self.y = np.asarray(shape.train.target)
        customers = customer_codes(shape.train.ids)
        held = np.random.default_rng(0).permutation(int(customers.max()) + 1)[customers] % 5 == 0
        self.fitted, self.held = np.flatnonzero(~held), np.flatnonzero(held)

    def parts(self) -> tuple[Any, Any, Any, Any]:
        """What is fitted to and what is stopped by."""
        return self.train.iloc[self.fitted], self.y[self.fitted], self.train.iloc[self.held], self.y[self.held]


def frame(features: Floats, schema: Schema) -> pd.DataFrame:
    """Coded rows as a frame; missing levels are a level of their own, which all rivals understand."""
    columns: dict[str, Any] = {}
    for feature, column in zip(schema.features, features.T, strict=True):
        if feature.kind == "category":
            codes: Ints = np.where(np.isnan(column), -1, column).astype(np.int64)
            columns[feature.name] = pd.Categorical(codes, categories=range(-1, len(feature.categories) + 1))
        else:
            columns[feature.name] = column
    return pd.DataFrame(columns)


def lightgbm_rival(table: Table) -> tuple[Floats, float]:
    """Scores of the test rows, and the processor time of one fit with early stopping."""
    import lightgbm

    X, y, V, w = table.parts()
    fixed = {"learning_rate": RATE, "colsample_bytree": 0.7, "subsample": 0.8, "subsample_freq": 1}
    best: tuple[float, dict[str, Any]] | None = None
    seconds = 0.0
    for leaves in (4, 8, 31):
        params = {**fixed, "num_leaves": leaves, "n_jobs": 1, "verbose": -1, "random_state": 0}
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        started = time.process_time()
        model = lightgbm.LGBMClassifier(n_estimators=MOST_TREES, **params)
        model.fit(X, y, eval_set=[(V, w)], eval_metric="auc", callbacks=[stop])
        seconds = max(seconds, time.process_time() - started)
        found = float(model.best_score_["valid_0"]["auc"]), {**params, "n_estimators": model.best_iteration_}
        best = found if best is None or found[0] > best[0] else best
    assert best is not None
    final = lightgbm.LGBMClassifier(**best[1]).fit(table.train, table.y)
    return np.asarray(final.predict_proba(table.test)[:, 1]), seconds


def xgboost_rival(table: Table) -> Floats:
    """Scores of the test rows."""
    xgboost = importlib.import_module("xgboost")
    X, y, V, w = table.parts()
    best: tuple[float, dict[str, Any]] | None = None
    for depth in (2, 3, 5):
        params = {
            "max_depth": depth, "learning_rate": RATE, "colsample_bytree": 0.7, "subsample": 0.8, "n_jobs": 1,
            "enable_categorical": True, "random_state": 0,
        }  # fmt: skip
        stop = {"early_stopping_rounds": PATIENCE, "eval_metric": "auc"}
        model = xgboost.XGBClassifier(n_estimators=MOST_TREES, **stop, **params)
        model.fit(X, y, eval_set=[(V, w)], verbose=False)
        found = float(model.best_score), {**params, "n_estimators": model.best_iteration + 1}
        best = found if best is None or found[0] > best[0] else best
    assert best is not None
    return np.asarray(xgboost.XGBClassifier(**best[1]).fit(table.train, table.y).predict_proba(table.test)[:, 1])


def catboost_rival(table: Table) -> Floats:
    """Scores of the test rows."""
    catboost = importlib.import_module("catboost")
    X, y, V, w = table.parts()
    best: tuple[float, dict[str, Any]] | None = None
    for depth in (4, 6):
        params = {
            "depth": depth, "learning_rate": RATE, "thread_count": 1, "verbose": False, "random_seed": 0,
            "cat_features": table.categories, "allow_writing_files": False,
        }  # fmt: skip
        stop = {"iterations": 1500, "early_stopping_rounds": PATIENCE, "eval_metric": "Logloss"}
        model = catboost.CatBoostClassifier(**stop, **params)
        model.fit(X, y, eval_set=(V, w))
        found = auc(w, model.predict_proba(V)[:, 1]), {**params, "iterations": model.best_iteration_ + 1}
        best = found if best is None or found[0] > best[0] else best
    assert best is not None
    return np.asarray(catboost.CatBoostClassifier(**best[1]).fit(table.train, table.y).predict_proba(table.test)[:, 1])


def optbinning_rival(table: Table) -> Floats:
    """Scores of the test rows by a scorecard on optimally binned columns."""
    optbinning = importlib.import_module("optbinning")
    from sklearn.linear_model import LogisticRegression

    names = list(table.train)
    fitted, test = (frame.astype(dict.fromkeys(table.categories, float)) for frame in (table.train, table.test))
    process = optbinning.BinningProcess(names, categorical_variables=table.categories)

    def evidence(rows: Ints, *frames: pd.DataFrame) -> list[Floats]:
        process.fit(fitted.iloc[rows], table.y[rows])
        return [process.transform(f, metric="woe", metric_missing="empirical").to_numpy() for f in frames]

    known, held = evidence(table.fitted, fitted.iloc[table.fitted], fitted.iloc[table.held])
    penalties = (0.01, 0.1, 1.0)
    fits = [LogisticRegression(C=c, max_iter=500).fit(known, table.y[table.fitted]) for c in penalties]
    aucs = [auc(table.y[table.held], fit.predict_proba(held)[:, 1]) for fit in fits]
    known, last = evidence(np.arange(len(table.y)), fitted, test)
    best = LogisticRegression(C=penalties[int(np.argmax(aucs))], max_iter=500).fit(known, table.y)
    return np.asarray(best.predict_proba(last)[:, 1])


RIVALS: Final[dict[str, Callable[[Table], Floats]]] = {
    "xgboost": xgboost_rival,
    "catboost": catboost_rival,
    "optbinning": optbinning_rival,
}


def installed() -> list[str]:
    """The rivals that can be had here; the others are named on the terminal."""
    found = ["lightgbm"]
    for name in RIVALS:
        try:
            importlib.import_module(name)
            found.append(name)
        except ImportError:
            print(f"{name} is NOT INSTALLED and no rival here: pip install 'riskloop[bench]'")
    return found
