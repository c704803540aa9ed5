"""Erasures, kept outside of the database beside the checkpoints, so that none is undone by restoring a backup.

A file holds decisions' ids and the digests of what was erased of them, signed like a checkpoint; it names nobody.
"""

import base64
import json
from datetime import datetime
from functools import partial
from typing import Final

from riskloop.core.types import iso
from riskloop.store.checkpoint_store import CheckpointStore
from riskloop.store.erasure import Tombstone
from riskloop.store.signing import fingerprint, verifies
from riskloop.store.trust import Trust

KIND: Final = "erasure"
_FORMAT: Final = f"{KIND} 1"


def keep_tombstone(trust: Trust, tombstone: Tombstone) -> None:
    """Put an erasure where checkpoints go, if there is such a place; StorageError when it cannot be written."""
    if trust.place is None:
        return
    document = {
        "riskloop": _FORMAT,
        "at": iso(tombstone.at),
        "by": tombstone.by,
        "reason": tombstone.reason,
        "decisions": [[number, personal.hex()] for number, personal in tombstone.gone],
    }
    text, signer = json.dumps(document, sort_keys=True, separators=(",", ":")), trust.signer()
    signature = b"" if signer is None else signer.sign(text.encode())
    content = {
        "signed": text,
        "signature": base64.b64encode(signature).decode(),
        "key": None if signer is None else fingerprint(signer.public()),
    }
    name = f"{KIND}-{tombstone.at:%Y%m%dT%H%M%S%fZ}-{tombstone.gone[0][0]}.json"
    trust.place.put(name, json.dumps(content, indent=1).encode())


def kept_tombstones(trust: Trust, place: CheckpointStore | None = None) -> tuple[list[Tombstone], list[str]]:
    """The erasures that are kept outside, oldest first, and what cannot be relied upon, in sentences.

    ``place`` is where they lie, by default where this portfolio's go. Raises StorageError when it cannot be read.
    """
    where = place or trust.place
    if where is None:
        return [], ["[trust] checkpoints is empty, so nobody knows of erasures that came after the backup."]
    files = sorted(where.all(KIND).items())
    keys = trust.public_keys() if files else []
    found, doubts = [], []
    for name, content in files:
        try:
            outer = json.loads(content)
            text, signature = outer["signed"], base64.b64decode(outer["signature"])
            holds = map(partial(_holds, signature=signature, text=text.encode()), keys)
            if keys and not any(holds):
                doubts.append(f"{name} in {where.name} is not signed by this portfolio's key, and was left alone.")
                continue
            document = json.loads(text)
            if document["riskloop"] != _FORMAT:
                raise ValueError("another format")
            gone = tuple((int(number), bytes.fromhex(personal)) for number, personal in document["decisions"])
            at = datetime.fromisoformat(document["at"])
            found.append(Tombstone(at, str(document["by"]), str(document["reason"]), gone))
        except (KeyError, TypeError, ValueError) as error:
            doubts.append(f"{name} in {where.name} cannot be read ({error!r}), and was left alone.")
    return found, doubts


def _holds(key: bytes, signature: bytes, text: bytes) -> bool:
    return verifies(key, signature, text)
