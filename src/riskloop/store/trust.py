"""What is signed: models when they are registered, and the chain's newest link every hour and at every promotion.

A checkpoint is made only of a record whose latest part was recomputed and found sound: what is signed was looked at.
"""

import base64
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update

from riskloop.core.addresses import without_password
from riskloop.core.chain import Link
from riskloop.core.errors import ArtefactError, ConfigError, NotFound, RiskloopError, StorageError
from riskloop.core.settings import Settings
from riskloop.core.types import Json, from_micros, iso
from riskloop.store import chain
from riskloop.store.audit import record
from riskloop.store.checkpoint_store import CheckpointStore, place_of, post
from riskloop.store.database import Database
from riskloop.store.signing import Signer, fingerprint, key_file, make_key, open_signer, read_public, verifies
from riskloop.store.tables import checkpoints, decisions, links, models, outcomes, promotions
from riskloop.store.verify import recompute
from riskloop.version import __version__

log = logging.getLogger("riskloop.trust")

FORMAT: Final = 1
FEW_LINKS: Final = 20_000  # are recomputed in a second or two
_LATE: Final = 100  # checkpoints that are placed outside later, at once


@dataclass(frozen=True, slots=True)
class TrustState:
    """How the record stands to its last checkpoint."""

    checkpoint: "Checkpoint | None"
    age: timedelta | None  # of the checkpoint, by the database's clock
    problem: str | None  # in a sentence
    doubt: bool = False  # it contradicts what was signed; else a problem is only that nothing was signed lately


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was signed at one moment."""

    at: datetime
    number: int  # of the newest link
    link: str  # hex
    seq: int | None  # of the ledger's last promotion
    version: int | None  # its model
    key: str  # fingerprint
    text: str  # the very text that was signed
    signature: bytes

    @property
    def name(self) -> str:
        """Of its file."""
        return f"checkpoint-{self.at:%Y%m%dT%H%M%S%fZ}-{self.number}.json"

    def content(self) -> bytes:
        """Of its file: what was signed, as text, and the signature."""
        document = {"signed": self.text, "signature": base64.b64encode(self.signature).decode(), "key": self.key}
        return json.dumps(document, indent=1).encode()


def read_checkpoint(text: str, signature: bytes) -> Checkpoint:
    """The inverse of what `Trust` signs; ValueError where it is none."""
    try:
        document = json.loads(text)
        if document["riskloop"] != f"checkpoint {FORMAT}":
            raise ValueError("it is of another format")
        promotion = document["promotion"] or {"seq": None, "version": None}
        return Checkpoint(
            datetime.fromisoformat(document["at"]),
            document["link"]["number"],
            document["link"]["hash"],
            promotion["seq"],
            promotion["version"],
            document["key"],
            text,
            signature,
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"it cannot be read ({error!r})") from None


def read_file(content: bytes) -> Checkpoint:
    """A checkpoint's file; ValueError where it is none."""
    try:
        document = json.loads(content)
        return read_checkpoint(document["signed"], base64.b64decode(document["signature"]))
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"it cannot be read ({error!r})") from None


def settings_fingerprint(settings: Settings) -> str:
    """A name for everything that riskloop.toml says."""
    return sha256(json.dumps(told_settings(settings), sort_keys=True).encode()).hexdigest()[:16]


def told_settings(settings: Settings) -> Json:
    """What riskloop.toml says, by `section.name`, as the audit trail may tell it: addresses may hold passwords."""
    told: Json = {}
    for section, values in settings.model_dump(mode="json").items():
        for name, value in values.items() if isinstance(values, dict) else [("", values)]:
            told[f"{section}.{name}".rstrip(".")] = value
    return {name: without_password(value) for name, value in told.items()}


class Trust:
    """The key of a portfolio, and what is signed with it. Without a key nothing is, and nothing is asked for."""

    def __init__(self, database: Database, settings: Settings, folder: Path) -> None:
        self.database = database
        self.settings = settings.trust
        self.folder = folder
        self.fingerprint = settings_fingerprint(settings)
        self.problem: str | None = None  # why the last checkpoint was not made, or not placed
        self._unsound = False  # the problem is what the record holds
        self._signer: Signer | None = None
        self._making = Lock()

    @property
    def signs(self) -> bool:
        """Whether riskloop.toml names a key."""
        return bool(self.settings.key.strip())

    @cached_property
    def place(self) -> CheckpointStore | None:
        """Where checkpoints go."""
        return place_of(self.settings, self.folder)

    @property
    def beside(self) -> bool:
        """Whether the key lies in the portfolio's own folder, where whoever writes the folder finds it."""
        path = key_file(self.settings, self.folder)
        return path is not None and path.resolve().is_relative_to(self.folder.resolve())

    def signer(self) -> Signer | None:
        """Who signs; a key's file that is missing is made, unless something was signed before.

        Raises ConfigError when the key cannot be read, or is gone.
        """
        if self._signer is None and self.signs:
            try:
                self._signer = open_signer(self.settings, self.folder)
            except NotFound as missing:
                path = key_file(self.settings, self.folder)
                if path is None or self._signed_before():
                    raise ConfigError(
                        f"{missing.message} It has signed what is on record: put it back, or make a new one with "
                        "`riskloop models sign`, and name the old one's public key in [trust] former."
                    ) from None
                make_key(path)
                self._signer = open_signer(self.settings, self.folder)
        return self._signer

    def public_keys(self) -> list[bytes]:
        """The keys whose signatures count: this one's, and the former ones'."""
        signer = self.signer()
        former = [read_public(self.folder / name) for name in self.settings.former]
        return ([] if signer is None else [signer.public()]) + former

    # ----------------------------------------------------------------------- models

    def sign_model(self, version: int, sha256: str) -> bytes | None:
        """The signature of a registration; None without a key."""
        signer = self.signer()
        return None if signer is None else signer.sign(_model_text(version, sha256))

    def require_model(
        self, version: int, sha256: str, signature: bytes | None, keys: Sequence[bytes] | None = None
    ) -> None:
        """Raise ArtefactError unless one of the keys, by default the portfolio's, signed that version and artefact."""
        if not self.signs:
            return
        if signature is None:
            raise ArtefactError(
                f"Version {version} is not signed, so it is not used. If it was registered before there was a key: "
                "look at it, then run `riskloop models sign`."
            )
        if not any(verifies(key, signature, _model_text(version, sha256)) for key in keys or self.public_keys()):
            raise ArtefactError(
                f"The signature of version {version} is not of this portfolio's key, or its row was changed: it is not "
                "used. `riskloop verify` says what was changed; a key of before belongs into [trust] former."
            )

    def sign_all(self, by: str, reason: str) -> list[int]:
        """Sign every version on record that no key has signed, or whose key is not known any more."""
        if not self.signs:
            raise ConfigError("There is no key to sign with: [trust] key is empty.")
        path = key_file(self.settings, self.folder)
        if path is not None and not path.exists():
            make_key(path)
        signer = self.signer()
        keys, done = self.public_keys(), []
        with self.database.write() as connection:
            rows = connection.execute(select(models.c.version, models.c.sha256, models.c.signature)).all()
            for row in rows:
                text = _model_text(row.version, row.sha256)
                if row.signature is None or not any(verifies(key, row.signature, text) for key in keys):
                    values = {"signature": None if signer is None else signer.sign(text)}
                    connection.execute(update(models).where(models.c.version == row.version).values(**values))
                    done.append(int(row.version))
            if done:
                at = from_micros(self.database.now(connection))
                document = {"versions": done, "reason": reason}
                record(connection, at=at, by=by, action="sign", subject="models", document=document)
        return done

    # ----------------------------------------------------------------------- checkpoints

    def last(self) -> Checkpoint | None:
        """The newest checkpoint on record."""
        with self.database.read() as connection:
            return _last(connection)

    def state(self) -> TrustState:
        """The last checkpoint, and whether the record agrees with it; recomputes nothing."""
        if not self.signs:
            return TrustState(None, None, None)
        with self.database.read() as connection:
            last, now = _last(connection), self.database.now(connection)
            said = [] if last is None else list(Signed(connection, [last]).contradictions(last))
        if last is None:
            return TrustState(None, None, self.problem, self._unsound)
        when, age = f"{last.at:%Y-%m-%d %H:%M} UTC", max(timedelta(), from_micros(now) - last.at)
        try:
            if not any(verifies(key, last.signature, last.text.encode()) for key in self.public_keys()):
                said.insert(0, f"The checkpoint of {when} is not signed by this portfolio's key.")
        except ConfigError as error:
            said.insert(0, error.message)
        doubt = bool(said) or self._unsound
        if not said and self.problem is not None:
            said.append(self.problem)
        elif not said and age > 2 * self.settings.every:
            said.append(f"The last checkpoint is of {when}: nothing was signed since.")
        return TrustState(last, age, " ".join(said) or None, doubt)

    def keep(self, *, force: bool = False, thorough: bool = False) -> Checkpoint | None:
        """Make a checkpoint when one is due, and place outside what could not be placed before; never raises.

        What was committed since the last one is recomputed first; when that is much, only by who is ``thorough``, since
        it takes seconds, and a checkpoint says which it was. What went wrong is `problem`, and in the log once.
        """
        with self._making:
            made, problem, self._unsound = None, None, False
            try:
                made = self._make(force, thorough)
                self._place()
            except RiskloopError as error:
                problem = error.message
            except Exception as error:  # noqa: BLE001 - a promotion that is committed must not fail for it
                problem = f"{type(error).__name__}: {error}"
            if problem is not None and problem != self.problem:
                log.error("No checkpoint: %s", problem, extra={"action": "checkpoint_refused"})
            self.problem = problem
        return made

    def _make(self, force: bool, thorough: bool) -> Checkpoint | None:
        signer = self.signer()
        if signer is None:
            return None
        with self.database.read() as connection:
            last, head, now = _last(connection), chain.head(connection), self.database.now(connection)
            if head is None or (last is not None and not force and from_micros(now) - last.at < self.settings.every):
                return None
            if last is not None:
                self._still_true(connection, last)
            found = connection.execute(
                select(promotions.c.seq, promotions.c.version).order_by(promotions.c.seq.desc()).limit(1)
            ).first()
            document = self._document(connection, head, now, found, fingerprint(signer.public()))
        since = 0 if last is None else last.number
        document["recomputed"] = thorough or head.number - since <= FEW_LINKS
        sound = recompute(self.database, since) if document["recomputed"] else None
        if sound is not None and not sound.sound:
            self._unsound = True
            raise StorageError(
                f"What was committed since the last checkpoint is not sound, so it was not signed. "
                f"{sound.breaches[0].sentence} Run `riskloop verify`."
            )
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        made = read_checkpoint(text, signer.sign(text.encode()))
        with self.database.write() as connection:
            values = {"at": now, "number": made.number, "document": text, "signature": made.signature}
            connection.execute(insert(checkpoints).values(**values, placed=False))
        return made

    def _document(self, connection: Connection, head: Link, now: int, promotion: Any, key: str) -> Json:
        last = {
            table.name: connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()
            for table in (decisions, outcomes)
        }
        return {
            "riskloop": f"checkpoint {FORMAT}",
            "version": __version__,
            "at": iso(from_micros(now)),
            "link": {"number": head.number, "hash": head.link.hex()},
            "last": last,
            "promotion": None if promotion is None else {"seq": promotion.seq, "version": promotion.version},
            "settings": self.fingerprint,
            "key": key,
        }

    def _still_true(self, connection: Connection, last: Checkpoint) -> None:
        """Raise StorageError when the record is not the one that was signed last; costs nothing."""
        for sentence in Signed(connection, [last]).contradictions(last):
            self._unsound = True
            raise StorageError(f"{sentence} Nothing was signed. Run `riskloop verify`.")

    def _place(self) -> None:
        if self.place is None and self.settings.webhook is None:
            return
        with self.database.read() as connection:
            query = select(checkpoints).where(~checkpoints.c.placed).order_by(checkpoints.c.id).limit(_LATE)
            waiting = connection.execute(query).all()
        for row in waiting:
            one = read_checkpoint(row.document, row.signature)
            if self.place is not None:
                self.place.put(one.name, one.content())
            if self.settings.webhook is not None:
                post(self.settings.webhook, one.content(), self.settings.timeout)
            with self.database.write() as connection:
                connection.execute(update(checkpoints).where(checkpoints.c.id == row.id).values(placed=True))

    def move_in(self) -> None:
        """After a restore: where checkpoints go holds none, because it is another place, all are placed there anew.

        Where it holds some they say what is missing, and nothing is done.
        """
        with suppress(StorageError):
            if self.place is None or self.place.all():
                return
            with self.database.write() as connection:
                connection.execute(update(checkpoints).values(placed=False))

    def _signed_before(self) -> bool:
        with self.database.read() as connection:
            signed = select(models.c.version).where(models.c.signature.is_not(None)).limit(1)
            return any(connection.execute(q).first() is not None for q in (signed, select(checkpoints.c.id).limit(1)))


class Signed:
    """The record at one moment, as far as checkpoints say something of it."""

    def __init__(self, connection: Connection, of: Sequence[Checkpoint]) -> None:
        self.newest = int(connection.execute(select(func.coalesce(func.max(links.c.number), 0))).scalar_one())
        ledger = connection.execute(select(promotions.c.seq, promotions.c.version))
        self._versions = {row.seq: row.version for row in ledger}
        self._links: dict[int, str] = {}
        numbers = sorted({checkpoint.number for checkpoint in of})
        for start in range(0, len(numbers), chain.IDS):
            chosen = links.c.number.in_(numbers[start : start + chain.IDS])
            for number, link in connection.execute(select(links.c.number, links.c.link).where(chosen)):
                self._links[number] = bytes(link).hex()

    def contradictions(self, checkpoint: Checkpoint) -> Iterator[str]:
        """How the record differs from what a checkpoint says of it, in sentences."""
        when = f"{checkpoint.at:%Y-%m-%d %H:%M:%S} UTC"
        if self.newest < checkpoint.number:
            yield (
                f"The record ends at link {self.newest}, but the checkpoint of {when} signed link {checkpoint.number}: "
                "what came after was cut off, or an older backup was restored."
            )
        elif self._links.get(checkpoint.number) != checkpoint.link:
            yield f"Link {checkpoint.number} is not the one that the checkpoint of {when} signed: it was rewritten."
        if checkpoint.seq is not None and self._versions.get(checkpoint.seq) != checkpoint.version:
            version = self._versions.get(checkpoint.seq)
            yield (
                f"At the checkpoint of {when} promotion {checkpoint.seq} made version {checkpoint.version} the "
                f"champion; {'it is gone' if version is None else f'it names version {version} now'}."
            )


def _last(connection: Connection) -> Checkpoint | None:
    row = connection.execute(select(checkpoints).order_by(checkpoints.c.id.desc()).limit(1)).first()
    if row is None:
        return None
    try:
        return read_checkpoint(row.document, row.signature)
    except ValueError as error:
        raise StorageError(f"The newest checkpoint in the database was changed: {error}.") from None


def _model_text(version: int, sha256: str) -> bytes:
    return f"riskloop model\nversion {version}\nsha256 {sha256}\n".encode()
