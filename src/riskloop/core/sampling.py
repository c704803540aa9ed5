"""A random share of numbered things that is the same wherever and whenever it is drawn."""

from typing import Final

import numpy as np

from riskloop.core.types import Bools, Ints

BLOCK: Final = 250  # neighbours that are looked at together

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIXES: Final = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
_WIDTH: Final = 53  # bits of a hash that a double holds exactly


def drawn(numbers: Ints, share: float) -> Bools:
    """Which of ``numbers`` (n,) belong to the share, (n,): each with this probability, by its own hash alone.

    A smaller share lies in a larger one. Source: splitmix64, Steele, Lea & Flood, OOPSLA 2014.
    """
    if share >= 1.0:
        return np.ones(numbers.shape, dtype=np.bool_)
    mixed = (numbers.astype(np.int64).view(np.uint64) + np.uint64(1)) * _STEP
    for shift, factor in _MIXES:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    mixed ^= mixed >> np.uint64(31)
    below: Bools = (mixed >> np.uint64(64 - _WIDTH)) < np.uint64(int(share * 2**_WIDTH))
    return below


def spread(first: int, last: int, most: int) -> Ints:
    """At most ``most`` of the numbers from ``first`` to ``last``, ascending: blocks of neighbours, evenly spaced.

    Blocks, because neighbours lie in one place of a file: what is read does not grow with the stretch.
    """
    count, blocks = max(0, last - first + 1), max(1, most // BLOCK)
    if count <= most:
        return np.arange(first, first + count)
    size = min(BLOCK, most)
    steps = np.arange(blocks) if blocks > 1 else np.full(1, 0.5)  # one block lies in the middle
    starts = first + (steps * ((count - size) / max(1, blocks - 1))).astype(np.int64)
    return (starts[:, None] + np.arange(size)).ravel()
