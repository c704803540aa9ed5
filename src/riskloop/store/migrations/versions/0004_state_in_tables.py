"""State in tables of its own: what was found by searching the audit trail and the steps of the cases."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Json = dict[str, Any]
HARM = ("prior_shift", "concept_drift")
IN_A_ROW = 3  # stable windows that say that a harm is over


def upgrade() -> None:
    """Add tables and columns, and fill them with what is on record."""
    for column in (
        sa.Column("champion", sa.Integer(), nullable=True),
        sa.Column("learned", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("wait_for", sa.Integer(), nullable=True),
        sa.Column("looked", sa.Integer(), nullable=True),
        sa.Column("closed_by", sa.String(length=200), nullable=True),
        sa.Column("unresolved", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("cases", column)
    tries = op.create_table(
        "gate_tries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=True),
        sa.Column("champion", sa.Integer(), nullable=False),
        sa.Column("challenger", sa.Integer(), nullable=True),
        sa.Column("alpha", sa.Double(), nullable=False),
        sa.Column("evidence", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("gate_tries_champion", "gate_tries", ["champion", "at"], unique=False)
    probations = op.create_table(
        "probations",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("spent", sa.Double(), nullable=False),
        sa.Column("matured", sa.BigInteger(), nullable=False),
        sa.Column("decisions", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    alerts = op.create_table(
        "alerts",
        sa.Column("case_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("case_id"),
    )
    connection = op.get_bind()
    audit = connection.execute(sa.text("SELECT at, by, action, subject, document FROM audit ORDER BY id")).mappings()
    told: dict[int, Json] = {}
    looks: dict[int, Json] = {}
    looked: dict[int, int] = {}
    spent = _by_cases(connection)
    for event in audit.all():
        document, number = json.loads(event["document"]), _number(event["subject"])
        if event["action"] == "alert":
            told[number] = {"case_id": number, "channel": str(document.get("channel", "log")), "at": event["at"]}
        elif event["action"] == "probation":
            looks[number] = {
                "seq": number,
                "state": document["state"],
                "spent": float(document["spent"]),
                "matured": int(document.get("matured") or 0),
                "decisions": int(document.get("decisions") or 0),
                "at": event["at"],
                "sentence": document.get("sentence", ""),
            }
        elif event["action"] == "renewal":
            looked[number] = int(document["known"])
        elif event["action"] == "gate":
            spent += _try(document, event["at"], event["by"], None, number)
    for table, rows in ((alerts, list(told.values())), (probations, list(looks.values())), (tries, spent)):
        if rows:
            connection.execute(sa.insert(table), sorted(rows, key=lambda row: row["at"]))
    _cases(connection, looked)


def _number(subject: str) -> int:
    last = subject.rsplit(" ", 1)[-1]  # "case 3", "promotion 2", "model 4"
    return int(last) if last.isdecimal() else 0


def _by_cases(connection: sa.Connection) -> list[Json]:
    query = "SELECT case_id, at, by, document FROM case_events WHERE state = 'trained' ORDER BY id"
    found: list[Json] = []
    for event in connection.execute(sa.text(query)):
        found += _try(json.loads(event.document), event.at, event.by, event.case_id, None)
    return found


def _try(document: Json, at: int, by: str, case_id: int | None, challenger: int | None) -> list[Json]:
    """The try that a stored report is a record of; nothing where no test was made."""
    for check in document.get("report", {}).get("checks", ()):
        if check["name"] in ("auc_gain", "log_loss_gain") and check.get("details"):
            return [
                {
                    "at": at,
                    "by": by,
                    "case_id": case_id,
                    "champion": int(document["champion"]),
                    "challenger": challenger,
                    "alpha": float(check["details"]["level"]),
                    "evidence": str(check["details"]["evidence"]),
                }
            ]
    return []


def _cases(connection: sa.Connection, looked: dict[int, int]) -> None:
    """What of a case was read from its steps."""
    cases = sa.table(
        "cases",
        *(
            sa.column(name)
            for name in (
                "id",
                "closed_at",
                "state",
                "diagnosis",
                "window_id",
                "champion",
                "learned",
                "wait_for",
                "looked",
                "closed_by",
                "unresolved",
            )
        ),
    )
    for case in connection.execute(sa.select(cases)).all():
        steps = connection.execute(
            sa.text("SELECT by, document FROM case_events WHERE case_id = :case ORDER BY id"), {"case": case.id}
        ).all()
        documents = [json.loads(step.document) for step in steps]
        champion = next((d["champion"] for d in reversed(documents) if "champion" in d), None)
        if champion is None:
            window = sa.text("SELECT model_version FROM windows WHERE id = :window")
            champion = connection.execute(window, {"window": case.window_id}).scalar()
        state = "rejected" if case.state == "refused" else case.state
        harmful = state == "rejected" and case.diagnosis in HARM
        values = {
            "state": state,
            "champion": champion,
            "learned": max((d.get("matured") or 0 for d in documents), default=0),
            "wait_for": next((d["next"] for d in reversed(documents) if "next" in d), None),
            "looked": looked.get(case.id),
            "closed_by": steps[-1].by if steps and case.closed_at is not None else None,
            "unresolved": harmful and not _over(connection, champion, case.window_id),
        }
        connection.execute(sa.update(cases).where(cases.c.id == case.id).values(**values))


def _over(connection: sa.Connection, champion: int | None, window_id: int) -> bool:
    """Whether the latest final windows of the champion are all stable."""
    query = sa.text(
        "SELECT diagnosis FROM windows WHERE model_version = :champion AND id > :window AND matured_at IS NOT NULL "
        "AND diagnosis NOT IN ('not_enough_data', 'data_fault') ORDER BY id DESC LIMIT :least"
    )
    values = {"champion": champion, "window": window_id, "least": IN_A_ROW}
    latest = connection.execute(query, values).scalars().all()
    return len(latest) == IN_A_ROW and set(latest) == {"stable"}
