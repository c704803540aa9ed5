"""The challenger file of an evaluation: made when the gate judges, kept beside the scores, read again for a page."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import numpy as np

from riskloop.cases.events import Judged
from riskloop.core.errors import NotFound
from riskloop.core.manifest import EvaluationManifest
from riskloop.core.settings import Settings
from riskloop.core.types import DecisionFrame, Floats, Ints, Json
from riskloop.gate.challenger_file import challenger_file, comparison
from riskloop.gate.evaluation import Evaluation
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.evidence import FILE, without_outcome
from riskloop.monitor.segments import segments_of
from riskloop.retrain.dataset import Pool
from riskloop.scoring.model import Model
from riskloop.store.artefacts import Artefacts
from riskloop.store.cases import Cases
from riskloop.store.ledger import Ledger

SAMPLE: Final = 400  # customers over whom a partial effect is averaged
GRID: Final = 11  # values of a number
LEVELS: Final = 12  # of a category
MOVED: Final = 4  # features that are shown


def make_file(
    settings: Settings,
    evaluation: Evaluation,
    champion: ReferenceModel,
    challenger: Model,
    rows: Pool,
    tested: Ints,
    frame: DecisionFrame,
) -> Json:
    """The challenger file; `riskloop.gate.challenger_file` says what is in it."""
    others = without_outcome(frame, rows.rows.times[tested])
    applied = np.concatenate((rows.rows.features[tested], frame.features[others]))
    schema, columns = champion.model.schema, settings.drift.segments or None
    protected = {schema.names[i] for i in schema.protected_columns}
    segments = segments_of(schema, champion.features, applied, columns)
    moved = most_moved(champion.model, challenger, applied)
    found = challenger_file(evaluation, settings.money, segments, moved)
    for group in found["segments"]:
        group["protected"] = group["feature"] in protected
    return found


def most_moved(champion: Model, challenger: Model, features: Floats) -> list[Json]:
    """The features whose partial effect differs most between two models, over a sample of the rows (n, k).

    A partial effect is the mean PD of all sampled customers with the feature set to one value (Friedman, The Annals
    of Statistics 29 (2001) 1189–1232); each is shown around its own mean, so that a shift of the level is no move.
    """
    sample = features[:: max(1, -(-features.shape[0] // SAMPLE))]
    found = []
    for column in sorted({*champion.schema.model_columns} & {*challenger.schema.model_columns}):
        grid, weights = _grid(champion, sample, column)
        if grid.size < 2:
            continue
        effects = [_effect(model, sample, column, grid) for model in (champion, challenger)]
        apart = (effects[1] - effects[1] @ weights) - (effects[0] - effects[0] @ weights)
        feature = champion.schema.features[column]
        found.append(
            {
                "feature": feature.name,
                "kind": feature.kind,
                "values": [feature.text(value) for value in grid.tolist()],
                "champion": effects[0].tolist(),
                "challenger": effects[1].tolist(),
                "moved": float(np.abs(apart) @ weights),
            }
        )
    found.sort(key=lambda entry: -float(entry["moved"]))
    return [entry for entry in found[:MOVED] if entry["moved"] > 0.0]


def _grid(model: Model, sample: Floats, column: int) -> tuple[Floats, Floats]:
    """Values of a feature, ascending, and the share of the customers that each stands for."""
    values = sample[:, column]
    known = values[~np.isnan(values)]
    if not known.size:
        return np.empty(0), np.empty(0)
    if model.schema.features[column].kind == "category":
        levels, counts = np.unique(known, return_counts=True)
        largest = np.sort(np.argsort(-counts, kind="stable")[:LEVELS])
        grid, counts = levels[largest], counts[largest]
    else:
        grid = np.unique(np.quantile(known, np.linspace(0.02, 0.98, GRID), method="inverted_cdf"))
        nearest = np.abs(known[:, None] - grid[None, :]).argmin(axis=1)
        counts = np.bincount(nearest, minlength=grid.size)
    return grid, counts / counts.sum()


def _effect(model: Model, sample: Floats, column: int, grid: Floats) -> Floats:
    rows = np.tile(sample, (grid.size, 1))
    rows[:, column] = np.repeat(grid, sample.shape[0])
    means: Floats = model.probabilities(rows).reshape(grid.size, -1).mean(axis=1)
    return means


# --------------------------------------------------------------------------- reading it again


def read_file(artefacts: Artefacts, name: str) -> Json | None:
    """The challenger file beside the scores of an evaluation; None where an earlier version kept none.

    Raises ArtefactError when a file was altered.
    """
    artefact = artefacts.read(name, EvaluationManifest)
    if FILE not in artefact.contents:
        return None
    document: Json = json.loads(artefact.bytes(FILE))
    return document


@dataclass(frozen=True, slots=True)
class PastReport:
    """What the gate said of a challenger, for which case and when."""

    case: int
    at: datetime
    judged: Judged


def judgement_of(
    cases: Cases, ledger: Ledger, artefacts: Artefacts, champion: int, challenger: int
) -> PastReport | None:
    """The gate's latest report on this challenger against this champion; None where no case has one."""
    case = ledger.model(challenger).case_id
    if case is None:
        return None
    for step in reversed(cases.steps(case)):
        said = step.event
        if isinstance(said, Judged) and said.champion == champion and said.evaluation is not None:
            about = artefacts.read(said.evaluation, EvaluationManifest).manifest
            if about.challenger == challenger:
                return PastReport(case, step.at, said)
    return None


def case_file(cases: Cases, artefacts: Artefacts, number: int) -> Json:
    """The newest challenger file of a case with the gate's table; NotFound while the gate has said nothing."""
    case, judged = cases.get(number), cases.judged(number)
    if judged is None:
        raise NotFound(f"Case {number} has no report of the gate yet.")
    return _document(artefacts, number, case.challenger, judged)


def pair_file(cases: Cases, ledger: Ledger, artefacts: Artefacts, champion: int, challenger: int) -> Json | None:
    """The newest challenger file on these two; None where the gate has not compared them for a case."""
    found = judgement_of(cases, ledger, artefacts, champion, challenger)
    return None if found is None else _document(artefacts, found.case, challenger, found.judged)


def _document(artefacts: Artefacts, case: int, challenger: int | None, judged: Judged) -> Json:
    found = None if judged.evaluation is None else read_file(artefacts, judged.evaluation)
    return {
        "case": case,
        "champion": judged.champion,
        "challenger": challenger,
        "verdict": judged.report.verdict.value,
        "sentence": judged.report.sentence,
        "fingerprint": judged.fingerprint,
        "evaluation": judged.evaluation,
        "table": [asdict(line) for line in comparison(judged.report, found)],
        "file": found,
    }
