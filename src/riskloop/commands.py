"""What people may do about a case: the API and the dashboard drive the same commands, and a portfolio has them."""

from typing import Protocol

from riskloop.results import CaseResult


class CaseCommands(Protocol):
    """Each returns the case as it stands then, and raises Refused or Conflict where the case does not allow it."""

    def approve(self, number: int, *, by: str | None, note: str, evidence: str | None) -> CaseResult:
        """Approve the challenger of a case on the report with the fingerprint ``evidence``."""
        ...

    def reject(self, number: int, *, by: str | None, note: str) -> CaseResult:
        """Reject the challenger of a case."""
        ...

    def release(self, number: int, *, by: str | None, note: str) -> CaseResult:
        """Let a case's quarantined rows be learned from again."""
        ...

    def close(self, number: int, *, by: str | None, note: str) -> CaseResult:
        """Close a quarantined case as fixed at its source."""
        ...

    def comment(self, number: int, note: str, *, by: str | None) -> CaseResult:
        """Say something about a case."""
        ...

    def assign(self, number: int, to: str | None, *, by: str | None, note: str) -> CaseResult:
        """Give a case to a person, or to nobody."""
        ...

    def acknowledge(self, number: int, *, by: str | None, note: str) -> CaseResult:
        """Say that a case was seen."""
        ...
