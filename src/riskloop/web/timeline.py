"""The time line: how the champion does, whom it approves, and what the loop and people did, on one axis of time."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from riskloop.cases import Case
from riskloop.core.stats import wilson_interval
from riskloop.core.types import Diagnosis, Json, Promotion
from riskloop.store.ledger import ModelVersion
from riskloop.web import words
from riskloop.web.figures import BAND, NOW, THEN
from riskloop.web.performance import Cohort
from riskloop.web.queries import DecisionSummary

# The panels, from the top: name and share of the height.
PANELS: Final = (("events", 0.30), ("AUC", 0.24), ("default rate", 0.20), ("approved", 0.13), ("decisions", 0.13))
GAP: Final = 0.03
LANES: Final = ("Champion", "Trained", "Cases", "Windows")  # of the events, from the top
LETTER: Final = 0.04  # of the width of the plot on a telephone
MOST: Final = 3  # cases at once that have a line of their own
KEEPS_CLEAR: Final = {
    "size": 7,
    "opacity": 0,
}  # a marker that nobody sees: its label stands beyond it and not on the bar


def timeline(
    cohorts: Sequence[Cohort],
    served: Sequence[DecisionSummary],
    cases: Sequence[Case],
    models: Sequence[ModelVersion],
    promotions: Sequence[Promotion],
) -> Json:
    """A figure; ``served`` are the decisions of each cohort in sum.

    What happened after the newest window is drawn in the margin behind it; the words that appear over it have its day.
    """
    start, end = cohorts[0].window.first_time, cohorts[-1].window.end_time
    margin = max(timedelta(minutes=1), (end - start) / max(4, len(cohorts)) * 0.75)
    last = end + margin

    def at(moment: datetime) -> str:
        return min(max(moment, start), last - margin / 3).isoformat()

    middle = [(c.window.first_time + (c.window.end_time - c.window.first_time) / 2).isoformat() for c in cohorts]
    data = [
        *_champions(promotions, start, last, at),
        *_trained([m for m in models if m.created_at >= start], at),
        *_cases([c for c in cases if c.closed_at is None or c.closed_at >= start], last, at),
        _windows(cohorts, middle),
        *_auc(cohorts, middle),
        *_rates(cohorts, served, middle),
        _line(middle, [s.approval_rate for s in served], "y4", "approval rate", ".1%"),
        _volume(cohorts, middle),
    ]
    _space_labels(data, start, last)
    return {"data": data, "layout": _layout(cohorts, promotions, start, last, at)}


def _layout(
    cohorts: Sequence[Cohort],
    promotions: Sequence[Promotion],
    start: datetime,
    last: datetime,
    at: Callable[[datetime], str],
) -> Json:
    axes: Json = {}
    top = 1.0
    formats = ("", ".2f", ".0%", ".0%", ",d")
    for number, ((title, height), form) in enumerate(zip(PANELS, formats, strict=True), start=1):
        axes[f"yaxis{'' if number == 1 else number}"] = {
            "domain": [max(0.0, top - height + GAP), top],
            "title": {"text": "" if number == 1 else title},
            "tickformat": form,
            "nticks": 4,
            "rangemode": "normal" if number in (1, 2) else "tozero",
        }
        top -= height
    axes["yaxis"] |= {"range": [-0.6, 4.1], "tickvals": [0, 1, 2, 3], "ticktext": LANES[::-1], "showgrid": False}
    shapes = [
        _band(cohort.window.first_time, cohort.window.end_time, "var(--fault-soft)")
        for cohort in cohorts
        if cohort.window.diagnosis is Diagnosis.DATA_FAULT
    ]
    shapes += [_mark(at(p.at), words.KINDS[p.kind].tone) for p in promotions if p.at >= start]
    axes["xaxis"] = {"type": "date", "anchor": f"y{len(PANELS)}", "range": [start.isoformat(), last.isoformat()]}
    return {**axes, "shapes": shapes, "bargap": 0.3, "margin": {"l": 52, "r": 12, "t": 60, "b": 40}}


def _band(first: datetime, end: datetime, color: str) -> Json:
    span = {"x0": first.isoformat(), "x1": end.isoformat(), "y0": 0, "y1": 1}
    return {**span, "type": "rect", "yref": "paper", "layer": "below", "fillcolor": color, "line": {"width": 0}}


def _mark(x: str, tone: str) -> Json:
    line = {"color": f"var(--{tone})", "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


# --------------------------------------------------------------------------- what happened


def _event(**changes: Any) -> Json:
    plain = {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "text", "cliponaxis": False}
    return {**plain, **changes}


def _champions(
    promotions: Sequence[Promotion], start: datetime, last: datetime, at: Callable[[datetime], str]
) -> list[Json]:
    """A bar for each span of serving, with its version."""
    found = []
    following: Sequence[Promotion | None] = [*promotions[1:], None]
    for promotion, after in zip(promotions, following, strict=False):
        end = last if after is None else after.at
        if end <= start:
            continue
        label = words.KINDS[promotion.kind]
        said = f"version {promotion.version}: {label.text.lower()}, {words.day(promotion.at)}, by {promotion.by}"
        color = "var(--ok)" if after is None else THEN
        x = [at(promotion.at), last.isoformat() if after is None else at(end)]
        text = [f"v{promotion.version}", ""]
        found.append(
            _event(
                x=x,
                y=[3, 3],
                mode="lines+markers+text",
                marker=KEEPS_CLEAR,
                text=text,
                textposition="top right",
                hovertext=said,
                line={"color": color, "width": 7},
            )
        )
    return found


def _trained(models: Sequence[ModelVersion], at: Callable[[datetime], str]) -> list[Json]:
    """A mark for each version where it was made."""
    if not models:
        return []
    return [
        _event(
            x=[at(model.created_at) for model in models],
            y=[2] * len(models),
            mode="markers+text",
            text=[f"v{model.version}" for model in models],
            textposition="top center",
            hovertext=[f"version {m.version}, {m.origin}, {words.day(m.created_at)}" for m in models],
            marker={"size": 9, "symbol": "diamond", "color": "var(--busy)"},
        )
    ]


def _cases(cases: Sequence[Case], last: datetime, at: Callable[[datetime], str]) -> list[Json]:
    """A bar for each case, from its first finding to its end; those at once lie beside each other."""
    found: list[Json] = []
    ends: list[datetime] = []
    for case in sorted(cases, key=lambda c: (c.opened_at, c.id)):
        closed = case.closed_at or last
        row = next((i for i, end in enumerate(ends) if end <= case.opened_at), len(ends))
        if row >= MOST:
            continue  # the cases page has them all
        ends[row : row + 1] = [closed]
        label, what = words.STATES[case.state], words.DIAGNOSES[case.diagnosis]
        said = f"case {case.id}, {what.text.lower()}: {label.text.lower()}, since {words.day(case.opened_at)}"
        y = 1.0 - 0.3 * row
        end = last.isoformat() if case.closed_at is None else at(case.closed_at)
        found.append(
            _event(
                x=[at(case.opened_at), end],
                y=[y, y],
                mode="lines+markers+text",
                # A case that ended in the cycle that opened it has no length: its mark is all that is seen.
                marker={"size": 8, "symbol": "square", "opacity": 1, "color": f"var(--{what.tone})"},
                text=[f"{case.id}" if row == 0 else "", ""],
                textposition="top right",
                hovertext=said,
                line={"color": f"var(--{what.tone})", "width": 6},
            )
        )
    return found


def _space_labels(traces: Sequence[Json], start: datetime, last: datetime) -> None:
    """Take out the labels that would lie over an earlier one of their lane on a telephone; the hover texts stay."""
    labelled = [
        (trace["y"][i], datetime.fromisoformat(trace["x"][i]), trace, i)
        for trace in traces
        for i, text in enumerate(trace.get("text") or ())
        if text
    ]
    ends: dict[float, datetime] = {}  # of the last label, by lane
    for lane, at, trace, i in sorted(labelled, key=lambda one: one[:2]):
        width = (last - start) * LETTER * len(trace["text"][i])
        begins = at - width / 2 if trace["textposition"] == "top center" else at
        if begins < ends.get(lane, begins):
            trace["text"][i] = ""
        else:
            ends[lane] = begins + width


def _windows(cohorts: Sequence[Cohort], middle: Sequence[str]) -> Json:
    """The diagnosis of every window."""
    labels = [words.DIAGNOSES[cohort.window.diagnosis] for cohort in cohorts]
    shapes = {"ok": "circle", "quiet": "circle-open", "watch": "triangle-up", "bad": "x", "fault": "square"}
    return _event(
        x=list(middle),
        y=[0] * len(cohorts),
        mode="markers",
        hovertext=[f"{c.window.name}: {label.text.lower()}" for c, label in zip(cohorts, labels, strict=True)],
        marker={
            "size": 10,
            "symbol": [shapes.get(label.tone, "circle") for label in labels],
            "color": [f"var(--{label.tone})" for label in labels],
        },
    )


# --------------------------------------------------------------------------- how it does


def _line(x: Sequence[str], y: Sequence[float | None], axis: str, name: str, form: str, **changes: Any) -> Json:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(x),
        "y": list(y),
        "yaxis": axis,
        "name": name,
        "showlegend": False,
        "line": {"color": NOW, "width": 2},
        "marker": {"size": 5, "color": NOW},
        "hovertemplate": f"%{{y:{form}}}<extra>{name}</extra>",
        **changes,
    }


def _auc(cohorts: Sequence[Cohort], middle: Sequence[str]) -> list[Json]:
    """Realised with its interval over the estimated band, and the training's own."""
    estimated = [cohort.estimated("auc") for cohort in cohorts]
    realised = [cohort.realised("auc") for cohort in cohorts]
    there = [i for i, one in enumerate(estimated) if one.lower is not None]
    x = [middle[i] for i in there]
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "hovertemplate": None}
    found = [
        _line(x, [estimated[i].lower for i in there], "y2", "", ".3f", **edge),
        _line(
            x,
            [estimated[i].upper for i in there],
            "y2",
            "AUC estimated, 95%",
            ".3f",
            **edge,
            fill="tonexty",
            fillcolor=BAND,
            showlegend=True,
        ),
    ]
    dotted = {"color": THEN, "dash": "dot", "shape": "hvh"}
    usual = [cohort.usual("auc") for cohort in cohorts]
    found.append(
        _line(
            middle, usual, "y2", "AUC at training", ".3f", mode="lines", line=dotted, connectgaps=True, showlegend=True
        )
    )
    pairs = [(one.value, one.lower, one.upper) for one in realised]
    found.append(_point(middle, pairs, "y2", "AUC realised, 95%", ".3f", "var(--text)"))
    return found


def _rates(cohorts: Sequence[Cohort], served: Sequence[DecisionSummary], middle: Sequence[str]) -> list[Json]:
    """Mean PD of all, and on those with an outcome the mean PD beside what happened."""
    happened: list[tuple[float | None, float | None, float | None]] = []
    for cohort in cohorts:
        found = cohort.found.get("calibration")
        if found is None or cohort.observed is None or not found.n or cohort.state != "final":
            happened.append((None, None, None))
            continue
        band = wilson_interval(round(cohort.observed * found.n), found.n)
        happened.append((cohort.observed, band.lower, band.upper))
    expected = [c.expected if value[0] is not None else None for c, value in zip(cohorts, happened, strict=True)]
    across = {"symbol": "line-ew-open", "size": 18, "color": NOW, "line": {"width": 3, "color": NOW}}
    return [
        _line(middle, [s.mean_pd for s in served], "y3", "mean PD of all", ".1%", showlegend=True),
        _line(
            middle, expected, "y3", "mean PD of those with an outcome", ".1%", mode="markers", marker=across,
            showlegend=True,
        ),
        _point(middle, happened, "y3", "defaulted, 95%", ".1%", "var(--text)"),
    ]  # fmt: skip


def _point(
    x: Sequence[str],
    values: Sequence[tuple[float | None, float | None, float | None]],
    axis: str,
    name: str,
    form: str,
    color: str,
) -> Json:
    """Points with their intervals; each is value, lower, upper."""

    def reach(end: int) -> list[float | None]:
        return [None if v[0] is None or v[end] is None else abs(float(v[end] or 0.0) - v[0]) for v in values]

    error = {"type": "data", "symmetric": False, "array": reach(2), "arrayminus": reach(1), "color": color}
    shown = {"mode": "markers", "marker": {"size": 7, "color": color}, "showlegend": True}
    bars = {**error, "thickness": 1.5, "width": 3}
    return _line(x, [value[0] for value in values], axis, name, form, **shown, error_y=bars)


def _volume(cohorts: Sequence[Cohort], middle: Sequence[str]) -> Json:
    return {
        "type": "bar",
        "x": list(middle),
        "y": [cohort.window.rows for cohort in cohorts],
        "yaxis": "y5",
        "showlegend": False,
        "marker": {"color": THEN},
        "hovertemplate": "%{y:,d} decisions<extra></extra>",
    }
