"""A named person's approval, bound to one version and to the very evidence that was read."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from riskloop.core.errors import GateRefused
from riskloop.core.types import GateReport, Verdict, require_utc

NOBODY: Final = frozenset({"", "riskloop", "unknown", "root", "nobody", "local"})  # names that no person answers to


@dataclass(frozen=True, slots=True)
class Approval:
    """Who lets which version pass on which evidence."""

    version: int
    evidence: str  # `evidence_fingerprint` of the report that was read
    by: str
    at: datetime
    reason: str

    def __post_init__(self) -> None:
        require_utc(self.at, "Approval.at")


def evidence_fingerprint(report: GateReport, version: int) -> str:
    """sha256 of the version and the whole report, which holds the hash of the scores; survives its way through JSON."""
    said = asdict(report)
    if report.evaluation is None:  # so that reports of before it was kept have the fingerprint that they had
        del said["evaluation"]
    document = {"version": version, "report": said}
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def approve(report: GateReport, approval: Approval) -> None:
    """Accept the approval or raise GateRefused, which says why it does not count."""
    if report.verdict is not Verdict.NEEDS_APPROVAL:
        raise GateRefused(
            f"Version {approval.version} cannot be approved: its verdict is '{report.verdict.value}', "
            "and only 'needs_approval' waits for a person."
        )
    require_person(approval.by, f"The approval of version {approval.version}")
    if approval.evidence != evidence_fingerprint(report, approval.version):
        raise GateRefused(
            f"The approval of version {approval.version} was given for other evidence; "
            "read the report again, then approve."
        )


def require_person(by: str, what: str) -> None:
    """Raise GateRefused when ``by`` is nobody who could answer for ``what``."""
    if by.strip().lower() in NOBODY:
        raise GateRefused(f"{what} names no person ('{by}'); say who approves.")
