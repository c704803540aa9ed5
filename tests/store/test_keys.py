from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from riskloop.core.errors import ConfigError, Conflict, NotFound
from riskloop.store.audit import latest
from riskloop.store.database import Database
from riskloop.store.keys import Keys, Role
from riskloop.store.tables import keys as table

NOW = datetime(2025, 5, 1, tzinfo=UTC)


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


def test_a_key_opens_what_its_roles_allow(keys: Keys) -> None:
    text = keys.create("clerk", [Role.SCORE, Role.VIEW], at=NOW, by="ann")
    assert keys.ring().check(text) == ("clerk", frozenset({Role.SCORE, Role.VIEW}))


def test_to_operate_is_to_do_everything(keys: Keys) -> None:
    text = keys.create("boss", [Role.OPERATE], at=NOW, by="ann")
    assert keys.ring().check(text) == ("boss", frozenset(Role))


@pytest.mark.parametrize("wrong", ["", ".", "clerk", "clerk.", "clerk.x", "nobody.secret", "é.ü"])
def test_anything_else_opens_nothing(keys: Keys, wrong: str) -> None:
    keys.create("clerk", [Role.SCORE], at=NOW, by="ann")
    assert keys.ring().check(wrong) is None


def test_the_secret_is_stored_nowhere(keys: Keys) -> None:
    secret = keys.create("clerk", [Role.SCORE], at=NOW, by="ann").partition(".")[2].encode()
    with keys.database.read() as connection:
        row = connection.execute(select(table)).one()
    assert all(secret not in bytes(value) for value in (row.salt, row.digest))


def test_a_revoked_key_opens_nothing_and_its_name_is_gone(keys: Keys) -> None:
    assert not keys.ring()
    text = keys.create("clerk", [Role.SCORE], at=NOW, by="ann")
    keys.revoke("clerk", at=NOW, by="ann")
    assert keys.ring(), "without its last key the server must stay closed"
    assert keys.ring().check(text) is None
    assert keys.all()[0].revoked_at == NOW
    with pytest.raises(NotFound):
        keys.revoke("clerk", at=NOW, by="ann")
    with pytest.raises(Conflict):
        keys.create("clerk", [Role.SCORE], at=NOW, by="ann")


def test_names_and_roles_are_checked(keys: Keys) -> None:
    with pytest.raises(ConfigError, match="cannot name a key"):
        keys.create("a b", [Role.SCORE], at=NOW, by="ann")
    with pytest.raises(ConfigError, match="at least one role"):
        keys.create("ab", [], at=NOW, by="ann")


def test_who_made_and_revoked_a_key_is_on_record(keys: Keys) -> None:
    keys.create("clerk", [Role.SCORE], at=NOW, by="ann")
    keys.revoke("clerk", at=NOW, by="bob")
    assert [(e.by, e.action) for e in latest(keys.database)] == [("bob", "revoke key"), ("ann", "create key")]
