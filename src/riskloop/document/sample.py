"""What the training sample of an artefact tells of its model: levels, features, shifts, groups. Computed when asked."""

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from riskloop.core import stats
from riskloop.core.manifest import ModelManifest
from riskloop.core.schema import Feature
from riskloop.core.stats import Bins, Interval
from riskloop.core.types import Bools, Floats, Ints
from riskloop.scoring.model import LEVELS, Model
from riskloop.store.artefacts import Artefact

EFFECT_ROWS: Final = 400  # customers over whom an effect is averaged
SHIFT_ROWS: Final = 2_000  # customers who are shifted
LEAST_GROUP: Final = 30  # people of a group that is compared
MOST_LEVELS: Final = 12  # of a protected category, the largest


@dataclass(frozen=True)
class TrainingSample:
    """The rows that an artefact keeps of its training, with what the model says of them."""

    model: Model
    features: Floats  # (m, k)
    own: Floats  # (m,) the model's own probabilities
    fresh: Floats  # (m,) out of fold: as good as on rows that it has not seen
    outcomes: Floats  # (m,) NaN where nobody knows

    @classmethod
    def of(cls, artefact: Artefact[ModelManifest], model: Model) -> "TrainingSample":
        """The sample of a verified artefact. Raises ArtefactError where it holds none."""
        features = _array(artefact, "reference.npy")
        fresh, outcomes = _array(artefact, "reference_scores.npy"), _array(artefact, "reference_target.npy")
        return cls(model, features, model.probabilities(features), fresh, outcomes)

    def __len__(self) -> int:
        return len(self.own)

    @cached_property
    def known(self) -> Bools:
        """Whose outcome is known, shape (m,)."""
        return ~np.isnan(self.outcomes)

    @property
    def inputs(self) -> list[Feature]:
        """What the model reads."""
        return [self.model.schema.features[j] for j in self.model.schema.model_columns]

    def column(self, feature: Feature) -> Floats:
        """The values of a feature, shape (m,)."""
        values: Floats = self.features[:, self.model.schema.names.index(feature.name)]
        return values


def _array(artefact: Artefact[ModelManifest], file: str) -> Floats:
    return np.ascontiguousarray(np.load(io.BytesIO(artefact.bytes(file)), allow_pickle=False), dtype=np.float64)


# --------------------------------------------------------------------------- grades


@dataclass(frozen=True, slots=True)
class GradeRow:
    """A grade with its PD and what happened."""

    grade: str
    rows: int
    defaults: int
    pd: float
    rate: Interval  # Jeffreys, 95%
    p: float  # two-sided Jeffreys test


def grade_rows(model: Model, probabilities: Floats, outcomes: Floats) -> list[GradeRow]:
    """Mean PD and default rate by grade with Jeffreys bands; rows without an outcome are left out."""
    known = ~np.isnan(outcomes)
    if not known.any():
        return []
    p, labels = probabilities[known], outcomes[known]
    return [
        GradeRow(
            LEVELS[test.grade],
            test.n,
            test.defaults,
            test.pd,
            stats.jeffreys_interval(test.defaults, test.n),
            test.p_value,
        )
        for test in stats.jeffreys_by_grade(labels, p, model.level_codes(p), two_sided=True)
    ]


def shares(codes: Ints) -> Floats:
    """Share of the rows in each grade, shape (4,)."""
    counts = np.bincount(codes, minlength=len(LEVELS))
    found: Floats = counts / max(1, counts.sum())
    return found


def herfindahl(parts: Floats) -> float:
    """Herfindahl-Hirschman index: the sum of the squared shares, 1 where all customers have one grade."""
    return float(parts @ parts)


# --------------------------------------------------------------------------- features


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """What one input carries, and how the PD goes with it."""

    name: str
    importance: float
    value: float | None  # information value; None: no outcome of either class
    declared: str  # the direction that the schema demands
    found: str  # of the mean effect
    against: float | None  # share of the customers whose own PD goes against the declared direction somewhere


def feature_rows(sample: TrainingSample) -> list[FeatureRow]:
    """Every input of the model, the most important first."""
    importance = sample.model.manifest.importance
    found = [_feature(sample, feature, importance.get(feature.name, 0.0)) for feature in sample.inputs]
    return sorted(found, key=lambda row: -row.importance)


def _feature(sample: TrainingSample, feature: Feature, importance: float) -> FeatureRow:
    value = information_value(bins_of(feature, sample.column(feature)), sample, feature)
    if feature.kind == "category":
        return FeatureRow(feature.name, importance, value, "none (category)", "–", None)
    curves = effects(sample, feature)
    steps = np.diff(curves, axis=1)
    mean = np.diff(curves.mean(axis=0))
    found = "flat" if not mean.size or np.allclose(mean, 0.0, atol=1e-12) else _direction(mean)
    if feature.monotone == 0:
        return FeatureRow(feature.name, importance, value, "none", found, None)
    wrong = (feature.monotone * steps < -1e-12).any(axis=1) if steps.size else np.zeros(1, dtype=np.bool_)
    declared = "rising" if feature.monotone > 0 else "falling"
    return FeatureRow(feature.name, importance, value, declared, found, float(wrong.mean()))


def _direction(steps: Floats) -> str:
    if (steps >= -1e-12).all():
        return "rising"
    return "falling" if (steps <= 1e-12).all() else "both ways"


def bins_of(feature: Feature, values: Floats) -> Bins:
    """Deciles of a number, levels of a category."""
    return stats.level_bins(feature.categories) if feature.kind == "category" else stats.fit_numeric_bins(values)


def information_value(bins: Bins, sample: TrainingSample, feature: Feature) -> float | None:
    """Σ (g − b)·ln(g / b) over the bins, g and b the shares of the good and the bad; ½ is added to every count.

    Source: Siddiqi, Credit Risk Scorecards (2006), chapter 6. None without an outcome of either class.
    """
    labels = sample.outcomes[sample.known]
    bad = labels == 1.0
    if bad.all() or not bad.any():
        return None
    return stats.bin_evidence(bins.assign(sample.column(feature)[sample.known]), bad, len(bins)).value


def effects(sample: TrainingSample, feature: Feature) -> Floats:
    """PDs of some customers, each with the feature at every decile: (customers, values).

    Individual conditional expectations (Goldstein et al., J. Comput. Graph. Stat. 24 (2015) 44–65); their mean is the
    partial effect (Friedman, 2001). Special codes have no order and are left out of the values.
    """
    rows = sample.features[_some(len(sample), EFFECT_ROWS)]
    values = sample.column(feature)
    plain = values[~np.isnan(values) & ~np.isin(values, feature.special)]
    if not plain.size:
        return np.zeros((len(rows), 0))
    grid = np.unique(np.quantile(plain, np.linspace(0.0, 1.0, 11), method="inverted_cdf"))
    tiled = np.tile(rows, (grid.size, 1))
    tiled[:, sample.model.schema.names.index(feature.name)] = np.repeat(grid, len(rows))
    found: Floats = sample.model.probabilities(tiled).reshape(grid.size, -1).T
    return found


def _some(rows: int, most: int) -> slice:
    return slice(None, None, max(1, -(-rows // most)))


# --------------------------------------------------------------------------- sensitivity


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """What the PDs become when everybody's value of a feature moves."""

    name: str
    what: tuple[str, str]  # the two moves
    pds: tuple[float, float]  # mean PD after each
    declined: tuple[float, float]  # share at or above the threshold after each


@dataclass(frozen=True, slots=True)
class Shifted:
    """All features, and all of them together."""

    rows: int
    pd: float  # mean, unmoved
    declined: float
    features: list[ShiftRow]
    together: tuple[float, float] | None  # mean PD and share declined, every number one half deviation to more risk


def shifted(sample: TrainingSample) -> Shifted:
    """The mean PD when all customers' values move: numbers by one standard deviation, categories to one level.

    Numbers stay within the hard limits of the schema; missing values and special codes stay as they are.
    """
    rows = sample.features[_some(len(sample), SHIFT_ROWS)]
    model = sample.model
    pd, declined = _level(model, rows)
    found, worse = [], rows.copy()
    for feature in sample.inputs:
        column = model.schema.names.index(feature.name)
        if feature.kind == "category":
            found.append(_levels(model, rows, column, feature))
            continue
        spread = _spread(sample.column(feature), feature)
        down, up = (_level(model, _moved(rows, column, feature, by)) for by in (-spread, spread))
        found.append(ShiftRow(feature.name, ("−1 SD", "+1 SD"), (down[0], up[0]), (down[1], up[1])))
        if max(down[0], up[0]) > pd:
            worse = _moved(worse, column, feature, 0.5 * (spread if up[0] >= down[0] else -spread))
    numbers = any(feature.kind == "number" for feature in sample.inputs)
    return Shifted(len(rows), pd, declined, found, _level(model, worse) if numbers else None)


def _level(model: Model, rows: Floats) -> tuple[float, float]:
    p = model.probabilities(rows)
    return float(p.mean()), float((p >= model.threshold).mean())


def _spread(values: Floats, feature: Feature) -> float:
    plain = values[np.isfinite(values) & ~np.isin(values, feature.special)]
    return float(plain.std()) if plain.size else 0.0


def _moved(rows: Floats, column: int, feature: Feature, by: float) -> Floats:
    after = rows.copy()
    values = rows[:, column]
    plain = ~np.isnan(values) & ~np.isin(values, feature.special)
    after[plain, column] = np.clip(values[plain] + by, *feature.range)
    return after


def _levels(model: Model, rows: Floats, column: int, feature: Feature) -> ShiftRow:
    """Everybody at the level with the lowest, and at the one with the highest mean PD."""
    found = []
    for code in np.unique(rows[:, column][~np.isnan(rows[:, column])]).tolist():
        after = rows.copy()
        after[:, column] = code
        found.append((*_level(model, after), feature.text(code)))
    found.sort()
    if not found:
        level = _level(model, rows)
        return ShiftRow(feature.name, ("–", "–"), (level[0], level[0]), (level[1], level[1]))
    low, high = found[0], found[-1]
    return ShiftRow(feature.name, (f"all {low[2]}", f"all {high[2]}"), (low[0], high[0]), (low[1], high[1]))


# --------------------------------------------------------------------------- fairness


@dataclass(frozen=True, slots=True)
class GroupRow:
    """How a protected group fares beside the largest group of its feature."""

    feature: str
    group: str
    people: int
    approved: float
    ratio: Interval | None  # of approval rates, 95%; None: too few people, or the largest group itself
    known: int
    default_rate: Interval | None  # Jeffreys, 95%
    pd: float


def group_rows(sample: TrainingSample) -> list[GroupRow]:
    """Every protected feature's groups: levels, or quarters of a number."""
    schema = sample.model.schema
    found: list[GroupRow] = []
    for column in schema.protected_columns:
        feature = schema.features[column]
        names = _members(feature, sample.column(feature))
        if names is not None:
            found += _groups(sample, feature.name, names)
    return found


def _members(feature: Feature, values: Floats) -> list[tuple[str, Bools]] | None:
    if feature.kind == "category":
        levels, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        largest = sorted(zip(counts.tolist(), levels.tolist(), strict=True), reverse=True)[:MOST_LEVELS]
        return [(feature.text(level), values == level) for _, level in sorted(largest, key=lambda pair: pair[1])]
    names, places = stats.quarters(values)
    return [(name, places == number) for number, name in enumerate(names)] or None


def _groups(sample: TrainingSample, feature: str, members: list[tuple[str, Bools]]) -> list[GroupRow]:
    approved: Bools = sample.own < sample.model.threshold
    sized = [(name, part) for name, part in members if part.any()]
    if not sized:
        return []
    base = max(sized, key=lambda pair: int(pair[1].sum()))[1]
    found = []
    for name, part in sized:
        people, passed = int(part.sum()), int(approved[part].sum())
        labels = sample.outcomes[part & sample.known]
        ratio = None
        if part is not base and people >= LEAST_GROUP and approved[base].any():
            ratio = stats.approval_ratio(passed, people, int(approved[base].sum()), int(base.sum()))
        rate = stats.jeffreys_interval(float(labels.sum()), labels.size) if labels.size else None
        pd = float(sample.own[part].mean())
        found.append(GroupRow(feature, name, people, passed / people, ratio, int(labels.size), rate, pd))
    return found
