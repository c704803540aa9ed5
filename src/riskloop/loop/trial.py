"""A case's challenger on trial: it is trained and judged, and what the gate or a person says of it is done."""

import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from riskloop.cases import LOOP, OF_VERDICT, Case, CaseState, Signal, Task, events, move
from riskloop.core.errors import ConfigError, DataError, GateRefused, PromotionConflict
from riskloop.core.types import PromotionKind
from riskloop.gate.approval import Approval, approve, evidence_fingerprint
from riskloop.gate.budget import tried
from riskloop.loop import snapshot
from riskloop.loop.cases import move_one, obey
from riskloop.loop.challenge import challenge, since
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.trainer import Tick
from riskloop.promote import promote
from riskloop.store.cases import Cases, move_case
from riskloop.store.database import Database
from riskloop.store.documents import plain
from riskloop.store.home import Home
from riskloop.store.ledger import Ledger
from riskloop.store.tries import record_try

Say = Callable[[str], None]
SHORT = 8  # characters of a fingerprint that are enough to name it


def train(home: Home, case: Case, champion: ReferenceModel, now: datetime, say: Say, tick: Tick) -> Case | None:
    """Train and judge a challenger for a confirmed case, or wait for outcomes; None when there is nothing new.

    A case that waits costs one count until enough has matured for another try. That depends on no outcome: to look
    again when the scores look good would spend more of the alpha budget than is on record.
    """
    matured = snapshot.count_matured(
        home.outcomes,
        snapshot.take_judged(home.feed, home.windows, now),
        since(home.windows, home.cases, case, home.settings.policy.again) or 0,
    )
    if case.state is CaseState.WAITING and matured < (case.wait_for or 0):
        return None
    try:
        version, judged = challenge(home, case, champion, matured, now, say, tick)
    except ConfigError as waiting:
        # Until a person has changed the settings: said once, and tried again by every cycle.
        if case.sentence == waiting.message:
            return None
        waits = events.Waits(matured, matured)
        return move_one(
            home.database, case, move(case, Signal.TOO_FEW, waiting.message, waits, wait_for=matured), at=now
        )
    except DataError as waiting:
        gate = home.settings.gate
        following = max(math.ceil(matured * gate.retry_growth), matured + gate.min_defaults)
        waits = events.Waits(matured, following)
        return move_one(
            home.database, case, move(case, Signal.TOO_FEW, waiting.message, waits, wait_for=following), at=now
        )
    return _judged(home.database, case, version, judged, now)


def _judged(database: Database, case: Case, version: int, judged: events.Judged, now: datetime) -> Case:
    """Keep what the gate said of a challenger, and what the test cost."""
    step = move(
        case,
        Signal.JUDGED,
        f"Version {version} was trained and judged. {judged.report.sentence}",
        judged,
        challenger=version,
        tries=case.tries + 1,
        champion=judged.champion,
        learned=judged.matured,
        wait_for=judged.next,
    )
    spent = tried(judged.report, judged.champion, now)
    with database.write() as connection:
        if spent is not None:
            record_try(connection, spent, challenger=version, by=LOOP, case_id=case.id)
        return move_case(connection, case, step, at=now)


def follow_verdict(ledger: Ledger, cases: Cases, case: Case, now: datetime) -> Case:
    """Do what the gate said about a trained challenger; can be repeated."""
    judged = _last(cases, case)
    signal = OF_VERDICT[judged.report.verdict]
    said: events.Event = events.Note()
    if signal is Signal.UNDECIDED:
        said = events.Waits(judged.matured, judged.next)
    elif signal is Signal.OUTSIDE:
        said = events.Asks(judged.fingerprint)
    step = move(case, signal, judged.report.sentence, said)
    if step.task is Task.PROMOTE:
        return _promoted(ledger, case, judged, signal, PromotionKind.GATE, LOOP, judged.report.sentence, now)
    return move_one(cases.database, case, step, at=now)


def approve_challenger(
    ledger: Ledger, cases: Cases, case: Case, *, by: str, note: str, now: datetime, evidence: str | None = None
) -> Case:
    """A named person approves a challenger that waits for one.

    ``evidence`` is the fingerprint of the report that the person read (or its beginning); None: the case's report as
    it is now. Raises GateRefused when it is that of another report, Conflict when the case asks nobody.
    """
    move(case, Signal.APPROVED, "")  # refused at once where there is nothing to approve
    judged = _last(cases, case)
    version = _challenger(case)
    fingerprint = evidence_fingerprint(judged.report, version)
    read = fingerprint if evidence is None or _begins(fingerprint, evidence) else evidence
    approval = Approval(version, read, by, now, note)
    approve(judged.report, approval)
    kind, reason = PromotionKind.APPROVED, f"Approved: {note}"
    return _promoted(ledger, case, judged, Signal.APPROVED, kind, by, reason, now, approval)


def reject_challenger(database: Database, case: Case, *, by: str, note: str, now: datetime) -> Case:
    """A named person rejects a challenger that waits for one."""
    with database.write() as connection:
        return obey(connection, case, move(case, Signal.REJECTED, f"Rejected: {note}"), "reject", at=now, by=by)


def _promoted(
    ledger: Ledger,
    case: Case,
    judged: events.Judged,
    signal: Signal,
    kind: PromotionKind,
    by: str,
    reason: str,
    now: datetime,
    approval: Approval | None = None,
) -> Case:
    """Make a case's challenger the champion, against the very champion that it was judged with."""
    version = _challenger(case)
    evidence = {"case": case.id, "report": plain(judged.report), "evaluation": judged.evaluation}
    if approval is not None:
        evidence["approval"] = {**asdict(approval), "at": approval.at.isoformat()}
    try:
        promote(
            ledger,
            version,
            expected_seq=judged.seq,
            kind=kind,
            at=now,
            by=by,
            reason=reason,
            evidence=evidence,
            fingerprint=evidence_fingerprint(judged.report, version),
        )
    except PromotionConflict as conflict:
        again = move(case, Signal.OVERTAKEN, conflict.message, events.Waits(0, 0), wait_for=0)
        return move_one(ledger.database, case, again, at=now, by=by)
    why = "The gate promoted it." if kind is PromotionKind.GATE else reason
    return move_one(
        ledger.database, case, move(case, signal, f"Version {version} became champion. {why}"), at=now, by=by
    )


def _last(cases: Cases, case: Case) -> events.Judged:
    judged = cases.judged(case.id)
    if judged is None:
        raise GateRefused(f"Case {case.id} has no report of the gate yet.")
    return judged


def _challenger(case: Case) -> int:
    if case.challenger is None:
        raise GateRefused(f"Case {case.id} has no challenger.")
    return case.challenger


def _begins(fingerprint: str, given: str) -> bool:
    return len(given) >= SHORT and fingerprint.startswith(given)
