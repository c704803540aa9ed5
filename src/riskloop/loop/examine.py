"""What is found in one window: at once without outcomes, and again when they are final. No store, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from riskloop.core.settings import Settings
from riskloop.core.types import DAY, Finding, Floats, Ints, Severity
from riskloop.loop.champion import ReferenceModel, some
from riskloop.monitor.correlation import Correlation, correlation_of
from riskloop.monitor.drift import context_findings, evidently_findings, has_evidently, profile_findings
from riskloop.monitor.estimate import estimate_findings, expected_performance
from riskloop.monitor.faults import mechanical_findings
from riskloop.monitor.impact import impact_findings
from riskloop.monitor.matured import Bands
from riskloop.monitor.onset import CHANGED, dated, day_of
from riskloop.monitor.overtime import over_time_findings
from riskloop.monitor.performance import performance_findings
from riskloop.monitor.profile import Profile
from riskloop.monitor.quality import quality_findings
from riskloop.monitor.residual import Past, residual_finding
from riskloop.monitor.segments import segments_of
from riskloop.monitor.selection import Comparison

AGAIN: Final = 0.5  # correlation of a customer's rows, where the history does not tell


@dataclass(frozen=True, slots=True)
class Arrived:
    """A window's decisions: all of them, or the sample of its profile where they are too many for the memory."""

    profile: Profile  # of all rows
    features: Floats  # (n, k)
    scores: Floats  # (n,) the champion's probabilities
    times: Ints  # (n,) microseconds; empty where the rows are a sample

    @property
    def whole(self) -> bool:
        """Whether the rows are all there."""
        return len(self.scores) == self.profile.rows


def at_closing(
    champion: ReferenceModel,
    settings: Settings,
    window: Arrived,
    *,
    previous: Sequence[Profile] = (),
    period: tuple[datetime, datetime] | None = None,
    covered: tuple[datetime, datetime] | None = None,
    refusals: Mapping[tuple[str, str], int] | None = None,
    late: int = 0,
    page: Path | None = None,
    estimated: bool = True,
) -> list[Finding]:
    """Quality, drift, impact and estimated performance of a window, each change with its first day.

    ``previous``, ``period``, ``covered``, ``refusals`` and ``late`` as for `quality_findings`. With a ``page`` and
    with Evidently installed the drift is computed in its report, which is saved there; ``estimated`` can be left out
    where nobody asks for it.
    """
    findings = quality_findings(
        champion.reference,
        window.profile,
        min_rows=settings.windows.min_rows,
        refusals=refusals,
        previous=previous,
        period=period,
        covered=covered,
        late=late,
    )
    scores = _by_customers(champion, window)
    drawn = page is not None and not champion.reference.foremost  # a page of thousands of columns nobody can open
    if drawn and window.whole and len(window.scores) and has_evidently():
        findings += evidently_findings(
            champion.reference,
            champion.features,
            champion.reference_scores,
            window.features,
            scores,
            settings.drift,
            importance=champion.manifest.importance,
            report_path=page,
        )
    else:
        profile = window.profile
        if window.whole:
            profile = replace(profile, score_counts=champion.reference.score_bins.count(scores))
        findings += profile_findings(
            champion.reference, profile, settings.drift, importance=champion.manifest.importance
        )
    findings += context_findings(champion.reference, window.profile)
    if window.whole and len(window.times):
        findings = dated(findings, champion.reference, window.features, window.scores, window.times)
        findings += _begun_within(champion, window, findings)
    if window.profile.rows >= settings.windows.min_rows and estimated:
        findings += _consequences(champion, settings, window)
    return findings


def when_matured(
    champion: ReferenceModel,
    settings: Settings,
    features: Floats,
    scores: Floats,
    outcomes: Floats,
    stands_for: Floats | None = None,
    before: Sequence[Finding] = (),
    drifted: bool = False,
    customers: Ints | None = None,
) -> list[Finding]:
    """Realised performance of a window's decisions, whole and by segment; ``outcomes`` are NaN where not final.

    What is expected is computed on the very rows that have an outcome: who has one is no change of the world.
    ``stands_for`` (n,) says how many applicants each decision stands for, where some were approved at random.
    ``before`` are the findings of the champion's window before, whose evidence over time is carried on; ``drifted``
    says that the window's population moved. ``customers`` (n,) says whose the decisions are, where somebody has
    several in this window: those are one witness.
    """
    scores, held_against, own = (
        champion.best_estimate(p) for p in (scores, champion.probabilities, champion.reference_scores)
    )
    columns = settings.drift.segments or None
    known = ~np.isnan(outcomes)
    allowed = correlation(champion, settings)
    found = performance_findings(
        scores,
        outcomes,
        held_against,
        champion.outcomes,
        alpha=settings.drift.alpha,
        levels=settings.risk_levels,
        expected=lambda: expected_performance(*champion.labelled, features[known][:, champion.inputs], scores[known]),
        segments=segments_of(champion.model.schema, champion.features, features, columns),
        shrunk=champion.shrunk,
        trained=champion.trained,
        stands_for=stands_for,
        correlation=allowed,
        own=own,
        bands=Bands(settings.drift.auc_band, settings.drift.level_band, settings.drift.slope_band),
        customers=customers,
    )
    compared = Comparison.of(scores, outcomes, held_against, champion.outcomes, champion.trained, own, customers)
    found += over_time_findings(
        compared,
        allowed,
        before,
        alarm=settings.drift.run_length,
        drifted=drifted,
        learns=settings.drift.asset_correlation is None,
    )
    # Of a champion of an earlier version nobody knows whose rows they are, nor how much a customer's move together.
    again = AGAIN if settings.portfolio.unit is not None and champion.customers is None else 0.0
    past = Past(champion.bases, held_against, champion.outcomes, own, champion.customers, again)
    inputs = features[:, champion.inputs]
    return [
        *found,
        residual_finding(
            past,
            inputs,
            scores,
            outcomes,
            before,
            alarm=settings.drift.run_length,
            drifted=drifted,
            customers=customers,
        ),
    ]


def correlation(champion: ReferenceModel, settings: Settings) -> Correlation:
    """How much the defaults of one month move together, by the settings or the champion's history."""
    return correlation_of(
        champion.days,
        champion.best_estimate(champion.probabilities),
        champion.outcomes,
        given=settings.drift.asset_correlation,
        floor=settings.drift.asset_correlation_floor,
        customers=champion.customers,
    )


def _by_customers(champion: ReferenceModel, window: Arrived) -> Floats:
    """The scores as they were if the period's context were the history's: what is left to move is the customers.

    When rates rise, every score moves. That is no drift of the customers, and no retraining would end it.
    """
    context = sorted(champion.reference.context.intersection(champion.model.schema.model_columns))
    if not (context and window.whole and len(window.scores)):
        return window.scores
    features = window.features.copy()
    as_ever = np.linspace(0, len(champion.features) - 1, len(features)).astype(np.int64)
    features[:, context] = champion.features[np.ix_(as_ever, np.asarray(context))]
    return champion.model.probabilities(features)


def _begun_within(champion: ReferenceModel, window: Arrived, findings: Sequence[Finding]) -> list[Finding]:
    """Mechanical faults that only the rows since a day within the window show: half a window hides them."""
    first = int(window.times.min()) // DAY
    # That a column no longer moves with the others says less than what undoes the change.
    known = {f.subject for f in findings if f.severity is Severity.FAULT and f.check != "detached"}
    days = {
        day_of(f.details["since"])
        for f in findings
        if f.severity in CHANGED and f.subject in champion.reference.schema.names
    }
    found: dict[tuple[str, str], Finding] = {}
    for day in sorted(days - {first}):
        since = window.times >= day * DAY
        part = window.features[since], window.scores[since], window.times[since]
        for finding in dated(
            mechanical_findings(champion.reference, champion.reference.profile(*part)), champion.reference, *part
        ):
            if finding.subject not in known and finding.check != "detached":
                found.setdefault((finding.check, finding.subject), finding)
    return list(found.values())


def _consequences(champion: ReferenceModel, settings: Settings, window: Arrived) -> list[Finding]:
    """What the change does to the PD, and how good the champion probably still is."""
    (before, scores), today = champion.explained, some(window.features)
    found = impact_findings(
        champion.model.schema.names,
        before,
        champion.model.contributions(window.features[today]),
        scores,
        window.scores[today],
        champion.model.threshold,
    )
    return found + estimate_findings(
        *champion.labelled,
        window.features[:, champion.inputs],
        window.scores,
        harm_auc=settings.policy.harm_auc,
        trained=champion.trained,
    )
