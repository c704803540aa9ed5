"""The one way to change the champion: compare-and-swap, with its evidence, in the ledger's one transaction."""

from datetime import datetime

from riskloop.core.errors import GateRefused, NotFound, PromotionConflict
from riskloop.core.types import Json, Promotion, PromotionKind
from riskloop.store.ledger import Ledger


def promote(
    ledger: Ledger,
    version: int,
    *,
    expected_seq: int,
    kind: PromotionKind,
    at: datetime,
    by: str,
    reason: str,
    fingerprint: str,
    evidence: Json | None = None,
) -> Promotion:
    """Make ``version`` the champion if nobody changed it since ``expected_seq`` (0: there was none).

    ``fingerprint`` names the evidence: of version and report, of the artefact, of a person's word. Idempotent: where
    the promotion after ``expected_seq`` is this one, of the same fingerprint, it is the answer, so a step that crashed
    after its commit can be repeated, also when something else was promoted since. Raises PromotionConflict when
    somebody else was first, NotFound for an unknown version.
    """
    made = _made_before(ledger, version, expected_seq, fingerprint)
    if made is not None:
        return made
    try:
        return ledger.append(
            version,
            expected_seq=expected_seq,
            kind=kind,
            at=at,
            by=by,
            reason=reason,
            evidence={**(evidence or {}), "fingerprint": fingerprint},
        )
    except PromotionConflict:
        # A twin of this call may have come between the look and the swap.
        made = _made_before(ledger, version, expected_seq, fingerprint)
        if made is None:
            raise
        return made


def _made_before(ledger: Ledger, version: int, expected_seq: int, fingerprint: str) -> Promotion | None:
    following = (p for p in ledger.promotions() if p.seq == expected_seq + 1)
    return next((p for p in following if p.version == version and p.evidence.get("fingerprint") == fingerprint), None)


def rollback(
    ledger: Ledger,
    *,
    expected_seq: int,
    at: datetime,
    by: str,
    reason: str,
    kind: PromotionKind = PromotionKind.ROLLBACK,
    evidence: Json | None = None,
) -> Promotion:
    """Put the champion before the one of ``expected_seq`` back.

    Idempotent: repeated after its commit it answers with the rollback that was made. Raises NotFound when there is
    nothing to roll back, GateRefused when there was no other champion before, PromotionConflict when somebody else
    promoted meanwhile.
    """
    last = ledger.champion()
    if last is None:
        raise NotFound("There is no champion to roll back; train a first model with `riskloop train`.")
    if last.seq == expected_seq + 1 and last.kind is kind and last.evidence.get("rolls_back") == expected_seq:
        return last
    if last.seq == expected_seq and last.previous is None:
        raise GateRefused(f"Version {last.version} is the first champion; there is no earlier one to roll back to.")
    previous = last.previous if last.previous is not None else last.version
    return ledger.append(
        previous,
        expected_seq=expected_seq,
        kind=kind,
        at=at,
        by=by,
        reason=reason,
        evidence={**(evidence or {}), "rolls_back": expected_seq},
    )
