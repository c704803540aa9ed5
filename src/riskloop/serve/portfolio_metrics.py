"""What Prometheus reads of the portfolio itself, the same whichever worker is asked.

Everything comes from what the loop stored: nothing is judged here. A scrape costs a few queries, and scrapes that
come faster than `KEPT` get the former answer. Where the database cannot be read, `riskloop_portfolio_up` is 0 and
the rest is left out: a figure of yesterday would look like one of today.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from riskloop import views
from riskloop.cases import CaseState
from riskloop.core.errors import RiskloopError
from riskloop.core.findings import SCORE, WINDOW
from riskloop.core.settings import GateSettings, Settings, ShadowSettings
from riskloop.core.types import Diagnosis, Finding, Promotion, Severity
from riskloop.serve.workers import Families
from riskloop.store.cases import Cases
from riskloop.store.cycles import LINEAGE, MLFLOW, SHADOW, loop_state
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.home import Home
from riskloop.store.ledger import Ledger
from riskloop.store.maturity import OutcomeFeed
from riskloop.store.segments import Segments
from riskloop.store.shadow import ShadowScores
from riskloop.store.trust import TrustState
from riskloop.store.windows import Window, Windows

KEPT: Final = 5.0  # seconds
ESTIMATES: Final = ("pape", "cbpe")  # the first one that could be computed
BOUNDS: Final = ("lower", "upper")


class PortfolioMetrics:
    """Gauges of one portfolio."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = Lock()
        self._read_at = -KEPT
        self._exposition = b""

    def exposition(self) -> bytes:
        """The gauges as Prometheus text."""
        with self._lock:
            if time.monotonic() - self._read_at >= KEPT:
                registry = CollectorRegistry(auto_describe=False)
                registry.register(Families(self._families()))
                self._exposition, self._read_at = generate_latest(registry), time.monotonic()
            return self._exposition

    def _families(self) -> list[Metric]:
        up = "1 when the portfolio's database could be read for this answer."
        try:
            found = list(self._read(datetime.now(UTC)))
        except RiskloopError:
            return [_gauge("riskloop_portfolio_up", up, 0.0)]
        return [_gauge("riskloop_portfolio_up", up, 1.0), *found]

    def _read(self, now: datetime) -> Iterator[Metric]:
        home = self._home
        latest = home.windows.latest(1)
        if latest:
            yield from _window(latest[0], home.windows.findings(latest[0].id), home.feed, now)
        yield from _realised(home.windows)
        yield from _cases(home.cases, home.windows)
        yield from _outcomes(home.feed, home.windows, now)
        yield from _trust(home.trust.state())
        yield from _segments(home.segments)
        yield from _loop(home.database, home.settings.watch.late)
        yield from _followed(home.database, home.settings)
        yield from _shadow(home.database, home.settings.shadow, home.decisions)
        champion = home.ledger.champion()
        if champion is not None:
            yield from _champion(home.settings.gate, home.ledger, home.cases, champion, now)


def _segments(segments: Segments) -> Iterator[Metric]:
    files, rows = segments.counts()
    yield _gauge("riskloop_segments", "Files of decisions that were scored in bulk.", files)
    yield _gauge("riskloop_segment_decisions", "Decisions in them.", rows)


def _loop(database: Database, late: timedelta) -> Iterator[Metric]:
    """A loop that never ran has no age; that it is late shows here."""
    stands = loop_state(database).stands_still(late)
    yield _gauge("riskloop_loop_late", "1 while no cycle has finished for `watch.late`.", float(stands))


def _followed(database: Database, settings: Settings) -> Iterator[Metric]:
    """What follows each cycle, where it is asked for: what failed is tried again after the next one."""
    for name, key, wanted, text in (
        (MLFLOW, "mirror", settings.mlflow.mirror, "MLflow agreed with the ledger"),
        (LINEAGE, "lineage", settings.lineage.to, "every lineage event was delivered"),
        (SHADOW, "shadow", settings.shadow.versions, "every shadow could score"),
    ):
        if not wanted:
            continue
        state = loop_state(database, name)
        yield _gauge(f"riskloop_{key}_failures", f"Failures in a row since {text}.", state.failures)
        if state.age is not None:
            age = state.age.total_seconds()
            yield _gauge(f"riskloop_{key}_age_seconds", f"Time since {text}.", age)


def _shadow(database: Database, settings: ShadowSettings, decisions: DecisionLog) -> Iterator[Metric]:
    counts = [count for count in ShadowScores(database).counts() if count.version in settings.versions]
    if not counts:
        return
    newest, some = decisions.last_id(), [count for count in counts if count.scored]
    for name, text, values in (
        ("scored", "Decisions that a shadow has scored.", {c.version: c.scored for c in counts}),
        ("behind", "Decisions that a shadow has not looked at yet.", {c.version: newest - c.last_id for c in counts}),
        ("unscored", "Decisions that a shadow could not score.", {c.version: c.decisions - c.scored for c in counts}),
        (
            "agreement",
            "Share of decisions made like the champion.",
            {c.version: c.agreed / c.scored for c in some},
        ),
        ("mean_pd", "Mean PD by a shadow.", {c.version: c.total / c.scored for c in some}),
        ("champion_mean_pd", "Mean PD by the champions.", {c.version: c.champion_total / c.scored for c in some}),
    ):
        yield _by("version", f"riskloop_shadow_{name}", text, {str(key): float(value) for key, value in values.items()})


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by(label: str, name: str, text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _window(window: Window, found: Sequence[Finding], feed: OutcomeFeed, now: datetime) -> Iterator[Metric]:
    """The newest closed window: what it was diagnosed as, and how its columns and its score moved."""
    yield _by(
        "diagnosis",
        "riskloop_diagnosis",
        "1 for the diagnosis of the newest window.",
        {diagnosis.value: float(diagnosis is window.diagnosis) for diagnosis in Diagnosis},
    )
    yield _gauge("riskloop_window_end_timestamp_seconds", "Where the newest window ends.", window.end_time.timestamp())
    yield _gauge("riskloop_window_decisions", "Decisions in the newest window.", window.rows)
    moved = {f.subject: f.statistic for f in found if f.check == "psi" and f.statistic is not None}
    score = moved.pop(SCORE, None)
    yield _by("feature", "riskloop_feature_psi", "PSI of a feature in the newest window.", moved)
    if score is not None:
        yield _gauge("riskloop_score_psi", "PSI of the score in the newest window.", score)
    counts = {severity.value: float(sum(f.severity is severity for f in found)) for severity in Severity}
    yield _by("severity", "riskloop_findings", "Findings in the newest window.", counts)
    estimates = {f.subject: f for f in found if f.check == "estimated_auc" and f.statistic is not None}
    best = next((estimates[method] for method in ESTIMATES if method in estimates), None)
    if best is not None:
        yield from _interval("riskloop_estimated_auc", "AUC of the newest window as estimated before outcomes.", best)
    if window.rows:
        approved, declined = feed.decisions.decided(window.span, feed.maturity(now))
        share = approved / (approved + declined)
        yield _gauge("riskloop_approval_rate", "Share of the newest window's decisions that approve.", share)


def _realised(windows: Windows) -> Iterator[Metric]:
    """The newest window that was judged by its outcomes."""
    judged = windows.newest_with("auc")
    if judged is None:
        return
    window, found = judged, windows.findings(judged.id)
    end = window.end_time.timestamp()
    yield _gauge("riskloop_judged_window_end_timestamp_seconds", "Where the newest window with an AUC ends.", end)
    for entry in found:
        if entry.subject == WINDOW and entry.check == "auc" and entry.statistic is not None:
            text = "AUC of the newest window that was judged by its outcomes."
            yield from _interval("riskloop_realised_auc", text, entry)
            reference = entry.details.get("reference")
            if reference is not None:
                yield _gauge("riskloop_reference_auc", "AUC at the champion's training.", float(reference))
        if entry.check == "calibration" and entry.details.get("expected"):
            ratio = float(entry.details["observed"]) / float(entry.details["expected"])
            yield _gauge("riskloop_calibration_ratio", "Default rate over mean PD in that window.", ratio)
    grades = {
        f.subject: float(f.details["defaults"]) / f.n / float(f.details["pd"])
        for f in found
        if f.check == "jeffreys" and f.n and f.details.get("pd")
    }
    yield _by("grade", "riskloop_grade_calibration_ratio", "Default rate over mean PD in that window.", grades)


def _interval(name: str, text: str, found: Finding) -> Iterator[Metric]:
    yield _gauge(name, text, float(found.statistic or 0.0))
    for bound in BOUNDS:
        value = found.details.get(bound)
        if value is not None:
            yield _gauge(f"{name}_{bound}", f"{bound.capitalize()} end of its 95% interval.", float(value))


def _cases(cases: Cases, windows: Windows) -> Iterator[Metric]:
    opened = [case.state for case in cases.latest(only_open=True)]
    states = [state for state in CaseState if state is not CaseState.ENDED]
    counts = {state.value: float(opened.count(state)) for state in states}
    yield _by("state", "riskloop_open_cases", "Open cases by state.", counts)
    rows = sum(window.rows for window in windows.quarantined())
    yield _gauge("riskloop_quarantined_decisions", "Decisions that are kept out of learning.", rows)


def _outcomes(feed: OutcomeFeed, windows: Windows, now: datetime) -> Iterator[Metric]:
    state = feed.state(now)
    yield _gauge("riskloop_outcomes_late", "1 while an outcome file is late.", float(state.late is not None))
    if state.due is not None:
        due = state.due.timestamp()
        yield _gauge("riskloop_outcomes_due_timestamp_seconds", "When the outcome file was due that is late.", due)
    yield _gauge("riskloop_outcomes_quarantined", "Deliveries of outcomes in quarantine.", len(state.held))
    if state.complete_until is not None:
        until = state.complete_until.timestamp()
        yield _gauge("riskloop_outcomes_complete_until_timestamp_seconds", "Up to when outcomes are complete.", until)
    waiting = len(views.outcomes(feed, windows, now)["not_judged"])
    yield _gauge("riskloop_windows_not_judged", "Windows whose outcomes are due and not complete.", waiting)


def _trust(state: TrustState) -> Iterator[Metric]:
    yield _gauge(
        "riskloop_record_doubtful", "1 while the record does not agree with its checkpoint.", state.problem is not None
    )
    if state.age is not None:
        yield _gauge(
            "riskloop_checkpoint_age_seconds", "Time since the last signed checkpoint.", state.age.total_seconds()
        )


def _champion(gate: GateSettings, ledger: Ledger, cases: Cases, champion: Promotion, now: datetime) -> Iterator[Metric]:
    days = (now - champion.at).total_seconds() / 86_400.0
    yield _gauge("riskloop_champion_days", "Days since the champion was promoted.", days)
    harm = len(views.unresolved(cases, ledger, champion.version))
    yield _gauge("riskloop_unresolved_cases", "Ended cases by which the champion is known to do worse.", harm)
    budget = views.gate_budget(ledger.database, gate, champion.version, now)
    yield _gauge("riskloop_gate_tries", "Tries of the gate that count against the champion's budget.", budget["tries"])
    yield _gauge("riskloop_gate_alpha_left", "What is left of the gate's error budget.", budget["left"])
