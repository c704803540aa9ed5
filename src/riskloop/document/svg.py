"""Charts of a document as inline SVG: no script, readable in black and white by the shape of their points."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from markupsafe import Markup

from riskloop.document.parts import Chart, Curves

WIDTH: Final = 680
HEIGHT: Final = 260
LEFT: Final = 52
RIGHT: Final = 12
TOP: Final = 12
BOTTOM: Final = 44
LETTERS: Final = 14  # of a label below a point
MOST_LABELS: Final = 12
COLOURS: Final = ("#1f4e79", "#b5541c", "#3d7a4a", "#7a3d78")
_EMPTY: Final = Markup("")


def points(chart: Chart) -> Markup:
    """Points with their intervals over labels."""
    values = [v for one in chart.series for part in (one.values, one.lower, one.upper) for v in part if v is not None]
    if not values or not chart.labels:
        return _EMPTY
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]
    plot = WIDTH - LEFT - RIGHT

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    step = plot / len(chart.labels)
    parts = [_axis(ticks, y, chart.percent)]
    every = -(-len(chart.labels) // MOST_LABELS)
    for place, label in enumerate(chart.labels):
        if place % every == 0:
            middle = LEFT + step * (place + 0.5)
            parts.append(_text(middle, HEIGHT - BOTTOM + 18, _short(label, LETTERS), "middle"))
    for number, one in enumerate(chart.series):
        shift = min(40.0, step / (len(chart.series) + 1)) * (number - (len(chart.series) - 1) / 2.0)
        for place, value in enumerate(one.values):
            if value is None:
                continue
            x = LEFT + step * (place + 0.5) + shift
            ends = [part[place] if part else None for part in (one.lower, one.upper)]
            if ends[0] is not None and ends[1] is not None:
                parts.append(_line(x, y(ends[0]), x, y(ends[1]), COLOURS[number % len(COLOURS)], 1.6))
            parts.append(_mark(x, y(value), number))
    return _figure(chart.caption, parts, [one.name for one in chart.series], HEIGHT)


def curves(chart: Curves) -> Markup:
    """Lines between 0 and 1."""
    side, ticks = 300, [0.0, 0.25, 0.5, 0.75, 1.0]

    def x(value: float) -> float:
        return LEFT + side * value

    def y(value: float) -> float:
        return TOP + side * (1.0 - value)

    parts = [_axis(ticks, y, percent=True, right=x(1.0))]
    parts += [_text(x(tick), TOP + side + 18, f"{tick:.0%}", "middle") for tick in ticks]
    parts.append(_text(x(0.5), TOP + side + 36, chart.axes[0], "middle"))
    parts.append(_line(x(0.0), y(0.0), x(1.0), y(1.0), "#999", 1.0))
    for number, (_, xs, ys) in enumerate(chart.lines):
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        dash = "5 3" if number else "none"
        line = Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="2" stroke-dasharray="{}"/>')
        parts.append(line.format(path, COLOURS[number % len(COLOURS)], dash))
    names = [name for name, _, _ in chart.lines]
    return _figure(chart.caption, parts, names, side + TOP + BOTTOM, side + LEFT + RIGHT + 20, lines=True)


def _figure(
    caption: str,
    parts: Sequence[Markup],
    names: Sequence[str],
    height: int,
    width: int = WIDTH,
    *,
    lines: bool = False,
) -> Markup:
    legend = []
    x = float(LEFT)
    for number, name in enumerate(names):
        shown = _short(name, 30)
        if lines:
            legend.append(_line(x - 6, height + 10, x + 6, height + 10, COLOURS[number % len(COLOURS)], 2.0))
        else:
            legend.append(_mark(x, height + 10, number))
        legend.append(_text(x + 10, height + 14, shown, "start"))
        x += 34 + 6.6 * len(shown)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height + 24, caption, _EMPTY.join((*parts, *legend))
    )


def _axis(ticks: Sequence[float], y: Callable[[float], float], percent: bool, right: float = WIDTH - RIGHT) -> Markup:
    digits = _digits((100.0 if percent else 1.0) * (ticks[1] - ticks[0]))
    written = [f"{tick:.{digits}%}" if percent else f"{tick:.{digits}f}" for tick in ticks]
    return _EMPTY.join(
        _line(LEFT, y(tick), right, y(tick), "#ddd", 1.0) + _text(LEFT - 6, y(tick) + 4, text, "end")
        for tick, text in zip(ticks, written, strict=True)
    )


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that hold both ends."""
    span = max(high - low, abs(high) * 1e-3, 1e-6)
    size = 10.0 ** math.floor(math.log10(span / 4.0))
    step = next(size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= 5.0)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [number * step for number in range(first, last + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="{}"/>').format(
        x1, y1, x2, y2, colour, width
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _mark(x: float, y: float, number: int) -> Markup:
    colour = COLOURS[number % len(COLOURS)]
    if number % 4 == 0:
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4.5" fill="{}"/>').format(x, y, colour)
    if number % 4 == 1:
        return Markup('<rect x="{:.1f}" y="{:.1f}" width="8" height="8" fill="{}"/>').format(x - 4, y - 4, colour)
    up = 1.0 if number % 4 == 2 else -1.0
    corners = ((x, y - 5 * up), (x + 5, y + 4 * up), (x - 5, y + 4 * up))
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    return Markup('<polygon points="{}" fill="{}"/>').format(path, colour)


def _short(text: str, most: int) -> str:
    return str(text) if len(text) <= most else f"{text[: most - 1]}…"
