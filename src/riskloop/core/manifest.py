"""What an artefact says of itself: typed, versioned, and written in the same bytes for the same content.

A manifest holds no clock time. It is read by the reader of its own format, so that decisions of years ago replay.
To change the layout so that the reader of today could not read it: raise `FORMAT`, change the structs, add a reader
for the new number to `READERS`, and let the old number's reader turn the old layout into the new structs; an artefact
of each old number is a test fixture (`tests/old/`). A new key with a default needs no new number.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar, cast

import msgspec
import numpy as np

from riskloop.core.errors import ArtefactError, ConfigError
from riskloop.core.maturity import Maturity, Silence
from riskloop.core.numbers import signed
from riskloop.core.schema import Schema
from riskloop.core.span import Span
from riskloop.core.types import Action, Diagnosis, Floats, Json

MAX_LOG_ODDS: Final = 30.0  # beyond it a double cannot tell the probability from 0 or 1
MIN_PROBABILITY: Final = 1e-9  # 0 and 1, which forests give, have no log-odds


FORMAT: Final = 1  # what is written; READERS, below, reads it and every older one


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest of any artefact holds."""

    format: int = FORMAT
    files: dict[str, str] = {}  # sha256 by file name; `seal` fills it


M = TypeVar("M", bound=Manifest)


# --------------------------------------------------------------------------- a model


@dataclass(frozen=True, slots=True)
class Calibration:
    """p = sigmoid(a + b·z) for raw log-odds z. b > 0, so that the ranking, and with it every AUC, stays."""

    a: float = 0.0
    b: float = 1.0

    def apply(self, z: Floats) -> Floats:
        """Probabilities in (0, 1), shape of ``z``."""
        from scipy.special import expit

        p: Floats = expit(np.clip(self.a + self.b * z, -MAX_LOG_ODDS, MAX_LOG_ODDS))
        return p

    def then(self, line: "Calibration") -> "Calibration":
        """One calibration that does what this one and ``line`` after it do."""
        return Calibration(line.a + line.b * self.a, line.b * self.b)


class RiskLevels(msgspec.Struct, frozen=True):
    """Upper ends of the risk levels, as probabilities; above `high` it is `very_high`."""

    low: float
    medium: float
    high: float


class ModelMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How good the model was on rows that it had not seen."""

    auc: float  # mean of the folds
    auc_low: float  # 95% confidence interval
    auc_high: float
    gini: float
    ks: float
    brier: float
    log_loss: float
    folds: tuple[float, ...]  # AUC of each


class LearnerAuc(msgspec.Struct, frozen=True):
    """One learner's mean AUC over the folds with its 95% confidence interval."""

    auc: float
    low: float
    high: float


class Size(msgspec.Struct, frozen=True):
    """How large the boosted trees of a model are; found by a search (`riskloop.train.size`)."""

    leaves: int = 8
    least_leaf: int = 50  # rows of a leaf
    columns: float = 1.0  # share of the columns that a tree may split
    l2: float = 0.0  # penalty on the leaves' values
    rate: float = 0.05  # learning rate
    trees: int = 250
    rows: float = 20_000.0  # training rows with which so many trees are best
    drawn: bool = False  # a split takes the best of thresholds that are drawn, one a column: less noise is learned


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """A state of the decision log, as far as it may be learned from; `loop/snapshot.py` takes and reads it."""

    decisions: int  # highest decision id
    outcomes: int  # highest outcome id
    matured_by: int  # microseconds: the latest decision time up to which the outcome feed was complete
    quarantined: tuple[Span, ...]  # what stays out, also because it was not judged yet
    silence: Silence = "unknown"  # what no report up to then means
    silent_declined: bool = False
    held: tuple[tuple[int, int], ...] = ()  # first and last ids of outcomes in quarantine
    share: float = 1.0  # of all decisions, and of the history, that was read; drawn by their numbers

    @property
    def maturity(self) -> Maturity:
        """Which outcomes counted."""
        return Maturity(self.matured_by, self.outcomes, self.silence, self.silent_declined, self.held)


class RetrainOrder(msgspec.Struct, frozen=True):
    """What a challenger was to be made of. The same order makes the same bytes."""

    champion: int  # version that the challenger wants to follow
    action: Action
    diagnosis: Diagnosis
    since: int | None  # first microsecond of the new world
    snapshot: Snapshot
    settings: Json = {}  # those that matter and are not in the manifest already


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The very rows of a retraining, and how they were weighted."""

    fingerprint: str  # sha256 over ids, features, outcomes and weights
    rows: int
    defaults: int
    decisions: tuple[tuple[int, int], ...]  # runs of decision ids, both ends included
    history: tuple[tuple[int, int], ...]  # runs of positions in the history, both ends included
    share: float = 1.0  # of these runs only what `core.sampling` draws was learned from
    explored: int  # rows that stand for declined applicants
    weighting: str
    since: int | None  # first microsecond of the new world
    effective_size: float  # Kish's (Σw)²/Σw²
    order: RetrainOrder | None = None  # None: was made by hand


class PdLevel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the PDs were levelled to, and what stands beside it."""

    long_run: float  # mean of the months' default rates, each month alike
    months: int  # behind it
    recent: float  # default rate of the rows that the calibration was learned from
    calibration: Literal["point_in_time", "through_the_cycle"] = "point_in_time"
    margin: float = 0.0  # of conservatism: the share that the odds of every PD are raised by
    wanted: float | None = None  # mean PD that the outcomes asked for, where a recalibration was not to go so far


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model comes from that was not made here."""

    kind: str  # "lightgbm", "xgboost", "skops", "scorecard"
    source: str  # path or address that was named
    file: str  # of the artefact: the very file
    sha256: str  # of the file
    calibration: str  # "kept": its probabilities are its own; "fitted": a line was put through them
    compared_with: str  # whose scores of the history it was compared with, on every row
    agreement: float  # the largest difference to them
    reasons: str  # "shapley", "points", "occlusion": how contributions are computed


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A plain scorecard beside a model, on rows that neither had seen: what the model's complexity buys."""

    auc: float  # of the scorecard
    model_auc: float  # of the model, on the same rows and within the same folds
    gain: float  # the model's AUC less the scorecard's
    low: float  # 95% confidence interval, paired
    high: float
    rows: int

    @property
    def sentence(self) -> str:
        """What a person reads."""
        if self.low > 0.0:
            end = "This is what its complexity buys."
        elif self.high < 0.0:
            end = "The scorecard ranks better."
        else:
            end = "Its complexity is not shown to buy anything."
        return (
            f"A plain scorecard has an AUC of {self.auc:.4f} on the same {self.rows:,} rows, the model "
            f"{self.model_auc:.4f}: {signed(self.gain, 4)} (95%: {signed(self.low, 4)} to {signed(self.high, 4)}). "
            f"{end}"
        )


def benchmark_document(found: Benchmark | None) -> Json | None:
    """The figures and the sentence, for results."""
    return None if found is None else {**msgspec.structs.asdict(found), "sentence": found.sentence}


class Training(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model was trained on."""

    rows: int
    defaults: int
    first_time: str | None  # ISO 8601; None: the rows have no time
    last_time: str | None
    weighted: bool
    fingerprint: str  # sha256 over schema, features, outcomes, times and weights
    history: str | None  # artefact with the checked history
    record: TrainingRecord | None  # None: the history and nothing else
    blended: bool = False  # half of it is the model of the world before a change
    size: Size | None = None  # of boosted trees, whichever learner is best; None: was not looked for
    left_out: dict[str, str] = {}  # why, by learner that could not be fitted
    level: PdLevel | None = None  # None: was not recorded, as by earlier versions
    immature: int = 0  # rows of the history left out, because their outcome was not final
    definition: str = "1"  # version of the definition of default (`outcomes.definition`) that its outcomes follow
    imported: Imported | None = None  # None: was trained here
    benchmark: Benchmark | None = None  # None: is a scorecard itself, or there was none beside it

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The first and the last time of the rows; None where they have none."""
        if self.first_time is None or self.last_time is None:
            return None
        return datetime.fromisoformat(self.first_time), datetime.fromisoformat(self.last_time)


class ModelManifest(Manifest, frozen=True, kw_only=True):
    """What a model version is: enough to score with, to judge by and to make it again."""

    learner: str
    model_file: str
    schema: Schema
    calibration: Calibration
    threshold: float
    risk_levels: RiskLevels
    metrics: ModelMetrics
    comparison: dict[str, LearnerAuc]  # by learner
    importance: dict[str, float]  # share by feature; 0 for those that are no model input
    training: Training
    baseline: dict[str, float | None]  # a typical customer, coded
    seed: int
    settings: Json  # those that shaped the model
    libraries: dict[str, str]  # version by name
    parent: int | None
    origin: str  # "train", "retrain", "recalibrate", "import"


# --------------------------------------------------------------------------- other artefacts


class HistoryManifest(Manifest, frozen=True, kw_only=True):
    """A checked history."""

    kind: Literal["history"] = "history"
    schema: Schema
    rows: int


class EvaluationManifest(Manifest, frozen=True, kw_only=True):
    """The decisions that the gate tested two versions on, and their scores."""

    kind: Literal["evaluation"] = "evaluation"
    champion: int
    challenger: int


# --------------------------------------------------------------------------- bytes


@dataclass(frozen=True)
class Sealed(Generic[M]):
    """What would be written: the manifest with the hash of every file, and its own."""

    manifest: M
    text: bytes
    sha256: str


def seal(manifest: M, files: Mapping[str, bytes]) -> Sealed[M]:
    """The final manifest of these files; the same content gives the same bytes. ValueError for NaN and infinity."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    full = msgspec.structs.replace(manifest, files=hashes)
    text = json.dumps(msgspec.to_builtins(full), indent=1, sort_keys=True, allow_nan=False).encode()
    return Sealed(full, text, hashlib.sha256(text).hexdigest())


def parse(text: bytes, kind: type[M]) -> M:
    """The manifest in these bytes, read by the reader of its format. Raises ArtefactError, which names the place."""
    try:
        number = msgspec.json.decode(text, type=_Numbered).format
        if number not in READERS:
            raise ArtefactError(
                f"It has format {number}; this version of riskloop reads up to {max(READERS)}. Upgrade riskloop."
            )
        return cast(M, READERS[number](text, kind))
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as error:
        raise ArtefactError(f"It is not a {kind.__name__} that riskloop wrote: {error}.") from None


class _Numbered(msgspec.Struct):
    format: int


def _format_1(text: bytes, kind: type[M]) -> M:
    return msgspec.json.decode(text, type=kind)


Reader = Callable[[bytes, type[Any]], Any]  # bytes of one format into the struct of today

READERS: Final[dict[int, Reader]] = {1: _format_1}
