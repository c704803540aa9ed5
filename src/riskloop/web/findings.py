"""Findings as pages need them: mostly without their documents, always of a limited number of windows."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from riskloop.core.types import Finding, Severity
from riskloop.store import documents
from riskloop.store.database import Database
from riskloop.store.tables import findings

NOTABLE: Final = (Severity.FAULT, Severity.SEVERE, Severity.DRIFTED)
ORDER: Final = (*NOTABLE, Severity.NOISE, Severity.UNKNOWN, Severity.OK)


@dataclass(frozen=True, slots=True)
class Cell:
    """A finding in short."""

    window: int
    subject: str
    severity: Severity
    statistic: float | None
    critical: float | None


def cells(database: Database, check: str, first: int, last: int) -> list[Cell]:
    """One check's findings in the windows ``first`` to ``last``."""
    columns = (findings.c.window_id, findings.c.subject, findings.c.severity, findings.c.statistic, findings.c.critical)
    query = select(*columns).where(findings.c.window_id.between(first, last), findings.c.check == check)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [Cell(r.window_id, r.subject, Severity(r.severity), r.statistic, r.critical) for r in rows]


def whole(
    database: Database,
    first: int,
    last: int,
    *,
    checks: Collection[str] | None = None,
    severities: Collection[Severity] | None = None,
    subject: str | None = None,
) -> dict[int, list[Finding]]:
    """The findings of the windows ``first`` to ``last`` by window, in the order in which they were made."""
    query = select(findings.c.window_id, findings.c.document).where(findings.c.window_id.between(first, last))
    if checks is not None:
        query = query.where(findings.c.check.in_(checks))
    if severities is not None:
        query = query.where(findings.c.severity.in_(severities))
    if subject is not None:
        query = query.where(findings.c.subject == subject)
    found: dict[int, list[Finding]] = {}
    with database.read() as connection:
        for number, document in connection.execute(query.order_by(findings.c.id)):
            found.setdefault(number, []).append(documents.finding(json.loads(document)))
    return found


def worst_first(found: Collection[Finding]) -> list[Finding]:
    """Faults, then what drifted, then the rest; in the order of making among equals."""
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))
