"""Cross-validation that never lets the future teach the past, nor a customer's row be tested by their other rows."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

import numpy as np

from riskloop.core.english import counted
from riskloop.core.errors import DataError
from riskloop.core.stats import customer_codes
from riskloop.core.types import Bools, Ints, Rows, from_micros

FIRST_SHARE: Final = 1 / 3  # of the rows, the earliest, only ever train; the rest is cut into the test blocks
TURNS: Final = 3  # of the customers of a panel: each block tests one third of them, in turn
LEAST_LEFT: Final = 0.5  # of the earlier rows that have to stay under the embargo, or without the tested customers


def folds(rows: Rows, n: int, seed: int, *, embargo: timedelta = timedelta(0)) -> list[tuple[Ints, Ints]]:
    """``n`` pairs of training and test positions; no customer (`Rows.ids`) is in both parts of a pair.

    With more than ``n`` distinct times: blocks of time, each tested by a model of what was known when it began: earlier
    rows whose outcome window, the ``embargo``, had passed, if those are at least half (rows of one time are never
    parted). Where most customers come again in every block, a block tests a third of them, in turn, so that the others'
    rows are left to learn from.
    Otherwise stratified and shuffled by ``seed``; then every row is tested once.
    Source: purging and embargo, López de Prado, Advances in Financial Machine Learning (2018), section 7.4.

    Raises DataError when the rows have no target, or a part has fewer than two of a class.
    """
    if rows.target is None:
        raise DataError("These rows carry no target, so nothing can be learned from them; hand in a labelled history.")
    defaults = int(rows.target.sum())
    rarer = min(defaults, len(rows) - defaults)
    if rarer < 2 * n:
        raise DataError(
            f"The history has {counted(defaults, 'default')} and {counted(len(rows) - defaults, 'other')} in "
            f"{len(rows):,} rows; {n} folds need at least {2 * n} of each class: {2 * n - rarer} "
            f"{'defaults' if defaults == rarer else 'others'} more. {_what_to_do(rarer // 2)}"
        )
    codes = customer_codes(rows.ids)
    customers = None if np.unique(codes).size == codes.size else codes
    if np.unique(rows.times).size > n:
        bad = rows.target == 1.0

        def cut(blocks: int) -> list[_Block]:
            return _time_blocks(rows.times, bad, customers, blocks, seed, embargo // timedelta(microseconds=1))

        return _checked(cut(n), bad, cut)
    return _shuffled(rows.target == 1.0, codes, n, seed)


def _what_to_do(most: int) -> str:
    """What helps where only ``most`` folds have enough of each class."""
    if most < 2:
        return "Collect more history."
    return f"Collect more history, or set folds = {most} in [train]."


def _shuffled(defaults: Bools, customers: Ints, n: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Customers are dealt out, those who ever default as evenly as the others."""
    from sklearn.model_selection import StratifiedKFold

    distinct, number = np.unique(customers, return_inverse=True)
    ever = np.bincount(number, weights=defaults) > 0.0
    if min(ever.sum(), ever.size - ever.sum()) < n:
        raise DataError(
            f"The history has {int(ever.sum())} customers who default in {distinct.size}; {n} folds need {n} of each "
            f"kind. {_what_to_do(int(min(ever.sum(), ever.size - ever.sum())))}"
        )
    pairs = []
    for _, tested in StratifiedKFold(n, shuffle=True, random_state=seed).split(np.zeros((ever.size, 1)), ever):
        is_tested = np.isin(number, tested)
        pairs.append((np.flatnonzero(~is_tested), np.flatnonzero(is_tested)))
    return pairs


class _Block(NamedTuple):
    """Rows that are tested, (n,), and those that their model learns from."""

    start: int  # microseconds
    train: Bools
    test: Bools

    def is_enough(self, defaults: Bools) -> bool:
        """Whether both parts have two of each class."""
        return _two_of_each(defaults[self.train]) and _two_of_each(defaults[self.test])

    def said(self, defaults: Bools) -> str:
        """How many defaults there are, in words."""
        inside, before = (int(defaults[part].sum()) for part in (self.test, self.train))
        return (
            f"{inside} in {int(self.test.sum()):,} rows from {from_micros(self.start).date()} on and {before} in the "
            f"{int(self.train.sum()):,} before"
        )


def _time_blocks(times: Ints, defaults: Bools, customers: Ints | None, n: int, seed: int, embargo: int) -> list[_Block]:
    distinct, counts = np.unique(times, return_counts=True)
    before = np.concatenate(([0.0], np.cumsum(counts)[:-1])) / len(times)
    steps = np.arange(n)
    starts = np.searchsorted(before, FIRST_SHARE + (1 - FIRST_SHARE) * steps / n - 1e-12)
    starts = np.maximum.accumulate(starts - steps) + steps  # every block has at least one time of its own …
    starts = np.minimum(
        np.maximum(starts, 1 + steps), distinct.size - n + steps
    )  # … and so has the first training part
    blocks = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], distinct.size], strict=True)):
        earlier = times < distinct[start]
        # An outcome window that would take most of the earlier rows away cannot be kept; it may be a guess of a year.
        known = earlier & (times + embargo <= distinct[start])
        known = known if known.sum() >= LEAST_LEFT * earlier.sum() and _two_of_each(defaults[known]) else earlier
        test = (times >= distinct[start]) & (times <= distinct[end - 1])
        train, test = (known, test) if customers is None else _apart(known, test, customers, number, seed)
        blocks.append(_Block(distinct[start], train, test))
    return blocks


def _checked(blocks: list[_Block], defaults: Bools, fewer: Callable[[int], list[_Block]]) -> list[tuple[Ints, Ints]]:
    """The positions of each block's parts; ``fewer`` cuts so many blocks. Raises DataError where a class lacks rows."""
    if all(block.is_enough(defaults) for block in blocks):
        return [(np.flatnonzero(block.train), np.flatnonzero(block.test)) for block in blocks]
    enough = (k for k in range(len(blocks) - 1, 1, -1) if all(b.is_enough(defaults) for b in fewer(k)))
    raise DataError(
        f"The history has {counted(int(defaults.sum()), 'default')} in {defaults.size:,} rows, too few to validate by "
        f"time: each of {len(blocks)} blocks needs 2 defaults and 2 others, and so do the rows before it. There are "
        f"{'; '.join(block.said(defaults) for block in blocks)}. {_what_to_do(next(enough, 0))}"
    )


def _two_of_each(defaults: Bools) -> bool:
    return min(int(defaults.sum()), defaults.size - int(defaults.sum())) >= 2


def _apart(train: Bools, test: Bools, customers: Ints, number: int, seed: int) -> tuple[Bools, Bools]:
    """Both parts without a common customer; where that would leave too little, with a third of those tested."""
    left = train & ~np.isin(customers, customers[test])
    if left.sum() >= LEAST_LEFT * train.sum():
        return left, test
    turn = np.random.default_rng(seed).permutation(int(customers.max()) + 1)[customers] % TURNS
    its_turn = turn == number % TURNS
    return train & ~its_turn, test & its_turn
