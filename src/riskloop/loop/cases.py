"""Carries out what the machine of the cases orders: for a window, for a person, after a rollback."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from riskloop.cases import BY_OUTCOMES, LOOP, Case, CaseState, Move, Signal, may, move
from riskloop.cases.windows import Known, Seen, WindowMove, steps
from riskloop.core.errors import Conflict
from riskloop.core.settings import Settings
from riskloop.core.types import Action, Diagnosis, Json
from riskloop.store import audit
from riskloop.store.cases import Cases, move_case, open_case
from riskloop.store.database import Database
from riskloop.store.deliveries import Deliveries
from riskloop.store.deliveries import release as release_deliveries
from riskloop.store.ledger import Ledger
from riskloop.store.windows import Window, Windows, set_quarantine

LATEST = 20  # closed cases that may say that a change was looked into already


def move_one(database: Database, case: Case, step: Move, *, at: datetime, by: str = LOOP) -> Case:
    """Let a case take a step in a transaction of its own."""
    with database.write() as connection:
        return move_case(connection, case, step, at=at, by=by)


def obey(connection: Connection, case: Case, step: Move, order: str, *, at: datetime, by: str) -> Case:
    """Let a case take the step that a person ordered, and put the order on the audit trail."""
    moved = move_case(connection, case, step, at=at, by=by)
    document: Json = {"state": moved.state.value, "sentence": step.sentence}
    audit.record(connection, at=at, by=by, action=order, subject=f"case {case.id}", document=document)
    return moved


def follow_window(
    connection: Connection, settings: Settings, cases: Cases, windows: Windows, window: Window, now: datetime
) -> Window:
    """Open, move or end cases for a diagnosed window, in the transaction that stores it; the window with its case."""
    for step in steps(_seen(window), _known(settings, cases, windows, window)):
        case = _taken(connection, window, step, now)
        if step.joins:
            window = replace(window, case_id=case.id)
    return window


def _taken(connection: Connection, window: Window, step: WindowMove, now: datetime) -> Case:
    if step.case is not None:
        return step.case if step.move is None else move_case(connection, step.case, step.move, at=now)
    if step.move is None:
        raise ValueError("a step without a case opens one, and needs a move")
    return open_case(
        connection,
        step.move,
        at=now,
        diagnosis=window.diagnosis,
        window_id=window.id,
        champion=window.model_version,
    )


def _seen(window: Window) -> Seen:
    return Seen(
        id=window.id,
        name=window.name,
        champion=window.model_version,
        diagnosis=window.diagnosis,
        sentence=window.sentence,
        acts=window.action in {Action.RETRAIN, Action.RECALIBRATE},
        final=window.matured_at is not None,
        case_id=window.case_id,
    )


def _known(settings: Settings, cases: Cases, windows: Windows, window: Window) -> Known:
    found = {case.id: case for case in [*cases.latest(LATEST), *cases.latest(only_open=True)]}
    found |= {case.id: case for case in cases.unresolved()}
    enough, again = settings.drift.among, settings.policy.again
    said = [window.diagnosis, *windows.final_diagnoses(window.model_version, before=window.id, limit=enough)]
    other = (number for number, diagnosis in enumerate(said) if diagnosis is not Diagnosis.STABLE)
    return Known(
        cases=sorted(found.values(), key=lambda case: -case.id),
        closings=windows.closings(again + 1),
        again=again,
        calm=next(other, len(said)),
        enough=enough,
    )


def follow_open_again(connection: Connection, cases: Cases, windows: Windows, window: Window, now: datetime) -> None:
    """End the case of a window whose outcomes are open again, in the transaction that stores it, if it has no other.

    It rests on outcomes that do not count. What is true of it opens another one when they do.
    """
    if window.case_id is None:
        return
    others = (one for one in windows.of_case(window.case_id) if one.id != window.id and one.matured_at is not None)
    case = cases.get(window.case_id)
    if case.diagnosis not in BY_OUTCOMES or not may(case, Signal.OPEN_AGAIN):
        return
    if not any(one.diagnosis in BY_OUTCOMES for one in others):
        sentence = f"The outcomes of {window.name} are open again: the watermark of the feed went back."
        move_case(connection, case, move(case, Signal.OPEN_AGAIN, sentence), at=now)


def release(windows: Windows, deliveries: Deliveries, case: Case, *, by: str, note: str, now: datetime) -> Case:
    """Let the quarantined windows or outcomes of a case be learned from again, on a person's word."""
    kept = [window for window in windows.quarantined() if window.case_id == case.id]
    held = [delivery for delivery in deliveries.of_case(case.id) if delivery.held]
    if not kept and not held:
        raise Conflict(f"Case {case.id} holds no quarantined window and no quarantined outcomes.")
    names = ", ".join([*(window.name for window in kept), *(delivery.name for delivery in held)])
    step = move(case, Signal.RELEASED, f"Released {names}: {note}")
    with windows.database.write() as connection:
        for window in kept:
            set_quarantine(connection, window.id, False)
        release_deliveries(connection, [delivery.id for delivery in held])
        return obey(connection, case, step, "release", at=now, by=by)


def close_fixed(cases: Cases, case: Case, *, by: str, note: str, now: datetime) -> Case:
    """Close a quarantined case whose fault is fixed at its source; its rows stay out of every training."""
    sentence = f"Fixed at source: {note} The quarantined rows stay out until a person releases them."
    with cases.database.write() as connection:
        return obey(connection, case, move(case, Signal.FIXED, sentence), "close", at=now, by=by)


def follow_rollback(ledger: Ledger, cases: Cases, now: datetime) -> list[Case]:
    """Move the case whose challenger the last promotion took back. Can be repeated: a crash in between is caught up."""
    last = ledger.champion()
    if last is None or not last.kind.takes_back or last.previous is None:
        return []
    sentence = f"Version {last.previous} was rolled back. Version {last.version} is champion again: {last.reason}"
    promoted = [case for case in cases.of_challenger(last.previous) if case.state is CaseState.PROMOTED]
    return [
        move_one(
            cases.database, case, move(case, Signal.TAKEN_BACK, sentence, champion=last.version), at=now, by=last.by
        )
        for case in promoted
    ]
