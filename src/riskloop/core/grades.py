"""Which grades' PDs are off by outcomes, told alike on pages and by commands; pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from riskloop.core.types import Finding, Severity

RATE_GAP: Final = 0.10  # of the expected defaults: less matters to nobody, however sure it is

_REJECTED: Final = (Severity.DRIFTED, Severity.SEVERE)


def grades_off(found: Iterable[Finding], gap: float = 0.0) -> list[Finding]:
    """Of a window's findings the grades that the Jeffreys test rejects, farthest from their PD first.

    The monitor tests at ``drift.alpha`` by Benjamini & Hochberg over the grades: where all grades hold, as many of
    the windows show any, by chance. With ``gap`` only those that are off by more than that part of their PD.
    """
    tested = [f for f in found if f.check == "jeffreys" and f.severity in _REJECTED and f.n]
    wide = [f for f in tested if abs(_away(f)) > gap * f.details["pd"]]
    return sorted(wide, key=lambda f: -abs(_away(f)))


def grades_said(off: Sequence[Finding], before: str = " But ", after: str = ".") -> str:
    """A sentence about grades that are off, the worst named, between ``before`` and ``after``; empty for none."""
    if not off:
        return ""
    worst, name = off[0], off[0].subject.replace("_", " ")
    which = f"the PD of {name} risk is off" if len(off) == 1 else f"the PDs of {len(off)} grades are off, worst {name}"
    rates = f"{worst.details['defaults'] / worst.n:.1%} defaulted at a PD of {worst.details['pd']:.1%}"
    return f"{before}{which}: {rates}{after}"


def _away(found: Finding) -> float:
    return float(found.details["defaults"] / found.n - found.details["pd"])
