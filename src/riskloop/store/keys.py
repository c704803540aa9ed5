"""API keys: shown once when they are made, stored as salted hashes.

A key is ``NAME.SECRET``; the name finds the row, and the secret is compared in constant time. The secret is 256
random bits, so one round of SHA-256 is enough: slow hashes protect passwords that people choose.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from riskloop.core.errors import ConfigError, Conflict, NotFound
from riskloop.core.types import from_micros, to_micros
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.tables import keys


class Role(StrEnum):
    """What a key may do."""

    SCORE = "score"  # ask for decisions
    OUTCOMES = "outcomes"  # hand in what happened
    VIEW = "view"  # read models, drift, cases, decisions, metrics, the dashboard
    OPERATE = "operate"  # everything, promotions included


Roles = frozenset[Role]
_NONE: Final[Roles] = frozenset()


@dataclass(frozen=True)
class Key:
    """One key, without its secret."""

    name: str
    roles: tuple[Role, ...]
    created_at: datetime
    revoked_at: datetime | None


class KeyRing:
    """The keys that are valid now, in memory; immutable, replaced when the table changes.

    It is true once a key was ever made: revoking the last one must close the doors and not open them.
    """

    def __init__(self, valid: Mapping[str, tuple[Roles, bytes, bytes]], *, asks: bool) -> None:
        self._valid = dict(valid)
        self._asks = asks

    def __bool__(self) -> bool:
        return self._asks

    def check(self, key: str) -> tuple[str, Roles] | None:
        """The key's name and what it may do, None when it is not valid. Takes the same time either way."""
        name, _, secret = key.rpartition(".")
        roles, salt, digest = self._valid.get(name, (_NONE, b"", b""))
        same = hmac.compare_digest(_digest(salt, secret), digest or bytes(32))
        return (name, roles) if same and digest else None


class Keys:
    """The table of keys."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(self, name: str, roles: Sequence[Role], *, at: datetime, by: str) -> str:
        """Make a key and return its text, which is stored nowhere."""
        if not roles:
            raise ConfigError(f"The key '{name}' needs at least one role: {', '.join(Role)}.")
        if not re.fullmatch(r"[A-Za-z0-9_.@-]{1,100}", name):
            raise ConfigError(f"'{name}' cannot name a key; use up to 100 letters, digits and the characters _ . @ -")
        text = ",".join(sorted(set(roles)))
        salt, secret = secrets.token_bytes(16), secrets.token_urlsafe(32)
        with self.database.write() as connection:
            try:
                connection.execute(
                    insert(keys).values(
                        name=name, role=text, salt=salt, digest=_digest(salt, secret), created_at=to_micros(at)
                    )
                )
            except IntegrityError:
                raise Conflict(
                    f"There is a key named '{name}' already (names are not used twice); choose another."
                ) from None
            record(connection, at=at, by=by, action="create key", subject=name, document={"roles": text})
        return f"{name}.{secret}"

    def revoke(self, name: str, *, at: datetime, by: str) -> None:
        """End a key; NotFound when there is none of that name that is valid."""
        with self.database.write() as connection:
            done = connection.execute(
                update(keys).where(keys.c.name == name, keys.c.revoked_at.is_(None)).values(revoked_at=to_micros(at))
            )
            if done.rowcount == 0:
                raise NotFound(f"There is no valid key named '{name}'; see `riskloop keys list`.")
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
            )
            for r in rows
        ]

    def ring(self) -> KeyRing:
        """The valid keys, for checking."""
        with self.database.read() as connection:
            rows = connection.execute(select(keys)).all()
        valid = {r.name: (_roles(r.role), r.salt, r.digest) for r in rows if r.revoked_at is None}
        return KeyRing(valid, asks=bool(rows))


def _roles(text: str) -> Roles:
    """What a stored list of roles allows: to operate is to do everything."""
    named = frozenset(Role(role) for role in text.split(","))
    return frozenset(Role) if Role.OPERATE in named else named


def _digest(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()
