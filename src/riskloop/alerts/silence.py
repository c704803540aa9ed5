"""A loop that stands still cannot say so: whoever serves does, and says when it runs again."""

import threading
from collections.abc import Iterator

from riskloop.alerts.message import Alert, page
from riskloop.alerts.outbox import tell
from riskloop.core.settings import Settings
from riskloop.core.types import Urgency
from riskloop.store.cycles import loop_state
from riskloop.store.database import Database


def notify_silence(database: Database, settings: Settings) -> threading.Thread | None:
    """Tell that no cycle has finished for `watch.late`, by the database's clock, and later that one has."""
    return tell(database, settings, lambda known: _silence(database, settings, known))


def _silence(database: Database, settings: Settings, known: frozenset[str]) -> Iterator[Alert]:
    state = loop_state(database)
    told = sorted(s for s in known if s.startswith("silent since ") and f"{s} ended" not in known and " ended" not in s)
    name, link = settings.portfolio.name, page(settings.alerts, "")
    if state.stands_still(settings.watch.late):
        since = "its start" if state.finished_at is None else state.finished_at.isoformat()
        subject = f"silent since {since}"
        if subject not in known:
            words = state.trouble(settings.watch.late) or ""
            facts = {"event": "silent", "since": None if state.finished_at is None else since}
            yield Alert(subject, "silent", Urgency.CRITICAL, "The loop stands still", words, name, facts, link)
        return
    for subject in told:
        facts = {"event": "silent_ended"}
        words = "Cycles finish again."
        yield Alert(
            f"{subject} ended", "silent_ended", Urgency.INFO, "The loop runs again", words, name, facts, link, subject
        )
