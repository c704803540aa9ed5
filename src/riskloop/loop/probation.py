"""The watch over a new champion: if it does worse than the old one on what comes next, the old one comes back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from riskloop.core.manifest import TrainingRecord
from riskloop.core.stats import customer_codes, density_ratio_weights, weighted_auc_gain
from riskloop.core.types import DecisionFrame, Floats, Ints, Promotion, to_micros
from riskloop.loop import snapshot
from riskloop.loop.challenge import since as since_of
from riskloop.loop.champion import ReferenceModel, load
from riskloop.loop.evidence import Tested, kept
from riskloop.promote import ProbationState, judge_probation, settle
from riskloop.promote.probation import Earlier, Estimated, on_probation
from riskloop.retrain.dataset import unseen_sources
from riskloop.store import audit, documents
from riskloop.store.database import Database
from riskloop.store.home import Home
from riskloop.store.probations import Watched, remember, watched

ACTION: Final = "probation"
GROWTH: Final = 1.2  # a further look at outcomes needs this many times the matured ones of the last
ESTIMATED_GROWTH: Final = 1.5  # and one at estimates so many times the decisions: it takes a second, and says less
LEAST: Final = 500  # decisions, and effective tested rows, from which an estimate means something
MOST: Final = 10_000  # of the newest decisions, that an estimate compares with
SOURCE: Final = "paired AUC of the gate's rows, density-weighted to the present (after PAPE, arXiv 2401.08348)"


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
    if not ProbationState(last.state).goes_on:
        return ""
    new, old = load(home, promotion.version), load(home, promotion.previous)
    if lacking := old.model.schema.lacking(new.model.schema):
        return _not_comparable(home.database, promotion, lacking, now)
    evidence = _gathered(home, promotion, new, old, now)
    outcomes_grew = evidence.new.size > GROWTH * last.matured
    decisions_grew = evidence.later.size > ESTIMATED_GROWTH * last.decisions
    if not (outcomes_grew or decisions_grew):
        return ""
    # Without new outcomes no look is taken at the old ones: it would spend alpha on what was seen.
    rows = evidence.new if outcomes_grew else evidence.new[:0]
    labels, ours, theirs = evidence.scores(rows, new, old)
    look = judge_probation(
        labels,
        ours,
        theirs,
        home.settings.probation,
        customers=evidence.customers[rows],
        spent=last.spent,
        harmed=last.state == ProbationState.OUTWEIGHED,
        earlier=evidence.earlier(new),
        estimated=_estimate(evidence, new) if decisions_grew else None,
    )
    back = settle(home.ledger, look, promotion, at=clock())
    seen = Watched(
        seq=promotion.seq,
        state=look.state.value,
        spent=look.spent,
        matured=evidence.new.size if outcomes_grew else last.matured,
        decisions=evidence.later.size if decisions_grew else last.decisions,
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


def _not_comparable(database: Database, promotion: Promotion, lacking: Sequence[str], now: datetime) -> str:
    """End the watch, and say so: what the new champion's decisions are made on does not tell what the old one reads."""
    names = ", ".join(f"'{name}'" for name in lacking)
    sentence = (
        f"It cannot be held against version {promotion.previous}, which reads {names} otherwise or as well: nobody "
        "watches whether it does worse."
    )
    seen = Watched(promotion.seq, ProbationState.PASSED.value, 0.0, 0, 0, now, sentence)
    with database.write() as connection:
        remember(connection, seen)
        document = {**documents.plain(seen), "at": now.isoformat(), "checks": [sentence]}
        audit.record(
            connection, at=now, by="riskloop", action=ACTION, subject=f"promotion {promotion.seq}", document=document
        )
    return f"Version {promotion.version} is not on probation. {sentence}"


@dataclass(frozen=True)
class SinceChange:
    """The decisions since the change that a champion was made for, and what each of them can say of it."""

    frame: DecisionFrame
    customers: Ints  # (n,) of the frame
    new: Ints  # positions: outcomes that the gate did not know, and that neither model was trained on
    later: Ints  # positions: decided since the promotion, with an outcome or without
    tested: Ints  # positions: the gate's rows …
    before: Tested | None  # … and the scores that it saw, in the same order; None: nobody asked the gate

    def scores(self, rows: Ints, new: ReferenceModel, old: ReferenceModel) -> tuple[Floats, Floats, Floats]:
        """Outcomes and both models' probabilities of the frame's ``rows``."""
        features = self.frame.features[rows]
        if not rows.size:
            return np.empty(0), np.empty(0), np.empty(0)
        then = old.model.schema.recoded(features, new.model.schema)
        return self.frame.outcomes[rows], new.model.probabilities(features), old.model.probabilities(then)

    def earlier(self, new: ReferenceModel) -> Earlier | None:
        """What made the case for the new champion. A recalibrated one follows the level of the moment, which may be
        over, so that only what came since counts."""
        if self.before is None or new.manifest.origin == "recalibrate":
            return None
        before = self.before
        return Earlier(before.labels, before.challenger, before.champion, before.blocks, self.customers[self.tested])


def _gathered(home: Home, promotion: Promotion, new: ReferenceModel, old: ReferenceModel, now: datetime) -> SinceChange:
    """What is known since the change.

    Outcomes of customers who came before the promotion are new evidence, too, if nobody knew them then: a month of
    them is still to come when a champion changes.
    """
    start = to_micros(promotion.at)
    name = promotion.evidence.get("evaluation")
    case = home.cases.get(promotion.evidence["case"]) if name is not None else None
    begun = None if case is None else since_of(home.windows, home.cases, case, home.settings.policy.again)
    since = start if begun is None else min(start, begun)
    taken = snapshot.take(home.feed, home.windows, now, since)
    frame = snapshot.read(home.decisions, taken, new.model.schema, start=since)
    before = None if name is None else kept(home.artefacts, name)
    there = np.empty(0, dtype=np.int64)
    if before is not None:
        still = np.flatnonzero(np.isin(before.decisions, frame.ids))  # not erased, nor quarantined since
        there, before = np.searchsorted(frame.ids, before.decisions[still]), before.take(still)
    unseen = unseen_sources(_record(new), frame.ids) & unseen_sources(_record(old), frame.ids)
    unseen[there] = False
    known = ~np.isnan(frame.outcomes)
    return SinceChange(
        frame,
        customer_codes(frame.customer_ids),
        np.flatnonzero(unseen & known),
        np.flatnonzero(frame.times >= start),
        there,
        before,
    )


def _estimate(evidence: SinceChange, new: ReferenceModel) -> Estimated | None:
    """How the two models compare on customers like those of now; None where the gate's rows cannot tell."""
    if evidence.before is None or min(evidence.later.size, evidence.tested.size) < LEAST:
        return None
    features, inputs = evidence.frame.features, list(new.model.schema.model_columns)
    then, now = features[evidence.tested][:, inputs], features[evidence.later[-MOST:]][:, inputs]
    ratio = density_ratio_weights(then, now)
    if ratio.effective_m < LEAST:
        return None
    tested = evidence.before
    gain = weighted_auc_gain(tested.labels, tested.champion, tested.challenger, ratio.weights, tested.blocks)
    return Estimated(gain.difference, gain.std_error, SOURCE)


def _record(model: ReferenceModel) -> TrainingRecord | None:
    return model.manifest.training.record
