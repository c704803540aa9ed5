"""The report of a model version: how it was made, what it can do, what it did, and what is not on record."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from riskloop.core.numbers import between, number, percent
from riskloop.document import keeping, making, quality, texts
from riskloop.document import windows as over_time
from riskloop.document.parts import (
    Block,
    Paper,
    PaperSection,
)
from riskloop.document.record import ModelRecord, case_of
from riskloop.document.sample import (
    TrainingSample,
)
from riskloop.document.windows import WindowRecord
from riskloop.document.write import day, moment, words
from riskloop.scoring.model import load_model
from riskloop.store.home import Home
from riskloop.store.ledger import served


def model_paper(home: Home, version: int, now: datetime) -> Paper:
    """The development and validation report of a version. NotFound where there is none of that number."""
    row = home.ledger.model(version)
    artefact = home.artefact(version)
    model = load_model(artefact, version)
    chosen = home.windows.of_model(version, over_time.LATEST)
    record = ModelRecord(
        home,
        row,
        artefact,
        model,
        TrainingSample.of(artefact, model),
        WindowRecord.read(home.windows, chosen, home.settings.called),
        case_of(home.cases, row),
        texts.of_version(home.documents, version, SECTIONS.keys()),
    )
    return Paper(
        f"model-{version}",
        f"Model version {version}: development and validation report",
        home.settings.portfolio.name,
        now,
        _card(record),
        tuple(_section(key, record) for key in SECTIONS),
    )


def _section(key: str, record: ModelRecord) -> PaperSection:
    title, write = SECTIONS[key]
    said = record.quoted.get(key)
    return PaperSection(key, title, (*write(record), *(() if said is None else (said,))))


def _card(record: ModelRecord) -> tuple[tuple[str, str], ...]:
    manifest, row = record.manifest, record.row
    history = record.home.ledger.promotions()
    champion = bool(history) and history[-1].version == row.version
    spans = served(history, row.version)
    metrics = manifest.metrics
    serving = "; ".join(f"{day(first)} to {'now' if end is None else day(end)}" for first, end in spans)
    return (
        ("Version", f"{row.version}{', the champion' if champion else ''}"),
        ("Learner", words(manifest.learner)),
        ("Made by", words(manifest.origin) + (f", for case {row.case_id}" if row.case_id is not None else "")),
        ("Registered", moment(row.created_at)),
        ("Served", serving or "never"),
        ("Trained on", f"{number(manifest.training.rows)} rows, {number(manifest.training.defaults)} defaults"),
        ("AUC, cross-validated", f"{number(metrics.auc, 4)} ({between(metrics.auc_low, metrics.auc_high)})"),
        ("Declines from a PD of", percent(manifest.threshold, 2)),
        ("Fingerprint", row.sha256),
    )


SECTIONS: Final[Mapping[str, tuple[str, Callable[[ModelRecord], list[Block]]]]] = {
    "purpose": ("Purpose", making.purpose),
    "data": ("Data, lineage and exclusions", making.data),
    "target": ("Definition of default", making.target),
    "learners": ("Learners that were tried", making.learners),
    "features": ("Features and monotonicity", making.features),
    "discrimination": ("Discrimination", quality.discrimination),
    "calibration": ("Calibration by grade", quality.calibration),
    "stability": ("Stability", quality.stability),
    "concentration": ("Concentration and migration", quality.concentration),
    "sensitivity": ("Sensitivity and stress", quality.sensitivity),
    "fairness": ("Fairness", quality.fairness),
    "limits": ("Limits", keeping.limits),
    "changes": ("Change log", keeping.changes),
    "settings": ("Settings", keeping.settings),
    "people": ("People", keeping.people),
}
