"""Rows in parts give what they give together, and each part is small."""

import numpy as np
import pytest

from riskloop.core.blocks import by_blocks
from riskloop.core.types import Floats


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 11, 35])
def test_parts_of_the_rows_are_put_together(rows: int) -> None:
    sizes = []

    def sums(part: Floats) -> Floats:
        sizes.append(len(part))
        return np.asarray(part.sum(axis=1))

    table = np.arange(2.0 * rows).reshape(rows, 2)
    assert by_blocks(sums, table, 10).tolist() == table.sum(axis=1).tolist()
    assert max(sizes) <= 10
    assert sum(sizes) == rows
