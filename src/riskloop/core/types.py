"""Frozen messages between the stages. Stages never import each other; they hand these over.

Arrays inside messages are NumPy float64 unless a comment says otherwise and must not be written to.
Every ``datetime`` is timezone-aware UTC; a naive one is refused at construction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Json = dict[str, Any]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAY: Final = 86_400_000_000  # microseconds


class Problem(NamedTuple):
    """One thing wrong with one field of a request, a row or a setting."""

    field: str
    problem: str
    value: Any = None


def require_utc(moment: datetime, name: str) -> None:
    """Refuse naive datetimes: outcome windows across a time zone change are wrong by an hour or a day."""
    if moment.tzinfo is None or moment.utcoffset() != timedelta(0):
        raise ValueError(f"{name} must be a UTC datetime, got {moment!r}")


def as_utc(moment: datetime) -> datetime:
    """The moment in UTC, read as UTC when it names no zone. ValueError when that is not in the years 1 to 9999."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} is not in the years 1 to 9999 in UTC") from None


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly (no float in between)."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The inverse of :func:`to_micros`."""
    return EPOCH + timedelta(microseconds=int(micros))


def iso(moment: datetime, timespec: str = "microseconds") -> str:
    """A UTC datetime as ``2025-03-31T09:30:00.123456Z``; ``timespec`` as in `datetime.isoformat`."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


# --------------------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class Rows:
    """Checked rows in the schema's feature order; what `data.read` makes of any file or frame."""

    features: Floats  # shape (n, number of schema features); NaN = missing; category = index of its level
    ids: Sequence[str]  # length n; where there is no id column, a history's row numbers as text, else empty
    times: Ints  # length n, microseconds since the epoch; 0 where the row does not say
    target: Floats | None = None  # length n, 0.0 or 1.0; None when the rows carry no target
    unseen: Mapping[int, Mapping[str, str]] = field(default_factory=dict)  # row to feature to the level's text

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def take(self, index: Ints | Bools) -> "Rows":
        """The rows at ``index``, in that order."""
        positions = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return Rows(
            features=self.features[positions],
            ids=[self.ids[i] for i in positions],
            times=self.times[positions],
            target=None if self.target is None else self.target[positions],
            unseen={new: self.unseen[old] for new, old in enumerate(positions.tolist()) if old in self.unseen}
            if self.unseen
            else {},
        )


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one model decided on many rows at one moment, column by column; the log has not numbered them yet."""

    customer_ids: Sequence[str]  # empty where the schema has no id column
    times: Sequence[int]  # microseconds
    scored_at: int  # microseconds
    model_version: int
    probabilities: Floats
    defaults: Bools  # who is declined: all from the model's threshold on, but for those that were explored
    features: Floats  # (n, k), C-contiguous
    flags: Sequence[str | None] | None = None  # JSON texts; None: nothing to say about any row

    def __len__(self) -> int:
        return len(self.customer_ids)


@dataclass(frozen=True, slots=True)
class Spoken:
    """How people speak of a feature."""

    label: str = ""  # empty: its column's name
    unit: str = ""
    raises: str = ""  # the reason, as a letter to the customer says it; empty: the label and the value
    lowers: str = ""

    def reason(self, name: str, value: str, part: float) -> str:
        """The sentence on a contribution of the feature called ``name``, which raises the risk above 0."""
        said = self.raises if part > 0.0 else self.lowers
        unit = f" {self.unit}" if self.unit and value not in ("missing", "unseen") else ""
        return said or f"{self.label or name} = {value}{unit} {'raises' if part > 0.0 else 'lowers'} the risk"


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature's contribution to one probability."""

    feature: str
    contribution: float  # log-odds towards default, on the champion's raw score
    text: str  # for a person: "PAY_0 = 2 raises the risk"


@dataclass(frozen=True, slots=True)
class Decision:
    """One scored customer, as logged and as answered."""

    decision_id: int  # consecutive within a portfolio: a missing number is a missing decision
    customer_id: str
    time: datetime  # when the customer was decided on (the request's time column, else scored_at)
    scored_at: datetime  # when the server computed it
    model_version: int
    probability: float  # in (0, 1)
    default: bool  # probability >= the model's threshold, unless it was explored (core/exploration.py)
    features: Floats  # the schema's feature order of that model version
    flags: Json = field(default_factory=dict)  # {"missing": [...], "unseen": {feature: text}, "explored": true, …}


@dataclass(frozen=True, slots=True)
class DecisionFrame:
    """Many logged decisions, column by column, ordered by id. Outcomes only where known and mature."""

    ids: Ints
    customer_ids: Sequence[str]
    times: Ints  # microseconds
    model_versions: Ints
    probabilities: Floats
    features: Floats  # (n, k)
    outcomes: Floats  # 1.0 default, 0.0 not, NaN immature or unknown
    declined: Bools | None = None  # what its model would have declined, explored ones included; None: not read
    exploration: Floats | None = None  # the rate where it was approved at random, 0 elsewhere; None: not read

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    @property
    def approved(self) -> Bools:
        """Who was approved, explored ones included, shape (n,). ValueError when that was not read."""
        if self.declined is None or self.exploration is None:
            raise ValueError("these decisions were read without what was decided")
        return ~self.declined | (self.exploration > 0.0)

    def take(self, index: Ints) -> "DecisionFrame":
        """The decisions at ``index``, in that order."""
        return DecisionFrame(
            ids=self.ids[index],
            customer_ids=[self.customer_ids[i] for i in index.tolist()],
            times=self.times[index],
            model_versions=self.model_versions[index],
            probabilities=self.probabilities[index],
            features=self.features[index],
            outcomes=self.outcomes[index],
            declined=None if self.declined is None else self.declined[index],
            exploration=None if self.exploration is None else self.exploration[index],
        )


# --------------------------------------------------------------------------- monitoring


class Severity(StrEnum):
    """How a finding weighs in the diagnosis."""

    OK = "ok"
    NOISE = "noise"  # above the band, but not above what chance gives at this size
    DRIFTED = "drifted"
    SEVERE = "severe"
    FAULT = "fault"
    UNKNOWN = "unknown"  # could not be computed; the finding says why


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check on one window."""

    check: str  # "psi", "missing_rate", "scale", "duplicates", "auc", …
    subject: str  # a feature's name, "score", or "window"
    severity: Severity
    statistic: float | None  # None when the check could not run
    critical: float | None  # the value that the statistic had to exceed
    null: str  # the null hypothesis in words
    source: str  # the paper, book or rule behind the check
    n: int  # rows in the window
    m: int  # rows in the reference
    sentence: str  # what it means, for a person
    details: Json = field(default_factory=dict)


class Urgency(StrEnum):
    """How soon people have to know."""

    INFO = "info"  # it is done, and nobody has to act
    WARNING = "warning"  # somebody should look
    CRITICAL = "critical"  # decisions are wrong, or nothing is watched any more


class Diagnosis(StrEnum):
    """Why production differs from history."""

    STABLE = "stable"
    DATA_FAULT = "data_fault"
    LABEL_FAULT = "label_fault"  # of the outcome feed: a case's, never a window's
    COVARIATE_SHIFT = "covariate_shift"
    PRIOR_SHIFT = "prior_shift"
    CONCEPT_DRIFT = "concept_drift"
    NOT_ENOUGH_DATA = "not_enough_data"


@dataclass(frozen=True, slots=True)
class Rung:
    """One explanation on the ladder, with what speaks for and against it."""

    explanation: Diagnosis
    holds: bool
    evidence_for: tuple[str, ...]
    evidence_against: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """The ladder's answer for one window."""

    diagnosis: Diagnosis
    confirmed: bool  # enough windows agree (or one severe one): the policy may act
    sentence: str
    rungs: tuple[Rung, ...]


class Action(StrEnum):
    """What the policy orders."""

    NONE = "none"
    QUARANTINE = "quarantine"
    RECALIBRATE = "recalibrate"
    RETRAIN = "retrain"


# --------------------------------------------------------------------------- gate and promotion


class Verdict(StrEnum):
    """The gate's answer."""

    PROMOTE = "promote"
    KEEP = "keep"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"
    NEEDS_APPROVAL = "needs_approval"


@dataclass(frozen=True, slots=True)
class Check:
    """One test of the gate."""

    name: str
    passed: bool | None  # None: could not be judged with these rows
    statistic: float | None
    threshold: float | None
    source: str
    sizes: Mapping[str, int]  # {"rows": …, "defaults": …}
    sentence: str
    details: Json = field(default_factory=dict)

    @property
    def word(self) -> Literal["Passed", "Failed", "Undecided", "Note"]:
        """What it came to. A note informs and decides nothing, whatever it found."""
        if self.name in NOTES:
            return "Note"
        return "Undecided" if self.passed is None else "Passed" if self.passed else "Failed"


NOTES: Final = frozenset({"outcome_coverage", "reject_inference"})  # checks that inform


@dataclass(frozen=True, slots=True)
class GateReport:
    """The verdict with all its evidence; stored as it is, shown as plain sentences."""

    verdict: Verdict
    sentence: str
    checks: tuple[Check, ...]
    champion_auc: float | None
    challenger_auc: float | None
    defaults_needed: int | None = None  # further matured defaults until the test has power
    retry_defaults: int | None = None  # further ones that the next try will probably have
    evaluation: str | None = None  # sha256 of the artefact with the scores that were judged; None: nothing was kept


@dataclass(frozen=True, slots=True)
class Try:
    """One test of a challenger against a champion: what it spent of the alpha budget."""

    champion: int
    at: datetime
    alpha: float  # the level that it used
    evidence: str  # fingerprint of labels and scores: the same evidence, tried twice, is one try

    def __post_init__(self) -> None:
        require_utc(self.at, "Try.at")


class PromotionKind(StrEnum):
    """Why the champion changed."""

    FIRST = "first"
    GATE = "gate"  # the gate says so, whoever asked
    APPROVED = "approved"  # by a person: outside the plan of the gate, or as every promotion (`gate.approval`)
    FORCED = "forced"  # by a person, without the gate or against it
    ROLLBACK = "rollback"  # by a person
    PROBATION = "probation"  # an automatic rollback

    @property
    def takes_back(self) -> bool:
        """Whether an earlier champion came back."""
        return self in (PromotionKind.ROLLBACK, PromotionKind.PROBATION)

    @property
    def brings_challenger(self) -> bool:
        """Whether a new version took the champion's place."""
        return self in (PromotionKind.GATE, PromotionKind.APPROVED, PromotionKind.FORCED)


@dataclass(frozen=True, slots=True)
class Promotion:
    """One row of the append-only ledger. The last row names the champion."""

    seq: int  # 1, 2, 3 … without gaps; the next number is the compare-and-swap
    version: int
    previous: int | None
    kind: PromotionKind
    at: datetime
    by: str  # a key's name, a user, or "riskloop"
    reason: str
    evidence: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_utc(self.at, "Promotion.at")
