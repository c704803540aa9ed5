"""Is the champion still right? Its matured decisions against what it did when it was trained.

Immature outcomes are NaN and never count: early defaults alone would make any champion look too optimistic.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.settings import RiskLevelSettings
from riskloop.core.stats import (
    EstimatedPerformance,
    Interval,
    auc,
    auc_interval,
    benjamini_hochberg,
    brier_interval,
    calibration_in_the_large,
    calibration_slope,
    delong_variance,
    gini_interval,
    jeffreys_by_grade,
    ks_interval,
    log_loss_interval,
    wilson_interval,
)
from riskloop.core.types import Finding, Floats, Severity

WINDOW: Final = "window"
LEVELS: Final = ("low", "medium", "high", "very_high")

LEAST_DEFAULTS: Final = 10  # of either class
AUC_DROP: Final = 0.02
RATE_GAP: Final = 0.10  # of the expected defaults
SEVERE: Final = 0.1  # of alpha

MEASURES: Final = (
    ("gini", "Gini", gini_interval),
    ("ks", "KS", ks_interval),
    ("brier", "The Brier score", brier_interval),
    ("log_loss", "The log loss", log_loss_interval),
)

EXPLAINED_SOURCE: Final = "PAPE (arXiv 2401.08348) on the same decisions, with the error of their outcomes alone"


@dataclass(frozen=True, slots=True)
class Matured:
    """Decisions whose outcomes are final: probabilities (n,) and outcomes (n,), 0 or 1."""

    probabilities: Floats
    outcomes: Floats

    @classmethod
    def of(cls, probabilities: Floats, outcomes: Floats) -> "Matured":
        """Only the decisions whose outcome is known and mature, that is not NaN."""
        known = ~np.isnan(outcomes)
        return cls(probabilities[known], outcomes[known])

    @property
    def defaults(self) -> int:
        """Decisions that defaulted."""
        return int(self.outcomes.sum())

    @property
    def enough(self) -> bool:
        """Whether ranking and calibration can be judged at all."""
        return min(self.defaults, self.outcomes.size - self.defaults) >= LEAST_DEFAULTS


def performance_findings(
    probabilities: Floats,
    outcomes: Floats,
    reference_probabilities: Floats,
    reference_outcomes: Floats,
    *,
    alpha: float,
    levels: RiskLevelSettings | None = None,
    expected: Callable[[], EstimatedPerformance] | None = None,
    segments: Mapping[str, npt.NDArray[np.object_]] | None = None,
) -> list[Finding]:
    """Realised performance of one window's decisions, NaN outcomes left out.

    The reference is the champion's training sample with its out-of-fold probabilities. ``alpha`` is shared by the
    window's decisive tests. ``expected`` estimates what a mere change of population would give (PAPE, see
    `monitor.estimate`); it is asked only when something fell, because it is slow. ``segments`` maps a column's name
    to the segment of every row.
    """
    window = Matured.of(probabilities, outcomes)
    history = Matured.of(reference_probabilities, reference_outcomes)
    if not (window.enough and history.enough):
        return [_too_few(window, history)]
    level = alpha / 6.0  # two looks at a window, and at the second one ranking, level and slope
    found = [_ranking(window, history, level), _level(window, history, level), _slope(window, history, level)]
    if expected is not None and any(f.severity in (Severity.DRIFTED, Severity.SEVERE) for f in found[:2]):
        found += _explained(window, history, expected, level)
    found += _measures(window, history)
    found += _grades(window, history, levels or RiskLevelSettings(), alpha)
    found += _segment_findings(segments or {}, probabilities, outcomes, history, alpha)
    return found


# --------------------------------------------------------------------------- the decisive tests


def _ranking(window: Matured, history: Matured, alpha: float) -> Finding:
    now, before = auc_interval(window.outcomes, window.probabilities), auc(history.outcomes, history.probabilities)
    error = math.sqrt(
        delong_variance(window.outcomes, window.probabilities)
        + delong_variance(history.outcomes, history.probabilities)
    )
    p = _normal_tail((before - now.estimate) / error) if error else float(now.estimate >= before)
    drop = before - now.estimate
    return _finding(
        "auc",
        _severity(drop > AUC_DROP, p, alpha),
        now.estimate,
        before - max(AUC_DROP, _quantile(alpha) * error),
        "the AUC is not lower than at training",
        "Two-sample z test with DeLong variances (DeLong et al., 1988), one-sided",
        window,
        history,
        f"The AUC on {window.outcomes.size} matured decisions is {_shown(now)}; at training it was {before:.3f}.",
        {"p_value": p, "lower": now.lower, "upper": now.upper, "reference": before},
    )


def _level(window: Matured, history: Matured, alpha: float) -> Finding:
    coefficient = calibration_in_the_large(window.outcomes, window.probabilities)
    observed = wilson_interval(window.defaults, window.outcomes.size)
    expected = float(window.probabilities.mean())
    gap = observed.estimate / expected - 1.0
    return _finding(
        "calibration",
        _severity(abs(gap) > RATE_GAP, coefficient.p_value, alpha),
        coefficient.estimate,
        _quantile(alpha / 2.0) * coefficient.std_error,
        "as many default as the probabilities say",
        "Calibration in the large (Cox, 1958), with a practical band",
        window,
        history,
        f"{_shown(observed, percent=True)} of the matured decisions defaulted; the champion expected {expected:.1%}.",
        {"p_value": coefficient.p_value, "observed": observed.estimate, "expected": expected},
    )


def _slope(window: Matured, history: Matured, alpha: float) -> Finding:
    coefficient = calibration_slope(window.outcomes, window.probabilities)
    return _finding(
        "calibration_slope",
        _severity(abs(coefficient.estimate - 1.0) > 0.2, coefficient.p_value, alpha),
        coefficient.estimate,
        _quantile(alpha / 2.0) * coefficient.std_error,
        "the probabilities are spread as the outcomes are",
        "Calibration slope (Cox, 1958), with a practical band",
        window,
        history,
        f"The calibration slope is {coefficient.estimate:.2f} ± {1.96 * coefficient.std_error:.2f}; 1 is perfect.",
        {"p_value": coefficient.p_value},
    )


def _explained(
    window: Matured, history: Matured, expected: Callable[[], EstimatedPerformance], alpha: float
) -> list[Finding]:
    try:
        estimate = expected()
    except DataError as error:
        return [_unknown("auc_explained", window, history, error.message)]
    area = auc(window.outcomes, window.probabilities)
    rate = window.defaults / window.outcomes.size
    fell = (estimate.auc.value - area) / estimate.auc.outcome_error
    off = abs(rate - estimate.default_rate.value) / estimate.default_rate.outcome_error
    far = estimate.auc.value - area > AUC_DROP / 2.0
    wide = abs(rate / estimate.default_rate.value - 1.0) > RATE_GAP / 2.0
    return [
        _finding(
            "auc_explained",
            _severity(far, _normal_tail(fell), alpha),
            area,
            estimate.auc.value - _quantile(alpha) * estimate.auc.outcome_error,
            "the AUC is what the changed population explains",
            EXPLAINED_SOURCE,
            window,
            history,
            f"The changed population explains an AUC of {estimate.auc.value:.3f}; realised are {area:.3f}.",
            {"p_value": _normal_tail(fell), "estimate": estimate.auc.value, "assumption": estimate.assumption},
        ),
        _finding(
            "calibration_explained",
            _severity(wide, 2.0 * _normal_tail(off), alpha),
            rate,
            estimate.default_rate.value,
            "the default rate is what the changed population explains",
            EXPLAINED_SOURCE,
            window,
            history,
            f"The changed population explains {estimate.default_rate.value:.1%} defaults; realised are {rate:.1%}.",
            {"p_value": 2.0 * _normal_tail(off), "estimate": estimate.default_rate.value},
        ),
    ]


# --------------------------------------------------------------------------- what else is shown


def _measures(window: Matured, history: Matured) -> list[Finding]:
    found = []
    for check, words, interval in MEASURES:
        now, before = (interval(part.outcomes, part.probabilities) for part in (window, history))
        found.append(
            _finding(
                check,
                Severity.OK,
                now.estimate,
                None,
                "",
                "Definition and interval in core.stats",
                window,
                history,
                f"{words} is {_shown(now)}; at training it was {before.estimate:.3f}.",
                {"reference": before.estimate, "lower": now.lower, "upper": now.upper},
            )
        )
    return found


def _grades(window: Matured, history: Matured, levels: RiskLevelSettings, alpha: float) -> list[Finding]:
    # A probability at a bound belongs to the level above it.
    grades = np.searchsorted((levels.low, levels.medium, levels.high), window.probabilities, side="right")
    tests = jeffreys_by_grade(window.outcomes, window.probabilities, grades, two_sided=True)
    rejected = benjamini_hochberg([test.p_value for test in tests], alpha)
    return [
        Finding(
            check="jeffreys",
            subject=LEVELS[test.grade],
            severity=Severity.DRIFTED if off else Severity.OK,
            statistic=test.p_value,
            critical=alpha,
            null="the grade's default rate is its mean probability",
            source="Jeffreys test (ECB, 2019), two-sided; Benjamini & Hochberg over the grades",
            n=test.n,
            m=history.outcomes.size,
            sentence=f"{test.defaults} of {test.n} with risk level {LEVELS[test.grade]} defaulted; "
            f"expected were {test.pd * test.n:.1f}.",
            details={"defaults": test.defaults, "pd": test.pd, "p_value": test.p_value},
        )
        for test, off in zip(tests, rejected, strict=True)
    ]


def _segment_findings(
    segments: Mapping[str, npt.NDArray[np.object_]],
    probabilities: Floats,
    outcomes: Floats,
    history: Matured,
    alpha: float,
) -> list[Finding]:
    """A segment that is off is said to be; the diagnosis is the whole window's."""
    parts = {
        f"{name} = {member}": Matured.of(probabilities[members == member], outcomes[members == member])
        for name, members in segments.items()
        for member in sorted(set(members.tolist()))
    }
    judged = {subject: part for subject, part in parts.items() if part.enough}
    levels = [calibration_in_the_large(part.outcomes, part.probabilities) for part in judged.values()]
    rejected = benjamini_hochberg([level.p_value for level in levels], alpha)
    found = []
    for (subject, part), level, off in zip(judged.items(), levels, rejected, strict=True):
        now, expected = auc_interval(part.outcomes, part.probabilities), float(part.probabilities.sum())
        matters = abs(part.defaults / expected - 1.0) > RATE_GAP
        found.append(
            Finding(
                check="segment",
                subject=subject,
                severity=Severity.DRIFTED if off and matters else Severity.OK,
                statistic=now.estimate,
                critical=None,
                null="as many of the segment default as the probabilities say",
                source="AUC with its DeLong interval; calibration in the large (Cox, 1958), Benjamini & Hochberg "
                "over the segments",
                n=part.outcomes.size,
                m=history.outcomes.size,
                sentence=f"{subject}: AUC {_shown(now)}; {part.defaults} of {part.outcomes.size} defaulted, "
                f"expected were {expected:.1f}.",
                details={
                    "p_value": level.p_value,
                    "lower": now.lower,
                    "upper": now.upper,
                    "defaults": part.defaults,
                    "expected": expected,
                },
            )
        )
    return found


def _too_few(window: Matured, history: Matured) -> Finding:
    others = window.outcomes.size - window.defaults
    return _unknown(
        "auc",
        window,
        history,
        f"{window.defaults} defaults and {others} others have matured; {LEAST_DEFAULTS} of each are needed.",
    )


def _unknown(check: str, window: Matured, history: Matured, sentence: str) -> Finding:
    return _finding(check, Severity.UNKNOWN, None, None, "", "", window, history, sentence, {})


def _finding(
    check: str,
    severity: Severity,
    statistic: float | None,
    critical: float | None,
    null: str,
    source: str,
    window: Matured,
    history: Matured,
    sentence: str,
    details: Mapping[str, object],
) -> Finding:
    n, m = window.outcomes.size, history.outcomes.size
    return Finding(check, WINDOW, severity, statistic, critical, null, source, n, m, sentence, dict(details))


def _severity(matters: bool, p_value: float, alpha: float) -> Severity:
    if not matters:
        return Severity.OK
    if p_value >= alpha:
        return Severity.NOISE
    return Severity.SEVERE if p_value < SEVERE * alpha else Severity.DRIFTED


def _shown(interval: Interval, percent: bool = False) -> str:
    values: Sequence[float] = (interval.estimate, interval.lower, interval.upper)
    texts = [f"{v:.1%}" if percent else f"{v:.3f}" for v in values]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def _normal_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _quantile(alpha: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(1.0 - alpha)
