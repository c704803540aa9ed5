"""Addresses as people may see them: in messages, on pages, in the audit trail. A password is never among that."""

import re
from typing import Any, Final
from urllib.parse import parse_qsl

HIDDEN: Final = "…"
# Before the last @ stand a user and a password, who may hold any sign that should have been written as %40 or the like.
_USER: Final = re.compile(r"(?<=://).*@")
_OPTION: Final = re.compile(r"([?&;](?!\w*_(?:env|file)=)\w*(?:passw|pwd|secret|token)\w*=)[^&;\s\"']*", re.IGNORECASE)

_AT_USER: Final = re.compile(r"[\w+.-]+://[^/?#\s]*(?::|%3a)[^/?#@\s]+@", re.IGNORECASE)
_PLACES: Final = ("password_env", "password_file")  # where a password may lie
_NAMED: Final = re.compile("passw|passcode|pwd|secret|token|private_key|credentials|^key$", re.IGNORECASE)
_GIVEN: Final = re.compile(r"\b(?:password|passwd|pwd|secret|token)\s*=\s*\S", re.IGNORECASE)
_QUOTED: Final = re.compile(r"'[^']*'")  # a column may well be called token


def secret_in(source: str) -> str | None:
    """Where an address, with what is asked of a database behind it, holds a password: "user", an option, "query".

    Drivers take one as an option or within another one, and databases that reach into others in a text of the query.
    """
    if _AT_USER.match(source):
        return "user"
    url, *rest = source.split(maxsplit=1) or [""]
    asked = "".join(rest)
    if "://" not in url:
        return None
    for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if name not in _PLACES and (_NAMED.search(name) or _GIVEN.search(value)):
            return name
    return "query" if any(_GIVEN.search(text) for text in _QUOTED.findall(asked)) else None


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
