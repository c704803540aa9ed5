"""Results are read by attribute or, as the JSON document is, by name."""

from dataclasses import dataclass

import pytest

from riskloop.results import Result


@dataclass(frozen=True)
class Sample(Result):
    """A result of two fields."""

    rows: int
    sentence: str


def test_a_result_is_read_like_its_document() -> None:
    result = Sample(3, "Three rows.")
    assert result.to_dict() == {"rows": 3, "sentence": "Three rows."}
    assert (result["rows"], result.rows) == (3, 3)
    for wrong in ("to_dict", "row", ""):
        with pytest.raises(KeyError):
            result[wrong]
