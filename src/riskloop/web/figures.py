"""Charts as plain Plotly figures. Colours are names of the style sheet, so that light and dark both work."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from riskloop.core.types import Json, Severity
from riskloop.web.words import SEVERITIES

THEN: Final = "var(--then)"
NOW: Final = "var(--now)"
OTHER: Final = "var(--other)"
BAND: Final = "var(--band)"

Numbers = Sequence[float | None]


def _figure(data: Sequence[Json], **layout: Any) -> Json:
    return {"data": list(data), "layout": layout}


def _axis(title: str = "", **options: Any) -> Json:
    return {"title": {"text": title}, **options}


def distribution(labels: Sequence[str], then: Numbers, now: Numbers, names: tuple[str, str], title: str) -> Json:
    """Shares of the rows in each bin of a column called ``title``, in the history and in the window."""
    shown = {"type": "bar", "x": list(labels), "hovertemplate": "%{x}: %{y:.1%}<extra>%{fullData.name}</extra>"}
    return _figure(
        [
            {**shown, "y": list(then), "name": names[0], "marker": {"color": THEN}},
            {**shown, "y": list(now), "name": names[1], "marker": {"color": NOW}},
        ],
        barmode="group",
        bargap=0.25,
        xaxis=_axis(title, type="category", tickangle="auto"),
        yaxis=_axis("share of the rows", tickformat=".0%", rangemode="tozero"),
    )


def psi_by_window(names: Sequence[str], values: Numbers, criticals: Numbers, severities: Sequence[Severity]) -> Json:
    """One subject's PSI through the windows; what is above chance is filled."""
    tones = [f"var(--{SEVERITIES[severity].tone})" for severity in severities]
    filled = [
        tone if severity in (Severity.DRIFTED, Severity.SEVERE) else "var(--surface)"
        for tone, severity in zip(tones, severities, strict=True)
    ]
    return _figure(
        [
            {
                "type": "scatter",
                "x": list(names),
                "y": list(criticals),
                "name": "critical value",
                "mode": "lines",
                "line": {"color": THEN, "dash": "dot", "shape": "hvh"},
                "connectgaps": True,
                "hovertemplate": "%{y:.3f}<extra>critical value</extra>",
            },
            {
                "type": "scatter",
                "x": list(names),
                "y": list(values),
                "name": "PSI",
                "cliponaxis": False,
                "mode": "lines+markers",
                "line": {"color": NOW},
                "marker": {"size": 9, "color": filled, "line": {"color": tones, "width": 2}},
                "hovertemplate": "%{x}: %{y:.3f}<extra>PSI</extra>",
            },
        ],
        xaxis=_axis(type="category"),
        yaxis=_axis("PSI", rangemode="tozero"),
    )


def impact(names: Sequence[str], changes: Numbers) -> Json:
    """What the change of each feature did to the mean PD, the largest on top."""
    return _figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "y": list(reversed(names)),
                "x": [None if change is None else 100.0 * change for change in reversed(changes)],
                "marker": {"color": NOW},
                "hovertemplate": "%{y}: %{x:+.2f} points of mean PD<extra></extra>",
            }
        ],
        showlegend=False,
        xaxis=_axis("mean PD, percentage points", tickformat="+.1f", zeroline=True),
        yaxis=_axis(type="category", automargin=True),
    )


def _band(names: Sequence[str], lower: Numbers, upper: Numbers, name: str) -> list[Json]:
    """A shaded range; the second line fills down to the first."""
    edge = {"type": "scatter", "x": list(names), "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    return [
        {**edge, "y": list(lower), "showlegend": False},
        {**edge, "y": list(upper), "name": name, "fill": "tonexty", "fillcolor": BAND},
    ]


def _points(names: Sequence[str], values: Numbers, lower: Numbers, upper: Numbers, name: str, color: str) -> Json:
    def reach(ends: Numbers) -> list[float | None]:
        pairs = zip(values, ends, strict=True)
        return [None if value is None or end is None else abs(end - value) for value, end in pairs]

    return {
        "type": "scatter",
        "x": list(names),
        "y": list(values),
        "name": name,
        "mode": "markers",
        "marker": {"size": 9, "color": color},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": reach(upper),
            "arrayminus": reach(lower),
            "color": color,
            "thickness": 1.5,
            "width": 4,
        },
        "hovertemplate": "%{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
    }


def by_cohort(
    names: Sequence[str],
    realised: tuple[Numbers, Numbers, Numbers],
    estimated: tuple[Numbers, Numbers, Numbers],
    usual: Numbers,
    titles: tuple[str, str, str, str],
    tickformat: str = ".2f",
) -> Json:
    """Realised values with their intervals over the estimated band; each triple is value, lower, upper.

    ``titles`` name the axis, the realised points, the band and the line of what is usual.
    """
    lone = len(names) == 1  # a line needs two ends: one cohort has marks across and a bar instead
    usually = {
        "type": "scatter",
        "x": list(names),
        "y": list(usual),
        "name": titles[3],
        "mode": "lines",
        "line": {"color": THEN, "dash": "dot", "shape": "hvh"},
        "connectgaps": True,
        "hovertemplate": "%{y:.3f}<extra>%{fullData.name}</extra>",
    }
    if lone:
        across = {"symbol": "line-ew-open", "size": 60, "color": THEN, "line": {"width": 2, "color": THEN}}
        usually |= {"mode": "markers", "marker": across}
    expected = [_points(names, *estimated, titles[2], NOW)] if lone else _estimated(names, estimated, titles[2])
    return _figure(
        [
            *expected,
            usually,
            _points(names, *realised, titles[1], "var(--text)"),
        ],
        xaxis=_axis(type="category", categoryorder="array", categoryarray=list(names)),
        yaxis=_axis(titles[0], tickformat=tickformat),
    )


def _estimated(names: Sequence[str], estimated: tuple[Numbers, Numbers, Numbers], title: str) -> list[Json]:
    """The band of an estimate with its line, over the cohorts that have one."""
    there = [position for position, value in enumerate(estimated[0]) if value is not None]
    expected = [names[position] for position in there]
    values, lower, upper = ([side[position] for position in there] for side in estimated)
    line = {
        "type": "scatter",
        "x": expected,
        "y": values,
        "name": title,
        "showlegend": False,
        "mode": "lines+markers" if len(there) == 1 else "lines",
        "line": {"color": NOW, "width": 1.5, "dash": "dash"},
        "hovertemplate": "%{x}: %{y:.3f}<extra>estimated</extra>",
    }
    return [*_band(expected, lower, upper, title), line]


def grades(labels: Sequence[str], expected: Numbers, observed: Numbers, off: Sequence[bool]) -> Json:
    """Default rate by risk level: what was expected, and what happened."""
    shown = {"type": "bar", "x": list(labels), "hovertemplate": "%{x}: %{y:.1%}<extra>%{fullData.name}</extra>"}
    bars = [{**shown, "y": list(expected), "name": "mean PD", "marker": {"color": THEN}, "offsetgroup": "expected"}]
    for name, color, kind in (("defaulted", NOW, False), ("defaulted, test rejects", "var(--bad)", True)):
        if kind in off:  # what no bar has is not in the legend
            values = [rate if moved is kind else None for rate, moved in zip(observed, off, strict=True)]
            bars.append({**shown, "y": values, "name": name, "marker": {"color": color}, "offsetgroup": "observed"})
    return _figure(
        bars,
        barmode="group",
        bargap=0.35,
        xaxis=_axis(type="category"),
        yaxis=_axis("default rate", tickformat=".0%", rangemode="tozero"),
    )


# --------------------------------------------------------------------------- two models

_STYLES: Final[tuple[Json, ...]] = ({"color": THEN, "width": 2.5}, {"color": NOW, "width": 2.5})


def roc(curves: Mapping[str, tuple[Numbers, Numbers]]) -> Json:
    """False against true positive rate, a curve for each version."""
    diagonal: Json = {
        "type": "scatter",
        "x": [0, 1],
        "y": [0, 1],
        "mode": "lines",
        "showlegend": False,
        "hoverinfo": "skip",
    }
    lines = [
        {"type": "scatter", "x": list(x), "y": list(y), "name": name, "mode": "lines", "line": style}
        for (name, (x, y)), style in zip(curves.items(), _STYLES, strict=True)
    ]
    return _figure(
        [{**diagonal, "line": {"color": "var(--line)", "width": 1}}, *lines],
        xaxis=_axis("good customers declined", tickformat=".0%", range=[0, 1]),
        yaxis=_axis("defaults found", tickformat=".0%", range=[0, 1.01]),
    )


def reliability(curves: Mapping[str, tuple[Numbers, Numbers]], most: float) -> Json:
    """Mean probability against default rate in tenths of the customers, a curve for each version."""
    diagonal: Json = {"type": "scatter", "x": [0, most], "y": [0, most], "mode": "lines", "showlegend": False}
    lines = [
        {
            "type": "scatter",
            "x": list(x),
            "y": list(y),
            "name": name,
            "mode": "lines+markers",
            "line": style,
            "marker": {"size": 7},
            "hovertemplate": "PD %{x:.1%}: %{y:.1%} defaulted<extra>%{fullData.name}</extra>",
        }
        for (name, (x, y)), style in zip(curves.items(), _STYLES, strict=True)
    ]
    return _figure(
        [{**diagonal, "line": {"color": "var(--line)", "width": 1}, "hoverinfo": "skip"}, *lines],
        xaxis=_axis("mean PD of a tenth", tickformat=".0%", rangemode="tozero"),
        yaxis=_axis("defaulted", tickformat=".0%", rangemode="tozero"),
    )


def scores(edges: Sequence[float], shares: Mapping[str, Numbers], thresholds: Mapping[str, float]) -> Json:
    """Distribution of the probabilities, and each version's threshold."""
    lines = [
        {
            "type": "scatter",
            "x": list(edges),
            "y": list(values),
            "name": name,
            "mode": "lines",
            "line": style | {"shape": "hv"},
            "hovertemplate": "from %{x:.0%}: %{y:.1%}<extra>%{fullData.name}</extra>",
        }
        for (name, values), style in zip(shares.items(), _STYLES, strict=True)
    ]
    marks = [
        {
            "type": "line",
            "x0": threshold,
            "x1": threshold,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": style["color"], "dash": "dot", "width": 1.5},
        }
        for threshold, style in zip(thresholds.values(), _STYLES, strict=True)
    ]
    return _figure(
        lines,
        shapes=marks,
        xaxis=_axis("probability of default", tickformat=".0%", range=[0, 1]),
        yaxis=_axis("share of the customers", tickformat=".0%", rangemode="tozero"),
    )


def grade_bands(grades: Sequence[str], sides: Mapping[str, Sequence[Json | None]]) -> Json:
    """Default rate of each grade with its Jeffreys band, and the mean PD as a line across, a pair for each model."""
    data = []
    for (name, found), color in zip(sides.items(), (THEN, NOW), strict=True):
        rates = [None if one is None else one["rate"] for one in found]
        values, lower, upper = (
            [None if rate is None else rate[key] for rate in rates] for key in ("value", "lower", "upper")
        )
        shown = _points(grades, values, lower, upper, f"{name}: defaulted, 95%", color)
        pds = {
            **shown,
            "y": [None if one is None else one["pd"] for one in found],
            "name": f"{name}: mean PD",
            "marker": {"symbol": "line-ew-open", "size": 16, "color": color, "line": {"width": 3, "color": color}},
        }
        del pds["error_y"]
        data += [{**one, "hovertemplate": "%{x}: %{y:.1%}<extra>%{fullData.name}</extra>"} for one in (shown, pds)]
    return _figure(
        data,
        scattermode="group",
        scattergap=0.6,
        xaxis=_axis(type="category", categoryorder="array", categoryarray=list(grades)),
        yaxis=_axis("default rate", tickformat=".0%", rangemode="tozero"),
    )


def effect(values: Sequence[str], curves: Mapping[str, Numbers], category: bool, title: str) -> Json:
    """Mean PD by the value of one feature called ``title``, a line for each model; levels of a category as points."""
    mode = "markers" if category else "lines+markers"
    lines = [
        {
            "type": "scatter",
            "x": list(values),
            "y": list(curve),
            "name": name,
            "mode": mode,
            "line": style,
            "marker": {"size": 7, "color": style["color"]},
            "hovertemplate": "%{x}: mean PD %{y:.1%}<extra>%{fullData.name}</extra>",
        }
        for (name, curve), style in zip(curves.items(), _STYLES, strict=True)
    ]
    return _figure(
        lines, xaxis=_axis(title, type="category"), yaxis=_axis("mean PD", tickformat=".0%", rangemode="tozero")
    )
