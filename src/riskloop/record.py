"""What is on record as a whole: proven, searched, signed, and freed of a person who asks for it."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from riskloop import views
from riskloop.core.english import counted
from riskloop.core.manifest import ModelManifest
from riskloop.core.progress import silent
from riskloop.results import ErasureResult, VerifyResult
from riskloop.store import audit
from riskloop.store.home import Home
from riskloop.store.ledger import current_user

if TYPE_CHECKING:
    import pandas as pd


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
        proof = prove(home.trust, home.ledger, home.artefacts, home.segments, since, public, progress or silent)
        told = {"sound": proof.sound, "links": proof.recomputed.links, "breaches": len(proof.breaches)}
        audit.write(home.database, by=by or current_user(), action="verify", subject="record", document=told)
        return VerifyResult(**views.proof(proof))

    def erase(self, customer: str, *, by: str | None = None, reason: str, now: datetime | None = None) -> ErasureResult:
        """Erase who the decisions on a customer were about and what they were made on; the decisions and proof stay.

        Training histories are not changed, since models are proven by them: the answer names the versions whose history
        holds the customer. Raises NotFound where no decision is on that customer.
        """
        from riskloop.store.erasure import erase_customer
        from riskloop.store.history import holding

        home, at = self.home, now or datetime.now(UTC)
        histories = holding(home.artefacts, home.ledger, customer)
        done = erase_customer(home.database, home.segments, customer, by=by or current_user(), reason=reason, at=at)
        versions = ", ".join(map(str, histories))
        left = f" The training history of version {versions} still holds them." if histories else ""
        count = counted(len(done.decisions), "decision")
        return ErasureResult(
            decisions=list(done.decisions),
            files=done.files,
            histories=histories,
            sentence=f"Erased: who {count} were about, and what they were made on.{left}",
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
