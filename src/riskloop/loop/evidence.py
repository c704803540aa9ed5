"""What the gate is shown: two models on the same rows, the groups in them, whose outcomes are known, earlier tries."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, Final, Literal

import numpy as np

from riskloop.core.manifest import EvaluationManifest, ModelManifest
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings
from riskloop.core.stats import customer_codes, quarters
from riskloop.core.types import DecisionFrame, Floats, Ints, Json
from riskloop.gate.evaluation import Applicants, Context, Coverage, Evaluation
from riskloop.loop.champion import ReferenceModel, array, as_array, dump_array
from riskloop.retrain.dataset import Pool
from riskloop.scoring.model import Model
from riskloop.store.artefacts import Artefact, Artefacts
from riskloop.store.documents import plain
from riskloop.store.ledger import Ledger
from riskloop.store.tries import tries_against


def evaluate(
    settings: Settings,
    champion: ReferenceModel,
    challenger: Model,
    rows: Pool,
    tested: Ints,
    scores: Floats,
    frame: DecisionFrame,
    kind: Literal["retrain", "recalibrate"],
    blocks: Ints | None,
    card: Floats | None = None,
) -> Evaluation:
    """Champion and challenger on the ``tested`` rows of the pool; ``scores`` are the challenger's.

    ``blocks`` are the fits that gave them, where there are several (`Plan.blocks`), ``card`` a plain scorecard's.
    """
    features = rows.rows.features[tested]
    others = without_outcome(frame, rows.rows.times[tested])
    applied = np.concatenate((features, frame.features[others]))
    applicants = customer_codes(
        [rows.rows.ids[i] for i in tested.tolist()] + [frame.customer_ids[i] for i in others.tolist()]
    )
    incumbent = champion.model.probabilities(applied)
    levels = settings.risk_levels
    weights = rows.stands_for[tested]
    return Evaluation(
        labels=rows.labels[tested],
        champion=incumbent[: tested.size],
        challenger=scores,
        champion_threshold=champion.model.threshold,
        challenger_threshold=challenger.threshold,
        kind=kind,
        applicants=Applicants(
            incumbent,
            np.concatenate((scores, challenger.probabilities(frame.features[others]))) if others.size else scores,
            protected_groups(champion.model.schema, applied),
            _repeating(applicants),
        ),
        grade_bounds=(levels.low, levels.medium, levels.high),
        latency_ms=_latency(challenger, features[:1]),
        reasons=bool(challenger.reasons(features[0], challenger.contributions(features[:1])[0], 1)),
        coverage=_coverage(frame),
        weights=weights if (weights != 1.0).any() else None,
        blocks=blocks,
        customers=_repeating(rows.customers[tested]),
        benchmark=card,
    )


def without_outcome(frame: DecisionFrame, times: Ints) -> Ints:
    """Who applied between the tested decisions and has no outcome, by place in the frame: mostly the declined."""
    return np.flatnonzero(np.isnan(frame.outcomes) & (frame.times >= times.min()) & (frame.times <= times.max()))


def _repeating(customers: Ints) -> Ints | None:
    """The customers (n,), or None where nobody comes twice: then every row is a witness of its own."""
    return customers if np.unique(customers).size < customers.size else None


def protected_groups(schema: Schema, features: Floats) -> Mapping[str, Any]:
    """The group of every row by each protected attribute: levels as they are, numbers in quarters of the sample."""
    groups: dict[str, Any] = {}
    for column in schema.protected_columns:
        feature, values = schema.features[column], features[:, column]
        if feature.kind == "category":
            groups[feature.name] = np.asarray([feature.text(value) for value in values])
            continue
        names, places = quarters(values)
        if names:
            groups[feature.name] = np.asarray([*names, "missing"])[places]  # the last one is at −1
    return groups


def _latency(challenger: Model, row: Floats) -> float:
    """Milliseconds for one row: the median, because a busy machine must not reject a model."""
    challenger.probabilities(row)  # the first call builds what later ones reuse
    taken = []
    for _ in range(21):
        started = perf_counter()
        challenger.probabilities(row)
        taken.append(perf_counter() - started)
    return float(np.median(taken)) * 1e3


def _coverage(frame: DecisionFrame) -> Coverage | None:
    """Among the decisions up to the latest matured one: whose outcome is known?"""
    known = ~np.isnan(frame.outcomes)
    if frame.declined is None or frame.exploration is None or not known.any():
        return None
    over = frame.times <= frame.times[known].max()
    declined, explored = frame.declined & over, (frame.exploration > 0.0) & over
    return Coverage(
        approved=int((~frame.declined & over).sum()),
        approved_known=int((~frame.declined & known).sum()),
        declined=int(declined.sum()),
        declined_known=int((declined & known).sum()),
        explored=int((explored & known).sum()),
    )


def context(
    settings: Settings,
    ledger: Ledger,
    champion: ReferenceModel,
    version: int,
    manifest: ModelManifest,
    now: datetime,
    doubts: tuple[str, ...],
) -> Context:
    """What the gate has to know beside the rows; ``doubts`` are about the labels."""
    schema, challenger = champion.model.schema, manifest.schema
    return Context(
        now=now,
        champion=champion.version,
        challenger=version,
        learner=manifest.learner,
        allowed_learners=settings.gate.learners or settings.train.learners,
        champion_features=tuple(schema.names[i] for i in schema.model_columns),
        challenger_features=tuple(challenger.names[i] for i in challenger.model_columns),
        tries=tries_against(ledger.database, champion.version),
        promotions=tuple(promotion.at for promotion in ledger.promotions()),
        definition=settings.outcomes.definition,
        money=settings.money,
        doubts=doubts,
    )


# --------------------------------------------------------------------------- kept for later


@dataclass(frozen=True)
class Tested:
    """What a gate report was computed from."""

    decisions: Ints  # ids
    labels: Floats
    champion: Floats
    challenger: Floats
    blocks: Ints  # the fit that scored each row for the challenger

    def take(self, index: Ints) -> "Tested":
        """The rows at ``index``, in that order."""
        return Tested(*(getattr(self, name)[index] for name in _ARRAYS))


_ARRAYS: Final = ("decisions", "labels", "champion", "challenger", "blocks")
FILE: Final = "challenger_file.json"


def keep(
    artefacts: Artefacts,
    evaluation: Evaluation,
    rows: Pool,
    tested: Ints,
    frame: DecisionFrame,
    manifest: EvaluationManifest,
    file: Json,
) -> Artefact[EvaluationManifest]:
    """Store the tested decisions, both scores and the challenger ``file``, so that all can be computed again.

    Out of fold, the challenger's scores are those of fits that are not kept themselves. Applicants without an outcome
    are kept, too: their approvals count. The arrays are compressed; the artefact's hash is part of the gate's report.
    """
    blocks = np.zeros(tested.size) if evaluation.blocks is None else evaluation.blocks
    values = (rows.sources[tested], evaluation.labels, evaluation.champion, evaluation.challenger, blocks)
    columns = dict(zip(_ARRAYS, values, strict=True))
    everybody, others = evaluation.everybody, without_outcome(frame, rows.rows.times[tested])
    columns["applicants"] = frame.ids[others]
    columns["applicants_champion"] = everybody.champion[tested.size :]
    columns["applicants_challenger"] = everybody.challenger[tested.size :]
    if evaluation.benchmark is not None:
        columns["benchmark"] = evaluation.benchmark
    files = {
        f"{name}.npy.gz": gzip.compress(dump_array(column.astype(np.float64)), mtime=0)
        for name, column in columns.items()
    }
    files[FILE] = json.dumps(plain(file), allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    return artefacts.write(manifest, files)


def kept(artefacts: Artefacts, name: str) -> Tested:
    """The inverse of :func:`keep`; ArtefactError when a file was altered."""
    artefact = artefacts.read(name, EvaluationManifest)
    found = {column: values for column in _ARRAYS if (values := _column(artefact, column)) is not None}
    # Evaluations of riskloop's first days were not compared within blocks, and name none.
    blocks = found.get("blocks", np.zeros(found["labels"].size))
    return Tested(
        found["decisions"].astype(np.int64),
        found["labels"],
        found["champion"],
        found["challenger"],
        blocks.astype(np.int64),
    )


def _column(artefact: Artefact[EvaluationManifest], name: str) -> Floats | None:
    """A column as it is kept now, or as it was kept once: not compressed; None where it is not there."""
    if f"{name}.npy.gz" in artefact.contents:
        return as_array(gzip.decompress(artefact.bytes(f"{name}.npy.gz")), f"{name}.npy.gz", artefact.name)
    return array(artefact, f"{name}.npy") if f"{name}.npy" in artefact.contents else None
