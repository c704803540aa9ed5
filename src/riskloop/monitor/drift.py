"""Has the population moved? PSI of every feature and of the score, and the verdict on the whole window.

Two ways to the same numbers: through Evidently's ``Report``, which also draws the page, or straight from profiles
for windows too large for frames. Evidently is imported in here only, and only when a report is asked for.
"""

import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from riskloop.core.findings import DESCRIBES, SCORE, WINDOW, DeclaredCheck
from riskloop.core.settings import DriftSettings
from riskloop.core.stats import (
    MISSING,
    UNSEEN,
    Bins,
    benjamini_hochberg,
    psi,
    psi_critical,
    psi_p_value,
    psi_terms,
)
from riskloop.core.types import EPOCH, Finding, Floats, Ints, Severity
from riskloop.monitor.profile import Profile, Reference
from riskloop.store.files import make_folder

if TYPE_CHECKING:
    import pandas as pd

PSI: Final = DeclaredCheck(
    "psi",
    "the window is drawn from the distribution of the history",
    "Lewis (1994); critical value: Yurdakul & Naranjo (2020); Benjamini & Hochberg (1995) over the window",
)
DRIFT: Final = DeclaredCheck(
    "drift",
    "features that carry the champion's importance, and its score, are distributed as in the history",
    "The score drifted, or drifted features carry drift.share of the champion's importance",
    "The population",
)
CONTEXT: Final = DeclaredCheck(
    "context", DESCRIBES, "The window's values beside the path of the history: the same for all customers of a period"
)
EVIDENTLY: Final = DeclaredCheck("evidently", "Evidently's report runs", "Evidently", "Evidently's report")

STATTEST: Final = "riskloop_psi"
SCORE_COLUMN: Final = "riskloop score"  # a feature may itself be called "score"


@dataclass(frozen=True, slots=True)
class Moved:
    """One column's counts over the reference's bins, with its PSI."""

    subject: str
    bins: Bins
    expected: Ints
    actual: Ints
    statistic: float
    by: str  # what computed the statistic
    whole: float | None = None  # PSI against the whole history, where ``expected`` are the same weeks of earlier years
    usual: float = 0.0  # PSI beyond chance that the history's own periods of this length show
    since: int | None = None  # the day on which it first came, where ``expected`` are the rows from then on

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows in the window and in the reference."""
        return int(self.actual.sum()), int(self.expected.sum())

    @property
    def used(self) -> int:
        """Bins that hold anything on either side."""
        return int(np.count_nonzero(self.expected + self.actual))

    @property
    def p_value(self) -> float:
        """The chance of such a PSI without drift."""
        return psi_p_value(self.statistic, *self.sizes, self.used)


# --------------------------------------------------------------------------- from profiles


def profile_findings(
    reference: Reference, window: Profile, drift: DriftSettings, importance: Mapping[str, float] | None = None
) -> list[Finding]:
    """PSI of each feature and of the score, and the window's verdict, straight from the counts.

    ``importance`` is each feature's share of the champion's importance; without it all model inputs weigh the same.
    """
    if window.rows == 0:
        return [_empty(reference.own.rows)]
    return _judged(reference, _columns(reference, window), drift, importance)


def _columns(reference: Reference, window: Profile) -> list[Moved]:
    """Every column that has a distribution, which a context column has not, and the score."""
    own, course, length = reference.own, reference.course, window.length
    names = (*reference.schema.names, SCORE)
    bins = (*reference.bins, reference.score_bins)
    expected = (*own.counts, own.score_counts)
    actual = (*window.counts, window.score_counts)
    found = []
    for j, (name, b, e, a) in enumerate(zip(names, bins, expected, actual, strict=True)):
        if j in reference.context:
            continue
        same_day = None if course is None or length != 1 else course.weekday(j, int(window.days[0, 0]))
        begun = None if course is None else course.since(j)
        before = (e if begun is None else begun[1]) if same_day is None else same_day
        usual = 0.0 if course is None or not length or same_day is not None else float(course.usual(length)[j])
        whole = None
        season = None
        if course is not None and length and same_day is None and j in reference.seasonal:
            season = course.season(j, int(window.days[0, 0]), length)
        if season is not None:
            whole = psi(e, a)
            before, usual = season
        since = begun[0] if begun is not None and same_day is None and season is None else None
        found.append(Moved(name, b, before, a, psi(before, a), "counts", whole, usual, since))
    return found


def _judged(
    reference: Reference, columns: Sequence[Moved], drift: DriftSettings, importance: Mapping[str, float] | None
) -> list[Finding]:
    rejected = benjamini_hochberg([column.p_value for column in columns], drift.alpha)
    found = [_psi_finding(column, bool(r), drift) for column, r in zip(columns, rejected, strict=True)]
    return [*found, _verdict(found, drift, importance or _equal_importance(reference))]


def context_findings(reference: Reference, window: Profile) -> list[Finding]:
    """Where the path of each context column stands; beyond where it ever was, the champion guesses."""
    found = []
    for j in sorted(reference.context):
        feature, own = reference.schema.features[j], reference.own
        now, before = (float(window.low[j]), float(window.high[j])), (float(own.low[j]), float(own.high[j]))
        if feature.kind == "category" or not all(map(math.isfinite, (*now, *before))):
            continue
        at = f"{now[0]:g}" if now[0] == now[1] else f"{now[0]:g} to {now[1]:g}"
        beyond = now[0] < before[0] or now[1] > before[1]
        says = f"{feature.name} is {at} in this period; in the history it ran from {before[0]:g} to {before[1]:g}"
        new = ": the champion has not seen such times" if beyond else ""
        details = {"low": now[0], "high": now[1], "beyond": beyond}
        sizes = window.rows, own.rows
        found.append(CONTEXT.finding(feature.name, Severity.OK, sizes, f"{says}{new}.", details=details))
    return found


def _psi_finding(column: Moved, rejected: bool, drift: DriftSettings) -> Finding:
    n, m = column.sizes
    chance = psi_critical(n, m, column.used, drift.alpha)
    severity = _severity(column.statistic - column.usual, rejected and column.statistic > chance, drift)
    explained = _is_season(column, severity, drift)
    return PSI.finding(
        column.subject,
        severity,
        (n, m),
        _seasonal_sentence(column) if explained else _sentence(column, severity, chance) + _held_against(column),
        statistic=column.statistic,
        critical=max(drift.psi + column.usual, chance),
        details={
            "p_value": column.p_value,
            "chance": chance,
            "usual": column.usual,
            **({} if column.whole is None else {"whole": column.whole, "seasonal": explained}),
            "labels": list(column.bins.labels),
            "expected": [int(c) for c in column.expected],
            "actual": [int(c) for c in column.actual],
            "computed_by": column.by,
        },
    )


def _held_against(column: Moved) -> str:
    """What the column was held against where that is not the whole history."""
    if column.whole is not None:
        return " It was held against the same weeks of earlier years."
    if column.since is not None:
        return f" It was held against the rows since {EPOCH.date() + timedelta(days=column.since)}, when it first came."
    return ""


def _is_season(column: Moved, severity: Severity, drift: DriftSettings) -> bool:
    """Whether the time of the year explains why the column does not look like the whole history."""
    return column.whole is not None and column.whole > drift.psi and severity in (Severity.OK, Severity.NOISE)


def _seasonal_sentence(column: Moved) -> str:
    return (
        f"{column.subject} moved against the whole history (PSI {column.whole:.3f}) and is as in the same weeks of "
        f"earlier years (PSI {column.statistic:.3f}): seasonal, not drift."
    )


def _sentence(column: Moved, severity: Severity, chance: float) -> str:
    statistic = f"{column.statistic:.3f}"
    if severity is Severity.OK:
        as_ever = f", whose own periods differ by up to {column.usual:.3f}" if column.usual else ""
        return f"{column.subject} is distributed as in the history (PSI {statistic}){as_ever}."
    if severity is Severity.NOISE:
        by_chance = f"which chance alone gives with {column.sizes[0]} rows (up to {chance:.3f})"
        return f"{column.subject} has a PSI of {statistic}, {by_chance}."
    moved = ", ".join(f"of “{label}” from {was:.1%} to {now:.1%}" for label, was, now in _largest_terms(column))
    return f"{column.subject} moved (PSI {statistic}): the share {moved}."


def _severity(statistic: float, significant: bool, drift: DriftSettings) -> Severity:
    if statistic <= drift.psi:
        return Severity.OK
    if not significant:
        return Severity.NOISE
    return Severity.SEVERE if statistic > drift.psi_severe else Severity.DRIFTED


def _largest_terms(column: Moved, most: int = 2) -> list[tuple[str, float, float]]:
    terms = psi_terms(column.expected, column.actual)
    shares = column.expected / column.expected.sum(), column.actual / column.actual.sum()
    order = np.argsort(-terms)[:most]
    labels = column.bins.labels
    return [(labels[i], float(shares[0][i]), float(shares[1][i])) for i in order]


def _verdict(found: Sequence[Finding], drift: DriftSettings, importance: Mapping[str, float]) -> Finding:
    moved = [f for f in found if f.severity in (Severity.DRIFTED, Severity.SEVERE)]
    share = sum(importance.get(f.subject, 0.0) for f in moved if f.subject != SCORE)
    severe = sum(importance.get(f.subject, 0.0) for f in moved if f.severity is Severity.SEVERE)
    score = next(f for f in found if f.subject == SCORE)
    if score.severity is Severity.SEVERE or severe >= drift.share:
        severity = Severity.SEVERE
    elif score in moved or share >= drift.share:
        severity = Severity.DRIFTED
    else:
        severity = Severity.NOISE if moved else Severity.OK
    names = ", ".join(f.subject for f in moved if f.subject != SCORE) or "no feature"
    score_says = "the score moved" if score in moved else "the score did not move"
    return DRIFT.finding(
        WINDOW,
        severity,
        (score.n, score.m),
        f"Drifted: {names}, with {share:.0%} of the champion's importance; {score_says}.",
        statistic=share,
        critical=drift.share,
        details={"drifted": [f.subject for f in moved], "severe_share": severe},
    )


def _equal_importance(reference: Reference) -> dict[str, float]:
    inputs = [reference.schema.names[j] for j in reference.schema.model_columns]
    return dict.fromkeys(inputs, 1.0 / len(inputs)) if inputs else {}


def _empty(m: int) -> Finding:
    return DRIFT.unknown(WINDOW, (0, m), "the window has no rows")


# --------------------------------------------------------------------------- through Evidently


def has_evidently() -> bool:
    """Whether the extra `riskloop[evidently]` is installed. Without it the same numbers come from the profiles."""
    return find_spec("evidently") is not None


def evidently_findings(
    reference: Reference,
    reference_X: Floats,
    reference_scores: Floats,
    window_X: Floats,
    window_scores: Floats,
    drift: DriftSettings,
    *,
    importance: Mapping[str, float] | None = None,
    report_path: Path | None = None,
) -> list[Finding]:
    """The findings of :func:`profile_findings`, with each PSI computed inside Evidently's ``Report``.

    ``reference_X`` (m, k) and ``reference_scores`` (m,) are the sample that ``reference`` was built from. The page is
    saved to ``report_path`` where one is given. When Evidently fails, its findings are made from the counts and one
    more says what failed: monitoring does not stop for its page.
    """
    if len(window_X) == 0:
        return [_empty(len(reference_X))]
    columns = _columns(reference, reference.profile(window_X, window_scores))
    # Evidently refuses a column without any value, and one such column would cost all the others their result.
    present = [c for c in columns if c.actual[-1] < c.sizes[0] and c.expected[-1] < c.sizes[1]]
    failure: list[Finding] = []
    try:
        frames = [_frame(reference, X, s) for X, s in ((window_X, window_scores), (reference_X, reference_scores))]
        taken = [c for c in present if all(_drawable(frame[_column_name(c.subject)]) for frame in frames)]
        statistics = _report(frames[0], frames[1], taken, drift, report_path)
        columns = [
            replace(c, statistic=statistics[c.subject], by="Evidently")
            if c.subject in statistics and c.expected.sum() == len(reference_X)
            else c
            for c in columns
        ]
    except Exception as error:  # noqa: BLE001 - whatever a third party raises must not stop the monitoring
        failure = [_failed(error, columns[0].sizes)]
    return [*_judged(reference, columns, drift, importance), *failure]


# The columns of the report that is running, for the stat test: Evidently hands it two series and nothing else.
_running: ContextVar[Mapping[str, tuple[Bins, int, int]]] = ContextVar("_running")


def _report(
    window: "pd.DataFrame",
    history: "pd.DataFrame",
    columns: Sequence[Moved],
    drift: DriftSettings,
    path: Path | None,
) -> dict[str, float]:
    """PSI by subject, computed by Evidently's ``Report`` with our stat test; saves the page."""
    with _quiet():
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import DriftedColumnsCount, ValueDrift

        _register()
        names = {_column_name(c.subject): c for c in columns}
        texts = [name for name, c in names.items() if window[name].dtype == object]
        definition = DataDefinition(
            numerical_columns=[name for name in names if name not in texts], categorical_columns=texts
        )
        metrics = [ValueDrift(column=name, method=STATTEST, threshold=drift.psi) for name in names]
        summary = DriftedColumnsCount(columns=list(names), method=STATTEST, threshold=drift.psi)
        token = _running.set({name: (c.bins, len(history), len(window)) for name, c in names.items()})
        try:
            snapshot = Report([summary, *metrics]).run(
                Dataset.from_pandas(window[list(names)], data_definition=definition),
                Dataset.from_pandas(history[list(names)], data_definition=definition),
            )
        finally:
            _running.reset(token)
        if path is not None:
            _save(path, snapshot.get_html_str(as_iframe=False))
    results = {m["config"].get("column"): m["value"] for m in snapshot.dict()["metrics"]}
    return {c.subject: float(results[name]) for name, c in names.items()}


def _register() -> None:
    """Make our PSI known to Evidently; a second time changes nothing."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    kinds = [ColumnType.Categorical, ColumnType.Numerical]
    register_stattest(StatTest(STATTEST, "PSI over the history's bins", kinds, 0.1), _stattest)


def _stattest(
    reference_data: "pd.Series[Any]", current_data: "pd.Series[Any]", feature_type: Any, threshold: float
) -> tuple[float, bool]:
    bins, m, n = _running.get()[str(current_data.name)]
    statistic = psi(_counts(reference_data, bins, m), _counts(current_data, bins, n))
    return statistic, statistic > threshold


def _counts(column: "pd.Series[Any]", bins: Bins, rows: int) -> Ints:
    """Counts of what Evidently handed over; it drops missing numbers, so those are what lacks from ``rows``."""
    if column.dtype == object:
        by_label = column.value_counts()
        return np.asarray([int(by_label.get(label, 0)) for label in bins.labels], dtype=np.int64)
    counts = bins.count(column.to_numpy(dtype=np.float64))
    counts[-1] += rows - len(column)
    return counts


def _frame(reference: Reference, X: Floats, scores: Floats) -> "pd.DataFrame":
    """As Evidently shows it: numbers as they are, categories by the texts of their levels."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for j, feature in enumerate(reference.schema.features):
        if feature.kind == "number":
            columns[feature.name] = X[:, j]
        else:
            labels = np.asarray([*feature.categories, UNSEEN, MISSING], dtype=object)
            columns[feature.name] = labels[reference.bins[j].assign(X[:, j])]
    return pd.DataFrame({**columns, SCORE_COLUMN: scores})


def _drawable(column: "pd.Series[Any]") -> bool:
    """Whether Evidently's plots have anything to show: it fails on numbers that are all endless, too."""
    return column.dtype == object or bool(np.isfinite(column.to_numpy(dtype=np.float64)).any())


def _column_name(subject: str) -> str:
    return SCORE_COLUMN if subject == SCORE else subject


@contextmanager
def _quiet() -> Iterator[None]:
    """Evidently without its telemetry, whose switch is this variable, and without the warnings of its imports."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _save(path: Path, page: str) -> None:
    """Write beside, then rename: a reader sees the whole page or none."""
    make_folder(path.parent)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False) as file:
        file.write(page)
    Path(file.name).replace(path)


def _failed(error: Exception, sizes: tuple[int, int]) -> Finding:
    return EVIDENTLY.finding(
        WINDOW,
        Severity.UNKNOWN,
        (sizes[0], sizes[1]),
        f"Evidently's report failed ({type(error).__name__}: {error}); the numbers come from the counts.",
    )
