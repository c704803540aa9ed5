"""Charts of documents: every value stands where the axis says, and names stay text."""

import re

import pytest

from riskloop.document.parts import Chart, Curves, Series
from riskloop.document.svg import HEIGHT, curves, points

TICK = re.compile(r'<text x="[\d.]+" y="([\d.]+)" text-anchor="end">([-\d.]+)(%?)</text>')
POINT = re.compile(r'<circle cx="[\d.]+" cy="([\d.]+)"')


@pytest.mark.parametrize(
    "values", [(0.01, 0.04, 0.02), (-3.0, 12.0), (5.0,), (0.0, 0.0), (1e6, 1.2e6), (0.7731, 0.7732)]
)
@pytest.mark.parametrize("percent", [False, True])
def test_a_point_is_where_the_axis_puts_its_value(values: tuple[float, ...], percent: bool) -> None:
    labels = tuple(f"w{number}" for number in range(len(values)))
    drawn = points(Chart("AUC", labels, (Series("real", values),), percent))
    ticks = [(float(y) - 4.0, float(text) / (100.0 if sign else 1.0)) for y, text, sign in TICK.findall(drawn)]
    (y0, low), (y1, high) = ticks[0], ticks[-1]
    assert low - 1e-9 <= min(values) <= max(values) <= high + 1e-9
    places = [float(y) for y in POINT.findall(drawn)][: len(values)]  # the last one is the legend's
    read = [low + (y - y0) / (y1 - y0) * (high - low) for y in places]
    assert read == pytest.approx(values, abs=(high - low) / HEIGHT)


def test_what_is_not_known_is_not_drawn() -> None:
    chart = Chart("AUC", ("a", "b", "c"), (Series("real", (0.5, None, 0.7), (0.4, None, None), (0.6, None, 0.8)),))
    drawn = points(chart)
    assert len(POINT.findall(drawn)) == 2 + 1
    assert drawn.count('stroke-width="1.6"') == 1  # one whole interval
    assert points(Chart("AUC", ("a",), (Series("real", (None,)),))) == ""
    assert points(Chart("AUC", (), ())) == ""


def test_names_are_text_and_long_ones_are_cut() -> None:
    name = "<script>alert(1)</script>" * 3
    drawn = points(Chart(name, (name,), (Series(name, (0.5,)),)))
    assert "<script" not in drawn
    assert "…" in drawn


def test_series_differ_in_shape_and_not_in_colour_alone() -> None:
    series = tuple(Series(f"s{number}", (0.1 * number,)) for number in range(4))
    drawn = points(Chart("AUC", ("a",), series))
    corners = set(re.findall(r'<polygon points="([^"]+)"', drawn))
    assert (drawn.count("<circle"), drawn.count("<rect"), len(corners)) == (2, 2, 4)


def test_a_curve_runs_through_its_corners() -> None:
    drawn = curves(Curves("ROC", ("false", "true"), (("one", (0.0, 0.25, 1.0), (0.0, 0.75, 1.0)),)))
    ((x0, y0), (x1, y1), (x2, y2)) = (
        tuple(map(float, pair.split(","))) for pair in re.findall(r'<polyline points="([^"]+)"', drawn)[0].split()
    )
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.25)
    assert (y1 - y0) / (y2 - y0) == pytest.approx(0.75)
    assert y2 < y0  # up is more
