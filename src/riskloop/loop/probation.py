"""The watch over a new champion: if it does worse than the old one on what comes next, the old one comes back."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import numpy as np

from riskloop.core.manifest import TrainingRecord
from riskloop.core.span import Span
from riskloop.core.stats import density_ratio_weights, weighted_auc_gain
from riskloop.core.types import DecisionFrame, Floats, Ints, Promotion, to_micros
from riskloop.loop import snapshot
from riskloop.loop.champion import ReferenceModel, load
from riskloop.loop.evidence import kept
from riskloop.promote import ProbationState, judge_probation, settle
from riskloop.promote.probation import Estimated, on_probation
from riskloop.retrain.dataset import pool, unseen_by
from riskloop.store import audit, documents
from riskloop.store.artefacts import Artefacts
from riskloop.store.decisions import DecisionLog
from riskloop.store.home import Home
from riskloop.store.probations import Watched, remember, watched

ACTION: Final = "probation"
GROWTH: Final = 1.2  # a further look at outcomes needs this many times the matured ones of the last
ESTIMATED_GROWTH: Final = 1.5  # and one at estimates so many times the decisions: it takes a second, and says less
LEAST: Final = 500  # decisions, and effective tested rows, from which an estimate means something
MOST: Final = 10_000  # of the newest decisions, that an estimate compares with
SOURCE: Final = "paired AUC of the gate's rows, density-weighted to the present (after PAPE, arXiv 2401.08348)"

Scores = tuple[Floats, Floats, Floats, Ints]  # outcomes, both models' PDs, customers
NONE: Final[Scores] = (np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))


def watch(home: Home, now: datetime, clock: Callable[[], datetime]) -> str:
    """Take one look at a champion on probation; the sentence says what was seen, empty when there is nothing new.

    Before outcomes mature, the gate's own rows are weighted to look like the decisions since: customers have changed
    again, if the new champion is worse for them. Matured outcomes need no such assumption, and decide. A rollback is
    dated by the ``clock``.
    """
    promotion = on_probation(home.ledger.promotions())
    if promotion is None or promotion.previous is None:
        return ""
    last = watched(home.database, promotion.seq) or Watched(
        promotion.seq, ProbationState.WATCHING, spent=0.0, matured=0, decisions=0, at=now, sentence=""
    )
    if last.state != ProbationState.WATCHING:
        return ""
    start = to_micros(promotion.at)
    frame = snapshot.read(home.decisions, snapshot.take(home.feed, home.windows, now, start), start=start)
    matured = int(np.count_nonzero(~np.isnan(frame.outcomes)))
    outcomes_grew = matured > GROWTH * last.matured
    decisions_grew = len(frame) > ESTIMATED_GROWTH * last.decisions
    if not (outcomes_grew or decisions_grew):
        return ""
    new, old = load(home, promotion.version), load(home, promotion.previous)
    # Without new outcomes no look is taken at the old ones: it would spend alpha on what was seen.
    labels, ours, theirs, customers = _scores(frame, new, old) if outcomes_grew else NONE
    estimated = _estimate(home.artefacts, home.decisions, promotion, frame, new) if decisions_grew else None
    look = judge_probation(
        labels,
        ours,
        theirs,
        home.settings.probation,
        customers=customers,
        spent=last.spent,
        estimated=estimated,
    )
    back = settle(home.ledger, look, promotion, at=clock())
    seen = Watched(
        seq=promotion.seq,
        state=look.state.value,
        spent=look.spent,
        matured=matured if outcomes_grew else last.matured,
        decisions=len(frame) if decisions_grew else last.decisions,
        at=now,
        sentence=look.sentence,
    )
    with home.database.write() as connection:
        remember(connection, seen)
        document = {**documents.plain(seen), "at": now.isoformat(), "checks": [c.sentence for c in look.checks]}
        subject = f"promotion {promotion.seq}"
        audit.record(connection, at=now, by="riskloop", action=ACTION, subject=subject, document=document)
    if back is not None:
        return f"Rolled back to version {back.version}. {look.sentence}"
    return f"Version {promotion.version} on probation: {look.sentence}"


def _scores(frame: DecisionFrame, new: ReferenceModel, old: ReferenceModel) -> Scores:
    """Matured outcomes that neither model was trained on, both models' probabilities, and the customers."""
    if np.isnan(frame.outcomes).all():
        return NONE
    rows = pool(None, frame)
    unseen = unseen_by(_record(new), rows) & unseen_by(_record(old), rows)
    features = rows.rows.features[unseen]
    scores = [champion.model.probabilities(features) for champion in (new, old)]
    return rows.labels[unseen], scores[0], scores[1], rows.customers[unseen]


def _estimate(
    artefacts: Artefacts, decisions: DecisionLog, promotion: Promotion, frame: DecisionFrame, new: ReferenceModel
) -> Estimated | None:
    """How the two models compare on customers like those of now; None where the gate's rows cannot tell."""
    name = promotion.evidence.get("evaluation")
    if name is None or len(frame) < LEAST:
        return None
    tested = kept(artefacts, name)
    log = decisions.frame(Span(int(tested.decisions.min()), int(tested.decisions.max())))
    inputs = list(new.model.schema.model_columns)
    there = np.isin(tested.decisions, log.ids)  # those that are not erased
    then = log.features[np.searchsorted(log.ids, tested.decisions[there])][:, inputs]
    if len(then) < LEAST:
        return None
    ratio = density_ratio_weights(then, frame.features[-MOST:, inputs])
    if ratio.effective_m < LEAST:
        return None
    columns = (tested.labels, tested.champion, tested.challenger)
    labels, champion, challenger = (column[there] for column in columns)
    gain = weighted_auc_gain(labels, champion, challenger, ratio.weights, tested.blocks[there])
    return Estimated(gain.difference, gain.std_error, SOURCE)


def _record(model: ReferenceModel) -> TrainingRecord | None:
    return model.manifest.training.record
