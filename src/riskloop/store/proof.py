"""`riskloop verify`: the record against its chain, the chain against signed checkpoints, the models against the key."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, select

from riskloop.core.errors import ArtefactError, RiskloopError, StorageError
from riskloop.core.manifest import ModelManifest
from riskloop.core.types import from_micros
from riskloop.store import tallies
from riskloop.store.archive import Archive
from riskloop.store.artefacts import Artefacts
from riskloop.store.checkpoint_store import CheckpointStore
from riskloop.store.database import Database
from riskloop.store.ledger import Ledger
from riskloop.store.segments import Segments
from riskloop.store.signing import fingerprint, verifies
from riskloop.store.tables import checkpoints
from riskloop.store.trust import Checkpoint, Signed, Trust, read_checkpoint, read_file
from riskloop.store.verify import Breach, Tick, Verification, recompute


@dataclass(slots=True)
class Proof:
    """What was recomputed, what was found, and what it cannot show."""

    recomputed: Verification
    since: Checkpoint | None = None  # what was taken as sound, because it was asked for what came after
    checkpoints: int = 0
    last: Checkpoint | None = None  # the newest one that the record agrees with
    breaches: list[Breach] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.breaches

    @property
    def first_broken(self) -> int | None:
        """The number of the first link that does not hold, or that says something else than the record."""
        return min((breach.link for breach in self.breaches if breach.link is not None), default=None)


def prove(
    trust: Trust,
    ledger: Ledger,
    artefacts: Artefacts,
    segments: Segments,
    archive: Archive,
    since: datetime | None = None,
    public: bytes | None = None,
    tick: Tick = lambda _links: None,
) -> Proof:
    """Recompute everything, or what came after the newest sound checkpoint before ``since``.

    ``public`` is the raw key to trust instead of what riskloop.toml names. Raises ConfigError when the key is gone.
    """
    begun = time.perf_counter()
    keys = [public] if public is not None else trust.public_keys()
    found: list[Breach] = []
    signed = _checkpoints(trust, keys, found) if keys else []
    with trust.database.read() as connection:
        record = Signed(connection, signed)
    sound = []
    for checkpoint in signed:
        said = list(record.contradictions(checkpoint))
        what = "cut" if record.newest < checkpoint.number else "rewritten"
        found += [_breach(what, sentence, checkpoint.number) for sentence in said]
        if not said:
            sound.append(checkpoint)
    before = [c for c in sound if since is not None and c.at <= since]
    start = before[-1] if before else None
    recomputed = recompute(trust.database, 0 if start is None else start.number, tick, archive)
    proof = Proof(recomputed, start, len(signed), sound[-1] if sound else None)
    proof.breaches = [*recomputed.breaches, *found, *_models(trust, ledger, artefacts, keys)]
    for segment, sentence in segments.altered():
        proof.breaches.append(Breach("segments", "changed", segment.first_id, segment.last_id, None, sentence))
    proof.breaches += _tallies(trust.database, segments)
    proof.limits = [*_limits(trust, proof, since), *_away(archive, recomputed)]
    proof.seconds = time.perf_counter() - begun
    return proof


class _Readers:
    """Reads every checkpoint, in the database and outside, and keeps what is wrong with them."""

    def __init__(self, keys: list[bytes], found: list[Breach]) -> None:
        self._keys = keys
        self._names = {fingerprint(key) for key in keys}
        self._found = found

    def inside(self, connection: Connection) -> dict[str, tuple[Checkpoint, bool]]:
        """Those in the database by name, and whether each was placed outside."""
        there = {}
        for row in connection.execute(select(checkpoints).order_by(checkpoints.c.id)):
            reader = partial(read_checkpoint, row.document, row.signature)
            one = self._signed(reader, f"{row.id} in the database")
            if one is not None:
                there[one.name] = one, bool(row.placed)
        return there

    def outside(self, place: CheckpointStore | None) -> dict[str, Checkpoint] | None:
        """Those in the place, by the name that each should have; None when it cannot be read, or there is none."""
        if place is None:
            return None
        try:
            files = place.all()
        except StorageError as error:
            self._found.append(_breach("missing", error.message, None))
            return None
        read = [self._signed(partial(read_file, files[name]), f"{name} in {place.name}") for name in files]
        return {one.name: one for one in read if one is not None}

    def _signed(self, reader: Callable[[], Checkpoint], where: str) -> Checkpoint | None:
        try:
            one = reader()
        except ValueError as error:
            self._found.append(_breach("changed", f"The checkpoint {where} was changed: {error}.", None))
            return None
        if any(verifies(key, one.signature, one.text.encode()) for key in self._keys):
            return one
        if one.key in self._names:
            sentence = f"The checkpoint {where} is not what its key signed: it was changed."
        else:
            sentence = f"The checkpoint {where} is signed by a key {one.key} that [trust] does not name."
        self._found.append(_breach("changed", sentence, one.number))
        return None


def _checkpoints(trust: Trust, keys: list[bytes], found: list[Breach]) -> list[Checkpoint]:
    """Those whose signature holds, wherever they are, by the number of their link."""
    readers, place = _Readers(keys, found), trust.place
    with trust.database.read() as connection:
        inside = readers.inside(connection)
    outside = readers.outside(place)
    if place is not None and outside is not None:
        for name in sorted(outside.keys() - inside.keys()):
            sentence = f"The checkpoint {name} lies in {place.name} and is gone from the database."
            found.append(_breach("missing", sentence, outside[name].number))
        gone = sorted(name for name, (_, placed) in inside.items() if placed and name not in outside)
        if gone:
            more = f", and {len(gone) - 1} after it" if gone[1:] else ""
            found.append(_breach("missing", f"The checkpoint {gone[0]} is gone from {place.name}{more}.", None))
    every = {name: one for name, (one, _) in inside.items()} | (outside or {})
    return sorted(every.values(), key=lambda one: (one.number, one.at))


def _models(trust: Trust, ledger: Ledger, artefacts: Artefacts, keys: list[bytes]) -> Iterator[Breach]:
    """Every registered version: its signature, and its files."""
    for row in ledger.models():
        try:
            if keys:
                trust.require_model(row.version, row.sha256, row.signature, keys)
            artefacts.read(row.artefact, ModelManifest, row.sha256)
        except RiskloopError as error:
            yield Breach("models", "changed", row.version, row.version, None, error.message)


def _tallies(database: Database, segments: Segments) -> Iterator[Breach]:
    """The kept counts by which it is told how far the outcome feed is complete, counted again."""
    try:
        with database.read() as connection:
            hours = tallies.altered(connection, segments)
    except ArtefactError:
        return  # a segment cannot be read, which was found before
    if len(hours):
        first, last = int(hours[0]), int(hours[-1])
        since = f"{from_micros(first * tallies.HOUR):%Y-%m-%d %H:%M} UTC"
        sentence = (
            f"The kept counts of {len(hours):,} hours, the first {since}, are not those of the log. By them it is told "
            "how far the outcome feed is complete. Delete the row of `tallied`, and the next cycle counts again."
        )
        yield Breach("tallies", "changed", first, last, None, sentence)


def _limits(trust: Trust, proof: Proof, since: datetime | None) -> Iterator[str]:
    """What a sound record does not show."""
    if proof.recomputed.before and proof.since is None:
        yield "What was on record before the chain was linked as it was found; what was done before cannot be seen."
    if proof.since is not None:
        yield f"Only what came after the checkpoint of {proof.since.at:%Y-%m-%d %H:%M} UTC was recomputed."
    elif since is not None:
        yield f"There is no sound checkpoint before {since:%Y-%m-%d %H:%M} UTC, so everything was recomputed."
    if not trust.signs:
        yield "Nothing is signed ([trust] key is empty): whoever can write the database can rewrite all of it."
        return
    head, last = proof.recomputed.head, proof.last
    unsigned = 0 if head is None else head.number - (0 if last is None else last.number)
    if unsigned > 0:
        yield f"The newest {unsigned} links are not in a checkpoint yet; they could be rewritten unseen until they are."
    if trust.beside:
        yield "The key lies in the portfolio's folder: whoever can write there can sign, too. See docs/trust.md."
    if trust.place is None:
        yield "Checkpoints are kept in the database only; cut off together with the record they say nothing."


def _away(archive: Archive, recomputed: Verification) -> Iterator[str]:
    """What was taken out of the record and could not be recomputed: only its links tell of it."""
    if recomputed.archived:
        yield f"{recomputed.archived:,} rows are archived, and were recomputed from there."
    for kind in sorted({entry.kind for entry in recomputed.away}):
        found = [entry for entry in recomputed.away if entry.kind == kind]
        rows, kept = sum(entry.rows for entry in found), [entry for entry in found if entry.path is not None]
        where = f"; {archive.place(kept[0])} is not there" if kept else ", and kept nowhere"
        more = f", nor are {len(kept) - 1:,} more files" if kept[1:] else ""
        noun = {"audit": "audit events", "features": "decisions' features"}.get(kind, kind)
        yield f"{rows:,} {noun} were taken out by [retention]{where}{more}: of them only the links were looked at."


def _breach(what: str, sentence: str, link: int | None) -> Breach:
    return Breach("checkpoints", what, link or 0, link or 0, link, sentence)
