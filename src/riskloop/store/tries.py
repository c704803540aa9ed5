"""Every test of a challenger by the gate: what the alpha budget was spent on."""

from sqlalchemy import Connection, insert, select

from riskloop.core.types import Try, from_micros, to_micros
from riskloop.store import chain
from riskloop.store.database import Database
from riskloop.store.tables import gate_tries


def record_try(connection: Connection, tried: Try, *, challenger: int, by: str, case_id: int | None = None) -> None:
    """Keep a try, in the transaction that keeps its report; without a case a person asked."""
    made = connection.execute(
        insert(gate_tries).values(
            at=to_micros(tried.at),
            by=by,
            case_id=case_id,
            champion=tried.champion,
            challenger=challenger,
            alpha=tried.alpha,
            evidence=tried.evidence,
        )
    )
    chain.note(connection, gate_tries, *(made.inserted_primary_key or ()))


def tries_against(database: Database, champion: int) -> tuple[Try, ...]:
    """Every test against one champion so far, oldest first."""
    query = select(gate_tries).where(gate_tries.c.champion == champion).order_by(gate_tries.c.at, gate_tries.c.id)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return tuple(Try(row.champion, from_micros(row.at), row.alpha, row.evidence) for row in rows)


def asked_about(database: Database, challenger: int) -> list[str]:
    """Who had the gate test a version."""
    query = select(gate_tries.c.by).where(gate_tries.c.challenger == challenger).distinct()
    with database.read() as connection:
        return list(connection.execute(query).scalars())
