"""A lender with models of its own: a history, and the files that other tools wrote of it."""

import csv
import io
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skops import io as skops_io

Frame = Any  # a pandas frame of this module, whose cells have the types that are written here

CONFIG = """
[portfolio]
target = "bad"
id = "id"
outcome_window = "30d"
[features.debt]
[features.income]
nullable = true
[features.job]
kind = "category"
categories = ["owner", "clerk", "nurse", "never seen"]
unseen = "flag"
nullable = true
[features.region]
kind = "category"
categories = ["3", "1", "2"]
[features.sex]
kind = "category"
categories = ["f", "m"]
protected = true
[train]
folds = 3
learners = ["scorecard"]
[windows]
by = "count"
size = 600
due = "any"
[gate]
min_defaults = 20
"""
INPUTS = ["debt", "income", "job", "region"]


def people(n: int = 1200, seed: int = 0) -> Frame:
    """Customers with their outcome."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"c{seed}-{i}" for i in range(n)],
            "debt": rng.integers(0, 40, n) / 10.0,
            "income": rng.lognormal(1, 0.5, n).round(3),
            "job": rng.choice(["owner", "clerk", "nurse"], n),
            "region": rng.choice([1, 2, 3], n),
            "sex": rng.choice(["f", "m"], n),
        }
    )
    z = frame.debt - 0.6 * frame.income + 1.2 * (frame.job == "nurse") - 0.8 * (frame.region == 2) - 1.4
    frame.loc[rng.random(n) < 0.1, "income"] = np.nan
    frame.loc[rng.random(n) < 0.1, "job"] = np.nan
    frame["bad"] = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int)
    return frame


def coded(frame: Frame, *, region: bool = True) -> Frame:
    """The inputs, categories as pandas has them."""
    inputs = frame[INPUTS].copy()
    inputs["job"] = pd.Categorical(inputs["job"], categories=["clerk", "nurse", "owner"])
    if region:
        inputs["region"] = pd.Categorical(inputs["region"], categories=[1, 2, 3])
    return inputs


def dummies(frame: Frame) -> Frame:
    """A column of zeros and ones for each level."""
    return pd.get_dummies(frame[INPUTS], columns=["job", "region"]).astype(np.float64)


def lightgbm_text(X: Any, y: Any, **params: Any) -> bytes:
    chosen = {"n_estimators": 40, "num_leaves": 12, "verbose": -1, "n_jobs": 1, "min_child_samples": 5, **params}
    text: str = lightgbm.LGBMClassifier(**chosen).fit(X, y).booster_.model_to_string()
    return text.encode()


def xgboost_json(X: Any, y: Any, raw: str = "json", **params: Any) -> bytes:
    import xgboost

    chosen = {"n_estimators": 30, "max_depth": 3, "n_jobs": 1, "enable_categorical": True, **params}
    return bytes(xgboost.XGBClassifier(**chosen).fit(X, y).get_booster().save_raw(raw))


def pipeline(frame: Frame) -> Any:
    """Text categories, imputed and scaled numbers, a logistic regression: what many a lender has."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["debt", "income"]),
            ("levels", OneHotEncoder(handle_unknown="ignore"), ["job", "region"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame[INPUTS], frame["bad"])


def skops_bytes(estimator: Any) -> bytes:
    return bytes(skops_io.dumps(estimator))


CARD = [
    ("feature", "from", "to", "level", "points"),
    ("base points", "", "", "", "420"),
    ("debt", "", "1", "", "60"),
    ("debt", "1", "2.5", "", "25.5"),
    ("debt", "2.5", "", "", "-10"),
    ("income", "", "2", "", "5"),
    ("income", "2", "5", "", "30"),
    ("income", "5", "", "", "52"),
    ("income", "", "", "missing", "8"),
    ("job", "", "", "nurse", "-12"),
    ("job", "", "", "clerk|owner", "20"),
    ("job", "", "", "other", "0"),
    ("region", "", "", "2", "31"),
    ("region", "", "", "other", "4"),
]
SCALE = (600.0, 30.0, 20.0)


def card_csv(rows: Any = None) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(CARD if rows is None else rows)
    return text.getvalue().encode()


def card_score(row: Any, *, closed: str) -> float:
    """The card by hand, for one customer."""

    def low(value: float, limit: float) -> bool:
        return value <= limit if closed == "right" else value < limit

    score = 420.0 + (60.0 if low(row.debt, 1) else 25.5 if low(row.debt, 2.5) else -10.0)
    score += 8.0 if pd.isna(row.income) else 5.0 if low(row.income, 2) else 30.0 if low(row.income, 5) else 52.0
    score += {"nurse": -12.0, "clerk": 20.0, "owner": 20.0}.get(row.job, 0.0)
    return score + (31.0 if row.region == 2 else 4.0)


def files(folder: Path, frame: Frame) -> dict[str, Path]:
    """One file of each kind."""
    contents = {
        "lightgbm": ("champion.txt", lightgbm_text(coded(frame), frame["bad"])),
        "xgboost": ("champion.json", xgboost_json(coded(frame), frame["bad"])),
        "skops": ("champion.skops", skops_bytes(pipeline(frame))),
        "scorecard": ("card.csv", card_csv()),
    }
    for name, content in contents.values():
        (folder / name).write_bytes(content)
    return {kind: folder / name for kind, (name, _) in contents.items()}
