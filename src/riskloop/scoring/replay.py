"""A logged decision scored again: the proof that what is on record can be made again."""

from collections.abc import Callable, Mapping

import numpy as np

from riskloop.core.errors import NotFound
from riskloop.core.manifest import ModelManifest
from riskloop.core.types import Decision, DecisionFrame, Json, Reason, Spoken
from riskloop.scoring.answers import described
from riskloop.scoring.decide import decide_again
from riskloop.scoring.model import Model, load_model
from riskloop.store.artefacts import Artefact
from riskloop.store.decisions import DecisionLog
from riskloop.store.shadow import ShadowScores


def reasons_of(found: DecisionFrame, model_of: Callable[[int], Model], most: int) -> dict[int, list[Reason]]:
    """The ``most`` strongest reasons of logged decisions by their ids, each by the model that decided."""
    told: dict[int, list[Reason]] = {}
    for version in np.unique(found.model_versions).tolist():
        model, part = model_of(version), found.take(np.flatnonzero(found.model_versions == version))
        each = zip(part.ids.tolist(), part.features, model.contributions(part.features), strict=True)
        told |= {number: model.reasons(row, parts, most) for number, row, parts in each}
    return told


def replay(
    log: DecisionLog,
    artefact_of: Callable[[int], Artefact[ModelManifest]],
    decision_id: str | int,
    max_reasons: int,
    spoken: Mapping[str, Spoken] | None = None,
    shadows: ShadowScores | None = None,
) -> Json:
    """The decision with its reasons, what its model says of it today, and whether that is the same to the last bit.

    Raises NotFound for what is no id, or of no decision.
    """
    try:
        number = int(decision_id)
    except ValueError:
        raise NotFound(f"'{decision_id}' is not a decision id; they are whole numbers.") from None
    decision = log.get(number)
    model = load_model(artefact_of(decision.model_version), decision.model_version, spoken=spoken)
    probability, identical = decide_again(model, decision)
    how = "the same probability, to the last bit" if identical else f"{probability!r} instead: they differ"
    if identical and probability != decision.probability:
        how = f"{probability!r}, the same but for the last bits, which processors round differently"
    where = log.where_archived(number)
    read = "" if where is None else f" It was read from the archive ({where})."
    beside = [
        _beside(load_model(artefact_of(version), version), decision, said)
        for version, said in (shadows.of(number) if shadows else {}).items()
    ]
    return {
        **described(model, decision, max_reasons),
        "replayed_probability": probability,
        "identical": identical,
        "sentence": f"Decision {number} was {decision.probability!r} by version {decision.model_version}; "
        f"scored again it is {how}.{read}",
        "shadows": beside,
    }


def _beside(model: Model, decision: Decision, said: float) -> Json:
    """What a shadow said of the decision, and whether it says so again."""
    again = float(model.probabilities(decision.features.reshape(1, -1))[0])
    version, default = model.version, said >= model.threshold
    return {"version": version, "probability": said, "default": default, "identical": again == said}
