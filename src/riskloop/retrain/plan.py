"""What is fitted and what is tested, so that champion and challenger meet on rows that neither was trained on."""

from dataclasses import dataclass
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


def evaluation_plan(rows: Pool, gate: GateSettings, *, unseen: Bools, since: int | None = None) -> Plan:
    """How the challenger is tested, by ``gate.evaluation``; no customer is learned from and tested on.

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
        split = latest_block(rows, everything, candidates, gate.holdout)
        sentence = (
            f"The latest {split.test.size:,} of {candidates.size:,} matured decisions are kept for the test; "
            "the model that is tested is the one that may be promoted."
        )
        return Plan("holdout", (split,), None, sentence)
    splits = tuple(
        Split(_purged(rows, everything, block), block) for block in _parted(rows, candidates, gate.blocks) if block.size
    )
    customers = np.unique(rows.customers[candidates]).size
    if len(splits) < 2:
        raise DataError(
            f"{candidates.size} matured decisions of {customers} customer(s) are too few to test a challenger on: one "
            "part of the customers is learned from, the other tested. Wait until outcomes of more customers matured."
        )
    of = "" if customers == candidates.size else f" of {customers:,} customers"
    sentence = (
        f"All {candidates.size:,} matured decisions{of} are tested in {len(splits)} blocks of time, each by a fit "
        "without it and without its customers; the model that may be promoted is then fitted on everything."
    )
    return Plan("out_of_fold", splits, everything, sentence)


def latest_block(rows: Pool, index: Ints, candidates: Ints, share: float) -> Split:
    """The latest ``share`` of ``candidates`` (at least one, not all) as test; of ``index`` what may be learned from.

    Customers are parted whole, by their first row.
    """
    ordered, starts = _by_first_row(rows, candidates)
    size = min(candidates.size - 1, max(1, round(share * candidates.size)))
    later = starts[starts >= candidates.size - size]
    cut = int(later[0]) if later.size else int(starts[-1])
    test = np.sort(ordered[cut:])
    return Split(_purged(rows, index, test), test)


def _parted(rows: Pool, candidates: Ints, blocks: int) -> list[Ints]:
    """``candidates`` in blocks of time of about equal size; a customer's rows are all in one, that of the first row."""
    ordered, starts = _by_first_row(rows, candidates)
    cuts = [int(part[0]) for part in np.array_split(np.arange(candidates.size), blocks)[1:]]
    whole = [int(starts[np.searchsorted(starts, cut)]) if cut <= starts[-1] else candidates.size for cut in cuts]
    return [np.sort(part) for part in np.split(ordered, whole)]


def _by_first_row(rows: Pool, candidates: Ints) -> tuple[Ints, Ints]:
    """``candidates`` (in time order) with each customer's rows together, and where each customer begins."""
    names = rows.customers[candidates]
    _, first, member = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first[member], kind="stable")
    begins = first[member][order]
    starts = np.flatnonzero(np.concatenate(([True], begins[1:] != begins[:-1])))
    return candidates[order], starts


def _purged(rows: Pool, index: Ints, test: Ints) -> Ints:
    """``index`` without any row of a customer of ``test``, whenever it was made.

    A default that lasts is the same default in every later row of its customer, however long ago the first was.
    Source: purging, López de Prado, Advances in Financial Machine Learning (2018), section 7.4.1; grouped
    cross-validation, Roberts et al., Ecography 40 (2017) 913–929.
    """
    tested = np.zeros(int(rows.customers.max()) + 1, dtype=np.bool_)
    tested[rows.customers[test]] = True
    kept: Ints = index[~tested[rows.customers[index]]]
    return kept
