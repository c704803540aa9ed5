"""One way to write numbers, wherever they are read."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from riskloop.core import numbers
from riskloop.core.numbers import NOTHING, between, between_shares, chance, evidence, number, percent, points, signed

SOURCES = Path(numbers.__file__).parents[1]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (number(12345), "12,345"),
        (number(0.73119, 4), "0.7312"),
        (number(-1234.5, 1), "−1,234.5"),
        (number(-0.0004, 3), "0.000"),
        (percent(0.2136), "21.4%"),
        (percent(-0.05), "−5.0%"),
        (percent(12.5), "1,250.0%"),
        (signed(0.084), "+0.084"),
        (signed(-0.012), "−0.012"),
        (points(0.0125), "+1.25"),
        (points(-0.00001), "0.00"),
        (chance(0.0321), "0.032"),
        (chance(0.0002), "< 0.001"),
        (evidence(3141.6), "3,142"),
        (evidence(0.311), "0.31"),
        (evidence(7.1e-11), "< 0.01"),
        (evidence(math.inf), "beyond any number"),
        (between(0.73, 0.771), "0.730 to 0.771"),
        (between_shares(0.182, 0.214), "18.2% to 21.4%"),
        (between(None, 0.5), NOTHING),
        (between_shares(0.5, None), NOTHING),
    ],
)
def test_numbers_as_people_read_them(said: str, wanted: str) -> None:
    assert said == wanted


@pytest.mark.parametrize("write", [number, percent, signed, points, chance])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_there_is_a_dash(write: Callable[[float | None], str], value: float | None) -> None:
    assert write(value) == NOTHING


def test_no_other_module_of_pages_and_documents_has_a_format_of_its_own() -> None:
    names = "number|percent|signed|points|chance|between|between_shares"
    own = re.compile(rf"^def ({names})\(value|^def (chance|between\w*)\(", re.MULTILINE)
    found = [str(path) for path in SOURCES.rglob("*.py") if own.search(path.read_text(encoding="utf-8"))]
    assert found == [str(Path(numbers.__file__))]


def test_no_template_writes_an_interval_of_its_own() -> None:
    pairs = re.compile(r"\|(number\(\d\)|percent) \}\}(–| to )\{\{")
    assert not [p.name for p in SOURCES.glob("web/templates/*.html") if pairs.search(p.read_text(encoding="utf-8"))]
