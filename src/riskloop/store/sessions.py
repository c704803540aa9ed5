"""Who is logged in. The browser holds a random token, the table its hash: who reads the table cannot log in with it.

A session is valid as long as its key or user is; that is looked up each time, so that a revoked one is out at once.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from riskloop.core.errors import Unauthorised
from riskloop.core.types import from_micros
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.keys import Roles, roles_of
from riskloop.store.tables import keys, sessions, users

TOKEN_LENGTH: Final = 43  # characters: 256 bits in base64
_SEEN_EVERY: Final = 30_000_000  # microseconds between two notes that a session is in use
_MICROSECOND: Final = timedelta(microseconds=1)


class LoginKind(StrEnum):
    """How somebody showed who they are."""

    KEY = "key"
    USER = "user"
    SSO = "sso"


@dataclass(frozen=True)
class Session:
    """Somebody who is logged in, and what they may do now."""

    kind: LoginKind
    name: str
    roles: Roles


class Sessions:
    """The table of sessions: one idle for ``idle`` or older than ``longest`` is over."""

    def __init__(self, database: Database, *, idle: timedelta, longest: timedelta) -> None:
        self._database = database
        self._idle = idle // _MICROSECOND
        self._longest = longest // _MICROSECOND

    def begin(
        self,
        kind: LoginKind,
        name: str,
        *,
        address: str,
        replaces: str | None = None,
        roles: Roles | None = None,
        still: Callable[[Connection], bool] = lambda _connection: True,
    ) -> str:
        """A new session's token. The session ``replaces`` ends: a token never outlives a login.

        ``still`` is asked in the transaction whether what was shown is valid; Unauthorised when it is not any more.
        ``roles`` are those of a login by single sign-on; those of keys and users are looked up each time.
        """
        token = secrets.token_urlsafe(32)
        with self._database.write() as connection:
            if not still(connection):
                raise Unauthorised("What you logged in with was changed at this moment. Log in again.")
            now = self._database.now(connection)
            over = or_(sessions.c.seen_at <= now - self._idle, sessions.c.begun_at <= now - self._longest)
            connection.execute(delete(sessions).where(over))
            if replaces is not None:
                connection.execute(delete(sessions).where(sessions.c.digest == _digest(replaces)))
            connection.execute(
                insert(sessions).values(
                    digest=_digest(token),
                    kind=kind,
                    name=name,
                    begun_at=now,
                    seen_at=now,
                    role=None if roles is None else ",".join(sorted(roles)),
                )
            )
            document = {"with": kind.value, "address": address}
            record(connection, at=from_micros(now), by=name, action="log in", subject=name, document=document)
        return token

    def find(self, token: str, *, used: bool = True) -> Session | None:
        """Whose session it is; None when it is over. ``used`` keeps it from becoming idle."""
        if len(token) != TOKEN_LENGTH:
            return None
        digest = _digest(token)
        with self._database.read() as connection:
            now = self._database.now(connection)
            row = connection.execute(select(sessions).where(sessions.c.digest == digest)).first()
            if row is None or now - row.seen_at >= self._idle or now - row.begun_at >= self._longest:
                return None
            roles = _roles_now(connection, row, now)
        if roles is None:
            return None
        if used and now - row.seen_at >= min(_SEEN_EVERY, self._idle // 4):
            with self._database.write() as connection:
                connection.execute(update(sessions).where(sessions.c.digest == digest).values(seen_at=now))
        return Session(LoginKind(row.kind), row.name, roles)

    def end(self, token: str) -> None:
        """Log out. A token that is no session's is none of anybody's business."""
        with self._database.write() as connection:
            row = connection.execute(
                delete(sessions).where(sessions.c.digest == _digest(token)).returning(sessions.c.name)
            ).first()
            if row is not None:
                at = from_micros(self._database.now(connection))
                record(connection, at=at, by=row.name, action="log out", subject=row.name, document={})


def _roles_now(connection: Connection, session: Row[Any], now: int) -> Roles | None:
    """What the session's owner may do now; None when the owner is revoked or has expired."""
    if session.kind == LoginKind.SSO:
        return roles_of(session.role or "")
    table = keys if session.kind == LoginKind.KEY else users
    row = connection.execute(select(table).where(table.c.name == session.name, table.c.revoked_at.is_(None))).first()
    if row is None or (session.kind == LoginKind.KEY and row.expires_at is not None and row.expires_at <= now):
        return None
    return roles_of(row.role)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
