"""Portfolios of riskloop 0.1 kept their state in the audit trail; the migration carries all of it over.

`portfolios_0_1/` holds rows as 0.1 wrote them: an approval, a person's try of the gate, a forced promotion and its
rollback, looks of a probation, alerts; and a concept that was learned in vain twice.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from riskloop.cases import CaseState
from riskloop.core.types import PromotionKind
from riskloop.store import migrations, notices
from riskloop.store.adapters import open_database
from riskloop.store.cases import Cases
from riskloop.store.database import Database
from riskloop.store.ledger import Ledger
from riskloop.store.migrations import upgrade
from riskloop.store.probations import watched
from riskloop.store.tries import tries_against

FOLDER = Path(__file__).parent / "portfolios_0_1"
ORDER = ("models", "promotions", "windows", "cases", "case_events", "audit")


@pytest.fixture
def url() -> str:
    """riskloop 0.1 knew SQLite only."""
    return "sqlite:///riskloop.db"


def migrated(url: str, folder: Path, name: str) -> tuple[Database, dict[str, list[dict[str, Any]]]]:
    """A database at revision 0001 with the rows of a portfolio, brought to this version; and those rows."""
    database = open_database(url, folder)
    with database.write() as connection:
        migrations.run(connection, "0001")
    rows: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / name).read_text())
    with database.write() as connection:
        for table in ORDER:
            for row in rows[table]:
                row = {**row, "profile": b""} if "profile" in row else row
                columns = ", ".join(f'"{column}"' for column in row)
                values = ", ".join(f":{column}" for column in row)
                connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), row)
    upgrade(database)
    return database, rows


def of(rows: dict[str, list[dict[str, Any]]], action: str) -> list[dict[str, Any]]:
    return [json.loads(event["document"]) for event in rows["audit"] if event["action"] == action]


@pytest.mark.parametrize("name", ["approved.json", "refused.json"])
def test_no_try_is_forgotten(url: str, tmp_path: Path, name: str) -> None:
    database, rows = migrated(url, tmp_path, name)
    reports = [json.loads(step["document"]) for step in rows["case_events"] if step["state"] == "trained"]
    reports += of(rows, "gate")
    spent = sorted(check["details"]["level"] for d in reports for check in d["report"]["checks"][1:2])
    assert spent
    assert sorted(one.alpha for version in (1, 2, 3) for one in tries_against(database, version)) == spent
    database.close()


@pytest.mark.parametrize("name", ["approved.json", "refused.json"])
def test_nobody_is_told_twice(url: str, tmp_path: Path, name: str) -> None:
    database, rows = migrated(url, tmp_path, name)
    assert {f"case {d['case']}" for d in of(rows, "alert")} <= notices.known_subjects(database)
    database.close()


def test_a_probation_goes_on_where_it_was(url: str, tmp_path: Path) -> None:
    database, rows = migrated(url, tmp_path, "approved.json")
    last = of(rows, "probation")[-1]
    look = watched(database, 2)
    assert look is not None
    assert (look.state, look.spent, look.matured, look.decisions, look.sentence) == tuple(
        last[key] for key in ("state", "spent", "matured", "decisions", "sentence")
    )
    assert look.spent > 0.0
    database.close()


def test_cases_keep_what_was_read_from_their_steps(url: str, tmp_path: Path) -> None:
    database, rows = migrated(url, tmp_path, "refused.json")
    second, first = Cases(database).latest()
    (look,) = of(rows, "renewal")
    assert (first.looked, second.looked) == (look["known"], None)
    for case in (first, second):
        judged = Cases(database).judged(case.id)
        assert judged is not None
        assert (case.state, case.closed_by, case.unresolved) == (CaseState.REJECTED, "riskloop", True)
        assert case.harmed == 1
        assert (case.learned, case.champion) == (judged.matured, judged.champion)
    assert second.learned > first.learned
    database.close()


def test_the_ledger_tells_a_persons_word_from_the_gates(url: str, tmp_path: Path) -> None:
    database, rows = migrated(url, tmp_path, "approved.json")
    assert [row["kind"] for row in rows["promotions"]] == ["first", "gate", "manual", "rollback"]
    assert [promotion.kind for promotion in Ledger(database).promotions()] == [
        PromotionKind.FIRST,
        PromotionKind.APPROVED,
        PromotionKind.FORCED,
        PromotionKind.ROLLBACK,
    ]
    (approved,) = [case for case in Cases(database).latest() if case.challenger == 2]
    assert (approved.state, approved.closed_by, approved.by_person) == (CaseState.PROMOTED, "a.validator", True)
    database.close()
