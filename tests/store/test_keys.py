from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from riskloop.core.errors import ConfigError, Conflict, NotFound
from riskloop.core.types import to_micros
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


def micros(days: float) -> int:
    return to_micros(NOW + timedelta(days=days))


def test_a_key_ends_when_it_was_said_to(keys: Keys) -> None:
    text = keys.create("clerk", [Role.SCORE], at=NOW, by="ann", expires_at=NOW + timedelta(days=90))
    ring = keys.ring()
    assert ring.check(text, micros(89.9))
    assert ring.check(text, micros(90)) is None
    assert ring.check(text) is None  # today
    assert [key.expires_at for key in keys.all()] == [NOW + timedelta(days=90)]
    with pytest.raises(ConfigError, match="would have expired"):
        keys.create("late", [Role.SCORE], at=NOW, by="ann", expires_at=NOW)


def test_after_a_rotation_the_old_secret_has_a_grace_period(keys: Keys) -> None:
    first = keys.create("clerk", [Role.SCORE], at=NOW, by="ann")
    second = keys.rotate("clerk", at=NOW, by="ann", old_until=NOW + timedelta(days=7))
    ring = keys.ring()
    assert [bool(ring.check(first, micros(day))) for day in (0, 6.9, 7, 300)] == [True, True, False, False]
    assert all(ring.check(second, micros(day)) == ("clerk", frozenset({Role.SCORE})) for day in (0, 7, 300))
    third = keys.rotate("clerk", at=NOW, by="ann", old_until=NOW)  # no grace, and the first is gone for good
    ring = keys.ring()
    assert [bool(ring.check(key, micros(0))) for key in (first, second, third)] == [False, False, True]
    keys.revoke("clerk", at=NOW, by="ann")
    assert [keys.ring().check(key, micros(0)) for key in (first, second, third)] == [None] * 3
    with pytest.raises(NotFound):
        keys.rotate("clerk", at=NOW, by="ann", old_until=NOW)


def test_a_rotation_makes_no_key_live_longer_unless_asked(keys: Keys) -> None:
    first = keys.create("clerk", [Role.SCORE], at=NOW, by="ann", expires_at=NOW + timedelta(days=3))
    second = keys.rotate("clerk", at=NOW, by="ann", old_until=NOW + timedelta(days=7))
    ring = keys.ring()
    assert [bool(ring.check(key, micros(day))) for key in (first, second) for day in (2.9, 3)] == [True, False] * 2
    later = NOW + timedelta(days=4)
    with pytest.raises(ConfigError, match="has expired"):
        keys.rotate("clerk", at=later, by="ann", old_until=later)
    third = keys.rotate("clerk", at=later, by="ann", old_until=later, expires_at=NOW + timedelta(days=30))
    assert keys.ring().check(third, micros(29))
