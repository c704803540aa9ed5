"""The champion of a first training against tuned LightGBM, XGBoost and CatBoost, on histories of many shapes.

    python -m benchmarks.learners [--quick] [--data FILE.csv --target COL] [SHAPE ...]

Every model learns from the same rows and is judged on the same others. The rivals' depth and number of trees are chosen
by early stopping on a fifth of the customers, then they are fitted to all rows; optbinning's scorecard chooses its
penalty so. Those that are not installed (pip install 'riskloop[bench]') are skipped, with a word. `gap` is the best
rival's AUC minus the champion's, beside the error of the pair; `ece` the calibration error over ten grades, beside its
95% limit by chance; `time` the processor time of the training per learner, in times of one LightGBM fit with early
stopping. With --data a CSV without dates is cut in two.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._shapes import SHAPES, Shape, make
from riskloop.core.schema import Schema
from riskloop.core.settings import parse_settings
from riskloop.core.stats import auc, customer_codes, paired_delong
from riskloop.core.types import Floats, Ints
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.train.fit import fit

RATE, PATIENCE, MOST_TREES = 0.05, 50, 3000
QUICK = ("few", "home_equity", "gaps", "code_tree")
HARMLESS_GAP, HARMLESS_ECE = 0.003, 0.01


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


def calibration_error(p: Floats, y: Floats, learned: int, grades: int = 10) -> tuple[float, float]:
    """Mean distance of PD and rate over grades of equal size, and its 95% limit for PDs that are the truth but for
    their level, which was learned from so many rows.
    """
    order = np.array_split(np.argsort(p, kind="stable"), grades)

    def error(pd: Floats, outcomes: Floats) -> float:
        return float(sum(abs(pd[g].mean() - outcomes[g].mean()) * len(g) for g in order) / len(p))

    rng = np.random.default_rng(0)
    level = 1.0 / np.sqrt(learned * (p * (1.0 - p)).mean())
    chance = []
    for shift in rng.normal(0.0, level, 200):
        truth = 1.0 / (1.0 + np.exp(-(np.log(p / (1.0 - p)) + shift)))
        chance.append(error(p, (rng.random(len(p)) < truth).astype(np.float64)))
    return error(p, y), float(np.quantile(chance, 0.95))


def from_file(path: Path, target: str) -> Shape:
    """A labelled CSV, of which seven tenths are learned from."""
    settings = parse_settings(infer_config(path, target=target))
    rows = rows_from(path, settings.row_schema, target="required", where=path.name)
    order = np.random.default_rng(0).permutation(len(rows))
    cut = int(0.7 * len(rows))
    return Shape(path.stem, settings, rows.take(np.sort(order[:cut])), rows.take(np.sort(order[cut:])))


def judge(shape: Shape, rivals: dict[str, Callable[[Table], Floats]]) -> str:
    """One line of the table."""
    table, y = Table(shape), np.asarray(shape.test.target)
    customers = customer_codes(shape.test.ids)
    train = shape.settings.train.model_copy(update={"threads": 1})
    settings = shape.settings.model_copy(update={"train": train})
    started = time.process_time()
    candidate = fit(replace(shape.train), settings)
    spent = (time.process_time() - started) / len(train.learners)
    p = candidate.predict(shape.test.features)
    scores, one_fit = lightgbm_rival(table)
    found = {"lightgbm": scores, **{name: rival(table) for name, rival in rivals.items()}}
    areas = {name: auc(y, s) for name, s in found.items()}
    best = max(areas, key=lambda name: areas[name])
    pair = paired_delong(y, p, found[best], customers=customers)
    ece, chance = calibration_error(p, y, int(np.unique(customer_codes(shape.train.ids)).size))
    good = pair.difference <= max(HARMLESS_GAP, 1.96 * pair.std_error) and ece <= max(HARMLESS_ECE, chance)
    size = candidate.manifest.training.size
    trees = f"{size.trees} x {size.leaves}" if size else "-"
    return (
        f"{shape.name:<14} {candidate.learner:<22} {auc(y, p):.4f}  {best:<8} {areas[best]:.4f}  "
        f"{pair.difference:+.4f} ±{1.96 * pair.std_error:.4f}  {ece:.4f} ({chance:.4f})  {spent / one_fit:5.1f}  "
        f"{trees:<10} {'yes' if good else 'NO'}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", choices=[[], *SHAPES], metavar="SHAPE")
    parser.add_argument("--quick", action="store_true", help="four small shapes")
    parser.add_argument("--data", type=Path, help="a labelled CSV beside the shapes")
    parser.add_argument("--target", default="default.payment.next.month", help="its target")
    parser.add_argument("--seed", type=int, default=0, help="of the generated histories")
    given = parser.parse_args()
    rivals: dict[str, Callable[[Table], Floats]] = {}
    known = (("xgboost", xgboost_rival), ("catboost", catboost_rival), ("optbinning", optbinning_rival))
    for name, rival in known:
        try:
            importlib.import_module(name)
            rivals[name] = rival
        except ImportError:
            print(f"{name} is NOT INSTALLED and no rival here: pip install {name}")
    print(
        f"{'history':<14} {'champion':<22} {'AUC':<7} {'rival':<8} {'AUC':<7} {'gap':<16}  {'ece (limit)':<15}  "
        f"{'time':<5}  {'trees':<10} good"
    )
    if given.data is not None:
        print(judge(from_file(given.data, given.target), rivals), flush=True)
        if not given.shapes:
            return
    fit(make("few").train, make("few").settings)  # the imports are paid for
    for name in given.shapes or (QUICK if given.quick else SHAPES):
        print(judge(make(name, given.seed), rivals), flush=True)


if __name__ == "__main__":
    main()
