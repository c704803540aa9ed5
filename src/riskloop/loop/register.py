"""From a fitted candidate to a numbered version: compared as it would be loaded, then written, then numbered."""

from datetime import datetime

from riskloop.core.types import Rows
from riskloop.scoring.model import check_agreement, load_model
from riskloop.store.artefacts import Artefacts
from riskloop.store.ledger import Ledger
from riskloop.train.candidate import Candidate


def register(
    artefacts: Artefacts,
    ledger: Ledger,
    candidate: Candidate,
    rows: Rows,
    *,
    origin: str,
    now: datetime,
    parent: int | None = None,
    case_id: int | None = None,
    by: str = "riskloop",
    threads: int = 0,
) -> int:
    """Store and number a candidate; the same one for the same case keeps its number.

    What will score in production is loaded from the bytes to be written and must agree with the fitted scikit-learn
    object on every training row. Raises ArtefactError when it does not; then nothing is written, and a version that
    has the same bytes already keeps its files. ``threads`` as of `load_model`.
    """
    ready = artefacts.prepare(candidate.manifest, candidate.files)
    check_agreement(load_model(ready, 0, threads=threads), candidate, rows.features)
    artefact = artefacts.write(candidate.manifest, candidate.files)
    return ledger.register(
        created_at=now,
        learner=candidate.learner,
        artefact=artefact.name,
        sha256=artefact.sha256,
        origin=origin,
        auc=candidate.manifest.metrics.auc,
        parent=parent,
        case_id=case_id,
        by=by,
    )
