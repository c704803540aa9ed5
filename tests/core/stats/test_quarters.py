"""Quarters of a number: every known row is in the group whose name says so, and no two names hold the same value."""

import itertools

import numpy as np
import pytest

from riskloop.core.stats import group_order, quarters


def holds(name: str, value: float, *, whole: bool) -> bool:
    """Read as people read it: both ends inside, but for "over"."""
    if name == "any value":
        return True
    if name.startswith("up to "):
        return value <= float(name.removeprefix("up to "))
    if name.endswith(" or more"):
        return value >= float(name.removesuffix(" or more"))
    low, _, high = name.removeprefix("over ").partition(" to ")
    if not high:
        return value == float(low) if whole else value > float(low)
    return (value >= float(low) if whole else value > float(low)) and value <= float(high)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("whole", [True, False])
def test_each_value_is_in_the_one_group_that_its_name_says(seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(40, 10, 200) if seed % 2 else rng.poisson(1.5, 200).astype(np.float64)
    values = np.round(values, 0 if whole else 2)
    whole = bool((values == np.floor(values)).all())
    values[rng.random(200) < 0.1] = np.nan
    names, places = quarters(values)
    assert len(set(names)) == len(names)
    assert list(names) == sorted(names, key=group_order)
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        if np.isnan(value):
            assert place == -1
        else:
            assert [name for name in names if holds(name, value, whole=whole)] == [names[place]]


@pytest.mark.parametrize("values", [[3.0] * 5, [np.nan, 2.0], [0.0, 0.0, 0.0, 1.0]])
def test_few_different_values_make_fewer_groups(values: list[float]) -> None:
    names, places = quarters(np.array(values))
    assert set(places[places >= 0].tolist()) == set(range(len(names)))


@pytest.mark.parametrize("seed", range(4))
def test_quarters_of_a_reference_are_the_same_in_every_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, sample = rng.normal(40, 10, 300), rng.normal(55, 20, 300)
    both = quarters(np.concatenate((reference, sample)), reference)
    own, other = quarters(reference), quarters(sample, reference)
    assert own[0] == other[0] == both[0]
    np.testing.assert_array_equal(np.concatenate((own[1], other[1])), both[1])


def test_nothing_known_makes_no_group() -> None:
    assert quarters(np.full(3, np.nan))[0] == ()


def test_groups_are_in_the_order_in_which_people_read_them() -> None:
    ordered = ["up to -1", "0 to 3", "4 to 11", "12 or more", "other", "missing"]
    for shuffled in itertools.islice(itertools.permutations(ordered), 0, 720, 37):
        assert sorted(shuffled, key=group_order) == ordered
    assert sorted(["10", "-2", "9", "0"], key=group_order) == ["-2", "0", "9", "10"]
