"""Performance by cohort: what was expected before outcomes, what was realised, and whether the grades hold.

Every number is a finding that the monitor stored with the window; nothing is computed again here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from riskloop.core.errors import NotFound
from riskloop.core.grades import RATE_GAP, grades_off, grades_said
from riskloop.core.settings import Settings
from riskloop.core.types import Diagnosis, Finding, Json
from riskloop.store.database import Database
from riskloop.store.windows import Window, Windows
from riskloop.web import figures, words
from riskloop.web.findings import whole
from riskloop.web.queries import window_page

METHODS: Final = ("pape", "cbpe")  # the first one that could be computed is shown
MEASURES: Final = ("auc", "ks", "brier")
CHECKS: Final = (
    *MEASURES,
    "gini",
    "log_loss",
    "calibration",
    "calibration_slope",
    "auc_explained",
    "calibration_explained",
    "jeffreys",
    "outcomes",
    *(f"estimated_{name}" for name in (*MEASURES, "default_rate", "log_loss")),
)
TITLES: Final = {"auc": "AUC", "ks": "KS", "brier": "Brier score"}


@dataclass(frozen=True, slots=True)
class Value:
    """A number with its 95% band where one was computed."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Cohort:
    """The decisions of one window, and how good the champion was on them."""

    window: Window
    matures: datetime
    found: Mapping[str, Finding]  # by check; estimates by the best method
    grades: Sequence[Finding]

    @property
    def state(self) -> str:
        """Whether its outcomes count."""
        if self.window.diagnosis is Diagnosis.DATA_FAULT:
            return "quarantined" if self.window.quarantined else "data fault"
        if self.window.matured_at is None:
            return "not judged" if "outcomes" in self.found else "immature"
        return "final" if self.realised("auc").value is not None else "too few outcomes"

    def realised(self, measure: str) -> Value:
        """By outcomes."""
        return _value(self.found.get(measure))

    def estimated(self, measure: str) -> Value:
        """Before outcomes were known; of broken data nothing can be estimated."""
        if self.window.diagnosis is Diagnosis.DATA_FAULT:
            return Value()
        return _value(self.found.get(f"estimated_{measure}"))

    def usual(self, measure: str) -> float | None:
        """At training."""
        for name in (measure, f"estimated_{measure}"):
            found = self.found.get(name)
            if found is not None and found.details.get("reference") is not None:
                return float(found.details["reference"])
        return None

    @property
    def observed(self) -> float | None:
        """The realised default rate."""
        found = self.found.get("calibration")
        return None if found is None else found.details.get("observed")

    @property
    def expected(self) -> float | None:
        """The champion's mean PD of the decisions with an outcome."""
        found = self.found.get("calibration")
        return None if found is None else found.details.get("expected")


def performance(settings: Settings, windows: Windows, size: int, until: int | None, chosen: int | None) -> Json:
    """Cohorts with their measures, and one cohort's grades: the chosen one, else the latest final one."""
    shown = window_page(windows, size, until)
    cohorts = cohorts_of(windows.database, settings, shown.rows)
    graded = [cohort for cohort in cohorts if cohort.grades]
    if chosen is None:
        cohort = graded[-1] if graded else None
    else:
        cohort = next((c for c in cohorts if c.window.id == chosen), None)
        if cohort is None:
            raise NotFound(f"Window {chosen} is not among the cohorts shown; choose one from the table.")
    latest = _latest_tested(cohorts)
    off = () if latest is None else grades_off(latest.grades, RATE_GAP)
    drawn = {} if not cohorts else {f"by-{name}": _measure(cohorts, name) for name in MEASURES}
    if cohort is not None and cohort.grades:
        drawn["grades"] = _grade_figure(cohort)
    return {
        "cohorts": cohorts,
        "pages": shown,
        "size": size,
        "cohort": cohort,
        "verdict": None if latest is None else latest.found["auc"],
        "off": off,
        "off_said": grades_said(off),
        "assumption": _assumption(cohorts),
        "outcome_window": settings.portfolio.outcome_window,
        "figures": drawn,
    }


def cohorts_of(database: Database, settings: Settings, windows: Sequence[Window]) -> list[Cohort]:
    """The cohorts of these windows, without those that hold no decision."""
    if not windows:
        return []
    found = whole(database, windows[0].id, windows[-1].id, checks=CHECKS)
    wait = settings.portfolio.outcome_window
    return [
        Cohort(
            window,
            window.end_time + wait,
            _by_check(found.get(window.id, [])),
            [f for f in found.get(window.id, []) if f.check == "jeffreys"],
        )
        for window in windows
        if window.rows
    ]


def _by_check(found: Sequence[Finding]) -> dict[str, Finding]:
    """One finding a check; of an estimate that of the best method that gave a number."""
    order = {method: position for position, method in enumerate(reversed(METHODS))}
    ranked = sorted(found, key=lambda f: (f.statistic is not None, order.get(f.subject, 0)))
    return {f.check: f for f in ranked if f.check != "jeffreys"}


def _value(found: Finding | None) -> Value:
    if found is None:
        return Value()
    return Value(found.statistic, found.details.get("lower"), found.details.get("upper"))


def _measure(cohorts: Sequence[Cohort], measure: str) -> Json:
    names = [cohort.window.name for cohort in cohorts]
    realised = [cohort.realised(measure) for cohort in cohorts]
    estimated = [cohort.estimated(measure) for cohort in cohorts]
    return figures.by_cohort(
        names,
        ([v.value for v in realised], [v.lower for v in realised], [v.upper for v in realised]),
        ([v.value for v in estimated], [v.lower for v in estimated], [v.upper for v in estimated]),
        [cohort.usual(measure) for cohort in cohorts],
        (TITLES[measure], "realised, 95%", "estimated, 95%", "at training"),
    )


def _grade_figure(cohort: Cohort) -> Json:
    return figures.grades(
        [words.RISK_LEVELS[found.subject] for found in cohort.grades],
        [found.details["pd"] for found in cohort.grades],
        [found.details["defaults"] / max(1, found.n) for found in cohort.grades],
        [found.severity is not found.severity.OK for found in cohort.grades],
    )


def _latest_tested(cohorts: Sequence[Cohort]) -> Cohort | None:
    """The latest cohort whose outcomes are final: the headline is about its ranking and its grades."""
    return next((c for c in reversed(cohorts) if c.state == "final"), None)


def _assumption(cohorts: Sequence[Cohort]) -> str | None:
    for cohort in reversed(cohorts):
        found = cohort.found.get("estimated_auc")
        if found is not None and found.details.get("assumption"):
            return str(found.details["assumption"])
    return None
