"""Every committed group of rows is a link of one chain, written in the transaction of the group itself.

Who writes rows of a covered table says so with `note`; when the block of `Database.write` ends, `seal` appends the
links. Decisions are linked by the appenders, which write without SQLAlchemy. The row of `counters` that numbers the
links is locked last, and for a moment only, so writers of other tables do not wait for each other longer than that.

Three ways in which a table can be covered:

- *Appended*: a row is written once and never again (`APPENDED`).
- *Revised*: rows change, and each change of a row is a further link; it must be as its newest link says (`REVISED`).
- *Whole*: a small table without numbers; its newest link is about all its rows (`WHOLE`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Connection, Table, insert, select

from riskloop.core import chain
from riskloop.store import counters
from riskloop.store.tables import (
    archives,
    audit,
    case_events,
    case_notes,
    cases,
    decisions,
    deliveries,
    erasures,
    gate_tries,
    keys,
    links,
    models,
    outcomes,
    probations,
    promotions,
    segments,
    shadow_scores,
    users,
    windows,
)

APPENDED: Final = {
    t.name: t for t in (decisions, erasures, outcomes, models, promotions, gate_tries, case_events, case_notes, audit)
}
REVISED: Final = {t.name: t for t in (archives, segments, shadow_scores, deliveries, windows, cases, probations)}
WHOLE: Final = {t.name: t for t in (keys, users)}
# A profile is computed from decisions, which are covered: those of a segment by the hash of its file.
NOT_COVERED: Final = {
    windows.name: {"profile", "judged_with"},
    segments.name: {"profile"},
    models.name: {"signature"},
}
_TOUCHED: Final = "riskloop.touched"
_GROUPS: Final = "riskloop.groups"
IDS: Final = 500  # below SQLite's oldest limit of 999 bound variables


def note(connection: Connection, table: Table, *ids: int | None) -> None:
    """Say that rows of a covered table were written in this transaction; without ids that of a `WHOLE` one."""
    touched = connection.info.setdefault(_TOUCHED, {}).setdefault(table.name, set())
    touched.update(number for number in ids if number is not None)


def note_group(connection: Connection, table: Table, first: int, last: int, digest: bytes) -> None:
    """Say that rows with consecutive numbers were appended to a covered table, and what their digest is.

    For who writes many and has them at hand: they are not read again.
    """
    connection.info.setdefault(_GROUPS, []).append((table.name, first, last, digest))


def forget(connection: Connection) -> None:
    """Begin a transaction with nothing noted."""
    connection.info.pop(_TOUCHED, None)
    connection.info.pop(_GROUPS, None)


def seal(connection: Connection, now: Callable[[Connection], int]) -> None:
    """Append a link for each run of rows that was noted; at the end of the transaction that wrote them.

    ``now`` is asked for the time when there is something to append.
    """
    touched: dict[str, set[int]] = connection.info.pop(_TOUCHED, {})
    groups: list[tuple[str, int, int, bytes]] = connection.info.pop(_GROUPS, [])
    for kind in sorted(touched):
        if kind in WHOLE:
            groups.append((kind, *whole(connection, WHOLE[kind])))
        else:
            groups += _runs(connection, kind, sorted(touched[kind]))
    groups.sort(key=lambda group: group[:2])
    if groups:
        append(connection, groups, now(connection))


def append(connection: Connection, groups: Sequence[tuple[str, int, int, bytes]], at: int) -> None:
    """Append links of (kind, first id, last id, digest).

    They follow the newest one that is there: where somebody cut links off, their numbers lack, and that is found.
    """
    number, before = counters.take(connection, links, len(groups)), head(connection)
    previous = chain.GENESIS if before is None else before.link
    rows = []
    for kind, first, last, digest in groups:
        previous = chain.link(previous, number, kind, first, last, at, digest)
        rows.append(dict(zip(chain.Link._fields, (number, kind, first, last, at, digest, previous), strict=True)))
        number += 1
    connection.execute(insert(links), rows)


def columns(table: Table) -> list[Any]:
    """The covered columns of a table."""
    return [column for column in table.columns if column.name not in NOT_COVERED.get(table.name, ())]


def key(table: Table) -> Any:
    """The column whose values a link's range names."""
    (column,) = table.primary_key.columns
    return column


def digests(connection: Connection, table: Table, condition: Any = None) -> Iterator[tuple[int, bytes]]:
    """The number and digest of each row of a table, by number."""
    number = key(table)
    query = select(*columns(table)).order_by(number)
    if condition is not None:
        query = query.where(condition)
    with connection.execute(query.execution_options(yield_per=1000)) as found:
        for row in found:
            values = row._mapping
            yield values[number.name], chain.row(dict(values))


def whole(connection: Connection, table: Table) -> tuple[int, int, bytes]:
    """Range and digest of a table without numbers; its rows are ordered by the bytes of their names."""
    rows = [dict(row._mapping) for row in connection.execute(select(*columns(table)))]
    rows.sort(key=lambda row: str(row[key(table).name]).encode())
    return min(1, len(rows)), len(rows), chain.rows_digest(chain.row(row) for row in rows)


def _runs(connection: Connection, kind: str, ids: Sequence[int]) -> Iterator[tuple[str, int, int, bytes]]:
    """Consecutive numbers are one group; a number whose row is gone by the end of the transaction is none."""
    table = APPENDED.get(kind, REVISED.get(kind))
    if table is None:
        raise ValueError(f"the chain does not cover {kind}")
    found: dict[int, bytes] = {}
    for start in range(0, len(ids), IDS):
        found.update(digests(connection, table, key(table).in_(ids[start : start + IDS])))
    alone = kind in REVISED  # a later link is about one row, and must not make others unprovable
    for run in [[number] for number in found] if alone else runs(sorted(found)):
        yield kind, run[0], run[-1], chain.rows_digest(found[number] for number in run)


def runs(ids: Sequence[int]) -> list[Sequence[int]]:
    """Sorted numbers in runs without a gap."""
    ends = [i for i, (one, other) in enumerate(pairwise(ids), start=1) if other != one + 1]
    return [ids[start:end] for start, end in zip([0, *ends], [*ends, len(ids)], strict=True) if start < end]


def read(connection: Connection, after: int = 0) -> Iterator[chain.Link]:
    """The links after a number, in order."""
    query = select(*(links.c[name] for name in chain.Link._fields)).where(links.c.number > after)
    with connection.execute(query.order_by(links.c.number).execution_options(yield_per=5000)) as found:
        yield from (chain.Link(*row) for row in found)


def head(connection: Connection) -> chain.Link | None:
    """The newest link."""
    return next(iter(_newest(connection, 1)), None)


def last_id(connection: Connection, kind: str, until: int) -> int | None:
    """The last row of a kind that the links up to a number are about, 0 when they are about none; None for number 0."""
    if until == 0:
        return None
    found = select(links.c.last_id).where(links.c.kind == kind, links.c.number <= until)
    # Of decisions the newest link names the last row; of others, whose numbers come in no order, there are few links.
    newest = found.order_by(links.c.number.desc() if kind == decisions.name else links.c.last_id.desc()).limit(1)
    return int(connection.execute(newest).scalar() or 0)


def _newest(connection: Connection, count: int) -> Iterable[chain.Link]:
    query = select(*(links.c[name] for name in chain.Link._fields)).order_by(links.c.number.desc()).limit(count)
    return [chain.Link(*row) for row in connection.execute(query)]


def link_of(connection: Connection, number: int) -> bytes:
    return bytes(connection.execute(select(links.c.link).where(links.c.number == number)).scalar_one())
