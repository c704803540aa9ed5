"""Rows that nobody has decided on yet, looked at as a window would be: nothing is logged and no case is opened."""

from typing import Any

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings, Settings
from riskloop.core.types import Finding, Floats, Ints, Json, Severity
from riskloop.data.opening import open_source
from riskloop.data.read import refuse_other_layout, screen_rows
from riskloop.data.refused import reason_lines
from riskloop.data.spelling import spelled
from riskloop.data.tables import Source
from riskloop.data.unsigned import reading_notes
from riskloop.decide.diagnosis import diagnose
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.examine import Arrived, at_closing
from riskloop.loop.observe import FRAME_ROWS
from riskloop.monitor.frames import CodedBlocks
from riskloop.monitor.profile import Profile
from riskloop.store.documents import plain

_ORDER = [Severity.OK, Severity.NOISE, Severity.UNKNOWN, Severity.DRIFTED, Severity.SEVERE, Severity.FAULT]


def check(champion: ReferenceModel | None, schema: Schema, settings: Settings, source: Any, where: str) -> Json:
    """What of a file, frame, Arrow table or batch would be refused, flagged or drifted, by column and as a diagnosis.

    Before the first promotion there is no champion: the columns are held against the ``schema`` of riskloop.toml, and
    nothing is said of drift. A file may be larger than memory: of more rows than fit into a window's frame the profile
    is looked at, and its sample.
    """
    dialect = settings.data
    schema = schema if champion is None else champion.model.schema
    looked = _Looked(champion, CodedBlocks(_opened(source, schema, dialect, where), schema, where, dialect))
    found = looked.blocks.findings()
    if champion is None:
        said: Json = {"model_version": None, "diagnosis": None, "rungs": [],
                "sentence": "There is no champion yet, so drift is not checked."}  # fmt: skip
        return {**_read(source, schema, dialect, where, looked, found), **said, "findings": plain(found)}
    found += at_closing(champion, settings, looked.arrived(champion))
    answer = diagnose(found, [], settings.drift)
    return {
        **_read(source, schema, dialect, where, looked, found, settings.drift.psi),
        "model_version": champion.version,
        "diagnosis": answer.diagnosis.value,
        "sentence": answer.sentence,
        "rungs": plain(answer.rungs),
        "findings": plain(found),
    }


def _opened(source: Any, schema: Schema, dialect: DataSettings, where: str) -> Source:
    """The source under the schema's spelling of its columns, as scoring reads it.

    Raises DataError for a file in another layout: what would be said of its columns is nonsense.
    """
    opened = spelled(open_source(source, dialect, where, target=schema.target)[0], schema)
    if not {*schema.names} <= {*opened.names}:
        refuse_other_layout(source, schema, "absent", where, dialect)
    return opened


class _Looked:
    """The rows of a source, or of too many their profile, with what is missing and unseen in each column."""

    def __init__(self, champion: ReferenceModel | None, blocks: CodedBlocks) -> None:
        self.blocks = blocks
        categories = [len(f.categories) if f.kind == "category" else np.inf for f in blocks.schema.features]
        self.missing = np.zeros(len(categories), dtype=np.int64)
        self.unseen = np.zeros(len(categories), dtype=np.int64)
        self._parts: list[tuple[Floats, Ints]] = []
        self._profile: Profile | None = None
        for part in blocks:
            self.missing += np.isnan(part[0]).sum(axis=0)
            self.unseen += (part[0] == categories).sum(axis=0)
            if champion is None:
                continue
            self._parts.append(part)
            if self._profile is not None or blocks.rows > FRAME_ROWS:
                self._profile_parts(champion)

    def _profile_parts(self, champion: ReferenceModel) -> None:
        total = champion.reference.empty if self._profile is None else self._profile
        for features, times in self._parts:
            scores = champion.model.probabilities(features)
            total += champion.reference.profile(features, scores, times if self.blocks.dated else None)
        self._profile, self._parts = total, []

    def arrived(self, champion: ReferenceModel) -> Arrived:
        """As a window of decisions."""
        if self._profile is not None:
            sample = self._profile.sample.expanded
            return Arrived(self._profile, sample, champion.model.probabilities(sample), np.empty(0, dtype=np.int64))
        features = np.concatenate([part for part, _ in self._parts])
        times = np.concatenate([part for _, part in self._parts]) if self.blocks.dated else np.empty(0, dtype=np.int64)
        scores = champion.model.probabilities(features) if len(features) else np.empty(0)
        profile = champion.reference.profile(features, scores, times if len(times) else None)
        return Arrived(profile, features, scores, times)


def _read(
    source: Any,
    schema: Schema,
    dialect: DataSettings,
    where: str,
    looked: _Looked,
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
        notes = list(reading_notes(screened.source, schema))
        for entry in screened.problems.found:
            refused[entry.column] = refused.get(entry.column, 0) + 1
    except DataError as error:
        rows_refused, reasons = looked.blocks.rows, [error.message]
    columns = []
    for j, feature in enumerate(schema.features):
        about = [finding for finding in found if finding.subject == feature.name]
        worst = max((finding.severity for finding in about), key=_ORDER.index, default=Severity.OK)
        marked = [finding.sentence for finding in about if _is_told(finding, band)]
        psi = next((finding.statistic for finding in about if finding.check == "psi"), None)
        columns.append(
            {
                "column": feature.name,
                "kind": feature.kind,
                "refused": refused.get(feature.name, 0),
                "missing": int(looked.missing[j]),
                "unseen": int(looked.unseen[j]),
                "psi": psi,
                "severity": worst.value,
                "findings": marked,
            }
        )
    return {"rows": looked.blocks.rows, "refused": rows_refused, "reasons": reasons, "notes": notes, "columns": columns}


def _is_told(finding: Finding, band: float) -> bool:
    """Whether a finding about a column is shown beside it."""
    high = finding.check == "psi" and finding.statistic is not None and finding.statistic > band
    beyond = bool(finding.details.get("beyond"))  # a context column that stands where it never was
    return high or beyond or finding.severity not in (Severity.OK, Severity.NOISE)
