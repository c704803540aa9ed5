"""The canonical bytes of what is on record, and the hash chain over them. Format 1, described in docs/trust.md.

Nothing here depends on a database, on Python or on its version: numbers have a fixed width and are little-endian, text
is UTF-8 with its length before it. A reader in any language can recompute every digest from the tables.

- A *decision* is a record of its public part (`time`, `scored_at`, `model_version`, `probability`, `is_default`) and
  the sha256 of its personal part (`customer_id`, `features`, `flags`). So the personal part can be erased, and the
  rest stays proven.
- Any other *row* is its fields in alphabetical order, without those that are NULL: a column that is added later
  changes no digest.
- A *group* is what one transaction wrote: the sha256 of its rows' bytes, one after another.
- A *link* is the sha256 of the link before, the group's digest, its number, range and time, and its kind.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from struct import Struct
from typing import Any, Final, NamedTuple

import numpy as np

from riskloop.core.types import Ints

GENESIS: Final = bytes(32)  # before the first link
_PUBLIC: Final = Struct("<qqidB32s")  # time, scored_at, model_version, probability, is_default, personal part
_PERSONAL: Final = Struct("<III")  # bytes of customer_id, features and flags
_LINK: Final = Struct("<32s32sqqqq")  # link before, digest, number, first_id, last_id, at
_LENGTH: Final = Struct("<I")
_INTEGER: Final = Struct("<q")
_REAL: Final = Struct("<d")


class Link(NamedTuple):
    """One committed group of rows of one kind, chained to everything before it."""

    number: int  # 1, 2, 3 …
    kind: str  # a table's name, or what was done to rows
    first_id: int
    last_id: int
    at: int  # microseconds
    digest: bytes  # (32,)
    link: bytes  # (32,)

    def follows(self, previous: bytes) -> bool:
        """Whether this is the link after ``previous``."""
        return self.link == link(previous, self.number, self.kind, self.first_id, self.last_id, self.at, self.digest)


def link(previous: bytes, number: int, kind: str, first_id: int, last_id: int, at: int, digest: bytes) -> bytes:
    """The hash that holds a group in its place."""
    return sha256(_LINK.pack(previous, digest, number, first_id, last_id, at) + kind.encode()).digest()


def personal_part(customer_id: str, features: Any, flags: str | None) -> bytes:
    """The digest of what is known about a person in a decision; ``features`` are bytes as they are stored."""
    customer, text = customer_id.encode(), (flags or "").encode()
    return sha256(_PERSONAL.pack(len(customer), len(features), len(text)) + customer + features + text).digest()


def decision(time: int, scored_at: int, version: int, probability: float, is_default: int, personal: bytes) -> bytes:
    """The record of a decision, 61 bytes."""
    return _PUBLIC.pack(time, scored_at, version, probability, is_default, personal)


def decisions_digest(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """The digest of a group of decisions, given in the order of `appender.DECISION_COLUMNS`."""
    return sha256(
        b"".join(
            [
                _PUBLIC.pack(time, scored_at, version, probability, declined, personal_part(customer, features, flags))
                for _, customer, time, scored_at, version, probability, declined, features, flags in rows
            ]
        )
    ).digest()


def row(values: Mapping[str, Any]) -> bytes:
    """The bytes of any other row. TypeError for a value that no table of riskloop holds."""
    parts = []
    for name in sorted(values):
        value = values[name]
        if value is not None:
            parts += [_text(name), _value(value)]
    return sha256(b"".join(parts)).digest()


def rows_digest(rows: Iterable[bytes]) -> bytes:
    """The digest of a group of rows or records."""
    whole = sha256()
    for one in rows:
        whole.update(one)
    return whole.digest()


def integer_rows_digest(columns: Mapping[str, Ints]) -> bytes:
    """The digest of a group of rows of whole numbers, given column by column, each (n,): what `row` makes of each."""
    parts: list[Any] = []
    for name in sorted(columns):
        values = np.ascontiguousarray(columns[name], dtype="<i8")
        head = np.frombuffer(_text(name) + b"i", np.uint8)
        parts += [np.broadcast_to(head, (len(values), len(head))), values.view(np.uint8).reshape(-1, 8)]
    table = np.concatenate(parts, axis=1)
    content, width = table.tobytes(), table.shape[1]
    return rows_digest(sha256(content[start : start + width]).digest() for start in range(0, len(content), width))


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _value(value: Any) -> bytes:
    if isinstance(value, int):  # a boolean is 0 or 1: not every database knows booleans
        return b"i" + _INTEGER.pack(value)
    if isinstance(value, float):
        return b"d" + _REAL.pack(value)
    if isinstance(value, str):
        return b"t" + _text(value)
    if isinstance(value, bytes | memoryview):
        return b"b" + _LENGTH.pack(len(value)) + bytes(value)
    raise TypeError(f"a {type(value).__name__} has no canonical bytes")
