"""What the Python API answers: frozen results with attributes, each also as plain JSON and, where there are many rows,
as a frame.

`to_dict` gives the document that the same command prints with ``--json``. Times in it are ISO 8601 texts in UTC.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from riskloop.core.types import Json
from riskloop.shown import rows_table, status_table
from riskloop.store.documents import plain
from riskloop.store.outcomes import Recorded

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Result:
    """Any answer of a `Portfolio`."""

    def __getitem__(self, name: str) -> Any:
        """A field by its name in the JSON document; KeyError when there is none."""
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def to_dict(self) -> Json:
        """The same as plain JSON."""
        document: Json = msgspec.to_builtins(plain(self))
        return document

    def _repr_html_(self) -> str | None:
        """What a notebook shows: the sentence and the rows, where there are rows."""
        rows = getattr(self, "frame", None)
        return None if rows is None else rows_table(getattr(self, "sentence", None), rows())


@dataclass(frozen=True)
class TrainingResult(Result):
    """A trained version."""

    version: int
    learner: str  # the best of those that competed
    metrics: Json  # cross-validated: auc, auc_low, auc_high, gini, ks, brier, log_loss, folds
    comparison: Json  # {learner: {"auc", "low", "high"}}
    threshold: float  # probability from which a decision is `default`
    sentence: str
    rows: int  # that were learned from
    customers: int  # behind them
    immature: int  # rows left out, because their outcome was not final
    left_out: Json  # {learner: why it did not compete}
    benchmark: Json | None  # a plain scorecard beside it: auc, model_auc, gain, low, high, rows, sentence
    notes: list[str]  # what a person has to know of the rows and the learners, in sentences
    data: Json  # what was read of the history, set aside and left out
    bins: list[Json] = field(default_factory=list)  # feature, bin, rows, defaults, rate, woe, iv: see `Portfolio.bins`


@dataclass(frozen=True)
class ImportResult(Result):
    """A version that was made elsewhere."""

    version: int
    kind: str  # "lightgbm", "xgboost", "skops", "scorecard"
    learner: str
    source: str  # what was named
    sha256: str  # of the file
    metrics: Json  # on its history; whether it was trained on these rows is not known
    threshold: float  # probability from which a decision is `default`
    calibration: str  # "kept" or "fitted"
    agreement: float  # the largest difference to the scores that it was compared with, over all rows of the history
    compared_with: str
    reasons: str  # how contributions are computed: "shapley", "points" or "occlusion"
    rows: int
    immature: int  # rows left out, because their outcome was not final
    notes: list[str]
    sentence: str
    data: Json  # what was read of the history, set aside and left out


@dataclass(frozen=True)
class OutcomesResult(Recorded, Result):
    """What became of the outcomes that were handed in."""


@dataclass(frozen=True)
class CycleResult(Result):
    """One turn of the loop."""

    closed: list[Json]  # windows that were closed
    matured: list[Json]  # windows that were judged again, by their outcomes
    cases: list[Json]  # cases that were opened or moved
    lines: list[str]  # what was done, in sentences


@dataclass(frozen=True)
class CheckResult(Result):
    """Rows that nobody decided on yet, held against the schema and the champion's history."""

    rows: int
    refused: int  # rows that would be refused
    reasons: list[str]  # why, the most frequent first
    notes: list[str]  # how the file was read: columns under another spelling, lines left out
    columns: list[Json]  # what would be refused, flagged or drifted in each
    model_version: int | None  # None before the first promotion
    diagnosis: str | None
    sentence: str
    rungs: list[Json]  # the ladder of explanations, with what speaks for and against each
    findings: list[Json]

    def frame(self) -> "pd.DataFrame":
        """The findings, one row each."""
        import pandas as pd

        return pd.DataFrame(self.findings)


@dataclass(frozen=True)
class PromotionResult(Result):
    """One row of the ledger."""

    seq: int
    version: int
    previous: int | None
    kind: str
    at: str
    by: str
    reason: str
    evidence: Json


@dataclass(frozen=True)
class ComparisonResult(Result):
    """The gate's report on two versions."""

    champion: int
    challenger: int
    verdict: str
    sentence: str
    sentences: list[str]  # verdict and checks, for people
    checks: list[Json]
    champion_auc: float | None
    challenger_auc: float | None
    defaults_needed: int | None = None  # further matured defaults until the test has power
    retry_defaults: int | None = None  # further ones that the next try will probably have
    evaluation: str | None = None  # sha256 of the kept scores
    spent: str = ""  # what the comparison cost of the alpha budget, or that it cost nothing

    def frame(self) -> "pd.DataFrame":
        """The checks, one row each."""
        import pandas as pd

        return pd.DataFrame(self.checks)


@dataclass(frozen=True)
class ChallengerFileResult(Result):
    """What is signed: two models on the decisions that the gate judged."""

    case: int
    champion: int
    challenger: int | None
    verdict: str
    sentence: str
    fingerprint: str  # of report and scores: what an approval is bound to
    evaluation: str | None  # artefact with the scores; None: an earlier version kept none
    table: list[Json]  # champion, challenger, change with 95% interval, limit, passed; what failed comes first
    file: Json | None  # curves, grades, swap set, segments, partial effects; None: an earlier version kept none

    def frame(self) -> "pd.DataFrame":
        """The table, one line each."""
        import pandas as pd

        return pd.DataFrame(self.table)


@dataclass(frozen=True)
class RescoreResult(Result):
    """Decisions on faulty rows beside the same on corrected ones."""

    case: int
    decisions: int  # on faulty rows
    rescored: int  # of them, for which a corrected row came
    changed: int
    approved_wrongly: int
    declined_wrongly: int
    sentence: str
    rows: list[Json]  # one for each that was scored again: the old and the new PD and decision

    def frame(self) -> "pd.DataFrame":
        """The decisions, one row each."""
        import pandas as pd

        return pd.DataFrame(self.rows)


@dataclass(frozen=True)
class SideBySideResult(Result):
    """Two versions on the same decisions; without ``versions`` while too few have final outcomes."""

    rows: int
    defaults: int
    first_time: int | None = None  # microseconds since 1970 UTC
    last_time: int | None = None
    versions: list[Json] = field(default_factory=list)  # measures, curves and score distribution of each
    segments: list[Json] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)  # in what the features that they read differ


@dataclass(frozen=True)
class ShadowResult(Result):
    """What a version that does not serve would have decided on live traffic. Shares: rows, share, low, high."""

    version: int
    active: bool  # named in `shadow.versions`
    begun_at: str | None
    decisions: int  # logged since then, as far as it has come
    scored: int
    behind: int  # logged, and not looked at yet
    agreement: Json | None  # share of those that it and the champion of the time decide alike
    swapped_in: Json | None  # only the shadow would approve
    swapped_out: Json | None  # only the champion approved
    mean_pd: float | None
    champion_mean_pd: float | None
    outcomes: Json | None  # rows, defaults, AUC of both, the gain, and how both swap sets turned out
    sentence: str


@dataclass(frozen=True)
class RebuildResult(Result):
    """A version beside its second making."""

    version: int
    identical: bool  # every byte
    sha256: str
    rebuilt_sha256: str
    differing: tuple[str, ...]  # files, and parts of the manifest, that are not the same
    libraries: Json  # {name: [then, now]} of those that changed since
    sentence: str


@dataclass(frozen=True)
class ChampionResult(Result):
    """Which version served at a moment."""

    at: str
    version: int
    learner: str
    sha256: str
    promotion: Json
    sentence: str


@dataclass(frozen=True)
class CaseResult(Result):
    """One case with every step."""

    id: int
    state: str
    open: bool
    diagnosis: str
    sentence: str
    window: int
    challenger: int | None
    tries: int
    opened_at: str
    closed_at: str | None
    closed_by: str | None
    unresolved: bool
    assigned_to: str | None
    acknowledged_by: str | None  # None again when the case asks for something new
    acknowledged_at: str | None
    notes: list[Json]  # comments, assignments and acknowledgements by people
    events: list[Json]

    def frame(self) -> "pd.DataFrame":
        """The steps, one row each."""
        import pandas as pd

        return pd.DataFrame(self.events)


@dataclass(frozen=True)
class ModelResult(Result):
    """One version: how it was made, how good it was, when it served."""

    version: int
    champion: bool
    learner: str
    origin: str
    auc: float
    created_at: str
    parent: int | None
    case_id: int | None
    sha256: str
    served: list[Json]  # [{"from", "until"}]
    metrics: Json
    comparison: Json
    threshold: float
    risk_levels: Json
    calibration: Json
    importance: dict[str, float]
    training: Json
    benchmark: Json | None  # a plain scorecard beside it: auc, model_auc, gain, low, high, rows, sentence
    libraries: dict[str, str]
    bins: list[Json] = field(default_factory=list)  # feature, bin, rows, defaults, rate, woe, iv: see `Portfolio.bins`


@dataclass(frozen=True)
class StatusResult(Result):
    """The whole loop at a glance."""

    portfolio: str
    config: str
    now: str
    champion: Json | None
    decisions: int
    policy: str
    exploration: Json | None
    last_window: Json | None
    realised: Json | None  # AUC with interval, and defaults beside PD, in the newest window judged by its outcomes
    loop: Json  # when the last cycle finished, how many failed since, what is wrong
    trust: Json  # the last checkpoint, how old it is, what is wrong
    outcomes: Json  # up to when the feed is complete, whether it is late, which windows wait for it
    quarantine: Json | None  # what is kept out of learning, since when, and how its PD stands to what happened
    next_file: str | None  # by when the next file of decisions is due
    open_cases: list[Json]
    unresolved: list[Json]  # closed cases by which the champion is known to do worse
    unsent_alerts: list[Json]  # what did not reach its channel, and why
    mirror: Json | None  # when MLflow last agreed with the ledger, how often it failed since, and why; None: no mirror
    lineage: Json | None  # the same of OpenLineage's events
    shadow: Json | None  # the same of the shadows, and what each has scored: {"versions": [...]}
    next: list[Json]  # [{"command", "why"}]: what a person should do now, the most urgent first

    def _repr_html_(self) -> str:
        """The short table that a notebook shows of a portfolio."""
        return status_table(self.to_dict())


@dataclass(frozen=True)
class DoctorResult(Result):
    """What is wrong with a portfolio and its surroundings."""

    well: bool  # whether nothing failed; there may be warnings
    sentence: str
    checks: list[Json]  # [{"check", "state": ok, warning or failed, "says", "remedy"}]

    def frame(self) -> "pd.DataFrame":
        """The checks, one row each."""
        import pandas as pd

        return pd.DataFrame(self.checks)


@dataclass(frozen=True)
class DriftResult(Result):
    """The newest windows with their findings, oldest first."""

    windows: list[Json]

    def frame(self) -> "pd.DataFrame":
        """The findings, one row each, with the name and the diagnosis of their window."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"window": window["name"], "diagnosis": window["diagnosis"], **finding}
                for window in self.windows
                for finding in window["findings"]
            ]
        )


_WHOLE: Final = frozenset(
    ("id", "decision_id", "window_id", "case", "challenger", "decisions", "model_version", "version", "rows",
     "reference_rows", "tries", "parent")
)  # columns of whole numbers, of numbers, of moments, of yes and no; the others hold text  # fmt: skip
_NUMBERS: Final = frozenset(("probability", "statistic", "critical", "auc"))
_MOMENTS: Final = frozenset(
    ("time", "known_at", "recorded_at", "opened_at", "closed_at", "created_at", "first_time", "end_time")
)
_ANSWERS: Final = frozenset(
    ("declined", "defaulted", "confirmed", "mature", "quarantined", "open", "unresolved", "champion")
)


def _arrow_type(column: str) -> "pa.DataType":
    import pyarrow as pa

    if column in _WHOLE:
        return pa.int64()
    if column in _NUMBERS:
        return pa.float64()
    if column in _MOMENTS:
        return pa.timestamp("us", tz="UTC")
    return pa.bool_() if column in _ANSWERS else pa.string()


@dataclass(frozen=True, repr=False)
class TableResult(Result):
    """Rows of one kind, column by column. Whatever reads the Arrow C stream takes it: `polars.DataFrame(result)`."""

    of: str  # decisions, outcomes, windows, findings, cases, models
    columns: dict[str, list[Any]]  # times as datetimes in UTC

    def __len__(self) -> int:
        """How many rows."""
        return len(next(iter(self.columns.values()), []))

    def __repr__(self) -> str:
        """Name, size and columns."""
        return f"<{len(self):,} {self.of}: {', '.join(self.columns)}>"

    def arrow(self) -> "pa.Table":
        """The rows as an Arrow table; times are UTC, to the microsecond."""
        import pyarrow as pa

        return pa.table({name: pa.array(values, _arrow_type(name)) for name, values in self.columns.items()})

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule interface."""
        return self.arrow().__arrow_c_stream__(requested_schema)

    def frame(self) -> "pd.DataFrame":
        """The rows as a pandas frame."""
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame


@dataclass(frozen=True)
class ReplayResult(Result):
    """A logged decision beside its second scoring."""

    decision_id: str
    customer_id: str | None
    time: str
    scored_at: str
    model_version: int
    features: Json
    flags: Json
    default: bool
    threshold: float
    risk_level: str
    probability: float
    replayed_probability: float
    identical: bool  # to the last bit
    reasons: list[Json]
    shadows: list[Json]  # what versions that did not serve said: version, probability, default, identical
    sentence: str


@dataclass(frozen=True)
class DocumentResult(Result):
    """A document as a file: `content` are its bytes (Base64 in the JSON)."""

    title: str
    file: str  # its name
    media_type: str
    fingerprint: str  # SHA-256 over what it says, without the time of writing
    content: bytes

    def save(self, path: Path | str | None = None) -> Path:
        """Write the file, by default under its own name in the working folder; returns where it is."""
        target = Path(self.file if path is None else path)
        target.write_bytes(self.content)
        return target


@dataclass(frozen=True)
class BacktestResult(Result):
    """A history replayed under several policies; docs/backtest.md describes the content."""

    portfolio: str
    scenario: str | None
    seed: int
    windows: str
    outcome_window: str
    trained_on: Json
    decisions: int
    approved: bool
    kept: str | None
    notes: list[str]
    policies: Json  # by name
    cases: list[Json]
    answer: str

    def frame(self) -> "pd.DataFrame":
        """The periods of every policy, one row each."""
        import pandas as pd

        return pd.DataFrame(
            [{"policy": name, **period} for name, policy in self.policies.items() for period in policy["periods"]]
        )
