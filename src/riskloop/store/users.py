"""People who log in with a name and a password, which is stored as scrypt with a salt of its own."""

import base64
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import BoundedSemaphore
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from riskloop.core.errors import ConfigError, Conflict, NotFound, Overloaded
from riskloop.core.types import from_micros, to_micros
from riskloop.store import chain
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.keys import Role, end_sessions, require_name, require_unused, role_text
from riskloop.store.tables import users

SHORTEST: Final = 12  # characters of a password
LONGEST: Final = 1000
# OWASP's parameters for 16 MiB (Password Storage Cheat Sheet): about 0.2 s, and memory that many logins together allow.
_LOG_N, _R, _P = 14, 8, 5
_HASHING: Final = BoundedSemaphore(2)  # at once in this process: strangers must not take the cores that score
_PATIENCE: Final = 10.0  # seconds


@dataclass(frozen=True)
class User:
    """One person, without the password."""

    name: str
    roles: tuple[Role, ...]
    created_at: datetime
    revoked_at: datetime | None


Still = Callable[[Connection], bool]


class Users:
    """The table of users."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(self, name: str, roles: Sequence[Role], password: str, *, at: datetime, by: str) -> None:
        """Make a user. Raises ConfigError for a weak password, Conflict for a name that a key or a user has."""
        text = role_text(name, roles)
        require_name(name)
        _require_strong(name, password)
        stored = hashed(password)
        with self.database.write() as connection:
            require_unused(connection, name)
            try:
                connection.execute(
                    insert(users).values(name=name, role=text, password=stored, created_at=to_micros(at))
                )
            except IntegrityError:
                raise Conflict(f"There is a user named '{name}' already; choose another name.") from None
            chain.note(connection, users)
            record(connection, at=at, by=by, action="create user", subject=name, document={"roles": text})

    def set_password(self, name: str, password: str, *, at: datetime, by: str) -> None:
        """Replace a user's password, and log the user out everywhere."""
        _require_strong(name, password)
        self._change(name, {"password": hashed(password)}, "change password", {}, at, by)

    def set_roles(self, name: str, roles: Sequence[Role], *, at: datetime, by: str) -> None:
        """Replace a user's roles, and log the user out everywhere: the next session has a new token."""
        text = role_text(name, roles)
        self._change(name, {"role": text}, "change roles", {"roles": text}, at, by)

    def revoke(self, name: str, *, at: datetime, by: str) -> None:
        """End a user and every session at once."""
        self._change(name, {"revoked_at": to_micros(at)}, "revoke user", {}, at, by)

    def all(self) -> list[User]:
        """Every user ever made, oldest first."""
        with self.database.read() as connection:
            rows = connection.execute(select(users).order_by(users.c.created_at)).all()
        return [
            User(
                r.name,
                tuple(Role(role) for role in r.role.split(",")),
                from_micros(r.created_at),
                None if r.revoked_at is None else from_micros(r.revoked_at),
            )
            for r in rows
        ]

    def check(self, name: str, password: str) -> "Still | None":
        """None when this is not the password of a valid user; it takes as long for a name that there is not.

        Else a question for the transaction that begins a session: whether it is still the password. Another one, or a
        revocation, that comes while this one is compared must leave no session behind.
        """
        with self.database.read() as connection:
            row = connection.execute(
                select(users.c.password).where(users.c.name == name, users.c.revoked_at.is_(None))
            ).first()
        if not matches(password, _NOBODY if row is None else str(row.password)) or row is None:
            return None
        valid = (users.c.name == name, users.c.revoked_at.is_(None), users.c.password == row.password)
        query = select(users.c.name).where(*valid).with_for_update()  # a change waits, and then ends the session
        return lambda connection: connection.execute(query).first() is not None

    def _change(
        self, name: str, values: dict[str, Any], action: str, document: dict[str, str], at: datetime, by: str
    ) -> None:
        with self.database.write() as connection:
            done = connection.execute(
                update(users).where(users.c.name == name, users.c.revoked_at.is_(None)).values(**values)
            )
            if done.rowcount == 0:
                raise NotFound(f"There is no valid user named '{name}'; see `riskloop users list`.")
            end_sessions(connection, "user", name)
            chain.note(connection, users)
            record(connection, at=at, by=by, action=action, subject=name, document=document)


def hashed(password: str) -> str:
    """A password as it is stored: ``scrypt$log2(N)$r$p$SALT$HASH``."""
    salt = secrets.token_bytes(16)
    parts = (base64.b64encode(part).decode() for part in (salt, _scrypt(password, salt, _LOG_N, _R, _P)))
    return "$".join(("scrypt", str(_LOG_N), str(_R), str(_P), *parts))


def matches(password: str, stored: str) -> bool:
    """Whether ``stored`` was made of this password; compared in constant time."""
    _, log_n, r, p, salt, known = stored.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(log_n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(known))


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    text = unicodedata.normalize("NFKC", password[:LONGEST]).encode("utf-8", "surrogatepass")
    if not _HASHING.acquire(timeout=_PATIENCE):
        raise Overloaded("Too many people log in at this moment. Try again in a few seconds.")
    try:
        return hashlib.scrypt(text, salt=salt, n=2**log_n, r=r, p=p, maxmem=256 * 2**20, dklen=32)
    finally:
        _HASHING.release()


_NOBODY: Final = (
    f"scrypt${_LOG_N}${_R}${_P}${base64.b64encode(bytes(16)).decode()}${base64.b64encode(bytes(32)).decode()}"
)


def _require_strong(name: str, password: str) -> None:
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(f"A password has {SHORTEST} to {LONGEST} characters; several words are easy to remember.")
    if name.lower() in password.lower() or len(set(password)) < 5:
        raise ConfigError("This password is easy to guess; it must not hold the name, nor repeat a few characters.")
