"""The checked history, kept beside the models: a retraining needs the very rows, not a file that has moved."""

import io
import json
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.manifest import HistoryManifest, ModelManifest
from riskloop.core.schema import Schema
from riskloop.core.types import Rows
from riskloop.store.artefacts import Artefacts
from riskloop.store.ledger import Ledger

_ARRAYS: Final = ("features", "times", "target")


def save_history(artefacts: Artefacts, rows: Rows, schema: Schema) -> str:
    """Store rows as an artefact named by their content, and return its name; the same rows are stored once."""
    if rows.target is None:
        raise DataError("A history needs its target column.")
    files = {"ids.json": json.dumps(list(rows.ids)).encode()}
    for name, values in zip(_ARRAYS, (rows.features, rows.times, rows.target), strict=True):
        files[f"{name}.npy"] = _dump(values)
    name, _ = artefacts.place(HistoryManifest(schema=schema, rows=len(rows)), files)
    return name


def load_history(artefacts: Artefacts, name: str | None) -> Rows:
    """The rows of a stored history, hashes checked; DataError where a model names none."""
    if name is None:
        raise DataError("The model names no history, so there are no rows to learn from again; train a model first.")
    artefact = artefacts.read(name, HistoryManifest)
    features, times, target = (
        np.load(io.BytesIO(artefact.bytes(f"{array}.npy")), allow_pickle=False) for array in _ARRAYS
    )
    return Rows(features, json.loads(artefact.bytes("ids.json")), times, target)


def holding(artefacts: Artefacts, ledger: Ledger, customer_id: str) -> list[int]:
    """The versions whose training history has rows of a customer."""
    found: dict[str, bool] = {}
    versions = []
    for row in ledger.models():
        name = artefacts.read(row.artefact, ModelManifest, row.sha256).manifest.training.history
        if name is None:
            continue
        if name not in found:
            ids = json.loads(artefacts.read(name, HistoryManifest).bytes("ids.json"))
            found[name] = customer_id in ids
        if found[name]:
            versions.append(row.version)
    return versions


def _dump(values: npt.NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()
