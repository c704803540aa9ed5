"""Columns that know the outcome because they were written after it: recoveries, a status, the date of a payoff.

A model that is trained on one is perfect on paper and blind in production, where the column is empty or different.
Five kinds of evidence, none of which needs a model: the column alone ranks too well; it holds values, or lacks them,
exactly where the outcome is; one end of its numbers belongs to defaults; its dates lie after the decision; its name
says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from riskloop.core.schema import Schema
from riskloop.core.types import Bools, Floats, Ints, Rows

ROWS: Final = 20_000  # of the sample that are looked at
BINS: Final = 24
FOLDS: Final = 3
LEAST: Final = 10  # rows of a class below which nothing is said
TOO_GOOD: Final = 0.9  # AUC of one column alone, two standard errors below what was found
GOOD: Final = 0.65  # … with a name that says so
LATE: Final = 0.5  # share of a column's dates that lie after the decision
PURE: Final = 0.98  # share of defaults among the rows that hold a value
PURE_END: Final = 0.2  # of the defaults, at one end of a number's values, with hardly any other row there
EXPECTED: Final = 15.0  # defaults that a part of the rows should have at the base rate, and has none of

# Written after the decision, whatever the rest of the name says …
_AFTER: Final = re.compile(
    r"recover(y|ies)|charge[_ ]?off|chgoff|write[_ ]?off|written[_ ]?off|coll(ection)?s?_?(recovery|fee|amount)|"
    r"last[_ ]?(pay|pymnt|pmt|fico|credit[_ ]?pull)|total[_ ]?(rec|pymnt|paid|payment)|out[_ ]?prncp|pay[_ ]?off|"
    r"paid[_ ]?(off|amount|to)|"
    r"settle|next[_ ]?(pay|pymnt)|(loan|account)[_ ]?status|"
    r"(closed|close|closing|closure|end|exit|resolution|resolved|termination|default|cure)[_ ]?"
    r"(date|at|on|day|time|reason|code)|time[_ ]?to[_ ]?default|"
    r"months?[_ ]?to[_ ]?(default|pay)|foreclos|repossess|bankruptcy[_ ]?(date|after)|hardship|"
    r"loss[_ ]?(amount|given)|lgd|outcome|days[_ ]?past[_ ]?due|debt[_ ]?settlement|net[_ ]?principal[_ ]?loss|"
    r"cycles[_ ]?delinquent|[_ ]after(wards?)?$|current[_ ]?(balance|status|dpd)|"
    r"payments?[_ ]?(made|received|to[_ ]?date|so[_ ]?far)|(customer|borrower|client)[_ ]?payments?|"
    r"(principal|interest|capital|amount)[_ ]?(re)?(paid|payments?|collected|recovered)|instal?ments?[_ ]?paid|"
    r"(re)?paid[_ ]?(principal|interest|amount|to[_ ]?date|so[_ ]?far)|collected|post[_ ]?default|worse?(t)?[_ ]?late|"
    r"(gross|principal)[_ ]?loss|days[_ ]?(delinquent|late|overdue)|default(ed)?[_ ]?(amount|balance)|repo[_ ]?date",
    re.IGNORECASE,
)
# … of those, what nobody can know of a loan that is decided on; other words may be of a loan that runs already.
_NEVER_BEFORE: Final = re.compile(
    r"recover(y|ies)|charge[_ ]?off|chgoff|write[_ ]?off|written[_ ]?off|pay[_ ]?off|out[_ ]?prncp|settle(ment|d)|"
    r"foreclos|repossess|(^|[_ ])lgd|loss[_ ]?given|net[_ ]?principal[_ ]?loss|time[_ ]?to[_ ]?default|"
    r"months?[_ ]?to[_ ]?default|default[_ ]?(date|reason)|last[_ ]?pymnt|next[_ ]?pymnt|total[_ ]?(rec[_ ]|pymnt)",
    re.IGNORECASE,
)
# … unless it says that it looks back.
_BEFORE: Final = re.compile(
    r"prev|prior|past(?!_?due)|hist|before|bureau|ever|within|(12|24|36|6|3)_?(m|mth|mths|months)|last_?(year|\d)|inq|"
    r"pub_rec|at_?application|initial|opening|number_of|num_|count|_cnt",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Alone:
    """How well one column alone ranks, out of fold."""

    auc: float
    error: float  # standard error

    @property
    def least(self) -> float:
        """Two standard errors below."""
        return self.auc - 2.0 * self.error


def rank_alone(
    values: npt.NDArray[Any],
    defaults: Bools,
    seed: int = 0,
    codes: Ints | None = None,
    customers: Ints | None = None,
) -> Alone | None:
    """AUC of the default rates of a column's bins or levels, each rate learned on other customers' rows.

    Missing values and the most frequent value have bins of their own; ``codes`` are `bins_of` the values, and
    ``customers`` (n,) numbers of whose rows they are, where somebody has several: a postcode of few loans knows theirs.
    None where a class has too few rows.
    """
    if min(int(defaults.sum()), int((~defaults).sum())) < LEAST:
        return None
    codes = bins_of(values) if codes is None else codes
    drawn = np.random.default_rng(seed).integers(0, FOLDS, len(codes))
    fold = drawn if customers is None else drawn[customers]
    size, base = int(codes.max()) + 1, float(defaults.mean())
    shape = (FOLDS, size)
    rows = np.bincount(fold * size + codes, minlength=FOLDS * size).reshape(shape)
    bad = np.bincount((fold * size + codes)[defaults], minlength=FOLDS * size).reshape(shape)
    scores = (bad.sum(axis=0) - bad + 5 * base) / (rows.sum(axis=0) - rows + 5)  # of each fold's bins, by other folds
    return _ranked(scores.ravel(), bad.ravel(), (rows - bad).ravel())


def _ranked(scores: Floats, bad: Ints, good: Ints) -> Alone:
    """AUC and DeLong's error of rows that come in groups (k,) of one score each: their placements are counts."""
    distinct, group = np.unique(scores, return_inverse=True)
    bad = np.bincount(group, bad, len(distinct))
    good = np.bincount(group, good, len(distinct))
    below = (np.cumsum(good) - good / 2) / good.sum()  # share of the others below a default of the group
    above = (bad.sum() - np.cumsum(bad) + bad / 2) / bad.sum()
    area = float(below @ bad / bad.sum())
    variance = sum(
        float(((part - area) ** 2 @ size) / (size.sum() - 1) / size.sum())
        for part, size in ((below, bad), (above, good))
    )
    return Alone(area, float(np.sqrt(variance)))


def bins_of(values: npt.NDArray[Any]) -> Ints:
    """Each row's bin: 0 for missing, then the most frequent value, then levels or quantiles."""
    if values.dtype == object:
        levels, codes = np.unique(np.array(["" if v is None else f"={v}" for v in values]), return_inverse=True)
        return np.asarray(codes + (0 if levels[0] == "" else 1), dtype=np.int64)
    codes = np.zeros(len(values), dtype=np.int64)
    known = np.isfinite(values)
    present = values[known]
    if not present.size:
        return codes
    distinct, counts = np.unique(present, return_counts=True)
    spike = distinct[counts.argmax()]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1]))
    codes[known] = np.where(present == spike, 1, 2 + np.searchsorted(edges, present, side="right"))
    return codes


def customers_of(ids: npt.NDArray[Any]) -> Ints | None:
    """A number for each row's customer (n,); None where nobody has several rows."""
    distinct, numbers = np.unique(ids.astype(str), return_inverse=True)
    return None if len(distinct) == len(ids) else np.asarray(numbers, dtype=np.int64)


def evidence_of_leak(
    name: str,
    values: npt.NDArray[Any],
    defaults: Bools,
    codes: Ints,
    times: Floats | None = None,
    dates: Floats | None = None,
    customers: Ints | None = None,
) -> str | None:
    """Why a column is taken to have been written after the outcome, in one sentence; None when nothing says so.

    ``codes`` are `bins_of` the values. ``dates`` are the column's values as times (n,), where it is a date, and
    ``times`` those of the decisions; ``customers`` as `rank_alone` has them.
    """
    named = named_after(name)
    if dates is not None and times is not None and (late := _late(dates, times)) > LATE:
        return f"{late:.0%} of its dates lie after the decision"
    if (pure := _pure(values, defaults, codes) or _pure_end(values, defaults, codes)) is not None:
        return pure
    alone = rank_alone(values, defaults, codes=codes, customers=customers)
    if alone is None:
        return None
    if alone.least > TOO_GOOD:
        return f"alone it ranks with an AUC of {alone.auc:.3f} (±{2 * alone.error:.3f}), too good for one column"
    if named and alone.least > GOOD:
        return f"its name says that it is known after the decision, and alone it has an AUC of {alone.auc:.3f}"
    return None


def leaks_among(rows: Rows, schema: Schema) -> dict[str, str]:
    """The model inputs of labelled rows that seem to be written after the outcome, each with its evidence.

    `init` leaves such columns out; this is for a configuration that was written or changed by hand.
    """
    outcome = np.asarray(rows.target, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(outcome))
    if len(known) > ROWS:
        known = known[np.linspace(0, len(known) - 1, ROWS).astype(np.int64)]
    customers = customers_of(np.asarray(rows.ids, dtype=object)[known])
    found = {}
    for column in schema.model_columns:
        feature, values = schema.features[column], rows.features[known, column]
        if feature.kind == "category":  # levels, whose codes have no order
            levels = [None if np.isnan(value) else feature.text(value) for value in values.tolist()]
            values = np.array(levels, dtype=object)
        evidence = evidence_of_leak(feature.name, values, outcome[known] == 1.0, bins_of(values), customers=customers)
        if evidence is not None:
            found[feature.name] = evidence
    return found


def surely_after(name: str) -> bool:
    """Whether a name is of something that nobody can know when a loan is decided on: recoveries, a payoff."""
    return named_after(name) and _NEVER_BEFORE.search(name) is not None


def named_after(name: str) -> bool:
    """Whether a name says that a column is known only after the decision."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return _AFTER.search(name) is not None and _BEFORE.search(name) is None


def are_late(dates: Floats, times: Floats) -> bool:
    """Whether most of the dates lie after the decisions."""
    return _late(dates, times) > LATE


def _late(dates: Floats, times: Floats) -> float:
    both = np.isfinite(dates) & np.isfinite(times)
    return float((dates[both] > times[both]).mean()) if both.sum() >= LEAST else 0.0


def _pure(values: npt.NDArray[Any], defaults: Bools, codes: Ints) -> str | None:
    """Values, or gaps, that come with one outcome only."""
    base = float(defaults.mean())
    for part, what in _parts(values, codes):
        size, bad = int(part.sum()), int(defaults[part].sum())
        if size < LEAST or size > len(values) - LEAST:
            continue
        if bad >= max(LEAST, PURE * size) and base < 0.8 and bad >= 0.2 * defaults.sum():
            return f"{bad:,} of the {size:,} rows {what} are defaults ({base:.1%} of all are)"
        if bad == 0 and size * base >= EXPECTED and size >= 0.2 * (~defaults).sum():
            return f"none of the {size:,} rows {what} is a default ({base:.1%} of all are)"
    return None


def _pure_end(values: npt.NDArray[Any], defaults: Bools, codes: Ints) -> str | None:
    """One end of a number's values that only defaults reach: a score that was renewed when the customer had failed.

    A good column leaves some others at its end, unless more than two rows in five are defaults.
    """
    base = float(defaults.mean())
    if values.dtype == object or base > 0.4 or not (codes > 0).any():
        return None
    numbers = np.where(codes > 0, values, np.nan)
    for sign in (1.0, -1.0):
        order = np.argsort(sign * numbers, kind="stable")[: int((codes > 0).sum())]
        bad, rows = np.cumsum(defaults[order]), np.arange(1, len(order) + 1)
        last = np.flatnonzero(np.append(np.diff(numbers[order]) != 0, True))  # equal values go together
        pure = last[bad[last] >= np.maximum(PURE * rows[last], max(3 * LEAST, PURE_END * defaults.sum()))]
        if pure.size:
            end = int(pure[-1])
            shown = f"up to {numbers[order[end]]:.10g}" if sign > 0 else f"from {numbers[order[end]]:.10g} on"
            return f"{bad[end]:,} of the {rows[end]:,} rows {shown} are defaults ({base:.1%} of all are)"
    return None


def _parts(values: npt.NDArray[Any], codes: Ints) -> Sequence[tuple[Bools, str]]:
    """With and without a value; with and without the most frequent one; each frequent level."""
    empty: Bools = np.asarray(codes == 0)
    parts = [(~empty, "that hold a value"), (empty, "where it is missing")]
    if values.dtype == object:
        counts = np.bincount(codes)
        for code in np.argsort(-counts)[:8].tolist():
            if code and counts[code] >= LEAST:
                level = next(value for value, c in zip(values, codes, strict=True) if c == code)
                parts.append((np.asarray(codes == code), f"with {level!r}"))
        return parts
    spike: Bools = np.asarray(codes == 1)
    if 0.05 * len(values) < spike.sum() < 0.98 * len(values):
        shown = f"{values[spike][0]:.10g}"
        parts += [(~spike & ~empty, f"that hold anything but {shown}"), (spike, f"that hold {shown}")]
    return parts
