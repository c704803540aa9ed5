"""What the sections of a model's report read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from riskloop.cases import Case
from riskloop.core.errors import NotFound
from riskloop.core.manifest import ModelManifest
from riskloop.document.parts import (
    Quoted,
)
from riskloop.document.sample import (
    TrainingSample,
)
from riskloop.document.windows import WindowRecord
from riskloop.scoring.model import Model
from riskloop.store.artefacts import Artefact
from riskloop.store.cases import Cases
from riskloop.store.home import Home
from riskloop.store.ledger import ModelVersion


@dataclass(frozen=True)
class ModelRecord:
    """Everything that the sections of a model's report read."""

    home: Home
    row: ModelVersion
    artefact: Artefact[ModelManifest]
    model: Model
    sample: TrainingSample
    windows: WindowRecord
    cases: Sequence[Case]  # that this version was trained for
    quoted: Mapping[str, Quoted]

    @property
    def manifest(self) -> ModelManifest:
        """What the version says of itself."""
        return self.artefact.manifest


def case_of(cases: Cases, row: ModelVersion) -> list[Case]:
    """The case that a version was trained for; none where it is not on record."""
    if row.case_id is None:
        return []
    try:
        return [cases.get(row.case_id)]
    except NotFound:
        return []
