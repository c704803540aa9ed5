"""Closed windows with their findings and diagnosis."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from riskloop.core.types import Action, Diagnosed, Diagnosis, Finding, Json, Rung, from_micros, to_micros
from riskloop.store import documents
from riskloop.store.database import Database
from riskloop.store.tables import findings, windows


@dataclass(frozen=True)
class Window:
    """Decisions that are monitored together, and what was found in them."""

    id: int  # 1, 2, 3 … in time order
    name: str  # "2025-03", "2025-W12", "#7"
    first_time: datetime
    end_time: datetime  # exclusive
    first_id: int  # decision ids: 0 and 0 in an empty window
    last_id: int
    rows: int
    model_version: int  # the champion that it was compared with
    closed_at: datetime
    matured_at: datetime | None  # when it was judged again with its final outcomes
    diagnosis: Diagnosis
    confirmed: bool
    action: Action
    sentence: str
    rungs: tuple[Rung, ...]
    profile: bytes
    report: str | None  # Evidently's page below the reports' root
    quarantined: bool
    case_id: int | None

    @property
    def diagnosed(self) -> Diagnosed:
        """The ladder's answer, as `decide` gave it."""
        return Diagnosed(self.diagnosis, self.confirmed, self.sentence, self.rungs)

    def judged(self, answer: Diagnosed, action: Action) -> "Window":
        """The same window with another answer of the ladder."""
        return replace(
            self,
            diagnosis=answer.diagnosis,
            confirmed=answer.confirmed,
            action=action,
            sentence=answer.sentence,
            rungs=answer.rungs,
        )


def save(connection: Connection, window: Window, found: Sequence[Finding]) -> None:
    """Write a window and its findings in the caller's transaction; a second time replaces both."""
    values = _values(window)
    known = connection.execute(select(windows.c.id).where(windows.c.id == window.id)).first()
    if known is None:
        connection.execute(insert(windows).values(**values))
    else:
        connection.execute(update(windows).where(windows.c.id == window.id).values(**values))
        connection.execute(delete(findings).where(findings.c.window_id == window.id))
    if found:
        connection.execute(insert(findings), [_finding_values(window.id, finding) for finding in found])


class Windows:
    """Reads windows and their findings; releases quarantines."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def latest(self, limit: int = 60) -> list[Window]:
        """The newest windows, oldest of them first."""
        with self.database.read() as connection:
            rows = connection.execute(select(windows).order_by(windows.c.id.desc()).limit(limit)).all()
        return [_window(dict(row._mapping)) for row in reversed(rows)]

    def get(self, number: int) -> Window | None:
        """One window."""
        with self.database.read() as connection:
            row = connection.execute(select(windows).where(windows.c.id == number)).first()
        return None if row is None else _window(dict(row._mapping))

    def immature(self) -> list[Window]:
        """Windows that still wait for their final outcomes, oldest first."""
        with self.database.read() as connection:
            rows = connection.execute(
                select(windows).where(windows.c.matured_at.is_(None), windows.c.rows > 0).order_by(windows.c.id)
            ).all()
        return [_window(dict(row._mapping)) for row in rows]

    def findings(self, number: int) -> list[Finding]:
        """The findings of one window, in the order in which they were made."""
        with self.database.read() as connection:
            query = select(findings.c.document).where(findings.c.window_id == number).order_by(findings.c.id)
            return [documents.finding(json.loads(text)) for text in connection.execute(query).scalars()]

    def quarantined(self) -> list[Window]:
        """Windows whose rows must not be learned from."""
        with self.database.read() as connection:
            rows = connection.execute(select(windows).where(windows.c.quarantined).order_by(windows.c.id)).all()
        return [_window(dict(row._mapping)) for row in rows]

    def matured_spans(self, limit: int) -> list[tuple[int, int]]:
        """First and last decision id of the latest windows whose outcomes are final, without the quarantined ones."""
        query = (
            select(windows.c.first_id, windows.c.last_id)
            .where(windows.c.matured_at.is_not(None), windows.c.rows > 0, ~windows.c.quarantined)
            .order_by(windows.c.id.desc())
            .limit(limit)
        )
        with self.database.read() as connection:
            return sorted((int(first), int(last)) for first, last in connection.execute(query))

    def count(self) -> int:
        """How many windows were closed."""
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(windows)).scalar_one())


def set_quarantine(connection: Connection, number: int, quarantined: bool) -> None:
    """Quarantine a window's rows, or release them, in the caller's transaction."""
    connection.execute(update(windows).where(windows.c.id == number).values(quarantined=quarantined))


def _values(window: Window) -> Json:
    return {
        "id": window.id,
        "name": window.name,
        "first_time": to_micros(window.first_time),
        "end_time": to_micros(window.end_time),
        "first_id": window.first_id,
        "last_id": window.last_id,
        "rows": window.rows,
        "model_version": window.model_version,
        "closed_at": to_micros(window.closed_at),
        "matured_at": None if window.matured_at is None else to_micros(window.matured_at),
        "diagnosis": window.diagnosis.value,
        "confirmed": window.confirmed,
        "action": window.action.value,
        "sentence": window.sentence,
        "rungs": documents.dumps(window.rungs),
        "profile": window.profile,
        "report": window.report,
        "quarantined": window.quarantined,
        "case_id": window.case_id,
    }


def _window(values: Json) -> Window:
    return Window(
        **{
            **values,
            "first_time": from_micros(values["first_time"]),
            "end_time": from_micros(values["end_time"]),
            "closed_at": from_micros(values["closed_at"]),
            "matured_at": None if values["matured_at"] is None else from_micros(values["matured_at"]),
            "diagnosis": Diagnosis(values["diagnosis"]),
            "action": Action(values["action"]),
            "rungs": tuple(documents.rung(rung) for rung in json.loads(values["rungs"])),
        }
    )


def _finding_values(window_id: int, finding: Finding) -> Json:
    document = documents.plain(finding)
    return {
        "window_id": window_id,
        "check": finding.check,
        "subject": finding.subject,
        "severity": finding.severity.value,
        "statistic": document["statistic"],
        "critical": document["critical"],
        "document": documents.dumps(finding),
    }
