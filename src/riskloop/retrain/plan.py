"""What is fitted and what is tested, so that champion and challenger meet on rows that neither was trained on."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.settings import GateSettings
from riskloop.core.types import Bools, Ints
from riskloop.retrain.dataset import Pool


@dataclass(frozen=True, slots=True)
class Split:
    """Positions in the pool: fit on ``train``, score ``test``."""

    train: Ints
    test: Ints


@dataclass(frozen=True, slots=True)
class Plan:
    """Fit and score every split; the scored rows of all splits together go to the gate."""

    how: Literal["holdout", "out_of_fold"]
    splits: tuple[Split, ...]
    final: Ints | None  # refit on these for the model that may be promoted; None: the single split's fit is that model
    sentence: str

    @property
    def tested(self) -> Ints:
        """All tested positions, in the order of the splits."""
        return np.concatenate([split.test for split in self.splits])

    @property
    def blocks(self) -> Ints | None:
        """The number of the split that scores each tested position; None when there is one only."""
        if len(self.splits) == 1:
            return None
        return np.repeat(np.arange(len(self.splits)), [split.test.size for split in self.splits])


def evaluation_plan(
    rows: Pool, gate: GateSettings, *, unseen: Bools, outcome_window: timedelta, since: int | None = None
) -> Plan:
    """How the challenger is tested, by ``gate.evaluation``.

    ``unseen`` (n,) marks rows that the champion was not trained on; with ``since`` (microseconds) only rows of the new
    world are tested, and a part of them is always learned from. Raises DataError where no row can be tested.
    """
    eligible = unseen if since is None else unseen & (rows.rows.times >= since)
    candidates = np.flatnonzero(eligible)
    least = gate.blocks if gate.evaluation == "out_of_fold" else 2
    if candidates.size < least:
        raise DataError(
            f"{candidates.size} matured decisions that the champion has not seen are too few to test a challenger on; "
            "wait until more outcomes have matured."
        )
    everything = np.arange(len(rows), dtype=np.int64)
    if gate.evaluation == "holdout":
        split = latest_block(rows, everything, candidates, gate.holdout, outcome_window)
        sentence = (
            f"The latest {split.test.size:,} of {candidates.size:,} matured decisions are kept for the test; "
            "the model that is tested is the one that may be promoted."
        )
        return Plan("holdout", (split,), None, sentence)
    splits = tuple(
        Split(_purged(rows, everything, block, outcome_window), block)
        for block in np.array_split(candidates, gate.blocks)
    )
    sentence = (
        f"All {candidates.size:,} matured decisions are tested in {gate.blocks} blocks of time, each by a fit without "
        "it; the model that may be promoted is then fitted on everything."
    )
    return Plan("out_of_fold", splits, everything, sentence)


def latest_block(rows: Pool, index: Ints, candidates: Ints, share: float, outcome_window: timedelta) -> Split:
    """The latest ``share`` of ``candidates`` (at least one, not all) as test; of ``index`` what may be learned from."""
    size = min(candidates.size - 1, max(1, round(share * candidates.size)))
    test = candidates[candidates.size - size :]
    return Split(_purged(rows, index, test, outcome_window), test)


def _purged(rows: Pool, index: Ints, test: Ints, outcome_window: timedelta) -> Ints:
    """``index`` without ``test``, and without other rows of its customers whose outcome may be the same default.

    Source: purging, López de Prado, Advances in Financial Machine Learning (2018), section 7.4.1.
    """
    times = rows.rows.times
    reach = outcome_window // timedelta(microseconds=1)
    tested = np.zeros(len(rows), dtype=np.bool_)
    tested[test] = True
    near = (times >= times[test].min() - reach) & (times <= times[test].max() + reach) & ~tested
    customers = {rows.rows.ids[i] for i in test.tolist()}
    shared = [i for i in np.flatnonzero(near).tolist() if rows.sources[i] > 0 and rows.rows.ids[i] in customers]
    tested[shared] = True
    kept: Ints = index[~tested[index]]
    return kept
