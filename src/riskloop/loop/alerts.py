"""What people are told of, once: the log, and every channel of [alerts] that asks for such an urgency.

A case is told of when a fault is quarantined or a change is confirmed (one that is only watched may be chance), again
when it waits for a person, and when it is over; a promotion and a rollback; an outcome file that is late. Telling
happens after the cycle and cannot stop it or make it wait.
"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from riskloop.alerts import Alert, page, tell
from riskloop.cases import Case, CaseState
from riskloop.cases.people import QUIET
from riskloop.core.settings import Settings
from riskloop.core.types import Diagnosis, Json, Promotion, PromotionKind, Urgency
from riskloop.store.case_notes import attention
from riskloop.store.cases import Cases
from riskloop.store.ledger import Ledger
from riskloop.store.maturity import FeedState, OutcomeFeed

LATEST: Final = 100  # cases that are looked through
FAULTS: Final = frozenset({Diagnosis.DATA_FAULT, Diagnosis.LABEL_FAULT})


def notify(cases: Cases, ledger: Ledger, feed: OutcomeFeed, now: datetime | None = None) -> threading.Thread | None:
    """Tell of everything that is due at ``now`` and was not told of.

    Where there are channels, the thread that sends is returned. It ends after ``alerts.tries`` tries for each
    message; a process that ends waits for it.
    """
    moment = now or datetime.now(UTC)
    return tell(cases.database, feed.settings, lambda known: _due(cases, ledger, feed, moment, known))


def _due(cases: Cases, ledger: Ledger, feed: OutcomeFeed, now: datetime, known: frozenset[str]) -> Iterator[Alert]:
    settings = feed.settings
    for case in reversed(cases.latest(LATEST)):
        for alert in _of_case(cases, settings, case, known, now):
            if alert.subject not in known:
                yield alert
    for promotion in ledger.promotions():
        if promotion.kind is not PromotionKind.FIRST and f"promotion {promotion.seq}" not in known:
            yield _of_promotion(settings, promotion)
    late = late_feed(feed, known, now)
    if late is not None:
        yield _of_feed(settings, late)


def _of_case(cases: Cases, settings: Settings, case: Case, known: frozenset[str], now: datetime) -> Iterator[Alert]:
    subject, fault = f"case {case.id}", case.diagnosis in FAULTS
    title = f"Case {case.id}, {case.diagnosis.value.replace('_', ' ')}"
    link, facts = page(settings.alerts, f"cases/{case.id}"), document(cases, settings, case)
    name = settings.portfolio.name
    urgency = Urgency.CRITICAL if fault else Urgency.WARNING
    if subject in known or _matters(cases, case):
        yield Alert(subject, "case", urgency, title, facts["sentence"], name, facts, link)
    again = _again(cases, settings, case, now)
    if again is not None and subject in known:
        facts_again = {**facts, "event": "case_again"}
        words = f"Still open, and nobody has acknowledged it. {case.sentence}"
        yield Alert(f"{subject} {again}", "case_again", urgency, title, words, name, facts_again, link, repeats=subject)
    if case.state is CaseState.NEEDS_APPROVAL:
        asked = f"{subject} approval {case.challenger}"
        words = f"{title}: version {case.challenger} waits for an approval"
        facts = {**facts, "event": "approval", "challenger": case.challenger}
        yield Alert(asked, "approval", Urgency.WARNING, words, case.sentence, name, facts, link)
    if not case.is_open and subject in known:
        over = {**facts, "event": "case_ended"}
        yield Alert(
            f"{subject} ended", "case_ended", Urgency.INFO, f"{title} is over", case.sentence, name, over, link, subject
        )


def _again(cases: Cases, settings: Settings, case: Case, now: datetime) -> str | None:
    """By when a case that nobody acknowledged is told of again, as part of a subject; None while it is not due."""
    every = settings.alerts.again
    if every is None:
        return None
    people = attention(cases, case, cases.steps(case.id))
    since = people.since
    if since is None or now - since < every or people.care.acknowledged_by is not None:
        return None
    due = since + (now - since) // every * every
    return f"again {due.isoformat()}"


def _matters(cases: Cases, case: Case) -> bool:
    if case.diagnosis is Diagnosis.DATA_FAULT or case.state not in QUIET:
        return True
    # It may have been confirmed and ended within one cycle.
    return case.state is CaseState.ENDED and any(step.state not in QUIET for step in cases.steps(case.id))


def document(cases: Cases, settings: Settings, case: Case) -> Json:
    """What is told of a case: plain JSON, with the sentence that it was opened with and where it stands now."""
    steps = cases.steps(case.id)
    return {
        "event": "case",
        "portfolio": settings.portfolio.name,
        "case": case.id,
        "diagnosis": case.diagnosis.value,
        "state": case.state.value,
        "opened_at": case.opened_at.isoformat(),
        "window": case.window_id,
        "sentence": steps[0].sentence if steps else case.sentence,
        "latest": case.sentence,
    }


def _of_promotion(settings: Settings, promotion: Promotion) -> Alert:
    back = promotion.kind.takes_back
    event, what = ("rollback", "serves again") if back else ("promotion", "is champion")
    facts = {
        "event": event,
        "promotion": promotion.seq,
        "version": promotion.version,
        "previous": promotion.previous,
        "kind": promotion.kind.value,
        "by": promotion.by,
        "at": promotion.at.isoformat(),
    }
    return Alert(
        f"promotion {promotion.seq}",
        event,
        Urgency.WARNING if back else Urgency.INFO,
        f"Version {promotion.version} {what}",
        promotion.reason,
        settings.portfolio.name,
        facts,
        page(settings.alerts, f"models/{promotion.version}"),
    )


def late_feed(feed: OutcomeFeed, known: frozenset[str], now: datetime) -> FeedState | None:
    """The outcome feed, where its file is late and nobody was told of it yet; ``known`` is what was told of."""
    state = feed.state(now)
    return None if state.due is None or _late_subject(state.due) in known else state


def _late_subject(due: datetime) -> str:
    return f"outcomes due {due.isoformat()}"


def _of_feed(settings: Settings, state: FeedState) -> Alert:
    due = state.due or datetime.now(UTC)
    facts = {
        "event": "outcomes_late",
        "due": due.isoformat(),
        "last_at": None if state.last_at is None else state.last_at.isoformat(),
    }
    words = str(state.late)
    return Alert(
        _late_subject(due),
        "outcomes_late",
        Urgency.WARNING,
        "Outcomes are late",
        words,
        settings.portfolio.name,
        facts,
        page(settings.alerts, ""),
    )
