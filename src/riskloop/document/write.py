"""Numbers and days as documents write them."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from riskloop.document.parts import MISSING

NOTHING: Final = "–"
_SHORT: Final = frozenset(("auc", "pd", "psi", "ks"))


def number(value: float | None, digits: int = 0) -> str:
    """``12,345`` or ``0.7312``; a dash for what is not there."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    """``21.4%``."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}%}".replace("-", "−")


def change(value: float | None, digits: int = 2) -> str:
    """A change of a share in percentage points, with its sign."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100.0 * value:+.{digits}f}".replace("-", "−")


def between(lower: float | None, upper: float | None, digits: int = 3) -> str:
    """An interval."""
    if lower is None or upper is None:
        return NOTHING
    return f"{number(lower, digits)} to {number(upper, digits)}"


def between_shares(lower: float | None, upper: float | None) -> str:
    """An interval of shares."""
    return NOTHING if lower is None or upper is None else f"{percent(lower)} to {percent(upper)}"


def chance(p: float | None) -> str:
    """A p-value."""
    if p is None or not math.isfinite(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def day(value: datetime | None) -> str:
    """``2025-03-31``, in UTC."""
    return MISSING if value is None else f"{value:%Y-%m-%d}"


def moment(value: datetime | None) -> str:
    """``2025-03-31 14:05 UTC``."""
    return MISSING if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def words(name: str) -> str:
    """``needs_approval`` and ``auc_gain`` as people write them."""
    return " ".join(part.upper() if part in _SHORT else part for part in name.split("_"))


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as names with dots and texts, in their order."""
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in flat(item, f"{name}.{key}" if name else str(key))]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(name, ", ".join(map(str, value)) or "none")]
    return [(name, "none" if value is None else str(value))]
