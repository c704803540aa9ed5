"""XGBoost and CatBoost as scikit-learn classifiers whose log-odds are doubles; each needs an extra.

Both are fitted by their own library, in one thread: sums of several threads differ in their last bits, and the same
history must train the same bytes on every machine.
"""

import importlib
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from riskloop.core.types import Floats
from riskloop.train.float32 import base_margin, catboost_text, xgboost_text

_LARGEST: Final = float(np.finfo(np.float32).max)


class GrownTrees(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn ships no types
    """Boosted trees over a matrix with NaN for missing and codes in the ``categorical`` columns."""

    categorical: Sequence[int]
    monotonic_cst: Sequence[int] | None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Grow trees for X (n, k) and y (n,) of two classes."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
        self.classes_, default = np.unique(y, return_inverse=True)
        if self.classes_.size != 2:
            raise ValueError("Only binary classification is supported; this target has not two classes.")
        self.levels_ = {j: _levels(X[:, j]) for j in self.categorical}
        self._grow(X, default, sample_weight)
        return self

    @abstractmethod
    def _grow(self, X: Floats, y: Any, weight: Any) -> None: ...

    @abstractmethod
    def text(self) -> bytes:
        """The trees as LightGBM's text, whose log-odds are those of `decision_function`."""

    @abstractmethod
    def _raw(self, X: Floats) -> Floats: ...

    def decision_function(self, X: Any) -> Floats:
        """Log-odds of the second class (n,), in doubles, by the library's own way through its trees."""
        check_is_fitted(self)
        return self._raw(validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False))

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities of both classes, shape (n, 2)."""
        from scipy.special import expit

        p = expit(self.decision_function(X))
        return np.column_stack((1.0 - p, p))

    def predict(self, X: Any) -> Any:
        """The likelier class of every row."""
        return self.classes_[(self.decision_function(X) > 0.0).astype(np.int64)]

    def __sklearn_tags__(self) -> Any:
        """Missing values are welcome; two classes only."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        return tags


def _levels(column: Floats) -> int:
    there = column[~np.isnan(column)]
    return int(there.max()) + 1 if there.size else 1


class XGBoostTrees(GrownTrees):
    """XGBoost. Its own sum is in float32; `decision_function` sums the same leaves in doubles."""

    def __init__(
        self,
        n_estimators: int = 250,
        max_leaves: int = 8,
        learning_rate: float = 0.05,
        min_child_weight: float = 5.0,
        reg_lambda: float = 1.0,
        colsample_bytree: float = 1.0,
        max_bin: int = 256,
        categorical: Sequence[int] = (),
        monotonic_cst: Sequence[int] | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_leaves = max_leaves
        self.learning_rate = learning_rate
        self.min_child_weight = min_child_weight  # least sum of p·(1 - p) in a leaf
        self.reg_lambda = reg_lambda
        self.colsample_bytree = colsample_bytree
        self.max_bin = max_bin
        self.categorical = categorical
        self.monotonic_cst = monotonic_cst
        self.random_state = random_state

    def _grow(self, X: Floats, y: Any, weight: Any) -> None:
        own = ("max_leaves", "learning_rate", "min_child_weight", "reg_lambda", "colsample_bytree", "max_bin")
        params: dict[str, Any] = {name: getattr(self, name) for name in own}
        if self.monotonic_cst is not None and any(self.monotonic_cst):
            params["monotone_constraints"] = tuple(self.monotonic_cst)
        params |= {"objective": "binary:logistic", "tree_method": "hist", "grow_policy": "lossguide", "max_depth": 0}
        params |= {"nthread": 1, "seed": self.random_state, "verbosity": 0, "max_cat_threshold": 64}
        data = self._matrix(X, label=y, weight=weight)
        self.booster_ = importlib.import_module("xgboost").train(params, data, num_boost_round=self.n_estimators)
        self.document_ = json.loads(bytes(self.booster_.save_raw("json")))
        trees = self.document_["learner"]["gradient_booster"]["model"]["trees"]
        self.values_ = [np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64) for tree in trees]

    def _matrix(self, X: Floats, **more: Any) -> Any:
        # Codes that no training row had are unknown to the trees as a missing value is.
        for j, levels in self.levels_.items():
            X = np.where((np.arange(X.shape[1]) == j) & (levels <= X), np.nan, X)
        X = np.clip(X, -_LARGEST, _LARGEST)  # XGBoost refuses what it takes for infinite
        kinds = ["c" if j in self.levels_ else "q" for j in range(X.shape[1])]
        options = {"feature_types": kinds, "enable_categorical": True, "nthread": 1, "missing": np.nan}
        return importlib.import_module("xgboost").DMatrix(X, **options, **more)

    def _raw(self, X: Floats) -> Floats:
        leaves = self.booster_.predict(self._matrix(X), pred_leaf=True).astype(np.int64).reshape(len(X), -1)
        total = np.full(len(X), base_margin(self.document_))
        for values, leaf in zip(self.values_, leaves.T, strict=True):
            total += values[leaf]
        return total

    def text(self) -> bytes:
        """See :class:`GrownTrees`."""
        return xgboost_text(self.document_, self.levels_)


class CatBoostTrees(GrownTrees):
    """CatBoost's symmetric trees; a category is split one level at a time."""

    def __init__(
        self,
        iterations: int = 250,
        depth: int = 3,  # eight leaves, so that exact reasons stay cheap
        learning_rate: float = 0.08,
        l2_leaf_reg: float = 3.0,
        border_count: int = 254,
        categorical: Sequence[int] = (),
        monotonic_cst: Sequence[int] | None = None,
        random_state: int = 0,
    ) -> None:
        self.iterations = iterations
        self.depth = depth
        self.learning_rate = learning_rate
        self.l2_leaf_reg = l2_leaf_reg
        self.border_count = border_count
        self.categorical = categorical
        self.monotonic_cst = monotonic_cst
        self.random_state = random_state

    def _grow(self, X: Floats, y: Any, weight: Any) -> None:
        width = X.shape[1]
        self.columns_: list[tuple[int, int | None]] = [(j, None) for j in range(width) if j not in self.levels_]
        self.columns_ += [(j, code) for j, levels in self.levels_.items() for code in range(levels)]
        own = ("iterations", "depth", "learning_rate", "l2_leaf_reg", "border_count")
        params: dict[str, Any] = {name: getattr(self, name) for name in own}
        order = self.monotonic_cst or [0] * width
        signs = [order[j] if code is None else 0 for j, code in self.columns_]
        if any(signs):
            params["monotone_constraints"] = signs
        params |= {"random_seed": self.random_state, "thread_count": 1, "allow_writing_files": False, "verbose": False}
        params |= {"loss_function": "Logloss"}
        catboost = importlib.import_module("catboost")
        try:
            self.model_ = catboost.CatBoost(params).fit(self._expanded(X), y, sample_weight=weight)
        except catboost.CatBoostError as error:
            raise ValueError(str(error)) from error
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            self.model_.save_model(str(path), format="json")
            self.document_ = json.loads(path.read_text(encoding="utf-8"))

    def _expanded(self, X: Floats) -> Floats:
        """The numbers, and for each level of a category whether it is this one."""
        found = [X[:, j] if code is None else (X[:, j] == code).astype(np.float64) for j, code in self.columns_]
        return np.column_stack(found)

    def _raw(self, X: Floats) -> Floats:
        found = self.model_.predict(self._expanded(X), prediction_type="RawFormulaVal", thread_count=1)
        return np.asarray(found, dtype=np.float64).reshape(len(X))

    def text(self) -> bytes:
        """See :class:`GrownTrees`."""
        return catboost_text(self.document_, self.columns_, self.n_features_in_)
