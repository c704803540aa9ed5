"""Feature preparation as a scikit-learn transformer: what the config declares, and what many levels make necessary.

`Preparer` learns a `Preparation` (`riskloop.scoring.preparation`), which the artefact keeps and serving applies. The
prepared matrix has a schema of its own, so that learners know its categories, constraints and codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from msgspec import structs
from sklearn.base import BaseEstimator, TransformerMixin

from riskloop.core.errors import ConfigError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import PrepareSettings
from riskloop.core.types import Bools, Floats, Ints
from riskloop.scoring.preparation import Preparation, Step
from riskloop.train.rates import RateEncoder, branches_of
from riskloop.train.steady import steadiest

MOST_LEVELS: Final = 32  # of a category that learners take as it is
MOST_COLUMNS: Final = 500  # that trees learn from: of more, those whose evidence holds best
RARE: Final = 30  # rows of a level below which it is grouped with the other rare ones

_NUMBERS: Final = ("ratio", "difference", "sum", "product", "log", "bands", "age")
_DAYS: Final = {"years": 365.2425, "months": 365.2425 / 12, "days": 1.0}


@dataclass(frozen=True)
class _Column:
    """A column on its way: where it is found, and what it looks like."""

    feature: Feature
    step: Step
    encoder: RateEncoder | None = None  # of a column that the outcomes of other rows teach
    source: int = 0  # the input that the encoder reads


class Preparer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """The model's matrix (n, k) of ``schema`` to the prepared one, by ``declared`` steps and by what learning needs.

    ``keep_codes`` leaves special codes in their columns, and all columns in the matrix, for a learner that knows what
    to do with them; otherwise codes become a category of their own beside a number in which they are missing, and of
    a wide table the columns stay whose evidence holds best (`riskloop.train.steady`). ``levels`` keeps a category with
    many levels as the number of its commonest ones too, beside their encoded rate.

    ``fit_transform`` encodes each row by the outcomes of others (five folds, by ``customers`` where given), as
    `sklearn.preprocessing.TargetEncoder` does, so that no row sees its own outcome; ``transform`` by those of all.
    """

    def __init__(
        self,
        schema: Schema,
        declared: Mapping[str, PrepareSettings] | None = None,
        keep_codes: bool = False,
        levels: bool = True,
        seed: int = 0,
    ) -> None:
        self.schema = schema
        self.declared = declared
        self.keep_codes = keep_codes
        self.levels = levels
        self.seed = seed

    def fit(self, X: Floats, y: Any, sample_weight: Floats | None = None) -> Self:
        """Learn groups and rates from X (n, k) and outcomes y (n,)."""
        self.fit_transform(X, y, sample_weight)
        return self

    def transform(self, X: Floats) -> Floats:
        """The prepared matrix, as serving makes it."""
        return self.preparation_.matrix(X)

    def fit_transform(
        self, X: Floats, y: Any, sample_weight: Floats | None = None, customers: Ints | None = None
    ) -> Floats:
        """Fit, and the prepared matrix of the training rows with rates that do not know their own outcomes."""
        outcomes = np.asarray(y, dtype=np.float64)
        build = _Build([self.schema.features[i] for i in self.schema.model_columns])
        for name, entry in (self.declared or {}).items():
            build.declare(name, entry)
        if not self.keep_codes:
            build.leave_out_faint(X, outcomes == 1.0, sample_weight)
        build.inputs(X, keep_codes=self.keep_codes, levels=self.levels)
        crossed: dict[str, Floats] = {}
        columns = []
        for column in build.shown():
            if column.encoder is not None:
                codes = X[:, column.source]
                column.encoder.set_params(seed=self.seed)
                crossed[column.step.name] = column.encoder.fit_transform(codes, outcomes, sample_weight, customers)
                column = replace(column, step=replace(column.step, values=tuple(column.encoder.table_.tolist())))
            columns.append(column)
        self.preparation_ = build.preparation(columns)
        self.schema_ = Schema(tuple(column.feature for column in columns), target=self.schema.target)
        if not self.needed_:
            return X
        matrix = self.preparation_.matrix(X)
        for name, values in crossed.items():
            matrix[:, self.schema_.positions[name]] = values
        return matrix

    @property
    def needed_(self) -> bool:
        """Whether the prepared matrix differs from the model's matrix."""
        steps = self.preparation_.steps
        return len(steps) < self.preparation_.width or any(step.how != "keep" for step in steps)


class _Build:
    """The steps in the making over the ``features`` of the model's matrix."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = features
        self._width = len(features)
        self._kept: list[_Column] = []
        self._working: list[_Column] = []
        self._places = {feature.name: i for i, feature in enumerate(features)}
        self._known = {feature.name: feature for feature in features}
        self._clean: dict[str, int] = {}
        self._replaced: set[str] = set()  # inputs that are no columns of the prepared matrix

    def declare(self, name: str, entry: PrepareSettings) -> None:
        """Add a step of the config. Raises ConfigError for columns that it cannot read."""
        for source in entry.of:
            if source not in self._places:
                raise ConfigError(
                    f"[prepare.{name}] reads '{source}', which is no model input and no step before it; name a feature "
                    "that is not protected, or move the step."
                )
            kind = self._known[source].kind
            wanted = {"number": _NUMBERS, "category": ("group", "prefix")}
            if any(entry.how in hows for other, hows in wanted.items() if other != kind):
                raise ConfigError(f"[prepare.{name}] is a {entry.how}, which a {kind} such as '{source}' has none of.")
        sources = tuple(self._number(source) for source in entry.of)
        first = self._known[entry.of[0]]
        match entry.how:
            case "group" | "prefix":
                feature, values = _grouped(name, first, entry)
                step = Step(name, "table", sources, values)
            case "missing":
                feature, step = Feature(name), Step(name, "missing", sources)
            case _:
                feature = Feature(name, nullable=True, monotone=entry.monotone)
                knows = (_DAYS[entry.unit],) if entry.how == "age" else tuple(sorted(entry.bounds))
                step = Step(name, entry.how, sources, knows)
        self._add(_Column(feature, step))
        if entry.instead:
            self._replaced |= set(entry.of)

    def leave_out_faint(self, X: Floats, default: Bools, weight: Floats | None) -> None:
        """Of more than `MOST_COLUMNS` inputs, keep those whose evidence of the outcomes ``default`` (n,) holds best."""
        places = np.array([j for j, feature in enumerate(self.features) if feature.name not in self._replaced])
        if len(places) <= MOST_COLUMNS:
            return
        codes = [i for i, j in enumerate(places.tolist()) if self.features[j].kind == "category"]
        weight = np.ones(len(X)) if weight is None else weight
        kept = steadiest(X[:, places], default, weight, codes, MOST_COLUMNS)
        self._replaced |= {self.features[j].name for j in np.delete(places, kept).tolist()}

    def inputs(self, X: Floats, *, keep_codes: bool, levels: bool) -> None:
        """Add the inputs themselves, and what special codes and many levels need."""
        for j, feature in enumerate(self.features):
            if feature.name in self._replaced:
                continue
            by_hand = keep_codes and feature.groups
            if feature.kind == "category" and len(feature.categories) > MOST_LEVELS and not by_hand:
                self._many_levels(j, feature, X[:, j], levels)
            elif feature.special and not keep_codes:
                self._number(feature.name, shown=True)
                names = ("none", *(f"{code:g}" for code in feature.special))
                codes = Feature(f"{feature.name} code", "category", categories=names)
                self._add(_Column(codes, Step(codes.name, "codes", (j,), feature.special)))
            else:
                self._kept.append(_Column(feature, Step(feature.name, "keep", (j,))))

    def _many_levels(self, j: int, feature: Feature, codes: Floats, levels: bool) -> None:
        """The rate of each level, and the commonest levels as a smaller category."""
        rate = Feature(f"{feature.name} rate", monotone=1)
        encoder = RateEncoder(branches_of(feature), len(feature.categories))
        self._add(_Column(rate, Step(rate.name, "table", (j,)), encoder, j))
        counts = np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=len(feature.categories))
        common = np.argsort(-counts, kind="stable")[: MOST_LEVELS - 1]
        common = np.sort(common[counts[common] >= RARE])
        if not levels or not common.size:
            return
        places = np.full(len(feature.categories) + 2, float(common.size))
        places[common], places[-2:] = np.arange(common.size), np.nan
        levels_of = (*(feature.categories[i] for i in common), "other")
        group = structs.replace(feature, categories=levels_of, prefixes=(), groups=())
        self._add(_Column(group, Step(feature.name, "table", (j,), tuple(places.tolist()))))

    def shown(self) -> list[_Column]:
        """The columns of the prepared matrix in their order: the kept ones first."""
        return [*self._kept, *(column for column in self._working if column.step.shown)]

    def preparation(self, columns: Sequence[_Column]) -> Preparation:
        """The steps, with what the ``columns`` have learned."""
        learned = {column.step.name: column.step for column in columns}
        working = [learned[c.step.name] if c.step.shown else c.step for c in self._working]
        return Preparation(self._width, (*(c.step for c in self._kept), *working))

    def _add(self, column: _Column) -> int:
        self._working.append(column)
        place = self._width + len(self._working) - 1
        if column.step.name not in self._known:
            self._places[column.step.name], self._known[column.step.name] = place, column.feature
        return place

    def _number(self, name: str, *, shown: bool = False) -> int:
        """Where the column is found, its special codes as missing."""
        feature, place = self._known[name], self._places[name]
        if not feature.special:
            return place
        if name not in self._clean:
            plain = structs.replace(feature, special=(), nullable=True)
            self._clean[name] = self._add(_Column(plain, Step(name, "without", (place,), feature.special, shown=False)))
        if shown:
            at = self._clean[name] - self._width
            self._working[at] = replace(self._working[at], step=replace(self._working[at].step, shown=True))
        return self._clean[name]


def _grouped(name: str, feature: Feature, entry: PrepareSettings) -> tuple[Feature, tuple[float, ...]]:
    """A category of groups, and the group of each level; a level that no group names is a group of its own."""
    if entry.how == "prefix":
        of_level = {level: level[: entry.length] for level in feature.categories}
    else:
        of_level = {level: level for level in feature.categories}
        for group, members in entry.groups.items():
            for member in members:
                if str(member) not in feature.codes:
                    raise ConfigError(f"[prepare.{name}] groups '{member}', which is no level of '{feature.name}'.")
                of_level[str(member)] = group
    groups = tuple(dict.fromkeys(of_level.values()))
    number = {group: float(i) for i, group in enumerate(groups)}
    places = (*(number[of_level[level]] for level in feature.categories), float("nan"), float("nan"))
    return Feature(name, "category", categories=groups, nullable=True), places
