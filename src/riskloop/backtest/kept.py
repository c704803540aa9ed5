"""A history on disk, so that workers and a later run find the very rows. Plain arrays: nothing is unpickled."""

import hashlib
import io
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from riskloop.backtest.history import History, Played
from riskloop.core.manifest import Manifest
from riskloop.core.settings import parse_settings, settings_text
from riskloop.core.types import Diagnosis, Floats, Rows
from riskloop.store.artefacts import Artefact, Artefacts
from riskloop.store.files import make_folder
from riskloop.version import __version__

ROWS: Final = "rows"
PACKAGE: Final = Path(__file__).parents[1]


class KeptPeriod(msgspec.Struct, frozen=True):
    """One period of a kept history, without its rows."""

    name: str
    first: datetime
    end: datetime
    rows: int
    truth: Diagnosis | None
    share: float


class BacktestManifest(Manifest, frozen=True, kw_only=True):
    """A history that was divided for a back-test."""

    kind: Literal["backtest"] = "backtest"
    version: str  # riskloop's
    code: str = ""  # hash of its files: numbers of other code are not these
    settings: str  # as riskloop.toml would have them: the order of the features is the order of the columns
    past: int  # rows
    periods: tuple[KeptPeriod, ...]
    notes: tuple[str, ...]
    names: tuple[str, str]  # of the first and the last period of the past


@cache
def code_hash(package: Path) -> str:
    """SHA-256, as hexadecimal digits, of every Python file below ``package``, with its place."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(package).as_posix()} {content}\n".encode())
    return found.hexdigest()


def keep(work: Path, history: History) -> Path:
    """Store a history below ``work``; the folder of its back-test is named by what is in it."""
    parts = [history.past, *(period.rows for period in history.periods)]
    target = np.concatenate([part.target for part in parts if part.target is not None])
    truths = [period.true_pd for period in history.periods]
    files = {
        "features.npy": _dump(np.concatenate([part.features for part in parts])),
        "times.npy": _dump(np.concatenate([part.times for part in parts])),
        "target.npy": _dump(target),
        "ids.json": json.dumps([list(part.ids) for part in parts]).encode(),
    }
    if any(part.unseen for part in parts):
        files["unseen.json"] = json.dumps(
            [{str(r): dict(t) for r, t in part.unseen.items()} for part in parts]
        ).encode()
    if truths and all(truth is not None for truth in truths):
        files["true_pd.npy"] = _dump(np.concatenate([truth for truth in truths if truth is not None]))
    manifest = BacktestManifest(
        version=__version__,
        code=code_hash(PACKAGE),
        settings=settings_text(history.settings),
        past=len(history.past),
        periods=tuple(_period(period) for period in history.periods),
        notes=history.notes,
        names=(history.first_name, history.last_name),
    )
    # The artefact's own name is not known before it is written, and then it names the folder too.
    artefact = Artefacts(work / ROWS).write(manifest, files)
    folder = work / artefact.name
    make_folder(folder)
    return folder


def kept(folder: Path) -> History:
    """The history of a back-test's folder, its hashes checked."""
    artefact = Artefacts(folder.parent / ROWS).read(folder.name, BacktestManifest)
    manifest = artefact.manifest
    sizes = [manifest.past, *(entry.rows for entry in manifest.periods)]
    edges = np.cumsum(sizes)[:-1]
    features, times, target = (
        np.split(_load(artefact, f"{name}.npy"), edges) for name in ("features", "times", "target")
    )
    ids = json.loads(artefact.bytes("ids.json"))
    unseen: list[dict[int, dict[str, str]]] = [{} for _ in ids]
    if "unseen.json" in artefact.contents:
        unseen = [
            {int(row): texts for row, texts in part.items()} for part in json.loads(artefact.bytes("unseen.json"))
        ]
    rows = [Rows(*part) for part in zip(features, ids, times, target, unseen, strict=True)]
    true_pd: list[Floats | None] = [None] * (len(rows) - 1)
    if "true_pd.npy" in artefact.contents:
        true_pd = list(np.split(_load(artefact, "true_pd.npy"), np.cumsum([len(part) for part in rows[1:]])[:-1]))
    periods = tuple(
        Played(
            name=entry.name,
            first=entry.first,
            end=entry.end,
            rows=part,
            true_pd=truth,
            truth=entry.truth,
            share=entry.share,
        )
        for entry, part, truth in zip(manifest.periods, rows[1:], true_pd, strict=True)
    )
    settings = parse_settings(manifest.settings, "the kept history")
    return History(settings, rows[0], periods, manifest.notes, *manifest.names)


def _period(period: Played) -> KeptPeriod:
    return KeptPeriod(
        name=period.name,
        first=period.first,
        end=period.end,
        rows=len(period.rows),
        truth=period.truth,
        share=period.share,
    )


def _dump(values: npt.NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()


def _load(artefact: Artefact[BacktestManifest], name: str) -> npt.NDArray[Any]:
    loaded: npt.NDArray[Any] = np.load(io.BytesIO(artefact.bytes(name)), allow_pickle=False)
    return loaded
