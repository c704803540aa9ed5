"""What a decision looks like whose personal part was erased: who it was about and what it was made on are gone.

What was decided, when, and by which model stays, so that nothing that was counted changes; nobody learns from it.
"""

from typing import Any, Final

import numpy as np

ERASED: Final = "erased"
ERASED_FLAGS: Final = f'{{"{ERASED}": true}}'


def is_erased(flags: str | None) -> bool:
    """Whether these flags are those of an erased decision."""
    return flags == ERASED_FLAGS


def blank(features: Any) -> bytes:
    """Features of the same width that say nothing; as they are stored."""
    return np.full(len(features) // 8, np.nan, dtype="<f8").tobytes()


def is_blank(features: Any) -> bool:
    """Whether stored features say nothing."""
    return bytes(features) == blank(features)
