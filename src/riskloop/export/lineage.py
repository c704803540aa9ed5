"""The record as events of OpenLineage (spec 2-0-2): which rows made which version, and which version became champion.

The record itself is the outbox: an event is worked out from what is on record when it is sent, and its run id from what
it is about, so that an event that is sent twice is the same run.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import requests

from riskloop.core.errors import DataError, StorageError, Unreachable
from riskloop.core.manifest import ModelManifest
from riskloop.core.settings import Settings
from riskloop.core.types import Json, Promotion, iso
from riskloop.deadline import Deadline, beginning
from riskloop.store.artefacts import Artefacts
from riskloop.store.ledger import Ledger, ModelVersion
from riskloop.store.windows import Window, Windows

PRODUCER: Final = "urn:riskloop"
SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
FACETS: Final = "https://openlineage.io/spec/facets"
ENDPOINT: Final = "/api/v1/lineage"  # where an address names no path, as in OpenLineage's own clients
KEY: Final = "OPENLINEAGE_API_KEY"  # environment variable
BAD_EVENT: Final = frozenset((400, 413, 422))  # statuses that speak of this event, not of all of them
READ: Final = 2000  # bytes of an answer that are read …
SAID: Final = 200  # … and characters that are repeated
ALL: Final = 1_000_000  # windows


@dataclass(frozen=True, slots=True)
class LineageEvent:
    """Something that happened to data or models."""

    subject: str  # "version 3": sent once
    document: Json


def due_events(
    ledger: Ledger, artefacts: Artefacts, windows: Windows, settings: Settings, sent: frozenset[str]
) -> Iterator[LineageEvent]:
    """What is on record and not among the subjects that were ``sent``: versions, windows, promotions."""
    namespace = settings.lineage.namespace or settings.portfolio.name
    for version in ledger.models():
        subject = f"version {version.version}"
        if subject not in sent:
            yield LineageEvent(subject, _of_version(namespace, subject, artefacts, version))
    for window in windows.latest(ALL):
        subject = f"window {window.id} {(window.matured_at or window.closed_at).isoformat()}"
        if subject not in sent:
            yield LineageEvent(subject, _of_window(namespace, subject, window))
    for promotion in ledger.promotions():
        subject = f"promotion {promotion.seq}"
        if subject not in sent:
            yield LineageEvent(subject, _of_promotion(namespace, subject, promotion))


def _of_version(namespace: str, subject: str, artefacts: Artefacts, version: ModelVersion) -> Json:
    training = artefacts.read(version.artefact, ModelManifest, version.sha256).manifest.training
    made = training.record
    inputs = []
    if training.history is not None:
        inputs.append(_dataset(namespace, "history", version=training.history))
    if made is not None:
        inputs.append(_dataset(namespace, "decisions", ids=made.decisions))
    if version.parent is not None:
        inputs.append(_dataset(namespace, "model", version=str(version.parent)))
    about: Json = {
        "version": version.version,
        "origin": version.origin,
        "learner": version.learner,
        "rows": training.rows,
        "defaults": training.defaults,
        "fingerprint": training.fingerprint if made is None else made.fingerprint,
        "firstTime": training.first_time,
        "lastTime": training.last_time,
        "crossValidatedAuc": version.auc,
        "case": version.case_id,
        "by": version.registered_by,
    }
    output = _dataset(namespace, "model", version=str(version.version), sha256=version.sha256)
    job = "train" if version.case_id is None else "challenger"
    return _event(namespace, subject, version.created_at, job, about, inputs, [output])


def _of_window(namespace: str, subject: str, window: Window) -> Json:
    about: Json = {
        "window": window.name,
        "rows": window.rows,
        "firstTime": iso(window.first_time),
        "endTime": iso(window.end_time),
        "version": window.model_version,
        "diagnosis": window.diagnosis.value,
        "confirmed": window.confirmed,
        "judgedByOutcomes": window.matured_at is not None,
        "quarantined": window.quarantined,
        "case": window.case_id,
    }
    ids = ((window.first_id, window.last_id),) if window.rows else ()
    inputs = [
        _dataset(namespace, "decisions", rows=window.rows, ids=ids),
        _dataset(namespace, "model", version=str(window.model_version)),
    ]
    if window.judged_with is not None:
        inputs.append(_dataset(namespace, "outcomes", ids=((1, window.judged_with),)))
    output = _dataset(namespace, "windows", version=str(window.id))
    return _event(namespace, subject, window.matured_at or window.closed_at, "monitor", about, inputs, [output])


def _of_promotion(namespace: str, subject: str, promotion: Promotion) -> Json:
    about: Json = {
        "promotion": promotion.seq,
        "version": promotion.version,
        "previous": promotion.previous,
        "kind": promotion.kind.value,
        "by": promotion.by,
    }
    inputs = [_dataset(namespace, "model", version=str(promotion.version))]
    output = _dataset(namespace, "champion", version=str(promotion.seq))
    return _event(namespace, subject, promotion.at, "promote", about, inputs, [output])


def _dataset(
    namespace: str,
    name: str,
    *,
    version: str | None = None,
    rows: int | None = None,
    ids: tuple[tuple[int, int], ...] = (),
    sha256: str | None = None,
) -> Json:
    """An input or an output; ``ids`` are runs of numbers, both ends included."""
    facets: Json = {}
    if version is not None:
        schema = f"{FACETS}/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
        facets["version"] = {"_producer": PRODUCER, "_schemaURL": schema, "datasetVersion": version}
    own = {"rows": rows, "ids": [list(run) for run in ids] or None, "sha256": sha256}
    told = {key: value for key, value in own.items() if value is not None}
    if told:
        facets["riskloop_part"] = {"_producer": PRODUCER, "_schemaURL": f"{SPEC}#/$defs/DatasetFacet", **told}
    return {"namespace": namespace, "name": name, "facets": facets}


def _event(
    namespace: str, subject: str, at: datetime, job: str, about: Json, inputs: list[Json], outputs: list[Json]
) -> Json:
    run_id = str(uuid5(NAMESPACE_URL, f"riskloop:{namespace}:{subject}:{at.isoformat()}"))
    told = {key: value for key, value in about.items() if value is not None}
    facet = {"_producer": PRODUCER, "_schemaURL": f"{SPEC}#/$defs/RunFacet", **told}
    return {
        "eventType": "COMPLETE",
        "eventTime": iso(at),
        "run": {"runId": run_id, "facets": {f"riskloop_{job}": facet}},
        "job": {"namespace": namespace, "name": job, "facets": {}},
        "inputs": inputs,
        "outputs": outputs,
        "producer": PRODUCER,
        "schemaURL": f"{SPEC}#/$defs/RunEvent",
    }


def send(document: Json, to: str, folder: Path, timeout: float) -> None:
    """Deliver one event: POST it, or append it to a file as a line. A relative file starts at ``folder``.

    Raises DataError when the server takes no such event, Unreachable or StorageError when nothing can be delivered.
    """
    body = json.dumps(document, sort_keys=True)
    if not to.startswith(("http://", "https://")):
        _append(folder / to, body)
        return
    where, key = urlsplit(to), os.environ.get(KEY)
    url = to.rstrip("/") + ENDPOINT if where.path in ("", "/") else to
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    with Deadline(timeout) as deadline, deadline.session() as session:
        try:
            answer = session.post(
                url, data=body.encode(), headers=headers, timeout=timeout, allow_redirects=False, stream=True
            )
        except (requests.RequestException, OSError) as error:
            if deadline.over:
                raise Unreachable(f"{where.hostname} did not answer within {timeout:g} s.") from None
            raise Unreachable(f"{where.hostname} cannot be reached ({type(error).__name__}).") from None
        with answer:
            if deadline.over:  # its headers were cut off, which looks like their end
                raise Unreachable(f"{where.hostname} did not answer within {timeout:g} s.")
            if answer.status_code < 300:
                return
            read = beginning(answer, READ)
    said = " ".join(read.replace(key or "\0", "…").split())[:SAID]  # it may repeat what it was sent
    words = f"{where.hostname} answered {answer.status_code}" + (f": {said}" if said else "")
    raise (DataError if answer.status_code in BAD_EVENT else Unreachable)(f"{words}.")


def _append(path: Path, line: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from None
