import pytest

from riskloop.core.english import counted, named, p_is


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.5, "p = 0.5"), (0.0321, "p = 0.032"), (1e-4, "p = 0.0001"), (9e-5, "p < 0.0001"), (0.0, "p < 0.0001")],
)
def test_a_p_value_never_looks_like_nothing(p: float, text: str) -> None:
    assert p_is(p) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 grades"), (1, "1 grade"), (1200, "1,200 grades")])
def test_a_count_agrees_with_its_noun(number: int, text: str) -> None:
    assert counted(number, "grade") == text


@pytest.mark.parametrize(("months", "text"), [(1, "M1"), (6, "M1, M2, M3, M4, M5, M6"), (7, "M1 … M7 (7)")])
def test_many_names_are_told_by_their_ends(months: int, text: str) -> None:
    assert named([f"M{number}" for number in range(1, months + 1)]) == text
