"""What persons order about the champion: a promotion by the gate or by force, and a rollback."""

from datetime import datetime
from typing import Final

from riskloop.core.errors import Conflict, GateRefused
from riskloop.core.settings import Settings
from riskloop.core.types import GateReport, Json, Promotion, PromotionKind, Verdict
from riskloop.gate.approval import evidence_fingerprint, require_person
from riskloop.gate.budget import tried
from riskloop.gate.verdict import sentences
from riskloop.loop.cases import follow_rollback
from riskloop.loop.challenge import compare
from riskloop.loop.challenger_file import PastReport
from riskloop.loop.four_eyes import require_another
from riskloop.promote import promote, rollback
from riskloop.store import audit
from riskloop.store.cases import Cases
from riskloop.store.database import Database
from riskloop.store.documents import plain
from riskloop.store.home import Home
from riskloop.store.ledger import Ledger
from riskloop.store.tries import record_try, tries_against

_ASKED: Final = {"approval": "outside_plan"}  # whoever asks for a promotion is the person that `always` wants


def promote_on_request(home: Home, version: int, *, by: str, reason: str, force: bool, now: datetime) -> Promotion:
    """Make a version champion if the gate says so on matured decisions, or with ``force`` on a person's word.

    Where every promotion needs a person (`gate.approval`), who asks is that person. Raises Conflict when it is
    champion already, GateRefused when the gate does not say so, this person may not, or
    there is nothing to compare it with.
    """
    champion = home.ledger.champion()
    if champion is None:
        parts = home.ledger, home.cases, home.settings
        return _first_on_request(*parts, version, by=by, reason=reason, force=force, now=now)
    if champion.version == version:
        raise Conflict(f"Version {version} is champion already.")
    always = home.settings.gate.approval == "always"
    if always:
        require_person(by, f"The promotion of version {version}")
    if (force or always) and home.settings.gate.four_eyes:
        require_another(home.ledger, home.cases, version, by=by)
    kind, evidence, fingerprint = PromotionKind.FORCED, {}, f"{by}: {reason}"
    if not force:
        report = compare(home, champion.version, version, now, home.settings.gate.model_copy(update=_ASKED))
        _record_try(home.database, report, champion.version, version, by, now)
        if report.verdict is not Verdict.PROMOTE:
            raise GateRefused(f"{report.sentence} To decide without the gate, use --force with a --reason.")
        kind = PromotionKind.APPROVED if always else PromotionKind.GATE
        evidence = document(report, champion.version, version)
        fingerprint = evidence_fingerprint(report, version)
    return promote(
        home.ledger,
        version,
        expected_seq=champion.seq,
        kind=kind,
        at=now,
        by=by,
        reason=reason,
        evidence=evidence,
        fingerprint=fingerprint,
    )


def _first_on_request(
    ledger: Ledger, cases: Cases, settings: Settings, version: int, *, by: str, reason: str, force: bool, now: datetime
) -> Promotion:
    """The first champion on a person's word, where its training did not make it one."""
    if not force:
        raise GateRefused(
            f"There is no champion yet that version {version} could be compared with. To make it the first one on your "
            "own word, use --force with a --reason."
        )
    if settings.gate.approval == "always":
        require_person(by, f"The promotion of version {version}")
    if settings.gate.four_eyes:
        require_another(ledger, cases, version, by=by)
    return promote(
        ledger,
        version,
        expected_seq=0,
        kind=PromotionKind.FORCED,
        at=now,
        by=by,
        reason=reason,
        fingerprint=f"{by}: {reason}",
    )


def paid(database: Database, report: GateReport, champion: int, challenger: int, *, by: str, now: datetime) -> Json:
    """A person's comparison of two versions on decisions that are new to both, and what it cost of the alpha budget.

    It is a test as the loop's own, and is paid for as they are: who looks until luck says yes would find it.
    """
    told, spent = document(report, champion, challenger), _record_try(database, report, champion, challenger, by, now)
    return {**told, "spent": spent, "sentences": [*told["sentences"], spent]}


def shown(found: PastReport, challenger: int) -> Json:
    """The report that the gate made of a challenger, as a comparison: to show it costs nothing."""
    told = document(found.judged.report, found.judged.champion, challenger)
    spent = f"This is the gate's report of {found.at:%Y-%m-%d} for case {found.case}. To show it costs nothing."
    return {**told, "spent": spent, "sentences": [*told["sentences"], spent]}


def document(report: GateReport, champion: int, challenger: int) -> Json:
    """A report with the versions that it is about, as plain JSON."""
    return {**plain(report), "champion": champion, "challenger": challenger, "sentences": sentences(report)}


def _record_try(database: Database, report: GateReport, champion: int, version: int, by: str, now: datetime) -> str:
    """Asking the gate spends alpha as the loop's own tries do, else one would ask until luck says yes; what it cost."""
    spent = tried(report, champion, now)
    known = spent is not None and any(t.evidence == spent.evidence for t in tries_against(database, champion))
    with database.write() as connection:
        if spent is not None:
            record_try(connection, spent, challenger=version, by=by)
        about: Json = {"champion": champion, "report": plain(report)}
        audit.record(connection, at=now, by=by, action="gate", subject=f"model {version}", document=about)
    if spent is None:
        return "Nothing was tested, so this look costs nothing of the alpha budget."
    if known:
        return "These very decisions were tested before, so this look costs nothing more of the alpha budget."
    return f"This test spends {spent.alpha:.4f} of the alpha budget against version {champion}, as the gate's own do."


def roll_back(ledger: Ledger, cases: Cases, *, by: str, reason: str, seq: int, now: datetime) -> Promotion:
    """Put the champion before the present one back, and move its case.

    ``seq`` is the promotion that the person has seen; PromotionConflict when it is not the last one any more.
    """
    made = rollback(ledger, expected_seq=seq, at=now, by=by, reason=reason)
    follow_rollback(ledger, cases, now)
    return made
