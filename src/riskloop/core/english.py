"""Numbers and names as they stand in sentences."""

from collections.abc import Sequence


def p_is(p: float) -> str:
    """``p = 0.032``, ``p < 0.0001``."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def counted(number: int, noun: str) -> str:
    """``1 grade``, ``3 grades``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def named(names: Sequence[str], most: int = 6) -> str:
    """``May, June``; of more than ``most`` the first and the last: ``May … December (8)``."""
    return ", ".join(names) if len(names) <= most else f"{names[0]} … {names[-1]} ({len(names):,})"


def lasting(seconds: float) -> str:
    """``40 seconds``, ``3 hours``, ``12 days``, in the largest unit that is full."""
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return counted(int(seconds // size), noun)
    return counted(max(0, int(seconds)), "second")
