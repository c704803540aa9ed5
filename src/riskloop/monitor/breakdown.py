"""What is shown of matured decisions beside the tests that decide: measures, risk levels, segments."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from riskloop.core.findings import DESCRIBES, DeclaredCheck
from riskloop.core.grades import RATE_GAP
from riskloop.core.settings import RiskLevelSettings
from riskloop.core.stats import (
    auc_interval,
    benjamini_hochberg,
    brier_interval,
    calibration_in_the_large,
    gini_interval,
    jeffreys_by_grade,
    ks_interval,
    log_loss_interval,
    normal_tail,
    weighted_auc,
)
from riskloop.core.types import Finding, Floats, Ints, Severity
from riskloop.monitor.matured import Matured, finding, shown, wider
from riskloop.monitor.selection import Comparison

LEVELS: Final = ("low", "medium", "high", "very_high")

_DEFINED: Final = "Definition and interval in core.stats"
MEASURES: Final = (
    (DeclaredCheck("gini", DESCRIBES, _DEFINED, "Gini"), gini_interval),
    (DeclaredCheck("ks", DESCRIBES, _DEFINED, "KS"), ks_interval),
    (DeclaredCheck("brier", DESCRIBES, _DEFINED, "The Brier score"), brier_interval),
    (DeclaredCheck("log_loss", DESCRIBES, _DEFINED, "The log loss"), log_loss_interval),
)
APPLICANTS: Final = DeclaredCheck(
    "auc_applicants", DESCRIBES, "Inverse probability of inclusion (Horvitz & Thompson, 1952; Hájek, 1971)"
)
JEFFREYS: Final = DeclaredCheck(
    "jeffreys",
    "the grade's default rate is its mean probability",
    "Jeffreys test (ECB, 2019), two-sided; Benjamini & Hochberg over the grades",
)
SEGMENT: Final = DeclaredCheck(
    "segment",
    "as many of the segment default as the probabilities say",
    "AUC with its DeLong interval; calibration in the large (Cox, 1958), Benjamini & Hochberg over the segments",
)


def measure_findings(compared: Comparison) -> list[Finding]:
    """Gini, KS, Brier score and log loss with their intervals, beside those of the reference."""
    window, history = compared.window, compared.history
    found = []
    for check, interval in MEASURES:
        now, then = (interval(part.outcomes, part.probabilities) for part in (window, history))
        now = wider(now, window.effect)
        before = 2.0 * compared.trained.auc - 1.0 if check.name == "gini" else then.estimate
        found.append(
            finding(
                check,
                Severity.OK,
                now.estimate,
                None,
                window,
                history,
                f"{check.title} is {shown(now)}; at training it was {before:.3f}.",
                {"reference": before, "lower": now.lower, "upper": now.upper},
            )
        )
    return found


def applicant_findings(
    compared: Comparison, outcomes: Floats, probabilities: Floats, stands_for: Floats | None
) -> list[Finding]:
    """The AUC and the default rate among all applicants, where explored decisions stand for the declined ones."""
    known = ~np.isnan(outcomes)
    if stands_for is None or not (stands_for[known] != 1.0).any():
        return []
    weights, happened = stands_for[known], outcomes[known]
    area, error = weighted_auc(happened, probabilities[known], weights)
    rate = float(weights @ happened / weights.sum())
    explored = int(np.count_nonzero(weights != 1.0))
    return [
        finding(
            APPLICANTS,
            Severity.OK,
            area,
            None,
            compared.window,
            compared.history,
            f"Among all applicants the AUC is {area:.3f} ± {1.96 * error:.3f} and {rate:.1%} would default, by "
            f"{explored:,} outcomes of customers who were approved at random and stand for the declined ones.",
            {"std_error": error, "default_rate": rate, "explored": explored, "applicants": float(weights.sum())},
        )
    ]


def grade_findings(window: Matured, history: Matured, levels: RiskLevelSettings, alpha: float) -> list[Finding]:
    """Each risk level: do as many default as its probabilities say?"""
    # A probability at a bound belongs to the level above it.
    grades = np.searchsorted((levels.low, levels.medium, levels.high), window.probabilities, side="right")
    tests = jeffreys_by_grade(window.outcomes, window.probabilities, grades, two_sided=True, customers=window.customers)
    rejected = benjamini_hochberg([test.p_value for test in tests], alpha)
    return [
        JEFFREYS.finding(
            LEVELS[test.grade],
            Severity.DRIFTED if off else Severity.OK,
            (test.n, history.outcomes.size),
            f"{test.defaults} of {test.n} with risk level {LEVELS[test.grade].replace('_', ' ')} defaulted; "
            f"expected were {test.pd * test.n:.1f}.",
            statistic=test.p_value,
            critical=alpha,
            details={"defaults": test.defaults, "pd": test.pd, "p_value": test.p_value},
        )
        for test, off in zip(tests, rejected, strict=True)
    ]


def segment_findings(
    segments: Mapping[str, npt.NDArray[np.object_]],
    probabilities: Floats,
    outcomes: Floats,
    history: Matured,
    alpha: float,
    customers: Ints | None = None,
) -> list[Finding]:
    """A segment that is off is said to be; the diagnosis is the whole window's."""
    parts = {
        f"{name} = {member}": Matured.of(
            probabilities[members == member],
            outcomes[members == member],
            None if customers is None else customers[members == member],
        )
        for name, members in segments.items()
        for member in sorted(set(members.tolist()))
    }
    judged = {subject: part for subject, part in parts.items() if part.enough}
    levels = [calibration_in_the_large(part.outcomes, part.probabilities) for part in judged.values()]
    p_values = [
        2.0 * normal_tail(abs(level.estimate) / (level.std_error * math.sqrt(part.effect)))
        for part, level in zip(judged.values(), levels, strict=True)
    ]
    rejected = benjamini_hochberg(p_values, alpha)
    found = []
    for (subject, part), p_value, off in zip(judged.items(), p_values, rejected, strict=True):
        now = auc_interval(part.outcomes, part.probabilities, customers=part.customers)
        expected = float(part.probabilities.sum())
        matters = abs(part.defaults / expected - 1.0) > RATE_GAP
        found.append(
            SEGMENT.finding(
                subject,
                Severity.DRIFTED if off and matters else Severity.OK,
                (part.outcomes.size, history.outcomes.size),
                f"{subject}: AUC {shown(now)}; {part.defaults} of {part.outcomes.size} defaulted, "
                f"expected were {expected:.1f}.",
                statistic=now.estimate,
                details={
                    "p_value": p_value,
                    "lower": now.lower,
                    "upper": now.upper,
                    "defaults": part.defaults,
                    "expected": expected,
                },
            )
        )
    return found
