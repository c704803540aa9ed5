"""A scorecard that somebody keeps as a table: one line for each bin, with its points."""

import csv
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.types import Floats, Json
from riskloop.train.foreign.model import ForeignModel
from riskloop.train.learners import SCORECARD

Closed = Literal["left", "right"]

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "feature": ("feature", "variable", "characteristic", "attribute"),
    "low": ("above", "from", "low", "min", "lower"),
    "high": ("up_to", "to", "high", "max", "upper"),
    "level": ("level", "category", "value", "group"),
    "points": ("points", "score"),
}
_SCALE: Final = {"base score": "base", "odds at it": "odds", "points to double": "double"}
_MISSING: Final = frozenset({"missing", "null", "none", "nan", "n/a", "na"})
_OTHERS: Final = frozenset({"other", "others", "else", "otherwise"})
_CONSTANT: Final = frozenset({"base", "base points", "basepoints", "intercept", "constant", "offset"})
_TIE: Final = 1e-9


@dataclass(frozen=True)
class PointsScale:
    """What points mean: ``base`` points stand for ``odds`` good customers to a bad one, ``double`` more for twice."""

    base: float
    odds: float
    double: float

    @property
    def factor(self) -> float:
        """Points for one unit of log-odds."""
        return self.double / math.log(2.0)

    def log_odds(self, score: Floats) -> Floats:
        """Log-odds of default (n,) of scores (n,)."""
        return (self.base - score) / self.factor - math.log(self.odds)

    def score(self, log_odds: Floats) -> Floats:
        """The inverse of `log_odds`."""
        return self.base - self.factor * (math.log(self.odds) + log_odds)


@dataclass(frozen=True)
class Line:
    """One bin."""

    place: int  # line of the table, from 2
    feature: str
    low: float | None
    high: float | None
    level: str | None
    points: float


def card_model(
    content: bytes, where: str, schema: Schema, scale: PointsScale | None, closed: Closed | None, matrix: Floats
) -> ForeignModel:
    """A table as a scorecard; ``matrix`` (n, m) holds the history, whose mean points contributions start from.

    ``closed`` says which end belongs to a bin. Raises DataError naming the line that cannot be used, or ConfigError
    where the scale, or which end belongs to a bin, would have to be guessed.
    """
    table, own_scale, exact = _table(content, where)
    scale = scale or own_scale
    if scale is None:
        raise ConfigError(
            f"{where} does not say what a score means: give --base (points), --odds (good customers for a bad one at "
            "that score) and --double (points that double the odds)."
        )
    constant, lines = _lines(table, where)
    inputs = [schema.features[i] for i in schema.model_columns]
    unknown = sorted(set(lines) - {feature.name for feature in inputs})
    if unknown:
        protected = any(f.name == unknown[0] and f.protected for f in schema.features)
        why = "which is protected and no input of a model here" if protected else "which is no feature of riskloop.toml"
        raise DataError(f"{where} has points for '{unknown[0]}', {why}.")
    closed = closed or ("right" if exact else None)
    bins = [
        _Bins(feature, lines.get(feature.name, []), closed, matrix[:, j], where) for j, feature in enumerate(inputs)
    ]
    points = np.column_stack([found.points for found in bins])
    card = {
        "intercept": float(scale.log_odds(np.array([constant]))[0]),
        "features": [found.entry(scale, float(points[:, j].mean())) for j, found in enumerate(bins)],
    }

    def score(rows: Floats) -> Floats:
        each = [_Bins(f, lines.get(f.name, []), closed, rows[:, j], where).points for j, f in enumerate(inputs)]
        return scale.log_odds(constant + np.sum(each, axis=0))

    text = json.dumps(card, indent=1).encode()
    notes = tuple(note for found in bins for note in found.notes)
    own = "the table itself, line by line"
    return ForeignModel(
        "scorecard", "scorecard", SCORECARD, {SCORECARD: text}, score, own, "points", {}, None, scale.score, notes
    )


# --------------------------------------------------------------------------- the table


def _table(content: bytes, where: str) -> tuple[list[list[str]], PointsScale | None, bool]:
    """Header and lines as texts, the scale of the workbook's second sheet, and whether the ends are named exactly."""
    if content[:2] == b"PK":
        from python_calamine import CalamineWorkbook

        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
        rows = [[_cell(value) for value in row] for row in sheets[0]]
        scale = next((found for sheet in sheets[1:] if (found := _scale(sheet)) is not None), None)
    else:
        text = content.decode("utf-8-sig", errors="replace")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=separator)]
        scale = None
    rows = [row for row in rows if any(row)]
    if len(rows) < 2:
        raise DataError(f"{where} holds no table with a header and lines.")
    return rows, scale, "above" in {name.lower() for name in rows[0]}


def _cell(value: Any) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value).strip()


def _scale(sheet: Sequence[Sequence[Any]]) -> PointsScale | None:
    found = {_SCALE[str(row[0])]: float(row[1]) for row in sheet if len(row) > 1 and str(row[0]) in _SCALE}
    return PointsScale(**found) if len(found) == len(_SCALE) else None


def _lines(table: list[list[str]], where: str) -> tuple[float, dict[str, list[Line]]]:
    """The constant, and the lines of each feature."""
    header = [name.lower().replace(" ", "_") for name in table[0]]
    places = {key: next((header.index(n) for n in names if n in header), None) for key, names in _NAMES.items()}
    for key in ("feature", "points"):
        if places[key] is None:
            raise DataError(f"{where} has no column '{key}'; its columns are {', '.join(table[0])}.")
    constant, found = 0.0, defaultdict(list)
    for place, row in enumerate(table[1:], start=2):

        def cell(key: str, row: list[str] = row) -> str:
            position = places[key]
            return row[position] if position is not None and position < len(row) else ""

        line = Line(
            place,
            cell("feature"),
            _limit(cell("low"), place, where),
            _limit(cell("high"), place, where),
            cell("level") or None,
            _number(cell("points"), place, "points", where),
        )
        if line.feature.lower() in _CONSTANT:
            constant += line.points
        else:
            found[line.feature].append(line)
    return constant, dict(found)


def _limit(text: str, place: int, where: str) -> float | None:
    if not text or text.lower() in ("-inf", "inf", "+inf", "-∞", "∞", "low", "high", "min", "max"):
        return None
    return _number(text, place, "limit", where)


def _number(text: str, place: int, what: str, where: str) -> float:
    try:
        value = float(text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} line {place}: '{text}' is no number of {what}.")
    return value


# --------------------------------------------------------------------------- one feature


class _Bins:
    """The lines of one feature, and the points of values by them: each line is asked, and exactly one may answer."""

    def __init__(
        self, feature: Feature, lines: Sequence[Line], closed: Closed | None, values: Floats, where: str
    ) -> None:
        self.feature, self.where = feature, where
        self.notes: list[str] = []
        self._missing = self._one(lines, _MISSING)
        self._others = self._one(lines, _OTHERS)
        plain = [line for line in lines if (line.level or "").lower() not in _MISSING | _OTHERS]
        if feature.kind == "category":
            self._levels = self._by_level(plain)
            self._ranges, self._codes = [], {}
        else:
            self._codes = self._by_code([line for line in plain if line.level is not None])
            self._ranges = self._in_order([line for line in plain if line.level is None], closed, values)
            self._levels = {}
        self._gap = self._of_missing(values, bool(lines))
        self.points = self._points(values) if lines else np.zeros(len(values))

    def entry(self, scale: PointsScale, mean: float) -> Json:
        """The feature in riskloop's scorecard file, in log-odds; ``mean`` are its mean points."""

        def odds(points: float) -> float:
            return -points / scale.factor

        feature = self.feature
        if feature.kind == "category":
            codes = range(len(feature.categories))
            bounds = [float(code) for code in codes]
            points = [self._levels.get(code, self._other(self._gap)) for code in codes] + [self._gap]
        else:
            bounds = [high for _, high, _ in self._ranges[:-1]]
            points = [points for _, _, points in self._ranges] or [0.0]
        coded = [[code, odds(points)] for code, points in self._codes.items()]
        return {
            "bounds": bounds,
            "points": [odds(value) for value in points],
            "missing": odds(self._gap),
            "mean": odds(mean),
            **({"special": coded} if coded else {}),
        }

    def _other(self, otherwise: float) -> float:
        return otherwise if self._others is None else self._others

    def _one(self, lines: Sequence[Line], words: frozenset[str]) -> float | None:
        found = [line for line in lines if (line.level or "").lower() in words]
        known = {level.lower() for level in self.feature.categories}
        found = [line for line in found if (line.level or "").lower() not in known]
        if len(found) > 1:
            raise self._error(found[1], f"is a second bin for {found[1].level}")
        return found[0].points if found else None

    def _error(self, line: Line, said: str) -> DataError:
        return DataError(f"{self.where} line {line.place} ('{line.feature}'): {said}.")

    def _by_level(self, lines: Sequence[Line]) -> dict[int, float]:
        found: dict[int, float] = {}
        for line in lines:
            if line.level is None:
                raise self._error(line, "a category needs a level")
            texts = [line.level] if line.level in self.feature.codes else [t.strip() for t in line.level.split("|")]
            for text in texts:
                if text not in self.feature.codes:
                    raise self._error(line, f"'{text}' is no level; there are {', '.join(self.feature.categories)}")
                if self.feature.codes[text] in found:
                    raise self._error(line, f"the level '{text}' has points already")
                found[self.feature.codes[text]] = line.points
        return found

    def _by_code(self, lines: Sequence[Line]) -> dict[float, float]:
        found: dict[float, float] = {}
        for line in lines:
            try:
                found[float(line.level or "")] = line.points
            except ValueError:
                raise self._error(line, f"'{line.level}' is no number, and '{self.feature.name}' is one") from None
        return found

    def _in_order(
        self, lines: Sequence[Line], closed: Closed | None, values: Floats
    ) -> list[tuple[float, float, float]]:
        """Bins (above, up to, points), each with its upper end as riskloop has it."""
        ordered = sorted(lines, key=lambda line: -math.inf if line.low is None else line.low)
        bins: list[tuple[float, float, float]] = []
        below = -math.inf
        for number, line in enumerate(ordered):
            following = ordered[number + 1] if number + 1 < len(ordered) else None
            if number and line.low is None:
                raise self._error(line, "is a second bin without a lower limit")
            if following is not None and line.high is None:
                raise self._error(line, "has no upper limit, and another bin follows")
            upper = math.inf if following is None else self._between(line, following, closed, values)
            bins.append((below, upper, line.points))
            below = upper
        if ordered:
            low, high = ordered[0].low, ordered[-1].high
            outside = (values < (-math.inf if low is None else low)) | (values > (math.inf if high is None else high))
            if outside.any():
                self.notes.append(
                    f"'{self.feature.name}': {int(outside.sum()):,} values lie outside of the table's limits; they "
                    "count to its first or last bin."
                )
        return bins

    def _between(self, line: Line, following: Line, closed: Closed | None, values: Floats) -> float:
        """The upper end of a bin: the largest double in it."""
        high, low = float(line.high or 0.0), float(following.low or 0.0)
        if low < high - _TIE * max(1.0, abs(high)):
            raise self._error(following, f"begins at {low:g}, and the bin before ends at {high:g}")
        if low > high:
            between = values[(values > high) & (values < low)]
            if between.size:
                self.notes.append(
                    f"'{self.feature.name}': {between.size:,} values lie between {high:g} and {low:g}; they count to "
                    "the bin below."
                )
            return float(np.nextafter(low, -math.inf))
        if closed is None and (values == high).any():
            raise ConfigError(
                f"{self.where}: {int((values == high).sum()):,} rows have '{self.feature.name}' = {high:g}, where one "
                "bin ends and the next begins. Say which of them it belongs to: --closed right (the one below) or "
                "--closed left (the one above)."
            )
        return float(np.nextafter(high, -math.inf)) if closed == "left" else high

    def _of_missing(self, values: Floats, used: bool) -> float:
        """The points of a missing value, and of a level without a line."""
        feature = self.feature
        if self._missing is not None or not used:
            return self._missing or 0.0
        everything = [*self._levels.values(), *self._codes.values(), *(points for _, _, points in self._ranges)]
        if self._others is not None:
            return self._others
        without = feature.kind == "category" and len(self._levels) < len(feature.categories)
        if feature.nullable or feature.unseen == "flag" or np.isnan(values).any() or without:
            what = "every level" if without else "a missing value"
            raise DataError(
                f"{self.where} has no points for {what} of '{feature.name}', which may come; add a line with the level "
                "'missing'" + (" and one with 'other'." if without else ".")
            )
        return min(everything)  # cannot come: riskloop refuses such a row

    def _points(self, values: Floats) -> Floats:
        """By asking every line for itself."""
        found, answers = np.full(len(values), np.nan), np.zeros(len(values), dtype=np.int64)

        def says(chosen: Any, points: float) -> None:
            found[chosen] = points
            answers[chosen] += 1

        coded = np.isin(values, list(self._codes)) if self._codes else np.zeros(len(values), dtype=np.bool_)
        for code, points in self._codes.items():
            says(values == code, points)
        for above, up_to, points in self._ranges:
            says(~coded & (values > above) & (values <= up_to), points)
        for level, points in self._levels.items():
            says(values == level, points)
        if self.feature.kind == "category":
            says(~np.isnan(values) & ~np.isin(values, list(self._levels)), self._other(self._gap))
        says(np.isnan(values), self._gap)
        wrong = np.flatnonzero(answers != 1)
        if wrong.size:
            value = self.feature.text(float(values[wrong[0]]))
            raise DataError(f"{self.where}: {int(answers[wrong[0]])} bins of '{self.feature.name}' hold {value}.")
        return found
