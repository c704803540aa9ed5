"""API keys: shown once when they are made, stored as salted hashes.

A key is ``NAME.SECRET``; the name finds the row, and the secret is compared in constant time. The secret is 256
random bits, so one round of SHA-256 is enough: slow hashes protect passwords that people choose.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from riskloop.core.errors import ConfigError, Conflict, NotFound
from riskloop.core.settings import Settings
from riskloop.core.types import from_micros, to_micros
from riskloop.store import chain
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.tables import keys, sessions, users

_OURS: Final = frozenset(("riskloop", "local"))  # the loop's own deeds, and those of a machine without keys


class Role(StrEnum):
    """What a key or a person may do."""

    SCORE = "score"  # ask for decisions
    OUTCOMES = "outcomes"  # hand in what happened
    VIEW = "view"  # read models, drift, cases, decisions, metrics, the dashboard
    OPERATE = "operate"  # everything, promotions included


Roles = frozenset[Role]


@dataclass(frozen=True)
class Key:
    """One key, without its secret."""

    name: str
    roles: tuple[Role, ...]
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What a ring knows of a key. Times are microseconds; None: never."""

    roles: Roles
    secrets: tuple[tuple[bytes, bytes, int | None], ...]  # salt, digest, until when


_NOBODY: Final = KeyEntry(frozenset(), ((b"", b"", None),))


class KeyRing:
    """The keys that are valid now, in memory; immutable, replaced when the table changes.

    It is true once a key or a user was ever made: revoking the last one must close the doors and not open them.
    """

    def __init__(self, valid: Mapping[str, KeyEntry], *, asks: bool) -> None:
        self._valid = dict(valid)
        self._asks = asks

    def __bool__(self) -> bool:
        return self._asks

    def check(self, key: str, now: int | None = None) -> tuple[str, Roles] | None:
        """The key's name and what it may do, None when it is not valid at ``now`` (microseconds)."""
        name, _, secret = key.rpartition(".")
        entry = self._valid.get(name, _NOBODY)
        now = time.time_ns() // 1000 if now is None else now
        found = False
        for salt, digest, until in entry.secrets:
            same = hmac.compare_digest(_digest(salt, secret), digest or bytes(32))
            found |= same and bool(digest) and (until is None or now < until)
        return (name, entry.roles) if found else None

    def names(self, name: str) -> bool:
        """Whether a valid key has this name."""
        return name in self._valid


class Keys:
    """The table of keys."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(
        self, name: str, roles: Sequence[Role], *, at: datetime, by: str, expires_at: datetime | None = None
    ) -> str:
        """Make a key and return its text, which is stored nowhere."""
        text = role_text(name, roles)
        require_name(name)
        _require_future(expires_at, at)
        salt, secret = secrets.token_bytes(16), secrets.token_urlsafe(32)
        values = {"name": name, "role": text, "salt": salt, "digest": _digest(salt, secret)}
        until = None if expires_at is None else to_micros(expires_at)
        with self.database.write() as connection:
            require_unused(connection, name)
            try:
                connection.execute(insert(keys).values(**values, created_at=to_micros(at), expires_at=until))
            except IntegrityError:
                raise _used(name) from None
            chain.note(connection, keys)
            document = {"roles": text, **({} if expires_at is None else {"expires_at": expires_at.isoformat()})}
            record(connection, at=at, by=by, action="create key", subject=name, document=document)
        return f"{name}.{secret}"

    def rotate(
        self, name: str, *, at: datetime, by: str, old_until: datetime, expires_at: datetime | None = None
    ) -> str:
        """Give a key a new secret and return its text. The old one is valid until ``old_until``, or its own end.

        Sessions that were begun with it end. Without ``expires_at`` the new secret ends when the key would have.
        """
        _require_future(expires_at, at)
        salt, secret = secrets.token_bytes(16), secrets.token_urlsafe(32)
        with self.database.write() as connection:
            row = connection.execute(
                select(keys).where(keys.c.name == name, keys.c.revoked_at.is_(None)).with_for_update()
            ).first()
            if row is None:
                raise _unknown(name)
            until = row.expires_at if expires_at is None else to_micros(expires_at)
            if until is not None and until <= to_micros(at):
                raise ConfigError(f"The key '{name}' has expired; say with --expires how long the new one is valid.")
            ends = [to_micros(old_until), *(() if row.expires_at is None else (row.expires_at,))]
            connection.execute(
                update(keys)
                .where(keys.c.name == name)
                .values(
                    salt=salt,
                    digest=_digest(salt, secret),
                    expires_at=until,
                    former_salt=row.salt,
                    former_digest=row.digest,
                    former_until=min(ends),
                )
            )
            end_sessions(connection, "key", name)
            chain.note(connection, keys)
            document = {"old_until": from_micros(min(ends)).isoformat()}
            record(connection, at=at, by=by, action="rotate key", subject=name, document=document)
        return f"{name}.{secret}"

    def revoke(self, name: str, *, at: datetime, by: str) -> None:
        """End a key and its sessions; NotFound when there is none of that name that is valid."""
        with self.database.write() as connection:
            done = connection.execute(
                update(keys).where(keys.c.name == name, keys.c.revoked_at.is_(None)).values(revoked_at=to_micros(at))
            )
            if done.rowcount == 0:
                raise _unknown(name)
            end_sessions(connection, "key", name)
            chain.note(connection, keys)
            record(connection, at=at, by=by, action="revoke key", subject=name, document={})

    def all(self) -> list[Key]:
        """Every key ever made, oldest first."""
        with self.database.read() as connection:
            rows = connection.execute(select(keys).order_by(keys.c.created_at)).all()
        return [
            Key(
                r.name,
                tuple(Role(role) for role in r.role.split(",")),
                from_micros(r.created_at),
                None if r.revoked_at is None else from_micros(r.revoked_at),
                None if r.expires_at is None else from_micros(r.expires_at),
            )
            for r in rows
        ]

    def still(self, name: str, key: str) -> Callable[[Connection], bool]:
        """A question for the transaction that begins a session: whether this key is still valid."""
        query = select(keys).where(keys.c.name == name, keys.c.revoked_at.is_(None)).with_for_update()

        def asked(connection: Connection) -> bool:
            row = connection.execute(query).first()
            return row is not None and KeyRing({name: _entry(row)}, asks=True).check(key) is not None

        return asked

    def ring(self) -> KeyRing:
        """The valid keys, for checking."""
        with self.database.read() as connection:
            rows = connection.execute(select(keys)).all()
            people = connection.execute(select(users.c.name).limit(1)).first() is not None
        return KeyRing({r.name: _entry(r) for r in rows if r.revoked_at is None}, asks=bool(rows) or people)


def _entry(row: Row[Any]) -> KeyEntry:
    known = [(row.salt, row.digest, row.expires_at)]
    if row.former_digest is not None:
        known.append((row.former_salt, row.former_digest, row.former_until))
    return KeyEntry(roles_of(row.role), tuple(known))


def role_text(name: str, roles: Sequence[Role]) -> str:
    """Roles as they are stored; ConfigError when there is none."""
    if not roles:
        raise ConfigError(f"'{name}' needs at least one role: {', '.join(Role)}.")
    return ",".join(sorted(set(roles)))


def roles_of(text: str) -> Roles:
    """What a stored list of roles allows: to operate is to do everything."""
    named = frozenset(Role(role) for role in text.split(",") if role)
    return frozenset(Role) if Role.OPERATE in named else named


def require_name(name: str) -> None:
    """Raise ConfigError for what cannot name a key or a user."""
    if not re.fullmatch(r"[A-Za-z0-9_.@-]{1,100}", name):
        raise ConfigError(
            f"'{name}' cannot name a key or a user; use up to 100 letters, digits and the characters _ . @ -"
        )
    if name.casefold() in _OURS:
        raise ConfigError(f"'{name}' is what the record calls riskloop itself; choose another name.")


def asks_who(settings: Settings, database: Database) -> bool:
    """Whether a server of this portfolio asks who somebody is; if not, it serves this machine only."""
    return bool(Keys(database).ring() or settings.access.user_header or settings.sso.issuer)


def require_unused(connection: Connection, name: str) -> None:
    """Raise Conflict when a key or a user has, or had, this name: on record it must mean one."""
    for table in (keys, users):
        if connection.execute(select(table.c.name).where(table.c.name == name)).first() is not None:
            raise _used(name)


def end_sessions(connection: Connection, kind: str, name: str) -> None:
    """Log somebody out everywhere, in the caller's transaction."""
    connection.execute(sessions.delete().where(sessions.c.kind == kind, sessions.c.name == name))


def _used(name: str) -> Conflict:
    return Conflict(f"There is a key or a user named '{name}' already (names are not used twice); choose another.")


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no valid key named '{name}'; see `riskloop keys list`.")


def _require_future(expires_at: datetime | None, at: datetime) -> None:
    if expires_at is not None and expires_at <= at:
        raise ConfigError(
            f"{expires_at.isoformat()} is in the past, so the key would have expired already; give a later time."
        )


def _digest(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()
