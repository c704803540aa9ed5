"""Ids are read by the column where that gives what reading them one by one gives."""

import numpy as np
import pyarrow as pa
import pytest

from riskloop.core.values import level_text
from riskloop.data.columns import Problems, read_ids

ODD = [
    "a",
    " a",
    "a\t",
    "1.0",
    "1.",
    "+1.00",
    "-7.0",
    "1.5",
    "007",
    "True",
    "FALSE",
    "true",
    "\u2003x",
    "ß",
    "a b",
    "\x1f7",
    ".0",
    "",
]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_texts_are_the_ids_that_they_name(kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.array([*ODD, None], kind), pa.array(ODD, kind)])
    problems = Problems(positions=np.arange(len(column)))
    wanted = ["" if value is None else level_text(value) for value in column.to_pylist()]
    assert read_ids(column, "id", problems) == wanted
    assert [entry.position for entry in problems.refused()] == [i for i, text in enumerate(wanted) if not text]


def test_a_nul_is_found_wherever_it_stands() -> None:
    problems = Problems(positions=np.arange(3))
    read_ids(pa.chunked_array([["a", "b\0", "c"]]), "id", problems)
    assert [(entry.position, "NUL" in entry.problem) for entry in problems.refused()] == [(1, True)]
