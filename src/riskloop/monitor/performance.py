"""Is the champion still right? Its matured decisions against what it did when it was trained.

Immature outcomes are NaN and never count: early defaults alone would make any champion look too optimistic.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.findings import DeclaredCheck
from riskloop.core.settings import RiskLevelSettings
from riskloop.core.stats import (
    EstimatedPerformance,
    auc,
    auc_interval,
    calibration_in_the_large,
    calibration_slope,
    delong_variance,
    design_effect,
    normal_tail,
    upper_quantile,
    wilson_interval,
)
from riskloop.core.stats.correlated import level_error, level_p_value, rate_variance
from riskloop.core.types import Finding, Floats, Ints, Severity
from riskloop.monitor.breakdown import applicant_findings, grade_findings, measure_findings, segment_findings
from riskloop.monitor.correlation import INDEPENDENT, Correlation
from riskloop.monitor.matured import (
    LEAST_DEFAULTS,
    USUAL,
    Bands,
    Matured,
    Trained,
    finding,
    severity,
    shown,
    unknown,
    wider,
)
from riskloop.monitor.selection import Comparison

LOOKS: Final = 6.0  # two looks at a window, and at the second one ranking, level and slope

AUC: Final = DeclaredCheck(
    "auc",
    "the AUC is not lower than at training",
    "Two-sample z test with DeLong variances (DeLong et al., 1988), one-sided",
    "The AUC",
)
CALIBRATION: Final = DeclaredCheck(
    "calibration",
    "as many default as the probabilities say",
    "Exact binomial tail, mixed over a factor that all customers of a period share (Vasicek, 2002), with the error "
    "of the history and a practical band; the statistic is calibration in the large (Cox, 1958)",
    "The level of default",
)
CALIBRATION_SLOPE: Final = DeclaredCheck(
    "calibration_slope",
    "the probabilities are spread as the outcomes are, as far as the champion's ever were",
    "Calibration slope (Cox, 1958) with the error of window and history, and a practical band",
    "The calibration slope",
)

_PAPE: Final = "PAPE (arXiv 2401.08348) on the same decisions, with the error of their outcomes alone"
AUC_EXPLAINED: Final = DeclaredCheck(
    "auc_explained", "the AUC is what the changed population explains", _PAPE, "What the changed population explains"
)
CALIBRATION_EXPLAINED: Final = DeclaredCheck(
    "calibration_explained", "the default rate is what the changed population explains", _PAPE
)
SLOPE_EXPLAINED: Final = DeclaredCheck(
    "slope_explained", "the calibration slope is what the changed population explains", _PAPE
)


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
    shrunk: float = 1.0,
    trained: Trained | None = None,
    stands_for: Floats | None = None,
    correlation: Correlation = INDEPENDENT,
    own: Floats | None = None,
    bands: Bands = USUAL,
    customers: Ints | None = None,
) -> list[Finding]:
    """Realised performance of one window's decisions, NaN outcomes left out.

    The reference is the champion's training sample with its out-of-fold probabilities. ``alpha`` is shared by the
    window's decisive tests. ``expected`` estimates what a mere change of population would give (PAPE, see
    `monitor.estimate`); it is asked only when something fell, because it is slow. ``segments`` maps a column's name
    to the segment of every row. ``shrunk`` is the slope of the champion's calibration line, where that line was
    learned from models of parts of the history. ``trained`` is the AUC that windows are held against; None: that of
    the reference. ``stands_for`` (n,) says how many applicants each row stands for, where some were approved at random.
    ``correlation`` is that of the defaults of one period, which the tests of level allow for. ``own`` are the
    champion's own scores of the reference, as for `Comparison.of`; ``bands`` are what matters at all. The rows of
    one of the ``customers`` (n,) are one witness.
    """
    compared = Comparison.of(
        probabilities, outcomes, reference_probabilities, reference_outcomes, trained, own, customers
    )
    window, history = compared.window, compared.history
    if not compared.enough:
        return [_too_few(window, history)]
    level = alpha / LOOKS
    tests: dict[DeclaredCheck, Callable[[], Finding]] = {
        AUC: lambda: _ranking(compared, level, bands.auc),
        CALIBRATION: lambda: _level(window, history, level, correlation, bands.level),
        CALIBRATION_SLOPE: lambda: _slope(window, history, level, shrunk, bands.slope),
    }
    found = [_attempt(check, test, window, history) for check, test in tests.items()]
    if expected is not None and any(f.severity in (Severity.DRIFTED, Severity.SEVERE) for f in found):
        found += _explained(window, history, expected, level, shrunk, correlation, bands)
    found += measure_findings(compared)
    found += applicant_findings(compared, outcomes, probabilities, stands_for)
    found += grade_findings(window, history, levels or RiskLevelSettings(), alpha)
    found += segment_findings(segments or {}, probabilities, outcomes, history, alpha, customers)
    return found


def ranks_worse(
    probabilities: Floats,
    outcomes: Floats,
    reference_probabilities: Floats,
    reference_outcomes: Floats,
    *,
    alpha: float,
    trained: Trained | None = None,
    band: float = USUAL.auc,
) -> bool:
    """Whether these decisions show an AUC below that of the training, by the ``band`` and test of a window."""
    compared = Comparison.of(probabilities, outcomes, reference_probabilities, reference_outcomes, trained)
    if not compared.enough:
        return False
    found = _attempt(AUC, lambda: _ranking(compared, alpha / LOOKS, band), compared.window, compared.history)
    return found.severity in (Severity.DRIFTED, Severity.SEVERE)


# --------------------------------------------------------------------------- the decisive tests


def _attempt(check: DeclaredCheck, test: Callable[[], Finding], window: Matured, history: Matured) -> Finding:
    """One test that cannot be made, as of scores that are all equal, stops no other one."""
    try:
        return test()
    except DataError as error:
        return unknown(check, window, history, error.message)


def _ranking(compared: Comparison, alpha: float, band: float) -> Finding:
    window, history, trained = compared.window, compared.history, compared.trained
    rows = window.outcomes, window.probabilities
    now, before = auc_interval(*rows, customers=window.customers), trained.auc
    error = math.hypot(math.sqrt(delong_variance(*rows, window.customers)), trained.std_error)
    p = normal_tail((before - now.estimate) / error) if error else float(now.estimate >= before)
    drop = before - now.estimate
    return finding(
        AUC,
        severity(drop > band, p, alpha),
        now.estimate,
        before - max(band, upper_quantile(alpha) * error),
        window,
        history,
        f"The AUC on {window.outcomes.size:,} matured decisions is {shown(now)}; at training it was {before:.3f}"
        f"{_restriction(compared)}.",
        {"p_value": p, "lower": now.lower, "upper": now.upper, "reference": before, "known": compared.known}
        | ({} if compared.whole is None else {"reference_applicants": compared.whole}),
    )


def _restriction(compared: Comparison) -> str:
    """The restriction of range, where there is one."""
    if compared.whole is None:
        return ""
    return (
        f" among customers with such scores, and {compared.whole:.3f} among all applicants "
        f"(outcomes are known for {compared.known:.0%} of the window, and the score decides for whom)"
    )


def _level(window: Matured, history: Matured, alpha: float, correlation: Correlation, band: float) -> Finding:
    coefficient = calibration_in_the_large(window.outcomes, window.probabilities)
    # The champion's level was learned from a sample, too: a small history is no measure to the third digit.
    together, learned = level_errors(window.probabilities, history, correlation.asset, correlation.periods)
    again = coefficient.std_error * math.sqrt(window.effect - 1.0)  # what customers with several rows add
    p = level_p_value(window.defaults, window.probabilities, correlation.asset, math.hypot(learned, again))
    error = math.hypot(coefficient.std_error, learned, again, together)
    observed = wider(wilson_interval(window.defaults, window.outcomes.size), window.effect)
    expected = float(window.probabilities.mean())
    gap = observed.estimate / expected - 1.0
    return finding(
        CALIBRATION,
        severity(abs(gap) > band, p, alpha),
        coefficient.estimate,
        upper_quantile(alpha / 2.0) * error,
        window,
        history,
        f"{shown(observed, percent=True)} of the matured decisions defaulted; the champion expected {expected:.1%}.",
        {
            "p_value": p,
            "observed": observed.estimate,
            "expected": expected,
            "asset_correlation": correlation.asset,
            "correlation_from": correlation.told,
        },
    )


def level_errors(probabilities: Floats, history: Matured, asset: float, periods: int) -> tuple[float, float]:
    """Standard errors in log-odds: of a month's level by the factor alone, and of the level that a history taught.

    Of customers with these ``probabilities`` (n,), whose defaults have the ``asset`` correlation; the history had so
    many ``periods``. DataError where it shows no level.
    """
    own = calibration_in_the_large(history.outcomes, history.probabilities).std_error
    together = level_error(probabilities, asset)
    return together, math.hypot(own, together / math.sqrt(periods))


def _slope(window: Matured, history: Matured, alpha: float, shrunk: float, band: float) -> Finding:
    now = calibration_slope(window.outcomes, window.probabilities)
    std_error = now.std_error * math.sqrt(_slope_effect(window))
    error = math.hypot(std_error, calibration_slope(history.outcomes, history.probabilities).std_error)
    own = _own_slopes(shrunk)
    gap = _beyond(now.estimate, own)
    p = 2.0 * normal_tail(abs(gap) / error)
    reach = max(band, upper_quantile(alpha / 2.0) * error)
    usual = "1 is perfect" if own == (1.0, 1.0) else f"{own[0]:.2f} to {own[1]:.2f} is the champion's own"
    return finding(
        CALIBRATION_SLOPE,
        severity(abs(gap) > band, p, alpha),
        now.estimate,
        own[0] - reach if now.estimate < own[0] else own[1] + reach,
        window,
        history,
        f"The calibration slope is {now.estimate:.2f} ± {1.96 * std_error:.2f}; {usual}.",
        {"p_value": p, "own": list(own)},
    )


def _slope_effect(window: Matured) -> float:
    """The design effect of the slope's influences."""
    odds = np.log(np.clip(window.probabilities, 1e-12, None)) - np.log(np.clip(1.0 - window.probabilities, 1e-12, None))
    weight = window.probabilities * (1.0 - window.probabilities)
    along = odds - float(np.average(odds, weights=weight))
    return design_effect(along * (window.outcomes - window.probabilities), window.customers)


def _own_slopes(shrunk: float) -> tuple[float, float]:
    """Where the champion's own slope may lie in a world that has not changed.

    Its calibration line, of slope ``shrunk``, was learned from models of parts of the history. The final model may
    need all of that correction, which gives 1, or, having seen more rows, none of it, which gives 1 / ``shrunk``.
    """
    free = 1.0 / shrunk
    return min(1.0, free), max(1.0, free)


def _beyond(value: float, bounds: tuple[float, float]) -> float:
    return value - min(max(value, bounds[0]), bounds[1])


def _explained(
    window: Matured,
    history: Matured,
    expected: Callable[[], EstimatedPerformance],
    alpha: float,
    shrunk: float,
    correlation: Correlation,
    bands: Bands,
) -> list[Finding]:
    try:
        estimate = expected()
    except DataError as error:
        return [unknown(AUC_EXPLAINED, window, history, error.message)]
    area = auc(window.outcomes, window.probabilities)
    rate = window.defaults / window.outcomes.size
    repeated = math.sqrt(window.effect)
    fell = (estimate.auc.value - area) / (repeated * estimate.auc.outcome_error)
    together = math.sqrt(rate_variance(window.probabilities, correlation.asset) * (1.0 + 1.0 / correlation.periods))
    off = abs(rate - estimate.default_rate.value) / math.hypot(repeated * estimate.default_rate.outcome_error, together)
    far = estimate.auc.value - area > bands.auc / 2.0
    wide = abs(rate / estimate.default_rate.value - 1.0) > bands.level / 2.0
    return [
        finding(
            AUC_EXPLAINED,
            severity(far, normal_tail(fell), alpha),
            area,
            estimate.auc.value - upper_quantile(alpha) * repeated * estimate.auc.outcome_error,
            window,
            history,
            f"The changed population explains an AUC of {estimate.auc.value:.3f}; realised are {area:.3f}.",
            {"p_value": normal_tail(fell), "estimate": estimate.auc.value, "assumption": estimate.assumption},
        ),
        finding(
            CALIBRATION_EXPLAINED,
            severity(wide, 2.0 * normal_tail(off), alpha),
            rate,
            estimate.default_rate.value,
            window,
            history,
            f"The changed population explains {estimate.default_rate.value:.1%} defaults; realised are {rate:.1%}.",
            {"p_value": 2.0 * normal_tail(off), "estimate": estimate.default_rate.value},
        ),
        *_slope_explained(window, history, estimate, alpha, shrunk, bands.slope),
    ]


def _slope_explained(
    window: Matured, history: Matured, estimate: EstimatedPerformance, alpha: float, shrunk: float, band: float
) -> list[Finding]:
    if estimate.slope is None:
        return []
    try:
        now = calibration_slope(window.outcomes, window.probabilities)
    except DataError as error:
        return [unknown(SLOPE_EXPLAINED, window, history, error.message)]
    low, high = (bound * estimate.slope.value for bound in _own_slopes(shrunk))
    gap = _beyond(now.estimate, (low, high))
    p = 2.0 * normal_tail(abs(gap) / (estimate.slope.outcome_error * math.sqrt(_slope_effect(window))))
    return [
        finding(
            SLOPE_EXPLAINED,
            severity(abs(gap) > band / 2.0, p, alpha),
            now.estimate,
            low if now.estimate < low else high,
            window,
            history,
            f"The changed population explains a calibration slope of {estimate.slope.value:.2f}; "
            f"realised is {now.estimate:.2f}.",
            {"p_value": p, "estimate": estimate.slope.value},
        )
    ]


def _too_few(window: Matured, history: Matured) -> Finding:
    others = window.outcomes.size - window.defaults
    because = f"{window.defaults} defaults and {others} others have matured; {LEAST_DEFAULTS} of each are needed"
    if window.enough:
        because = f"fewer than {LEAST_DEFAULTS} of the history's defaults are like those whose outcomes are known"
    return unknown(AUC, window, history, because)
