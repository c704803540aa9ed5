"""Whoever changes a row, a link or the chain's end with a tool of the database is found, on every database."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.postgres import SCHEME, Server

from riskloop.core.chain import GENESIS, link
from riskloop.store import audit, chain, deliveries, migrations
from riskloop.store.adapters import ADAPTERS, open_database
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.migrations import upgrade
from riskloop.store.sqlite import Sqlite
from riskloop.store.tables import metadata
from riskloop.store.transfer import move
from riskloop.store.verify import Breach, recompute

from .deeds import fill
from .rows import scored

COVERED = {**chain.APPENDED, **chain.REVISED, **chain.WHOLE}
# Tables that the version before the chain did not have, or that are not part of what it left.
LATER = ("links", "counters", "cycles", "segments", "erasures", "case_notes", "archives", "shadow_scores")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file that was filled."""
    folder = tmp_path_factory.mktemp("filled")
    _fill("sqlite:///riskloop.db", folder)
    return folder / "riskloop.db"


@pytest.fixture(scope="module")
def written_there(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database of PostgreSQL that was filled."""
    url = postgres.fresh()
    _fill(url, tmp_path_factory.mktemp("filled"))
    return url


def _fill(url: str, folder: Path) -> None:
    database = open_database(url, folder)
    upgrade(database)
    fill(database)
    database.close()


@pytest.fixture(params=ADAPTERS)
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A copy of a filled database of each kind."""
    if request.param == "sqlite:///":
        url = "sqlite:///riskloop.db"
        shutil.copy(request.getfixturevalue("written"), tmp_path)
    else:
        assert request.param == SCHEME, "a new adapter needs a way to copy its databases"
        url = request.getfixturevalue("postgres").copy(request.getfixturevalue("written_there"))
    database = open_database(url, tmp_path)
    yield database
    database.close()


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        return value[::-1] + b"\x00"
    if isinstance(value, str):  # as long as before: PostgreSQL cuts spaces off that do not fit
        return value[:-1] + ("y" if value.endswith("x") else "x")
    return value + type(value)(1)


def tamper(database: Database, *statements: str) -> list[Breach]:
    """What an attacker does with the database's own tool, and what is found."""
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    return recompute(database).breaches


def test_every_kind_of_row_is_linked_and_nothing_is_found_where_nobody_tampered(filled: Database) -> None:
    found = recompute(filled)
    assert found.breaches == []
    assert found.head is not None
    assert set(found.rows) == set(COVERED)
    assert all(found.rows.values())
    with filled.read() as connection:
        assert found.head == chain.head(connection)
        assert found.links == found.head.number


@pytest.mark.parametrize("name", COVERED)
def test_an_edited_field_of_any_table_is_found(filled: Database, name: str) -> None:
    table = COVERED[name]
    key = chain.key(table).name
    tried = 0
    for column in chain.columns(table):
        if column.name == key or column.foreign_keys:
            continue
        kind = column.type.python_type
        with filled.read() as connection:
            first = connection.execute(table.select().order_by(table.c[key]).limit(1)).one()._mapping
        old = first[column.name]
        if old is None and column.nullable:
            new = {int: 7, str: "x", bytes: b"x", bool: True, float: 0.5}[kind]
        else:
            new = other(old)
        with filled.engine.begin() as connection:
            connection.execute(table.update().where(table.c[key] == first[key]).values({column.name: new}))
        (breach,) = [b for b in recompute(filled).breaches if b.kind == name]  # an erasure's decision is found, too
        assert breach.what == "changed"
        assert breach.first_id <= (first[key] if isinstance(first[key], int) else 1) <= breach.last_id
        with filled.engine.begin() as connection:
            connection.execute(table.update().where(table.c[key] == first[key]).values({column.name: old}))
        tried += 1
    assert tried >= 4
    assert recompute(filled).breaches == []


@pytest.mark.parametrize("name", COVERED)
def test_a_deleted_row_of_any_table_is_found_by_its_number(filled: Database, name: str) -> None:
    table = COVERED[name]
    key = chain.key(table)
    with filled.engine.begin() as connection:
        numbers = list(connection.execute(table.select().with_only_columns(key).order_by(key)).scalars())
        for pointing in {"cases": ("case_events", "case_notes"), "models": ("promotions",)}.get(name, ()):
            connection.execute(text(f"DELETE FROM {pointing}"))
        connection.execute(table.delete().where(key == numbers[-1]))
    found = [breach for breach in recompute(filled).breaches if breach.kind == name]
    if name in chain.WHOLE:
        assert [breach.what for breach in found] == ["changed"]
    else:
        assert [(b.what, b.first_id, b.last_id) for b in found] == [("missing", numbers[-1], numbers[-1])]


@pytest.mark.parametrize("name", sorted(set(COVERED) - {"decisions"}))
def test_a_forged_row_of_any_table_is_found(filled: Database, name: str) -> None:
    table = COVERED[name]
    key = chain.key(table)
    with filled.engine.begin() as connection:
        last = dict(connection.execute(table.select().order_by(key.desc()).limit(1)).one()._mapping)
        forged = last[key.name] + 1 if isinstance(last[key.name], int) else "mallory"
        other_run = {"run": "mallory"} if name == "segments" else {}
        connection.execute(table.insert().values({**last, **other_run, key.name: forged}))
    (breach,) = recompute(filled).breaches
    assert (breach.kind, breach.what) == (name, "changed" if name in chain.WHOLE else "added")


@pytest.mark.parametrize(("number", "where"), [(0, "before"), (27, "behind")])
def test_a_forged_decision_is_found(filled: Database, number: int, where: str) -> None:
    columns = "customer_id, time, scored_at, model_version, probability, is_default, features, flags"
    (breach,) = tamper(
        filled, f"INSERT INTO decisions (id, {columns}) SELECT {number}, {columns} FROM decisions WHERE id = 1"
    )
    assert (breach.what, breach.first_id) == ("added", number), where


def test_decisions_in_another_order_are_found(filled: Database) -> None:
    found = tamper(
        filled,
        "UPDATE decisions SET id = -1 WHERE id = 1",
        "UPDATE decisions SET id = 1 WHERE id = 2",
        "UPDATE decisions SET id = 2 WHERE id = -1",
    )
    assert [(b.what, b.first_id) for b in found] == [("changed", 1), ("changed", 2)]


def test_a_deleted_promotion_that_brings_a_former_champion_back_is_found(filled: Database) -> None:
    (breach,) = tamper(filled, "DELETE FROM promotions WHERE seq = 2")
    assert breach.sentence == f"Promotion 2 was committed and is gone (link {breach.link})."


def test_a_changed_link_breaks_the_chain_where_it_was_changed(filled: Database) -> None:
    with filled.read() as connection:
        links = list(chain.read(connection))
    third = next(link for link in links if link.kind == "decisions" and link.first_id == 3)
    forged = "x'" + bytes(32).hex() + "'" if filled.scheme.startswith("sqlite") else "'\\x" + bytes(32).hex() + "'"
    found = tamper(filled, f"UPDATE links SET digest = {forged} WHERE number = {third.number}")
    assert {(b.kind, b.what, b.link) for b in found} == {
        ("links", "broken", third.number),
        ("decisions", "changed", third.number),
    }


@pytest.mark.parametrize("column", ["kind", "first_id", "last_id", "at", "link"])
def test_every_field_of_a_link_is_held_by_it(filled: Database, column: str) -> None:
    with filled.read() as connection:
        middle = list(chain.read(connection))[5]
    table = metadata.tables["links"]
    value = getattr(middle, column)
    changed = other(value)
    with filled.engine.begin() as connection:
        connection.execute(table.update().where(table.c.number == middle.number).values({column: changed}))
    broken = [b.link for b in recompute(filled).breaches if b.kind == "links" and b.what == "broken"]
    assert broken[0] == middle.number


def test_a_link_that_is_gone_is_found(filled: Database) -> None:
    found = tamper(filled, "DELETE FROM links WHERE number = 4")
    assert ("links", "missing", 4) in [(b.kind, b.what, b.first_id) for b in found]


def test_a_row_that_was_linked_anew_as_another_one_is_found(filled: Database) -> None:
    """An attacker who knows how riskloop links can append; what is on record cannot be linked a second time."""
    with filled.engine.begin() as connection:
        connection.execute(text("UPDATE outcomes SET defaulted = 1 - defaulted WHERE id = 5"))
        chain.note(connection, chain.APPENDED["outcomes"], 5)
        chain.seal(connection, lambda _: 1)
    found = recompute(filled).breaches
    assert {(b.kind, b.what, b.first_id) for b in found} >= {("outcomes", "relinked", 5)}


def test_what_is_verified_since_a_link_is_what_came_after_it(filled: Database) -> None:
    with filled.read() as connection:
        head = chain.head(connection)
    assert head is not None
    DecisionLog(filled).append(scored(4, start=50))
    with filled.engine.begin() as connection:
        connection.execute(text("UPDATE decisions SET probability = 0.5 WHERE id IN (1, 36)"))
    since = recompute(filled, head.number)
    assert (since.links, since.first_link, since.rows["decisions"]) == (1, head.number + 1, 4)
    assert [(b.first_id, b.last_id) for b in since.breaches] == [(35, 38)]
    assert [b.first_id for b in recompute(filled).breaches] == [1, 35]


def test_a_transaction_that_fails_leaves_no_link(filled: Database) -> None:
    def fail() -> None:
        with filled.write() as connection:
            connection.execute(text("DELETE FROM outcomes WHERE id = 99"))
            chain.note(connection, chain.APPENDED["outcomes"], 1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with filled.write() as connection:
        connection.execute(text("SELECT 1"))
    assert recompute(filled).breaches == []


def test_the_chain_goes_along_to_another_database(filled: Database, tmp_path: Path) -> None:
    copied = open_database("sqlite:///copy.db", tmp_path)
    move(filled, copied)
    with filled.read() as old, copied.read() as new:
        assert list(chain.read(old)) == list(chain.read(new))
    DecisionLog(copied).append(scored(1, start=60))
    found = recompute(copied)
    copied.close()
    assert (found.breaches, found.rows["decisions"]) == ([], 27)


def test_the_links_are_those_of_the_document(filled: Database) -> None:
    previous = GENESIS
    with filled.read() as connection:
        for number, found in enumerate(chain.read(connection), start=1):
            place = (number, found.kind, found.first_id, found.last_id, found.at, found.digest)
            assert found.link == link(previous, *place)
            previous = found.link


@pytest.fixture
def older(empty_url: str, tmp_path: Path) -> Callable[[], Database]:
    """A database as the version before the chain left it, with the rows of `fill`, brought to this version."""

    def make() -> Database:
        source = Sqlite(tmp_path / "source.db")
        upgrade(source)
        fill(source)
        old = open_database(empty_url, tmp_path)
        with old.write() as connection:
            migrations.run(connection, "0009")
            with source.read() as reading:
                for table in metadata.sorted_tables:
                    if table.name in (
                        "links",
                        "counters",
                        "cycles",
                        "segments",
                        "erasures",
                        "case_notes",
                        "archives",
                        "shadow_scores",
                    ):
                        continue
                    later = ("signature", "registered_by", *(("reason",) if table.name == "deliveries" else ()))
                    names = [c for c in table.c if c.name not in later]
                    rows = [dict(row._mapping) for row in reading.execute(table.select().with_only_columns(*names))]
                    if rows:
                        connection.execute(table.insert().values(rows))
            for name, last in (("decisions", 26), ("outcomes", 5), ("models", 2)):
                connection.execute(text(f"UPDATE counters SET value = {last} WHERE name = '{name}'"))
        source.close()
        upgrade(old)
        with old.write() as connection:
            old.continue_numbers(connection)
        return old

    return make


def test_the_chain_of_an_older_portfolio_begins_with_what_is_there(older: Callable[[], Database]) -> None:
    database = older()
    found = recompute(database)
    assert (found.breaches, found.before) == ([], found.links - 1)
    assert found.rows["decisions"] == 26
    assert all(found.rows.values())
    DecisionLog(database).append(scored(2, start=40))
    with database.write() as connection:
        deliveries.release(connection, [1])
    assert recompute(database).breaches == []
    (breach,) = tamper(database, "UPDATE decisions SET is_default = 1 - is_default WHERE id = 3")
    assert (breach.kind, breach.first_id, breach.last_id) == ("decisions", 1, 26)
    database.close()


def test_links_that_were_cut_off_keep_nobody_from_writing_and_are_found(filled: Database) -> None:
    found = tamper(filled, "DELETE FROM links WHERE number > (SELECT max(number) - 3 FROM links)")
    assert found
    logged = DecisionLog(filled).append(scored(2, start=90))
    assert logged.rows == 2
    audit.write(filled, by="ann", action="look", subject="record")
    (gap,) = [breach for breach in recompute(filled).breaches if (breach.kind, breach.what) == ("links", "missing")]
    assert gap.last_id - gap.first_id == 2
