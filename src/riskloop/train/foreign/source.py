"""Where a foreign model is, and which kind of file it is: nothing that could run code is opened."""

import json
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from riskloop.core.errors import ArtefactError, ConfigError, NotFound, Unreachable
from riskloop.train.foreign.model import KINDS, Kind

_REMOTE: Final = re.compile(r"(models|runs|mlflow-artifacts|s3|gs|abfs|dbfs):/")
_PICKLES: Final = frozenset({".pkl", ".pickle", ".joblib", ".cloudpickle"})
UNPACKED: Final = 256 * 2**20  # bytes that an archive may always unpack to …
RATIO: Final = 100  # … and beyond them this many for each of its own
_REFUSED: Final = (
    "is a pickle, which runs whatever code it holds when it is opened. Save the model as LightGBM's text, XGBoost's "
    "JSON, a skops file, or a scorecard as a table"
)


@dataclass(frozen=True)
class ForeignFile:
    """One file."""

    name: str
    content: bytes
    kind: Kind
    source: str  # what was named


def find(source: str, kind: str | None = None) -> ForeignFile:
    """The model's file of a path, a folder (such as one of MLflow's) or an MLflow URI.

    ``kind`` says what it is where that cannot be told. Raises NotFound, ConfigError, or ArtefactError for what is not
    one of the kinds that can be read.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"There is no kind '{kind}' of model; there are {', '.join(KINDS)}.")
    if _REMOTE.match(source):
        with tempfile.TemporaryDirectory(prefix="riskloop-") as folder:
            return _in_folder(_fetched(source, Path(folder)), kind, source)
    path = Path(source)
    if path.is_dir():
        return _in_folder(path, kind, source)
    if not path.is_file():
        raise NotFound(f"There is no file or folder {source}.")
    return _found(path, kind, source)


def _fetched(uri: str, folder: Path) -> Path:
    try:
        from mlflow import artifacts
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise ConfigError(
            f"{uri} is read by MLflow, an extra: pip install 'riskloop[mlflow]'. A downloaded folder needs no MLflow."
        ) from None
    try:
        return Path(artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise Unreachable(f"MLflow cannot give {uri}: {error}.") from None


def _in_folder(folder: Path, kind: str | None, source: str) -> ForeignFile:
    """The one file of a folder that is a model; MLflow's own descriptions of it are none."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if any(path.name == "preparation.json" for path in files):
        raise ArtefactError(f"{source} is a version of a riskloop portfolio; copy the portfolio instead (store copy).")
    found = [path for path in files if _kind_of(path) is not None]
    if len(found) == 1:
        return _found(found[0], kind, source)
    names = ", ".join(str(path.relative_to(folder)) for path in (found or files)[:8])
    if not found and any(path.suffix in _PICKLES for path in files):
        raise ArtefactError(f"{source} holds {names}: the model {_REFUSED}.")
    how_many = f"{len(found)} files that could be the model" if found else "no file that can be read as a model"
    raise ArtefactError(f"{source} holds {how_many} ({names}); name the file itself.")


def _found(path: Path, kind: str | None, source: str) -> ForeignFile:
    if path.suffix in _PICKLES:
        raise ArtefactError(f"{path.name} {_REFUSED}.")
    told = kind or _kind_of(path)
    if told is None:
        raise ArtefactError(
            f"{path.name} is not a model that can be read: LightGBM's text, XGBoost's JSON, a skops file, or a "
            "scorecard as .csv or .xlsx (feature, from, to or level, points). Say which with --kind."
        )
    if zipfile.is_zipfile(path):
        _require_sane(path)
    return ForeignFile(path.name, path.read_bytes(), next(known for known in KINDS if known == told), source)


def _require_sane(path: Path) -> None:
    """Raises ArtefactError for an archive that is small and unpacks to very much."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError):
        return  # whoever reads it says so
    if unpacked > UNPACKED and unpacked > RATIO * path.stat().st_size:
        raise ArtefactError(
            f"{path.name} has {path.stat().st_size:,} bytes and unpacks to {unpacked:,}: no model is packed like that."
        )


def _kind_of(path: Path) -> Kind | None:
    """By its name, then by how it begins."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"tree\n") or head.startswith(b"tree\r\n"):
        return "lightgbm"
    if path.suffix == ".skops":
        return "skops"
    if path.suffix in (".ubj", ".xgb"):
        return "xgboost"
    if path.suffix == ".json":
        return "xgboost" if b'"learner"' in head or _is_xgboost(path) else None
    if path.suffix == ".csv":
        return "scorecard" if b"points" in head.lower() else None
    if path.suffix == ".xlsx":
        return "scorecard" if zipfile.is_zipfile(path) else None
    return None


def _is_xgboost(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(document, dict) and "learner" in document
