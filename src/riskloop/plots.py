"""`portfolio.plot`: the dashboard's charts in a notebook, from the same builders, without a network."""

import gzip
import json
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import Final

from riskloop import bundles
from riskloop.core.errors import NotFound
from riskloop.core.findings import SCORE
from riskloop.core.types import Json
from riskloop.results import ChallengerFileResult
from riskloop.store.documents import plain
from riskloop.store.home import Home

STATIC: Final = Path(__file__).parent / "web" / "static"
HEIGHT: Final = 340  # pixels of a chart
TALL: Final = 680  # of one with several panels
CASES: Final = 50  # that the time line looks at
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}
body {{ margin: 0; padding: 8px; background: var(--surface); color: var(--text); font: 14px system-ui, sans-serif; }}
h2 {{ font-size: 15px; font-weight: 600; margin: 4px 0; }} .plot {{ height: {height}px; }}</style>
{charts}<script type="text/plain" id="bundle">{bundle}</script><script>
const packed = Uint8Array.from(atob(document.getElementById("bundle").textContent), c => c.charCodeAt(0));
const text = new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
text.then(code => {{ const script = document.createElement("script"); script.textContent = code;
document.head.append(script);
{draw}
}});</script></html>"""
_CHART: Final = """<h2>{title}</h2><div class="plot" id="c{number}" role="img" aria-label="{title}"></div>
<script type="application/json" class="figure" data-for="c{number}">{figure}</script>"""


class NotebookChart:
    """One or several figures that belong together: shown by a notebook, or saved as a page of their own.

    ``figures`` are Plotly's, by title; colours are names of the dashboard's style sheet.
    """

    def __init__(self, title: str, figures: dict[str, Json], height: int = HEIGHT) -> None:
        self.title = title
        self.figures = figures
        self.height = height  # pixels of each

    def __repr__(self) -> str:
        """What it shows."""
        return f"<NotebookChart '{self.title}': {', '.join(self.figures)}>"

    def html(self) -> str:
        """A whole page that needs nothing else: the figures, the style's colours, Plotly itself."""
        style = (STATIC / "style.css").read_text(encoding="utf-8")
        colours = style[: style.index("*, *::before")]  # its beginning: the names of colours, light and dark
        drawn = "".join(
            _CHART.format(title=escape(title), number=number, figure=_json(figure))
            for number, (title, figure) in enumerate(self.figures.items())
        )
        return _PAGE.format(
            title=escape(self.title),
            style=colours,
            height=self.height,
            charts=drawn,
            bundle=b64encode(gzip.compress((bundles.FOLDER / "plotly.min.js").read_bytes(), mtime=0)).decode(),
            draw=(STATIC / "charts.js").read_text(encoding="utf-8"),
        )

    def save(self, path: Path | str) -> Path:
        """Write the page; returns where it is."""
        target = Path(path)
        target.write_text(self.html(), encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        """A frame of its own, so that neither the notebook's styles nor its scripts reach into it."""
        height = len(self.figures) * (self.height + 40) + 20
        page = escape(self.html())
        title = escape(self.title)
        return f'<iframe srcdoc="{page}" title="{title}" style="width:100%;height:{height}px;border:0"></iframe>'


class Plots:
    """The charts of one portfolio; each call reads what is on record now."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def timeline(self, windows: int = 12) -> NotebookChart:
        """The overview's time line: AUC, default rate, approvals and volume with cases, retrainings and promotions."""
        from riskloop.web.performance import cohorts_of
        from riskloop.web.queries import served_between
        from riskloop.web.timeline import timeline

        home = self._home
        cohorts = cohorts_of(home.database, home.settings, home.windows.latest(windows))
        if not cohorts:
            raise _no_window()
        sums = [served_between(home.database, c.window.first_id, c.window.last_id) for c in cohorts]
        figure = timeline(cohorts, sums, home.cases.latest(CASES), home.ledger.models(), home.ledger.promotions())
        return NotebookChart("What happened", {"What happened": figure}, TALL)

    def performance(self, windows: int = 24) -> NotebookChart:
        """AUC, KS and Brier score by window: realised with interval, estimated before outcomes, and at training."""
        from riskloop.web.performance import MEASURES, TITLES, performance

        drawn = performance(self._home.settings, self._home.windows, windows, None, None)["figures"]
        if not drawn:
            raise _no_window()
        return NotebookChart("Performance by window", {TITLES[name]: drawn[f"by-{name}"] for name in MEASURES})

    def calibration(self, window: int | None = None) -> NotebookChart:
        """PD and default rate of each grade in a window, by default the newest that was judged by its outcomes."""
        from riskloop.web.performance import performance

        drawn = performance(self._home.settings, self._home.windows, 60, window, window)
        if "grades" not in drawn["figures"]:
            raise NotFound("No window is judged by its outcomes yet; `riskloop outcomes` hands them in.")
        return NotebookChart(
            "Calibration by grade", {f"Grades in {drawn['cohort'].window.name}": drawn["figures"]["grades"]}
        )

    def drift(self, subject: str = SCORE, window: int | None = None, windows: int = 12) -> NotebookChart:
        """A feature, or the score: its distribution in a window beside the history's, and its PSI through windows."""
        from riskloop.web.drift import feature

        home = self._home
        found = feature(home.settings, home.windows, home.ledger, home.artefacts, subject, window, windows)
        called = home.settings.called(subject)
        titles = {"distribution": f"{called} in {found['chosen'].name}", "through": f"PSI of {called}"}
        return NotebookChart(f"Drift of {called}", {titles[name]: figure for name, figure in found["figures"].items()})

    def challenger(self, case: int) -> NotebookChart:
        """The challenger file's charts: ROC, calibration by grade, scores, and the features that moved most."""
        from riskloop.loop.challenger_file import case_file
        from riskloop.web.challenger import drawn

        read = ChallengerFileResult(**case_file(self._home.cases, self._home.artefacts, case))
        figures = drawn(self._home.settings, read)
        if not figures:
            raise NotFound(f"The gate kept no scores for case {case}: an earlier version judged it.")
        titles = {"roc": "ROC", "grades": "Calibration by grade", "scores": "Scores"}
        called = self._home.settings.called
        moved = {f"effect-{n}": called(one["feature"]) for n, one in enumerate((read.file or {})["moved"], start=1)}
        return NotebookChart(
            f"Challenger of case {case}", {(titles | moved)[name]: one for name, one in figures.items()}
        )


def _json(figure: Json) -> str:
    """JSON that cannot end the script that it stands in."""
    return json.dumps(plain(figure), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _no_window() -> NotFound:
    return NotFound("No window is closed yet, so there is nothing to draw; `riskloop watch` closes them.")
