"""Manifests of model versions, read and verified once: an artefact never changes."""

from functools import lru_cache
from pathlib import Path

from riskloop.core.manifest import ModelManifest
from riskloop.store.artefacts import Artefacts
from riskloop.store.ledger import Ledger


def manifest(artefacts: Artefacts, ledger: Ledger, version: int) -> ModelManifest:
    """What a version says of itself; the artefact's hashes are checked at the first reading."""
    row = ledger.model(version)
    return _read(artefacts.root, row.artefact, row.sha256)


@lru_cache(maxsize=64)
def _read(root: Path, artefact: str, sha256: str) -> ModelManifest:
    return Artefacts(root).read(artefact, ModelManifest, sha256).manifest
