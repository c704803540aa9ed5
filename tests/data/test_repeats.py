"""Rows that come twice in a file are found over its blocks."""

import numpy as np
import pytest

from riskloop.data.repeats import RowKeys


@pytest.mark.parametrize("seed", range(4))
def test_equal_hashes_are_found_wherever_their_blocks_lie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 60, 50)
    kept = np.flatnonzero(rng.random(50) < 0.8)  # some rows were refused
    keys = RowKeys()
    for block in np.array_split(kept, 4):
        keys.add(hashes[block], block)
    keys.add(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    wanted = [row for row in kept.tolist() if (hashes[kept] == hashes[row]).sum() > 1]
    assert keys.alike().tolist() == wanted


def test_no_rows_and_different_rows_are_none() -> None:
    keys = RowKeys()
    assert keys.alike().tolist() == []
    keys.add(np.arange(5), np.arange(5))
    assert keys.alike().tolist() == []
