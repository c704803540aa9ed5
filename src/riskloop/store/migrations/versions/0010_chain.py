"""A hash chain over what is on record. What was there before is linked as it is found, and said to be so."""

import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from riskloop.core import chain

revision = "0010"
down_revision = "0009"

# By table: its number, and what is not covered.
_NUMBERED = {
    "models": ("version", {"signature"}),
    "promotions": ("seq", set()),
    "outcomes": ("id", set()),
    "deliveries": ("id", set()),
    "windows": ("id", {"profile", "judged_with"}),
    "cases": ("id", set()),
    "case_events": ("id", set()),
    "gate_tries": ("id", set()),
    "probations": ("seq", set()),
    "audit": ("id", set()),
}
_REVISED = {"deliveries", "windows", "cases", "probations"}  # a link each, as later ones will have
_WHOLE = ("keys", "users")
_GROUP = 1000  # rows of one link, so that a changed one can be named closely
_DECISION = "id, customer_id, time, scored_at, model_version, probability, is_default, features, flags"


def upgrade() -> None:
    """Make the chain, and begin it with what is on record."""
    links = op.create_table(
        "links",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    not_decisions = sa.text("kind != 'decisions'")
    op.create_index(
        "links_kind", "links", ["kind", "last_id"], sqlite_where=not_decisions, postgresql_where=not_decisions
    )
    op.add_column("models", sa.Column("signature", sa.LargeBinary(), nullable=True))
    connection = op.get_bind()
    number, previous, at = 0, chain.GENESIS, time.time_ns() // 1000
    for kind, first, last, digest in _before(connection):
        number += 1
        previous = chain.link(previous, number, kind, first, last, at, digest)
        values = dict(zip(chain.Link._fields, (number, kind, first, last, at, digest, previous), strict=True))
        connection.execute(sa.insert(links).values(**values))
    op.execute(f"INSERT INTO counters (name, value) VALUES ('links', {number})")


def _before(connection: sa.Connection) -> Iterator[tuple[str, int, int, bytes]]:
    """What is on record, in groups, and behind it a link about all of them."""
    count = 0
    for group in _groups(connection):
        count += 1
        yield group
    if count:
        yield "before", 1, count, chain.rows_digest(())


def _groups(connection: sa.Connection) -> Iterator[tuple[str, int, int, bytes]]:
    for rows in _pieces(connection, "decisions", "id", _DECISION):
        yield "decisions", rows[0][0], rows[-1][0], chain.decisions_digest([tuple(row) for row in rows])
    for kind, (key, hidden) in _NUMBERED.items():
        for rows in _pieces(connection, kind, key):
            for group in [[row] for row in rows] if kind in _REVISED else [rows]:
                first, last = group[0]._mapping[key], group[-1]._mapping[key]
                yield kind, first, last, chain.rows_digest(chain.row(_covered(row, hidden)) for row in group)
    for kind in _WHOLE:
        named = [dict(row._mapping) for row in connection.execute(sa.text(f"SELECT * FROM {kind}"))]
        named.sort(key=lambda row: str(row["name"]).encode())
        if named:
            yield kind, 1, len(named), chain.rows_digest(chain.row(row) for row in named)


def _pieces(connection: sa.Connection, table: str, key: str, columns: str = "*") -> Iterator[list[sa.Row[Any]]]:
    """The rows of a table by number, some at a time: a large one does not fit into memory."""
    piece = sa.text(f"SELECT {columns} FROM {table} WHERE {key} > :last ORDER BY {key} LIMIT {_GROUP}")
    last = 0
    while rows := list(connection.execute(piece, {"last": last})):
        yield rows
        last = int(rows[-1]._mapping[key])


def _covered(row: Any, hidden: set[str]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name not in hidden}
