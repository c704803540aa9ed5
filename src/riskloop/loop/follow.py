"""Cases: how a window's diagnosis opens, moves and ends them, and what becomes of a challenger."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from riskloop.core.errors import Conflict, DataError, GateRefused, PromotionConflict
from riskloop.core.types import Action, Diagnosis, GateReport, PromotionKind, Verdict, to_micros
from riskloop.decide.policy import renews
from riskloop.gate.approval import Approval, approve, evidence_fingerprint
from riskloop.gate.verdict import sentences
from riskloop.loop import snapshot
from riskloop.loop.challenge import challenge, since
from riskloop.loop.champion import Served
from riskloop.loop.trainer import Tick
from riskloop.monitor.performance import ranks_worse
from riskloop.promote import promote
from riskloop.store import audit, documents
from riskloop.store.cases import Case, CaseState, open_case
from riskloop.store.cases import advance as move_in
from riskloop.store.home import Home
from riskloop.store.windows import Window, set_quarantine

Say = Callable[[str], None]

# A case whose windows say more than they did takes over the stronger diagnosis.
RANK: Final = (Diagnosis.STABLE, Diagnosis.COVARIATE_SHIFT, Diagnosis.PRIOR_SHIFT, Diagnosis.CONCEPT_DRIFT)
SHORT: Final = 8  # characters of a fingerprint that are enough to name it
RENEWAL: Final = "renewal"  # audit events: a look at whether a refused concept still costs AUC
UNDECIDED: Final = frozenset({CaseState.WATCHING, CaseState.CONFIRMED, CaseState.WAITING})


def follow_up(connection: Connection, home: Home, window: Window, now: datetime) -> Window:
    """Open, move or end cases for a diagnosed window, in the transaction that stores it."""
    if window.diagnosis is Diagnosis.NOT_ENOUGH_DATA:
        return window
    open_ones = home.cases.latest(only_open=True)
    fault = next((case for case in open_ones if case.state is CaseState.QUARANTINED), None)
    change = next((case for case in open_ones if case.state is not CaseState.QUARANTINED), None)
    if window.diagnosis is Diagnosis.DATA_FAULT:
        if window.case_id is not None and window.matured_at is not None:
            return window  # its case was opened when it closed; final outcomes say nothing new about a fault
        return _quarantine(connection, window, fault, now)
    if fault is not None and window.matured_at is None:
        sentence = (
            f"The feed is sound again in {window.name}. The quarantined rows stay out until a person releases them."
        )
        move_in(connection, fault, CaseState.ENDED, sentence, at=now)
    return _change(connection, home, window, change, now)


def _quarantine(connection: Connection, window: Window, fault: Case | None, now: datetime) -> Window:
    if fault is None:
        fault = open_case(
            connection,
            at=now,
            state=CaseState.QUARANTINED,
            diagnosis=window.diagnosis,
            window_id=window.id,
            sentence=f"{window.name} is quarantined. {window.sentence}",
        )
    elif fault.window_id != window.id:
        fault = move_in(connection, fault, fault.state, f"Still so in {window.name}. {window.sentence}", at=now)
    return replace(window, case_id=fault.id)


def _change(connection: Connection, home: Home, window: Window, case: Case | None, now: datetime) -> Window:
    acts = window.action in {Action.RETRAIN, Action.RECALIBRATE}
    calm = window.diagnosis is Diagnosis.STABLE and not acts
    if case is None:
        if calm or _refused(home, window):
            return window
        state = CaseState.CONFIRMED if acts else CaseState.WATCHING
        case = open_case(
            connection, at=now, state=state, diagnosis=window.diagnosis, window_id=window.id, sentence=window.sentence
        )
    elif case.state is CaseState.WATCHING and calm and _contradicts(window, case):
        move_in(connection, case, CaseState.ENDED, f"It went away: {window.name} is stable.", at=now)
        return window
    elif calm or case.state not in UNDECIDED:
        return window
    else:
        state = CaseState.CONFIRMED if acts and case.state is CaseState.WATCHING else case.state
        stronger = RANK.index(window.diagnosis) > RANK.index(case.diagnosis)
        if state is not case.state or stronger:
            diagnosis = window.diagnosis if stronger else case.diagnosis
            sentence = f"{window.name}: {window.sentence}"
            case = move_in(connection, case, state, sentence, at=now, diagnosis=diagnosis)
    return replace(window, case_id=case.id)


def _contradicts(window: Window, case: Case) -> bool:
    """Whether a stable window says that a finding went away: a later one, and of outcomes one whose own are final."""
    by_outcomes = case.diagnosis in {Diagnosis.PRIOR_SHIFT, Diagnosis.CONCEPT_DRIFT}
    return window.id > case.window_id and (window.matured_at is not None or not by_outcomes)


def _refused(home: Home, window: Window) -> bool:
    """Whether this change was looked into lately, and no better model was found for it."""
    for case in home.cases.latest(20):
        if case.state in {CaseState.REFUSED, CaseState.REJECTED} and case.closed_at is not None:
            later = sum(w.closed_at > case.closed_at for w in home.windows.latest(home.settings.policy.again + 1))
            if _compared(home, case) == window.model_version and later < home.settings.policy.again:
                return RANK.index(window.diagnosis) <= RANK.index(case.diagnosis)
    return False


def _compared(home: Home, case: Case) -> int | None:
    """The champion that a case's latest challenger was compared with."""
    events = reversed(home.cases.events(case.id))
    return next((event.document["champion"] for event in events if "champion" in event.document), None)


def renew(home: Home, served: Served, now: datetime) -> Case | None:
    """Open a case when a new world was learned, or learned in vain, from few outcomes and many more are known by now.

    No window asks for it: nothing drifts for a model of the new world, and where a first challenger was not better,
    the harm may be too small to show in any one window of a small portfolio.
    """
    cases = home.cases.latest(1000)
    if any(case.is_open and case.state is not CaseState.QUARANTINED for case in cases):
        return None
    alike = _alike(home, served)
    for made in (_promoted(cases, alike), _in_vain(home, cases, alike)):
        first = None if made is None else home.windows.get(made.window_id)
        if made is None or first is None:
            continue
        # The latest try counts, whether it was promoted or not: a refused one is not repeated on nearly the same rows.
        tries = [case for case in cases if case.window_id == made.window_id and case.id >= made.id]
        learned, version = max((_learned(home, case), case.challenger or 0) for case in tries)
        start = to_micros(first.first_time)
        known = snapshot.count_matured(home, snapshot.take_judged(home, now), start)
        if not renews(made.diagnosis, home.settings.policy, learned=learned, known=known):
            continue
        if made.state is CaseState.REFUSED and not _still_worse(home, served, made, start, known, now):
            continue
        refused = ", and was refused" if made.state is CaseState.REFUSED else ""
        sentence = (
            f"Since {first.name} customers differ from the history. Version {version} learned from {learned:,} of "
            f"their outcomes{refused}; {known:,} are known now: a better model is likely."
        )
        with home.database.write() as connection:
            return open_case(
                connection,
                at=now,
                state=CaseState.CONFIRMED,
                diagnosis=made.diagnosis,
                window_id=made.window_id,
                sentence=sentence,
            )
    return None


def _alike(home: Home, served: Served) -> frozenset[int]:
    """The champion, and those that it is a recalibration of: they rank alike."""
    versions, row = {served.version}, home.ledger.model(served.version)
    while row.origin == "recalibrate" and row.parent is not None:
        row = home.ledger.model(row.parent)
        versions.add(row.version)
    return frozenset(versions)


def _learned(home: Home, case: Case) -> int:
    """From how many outcomes of its new world a case's challengers learned at most."""
    return max((event.document.get("matured") or 0 for event in home.cases.events(case.id)), default=0)


def _promoted(cases: Sequence[Case], champions: frozenset[int]) -> Case | None:
    """The case that the champion was made for."""
    return next((c for c in cases if c.challenger in champions and c.state is CaseState.PROMOTED), None)


def _in_vain(home: Home, cases: Sequence[Case], champions: frozenset[int]) -> Case | None:
    """The latest case of a new concept, if no better model than the champion was found for it.

    A concept costs AUC, so a better model is likely; of a changed mix of customers it is not. Where a person said no,
    that is the last word.
    """
    decided = (CaseState.REFUSED, CaseState.REJECTED)
    latest = next((c for c in cases if c.diagnosis is Diagnosis.CONCEPT_DRIFT and c.state in decided), None)
    refused = latest is not None and latest.state is CaseState.REFUSED
    return latest if latest is not None and refused and _compared(home, latest) in champions else None


def _still_worse(home: Home, served: Served, refused: Case, start: int, known: int, now: datetime) -> bool:
    """Whether all ``known`` outcomes since ``start`` together show that the champion ranks worse than at its training.

    A further look needs as many more outcomes as a waiting case does: every look is another chance to be wrong.
    """
    subject = f"case {refused.id}"
    looks = audit.about(home.database, RENEWAL, subject)
    if looks and known < home.settings.gate.retry_growth * looks[-1].document["known"]:
        return False
    frame = snapshot.read(home, snapshot.take_judged(home, now), start=start)
    scores = served.model.probabilities(frame.features)
    alpha, trained = home.settings.drift.alpha, served.trained
    worse = ranks_worse(scores, frame.outcomes, served.probabilities, served.outcomes, alpha=alpha, trained=trained)
    with home.database.write() as connection:
        document = {"known": known, "worse": worse}
        audit.record(connection, at=now, by="riskloop", action=RENEWAL, subject=subject, document=document)
    return worse


def move(home: Home, case: Case, state: CaseState, sentence: str, now: datetime, **changes: Any) -> Case:
    """Move a case in a transaction of its own."""
    with home.database.write() as connection:
        return move_in(connection, case, state, sentence, at=now, **changes)


def train(home: Home, case: Case, served: Served, now: datetime, say: Say, tick: Tick) -> Case | None:
    """Train and judge a challenger for a confirmed case, or wait for outcomes; None when there is nothing new.

    A case that waits costs one count until enough has matured for another try. That depends on no outcome: to look
    again when the scores look good would spend more of the alpha budget than is on record.
    """
    matured = snapshot.count_matured(home, snapshot.take_judged(home, now), since(home, case) or 0)
    if case.state is CaseState.WAITING and matured < (home.cases.events(case.id)[-1].document.get("next") or 0):
        return None
    seq = home.champion().seq
    try:
        made = challenge(home, case, served, now, say, tick)
    except DataError as waiting:
        gate = home.settings.gate
        following = max(math.ceil(matured * gate.retry_growth), matured + gate.min_defaults)
        waits = {"matured": matured, "next": following}
        return move(home, case, CaseState.WAITING, waiting.message, now, document=waits)
    document = {
        "report": documents.plain(made.report),
        "sentences": sentences(made.report),
        "fingerprint": evidence_fingerprint(made.report, made.version),
        "evaluation": made.evaluation,
        "record": made.record,
        "matured": matured,
        "next": _next(made.report, matured),
        "champion": served.version,
        "seq": seq,
    }
    sentence = f"Version {made.version} was trained and judged. {made.report.sentence}"
    return move(
        home, case, CaseState.TRAINED, sentence, now, challenger=made.version, tries=case.tries + 1, document=document
    )


def _next(report: GateReport, matured: int) -> int | None:
    """How many decisions have to have matured for the next try; None when there is none."""
    if report.retry_defaults is None:
        return None
    defaults = max(1, int(report.checks[0].sizes["defaults"]))
    return matured + max(1, math.ceil(matured * report.retry_defaults / defaults))


def settle(home: Home, case: Case, now: datetime) -> Case:
    """Do what the gate said about a trained challenger; can be repeated."""
    report, document = last_report(home, case)
    if report.verdict is Verdict.PROMOTE:
        return promote_challenger(home, case, "riskloop", report.sentence, now)
    state = {
        Verdict.KEEP: CaseState.REFUSED,
        Verdict.INSUFFICIENT_EVIDENCE: CaseState.WAITING,
        Verdict.NEEDS_APPROVAL: CaseState.NEEDS_APPROVAL,
    }[report.verdict]
    kept = {name: document.get(name) for name in ("matured", "next", "fingerprint")}
    return move(home, case, state, report.sentence, now, document=kept)


def last_report(home: Home, case: Case) -> tuple[GateReport, dict[str, Any]]:
    """The newest gate report of a case, and the document that it is part of."""
    for event in reversed(home.cases.events(case.id)):
        if "report" in event.document:
            return documents.gate_report(event.document["report"]), event.document
    raise GateRefused(f"Case {case.id} has no gate report yet; its challenger was not judged.")


def promote_challenger(
    home: Home, case: Case, by: str, reason: str, now: datetime, approval: Approval | None = None
) -> Case:
    """Make a case's challenger the champion, against the very champion that it was judged with."""
    report, document = last_report(home, case)
    version = _challenger(case)
    evidence = {"case": case.id, "report": documents.plain(report), "evaluation": document.get("evaluation")}
    if approval is not None:
        evidence["approval"] = {**asdict(approval), "at": approval.at.isoformat()}
    try:
        promote(
            home.ledger,
            version,
            expected_seq=int(document["seq"]),
            kind=PromotionKind.GATE,
            at=now,
            by=by,
            reason=reason,
            evidence=evidence,
            fingerprint=evidence_fingerprint(report, version),
        )
    except PromotionConflict as conflict:
        return move(home, case, CaseState.WAITING, conflict.message, now, by=by, document={"matured": 0, "next": 0})
    return move(home, case, CaseState.PROMOTED, f"Version {version} is champion. {reason}", now, by=by)


def decide_by_person(
    home: Home, case: Case, *, approved: bool, by: str, note: str, now: datetime, evidence: str | None = None
) -> Case:
    """A named person's word on a challenger that needs approval.

    ``evidence`` is the fingerprint of the report that the person read (or its beginning); None: the case's report as
    it is now. Raises GateRefused when it is that of another report.
    """
    if case.state is not CaseState.NEEDS_APPROVAL:
        raise Conflict(f"Case {case.id} is '{case.state}'; only one that needs approval can be approved or rejected.")
    if not approved:
        return move(home, case, CaseState.REJECTED, f"Rejected: {note}", now, by=by)
    report, _ = last_report(home, case)
    version = _challenger(case)
    fingerprint = evidence_fingerprint(report, version)
    read = fingerprint if evidence is None or _begins(fingerprint, evidence) else evidence
    approval = Approval(version, read, by, now, note)
    approve(report, approval)
    return promote_challenger(home, case, by, f"Approved: {note}", now, approval)


def _begins(fingerprint: str, given: str) -> bool:
    return len(given) >= SHORT and fingerprint.startswith(given)


def release(home: Home, case: Case, *, by: str, note: str, now: datetime) -> Case:
    """Let the quarantined windows of a case be learned from again."""
    windows = [w for w in home.windows.latest(1000) if w.case_id == case.id and w.quarantined]
    if not windows:
        raise Conflict(f"Case {case.id} holds no quarantined window.")
    names = ", ".join(window.name for window in windows)
    with home.database.write() as connection:
        for window in windows:
            set_quarantine(connection, window.id, False)
        return move_in(connection, case, CaseState.ENDED, f"Released {names}: {note}", at=now, by=by)


def _challenger(case: Case) -> int:
    if case.challenger is None:
        raise Conflict(f"Case {case.id} has no challenger.")
    return case.challenger
