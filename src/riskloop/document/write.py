"""Days and names as documents write them; numbers are those of `core/numbers.py`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from riskloop.document.parts import MISSING

_SHORT: Final = frozenset(("auc", "pd", "psi", "ks"))
_NAMES: Final = {"jeffreys": "Jeffreys", "brier": "Brier"}


def day(value: datetime | None) -> str:
    """``2025-03-31``, in UTC."""
    return MISSING if value is None else f"{value:%Y-%m-%d}"


def moment(value: datetime | None) -> str:
    """``2025-03-31 14:05 UTC``."""
    return MISSING if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def words(name: str) -> str:
    """``needs_approval`` and ``auc_gain`` as people write them."""
    return " ".join(part.upper() if part in _SHORT else _NAMES.get(part, part) for part in name.split("_"))


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as names with dots and texts, in their order."""
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in flat(item, f"{name}.{key}" if name else str(key))]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(name, ", ".join(map(str, value)) or "none")]
    return [(name, "none" if value is None else str(value))]
