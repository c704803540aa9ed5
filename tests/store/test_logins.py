"""Users, sessions and failed logins, on every database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from riskloop.core.errors import ConfigError, Conflict, NotFound, TooManyTries, Unauthorised
from riskloop.core.types import to_micros
from riskloop.store.attempts import FREE, LONGEST, Attempts, pause
from riskloop.store.audit import latest
from riskloop.store.database import Database
from riskloop.store.keys import Keys, Role
from riskloop.store.sessions import LoginKind, Session, Sessions
from riskloop.store.tables import attempts, sessions, users
from riskloop.store.users import Users, hashed, matches

NOW = datetime(2025, 5, 1, tzinfo=UTC)
WORDS = "correct horse battery"
IDLE, LONG = timedelta(minutes=30), timedelta(hours=12)


@pytest.fixture
def people(database: Database) -> Users:
    found = Users(database)
    found.create("ann", [Role.VIEW], WORDS, at=NOW, by="root")
    return found


@pytest.fixture
def opened(database: Database) -> Sessions:
    return Sessions(database, idle=IDLE, longest=LONG)


def begin(opened: Sessions, kind: LoginKind = LoginKind.USER, name: str = "ann", **more: object) -> str:
    return opened.begin(kind, name, address="127.0.0.1", **more)  # type: ignore[arg-type]


def age(database: Database, **by: timedelta) -> None:
    """Move the times of every session back."""
    values = {name: sessions.c[name] - delta // timedelta(microseconds=1) for name, delta in by.items()}
    with database.write() as connection:
        connection.execute(update(sessions).values(values))


def test_addresses_of_one_network_are_one_guesser(database: Database) -> None:
    guard = Attempts(database)
    for number in range(FREE):
        guard.begin(name=f"n{number}", address=f"2001:db8:1:2:{number:x}::1")
    with pytest.raises(TooManyTries):
        guard.begin(name="another", address="2001:db8:1:2:ffff::")
    guard.begin(name="neighbour", address="2001:db8:1:3::1")
    for number in range(FREE + 3):
        guard.begin(name=f"m{number}", address=f"10.0.0.{number}")
        guard.begin(name=f"k{number}", address=f"::ffff:10.0.1.{number}")


@pytest.mark.parametrize("name", ["riskloop", "Riskloop", "local"])
def test_nobody_is_called_as_riskloop_calls_itself_on_record(database: Database, name: str) -> None:
    with pytest.raises(ConfigError, match="riskloop itself"):
        Users(database).create(name, [Role.VIEW], WORDS, at=NOW, by="root")
    with pytest.raises(ConfigError, match="riskloop itself"):
        Keys(database).create(name, [Role.VIEW], at=NOW, by="root")


# --------------------------------------------------------------------------- passwords


@pytest.mark.parametrize(
    "password", [WORDS, "pässword mit ümläut", "p" * 500, "\u212bngstr\u00f6m unit", "  padded  word "]
)
def test_a_password_opens_and_another_does_not(password: str) -> None:
    stored = hashed(password)
    assert matches(password, stored)
    assert not matches(password + "x", stored)
    assert password not in stored
    assert hashed(password) != stored


def test_a_password_is_one_however_it_was_typed() -> None:
    assert matches("\u00c5ngstr\u00f6m unit", hashed("A\u030angstro\u0308m unit"))


def test_scrypt_is_the_one_of_rfc_7914() -> None:
    stored = "scrypt$10$8$16$TmFDbA==$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWI="  # N=1024, r=8, p=16, "NaCl"
    assert matches("password", stored)


def test_only_a_valid_user_with_the_password_is_known(people: Users) -> None:
    assert people.check("ann", WORDS)
    for name, password in (("ann", "x"), ("ann", ""), ("bob", WORDS), ("", ""), ("ann", WORDS.upper())):
        assert not people.check(name, password)
    people.revoke("ann", at=NOW, by="root")
    assert not people.check("ann", WORDS)


@pytest.mark.parametrize("weak", ["", "short", "ann" * 5, "aaaaaaaaaaaaaaa", "x" * 1001])
def test_weak_passwords_are_refused(people: Users, weak: str) -> None:
    with pytest.raises(ConfigError):
        people.set_password("ann", weak, at=NOW, by="root")
    assert people.check("ann", WORDS)


def test_a_name_means_one_key_or_user_for_ever(people: Users, database: Database) -> None:
    keys = Keys(database)
    keys.create("feed", [Role.SCORE], at=NOW, by="root")
    people.revoke("ann", at=NOW, by="root")
    for make in (
        lambda: people.create("feed", [Role.VIEW], WORDS, at=NOW, by="root"),
        lambda: people.create("ann", [Role.VIEW], WORDS, at=NOW, by="root"),
        lambda: keys.create("ann", [Role.VIEW], at=NOW, by="root"),
    ):
        with pytest.raises(Conflict):
            make()
    with pytest.raises(NotFound):
        people.set_roles("ann", [Role.OPERATE], at=NOW, by="root")


def test_with_a_user_everybody_is_asked(database: Database, people: Users) -> None:
    assert Keys(database).ring()
    people.revoke("ann", at=NOW, by="root")
    assert Keys(database).ring()


# --------------------------------------------------------------------------- sessions


def test_a_session_says_who_and_what_they_may_do_now(people: Users, opened: Sessions, database: Database) -> None:
    key = Keys(database).create("feed", [Role.OPERATE], at=NOW, by="root").partition(".")[0]
    assert opened.find(begin(opened)) == Session(LoginKind.USER, "ann", frozenset({Role.VIEW}))
    assert opened.find(begin(opened, LoginKind.KEY, key)) == Session(LoginKind.KEY, "feed", frozenset(Role))


def test_a_token_is_stored_nowhere_and_never_twice(people: Users, opened: Sessions, database: Database) -> None:
    tokens = {begin(opened) for _ in range(5)}
    assert len(tokens) == 5
    with database.read() as connection:
        stored = [row.digest for row in connection.execute(select(sessions))]
    assert len(stored) == 5
    assert not set(stored) & tokens


@pytest.mark.parametrize("wrong", ["", "x", "x" * 43, "é" * 43, "\udc80" * 43])
def test_another_token_opens_nothing(people: Users, opened: Sessions, wrong: str) -> None:
    token = begin(opened)
    assert opened.find(wrong) is None
    opened.end(wrong)
    assert opened.find(token) is not None


def test_a_session_ends_when_idle_or_old(people: Users, opened: Sessions, database: Database) -> None:
    token = begin(opened)
    for _ in range(4):  # used every 20 minutes
        age(database, seen_at=timedelta(minutes=20), begun_at=timedelta(minutes=20))
        assert opened.find(token) is not None
    age(database, seen_at=timedelta(minutes=20))
    assert opened.find(token, used=False) is not None  # a page that polls
    age(database, seen_at=timedelta(minutes=11))
    assert opened.find(token) is None
    token = begin(opened)
    age(database, begun_at=LONG - timedelta(seconds=30))
    assert opened.find(token) is not None
    age(database, begun_at=timedelta(minutes=1))
    assert opened.find(token) is None


def test_sessions_that_are_over_are_forgotten(people: Users, opened: Sessions, database: Database) -> None:
    begin(opened)
    age(database, seen_at=IDLE)
    kept = begin(opened)
    with database.read() as connection:
        assert len(connection.execute(select(sessions)).all()) == 1
    assert opened.find(kept) is not None


def test_a_login_replaces_the_session_before(people: Users, opened: Sessions) -> None:
    first = begin(opened)
    second = begin(opened, replaces=first)
    assert opened.find(first) is None
    assert opened.find(second) is not None


ENDS: dict[str, Callable[[Database], object]] = {
    "password": lambda d: Users(d).set_password("ann", WORDS + " staple", at=NOW, by="root"),
    "roles": lambda d: Users(d).set_roles("ann", [Role.OPERATE], at=NOW, by="root"),
    "revoked": lambda d: Users(d).revoke("ann", at=NOW, by="root"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_changed_user_is_out_at_once(people: Users, opened: Sessions, database: Database, how: str) -> None:
    people.create("bob", [Role.VIEW], WORDS, at=NOW, by="root")
    tokens, other = [begin(opened) for _ in range(2)], begin(opened, name="bob")
    ENDS[how](database)
    assert [opened.find(token) for token in tokens] == [None, None]
    assert opened.find(other) is not None


def test_a_key_that_is_revoked_rotated_or_over_is_out_at_once(opened: Sessions, database: Database) -> None:
    keys, soon = Keys(database), datetime.now(UTC) + timedelta(hours=1)
    for name in ("a", "b", "c"):
        keys.create(name, [Role.VIEW], at=NOW, by="root", expires_at=soon)
    tokens = {name: begin(opened, LoginKind.KEY, name) for name in ("a", "b", "c")}
    assert all(opened.find(token) for token in tokens.values())
    keys.revoke("a", at=NOW, by="root")
    keys.rotate("b", at=NOW, by="root", old_until=soon)
    with database.write() as connection:
        from riskloop.store.tables import keys as table

        connection.execute(update(table).where(table.c.name == "c").values(expires_at=to_micros(NOW)))
    assert [opened.find(token) for token in tokens.values()] == [None, None, None]


def test_logins_and_logouts_are_on_record(people: Users, opened: Sessions, database: Database) -> None:
    token = begin(opened)
    opened.end(token)
    opened.end(token)
    assert opened.find(token) is None
    found = [(e.by, e.action) for e in latest(database)]
    assert found == [("ann", "log out"), ("ann", "log in"), ("root", "create user")]
    assert all(token not in str(e.document) and WORDS not in str(e.document) for e in latest(database))


# --------------------------------------------------------------------------- failed logins


def test_pauses_double_up_to_a_limit() -> None:
    assert [pause(n, 30) for n in range(FREE + 8)] == [0] * FREE + [1, 2, 4, 8, 16, 30, 30, 30]
    assert pause(10**9, 600) == 600


def rewind(database: Database, seconds: float) -> None:
    with database.write() as connection:
        connection.execute(update(attempts).values(last_at=attempts.c.last_at - int(seconds * 1e6)))


def tries(guard: Attempts, name: str | None, address: str, most: int = 50) -> int:
    """Tries that are let through at once."""
    for done in range(most):
        try:
            guard.begin(name=name, address=address)
        except TooManyTries:
            return done
    return most


def test_names_and_addresses_are_slowed_down_each(database: Database) -> None:
    guard = Attempts(database)
    assert tries(guard, "ann", "1.1.1.1") == FREE
    assert tries(guard, "ann", "2.2.2.2") == 0  # the name, from elsewhere
    assert tries(guard, "bob", "1.1.1.1") == 0  # another name, from the same address
    assert tries(guard, "bob", "2.2.2.2") == FREE
    assert tries(guard, None, "3.3.3.3") == FREE  # a key
    rewind(database, 1.0)
    assert tries(guard, "ann", "4.4.4.4") == 1
    rewind(database, 1.0)
    assert tries(guard, "ann", "4.4.4.4") == 0
    rewind(database, 1.0)
    assert tries(guard, "ann", "4.4.4.4") == 1


def test_nobody_is_locked_out_for_long_by_others(database: Database) -> None:
    guard = Attempts(database)
    for number in range(60):
        rewind(database, LONGEST["name"])
        guard.begin(name="ann", address=f"10.0.0.{number}")
    rewind(database, LONGEST["name"])
    assert tries(guard, "ann", "127.0.0.1") == 1


def test_a_success_clears_the_name_and_not_the_address(database: Database) -> None:
    guard = Attempts(database)
    for _ in range(FREE - 1):
        guard.begin(name="ann", address="1.1.1.1")
    guard.begin(name="eve", address="1.1.1.1")
    guard.succeeded(name="eve", address="1.1.1.1")  # a guesser who has an account of their own
    assert tries(guard, "bob", "1.1.1.1") == 1
    guard.succeeded(name="ann", address="9.9.9.9")
    assert tries(guard, "ann", "2.2.2.2") == FREE


def test_failures_are_forgotten(database: Database) -> None:
    guard = Attempts(database)
    tries(guard, "ann", "1.1.1.1")
    rewind(database, 901)
    assert tries(guard, "ann", "1.1.1.1") == FREE
    rewind(database, 901)
    guard.begin(name=None, address="2.2.2.2")
    with database.read() as connection:
        assert len(connection.execute(select(attempts)).all()) == 1


def test_tries_at_the_same_moment_are_tries(database: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    guard = Attempts(database)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: tries(guard, "ann", "1.1.1.1", 1), range(24)))
    assert sum(done) == FREE


def test_a_user_of_the_table_is_no_secret(people: Users, database: Database) -> None:
    with database.read() as connection:
        assert WORDS not in str(connection.execute(select(users)).one())


CHANGES: dict[str, Callable[[Users], None]] = {
    "another password": lambda people: people.set_password("ann", "battery horse staple", at=NOW, by="root"),
    "the same password anew": lambda people: people.set_password("ann", WORDS, at=NOW, by="root"),
    "revoked": lambda people: people.revoke("ann", at=NOW, by="root"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_login_that_began_before_a_change_opens_no_session(
    people: Users, opened: Sessions, database: Database, change: str
) -> None:
    """To compare a password takes a fifth of a second, in which it may be replaced."""
    still = people.check("ann", WORDS)
    assert still is not None
    CHANGES[change](people)
    with pytest.raises(Unauthorised, match="Log in again"):
        begin(opened, still=still)
    with database.read() as connection:
        assert connection.execute(select(sessions)).all() == []


def test_a_key_that_is_revoked_while_it_logs_in_opens_no_session(opened: Sessions, database: Database) -> None:
    keys = Keys(database)
    text = keys.create("batch", [Role.VIEW], at=NOW, by="root")
    still = keys.still("batch", text)
    keys.rotate("batch", at=NOW, by="root", old_until=NOW)
    with pytest.raises(Unauthorised):
        begin(opened, LoginKind.KEY, "batch", still=still)
    new = keys.still("batch", keys.rotate("batch", at=NOW, by="root", old_until=NOW))
    assert opened.find(begin(opened, LoginKind.KEY, "batch", still=new)) is not None
    keys.revoke("batch", at=NOW, by="root")
    with pytest.raises(Unauthorised):
        begin(opened, LoginKind.KEY, "batch", still=new)


def test_a_session_of_single_sign_on_has_the_roles_of_its_login(opened: Sessions) -> None:
    token = begin(opened, LoginKind.SSO, "sso:ann", roles=frozenset({Role.VIEW}))
    assert opened.find(token) == Session(LoginKind.SSO, "sso:ann", frozenset({Role.VIEW}))
    nobody = begin(opened, LoginKind.SSO, "sso:eve")
    assert opened.find(nobody) == Session(LoginKind.SSO, "sso:eve", frozenset())
