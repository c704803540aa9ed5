"""The watch over a new champion: if it does worse than the old one on what matures next, the old one comes back."""

from dataclasses import replace
from datetime import datetime
from typing import Final

import numpy as np

from riskloop.core.types import Floats, Json, Promotion, to_micros
from riskloop.loop.champion import Served, load
from riskloop.loop.observe import matured_frame
from riskloop.promote import ProbationState, judge_probation, settle
from riskloop.promote.probation import on_probation
from riskloop.retrain.dataset import pool, unseen_by
from riskloop.store import audit
from riskloop.store.home import Home

ACTION: Final = "probation"
GROWTH: Final = 1.2  # a further look needs this many times the matured decisions of the last one


def watch(home: Home, now: datetime) -> str:
    """Take one look at a champion on probation; the sentence says what was seen, empty when there is nothing new."""
    promotion = on_probation(home.ledger.promotions())
    if promotion is None or promotion.previous is None:
        return ""
    subject = f"promotion {promotion.seq}"
    looks = audit.about(home.database, ACTION, subject)
    if looks and looks[-1].document["state"] != ProbationState.WATCHING:
        return ""
    until = to_micros(now - home.settings.portfolio.outcome_window)
    matured = home.outcomes.matured(to_micros(promotion.at), until)
    if matured <= (looks[-1].document["matured"] * GROWTH if looks else 0):
        return ""
    labels, new, old = _scores(home, promotion, now)
    spent = float(looks[-1].document["spent"]) if looks else 0.0
    look = judge_probation(labels, new, old, home.settings.probation, spent=spent)
    back = settle(home.ledger, look, promotion, at=now)
    document = {"state": look.state.value, "spent": look.spent, "matured": matured, "sentence": look.sentence}
    with home.database.write() as connection:
        audit.record(connection, at=now, by="riskloop", action=ACTION, subject=subject, document=document)
    if back is not None:
        return f"Rolled back to version {back.version}. {look.sentence}"
    return f"Version {promotion.version} on probation: {look.sentence}"


def _scores(home: Home, promotion: Promotion, now: datetime) -> tuple[Floats, Floats, Floats]:
    """Outcomes since the promotion that neither model was trained on, and both models' probabilities."""
    frame = matured_frame(home, now)
    recent = replace(frame, outcomes=np.where(frame.times >= to_micros(promotion.at), frame.outcomes, np.nan))
    rows = pool(None, recent)
    new, old = load(home, promotion.version), load(home, promotion.previous or promotion.version)
    unseen = unseen_by(_record(new), rows) & unseen_by(_record(old), rows)
    features = rows.rows.features[unseen]
    return rows.labels[unseen], new.scorer.probabilities(features), old.scorer.probabilities(features)


def _record(model: Served) -> Json | None:
    record: Json | None = model.manifest["training"].get("record")
    return record
