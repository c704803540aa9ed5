"""What does drift do to the decisions? Ranked by its effect on the champion's score, not by the size of a PSI.

Contributions are log-odds that add up to a decision's raw score, so the differences of their means add up exactly
to the change of the mean score. In that proportion they are shown as changes of the mean PD and of the approvals.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from riskloop.core.findings import DESCRIBES, SCORE, DeclaredCheck
from riskloop.core.types import Finding, Floats, Severity

IMPACT: Final = DeclaredCheck(
    "impact", DESCRIBES, "Mean SHAP contributions (Lundberg et al., 2020) of window minus history"
)


def impact_findings(
    names: Sequence[str],
    reference_contributions: Floats,
    window_contributions: Floats,
    reference_probabilities: Floats,
    window_probabilities: Floats,
    threshold: float,
) -> list[Finding]:
    """Features in the order of what they do to the mean raw score, then one finding for the score as a whole.

    Contributions have shape (rows, k + 1), the last column being the base value, as `Model.contributions` returns
    them; probabilities have shape (rows,). A decision below ``threshold`` is an approval.
    """
    n, m = len(window_contributions), len(reference_contributions)
    if min(n, m) == 0:
        return []
    deltas = window_contributions.mean(axis=0) - reference_contributions.mean(axis=0)
    total = float(deltas.sum())
    pd_change = float(window_probabilities.mean() - reference_probabilities.mean())
    approval_change = float((window_probabilities < threshold).mean() - (reference_probabilities < threshold).mean())
    found = []
    for j in np.argsort(-np.abs(deltas[: len(names)])):
        delta = float(deltas[j])
        share = delta / total if abs(total) > 1e-12 else 0.0
        found.append(
            _finding(
                names[j],
                delta,
                (n, m),
                f"{names[j]} changes the mean score by {delta:+.3f} log-odds: "
                f"{share * pd_change:+.2%} mean PD, {share * approval_change:+.2%} approvals.",
                {"mean_pd": share * pd_change, "approval_rate": share * approval_change, "share": share},
            )
        )
    whole = _finding(
        SCORE,
        total,
        (n, m),
        f"The mean score changed by {total:+.3f} log-odds: {pd_change:+.2%} mean PD, {approval_change:+.2%} approvals.",
        {"mean_pd": pd_change, "approval_rate": approval_change, "share": 1.0},
    )
    return [*found, whole]


def _finding(subject: str, delta: float, sizes: tuple[int, int], sentence: str, details: dict[str, float]) -> Finding:
    return IMPACT.finding(subject, Severity.OK, sizes, sentence, statistic=delta, details=details)
