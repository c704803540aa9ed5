"""Logging in and out: each try is counted before it is made, and is on record afterwards."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from riskloop.core.errors import Forbidden, Unauthorised
from riskloop.core.settings import AccessSettings
from riskloop.identity.access import Access, roles_of_groups
from riskloop.identity.client import address_of
from riskloop.identity.oidc import Person
from riskloop.store.attempts import Attempts
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.keys import Keys
from riskloop.store.sessions import LoginKind, Sessions
from riskloop.store.users import Still, Users


class Logins:
    """Begins and ends sessions. Its methods block: scrypt takes a fifth of a second."""

    def __init__(self, database: Database, settings: AccessSettings, sessions: Sessions, access: Access) -> None:
        self._database = database
        self._settings = settings
        self._sessions = sessions
        self._access = access
        self._users = Users(database)
        self._keys = Keys(database)
        self._attempts = Attempts(database)

    def with_password(self, scope: Any, name: str, password: str) -> str:
        """The token of a user's new session; raises Unauthorised, or TooManyTries before anything is checked."""
        address = address_of(scope, self._settings)
        self._attempts.begin(name=name, address=address)
        still = self._users.check(name, password)
        if still is None:
            known = any(user.name == name for user in self._users.all())
            self._failed(LoginKind.USER, name if known else "", address)
            raise Unauthorised("Name and password do not fit. The try is on record.")
        return self._begin(scope, LoginKind.USER, name, address, counted=name, still=still)

    def with_key(self, scope: Any, key: str) -> str:
        """The token of a key's new session; raises Unauthorised, or TooManyTries before anything is checked."""
        address = address_of(scope, self._settings)
        self._attempts.begin(name=None, address=address)
        ring = self._keys.ring()  # of this moment, not of the last look
        found = ring.check(key)
        if found is None:
            name = key.rpartition(".")[0]
            self._failed(LoginKind.KEY, name if ring.names(name) else "", address)
            raise Unauthorised("This key is not valid (unknown, expired or revoked). The try is on record.")
        still = self._keys.still(found[0], key)
        return self._begin(scope, LoginKind.KEY, found[0], address, counted=None, still=still)

    def with_provider(self, scope: Any, finish: Callable[[], Person]) -> str:
        """The token of the session of whom the provider names, which ``finish`` asks; slowed down as other logins are.

        Raises Unauthorised, Forbidden for whom no group allows anything, TooManyTries before the provider is asked.
        """
        address = address_of(scope, self._settings)
        self._attempts.begin(name=None, address=address)
        try:
            person = finish()
        except Unauthorised:
            self._failed(LoginKind.SSO, "", address)
            raise
        self._attempts.succeeded(name=None, address=address)
        name = f"sso:{person.name}"
        roles = roles_of_groups(person.groups, self._settings)
        if not roles:
            self._failed(LoginKind.SSO, name, address)
            raise Forbidden(f"'{person.name}' is in no group that may do anything here (`access.groups`).")
        return self._sessions.begin(
            LoginKind.SSO, name, address=address, replaces=self._access.token(scope), roles=roles
        )

    def out(self, scope: Any) -> None:
        """End the session of a request; without one nothing happens."""
        token = self._access.token(scope)
        if token is not None:
            self._sessions.end(token)

    def _begin(self, scope: Any, kind: LoginKind, name: str, address: str, *, counted: str | None, still: Still) -> str:
        self._attempts.succeeded(name=counted, address=address)
        return self._sessions.begin(kind, name, address=address, replaces=self._access.token(scope), still=still)

    def _failed(self, kind: LoginKind, name: str, address: str) -> None:
        """A name is on record only when it is one: what was typed there may be a password."""
        document = {"with": kind.value, "address": address}
        with self._database.write() as connection:
            record(
                connection,
                at=datetime.now(UTC),
                by=name or "(unknown)",
                action="log in failed",
                subject=name or "(unknown)",
                document=document,
            )
