"""Cross-validation that never lets the future teach the past."""

from typing import Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.types import Bools, Ints, Rows, from_micros

FIRST_SHARE: Final = 1 / 3  # of the rows, the earliest, only ever train; the rest is cut into the test blocks


def folds(rows: Rows, n: int, seed: int) -> list[tuple[Ints, Ints]]:
    """``n`` pairs of training and test positions.

    With more than ``n`` distinct times: blocks of time, each tested by a model of everything before it (rows of one
    time are never parted). Otherwise stratified and shuffled by ``seed``; then every row is tested once.

    Raises DataError when the rows have no target, or a part has fewer than two of a class.
    """
    if rows.target is None:
        raise DataError("These rows carry no target, so nothing can be learned from them; hand in a labelled history.")
    defaults = int(rows.target.sum())
    rarer = min(defaults, len(rows) - defaults)
    if rarer < 2 * n:
        raise DataError(
            f"The history has {defaults} defaults in {len(rows)} rows; {n} folds need at least {2 * n} of each class. "
            "Collect more history, or lower 'folds' of [train]."
        )
    if np.unique(rows.times).size > n:
        return _time_blocks(rows.times, rows.target == 1.0, n)
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(n, shuffle=True, random_state=seed).split(rows.features, rows.target))


def _time_blocks(times: Ints, defaults: Bools, n: int) -> list[tuple[Ints, Ints]]:
    distinct, counts = np.unique(times, return_counts=True)
    before = np.concatenate(([0.0], np.cumsum(counts)[:-1])) / len(times)
    steps = np.arange(n)
    starts = np.searchsorted(before, FIRST_SHARE + (1 - FIRST_SHARE) * steps / n - 1e-12)
    starts = np.maximum.accumulate(starts - steps) + steps  # every block has at least one time of its own …
    starts = np.minimum(
        np.maximum(starts, 1 + steps), distinct.size - n + steps
    )  # … and so has the first training part
    pairs = []
    for start, end in zip(starts, [*starts[1:], distinct.size], strict=True):
        train = np.flatnonzero(times < distinct[start])
        test = np.flatnonzero((times >= distinct[start]) & (times <= distinct[end - 1]))
        day = from_micros(distinct[start]).date()
        for part, name in ((train, "before"), (test, "in the block that begins on")):
            count = int(defaults[part].sum())
            if min(count, part.size - count) < 2:
                raise DataError(
                    f"The history has {count} defaults in {part.size} rows {name} {day}, "
                    "too few to validate by time; collect more history, or lower 'folds' of [train]."
                )
        pairs.append((train, test))
    return pairs
