"""What is on record as a whole: proven, searched, signed, freed of a person who asks for it and of what is too old."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from riskloop import views
from riskloop.core.english import counted
from riskloop.core.manifest import ModelManifest
from riskloop.core.progress import silent
from riskloop.core.types import Json
from riskloop.results import Result
from riskloop.store import audit
from riskloop.store.backup import BACKUP
from riskloop.store.home import Home
from riskloop.store.ledger import current_user

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ErasureResult(Result):
    """What was erased of a person, and what could not be."""

    decisions: list[int]  # their ids
    files: int  # segments and files of the archive that were written anew
    histories: list[int]  # versions whose training history still holds the person
    still: list[str]  # every file that riskloop knows of and that still holds the person, or could not be looked at
    sentence: str


@dataclass(frozen=True)
class RetentionResult(Result):
    """What is older than [retention] says and was taken out, or would be."""

    dry_run: bool
    decisions: int  # that left the log
    features: int  # decisions that were emptied of what they were made on, and of whom they were about
    audit: int  # events that left the trail
    files: list[str]  # that were written in the archive
    held: list[str]  # what is older and stays, and why, in sentences
    sentence: str


@dataclass(frozen=True)
class VerifyResult(Result):
    """Whether the record is what was committed."""

    sound: bool
    sentence: str
    breaches: list[Json]  # what was changed, where, and the link that says so
    uncounted: int  # further breaches that are not listed
    first_broken: int | None  # number of the first link that does not hold
    links: int
    rows: dict[str, int]  # by table
    checkpoints: int
    last_checkpoint: Json | None  # the newest one that the record agrees with
    limits: list[str]  # what cannot be shown
    seconds: float


class Record:
    """The record of one portfolio."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def verify(
        self,
        since: datetime | None = None,
        *,
        public_key: Path | None = None,
        by: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> VerifyResult:
        """Recompute everything on record, and hold it against its chain, the signed checkpoints and the key.

        ``since`` takes what the newest sound checkpoint before it signed as given. ``public_key`` is a PEM file to
        trust instead of what riskloop.toml names. ``progress`` hears how many links are done. What was found and what
        cannot be shown is in the answer; the deed itself is in the audit trail.
        """
        from riskloop.store.proof import prove
        from riskloop.store.signing import read_public

        public = None if public_key is None else read_public(public_key)
        home = self.home
        stores = home.trust, home.ledger, home.artefacts, home.segments, home.archive
        proof = prove(*stores, since, public, progress or silent)
        told = {"sound": proof.sound, "links": proof.recomputed.links, "breaches": len(proof.breaches)}
        audit.write(home.database, by=by or current_user(), action="verify", subject="record", document=told)
        return VerifyResult(**views.proof(proof))

    def erase(self, customer: str, *, by: str | None = None, reason: str, now: datetime | None = None) -> ErasureResult:
        """Erase who the decisions on a customer were about and what they were made on; the decisions and proof stay.

        Training histories are not changed, since models are proven by them, nor are backups: the answer names the
        versions whose history holds the customer, and every file that still does. The tombstone is kept where
        checkpoints go, so that `restore` erases again. Raises NotFound where no decision is on that customer,
        StorageError where the tombstone cannot be kept; then nothing is erased.
        """
        from riskloop.store.erasure import erase_customer
        from riskloop.store.history import holding
        from riskloop.store.holding import files_holding
        from riskloop.store.tombstones import keep_tombstone

        home, at = self.home, now or datetime.now(UTC)
        histories = holding(home.artefacts, home.ledger, customer)
        done = erase_customer(
            *(home.database, home.segments, home.archive, customer),
            by=by or current_user(),
            reason=reason,
            at=at,
            keep=partial(keep_tombstone, home.trust),
        )
        places = [home.artefacts.root, *map(Path, audit.subjects(home.database, BACKUP))]
        still = [str(path) for place in places if place.is_dir() for path in files_holding(place, customer)]
        still += done.away
        versions = ", ".join(map(str, histories))
        left = f" The training history of version {versions} still holds them." if histories else ""
        count = counted(len(done.decisions), "decision")
        return ErasureResult(
            decisions=list(done.decisions),
            files=done.files,
            histories=histories,
            still=still,
            sentence=f"Erased: who {count} were about, and what they were made on.{left}",
        )

    def retain(self, *, dry_run: bool = False, by: str | None = None, now: datetime | None = None) -> RetentionResult:
        """Take out what is older than [retention] says: into the archive, then out of the log, which goes on proving.

        What the loop still needs stays, and the answer says why. With ``dry_run`` it is only counted. Every cycle does
        it, too. Raises Locked while a cycle runs, StorageError when the archive cannot be written.
        """
        from riskloop.loop.retention import retain
        from riskloop.store.leases import held

        at = now or datetime.now(UTC)
        if dry_run:
            done = retain(self.home, at, dry_run=True)
        else:
            with held(self.home.database, "loop"):
                done = retain(self.home, at, by=by or current_user())
        return RetentionResult(
            dry_run=dry_run,
            **{kind: done.taken.get(kind, 0) for kind in ("decisions", "features", "audit")},
            files=done.files,
            held=done.held,
            sentence=" ".join(done.lines) or "Nothing that may go is older than [retention] says.",
        )

    def events(self, wanted: audit.AuditFilter | None = None, limit: int = 100) -> "pd.DataFrame":
        """Who did what: the newest events that are looked for, newest first; looking is on record, too."""
        import pandas as pd

        audit.write(self.home.database, by=current_user(), action="read audit", subject="audit")
        found = audit.search(self.home.database, wanted or audit.AuditFilter(), limit)
        columns = ["at", "by", "action", "subject", "document"]
        return pd.DataFrame([asdict(event) for _, event in found], columns=columns)

    def sign_models(self, *, by: str | None = None, reason: str) -> list[int]:
        """Sign every version that no known key has signed, after its files were checked; returns their numbers."""
        for row in self.home.ledger.models():
            self.home.artefacts.read(row.artefact, ModelManifest, row.sha256)
        return self.home.trust.sign_all(by or current_user(), reason)
