"""Model versions in MLflow: models from code beside the artefact folder, and the alias of the champion.

The ledger stays the truth. A mirror is made to agree with it whenever it can be reached, from what it has: whatever was
lost there is made again, and what is there already is left alone.
"""

import hashlib
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from riskloop.core.errors import ConfigError, Conflict, RiskloopError, Unreachable
from riskloop.core.manifest import ModelManifest
from riskloop.core.types import Promotion
from riskloop.store.artefacts import MANIFEST, Artefact, Artefacts
from riskloop.store.ledger import Ledger, ModelVersion

if TYPE_CHECKING:
    import pandas as pd

CODE: Final = Path(__file__).with_name("mlflow_model.py.txt")
ALIAS: Final = "champion"
VERSION, SHA256, PROMOTION = "riskloop.version", "riskloop.sha256", "riskloop.promotion"
# MLflow reads these when it is asked; what a user has set stays. It sends nothing home, and prints nothing.
_QUIET: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LONGEST: Final = 4_000  # characters of a tag


@dataclass(frozen=True)
class Mirrored:
    """What a mirror has now."""

    name: str  # of the registered model
    versions: dict[int, str]  # MLflow's number by ours
    added: tuple[int, ...]
    champion: int | None  # the version that has the alias
    moved: bool  # the alias, now


def scorer(folder: str) -> "Callable[[pd.DataFrame], pd.DataFrame]":
    """A function from a frame in the portfolio's columns to `probability` and `default`, of an artefact's folder.

    Every file is held against its hash. It logs nothing: a mirrored model scores for looking, not for deciding.
    """
    import pandas as pd

    from riskloop.data.read import rows_from
    from riskloop.scoring.model import load_model

    text = (Path(folder) / MANIFEST).read_bytes()
    artefact = Artefacts(Path(folder).parent).read(Path(folder).name, ModelManifest, hashlib.sha256(text).hexdigest())
    model = load_model(artefact, 0)

    def score(frame: pd.DataFrame) -> pd.DataFrame:
        rows = rows_from(frame, model.schema, target="absent", where="the frame")
        probabilities = model.probabilities(rows.features)
        found = {"probability": probabilities, "default": probabilities >= model.threshold}
        return pd.DataFrame(found, index=frame.index)

    return score


def registered_name(portfolio: str) -> str:
    """The portfolio's name, as far as MLflow takes it."""
    return re.sub(r"[/:%.\"']+", "-", portfolio) or "riskloop"


def put_version(ledger: Ledger, artefacts: Artefacts, version: int, uri: str, name: str, timeout: float) -> str:
    """Register one version, unless it is there; MLflow's number for it. Raises as `sync` does."""
    with _reached(uri, timeout) as client:
        known = _known(client, name, ledger)
        row = ledger.model(version)
        artefact = artefacts.read(row.artefact, ModelManifest, row.sha256)
        return known.get(version) or _put(client, uri, name, row, artefact)


def sync(ledger: Ledger, artefacts: Artefacts, uri: str, name: str, timeout: float) -> Mirrored:
    """Make MLflow agree with the ledger: every version, and the alias `champion` with the promotion behind it.

    Raises Unreachable where MLflow does not answer or does not take something, ConfigError without the package,
    Conflict where the name belongs to somebody else.
    """
    with _reached(uri, timeout) as client:
        known, added = _known(client, name, ledger), []
        for row in ledger.models():
            if row.version not in known:
                artefact = artefacts.read(row.artefact, ModelManifest, row.sha256)
                known[row.version] = _put(client, uri, name, row, artefact)
                added.append(row.version)
        champion = ledger.champion()
        moved = champion is not None and _point(client, name, known[champion.version], champion)
        return Mirrored(name, known, tuple(added), None if champion is None else champion.version, moved)


def _known(client: Any, name: str, ledger: Ledger) -> dict[int, str]:
    """MLflow's number of each of our versions. The registered model is made where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={"riskloop.portfolio": name})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    ours = {row.version: row.sha256 for row in ledger.models()}
    found = {}
    for entry in _all(client, name):
        if VERSION not in entry.tags:
            continue
        number = int(entry.tags[VERSION])
        if ours.get(number) != entry.tags.get(SHA256):
            raise Conflict(
                f"The registered model '{name}' in MLflow holds a version {number} of another portfolio. Give this one "
                "a name of its own: mlflow.name in riskloop.toml."
            )
        found[number] = str(entry.version)
    return found


def _all(client: Any, name: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_model_versions(f"name='{name}'", max_results=200, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _put(client: Any, uri: str, name: str, row: ModelVersion, artefact: Artefact[ModelManifest]) -> str:
    """Log a version as a model from code, and register it with its tags."""
    import mlflow

    experiment = client.get_experiment_by_name(name)
    place = client.create_experiment(name) if experiment is None else experiment.experiment_id
    metrics, training = artefact.manifest.metrics, artefact.manifest.training
    tags = {
        VERSION: str(row.version),
        SHA256: row.sha256,
        "riskloop.learner": row.learner,
        "riskloop.origin": row.origin,
        "riskloop.parent": "" if row.parent is None else str(row.parent),
        "riskloop.case": "" if row.case_id is None else str(row.case_id),
        "riskloop.fingerprint": training.fingerprint,
    }
    run = client.create_run(place, run_name=f"version {row.version}", tags=tags)
    for key in ("auc", "ks", "brier", "log_loss"):
        client.log_metric(run.info.run_id, key, getattr(metrics, key))
    with tempfile.TemporaryDirectory(prefix="riskloop-") as folder:
        code = Path(folder) / "riskloop_model.py"
        code.write_text(CODE.read_text(encoding="utf-8"), encoding="utf-8")
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(uri)
        try:
            with mlflow.start_run(run_id=run.info.run_id):
                logged = mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(code),
                    artifacts={"version": str(artefact.path)},
                    pip_requirements=[f"riskloop=={installed('riskloop')}"],
                )
        finally:
            mlflow.set_tracking_uri(before)
    made = client.create_model_version(
        name, source=logged.model_uri, run_id=run.info.run_id, tags=tags, model_id=logged.model_id
    )
    return str(made.version)


def _point(client: Any, name: str, number: str, promotion: Promotion) -> bool:
    """Move the alias to the champion, and say by which promotion; whether it had to."""
    model = client.get_registered_model(name)
    entry = client.get_model_version(name, number)
    if str(model.aliases.get(ALIAS)) == number and entry.tags.get(PROMOTION) == str(promotion.seq):
        return False
    evidence = json.dumps(promotion.evidence, sort_keys=True)
    tags = {
        PROMOTION: str(promotion.seq),
        "riskloop.promoted_at": promotion.at.isoformat(),
        "riskloop.promoted_by": promotion.by,
        "riskloop.kind": promotion.kind.value,
        "riskloop.reason": promotion.reason[:_LONGEST],
        "riskloop.evidence_sha256": hashlib.sha256(evidence.encode()).hexdigest(),
        "riskloop.evaluation": str(promotion.evidence.get("evaluation") or ""),
    }
    for key, value in tags.items():
        client.set_model_version_tag(name, number, key, value)
    client.set_registered_model_alias(name, ALIAS, number)
    return True


@contextmanager
def _reached(uri: str, timeout: float) -> Iterator[Any]:
    """A client that does not wait for long; what MLflow refuses is an error of ours, without the address's password."""
    for key, value in {**_QUIET, "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(timeout)))}.items():
        os.environ.setdefault(key, value)
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise ConfigError("MLflow is an extra: pip install 'riskloop[mlflow]'.") from None
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for type hints
            yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except RiskloopError:
        raise
    except (MlflowException, OSError) as error:
        said = str(error).splitlines()[0].replace(uri, shown(uri))[:300]
        raise Unreachable(f"MLflow at {shown(uri)} does not take the versions: {said}") from None


def shown(uri: str) -> str:
    """The address without what identifies a user."""
    parts = urlsplit(uri)
    return uri if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
