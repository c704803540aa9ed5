"""Who may log in, as commands and scripts say it: roles by name, times as durations or dates."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from riskloop.core.errors import ConfigError
from riskloop.core.settings import parse_duration
from riskloop.core.types import Json, as_utc, iso
from riskloop.store.database import Database
from riskloop.store.keys import Role
from riskloop.store.users import Users


class People:
    """The users of a portfolio; ``by`` is who changes them."""

    def __init__(self, database: Database, by: str) -> None:
        self._users = Users(database)
        self._by = by

    def create(self, name: str, roles: Sequence[str], password: str) -> None:
        """Let a person log in at the dashboard."""
        self._users.create(name, roles_named(roles), password, at=datetime.now(UTC), by=self._by)

    def set_password(self, name: str, password: str) -> None:
        """Replace a password; every session of the user ends."""
        self._users.set_password(name, password, at=datetime.now(UTC), by=self._by)

    def set_roles(self, name: str, roles: Sequence[str]) -> None:
        """Replace the roles; every session of the user ends."""
        self._users.set_roles(name, roles_named(roles), at=datetime.now(UTC), by=self._by)

    def revoke(self, name: str) -> None:
        """End a user and every session at once."""
        self._users.revoke(name, at=datetime.now(UTC), by=self._by)

    def document(self) -> list[Json]:
        """The users without their passwords."""
        return [
            {
                "name": user.name,
                "roles": list(user.roles),
                "created_at": iso(user.created_at),
                "revoked_at": None if user.revoked_at is None else iso(user.revoked_at),
            }
            for user in self._users.all()
        ]


def roles_named(names: Sequence[str]) -> list[Role]:
    """Roles by their names; ConfigError for one that there is not."""
    try:
        return [Role(name) for name in names]
    except ValueError:
        raise ConfigError(f"The roles are {', '.join(Role)}; got {', '.join(names)}.") from None


def later(text: str | None, now: datetime) -> datetime | None:
    """A duration from ``now``, the end of a date in UTC, or a moment; ConfigError for anything else."""
    if text is None:
        return None
    for read in (
        lambda: now + parse_duration(text),
        lambda: datetime.combine(date.fromisoformat(text) + timedelta(days=1), datetime.min.time(), UTC),
        lambda: as_utc(datetime.fromisoformat(text)),
    ):
        try:
            found: datetime = read()
        except (ValueError, OverflowError):
            continue
        return found
    raise ConfigError(f"'{text}' is no duration such as 90d, and no date such as 2026-12-31.")
