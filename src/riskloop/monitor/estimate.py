"""How good is the champion on a window whose outcomes are not known yet: CBPE and PAPE."""

import math
from collections.abc import Sequence
from typing import Final

from riskloop.core.errors import DataError
from riskloop.core.findings import DeclaredCheck
from riskloop.core.stats import EstimatedPerformance, auc, cbpe, density_ratio_weights, pape, recalibrate
from riskloop.core.types import Finding, Floats, Severity
from riskloop.monitor.matured import Trained

MOST_REFERENCE: Final = 8000
Z95: Final = 1.959963984540054

MEASURES: Final = {
    name: DeclaredCheck(
        f"estimated_{name}",
        "the champion performs as at training",
        "CBPE (NannyML) and PAPE, both in arXiv 2401.08348",
        title,
    )
    for name, title in (
        ("auc", "The AUC before outcomes"),
        ("ks", "The KS before outcomes"),
        ("default_rate", "The default rate before outcomes"),
        ("log_loss", "The log loss before outcomes"),
        ("brier", "The Brier score before outcomes"),
    )
}


def expected_performance(
    reference_X: Floats, reference_probabilities: Floats, reference_outcomes: Floats, X: Floats, probabilities: Floats
) -> EstimatedPerformance:
    """PAPE: what the champion does on this window if only its population changed.

    Give the columns that the champion reads: reference (m, k) and window (n, k). Raises DataError for windows that
    are too small to tell from the reference.
    """
    # More rows of history than this make the density ratio slower, and hardly better.
    step = max(1, math.ceil(len(reference_X) / max(MOST_REFERENCE, 2 * len(X))))
    ratio = density_ratio_weights(reference_X[::step], X)
    return pape(reference_outcomes[::step], reference_probabilities[::step], ratio.weights, probabilities)


def estimate_findings(
    reference_X: Floats,
    reference_probabilities: Floats,
    reference_outcomes: Floats,
    X: Floats,
    probabilities: Floats,
    *,
    harm_auc: float,
    trained: Trained | None = None,
) -> list[Finding]:
    """Estimated AUC, default rate, log loss and Brier score by both methods, with 95% bands and assumptions.

    Harm is when the whole band of the AUC lies more than ``harm_auc`` below the training's AUC, which is that of the
    reference where ``trained`` does not say it.
    """
    found: list[Finding] = []
    n, m = len(probabilities), len(reference_probabilities)
    for method in ("cbpe", "pape"):
        try:
            before = trained.auc if trained else auc(reference_outcomes, reference_probabilities)
            if method == "cbpe":
                estimated = cbpe(probabilities, recalibrate(reference_outcomes, reference_probabilities))
            else:
                estimated = expected_performance(
                    reference_X, reference_probabilities, reference_outcomes, X, probabilities
                )
        except DataError as error:
            found.append(MEASURES["auc"].unknown(method, (n, m), error.message))
            continue
        found += _findings(method, estimated, before, harm_auc, m)
    return found


def _findings(
    method: str, estimated: EstimatedPerformance, before: float, harm_auc: float, m: int
) -> Sequence[Finding]:
    measures = {
        "auc": estimated.auc,
        "ks": estimated.ks,
        "default_rate": estimated.default_rate,
        "log_loss": estimated.log_loss,
        "brier": estimated.brier,
    }
    found = []
    for name, estimate in measures.items():
        lower, upper = estimate.value - Z95 * estimate.std_error, estimate.value + Z95 * estimate.std_error
        harmed = name == "auc" and upper < before - harm_auc
        found.append(
            MEASURES[name].finding(
                method,
                Severity.DRIFTED if harmed else Severity.OK,
                (estimated.n, m),
                f"Estimated {name.replace('_', ' ')} before outcomes are known: {estimate.value:.3f} "
                f"({lower:.3f} to {upper:.3f}, {method.upper()}).",
                statistic=estimate.value,
                critical=before - harm_auc if name == "auc" else None,
                details={
                    "lower": lower,
                    "upper": upper,
                    "std_error": estimate.std_error,
                    "reference": before if name == "auc" else None,
                    "effective_m": estimated.effective_m,
                    "assumption": estimated.assumption,
                },
            )
        )
    return found
