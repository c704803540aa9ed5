"""What a row of this portfolio looks like: the contract between history, requests and models.

Inside riskloop a row is a float64 vector in the schema's feature order. A number is itself, a category is the
index of its level (``len(categories)`` for a level never seen), a missing value is NaN. Every model carries
the schema that it was trained with, so a logged vector can be read back years later.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, Final, Literal

import msgspec
import numpy as np

from riskloop.core.errors import ConfigError
from riskloop.core.types import Bools, Floats, Json

Kind = Literal["number", "category"]
# How a number is written: 1234.5, $1,234, 13.5%, 36 months; a date stands for the days from it to the decision.
TextStyle = Literal["plain", "amount", "percent", "unit", "tenure", "date"]
# How dates are written that have several readings: 03/01/2023 (dmy, mdy), 930101 (ymd), seconds or milliseconds since
# 1970 (unix), days of a spreadsheet (excel). "": they are not read unless one reading is left.
Quoting = Literal["double", "single", "backslash"]  # of fields of a text
DateOrder = Literal["", "dmy", "mdy", "ymd", "unix", "excel"]


def _written(default: Any) -> Any:
    """A default that is written all the same. Those of later fields are not, so old schemas keep their fingerprint."""
    return msgspec.field(default_factory=lambda: default)


def _settle(struct: msgspec.Struct) -> None:
    """A value that equals its default is the default: msgspec leaves out what is the same object."""
    for name, default in _defaults(type(struct)):
        if getattr(struct, name) == default:
            msgspec.structs.force_setattr(struct, name, default)


@cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """Names and defaults of the fields that have one; asked for once a column of wide tables."""
    fields = msgspec.structs.fields(kind)
    return tuple((field.name, field.default) for field in fields if field.default is not msgspec.NODEFAULT)


# Columns that are put beside a scored row.
APPENDED: Final = ("default", "probability", "risk_level", "threshold", "model_version", "decision_id", "scored_at")
NUL: Final = "must not hold the character NUL, which not every database can keep"  # said of a customer's id


class Feature(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """One input column."""

    name: str
    kind: Kind = _written("number")
    low: float | None = _written(None)  # hard limits: a value outside them is refused, not scored; None: no limit
    high: float | None = _written(None)
    categories: tuple[str, ...] = _written(())  # the levels, as text, in the order of their codes
    unseen: Literal["refuse", "flag"] = _written("refuse")  # a level never seen: 422, or scored as missing and flagged
    nullable: bool = _written(False)
    monotone: Literal[-1, 0, 1] = _written(0)  # +1: more of it can only raise the PD
    protected: bool = _written(False)  # kept for fairness checks, no model input
    special: tuple[float, ...] = ()  # numbers that are codes (-9999: no record): outside range, order and scale
    prefixes: tuple[int, ...] = ()  # a tree of codes: characters that make a branch, such as 2 and 3 of a postcode
    written: TextStyle = "plain"  # how the number is written where it is text
    written_in: tuple[
        str, ...
    ] = ()  # … and in which unit or currency: the first is its own; "" is none; (): nobody knows
    context: bool = False  # the same for all customers of a period (a rate, an index)
    seasonal: bool = False  # moves with the time of the year
    bins: tuple[float, ...] = ()  # a scorecard's inner upper bounds that a person chose; none: it finds its own
    groups: tuple[tuple[str, ...], ...] = ()  # … levels of a category that share their points

    def __post_init__(self) -> None:
        _settle(self)
        for name, limit, none in (("low", self.low, -math.inf), ("high", self.high, math.inf)):
            # One way to write each, for the fingerprint.
            msgspec.structs.force_setattr(self, name, None if limit is None or limit == none else float(limit))
        if self.kind == "category" and not self.categories:
            raise ConfigError(
                f"Feature '{self.name}' is a category without levels; list them in 'categories' of "
                f"[features.{self.name}]."
            )
        if self.range[0] > self.range[1] or self.low == math.inf or self.high == -math.inf:
            raise ConfigError(f"Feature '{self.name}' has the range [{self.low}, {self.high}], which is empty.")
        if len(set(self.categories)) != len(self.categories):
            raise ConfigError(f"Feature '{self.name}' lists a category twice.")
        if self.special and self.kind == "category":
            raise ConfigError(
                f"Feature '{self.name}' is a category, whose codes are levels of their own; remove 'special' of "
                f"[features.{self.name}]."
            )
        if self.prefixes and self.kind != "category":
            raise ConfigError(
                f"Feature '{self.name}' is a number, which has no prefixes; make it a category, or remove 'prefixes'."
            )
        self._require_bins()

    def _require_bins(self) -> None:
        """Raise ConfigError for bins by hand that cannot be."""
        where = f"[features.{self.name}]"
        if self.bins and self.kind == "category":
            raise ConfigError(f"{where} is a category, which has no 'bins'; its levels are joined by 'groups'.")
        if self.groups and self.kind != "category":
            raise ConfigError(f"{where} is a number, which has no 'groups'; its 'bins' are upper bounds.")
        if self.bins:  # one way to write each, for the fingerprint
            msgspec.structs.force_setattr(self, "bins", tuple(map(float, self.bins)))
        if any(not math.isfinite(bound) for bound in self.bins) or any(a >= b for a, b in pairwise(self.bins)):
            raise ConfigError(f"The bins {list(self.bins)} of {where} must be finite numbers that ascend.")
        named = [level for group in self.groups for level in group]
        unknown = [level for level in named if level not in self.codes]
        twice = [level for level in named if named.count(level) > 1]
        if unknown:
            raise ConfigError(f"The groups of {where} name '{unknown[0]}', which is no level of its 'categories'.")
        if twice or not all(self.groups):
            wrong = f"hold '{twice[0]}' twice" if twice else "hold an empty one"
            raise ConfigError(f"The groups of {where} {wrong}.")

    @property
    def range(self) -> tuple[float, float]:
        """The hard limits, infinite where there is none."""
        return (-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)

    @cached_property
    def codes(self) -> dict[str, int]:
        """Level text to code."""
        return {level: code for code, level in enumerate(self.categories)}

    def reads_as(self, other: "Feature") -> bool:
        """Whether the same kind of number is made of its values, levels apart."""
        same_unit = not self.written_in or not other.written_in or self.written_in[0] == other.written_in[0]
        return (self.kind, self.written) == (other.kind, other.written) and same_unit

    @property
    def reads(self) -> str:
        """What is made of its values, in words."""
        unit = f" in {self.written_in[0]}" if self.written_in else ""
        return "a category" if self.kind == "category" else f"a number ({self.written}{unit})"

    def outside(self, values: Floats) -> Bools:
        """Which values break the hard limits; shape of ``values``. Missing ones and special codes do not."""
        low, high = self.range
        wrong: Bools = (values < low) | (values > high)
        return wrong & ~np.isin(values, self.special) if self.special else wrong

    def text(self, value: float) -> str:
        """A coded value as a person writes it: ``'2'``, ``'university'``, ``'missing'``."""
        if math.isnan(value):
            return "missing"
        if self.kind == "category":
            return self.categories[int(value)] if int(value) < len(self.categories) else "unseen"
        return f"{value:.10g}"


class Schema(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """The features in their fixed order, and the names of the columns that are not features."""

    features: tuple[Feature, ...]
    target: str
    id: str | None = _written(None)
    time: str | None = _written(None)
    ignored: tuple[str, ...] = _written(())  # columns that files may carry and nobody reads
    unit: str | None = None  # the column that says which rows are one customer's; ids may repeat then
    bad: tuple[str, ...] = ()  # values of the target that are a default; none: 1, yes, true
    good: tuple[str, ...] = ()  # … and that are none; a value of neither kind has no outcome (yet)
    missing: tuple[str, ...] = ()  # words for a missing value beside the usual ones
    dates: DateOrder = ""
    decimal: str = "."  # sign of amounts, percentages and the like that come as text
    earliest: str = "1980-01-01"  # no decision is older
    known_at: str = "known_at"  # the column of outcomes that says when each became known

    def __post_init__(self) -> None:
        _settle(self)
        if not self.features:
            raise ConfigError("The schema has no features; list them under [features.NAME] in riskloop.toml.")

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Feature names, in order."""
        return tuple(f.name for f in self.features)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Feature name to column."""
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def model_columns(self) -> tuple[int, ...]:
        """Columns that a model may read: all but the protected ones."""
        return tuple(i for i, f in enumerate(self.features) if not f.protected)

    @cached_property
    def protected_columns(self) -> tuple[int, ...]:
        """Columns kept for fairness checks."""
        return tuple(i for i, f in enumerate(self.features) if f.protected)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the canonical JSON: two schemas with the same fingerprint read rows the same way."""
        return hashlib.sha256(json.dumps(msgspec.to_builtins(self), sort_keys=True).encode()).hexdigest()

    @cached_property
    def limits(self) -> Floats:
        """For each column the first code that is not a level, and infinity for numbers; shape (len(self),)."""
        return np.array([float(len(f.categories)) if f.kind == "category" else math.inf for f in self.features])

    @cached_property
    def _model_limits(self) -> tuple[list[int], Floats]:
        columns = list(self.model_columns)
        return columns, self.limits[columns]

    def apart(self, other: "Schema") -> list[str]:
        """Why numbers that ``other`` coded mean something else here, feature by feature; none: only the order may.

        Limits, order constraints, protection and the like may differ: they say what is done with a number.
        """
        found = [f"'{name}' is new" for name in self.names if name not in other.positions]
        for then in other.features:
            if then.name not in self.positions:
                found.append(f"'{then.name}' is gone")
                continue
            now = self.feature(then.name)
            if not now.reads_as(then):
                found.append(f"'{then.name}' is read as {now.reads}, and was as {then.reads}")
            elif now.categories != then.categories:
                found.append(f"'{then.name}' has other levels, or the same in another order")
        return found

    def alike(self, other: "Schema") -> bool:
        """Whether the same numbers in the same places mean the same."""
        return self is other or (self.names == other.names and not self.apart(other))

    def lacking(self, other: "Schema") -> list[str]:
        """The model's inputs that rows coded by ``other`` do not tell."""
        inputs = (self.features[column] for column in self.model_columns)
        return [f.name for f in inputs if f.name not in other.positions or not f.reads_as(other.feature(f.name))]

    def recoded(self, features: Floats, other: "Schema") -> Floats:
        """Rows (n, len(other)) that ``other`` coded, as this schema codes them, (n, len(self)); NaN for what they lack.

        Levels go by their text: one that is not known here is unseen, and so is one that was unseen then.
        """
        if self.alike(other):
            return features
        coded = np.full((len(features), len(self)), math.nan)
        for column, now in enumerate(self.features):
            if now.name not in other.positions or not now.reads_as(then := other.feature(now.name)):
                continue
            values = features[:, other.positions[now.name]]
            if now.kind == "number":
                coded[:, column] = values
                continue
            unseen = len(now.categories)
            codes = np.array([*(now.codes.get(level, unseen) for level in then.categories), unseen])
            there = ~np.isnan(values)
            coded[there, column] = codes[np.minimum(values[there], len(then.categories)).astype(np.int64)]
        return coded

    def model_matrix(self, features: Floats) -> Floats:
        """What a model sees of rows of shape (n, len(self)): no protected column, unseen levels as missing."""
        columns, limits = self._model_limits
        matrix: Floats = np.take(features, columns, axis=1)  # row by row: features[:, columns] lies column by column
        matrix[matrix >= limits] = math.nan
        return matrix

    def feature(self, name: str) -> Feature:
        """The feature called ``name``."""
        return self.features[self.positions[name]]

    def decode(self, row: Floats | Sequence[float]) -> Json:
        """A coded row as the JSON that a client would send: numbers, level texts, ``None`` for missing."""
        decoded: Json = {}
        for feature, coded in zip(self.features, row, strict=True):
            value = float(coded)
            if math.isnan(value):
                decoded[feature.name] = None
            elif feature.kind == "category":
                decoded[feature.name] = feature.text(value)
            else:
                decoded[feature.name] = int(value) if value.is_integer() and abs(value) < 2**53 else value
        return decoded
