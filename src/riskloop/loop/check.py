"""Rows that nobody has decided on yet, looked at as a window would be: nothing is logged and no case is opened."""

from typing import Any

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings, Settings
from riskloop.core.types import Finding, Json, Severity
from riskloop.data.opening import open_source
from riskloop.data.read import screen_rows
from riskloop.data.refused import reason_lines
from riskloop.data.spelling import spelled
from riskloop.data.tables import Source
from riskloop.decide.diagnosis import diagnose
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.examine import Arrived, at_closing
from riskloop.monitor.frames import coded
from riskloop.store.documents import plain

_ORDER = [Severity.OK, Severity.NOISE, Severity.UNKNOWN, Severity.DRIFTED, Severity.SEVERE, Severity.FAULT]


def check(champion: ReferenceModel | None, schema: Schema, settings: Settings, source: Any, where: str) -> Json:
    """What of a file, frame, Arrow table or batch would be refused, flagged or drifted, by column and as a diagnosis.

    Before the first promotion there is no champion: the columns are held against the ``schema`` of riskloop.toml, and
    nothing is said of drift.
    """
    dialect = settings.data
    if champion is None:
        features, _, found = coded(_opened(source, schema, dialect, where), schema, where, dialect)
        said: Json = {"model_version": None, "diagnosis": None, "rungs": [],
                "sentence": "There is no champion yet, so drift is not checked."}  # fmt: skip
        return {**_read(source, schema, dialect, where, features, found), **said, "findings": plain(found)}
    model = champion.model
    features, times, found = coded(_opened(source, model.schema, dialect, where), model.schema, where, dialect)
    scores = model.probabilities(features) if len(features) else np.empty(0)
    profile = champion.reference.profile(features, scores, times if len(times) else None)
    found += at_closing(champion, settings, Arrived(profile, features, scores, times))
    answer = diagnose(found, [], settings.drift)
    return {
        **_read(source, model.schema, dialect, where, features, found, settings.drift.psi),
        "model_version": champion.version,
        "diagnosis": answer.diagnosis.value,
        "sentence": answer.sentence,
        "rungs": plain(answer.rungs),
        "findings": plain(found),
    }


def _opened(source: Any, schema: Schema, dialect: DataSettings, where: str) -> Source:
    """The source under the schema's spelling of its columns, as scoring reads it."""
    return spelled(open_source(source, dialect, where, target=schema.target)[0], schema)


def _read(
    source: Any,
    schema: Schema,
    dialect: DataSettings,
    where: str,
    features: Any,
    found: list[Finding],
    band: float = np.inf,
) -> Json:
    """What would be refused and flagged, by column, beside the findings about it.

    A PSI above ``band`` that is none the less nothing new is said, too, with the reason.
    """
    refused: dict[str, int] = {}
    reasons, notes = list[str](), list[str]()
    rows_refused = 0
    try:
        lenient = dialect.model_copy(update={"strict": False, "max_refused": 1.0})
        screened = screen_rows(source, schema, where=where, dialect=lenient)
        rows_refused, reasons = len(screened.refused), reason_lines(screened)
        notes = list(screened.source.notes)
        for entry in screened.problems.found:
            refused[entry.column] = refused.get(entry.column, 0) + 1
    except DataError as error:
        rows_refused, reasons = len(features), [error.message]
    columns = []
    for j, feature in enumerate(schema.features):
        about = [finding for finding in found if finding.subject == feature.name]
        worst = max((finding.severity for finding in about), key=_ORDER.index, default=Severity.OK)
        unseen = features[:, j] == len(feature.categories) if feature.kind == "category" else np.zeros(0)
        marked = [finding.sentence for finding in about if _is_told(finding, band)]
        psi = next((finding.statistic for finding in about if finding.check == "psi"), None)
        columns.append(
            {
                "column": feature.name,
                "kind": feature.kind,
                "refused": refused.get(feature.name, 0),
                "missing": int(np.isnan(features[:, j]).sum()),
                "unseen": int(unseen.sum()),
                "psi": psi,
                "severity": worst.value,
                "findings": marked,
            }
        )
    return {"rows": len(features), "refused": rows_refused, "reasons": reasons, "notes": notes, "columns": columns}


def _is_told(finding: Finding, band: float) -> bool:
    """Whether a finding about a column is shown beside it."""
    high = finding.check == "psi" and finding.statistic is not None and finding.statistic > band
    beyond = bool(finding.details.get("beyond"))  # a context column that stands where it never was
    return high or beyond or finding.severity not in (Severity.OK, Severity.NOISE)
