"""What is older than [retention] says leaves the log, but for what the loop still needs; that is said."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from riskloop.core.english import counted
from riskloop.core.errors import ArtefactError, RiskloopError
from riskloop.core.manifest import ModelManifest
from riskloop.core.settings import Settings, duration_text
from riskloop.loop.evidence import kept
from riskloop.promote.probation import ProbationState, on_probation
from riskloop.store.archive import AUDIT, DECISIONS, FEATURES
from riskloop.store.artefacts import Artefact, Artefacts
from riskloop.store.cases import Cases
from riskloop.store.database import Database
from riskloop.store.home import Home
from riskloop.store.ledger import Ledger
from riskloop.store.probations import watched
from riskloop.store.retention import Retention
from riskloop.store.windows import Windows

BY: Final = "riskloop"
_NOUNS: Final = {
    DECISIONS: ("decision", "left the log"),
    FEATURES: ("decision", "lost what they were made on"),
    AUDIT: ("audit event", "left the trail"),
}


@dataclass(slots=True)
class Retained:
    """What was taken out, or in a dry run would be."""

    dry_run: bool = False
    taken: dict[str, int] = field(default_factory=dict)  # rows by kind
    files: list[str] = field(default_factory=list)  # of the archive
    held: list[str] = field(default_factory=list)  # what is older and stays, and why

    @property
    def lines(self) -> list[str]:
        """The same in sentences."""
        would = "would have " if self.dry_run else ""
        told = [f"{counted(n, _NOUNS[kind][0])} {would}{_NOUNS[kind][1]}." for kind, n in self.taken.items() if n]
        return [*told, *self.held]


def retain(home: Home, now: datetime, *, by: str = BY, dry_run: bool = False) -> Retained:
    """Take out what is older than its period and not needed; with ``dry_run`` only count it.

    Raises StorageError when the archive cannot be written, or rows are not what was committed.
    """
    done, settings = Retained(dry_run), home.settings.retention
    periods = {DECISIONS: settings.decisions, FEATURES: settings.features, AUDIT: settings.audit}
    gone = 0  # decisions that leave as a whole have no features to lose
    work = Retention(home.database, home.segments, home.archive, _names(home.artefact), by, now)
    for kind, period in periods.items():
        if period is None:
            continue
        limit = work.until(kind, now - period)
        if kind != AUDIT and limit > work.taken(kind):
            needs = needed(home.settings, home.database, home.windows, home.cases, home.ledger, home.artefacts, now)
            first, why = min(needs, default=(limit + 1, ""))
            if first <= limit:
                done.held.append(
                    f"Older than retention.{kind}, and kept: {counted(limit - first + 1, 'decision')}. {why}"
                )
                limit = first - 1
        if dry_run:
            limit = work.reach(kind, limit)
            done.taken[kind] = max(0, limit - max(0 if kind == AUDIT else gone, work.taken(kind)))
            gone = max(gone, limit)
            continue
        done.taken[kind] = 0
        for entry in work.take(kind, limit):
            done.taken[kind] += entry.rows
            done.files += [] if entry.path is None else [home.archive.place(entry)]
    return done


def needed(
    settings: Settings,
    database: Database,
    windows: Windows,
    cases: Cases,
    ledger: Ledger,
    artefacts: Artefacts,
    now: datetime,
) -> Iterator[tuple[int, str]]:
    """From which decision on the loop still reads what they were made on, and why; for each reason that there is."""
    latest = windows.latest(1)
    closed = max((window.last_id for window in windows.latest(60)), default=0)
    yield closed + 1, "Their window is not closed yet." if latest else "No window was closed yet."
    waits = settings.portfolio.outcome_window + settings.outcomes.patience
    for window in windows.unjudged(_END):
        if window.end_time + waits > now:
            yield window.first_id, f"Window {window.name} waits for its outcomes."
    for case in cases.latest(only_open=True):
        for window in windows.of_case(case.id):
            if window.rows:
                yield window.first_id, f"Window {window.name} belongs to the open case {case.id}."
    if settings.retrain.window == "sliding":
        yield from _learned(settings, database, windows, now)
    yield from _on_probation(database, ledger, artefacts)


_END: Final = 2**62  # later than any window


def _learned(settings: Settings, database: Database, windows: Windows, now: datetime) -> Iterator[tuple[int, str]]:
    since = now - settings.retrain.length - settings.portfolio.outcome_window
    for window in windows.latest(10_000):
        if window.rows and window.end_time > since:
            length = duration_text(settings.retrain.length)
            yield window.first_id, f"Challengers learn from window {window.name} (retrain.length = {length})."
            return


def _on_probation(database: Database, ledger: Ledger, artefacts: Artefacts) -> Iterator[tuple[int, str]]:
    promotion = on_probation(ledger.promotions())
    if promotion is None:
        return
    seen = watched(database, promotion.seq)
    if seen is not None and not ProbationState(seen.state).goes_on:
        return
    name = promotion.evidence.get("evaluation")
    try:
        tested = None if name is None else kept(artefacts, name).decisions
    except ArtefactError:
        return
    if tested is not None and (logged := tested[tested > 0]).size:
        yield int(logged.min()), f"The probation of version {promotion.version} compares with them."


def _names(artefact_of: Callable[[int], Artefact[ModelManifest]]) -> Callable[[int], list[str]]:
    def names(version: int) -> list[str]:
        try:
            return list(artefact_of(version).manifest.schema.names)
        except RiskloopError:  # a version that is gone: its vectors are archived all the same
            return []

    return names
