"""From a history to a first riskloop.toml: every guess is written down where a person can see and change it."""

import difflib
import json
import math
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.settings import Section, Settings, duration_text
from riskloop.core.types import Problem
from riskloop.core.values import level_text, parse_number, parse_time
from riskloop.data.columns import TARGETS
from riskloop.data.read import read_table

MOST_LEVELS: Final = 100  # a text column with more is a key or free text
MOST_CODES: Final = 50  # a column of integers with more is a number, whatever its name says
NUMERIC_SHARE: Final = 0.95  # of the distinct values: above it the others are errors, not levels

# Parts of column names, and what they give away.
_CODE: Final = (
    "branch|category|channel|citizenship|city|class|code|country|county|district|education|employment|ethnic|ethnicity|"
    "gender|grade|group|housing|industry|job|marital|marriage|nationality|occupation|ownership|product|profession|"
    "province|purpose|race|region|religion|sector|segment|sex|state|status|type|zone"
)
_PROTECTED: Final = (
    "birth|birthdate|birthday|citizenship|disability|dob|ethnic|ethnicity|gender|marital|marriage|nationality|origin|"
    "pregnancy|pregnant|race|religion|sex"
)
_PERSON: Final = "age|applicant|band|bin|borrower|client|customer|group|in|person|years|yrs"
_TIME: Final = (
    "applied|at|created|date|datetime|day|granted|issued|month|opened|period|quarter|time|timestamp|vintage|week"
)
_ID: Final = "id|key|number|nr|no"


@dataclass(frozen=True)
class _Column:
    """What the distinct values of one column look like."""

    name: str
    rows: int
    missing: int
    levels: tuple[str, ...]  # distinct values as text, in order of first appearance
    numbers: tuple[float, ...]  # those that are numbers

    @property
    def words(self) -> list[str]:
        """The name's parts: ``maritalStatus`` and ``MARITAL_STATUS`` are marital, status."""
        return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name).lower())

    def named(self, pattern: str) -> bool:
        """Whether a part of the name is one of the words."""
        return any(re.fullmatch(pattern, word) for word in self.words)

    @property
    def numeric(self) -> bool:
        return bool(self.numbers) and len(self.numbers) >= NUMERIC_SHARE * len(self.levels)

    @property
    def whole(self) -> bool:
        """Every value is an integer."""
        return len(self.numbers) == len(self.levels) and all(x.is_integer() for x in self.numbers)

    @property
    def unique(self) -> bool:
        return self.missing == 0 and len(self.levels) == self.rows

    @property
    def dated(self) -> bool:
        """Every value is a date, and not merely a small integer."""
        if self.numeric and not (self.whole and min(self.numbers) >= 1000_01):
            return False
        return bool(self.levels) and all(_is_time(level) for level in self.levels)


def infer_config(
    path: Path | str,
    *,
    target: str,
    id: str | None = None,  # noqa: A002 - as the setting is called
    time: str | None = None,
    folder: Path | None = None,
    table: pa.Table | None = None,
) -> str:
    """The text of a commented riskloop.toml, to be written into ``folder``, for the labelled history at ``path``.

    With ``table`` the history has been read already, and ``path`` only names it.
    Raises NotFound or MalformedBody for the file, DataError when a named column is not there or the target is not
    0/1 (yes/no, true/false), ConfigError when no column is left that a model could use.
    """
    table = read_table(path) if table is None else table
    if table.num_rows == 0:
        raise DataError(f"{path} holds no rows.")
    columns = {name: _column(name, table[name]) for name in table.column_names}
    for name in (target, id, time):
        if name is not None and name not in columns:
            raise no_column(path, name, columns)
    _check_target(path, columns[target])
    if time is not None and not all(_is_time(level) for level in columns[time].levels):
        odd = next(level for level in columns[time].levels if not _is_time(level))
        raise DataError(f"{path}: column '{time}' holds {odd!r}, which is no date; name another column with --time.")
    rest = [column for name, column in columns.items() if name not in (target, id, time)]
    found_id = id or next((c.name for c in rest if _is_id(c)), None)
    found_time = time or next((c.name for c in rest if c.name != found_id and _is_time_column(c)), None)
    rest = [c for c in rest if c.name not in (found_id, found_time)]
    ignored = {c.name: reason for c in rest if (reason := _useless(c)) is not None}
    features = [c for c in rest if c.name not in ignored]
    if not any(not _protected(c) for c in features):
        raise ConfigError(f"{path} has no column that a model could use beside '{target}'.")
    # Relative paths of a configuration start at its folder; with both in one place the folder can be moved.
    stored = Path(path) if folder is None else Path(os.path.relpath(path, folder))
    lines = _portfolio(stored, columns[target], (found_id, id), (found_time, time), ignored)
    for column in features:
        lines += _feature(column)
    return "\n".join([*lines, *_defaults()]) + "\n"


def _column(name: str, values: pa.ChunkedArray) -> _Column:
    encoded = values.dictionary_encode().unify_dictionaries()
    distinct = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
    levels = dict.fromkeys(level_text(v) for v in distinct if v is not None and v == v)
    missing = values.null_count + (int(pc.sum(pc.is_nan(values)).as_py() or 0) if _floating(values) else 0)
    numbers = (parse_number(level) for level in levels)
    return _Column(name, len(values), missing, tuple(levels), tuple(x for x in numbers if math.isfinite(x)))


def _floating(values: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_floating(values.type))


def _is_time(level: str) -> bool:
    try:
        parse_time(level)
    except (ValueError, OverflowError):
        return False
    return True


# --------------------------------------------------------------------------- guesses


def _is_id(column: _Column) -> bool:
    named = column.named(_ID) or column.name.lower().endswith("id")
    return column.unique and named and (column.whole or not column.numeric)


def _is_time_column(column: _Column) -> bool:
    return column.missing == 0 and len(column.levels) > 1 and column.named(_TIME) and column.dated


def _protected(column: _Column) -> bool:
    # An age is a person's unless the name says what else is so old: account_age, age_of_loan.
    of_person = "age" in column.words and all(re.fullmatch(_PERSON, word) for word in column.words)
    return of_person or column.named(_PROTECTED)


def _category(column: _Column) -> bool:
    if not column.numeric:
        return True
    return column.whole and len(column.levels) <= MOST_CODES and column.named(_CODE)


def _useless(column: _Column) -> str | None:
    """Why a column cannot help a model, or None."""
    if not column.levels:
        return "empty"
    if len(column.levels) == 1 and not column.missing:
        return f"the same value {json.dumps(column.levels[0])} in every row"
    if _is_id(column):
        return "another id"
    if column.dated and (column.named(_TIME) or not column.numeric):
        return "dates; a model needs a number made from them"
    if not column.numeric and len(column.levels) > MOST_LEVELS:
        return f"{len(column.levels):,} different texts: free text or a key"
    return None


def _check_target(path: Path | str, target: _Column) -> None:
    odd = [level for level in target.levels if level.lower() not in TARGETS]
    if odd:
        raise DataError(
            f"{path}: the target column '{target.name}' holds {', '.join(map(repr, odd[:3]))}; it has to be 1 for a "
            "default and 0 for none (yes/no and true/false are read too).",
            [Problem(target.name, "is not 0 or 1", level) for level in odd[:5]],
        )
    if target.missing:
        raise DataError(
            f"{path}: the target column '{target.name}' is missing in {target.missing:,} rows; leave those rows out."
        )
    if len({TARGETS[level.lower()] for level in target.levels}) < 2:
        raise DataError(f"{path}: the target column '{target.name}' has one class only; a history needs both.")


def no_column(path: Path | str, name: str, columns: Collection[str]) -> DataError:
    """What to raise for a column that the file does not have."""
    close = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(list(columns)[:30])}."
    return DataError(f"{path} has no column '{name}'; {hint}", [Problem(name, "is not a column")])


# --------------------------------------------------------------------------- text


def _portfolio(
    path: Path,
    target: _Column,
    id_column: tuple[str | None, str | None],
    time_column: tuple[str | None, str | None],
    ignored: dict[str, str],
) -> list[str]:
    lines = [
        f"# Inferred from {_comment(path.name)} ({target.rows:,} rows). Read it once: above all the kinds, the",
        "# protected columns, and what is ignored. Whatever is commented out stands at its default.",
        "",
        "[portfolio]",
        f"name = {json.dumps(path.stem)}",
        f"history = {json.dumps(str(path))}",
        f"target = {json.dumps(target.name)}",
    ]
    found_id, given_id = id_column
    if found_id is None:
        lines.append('# id = "…"  # no column is unique and named like an id; rows are numbered instead')
    else:
        lines.append(f"id = {json.dumps(found_id)}" + ("" if given_id else "  # guessed: unique, and named like an id"))
    found_time, given_time = time_column
    if found_time is None:
        lines.append('# time = "…"  # no column looks like a date; decisions get the time at which they are scored')
    else:
        lines.append(
            f"time = {json.dumps(found_time)}" + ("" if given_time else "  # guessed: named and read like a date")
        )
    if ignored:
        lines.append("ignore = [")
        lines += [f"  {json.dumps(name)},  # {_comment(reason)}" for name, reason in ignored.items()]
        lines.append("]")
    lines.append('outcome_window = "30d"  # how long after a decision its outcome counts as final')
    return lines


def _feature(column: _Column) -> list[str]:
    lines = ["", f"[features.{_key(column.name)}]"]
    if _category(column):
        levels = sorted(column.levels, key=_level_order)
        lines.append('kind = "category"')
        if column.numeric:
            lines[-1] += "  # guessed: few integers, and named like a code"
        lines.append(f"categories = {json.dumps(levels, ensure_ascii=False)}")
        lines.append('# unseen = "flag"  # score a level never seen as missing, instead of refusing it')
    else:
        low, high = min(column.numbers), max(column.numbers)
        lines.append('kind = "number"')
        lines.append(f"# range = [{low:.15g}, {high:.15g}]  # seen here; as a setting it refuses everything outside")
        if len(column.numbers) < len(column.levels):
            odd = next(level for level in column.levels if not math.isfinite(parse_number(level)))
            lines.append(
                f"# Not all values are numbers, for example {_comment(repr(odd))}: training will name the lines."
            )
    if column.missing:
        lines.append(f"nullable = true  # missing in {column.missing:,} of {column.rows:,} rows")
    if _protected(column):
        lines.append("protected = true  # guessed from its name: kept for fairness checks, no model input")
    return lines


def _defaults() -> list[str]:
    """The other sections with their defaults, commented out."""
    lines = [
        "",
        "# A scikit-learn classifier beside the built-in learners; name it in 'learners' of [train] too.",
        "# [learners.forest]",
        '# estimator = "sklearn.ensemble.ExtraTreesClassifier"',
        "# params = { n_estimators = 300, min_samples_leaf = 20 }",
    ]
    for section, info in Settings.model_fields.items():
        settings = info.default
        if isinstance(settings, Section):
            lines += ["", f"[{section}]  # {_comment(type(settings).__doc__ or '')}", *_values(settings)]
    return lines


def _values(settings: BaseModel) -> list[str]:
    return [
        f"# {name} = {_toml(getattr(settings, name))}  # {_comment(info.description or '')}"
        for name, info in type(settings).model_fields.items()
    ]


def _toml(value: Any) -> str:
    if isinstance(value, timedelta):
        value = duration_text(value)
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _comment(text: str) -> str:
    """One line without control characters, which TOML refuses even in comments."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _level_order(level: str) -> tuple[int, float, str]:
    number = parse_number(level)
    return (0, number, level) if math.isfinite(number) else (1, 0.0, level)
