"""Is the outcome feed sound, and is enough of it there to judge by?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from riskloop.core.findings import DESCRIBES, WINDOW, DeclaredCheck
from riskloop.core.types import Finding, Severity

OUTCOMES: Final = DeclaredCheck(
    "outcomes",
    DESCRIBES,
    "Worst-case bounds for missing outcomes (Manski, 1989): all good, and all bad",
    "Who defaults",
)
BOUNDS: Final = (0.0, 1.0)  # what a missing outcome may turn out to be
CALM: Final = (Severity.OK, Severity.NOISE)


def not_judged(known: int, reference: int, because: str) -> Finding:
    """That a window cannot be judged by its outcomes yet: ``known`` of its decisions have one."""
    return OUTCOMES.unknown(WINDOW, (known, reference), because)


def agreed(found: Sequence[Finding], bounds: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Findings on the known outcomes, as far as they hold however the missing ones turn out.

    ``bounds`` are the findings with all missing outcomes good, and with all bad. What moved only without them is not
    found; what is calm only without them is not known.
    """
    others = [{(f.check, f.subject): f for f in bound} for bound in bounds]
    keys = [(f.check, f.subject) for f in found]
    return [_bounded(f, [o[key] for o in others if key in o]) for f, key in zip(found, keys, strict=True)]


def _bounded(finding: Finding, bounds: Sequence[Finding]) -> Finding:
    said = [one.severity for one in (finding, *bounds)]
    details = {**finding.details, "bounds": [one.statistic for one in bounds]}
    if finding.severity is Severity.UNKNOWN or len({severity in CALM for severity in said}) == 1:
        mildest = min((s for s in said), key=list(Severity).index)
        return replace(finding, severity=mildest, details=details)
    because = f"the missing outcomes decide. {finding.sentence}"
    return replace(
        OUTCOMES.unknown(finding.subject, (finding.n, finding.m), because), check=finding.check, details=details
    )
