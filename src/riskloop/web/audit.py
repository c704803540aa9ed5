"""The audit trail: who did what, when, and to what."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from riskloop.core.errors import DataError
from riskloop.core.types import Json
from riskloop.store.audit import AuditFilter, actions, as_csv, search
from riskloop.store.database import Database

SIZE: Final = 100
MOST: Final = 100_000  # events of one export
FIELDS: Final = ("by", "action", "subject", "since", "until")


def audit(database: Database, asked: Mapping[str, str]) -> Json:
    """What the page shows."""
    wanted = _filter(asked)
    found = search(database, wanted, SIZE + 1)
    fields = {name: asked[name] for name in FIELDS if asked.get(name)}
    more = len(found) > SIZE
    older = {**fields, "before": str(found[SIZE - 1][0])} if more else None
    return {
        "events": [event for _, event in found[:SIZE]],
        "asked": asked,
        "actions": actions(database),
        "searched": bool(fields),
        "export": f"/dashboard/audit.csv?{urlencode(fields)}",
        "first": f"/dashboard/audit?{urlencode(fields)}" if asked.get("before") else None,
        "older": None if older is None else f"/dashboard/audit?{urlencode(older)}",
    }


def export(database: Database, asked: Mapping[str, str]) -> str:
    """The events that are looked for, as CSV."""
    return as_csv(event for _, event in search(database, _filter(asked), MOST))


def _filter(asked: Mapping[str, str]) -> AuditFilter:
    texts = {name: asked.get(name, "").strip() or None for name in ("by", "action", "subject")}
    until = _day(asked, "until")
    before = asked.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 19):
        raise DataError(f"'{before[:40]}' is no place in the list.")
    return AuditFilter(
        **texts,
        since=_day(asked, "since"),
        until=None if until is None else until + timedelta(days=1),
        before=int(before) if before else None,
    )


def _day(asked: Mapping[str, str], field: str) -> datetime | None:
    text = asked.get(field, "").strip()
    if not text:
        return None
    try:
        found = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return found if found.year < 9999 else None
    except ValueError:
        raise DataError(f"'{text[:40]}' is no day; write it as 2025-06-30.") from None
