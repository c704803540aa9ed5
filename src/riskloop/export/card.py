"""A scorecard as a table: what people print, and what a decision engine loads.

Points are scaled as the trade does (Siddiqi, Intelligent Credit Scoring, 2017, chapter 10): a score of ``base`` stands
for odds of ``odds`` good customers to one bad, and ``double`` points more for twice these odds. The intercept and the
calibration are spread over the features, so that the points of a customer's bins simply add up.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

from riskloop.core.errors import ConfigError
from riskloop.core.scaling import Scaling
from riskloop.core.schema import Feature
from riskloop.export.plain import PlainModel


@dataclass(frozen=True, slots=True)
class CardRow:
    """One bin of one feature."""

    feature: str
    above: float | None  # numbers: more than this; None: no limit
    up_to: float | None  # … and at most this
    level: str | None  # a category's level, a special code, or "missing"
    log_odds: float  # of default before calibration
    points: float  # scaled
    rounded: int


def scorecard_rows(model: PlainModel, scaling: Scaling | None = None) -> list[CardRow]:
    """The bins in the order of the features. Raises ConfigError when the version is no scorecard."""
    card, scale = card_of(model), scaling or Scaling()
    features = card["features"]
    a, b = model.manifest.calibration.a, model.manifest.calibration.b
    shared = (scale.score(a + b * float(card["intercept"]))) / len(features)
    known = {feature.name: feature for feature in model.features}
    rows = []
    for name, entry in zip(model.columns, features, strict=True):
        for above, up_to, level, odds in _bins(entry, known.get(name)):
            points = shared - scale.factor * b * odds
            rows.append(CardRow(name, above, up_to, level, odds, points, round(points)))
    return rows


def card_of(model: PlainModel) -> Any:
    if model.card is None:
        raise ConfigError(
            f"Version {model.version} ({model.manifest.learner}) is no scorecard; `riskloop models list` names the "
            "learners, and `riskloop export python` writes any built-in model."
        )
    return model.card


def _bins(entry: Any, feature: Feature | None) -> Iterator[tuple[float | None, float | None, str | None, float]]:
    bounds, points = entry["bounds"], entry["points"]
    if feature is not None and feature.kind == "category":
        for code, level in enumerate(feature.categories):
            yield None, None, level, points[sum(code > bound for bound in bounds)]
    else:
        for above, up_to, odds in zip([None, *bounds], [*bounds, None], points, strict=True):
            yield above, up_to, None, odds
    for code, odds in entry.get("special", ()):
        yield None, None, f"{code:g}", odds
    yield None, None, "missing", entry["missing"]


def write_scorecard(rows: Sequence[CardRow], scaling: Scaling, path: Path) -> None:
    """A CSV or, by its name, an Excel workbook. Raises ConfigError for another kind of file."""
    head = [field.name for field in fields(CardRow)]
    cells = [astuple(row) for row in rows]
    if path.suffix == ".csv":
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(["" if value is None else value for value in row] for row in cells)
        path.write_text(text.getvalue(), encoding="utf-8")
        return
    if path.suffix != ".xlsx":
        raise ConfigError(f"{path.name} is neither .csv nor .xlsx; a scorecard is written as one of them.")
    try:
        from openpyxl import Workbook
        from openpyxl.styles import Font
    except ImportError:
        raise ConfigError("Workbooks need an extra: pip install 'riskloop[excel]'. A .csv does not.") from None
    book = Workbook()
    sheet = book.active
    sheet.title = "Scorecard"
    sheet.append(head)
    for row in cells:
        sheet.append(list(row))
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    sheet.column_dimensions["A"].width = max(12, *(len(row.feature) + 2 for row in rows))
    notes = book.create_sheet("Scaling")
    for name, value in (
        ("base score", scaling.base),
        ("odds at it", scaling.odds),
        ("points to double", scaling.double),
    ):
        notes.append([name, value])
    notes.append(["a customer's score", "the sum of the points of one bin of each feature"])
    for cells_of in (*sheet.iter_rows(), *notes.iter_rows()):
        for cell in cells_of:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # text of the data is no formula
    book.save(path)
