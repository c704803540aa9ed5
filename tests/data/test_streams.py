"""Blocks are made while the caller works on others: the same blocks, errors in their place, nothing left running."""

import threading
from collections.abc import Iterator

import pytest

from riskloop.core.errors import MalformedBody
from riskloop.data.streams import AHEAD, ahead


def test_the_items_are_the_same() -> None:
    assert list(ahead(iter(range(3 * AHEAD)))) == [*range(3 * AHEAD)]
    assert list(ahead(iter(()))) == []


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise MalformedBody("cut off")

    made = ahead(items())
    assert [next(made), next(made)] == [1, 2]
    with pytest.raises(MalformedBody, match="cut off"):
        next(made)


def test_no_more_is_made_than_said_and_nothing_goes_on_when_the_caller_stops() -> None:
    made: list[int] = []
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            closed.set()

    coming = ahead(items())
    assert next(coming) == 0
    coming.close()
    assert closed.wait(10)
    assert len(made) <= AHEAD + 2
    assert not any(thread.name.startswith("riskloop-read") for thread in threading.enumerate())
