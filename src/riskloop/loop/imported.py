"""A model from elsewhere becomes a version of this portfolio: the first champion, or the next challenger."""

import logging
from datetime import datetime, timedelta

from msgspec import to_builtins

from riskloop.core.errors import DataError
from riskloop.core.settings import Settings
from riskloop.core.types import Floats, Json, Rows
from riskloop.data.maturity import lessons
from riskloop.loop.first import promote_first
from riskloop.loop.register import register
from riskloop.store.artefacts import Artefacts
from riskloop.store.history import save_history
from riskloop.store.ledger import Ledger
from riskloop.store.watermark import refuse_future
from riskloop.train.foreign.adopt import CalibrationChoice, adopt, compare_with, read_model
from riskloop.train.foreign.alone import try_alone
from riskloop.train.foreign.card import Closed, PointsScale
from riskloop.train.foreign.source import ForeignFile

log = logging.getLogger("riskloop.train")


def import_model(
    settings: Settings,
    artefacts: Artefacts,
    ledger: Ledger,
    found: ForeignFile,
    rows: Rows,
    *,
    now: datetime,
    by: str,
    scores: Floats | None = None,
    scores_name: str = "",
    calibration: CalibrationChoice = "kept",
    scale: PointsScale | None = None,
    closed: Closed | None = None,
    complete_until: datetime | None = None,
) -> Json:
    """Register the model in a file with the checked ``rows`` of its history.

    ``scores`` (n,) are what the model gave these rows, where the history says it. Raises ArtefactError for a file that
    cannot be read safely or scores otherwise, DataError for a history that does not fit it, GateRefused when a first
    model stays below the floor.
    """
    schema = settings.row_schema
    matrix = schema.model_matrix(rows.features)
    try_alone(found)
    model = read_model(found, schema, matrix, scale, closed)
    agreement, compared_with = compare_with(model, matrix, scores, scores_name)
    refuse_future(complete_until, now + timedelta(days=1), "registered")  # today's date means its end
    learned = lessons(rows, schema, settings.portfolio.outcome_window, settings.train.folds, complete_until)
    if not len(learned.rows):
        raise DataError("The history has no row with an outcome, so the model cannot be measured.")
    stored = save_history(artefacts, learned.rows, schema)
    champion = ledger.champion()
    candidate = adopt(
        found,
        model,
        learned.rows,
        settings,
        agreement=agreement,
        compared_with=compared_with,
        calibration=calibration,
        history=stored,
        immature=learned.immature,
    )
    version = register(
        artefacts, ledger, candidate, learned.rows, origin="import", now=now, by=by, threads=settings.train.threads
    )
    notes = [*model.notes, *learned.sentences, _measured(len(learned.rows), champion is None)]
    for sentence in notes:
        log.info(sentence, extra={"action": "import"})
    imported = to_builtins(candidate.manifest.training.imported)
    return {
        "version": version,
        "learner": candidate.learner,
        **{key: imported[key] for key in ("kind", "source", "sha256", "calibration", "agreement", "compared_with")},
        "reasons": imported["reasons"],
        "metrics": to_builtins(candidate.manifest.metrics),
        "threshold": candidate.manifest.threshold,
        "rows": len(learned.rows),
        "immature": learned.immature,
        "notes": notes,
        "sentence": promote_first(ledger, settings, version, candidate.manifest, now, by, notes),
    }


def _measured(rows: int, first: bool) -> str:
    sentence = (
        f"Its figures come from {rows:,} rows of the history. If it was trained on some of them, they flatter it, and "
        "later windows are held against figures that are too good."
    )
    return sentence if first else f"{sentence} Against the champion only decisions count that neither has seen."
