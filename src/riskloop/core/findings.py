"""Checks of the monitor, declared once: what each is called, what it tests, and where it is from.

A stage declares its checks beside the code that computes them and makes every finding through them, so that a
finding's null hypothesis and source cannot differ from one window to the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from riskloop.core.types import Finding, Severity

WINDOW: Final = "window"  # subject of a finding on all rows together
SCORE: Final = "score"  # subject of a finding on the champion's score

DESCRIBES: Final = "none: it describes and tests nothing"


@dataclass(frozen=True, slots=True)
class DeclaredCheck:
    """One check of the monitor."""

    name: str  # what its findings carry as ``check``; unique
    null: str  # the null hypothesis in words, or DESCRIBES
    source: str  # the paper, book or rule behind it
    title: str = ""  # what it judges, as the subject of a sentence; empty: its name

    def finding(
        self,
        subject: str,
        severity: Severity,
        sizes: tuple[int, int],
        sentence: str,
        *,
        statistic: float | None = None,
        critical: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Finding:
        """What this check found on ``subject``; ``sizes`` are rows in the window and in the reference."""
        n, m = sizes
        return Finding(
            self.name,
            subject,
            severity,
            statistic,
            critical,
            self.null,
            self.source,
            n,
            m,
            sentence,
            {**(details or {})},
        )

    def unknown(self, subject: str, sizes: tuple[int, int], because: str) -> Finding:
        """That the check could not be made, and why: ``because`` is a clause, or the message of an error."""
        what = self.title or self.name.replace("_", " ").capitalize()
        of = "" if subject == WINDOW else f" ({subject})"
        return self.finding(
            subject, Severity.UNKNOWN, sizes, f"{what}{of} cannot be judged, because {_clause(because)}."
        )


def _clause(because: str) -> str:
    """A sentence as the end of another one."""
    text = because.rstrip(".")
    lowered = text[:1].lower() + text[1:]
    return lowered if text[1:2].islower() or text[1:2] == " " else text
