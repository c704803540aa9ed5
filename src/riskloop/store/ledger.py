"""Model versions and promotions. Both only grow; the last promotion names the champion."""

import getpass
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import IntegrityError

from riskloop.core.errors import NotFound, PromotionConflict
from riskloop.core.types import Json, Promotion, PromotionKind, from_micros, to_micros
from riskloop.store import chain, counters
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.tables import models, promotions
from riskloop.store.trust import Trust


@dataclass(frozen=True)
class ModelVersion:
    """One registered version."""

    version: int
    created_at: datetime
    learner: str
    artefact: str  # folder below the artefacts' root
    sha256: str  # of the manifest
    parent: int | None
    origin: str  # "train", "retrain", "recalibrate", "import"
    auc: float  # cross-validated at training
    case_id: int | None
    registered_by: str | None = None  # None: before it was kept
    signature: bytes | None = field(default=None, repr=False)  # over version and sha256; None: made without a key


def current_user() -> str:
    """Who acts on the command line: the operating system's user name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        return "unknown"


class Ledger:
    """Registers versions and changes the champion."""

    def __init__(self, database: Database, trust: Trust | None = None) -> None:
        self.database = database
        self._trust = trust  # without it nothing is signed

    def register(
        self,
        *,
        created_at: datetime,
        learner: str,
        artefact: str,
        sha256: str,
        origin: str,
        auc: float,
        parent: int | None = None,
        case_id: int | None = None,
        by: str = "riskloop",
    ) -> int:
        """Add a version and return its number: 1, 2, 3 …; the same artefact for the same case keeps its number.

        Version and artefact are signed where there is a key, outside of the transaction: a KMS may take its time.
        """
        values = {
            "created_at": to_micros(created_at),
            "learner": learner,
            "artefact": artefact,
            "sha256": sha256,
            "parent": parent,
            "origin": origin,
            "auc": auc,
            "case_id": case_id,
            "registered_by": by[:200],
        }
        version = None
        while version is None:
            with self.database.read() as connection:
                expected = counters.last(connection, models) + 1
            signature = None if self._trust is None else self._trust.sign_model(expected, sha256)
            version = self._register({**values, "version": expected, "signature": signature}, created_at, by)
        return version

    def _register(self, values: Json, at: datetime, by: str) -> int | None:
        """Write a version with its number; None when somebody else took the number, so that another one is signed."""
        with self.database.write() as connection:
            counters.lock(connection, models)
            same = models.c.sha256 == values["sha256"], models.c.case_id.is_not_distinct_from(values["case_id"])
            known = connection.execute(select(models.c.version).where(*same)).scalar()
            if known is not None:
                return int(known)
            version = int(values["version"])
            if counters.last(connection, models) + 1 != version:
                return None
            counters.take(connection, models)
            connection.execute(insert(models).values(**values))
            chain.note(connection, models, version)
            document = {name: values[name] for name in ("learner", "artefact", "sha256", "auc", "origin")}
            record(connection, at=at, by=by, action="register", subject=f"model {version}", document=document)
        return version

    def alike(self, version: int) -> frozenset[int]:
        """A version, and those that it is a recalibration of: they rank alike."""
        row = self.model(version)
        versions = {version}
        while row.origin == "recalibrate" and row.parent is not None:
            row = self.model(row.parent)
            versions.add(row.version)
        return frozenset(versions)

    def models(self) -> list[ModelVersion]:
        """Every version, oldest first."""
        with self.database.read() as connection:
            return [_model(row) for row in connection.execute(select(models).order_by(models.c.version))]

    def model(self, version: int) -> ModelVersion:
        """One version; NotFound when there is none of that number."""
        with self.database.read() as connection:
            row = connection.execute(select(models).where(models.c.version == version)).first()
        if row is None:
            raise NotFound(f"There is no model version {version}; see `riskloop models list`.")
        return _model(row)

    def promotions(self) -> list[Promotion]:
        """The whole ledger, oldest first."""
        with self.database.read() as connection:
            return [_promotion(row) for row in connection.execute(select(promotions).order_by(promotions.c.seq))]

    def champion(self) -> Promotion | None:
        """The promotion in force; None before the first one."""
        with self.database.read() as connection:
            return _last(connection)

    def champion_at(self, moment: datetime) -> Promotion | None:
        """The promotion that was in force at ``moment``: which model served at 14:03 on 5 May?"""
        with self.database.read() as connection:
            row = connection.execute(
                select(promotions)
                .where(promotions.c.at <= to_micros(moment))
                .order_by(promotions.c.seq.desc())
                .limit(1)
            ).first()
        return None if row is None else _promotion(row)

    def append(
        self,
        version: int,
        *,
        expected_seq: int,
        kind: PromotionKind,
        at: datetime,
        by: str,
        reason: str,
        evidence: Json | None = None,
    ) -> Promotion:
        """Write the next row if the ledger still ends at ``expected_seq`` (0: it is empty). Only `promote/` calls it.

        One transaction writes the promotion, its evidence and the audit event. Raises PromotionConflict when
        somebody promoted meanwhile, NotFound when there is no such version.
        """
        self.model(version)
        with self.database.write() as connection:
            last = _last(connection)
            seq = 0 if last is None else last.seq
            if seq != expected_seq:
                raise PromotionConflict(_conflict(version, last))
            promotion = Promotion(
                seq=seq + 1,
                version=version,
                previous=None if last is None else last.version,
                kind=kind,
                at=at,
                by=by,
                reason=reason,
                evidence=evidence or {},
            )
            try:
                connection.execute(insert(promotions).values(**_values(promotion)))
            except IntegrityError:  # somebody took this number after it was read
                raise PromotionConflict(_conflict(version, self.champion())) from None
            chain.note(connection, promotions, promotion.seq)
            document = {
                "seq": promotion.seq,
                "previous": promotion.previous,
                "kind": kind,
                "reason": reason,
            }
            record(connection, at=at, by=by, action="promote", subject=f"model {version}", document=document)
        if self._trust is not None:
            self._trust.keep(force=True)
        return promotion


def _last(connection: Connection) -> Promotion | None:
    row = connection.execute(select(promotions).order_by(promotions.c.seq.desc()).limit(1)).first()
    return None if row is None else _promotion(row)


def _conflict(version: int, last: Promotion | None) -> str:
    now = "there is none now" if last is None else f"version {last.version} was promoted by {last.by}"
    return f"Version {version} was not promoted: the champion changed meanwhile ({now}). Look again, then repeat it."


def _values(promotion: Promotion) -> Json:
    return {
        "seq": promotion.seq,
        "version": promotion.version,
        "previous": promotion.previous,
        "kind": promotion.kind.value,
        "at": to_micros(promotion.at),
        "by": promotion.by,
        "reason": promotion.reason,
        "evidence": json.dumps(promotion.evidence),
    }


def _promotion(row: Row[tuple[object, ...]]) -> Promotion:
    values = row._mapping
    evidence = json.loads(values["evidence"])
    return Promotion(
        seq=values["seq"],
        version=values["version"],
        previous=values["previous"],
        kind=_kind(values["kind"], evidence),
        at=from_micros(values["at"]),
        by=values["by"],
        reason=values["reason"],
        evidence=evidence,
    )


def _kind(stored: str, evidence: Json) -> PromotionKind:
    """Rows are never rewritten: riskloop 0.1 told a person's word from the gate's in the evidence only."""
    if stored == "manual":
        return PromotionKind.GATE if evidence.get("forced") is False else PromotionKind.FORCED
    if stored == PromotionKind.GATE.value and "approval" in evidence:
        return PromotionKind.APPROVED
    return PromotionKind(stored)


def _model(row: Row[tuple[object, ...]]) -> ModelVersion:
    values = dict(row._mapping)
    return ModelVersion(**{**values, "created_at": from_micros(values["created_at"])})


def served(history: Sequence[Promotion], version: int) -> list[tuple[datetime, datetime | None]]:
    """The spans of time in which ``version`` was champion; the end is None while it still is."""
    spans = []
    for promotion, following in zip(history, [*history[1:], None], strict=True):
        if promotion.version == version:
            spans.append((promotion.at, None if following is None else following.at))
    return spans
