"""Addresses as people may see them: in messages, on pages, in the audit trail. A password is never among that."""

import re
from typing import Any, Final

HIDDEN: Final = "…"
# Before the last @ stand a user and a password, who may hold any sign that should have been written as %40 or the like.
_USER: Final = re.compile(r"(?<=://).*@")
_OPTION: Final = re.compile(r"([?&;](?!\w*_(?:env|file)=)\w*(?:passw|pwd|secret|token)\w*=)[^&;\s\"']*", re.IGNORECASE)


def without_password(value: Any) -> Any:
    """The same text, or list or table of texts, in which addresses have no user, password or secret option."""
    if isinstance(value, str):
        return without_options(_USER.sub(f"{HIDDEN}@", value)) if "://" in value else value
    if isinstance(value, dict):
        return {key: without_password(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_password(entry) for entry in value)
    return value


def without_options(address: str) -> str:
    """An address whose user is shown, without what its options call a password: drivers take one there, too."""
    return _OPTION.sub(rf"\1{HIDDEN}", address)
