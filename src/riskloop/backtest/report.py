"""The back-test as one page for people: no network, no server, light and dark, charts from the installed Plotly."""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from riskloop import bundles
from riskloop.backtest.policies import NEVER, ORACLE
from riskloop.backtest.watched import doubtful
from riskloop.core.types import Diagnosis, Json
from riskloop.web.words import DIAGNOSES, STATES, Label

TEMPLATE: Final = "report.html"
STATIC: Final = Path(__file__).parent.parent / "web" / "static"
COLORS: Final = ("var(--one)", "var(--two)", "var(--three)", "var(--four)", "var(--five)")
FIXED: Final = {NEVER.name: "var(--then)", "always": "var(--watch)", ORACLE: "var(--ok)"}
NOT_JUDGED: Final = Label("Not judged", "quiet", "dots")
DASHED: Final = {NEVER.name: "dot", ORACLE: "dash"}


def page(document: Json) -> str:
    """The self-contained HTML of a back-test's document."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "number": _number,
        "signed": _signed,
        "amount": _amount,
        "percent": _percent,
        "embedded": _embedded,
    }
    template = environment.get_template(TEMPLATE)
    return template.render(
        document=document,
        policies=document["policies"],
        figures=figures(document),
        watched=[one for name, entry in document["policies"].items() for one in _unseen(name, entry["watch"])],
        rows=[_row(name, entry) for name, entry in document["policies"].items()],
        promotions=[
            {"policy": name, **one} for name, entry in document["policies"].items() for one in entry["promotion_list"]
        ],
        diagnoses=DIAGNOSES,
        states=STATES,
        style=(STATIC / "style.css").read_text(encoding="utf-8"),
        charts=(STATIC / "charts.js").read_text(encoding="utf-8"),
        plotly=(bundles.FOLDER / "plotly.min.js").read_text(encoding="utf-8"),
        money=any(entry["money"] is not None for entry in document["policies"].values()),
    )


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}".replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _embedded(figure: Json) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(figure, allow_nan=False).replace("<", "\\u003c")


def _row(name: str, entry: Json) -> Json:
    """A policy in the table; its tone says whether its gain is more than chance, or whether little was looked at."""
    gain = entry["against_never"]
    tone = "quiet"
    if gain["auc"] is not None and name != NEVER.name:
        tone = "ok" if gain["auc_low"] > 0.0 else "bad" if gain["auc_high"] < 0.0 else "quiet"
    if doubtful(entry["watch"]):
        tone = "fault"
    return {"name": name, "tone": tone, **entry}


def _unseen(name: str, watch: Json | None) -> list[Json]:
    """A row for what was kept out under a policy, and one for what was not judged."""
    if watch is None:
        return []
    shared = dict.fromkeys(("mean_pd", "default_rate", "default_rate_low", "default_rate_high", "always_since"))
    rows = [("kept out as faulty", watch["quarantined"]), ("not judged", watch["not_judged"])]
    return [{**shared, "policy": name, "what": what, "of": watch["windows"], **row} for what, row in rows if row]


# --------------------------------------------------------------------------- figures


def figures(document: Json) -> Json:
    """The charts by name, as plain Plotly figures in colours of the style sheet."""
    policies = document["policies"]
    labels = [period["period"] for period in next(iter(policies.values()))["periods"]]
    measures = {
        "auc": ("AUC", ".3f"),
        "gini": ("Gini", ".3f"),
        "ks": ("KS", ".3f"),
        "brier": ("Brier score, lower is better", ".3f"),
        "observed_to_expected": ("defaults observed / expected", ".2f"),
    }
    drawn = {name: _measure(policies, labels, name, title, digits) for name, (title, digits) in measures.items()}
    drawn["timeline"] = _timeline(policies, labels)
    if any(entry["money"] is not None for entry in policies.values()):
        drawn["money"] = _money(policies, labels)
    return drawn


def _color(name: str, policies: Json) -> str:
    loops = [other for other in policies if other not in FIXED]
    return FIXED[name] if name in FIXED else COLORS[loops.index(name) % len(COLORS)]


def _line(name: str, policies: Json, x: Sequence[str], y: Sequence[Any], digits: str) -> Json:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": _color(name, policies), "width": 2, "dash": DASHED.get(name, "solid")},
        "marker": {"size": 5, "color": _color(name, policies)},
        "hovertemplate": f"%{{x}}: %{{y:{digits}}}<extra>{name}</extra>",
    }


def _measure(policies: Json, labels: Sequence[str], key: str, title: str, digits: str) -> Json:
    traces: list[Json] = []
    shaded = [*[name for name in policies if name not in FIXED][:1], NEVER.name]
    for name in shaded:
        periods = policies[name]["periods"]
        ends = [[p[f"{key}_{side}"] for p in periods] for side in ("low", "high")]
        traces += _band(labels, ends[0], ends[1], "var(--never-band)" if name == NEVER.name else "var(--first-band)")
    traces += [_line(name, policies, labels, [p[key] for p in e["periods"]], digits) for name, e in policies.items()]
    layout: Json = {
        "xaxis": {**_in_order(labels), "tickangle": "auto"},
        "yaxis": {"title": {"text": title}, "tickformat": digits},
        "hovermode": "x unified" if key == "auc" else "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
    }
    if key == "observed_to_expected":
        layout["shapes"] = [_level(1.0)]
    return {"data": traces, "layout": layout}


def _band(labels: Sequence[str], low: Sequence[Any], high: Sequence[Any], color: str) -> list[Json]:
    """The 95% interval: an area for each run of periods that have one, a bar where such a period stands alone."""
    known = [k for k, value in enumerate(low) if value is not None]
    runs = [[k for _, k in run] for _, run in groupby(enumerate(known), lambda pair: pair[1] - pair[0])]
    areas = [[(labels[k], low[k]) for k in run] + [(labels[k], high[k]) for k in reversed(run)] for run in runs]
    shared: Json = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    wide = {**shared, "fill": "toself", "fillcolor": color, "line": {"width": 0}}
    bar = {**shared, "line": {"width": 8, "color": color}}
    traces = []
    for style, chosen in ((wide, [a for a in areas if len(a) > 2]), (bar, [a for a in areas if len(a) == 2])):
        points = [point for area in chosen for point in (*area, (None, None))]  # a gap ends each of them
        if points:
            x, y = zip(*points, strict=True)
            traces.append({**style, "x": list(x), "y": list(y)})
    return traces


def _in_order(labels: Sequence[str]) -> Json:
    """An axis of periods; without the list, Plotly orders them as it meets them, and gaps come last."""
    return {"type": "category", "categoryorder": "array", "categoryarray": list(labels), "nticks": 18}


def _level(value: float) -> Json:
    line = {"color": "var(--muted)", "width": 1, "dash": "dot"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": line}


def _money(policies: Json, labels: Sequence[str]) -> Json:
    traces = []
    never = [period["money"] or 0.0 for period in policies[NEVER.name]["periods"]]
    for name, entry in policies.items():
        if name == NEVER.name:
            continue
        more, total = [], 0.0
        for period, base in zip(entry["periods"], never, strict=True):
            total += (period["money"] or 0.0) - base
            more.append(total)
        traces.append(_line(name, policies, labels, more, ",.0f"))
    layout = {
        "xaxis": _in_order(labels),
        "yaxis": {"title": {"text": "more than never retraining, so far"}, "tickformat": ",.0f"},
        "shapes": [_level(0.0)],
    }
    return {"data": traces, "layout": layout}


def _timeline(policies: Json, labels: Sequence[str]) -> Json:
    """A row for each policy: what the loop thought of every period, and when it trained and promoted."""
    names = list(reversed([name for name in policies if name not in {NEVER.name, ORACLE}]))
    traces: list[Json] = []
    for diagnosis, label in (*DIAGNOSES.items(), (None, NOT_JUDGED)):
        points = [
            (period["period"], name, period["sentence"])
            for name in names
            for period in policies[name]["periods"]
            if period["diagnosis"] == diagnosis and period["sentence"] is not None
        ]
        if points:
            x, y, text = zip(*points, strict=True)
            marker = {"symbol": "square", "size": 13, "color": f"var(--{label.tone})"}
            marker["opacity"] = 0.35 if diagnosis in (Diagnosis.STABLE, None) else 0.9
            traces.append(_marks(label.text, x, y, [_wrapped(t) for t in text], marker))
    for title, symbol, tone, wanted in (
        ("retrained", "circle-open", "text", None),
        ("promoted", "triangle-up", "text", False),
        ("promoted, worse on what came next", "x", "bad", True),
    ):
        points = [
            (entry["period"], name, _promoted(entry))
            for name in names
            for entry in policies[name]["retraining_list" if wanted is None else "promotion_list"]
            if wanted is None or bool(entry["wrong"]) is wanted
        ]
        if points:
            x, y, text = zip(*points, strict=True)
            size = 22 if wanted is None else 10
            marker = {"symbol": symbol, "size": size, "color": f"var(--{tone})", "line": {"width": 1.5}}
            traces.append(_marks(title, x, y, text, marker))
    layout = {
        "xaxis": _in_order(labels),
        "yaxis": {"type": "category", "categoryorder": "array", "categoryarray": names, "showgrid": False},
        "height": 130 + 56 * len(names),
    }
    return {"data": traces, "layout": layout}


def _marks(name: str, x: Sequence[str], y: Sequence[str], text: Sequence[str], marker: Json) -> Json:
    shown = "%{y}, %{x}<br>%{text}<extra>" + name + "</extra>"
    base: Json = {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y), "text": list(text)}
    return base | {"marker": marker, "hovertemplate": shown}


def _promoted(entry: Json) -> str:
    if "version" not in entry:
        return str(entry["verdict"] or "untested").replace("_", " ")
    if entry["difference"] is None:
        return f"version {entry['version']}; {'one class only' if entry['outcomes'] else 'no outcomes'} after it"
    measure = "log loss" if entry["measure"] == "log_loss" else "AUC"
    return f"version {entry['version']}: {measure} {entry['difference']:+.4f} on what came next"


def _wrapped(text: str | None, width: int = 90) -> str:
    words, lines = (text or "").split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}"
    return "<br>".join(line.strip() for line in lines)
