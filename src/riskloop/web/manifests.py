"""Manifests of model versions, read and verified once: an artefact never changes."""

from functools import lru_cache
from pathlib import Path

from riskloop.core.manifest import ModelManifest
from riskloop.store.artefacts import Artefacts
from riskloop.store.home import Home


def manifest(home: Home, version: int) -> ModelManifest:
    """What a version says of itself; the artefact's hashes are checked at the first reading."""
    row = home.ledger.model(version)
    return _read(home.artefacts.root, row.artefact, row.sha256)


@lru_cache(maxsize=64)
def _read(root: Path, artefact: str, sha256: str) -> ModelManifest:
    return Artefacts(root).read(artefact, ModelManifest, sha256).manifest
