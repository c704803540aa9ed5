"""Closed windows with their findings and diagnosis."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from riskloop.core.periods import period_of
from riskloop.core.settings import Settings
from riskloop.core.span import Span
from riskloop.core.types import Action, Diagnosed, Diagnosis, Finding, Json, Rung, Severity, from_micros, to_micros
from riskloop.store import chain, documents
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.tables import findings, windows

_LISTED: Final = select(*(column for column in windows.c if column.name != "profile"))


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
    matured_at: datetime | None  # when it was last judged with its outcomes; None: not yet
    diagnosis: Diagnosis
    confirmed: bool
    action: Action
    sentence: str
    rungs: tuple[Rung, ...]
    report: str | None  # Evidently's page below the reports' root
    quarantined: bool
    case_id: int | None
    counted: bool = False  # a fixed number of consecutive decisions; else those of a calendar period
    judged_with: int | None = None  # the highest outcome id when it was judged with its outcomes

    @property
    def span(self) -> Span:
        """Which decisions are in it. Those of a period also when they come after it was closed."""
        if self.counted:
            return Span(self.first_id, self.last_id)
        return Span.between(self.first_time, self.end_time)

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


def save(connection: Connection, window: Window, found: Sequence[Finding], profile: bytes | None = None) -> None:
    """Write a window and its findings in the caller's transaction; a second time replaces both.

    ``profile`` is given once, when the window is closed; None keeps the one that is stored.
    """
    values = _values(window) | ({} if profile is None else {"profile": profile})
    known = connection.execute(select(windows.c.id).where(windows.c.id == window.id)).first()
    if known is None:
        connection.execute(insert(windows).values(**{"profile": b"", **values}))
    else:
        connection.execute(update(windows).where(windows.c.id == window.id).values(**values))
        connection.execute(delete(findings).where(findings.c.window_id == window.id))
    chain.note(connection, windows, window.id)
    if found:
        connection.execute(insert(findings), [_finding_values(window.id, finding) for finding in found])


class Windows:
    """Reads windows and their findings. Profiles are large, and are read by number alone."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def latest(self, limit: int = 60, until: int | None = None) -> list[Window]:
        """The newest windows (up to number ``until``), oldest of them first."""
        query = _LISTED.order_by(windows.c.id.desc()).limit(limit)
        return self._read(query if until is None else query.where(windows.c.id <= until))[::-1]

    def get(self, number: int) -> Window | None:
        """One window."""
        return next(iter(self._read(_LISTED.where(windows.c.id == number))), None)

    def unjudged(self, until: int) -> list[Window]:
        """Windows that ended by ``until``, microseconds, and were not judged with their outcomes yet, oldest first."""
        waiting = windows.c.matured_at.is_(None), windows.c.rows > 0, windows.c.end_time <= until
        return self._read(_LISTED.where(*waiting).order_by(windows.c.id))

    def untried(self, until: int) -> list[Window]:
        """Of those the ones that nobody tried to judge: no finding says that their outcomes are not there."""
        looked_at = select(findings.c.window_id).where(findings.c.check == "outcomes")
        waiting = windows.c.matured_at.is_(None), windows.c.rows > 0, windows.c.end_time <= until
        return self._read(_LISTED.where(*waiting, windows.c.id.not_in(looked_at)).order_by(windows.c.id))

    def judged_before(self, outcome: int) -> list[Window]:
        """Windows that were judged with their outcomes when ``outcome`` was not there yet, oldest first."""
        return self._read(_LISTED.where(windows.c.judged_with < outcome).order_by(windows.c.id))

    def judged_after(self, until: int) -> list[Window]:
        """Windows with decisions after ``until``, microseconds, that were judged with their outcomes, oldest first.

        Without those that are faulty, whose outcomes say nothing.
        """
        sound = windows.c.diagnosis != Diagnosis.DATA_FAULT.value
        judged = windows.c.matured_at.is_not(None), windows.c.end_time > until + 1
        return self._read(_LISTED.where(*judged, sound).order_by(windows.c.id))

    def judged_with_check(self, check: str) -> list[Window]:
        """Windows that were judged with their outcomes and have a finding of the check, oldest first."""
        those = select(findings.c.window_id).where(findings.c.check == check)
        judged = windows.c.matured_at.is_not(None)
        return self._read(_LISTED.where(judged, windows.c.id.in_(those)).order_by(windows.c.id))

    def of_case(self, number: int) -> list[Window]:
        """The windows that belong to a case, oldest first."""
        return self._read(_LISTED.where(windows.c.case_id == number).order_by(windows.c.id))

    def of_model(self, version: int, limit: int, before: int | None = None) -> list[Window]:
        """The last windows (before number ``before``) that were compared with a model version, oldest first."""
        query = _LISTED.where(windows.c.model_version == version)
        query = query if before is None else query.where(windows.c.id < before)
        return self._read(query.order_by(windows.c.id.desc()).limit(limit))[::-1]

    def _read(self, query: Select[Any]) -> list[Window]:
        with self.database.read() as connection:
            return [_window(dict(row._mapping)) for row in connection.execute(query)]

    def profiles(self, numbers: Sequence[int]) -> list[bytes]:
        """The stored profiles of some windows, in the order of their numbers."""
        query = select(windows.c.profile).where(windows.c.id.in_(numbers)).order_by(windows.c.id)
        with self.database.read() as connection:
            return list(connection.execute(query).scalars())

    def findings(self, number: int) -> list[Finding]:
        """The findings of one window, in the order in which they were made."""
        with self.database.read() as connection:
            query = select(findings.c.document).where(findings.c.window_id == number).order_by(findings.c.id)
            return [documents.finding(json.loads(text)) for text in connection.execute(query).scalars()]

    def quarantined(self) -> list[Window]:
        """Windows whose rows must not be learned from."""
        return self._read(_LISTED.where(windows.c.quarantined).order_by(windows.c.id))

    def newest_with(self, check: str, version: int | None = None) -> Window | None:
        """The newest window, of a version where one is named, in which a check gave a number; None: it never did."""
        of = () if version is None else (windows.c.model_version == version,)
        number = (
            select(func.max(findings.c.window_id))
            .join_from(findings, windows, windows.c.id == findings.c.window_id)
            .where(findings.c.check == check, findings.c.statistic.is_not(None), ~windows.c.quarantined, *of)
            .scalar_subquery()
        )
        return next(iter(self._read(_LISTED.where(windows.c.id == number))), None)

    def newest_judged(self, champion: int | None = None) -> Window | None:
        """The newest window judged by its outcomes: of the champion, whenever it served; else of any version."""
        own = None if champion is None else self.newest_with("auc", champion)
        return own or self.newest_with("auc")

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

    def final_diagnoses(self, version: int, *, before: int, limit: int) -> list[Diagnosis]:
        """What the windows of a champion before window ``before`` said with their final outcomes, newest first.

        Faults and windows without enough data say nothing, and are left out.
        """
        silent = (Diagnosis.NOT_ENOUGH_DATA.value, Diagnosis.DATA_FAULT.value)
        query = (
            select(windows.c.diagnosis)
            .where(windows.c.model_version == version, windows.c.id < before, windows.c.matured_at.is_not(None))
            .where(windows.c.diagnosis.not_in(silent))
            .order_by(windows.c.id.desc())
            .limit(limit)
        )
        with self.database.read() as connection:
            return [Diagnosis(text) for text in connection.execute(query).scalars()]

    def moved(self, version: int, check: str) -> list[Finding]:
        """What a check found in the windows of a champion, as far as it moved, oldest first."""
        severities = [Severity.DRIFTED.value, Severity.SEVERE.value]
        query = (
            select(findings.c.document)
            .join(windows, windows.c.id == findings.c.window_id)
            .where(windows.c.model_version == version, findings.c.check == check)
            .where(findings.c.severity.in_(severities))
            .order_by(findings.c.window_id)
        )
        with self.database.read() as connection:
            return [documents.finding(json.loads(text)) for text in connection.execute(query).scalars()]

    def closings(self, limit: int) -> list[datetime]:
        """When the newest windows closed, newest first."""
        query = select(windows.c.closed_at).order_by(windows.c.id.desc()).limit(limit)
        with self.database.read() as connection:
            return [from_micros(at) for at in connection.execute(query).scalars()]

    def count(self, version: int | None = None) -> int:
        """How many windows were closed, or of these compared with a model version."""
        query = select(func.count()).select_from(windows)
        if version is not None:
            query = query.where(windows.c.model_version == version)
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())


def set_judged(connection: Connection, numbers: Sequence[int], outcome: int) -> None:
    """Say that outcomes up to the id ``outcome`` change nothing about some windows, in the caller's transaction."""
    connection.execute(update(windows).where(windows.c.id.in_(numbers)).values(judged_with=outcome))


def judge_again(connection: Connection, outcome: int) -> None:
    """Have windows that were judged with an outcome, or since, looked at again, in the caller's transaction."""
    connection.execute(update(windows).where(windows.c.judged_with >= outcome).values(judged_with=outcome - 1))


def set_quarantine(connection: Connection, number: int, quarantined: bool) -> None:
    """Quarantine a window's rows, or release them, in the caller's transaction."""
    connection.execute(update(windows).where(windows.c.id == number).values(quarantined=quarantined))
    chain.note(connection, windows, number)


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
        "report": window.report,
        "quarantined": window.quarantined,
        "case_id": window.case_id,
        "counted": window.counted,
        "judged_with": window.judged_with,
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


def next_file_due(decisions: DecisionLog, settings: Settings) -> datetime | None:
    """Until when the next file of decisions is awaited; None where no file is due or none has come yet."""
    due, logged = settings.windows.due, decisions.times()
    if due == "always" or due == "any" or logged is None:
        return None
    return period_of(period_of(from_micros(logged.latest), due).end, due).end + settings.windows.grace
