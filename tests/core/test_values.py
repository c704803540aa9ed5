"""What single values mean, however they are written."""

from hypothesis import given
from hypothesis import strategies as st

from riskloop.core.values import level_text


@given(st.integers(-(10**12), 10**12))
def test_an_integer_names_one_level_however_it_is_written(number: int) -> None:
    assert {level_text(v) for v in (number, float(number), str(number), f" {number}.0 ")} == {str(number)}
