"""The scorecard: supervised bins, weight of evidence, logistic regression. Small enough to print on a page.

Source: Siddiqi, Intelligent Credit Scoring (2017), chapters 10 and 12. Weight of evidence has the sign of risk:
ln of the bin's odds of default over the portfolio's, so that a positive coefficient means what it says.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from riskloop.core.scaling import Scaling
from riskloop.core.stats import Bins, effective_size, order_fault
from riskloop.core.types import Bools, Floats, Json
from riskloop.train.steady import steadiness

_LARGEST: Final = float(np.finfo(np.float32).max)  # that a tree of scikit-learn reads
_Bins = npt.NDArray[np.unsignedinteger[Any]]  # of one column: as few bytes a row as its bins need


class Scorecard(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A scikit-learn classifier over a matrix with NaN for missing and codes for categories.

    ``categorical`` lists the columns of codes; ``monotonic_cst`` holds -1, 0 or 1 a column. Missing is a bin of its
    own; a bin without training rows has weight of evidence 0, that is, the portfolio's odds.
    """

    def __init__(
        self,
        max_bins: int = 6,
        min_bin_share: float = 0.05,
        smoothing: float = 20.0,
        C: float = 1.0,
        categorical: Sequence[int] = (),
        monotonic_cst: Sequence[int] | None = None,
        special: Sequence[Sequence[float]] | None = None,
        max_features: int = 200,
        bins: Sequence[Sequence[float]] | None = None,
        groups: Sequence[Sequence[Sequence[int]]] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.max_bins = max_bins
        self.min_bin_share = min_bin_share  # least share of the rows in a bin of a number
        self.smoothing = smoothing  # rows at the portfolio's default rate that are added to every bin
        self.C = C
        self.categorical = categorical
        self.monotonic_cst = monotonic_cst
        self.max_features = max_features  # of more, those whose evidence holds from one half of the rows to the other
        self.special = special  # codes of each column that have a bin of their own, outside any order
        self.bins = bins  # of each column the inner upper bounds that a person chose; none: a tree finds them
        self.groups = groups  # … of categories the codes that share their points
        self.names = names  # of the columns, for what is said of their bins

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn bins, weights of evidence and coefficients from X (n, k) and y (n,) of two classes."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if self.classes_.size > 2:
            raise ValueError("Only binary classification is supported.")
        default = codes == 1
        if not weight[default].sum() > 0.0 or not weight[~default].sum() > 0.0:
            raise ValueError("A scorecard needs rows of two classes; this target has one class.")
        steady = self._steady(X, default, weight)
        self.edges_ = [
            self._edges(X[:, j], default, weight, j) if steady[j] else np.empty(0) for j in range(X.shape[1])
        ]
        bins = [self._bins(X[:, j], j) for j in range(X.shape[1])]
        self._require_order(bins, default, weight)
        woe = [self._woe(bins[j], len(e), default, weight, j) for j, e in enumerate(self.edges_)]
        woe = [w if kept else 0.0 * w for w, kept in zip(woe, steady, strict=True)]
        self.coef_, self.intercept_ = self._coefficients(woe, bins, default, weight)
        self.points_ = [c * w for c, w in zip(self.coef_, woe, strict=True)]
        self.shares_ = [
            np.bincount(own, weights=weight, minlength=len(p)) / weight.sum()
            for own, p in zip(bins, self.points_, strict=True)
        ]
        self.means_ = np.array([np.average(p[own], weights=weight) for own, p in zip(bins, self.points_, strict=True)])
        return self

    def _edges(self, x: Floats, default: Bools, weight: Floats, column: int) -> Floats:
        """Inner upper bounds: bin b holds edges[b-1] < x <= edges[b]. A category has one bin a level."""
        there = ~np.isnan(x) & ~np.isin(x, self._codes(column))
        if column in self.categorical:
            named = [code for group in self._grouped(column) for code in group]
            levels = max([int(x[there].max()) if there.any() else 0, *named]) + 1
            return np.arange(levels, dtype=np.float64)  # the last bin is for levels that no row had
        if self.bins is not None and len(self.bins[column]):
            return np.asarray(self.bins[column], dtype=np.float64)
        if not there.any():
            return np.empty(0)
        sign = 0 if self.monotonic_cst is None else self.monotonic_cst[column]
        tree = DecisionTreeRegressor(
            max_leaf_nodes=self.max_bins,
            min_samples_leaf=max(1, int(self.min_bin_share * len(x))),
            monotonic_cst=[sign] if sign else None,
            random_state=0,
        )
        value = np.clip(x[there], -_LARGEST, _LARGEST).astype(np.float32)
        order = np.argsort(value)
        plain = np.ptp(weight) == 0.0
        # Of 0 and 1 the variance is half of Gini's impurity, so that the splits are a classification tree's. What its
        # checks of a column that is checked already cost is most of a small history's fit.
        with config_context(skip_parameter_validation=True, assume_finite=True):
            tree.fit(
                value[order, None],
                default[there][order, None].astype(np.float64),
                sample_weight=None if plain else weight[there][order],
                check_input=False,
            )
        inner = tree.tree_.feature >= 0
        return np.unique(np.asarray(tree.tree_.threshold[inner], dtype=np.float64))

    def _bins(self, x: Floats, column: int) -> _Bins:
        """Bin of every value x (n,); the ones after the last are for missing values and for each special code."""
        edges, codes = self.edges_[column], self._codes(column)
        bins = np.searchsorted(edges, x, side="left").astype(np.min_scalar_type(len(edges) + 1 + len(codes)))
        bins[np.isnan(x)] = len(edges) + 1
        for number, code in enumerate(codes, start=2):
            bins[x == code] = len(edges) + number
        return bins

    def _codes(self, column: int) -> Sequence[float]:
        return () if self.special is None else self.special[column]

    def round_points(self, a: float, b: float, scaling: Scaling) -> None:
        """Move each bin's log-odds to where its printed points, under calibration a + b·z, are a whole number.

        The intercept and the calibration are spread over the features, as in the printed table. A customer's score
        moves by half a point a feature at most; order stays, as rounding keeps it.
        """
        shared = scaling.score(a + b * self.intercept_) / len(self.points_)
        unit = scaling.factor * b
        self.points_ = [(shared - np.rint(shared - unit * points)) / unit for points in self.points_]
        self.means_ = np.array([share @ points for share, points in zip(self.shares_, self.points_, strict=True)])

    def _grouped(self, column: int) -> Sequence[Sequence[int]]:
        return () if self.groups is None else self.groups[column]

    def _require_order(self, bins: Sequence[_Bins], default: Bools, weight: Floats) -> None:
        """Raise ValueError where bins by hand go against the order that is asked for, by more than chance.

        What chance does, smoothing and pooling settle as they do for bins that were found.
        """
        share = effective_size(weight) / weight.sum()
        for j, edges in enumerate(self.edges_):
            sign = 0 if self.monotonic_cst is None else self.monotonic_cst[j]
            if not sign or self.bins is None or not len(self.bins[j]):
                continue
            rows, bad = (
                share * np.bincount(bins[j], weights=w, minlength=len(edges) + 1)[: len(edges) + 1]
                for w in (weight, weight * default)
            )
            name = f"column {j}" if self.names is None else self.names[j]
            fault = order_fault(name, Bins("intervals", tuple(edges.tolist())).labels, rows, bad, sign)
            if fault is not None:
                raise ValueError(fault)

    def _woe(self, bins: _Bins, edges: int, default: Bools, weight: Floats, column: int) -> Floats:
        """Weights of evidence of the bins; those of a monotone feature's values are put in order last.

        Smoothing draws small bins further towards the portfolio than large ones, which can turn the tree's order
        around: bins that stand wrong are pooled (Barlow et al., Statistical Inference under Order Restrictions, 1972).
        """
        n_bins = edges + 2 + len(self._codes(column))
        bad = np.bincount(bins[default], weights=weight[default], minlength=n_bins)
        good = np.bincount(bins[~default], weights=weight[~default], minlength=n_bins)
        rate = bad.sum() / weight.sum()
        for codes in map(list, self._grouped(column)):
            bad[codes], good[codes] = bad[codes].sum(), good[codes].sum()
        bad, good = bad + self.smoothing * rate, good + self.smoothing * (1.0 - rate)
        default_share = bad / (bad + good)
        sign = 0 if self.monotonic_cst is None or column in self.categorical else self.monotonic_cst[column]
        if sign:
            values, rows = default_share[: edges + 1], (bad + good)[: edges + 1]
            default_share[: edges + 1] = isotonic_regression(values, sample_weight=rows, increasing=sign > 0)
        evidence: Floats = np.log(default_share / (1.0 - default_share)) - np.log(rate / (1.0 - rate))
        return evidence

    def _steady(self, X: Floats, default: Bools, weight: Floats) -> Bools:
        """Which columns are learned from, (k,): all of them, up to ``max_features``.

        Of more, those whose evidence holds: the information value of one half of the rows by the weights of evidence of
        the other, over tenths of the column, in the worse direction, is larger than that of any column is after the
        outcomes were shuffled. A wide table of few rows is full of columns that rank well by chance.
        """
        columns = X.shape[1]
        kept: Bools = np.ones(columns, dtype=np.bool_)
        if columns <= self.max_features:
            return kept
        shuffled = default[np.random.default_rng(0).permutation(len(default))]
        found, chance = steadiness(X, (default, shuffled), weight, self.categorical)
        best = np.argsort(-found, kind="stable")[: self.max_features]
        kept[:] = False
        kept[best[found[best] > chance.max()]] = True
        if not kept.any():
            kept[best[:1]] = True
        return kept

    def _coefficients(
        self, woe: Sequence[Floats], bins: Sequence[_Bins], default: Bools, weight: Floats
    ) -> tuple[Floats, float]:
        """Non-negative ones: a feature that would count against its own evidence is left out."""
        kept = np.flatnonzero([np.ptp(w[np.unique(own)]) > 0.0 for w, own in zip(woe, bins, strict=True)])
        while True:
            if kept.size == 0:
                rate = np.average(default, weights=weight)
                return np.zeros(len(woe)), float(np.log(rate / (1.0 - rate)))
            evidence = np.empty((len(default), len(kept)))
            for place, j in enumerate(kept.tolist()):
                evidence[:, place] = woe[j][bins[j]]
            model = LogisticRegression(C=self.C, solver="newton-cholesky", tol=1e-8)
            model.fit(evidence, default, sample_weight=weight)
            del evidence
            if (model.coef_[0] >= 0.0).all():
                coefficients = np.zeros(len(woe))
                coefficients[kept] = model.coef_[0]
                return coefficients, float(model.intercept_[0])
            kept = kept[model.coef_[0] > 0.0]

    def contributions(self, X: Any) -> Floats:
        """Points of each feature minus their mean over the training rows, in log-odds, shape (n, k)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        parts = np.empty(X.shape)
        for j, points in enumerate(self.points_):
            parts[:, j] = points[self._bins(X[:, j], j)] - self.means_[j]
        return parts

    def decision_function(self, X: Any) -> Floats:
        """Log-odds of the second class, shape (n,)."""
        odds: Floats = self.contributions(X).sum(axis=1) + self.means_.sum() + self.intercept_
        return odds

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities of both classes, shape (n, 2)."""
        from scipy.special import expit

        p = expit(self.decision_function(X))
        return np.column_stack((1.0 - p, p))

    def predict(self, X: Any) -> Any:
        """The likelier class of every row."""
        likelier = (self.decision_function(X) > 0.0).astype(np.int64)
        return self.classes_[likelier]

    def to_json(self) -> Json:
        """Everything that scoring needs: per feature upper bounds, points of each bin, of missing, and their mean."""
        check_is_fitted(self)
        features = []
        for j, (edges, points, mean) in enumerate(zip(self.edges_, self.points_, self.means_, strict=True)):
            values, missing, coded = np.split(points, [len(edges) + 1, len(edges) + 2])
            codes = [[float(code), float(point)] for code, point in zip(self._codes(j), coded, strict=True)]
            features.append(
                {
                    "bounds": edges.tolist(),
                    "points": values.tolist(),
                    "missing": float(missing[0]),
                    "mean": float(mean),
                    **({"special": codes} if codes else {}),
                }
            )
        return {"intercept": self.intercept_, "features": features}

    def dump(self) -> bytes:
        """`to_json` as canonical text; floats are exact."""
        return json.dumps(self.to_json(), indent=1).encode()

    def __sklearn_tags__(self) -> Any:
        """Missing values are welcome; two classes only."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        return tags
