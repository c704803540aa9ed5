"""Drift: every feature in every window, one feature in depth, and one window with its diagnosis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from riskloop.core.errors import NotFound
from riskloop.core.findings import SCORE
from riskloop.core.settings import Settings
from riskloop.core.types import Finding, Json, Severity
from riskloop.store.artefacts import Artefacts
from riskloop.store.database import Database
from riskloop.store.ledger import Ledger
from riskloop.store.windows import Window, Windows
from riskloop.web import figures, words
from riskloop.web.findings import NOTABLE, Cell, cells, whole, worst_first
from riskloop.web.manifests import manifest
from riskloop.web.queries import window_of, window_page
from riskloop.web.reports import why_none

SHADES: Final = (0.02, 0.05, 0.1)  # of the quiet cells: how much grey a PSI gets
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE)


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One feature in one window."""

    window: int
    value: float | None
    severity: Severity
    fault: bool  # another check calls it broken
    kind: str  # the style sheet's name

    @property
    def says(self) -> str:
        """The colour in words."""
        return "fault" if self.fault else words.SEVERITIES[self.severity].text.lower()


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One feature, or the score, through the windows."""

    subject: str
    importance: float | None
    protected: bool
    cells: list[HeatCell | None]


def drift(
    settings: Settings, windows: Windows, ledger: Ledger, artefacts: Artefacts, size: int, until: int | None
) -> Json:
    """The heat map: features by windows."""
    shown = window_page(windows, size, until)
    importance = manifest(artefacts, ledger, shown.rows[-1].model_version).importance if shown.rows else {}
    return {
        "windows": shown.rows,
        "rows": _heat(settings, windows.database, shown.rows, importance) if shown.rows else [],
        "pages": shown,
        "size": size,
        "settings": settings.drift,
    }


def _heat(
    settings: Settings, database: Database, windows: Sequence[Window], importance: Mapping[str, float]
) -> list[HeatRow]:
    first, last = windows[0].id, windows[-1].id
    known = {(cell.subject, cell.window): cell for cell in cells(database, "psi", first, last)}
    broken = {
        (found.subject, number)
        for number, all_found in whole(database, first, last, severities=[Severity.FAULT]).items()
        for found in all_found
    }
    protected = {name for name, feature in settings.features.items() if feature.protected}
    subjects = sorted({subject for subject, _ in known}, key=lambda s: (s != SCORE, -importance.get(s, 0.0), s))
    return [
        HeatRow(
            subject,
            importance.get(subject),
            subject in protected,
            [_heat_cell(known.get((subject, w.id)), (subject, w.id) in broken) for w in windows],
        )
        for subject in subjects
    ]


def _heat_cell(cell: Cell | None, fault: bool) -> HeatCell | None:
    if cell is None:
        return None
    if fault:
        kind = "fault"
    elif cell.severity in (Severity.OK, Severity.UNKNOWN):
        kind = f"quiet-{sum((cell.statistic or 0.0) >= shade for shade in SHADES)}"
    else:
        kind = cell.severity.value
    return HeatCell(cell.window, cell.statistic, cell.severity, fault, kind)


# --------------------------------------------------------------------------- one feature


def feature(
    settings: Settings,
    windows: Windows,
    ledger: Ledger,
    artefacts: Artefacts,
    subject: str,
    number: int | None,
    size: int,
) -> Json:
    """One feature's, or the score's, distributions then and now, its history, impact and findings."""
    beside = window_page(windows, 1, number)
    if not beside.rows:
        raise NotFound("No window is closed yet, so there is nothing to compare; `riskloop watch` closes them.")
    chosen = beside.rows[0]
    if number is not None and chosen.id != number:
        raise NotFound(f"There is no window {number}; see the drift page.")
    shown = windows.latest(size, chosen.id + size // 2)  # what came after it is seen, too
    by_window = whole(windows.database, shown[0].id, shown[-1].id, subject=subject)
    if not by_window:
        raise NotFound(f"Nothing was found about '{subject}' in {chosen.name}; see the drift page for what there is.")
    here = by_window.get(chosen.id, [])
    psi = _one(here, "psi")
    return {
        "subject": subject,
        "chosen": chosen,
        "beside": beside,
        "psi": psi,
        "impact": _one(here, "impact"),
        "bins": [] if psi is None else _bins(psi),
        "history": [
            (window, _one(by_window.get(window.id, []), "psi"), _one(by_window.get(window.id, []), "impact"))
            for window in reversed(shown)
        ],
        "others": [found for found in worst_first(here) if found.check not in ("psi", "impact")],
        "importance": manifest(artefacts, ledger, chosen.model_version).importance.get(subject),
        "protected": subject in settings.features and settings.features[subject].protected,
        "figures": _feature_figures(shown, chosen, by_window, psi, settings.called(subject, unit=True)),
    }


def _feature_figures(
    windows: Sequence[Window],
    chosen: Window,
    by_window: Mapping[int, Sequence[Finding]],
    psi: Finding | None,
    title: str,
) -> dict[str, Json]:
    drawn = {}
    if psi is not None:
        bins = _bins(psi)
        drawn["distribution"] = figures.distribution(
            [label for label, *_ in bins],
            [then for _, then, _ in bins],
            [now for *_, now in bins],
            ("history", chosen.name),
            title,
        )
    found = [(window.name, _one(by_window.get(window.id, []), "psi")) for window in windows]
    there = [(name, one) for name, one in found if one is not None]
    drawn["through"] = figures.psi_by_window(
        [name for name, _ in there],
        [one.statistic for _, one in there],
        [one.critical for _, one in there],
        [one.severity for _, one in there],
    )
    return drawn


def _one(found: Sequence[Finding], check: str) -> Finding | None:
    return next((finding for finding in found if finding.check == check), None)


def _bins(psi: Finding) -> list[tuple[str, float, float]]:
    """Label, share in the history and share in the window; bins that nobody is in are left out."""
    details = psi.details
    expected, actual = details["expected"], details["actual"]
    m, n = max(1, sum(expected)), max(1, sum(actual))
    counted = zip(details["labels"], expected, actual, strict=True)
    return [(label, then / m, now / n) for label, then, now in counted if then or now]


# --------------------------------------------------------------------------- one window


def window(windows: Windows, settings: Settings, number: int) -> Json:
    """One window: its diagnosis with the evidence on every rung, what it does to the PD, and every finding."""
    row = window_of(windows, number)
    found = windows.findings(number)
    impacts = [f for f in found if f.check == "impact" and f.subject != SCORE and f.details.get("mean_pd")]
    impacts.sort(key=lambda f: -abs(float(f.details["mean_pd"])))
    shown = impacts[:10]
    total = next((f for f in found if f.check == "impact" and f.subject == SCORE), None)
    drawn = {}
    if shown:
        drawn["impact"] = figures.impact(
            [settings.called(f.subject) for f in shown], [f.details["mean_pd"] for f in shown]
        )
    return {
        "window": row,
        "last_day": row.end_time - timedelta(microseconds=1),
        "matures": row.end_time + settings.portfolio.outcome_window,
        "overdue": any(f.check == "outcomes" and f.severity is Severity.UNKNOWN for f in found),
        "rungs": row.rungs,
        "notable": [f for f in worst_first(found) if f.severity in NOTABLE and f.check != "impact"],
        "rest": [f for f in worst_first(found) if f.severity not in NOTABLE and f.check != "impact"],
        "impacts": shown,
        "total": total,
        "beside": window_page(windows, 1, number),
        "no_report": why_none() if row.report is None and any(f.severity in NOTABLE for f in found) else None,
        "figures": drawn,
    }
