"""Numbers as people read them, on pages, in documents and in the tables of the command line: written here only.

A dash stands for what is not there, a true minus before what is below zero.
"""

import math
from typing import Final

NOTHING: Final = "–"


def number(value: float | None, digits: int = 0) -> str:
    """``12,345`` or ``0.7312``."""
    return NOTHING if value is None or not math.isfinite(value) else _minus(f"{value:,.{digits}f}")


def percent(value: float | None, digits: int = 1) -> str:
    """``21.4%``."""
    return NOTHING if value is None or not math.isfinite(value) else _minus(f"{value:,.{digits}%}")


def signed(value: float | None, digits: int = 3) -> str:
    """``+0.084``, ``−0.012``: a change."""
    return NOTHING if value is None or not math.isfinite(value) else _minus(f"{value:+,.{digits}f}")


def points(value: float | None, digits: int = 2) -> str:
    """A change of a share in percentage points: ``+1.25``."""
    return signed(None if value is None else 100.0 * value, digits)


def chance(p: float | None) -> str:
    """A p-value: ``0.032``, ``< 0.001``."""
    if p is None or not math.isfinite(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def evidence(value: float) -> str:
    """Evidence against a bound that lies far above 1: ``3,142``, ``0.31``, ``< 0.01``."""
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else "beyond any number"
    return "< 0.01" if value < 0.01 else f"{value:,.{2 if value < 10.0 else 0}f}"


def between(lower: float | None, upper: float | None, digits: int = 3) -> str:
    """An interval: ``0.730 to 0.771``; a dash where an end lacks."""
    return NOTHING if lower is None or upper is None else f"{number(lower, digits)} to {number(upper, digits)}"


def between_shares(lower: float | None, upper: float | None) -> str:
    """An interval of shares: ``18.2% to 21.4%``."""
    return NOTHING if lower is None or upper is None else f"{percent(lower)} to {percent(upper)}"


def _minus(text: str) -> str:
    """With a true minus, and none before what is written as zero."""
    bare = text.lstrip("-")
    if bare == text:
        return text
    return f"−{bare}" if any(digit in bare for digit in "123456789") else bare
