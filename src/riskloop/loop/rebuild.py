"""Any version made again from its record, to show that the record is all that it took."""

from dataclasses import dataclass

from msgspec import structs
from pydantic import ValidationError

from riskloop.core.errors import Refused, RiskloopError
from riskloop.core.manifest import ModelManifest, seal
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings, restored
from riskloop.core.types import Json
from riskloop.loop.champion import load
from riskloop.loop.making import make
from riskloop.loop.trainer import Tick
from riskloop.store.history import load_history
from riskloop.store.home import Home
from riskloop.train.candidate import Candidate, library_versions
from riskloop.train.fit import fit


@dataclass(frozen=True)
class Rebuilt:
    """A version beside its second making."""

    version: int
    identical: bool  # every byte
    sha256: str  # of the registered manifest, which holds the hash of every file
    rebuilt_sha256: str
    differing: tuple[str, ...]  # files, and parts of the manifest, that are not the same
    libraries: Json  # {name: [then, now]} of those that changed since
    sentence: str


def rebuild(home: Home, version: int, tick: Tick = lambda _sentence, _share: None) -> Rebuilt:
    """Make a version again from its manifest, the stored history and the logs, and compare it byte for byte.

    Decisions and outcomes are read as they were known then, and the settings are those of the manifest. Raises
    NotFound for an unknown version, ArtefactError when its files were altered, Refused for one that was imported.
    """
    artefact = home.artefact(version)
    manifest = artefact.manifest
    imported = manifest.training.imported
    if imported is not None and manifest.origin == "import":
        raise Refused(
            f"Version {version} was imported from {imported.source} and not made here, so it cannot be made again byte "
            f"for byte. The file itself is kept in its artefact: {imported.file}, sha256 {imported.sha256}."
        )
    then = _settings(home.settings, manifest.schema, manifest.settings)
    outcomes = then.outcomes.model_copy(update={"definition": manifest.training.definition})
    then = then.model_copy(update={"outcomes": outcomes})
    candidate = _made_again(home, then, manifest, tick)
    sealed = seal(as_recorded(candidate.manifest, manifest.settings), candidate.files)
    names = [n for n in {**candidate.files, **artefact.contents} if candidate.files.get(n) != artefact.contents.get(n)]
    parts = [key for key in manifest.__struct_fields__ if getattr(manifest, key) != getattr(sealed.manifest, key)]
    names += [f"manifest: {key}" for key in parts if key != "files"]
    now = library_versions(manifest.learner)
    changed = {name: [old, now.get(name)] for name, old in manifest.libraries.items() if now.get(name) != old}
    identical = sealed.sha256 == artefact.sha256
    return Rebuilt(
        version=version,
        identical=identical,
        sha256=artefact.sha256,
        rebuilt_sha256=sealed.sha256,
        differing=tuple(sorted(names)),
        libraries=changed,
        sentence=_sentence(version, manifest, identical, names, changed),
    )


def as_recorded(manifest: ModelManifest, recorded: Json) -> ModelManifest:
    """The manifest with the settings that the record names; those that a newer riskloop has say nothing of it."""
    settings = {
        name: {key: values[key] for key in values if key in recorded[name]} if isinstance(values, dict) else values
        for name, values in manifest.settings.items()
        if name in recorded
    }
    return structs.replace(manifest, settings=settings)


def _made_again(home: Home, then: Settings, manifest: ModelManifest, tick: Tick) -> Candidate:
    history, record = manifest.training.history, manifest.training.record
    if record is None:
        rows, immature = load_history(home.artefacts, history), manifest.training.immature
        return fit(rows, then, history=history, immature=immature, progress=tick)
    order = record.order
    if order is None:
        raise RiskloopError("This version's manifest holds no order. An older riskloop made it.")
    past = home.decisions.horizon()
    if any(first <= past for first, _ in record.decisions):
        raise RiskloopError(
            f"This version learned from decisions of which those up to {past:,} were taken out by [retention], so it "
            "cannot be made again. A backup of before can be restored elsewhere to do so."
        )
    ordered = _settings(then, then.row_schema, order.settings)
    return make(ordered, home.decisions, home.artefacts, order, load(home, order.champion), tick=tick).candidate


def _settings(settings: Settings, schema: Schema, recorded: Json) -> Settings:
    try:
        return restored(settings, schema, recorded)
    except (ValidationError, AttributeError) as error:
        raise RiskloopError(
            f"This version's manifest holds a setting that this riskloop does not know ({_first(error)}): it was made "
            "by another one. Install that to make it again."
        ) from None


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return ".".join(str(part) for part in error.errors()[0]["loc"])
    return str(error)


def _sentence(version: int, manifest: ModelManifest, identical: bool, names: list[str], changed: Json) -> str:
    record = manifest.training.record or manifest.training
    rows = f"{record.rows:,} rows (fingerprint {record.fingerprint[:12]})"
    if identical:
        return f"Version {version} was made again from its record and {rows}: every byte is the same."
    libraries = ", ".join(f"{name} {old} then, {new} now" for name, (old, new) in changed.items())
    why = f" The libraries changed: {libraries}." if changed else ""
    return f"Version {version} was made again from {rows} and differs in {', '.join(sorted(names))}.{why}"
