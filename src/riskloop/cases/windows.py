"""What a diagnosed window does to the cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from riskloop.cases.case import BY_OUTCOMES, Case, CaseState, Move
from riskloop.cases.machine import Signal, may, move
from riskloop.core.types import Diagnosis

# A case whose windows say more than they did takes over the stronger diagnosis.
RANK: Final = (Diagnosis.STABLE, Diagnosis.COVARIATE_SHIFT, Diagnosis.PRIOR_SHIFT, Diagnosis.CONCEPT_DRIFT)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a window says."""

    id: int
    name: str
    champion: int  # version that it was compared with
    diagnosis: Diagnosis
    sentence: str
    acts: bool  # the policy ordered a retraining or a recalibration
    final: bool  # its outcomes are in; else it has just closed
    case_id: int | None  # that it belongs to already


@dataclass(frozen=True, slots=True)
class Known:
    """The cases and windows before."""

    cases: Sequence[Case]  # newest first: open ones, and the latest closed ones
    closings: Sequence[datetime]  # when the latest windows closed
    again: int  # windows for which a change is left alone after a challenger was rejected for it
    calm: int  # stable final windows of the champion in a row, this one included
    enough: int  # so many of them say that a harm is over


@dataclass(frozen=True, slots=True)
class WindowMove:
    """One case and its move; without a case one is opened, without a move the window only joins it."""

    case: Case | None
    move: Move | None
    joins: bool = True  # the window belongs to the case from now on


def steps(window: Seen, known: Known) -> list[WindowMove]:
    """What is to be done about every case; the window belongs to one of them at most."""
    if window.diagnosis is Diagnosis.NOT_ENOUGH_DATA:
        return []
    open_ones = [case for case in known.cases if case.is_open]
    faults = [case for case in open_ones if case.state is CaseState.QUARANTINED]
    fault = next((case for case in faults if case.diagnosis is not Diagnosis.LABEL_FAULT), None)
    change = next((case for case in open_ones if case.state is not CaseState.QUARANTINED), None)
    if window.diagnosis is Diagnosis.DATA_FAULT:
        return _fault(window, fault)
    found = []
    if fault is not None and not window.final:
        sentence = f"{window.name} is sound again. The quarantined rows stay out until a person releases them."
        found.append(WindowMove(fault, move(fault, Signal.SOUND, sentence), joins=False))
    if window.diagnosis is Diagnosis.STABLE and not window.acts:
        return found + _calm(window, change, known)
    return found + _changed(window, change, known)


def _fault(window: Seen, fault: Case | None) -> list[WindowMove]:
    if window.case_id is not None and window.final:
        return []  # its case was opened when it closed; final outcomes say nothing new about a fault
    if fault is None:
        return [WindowMove(None, move(None, Signal.FAULT, f"{window.name} is quarantined. {window.sentence}"))]
    if fault.window_id == window.id:
        return [WindowMove(fault, None)]
    return [WindowMove(fault, move(fault, Signal.FAULT, f"{window.name} is quarantined too. {window.sentence}"))]


def _calm(window: Seen, change: Case | None, known: Known) -> list[WindowMove]:
    found = []
    if change is not None and may(change, Signal.CALM) and _contradicts(window, change):
        sentence = f"{window.name} is stable: the finding went away."
        found.append(WindowMove(change, move(change, Signal.CALM, sentence), joins=False))
    if window.final and known.calm >= known.enough:
        for case in known.cases:
            if case.unresolved and case.harmed == window.champion and window.id > case.window_id:
                sentence = f"Resolved: {known.calm} windows in a row are stable, the latest is {window.name}."
                found.append(WindowMove(case, move(case, Signal.CALM, sentence), joins=False))
    return found


def _changed(window: Seen, change: Case | None, known: Known) -> list[WindowMove]:
    signal = Signal.ORDERED if window.acts else Signal.CHANGED
    harm: dict[str, Any] = {"harmed": window.champion} if window.diagnosis in BY_OUTCOMES else {}
    if change is None:
        opened = move(None, signal, window.sentence, **harm)
        return [] if _rejected_lately(window, known) else [WindowMove(None, opened)]
    if not may(change, signal):
        return []
    stronger = RANK.index(window.diagnosis) > RANK.index(change.diagnosis)
    diagnosis = window.diagnosis if stronger else change.diagnosis
    moved = move(change, signal, f"{window.name}: {window.sentence}", diagnosis=diagnosis, **harm)
    says_more = stronger or moved.state is not change.state or (bool(harm) and change.harmed != window.champion)
    return [WindowMove(change, moved if says_more else None)]


def _contradicts(window: Seen, case: Case) -> bool:
    """Whether a stable window says that a finding went away: a later one, and of outcomes one whose own are final."""
    return window.id > case.window_id and (window.final or case.diagnosis not in BY_OUTCOMES)


def _rejected_lately(window: Seen, known: Known) -> bool:
    """Whether this change was looked into lately, and no better model was found for it."""
    for case in known.cases:
        if case.state is CaseState.REJECTED and case.closed_at is not None and case.champion == window.champion:
            later = sum(closed > case.closed_at for closed in known.closings)
            if later < known.again:
                return RANK.index(window.diagnosis) <= RANK.index(case.diagnosis)
    return False
